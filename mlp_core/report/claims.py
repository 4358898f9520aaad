"""The report's claims: what the tutorial says, what was measured, and the verdicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mlp_core.errors import InputError
from mlp_core.report.forest import forest_row
from mlp_core.statistics.claims import MIN_SEEDS, VERDICT_NOTE, VERDICT_RULE
from mlp_core.statistics.comparisons import listed
from mlp_core.statistics.wording import no_break

CLAIM_COLUMNS = (
    *("claim", "source", "section", "statement", "measure", "claimed", "n", "estimate", "low", "high"),
    *("effect_size", "effect", "verdict", "figure", "data", "condition"),
)
_SYMBOLS = {"supported": "\u2713", "not supported": "\u2717", "neither": "\u2013", "undecided": "?"}
_KINDS = {"supported": "yes", "not supported": "no"}
_VERDICTS_COUNTED = {
    "supported": ("holds", "hold"),
    "not supported": ("does not hold", "do not hold"),
    "neither": ("is right on neither side", "are right on neither side"),
    "undecided": ("is undecided", "are undecided"),
}
_SOURCES = {"tutorial": "the tutorial's", "ours": "ours"}
_DRAWN = "drawn faces"
_MORE_SEEDS = 64


def describe_claims(table: pd.DataFrame, figures: Mapping[str, str], usual_seeds: int) -> dict[str, Any]:
    """Prepare claims and verdicts for the report's template: numbers as texts, and positions in the forest plot.

    Args:
        table: Rows of `results/claims.parquet`, at least one; NaN where there is no number.
        figures: Title of the section that shows each figure of the report, by name of the figure.
        usual_seeds: Default number of seeds of a run.

    Returns:
        A dictionary of `rule` (of the verdicts), `counted` (sentences: how many claims hold), `remarks` (sentences),
        `min_seeds` and `rows`. A row has a text for each of the table's columns, its `forest` row, and as `figure` the
        name and the title that its link leads to, or None if the report does not show the figure.

    Raises:
        InputError: If a column is missing.

    Example:
        >>> columns = dict.fromkeys(CLAIM_COLUMNS, "words") | {"n": 8, "estimate": 0.1, "low": -math.inf, "high": 0.3}
        >>> table = pd.DataFrame([columns | {"effect_size": math.nan, "verdict": "not supported"}])
        >>> row = describe_claims(table, {}, usual_seeds=8)["rows"][0]
        >>> row["interval"].split()[-1], row["effect_size"], row["symbol"]
        ('0.300]', 'none', '✗')
    """
    missing = [name for name in CLAIM_COLUMNS if name not in table]
    if missing:
        message = (
            f"the table claims must have the columns {', '.join(CLAIM_COLUMNS)}, got {', '.join(missing)} missing; "
            "run `deep-mlp tutorial` again."
        )
        raise InputError(message)
    counted, remarks = _counted(table), _remarks(table, usual_seeds)
    return {
        "rule": f"{VERDICT_RULE} {VERDICT_NOTE}".replace(" %", "\u00a0%"),
        "counted": counted,
        "remarks": remarks,
        "min_seeds": MIN_SEEDS,
        "rows": [_row(row, figures) for row in table.to_dict("records")],
    }


def _row(row: dict[str, Any], figures: Mapping[str, str]) -> dict[str, Any]:
    title = figures.get(row["figure"])
    return {
        **{name: row[name] for name in ("section", "statement", "measure", "claimed", "effect", "verdict")},
        **{name: row[name] for name in ("data", "condition")},
        "source": _SOURCES.get(row["source"], row["source"]),
        "n": str(row["n"]),
        "estimate": _number(row["estimate"]),
        "interval": _interval(row["low"], row["high"]),
        "effect_size": _number(row["effect_size"]),
        "symbol": _SYMBOLS.get(row["verdict"], ""),
        "kind": _KINDS.get(row["verdict"], "open"),
        "forest": forest_row(str(row["claimed"]), row["estimate"], row["low"], row["high"]),
        "figure": None if title is None else (row["figure"], title),
    }


def _number(value: float) -> str:
    return "none" if math.isnan(value) else _digits(value)


def _digits(value: float) -> str:
    """Return three digits, zeros at the end too, so that both ends of an interval are as exact; a whole number stays.

    Example:
        >>> _digits(1.1), _digits(-0.38), _digits(3.0), _digits(123.4)
        ('1.10', '-0.380', '3', '123')
    """
    return f"{value:.3g}" if float(value).is_integer() else f"{value:#.3g}".removesuffix(".")


def _interval(low: float, high: float) -> str:
    if math.isnan(low):
        return "no interval"
    if math.isinf(low) and math.isinf(high):
        return "[no limits]"
    if low == high:
        return f"{_digits(low)} alone"
    ends = ["no limit" if math.isinf(end) else _digits(end) for end in (low, high)]
    return no_break(f"[{ends[0]} to {ends[1]}]")


def _counted(table: pd.DataFrame) -> list[str]:
    """Say how many claims hold, by who claims."""
    sentences = []
    for source, whose in (("tutorial", "the tutorial's"), ("ours", "our own")):
        own = table[table["source"] == source]
        counts = Counter(own["verdict"])
        conditional = int(((own["verdict"] == "supported") & (own["condition"] != "")).sum())
        parts = [
            f"{counts[verdict]} {singular if counts[verdict] == 1 else more}"
            for verdict, (singular, more) in _VERDICTS_COUNTED.items()
            if counts[verdict]
        ]
        if conditional and len(own) > 1 and parts:
            parts[0] += f" ({_part_of(conditional, counts['supported'])}in one order of batches)"
        if len(own) == 1 and parts:
            sentences.append(f"{whose[0].upper()}{whose[1:]} one claim {parts[0].removeprefix('1 ')}.")
        elif len(parts) == 1:
            which = "Both" if len(own) == 2 else f"All {len(own)}"
            sentences.append(f"{which} of {whose} claims {parts[0].removeprefix(f'{len(own)} ')}.")
        elif parts:
            sentences.append(f"Of {whose} {len(own)} claims {listed(parts)}.")
    return sentences


def _part_of(part: int, whole: int) -> str:
    if part == whole:
        return "" if whole == 1 else "all "
    return f"{'one' if part == 1 else part} of them "


def _remarks(table: pd.DataFrame, usual_seeds: int) -> list[str]:
    """Say what the verdicts rest on, and how to decide more."""
    sentences = []
    if drawn := int(table["data"].str.startswith(_DRAWN).sum()):
        which = (
            "This claim rests" if len(table) == 1 else f"{drawn} of these {len(table)} claims rest{'s' * (drawn == 1)}"
        )
        sentences.append(
            f"{which} on drawn faces, which are not real images; with "
            "deep-mlp tutorial --images FOLDER they rest on yours."
        )
    if (table["condition"] != "").any():
        sentences.append(
            "Where it says so, all members share one order of batches, and the interval knows nothing of other orders."
        )
    if int(table["n"].max()) < MIN_SEEDS:
        sentences.append(
            f"These are too few seeds for a verdict on networks: it needs {MIN_SEEDS} at least, as "
            f"deep-mlp tutorial --seeds {max(usual_seeds, MIN_SEEDS)} has."
        )
    sentences.append(
        f"To keep its time short, deep-mlp tutorial runs {usual_seeds} seeds unless told otherwise; "
        f"deep-mlp tutorial --seeds {_MORE_SEEDS} takes longer and narrows the intervals, which decides more."
    )
    return sentences
