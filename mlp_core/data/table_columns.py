"""Which column of a table is what: numbers, levels, or what no network can use, which is refused by name."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlp_core.data.preprocessing import numbers_of, texts_of
from mlp_core.data.sizes import MIN_ROWS
from mlp_core.data.table_files import refuse
from mlp_core.errors import InputError

MAX_LEVELS = 50
"""Of a column of text; with more it is no category."""
MAX_CLASSES = 100
MIN_ROWS_PER_CLASS = 5
_LOOKED_AT = 1000
_USABLE = "have columns of numbers or categories"
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{2,4}|[A-Za-z]{3,9} \d{1,2}, \d{4}"
)
_ROW_NAMES = re.compile(r"(.*[_ .-])?(id|index|rownames|row_?names?|uuid)", re.I)


def chosen(setting: str, name: str, names: Sequence[str]) -> str:
    """Check that a table has a column of that name and return the name.

    Args:
        setting: Setting that gave the name, for the message.
        name: Name to look for; case matters.
        names: Names of the table's columns.

    Raises:
        InputError: If there is no such column; the message suggests similar names.

    Example:
        >>> chosen("target", "Kind", ["alcohol", "kind"])
        Traceback (most recent call last):
        mlp_core.errors.InputError: target must be a column of the table, got 'Kind'; did you mean 'kind'?
    """
    if name in names:
        return name
    lower = {column.lower(): column for column in reversed(names)}
    near = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, 3, 0.5)]
    if near:
        message = f"{setting} must be a column of the table, got {name!r}; did you mean {_listed(near)}?"
    else:
        message = f"{setting} must be a column of the table, got {name!r}; it has {_listed(names[:8])}" + (
            f" and {len(names) - 8} more." if len(names) > 8 else "."
        )
    raise InputError(message)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name[:60]) for name in names)


def is_number(column: pa.ChunkedArray) -> bool:
    """Return whether a column's Arrow type is one of numbers: integer, floating or decimal."""
    return bool(
        pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
    )


def without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in which NaN is replaced by a missing value; one that has no floating type is unchanged."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def without(name: str) -> str:
    """Return the words for a message that say how to leave a column out, with its name if the option can take it.

    Example:
        >>> without("user id"), without("a, b")
        ("leave it out with --ignore 'user id'", 'leave it out with --ignore')
    """
    can_be_given = name.isprintable() and "," not in name and len(name) <= 60
    return f"leave it out with --ignore {shlex.quote(name)}" if can_be_given else "leave it out with --ignore"


def check_usable(name: str, column: pa.ChunkedArray) -> None:
    """Check that a column can be an input of a network.

    Args:
        name: Name of the column.
        column: Its values, at least one of them not missing.

    Raises:
        InputError: For dates, free text, row numbers or names, more than 50 different texts, and text among numbers.
    """
    way_out = without(name)
    if pa.types.is_temporal(column.type):
        got = f"{name!r}, which holds dates or times"
        refuse(_USABLE, got, f"{way_out}, or make numbers of it, such as the month")
    present = column.drop_null()
    if is_number(column):
        _check_numbers(name, present, way_out)
    elif not pa.types.is_boolean(column.type):
        _check_text(name, [text for text in texts_of(present) if text is not None], len(present), way_out)


def _check_numbers(name: str, present: pa.ChunkedArray, way_out: str) -> None:
    numbers = numbers_of(present, name)
    whole = bool((numbers == np.floor(numbers)).all())
    if whole and len(np.unique(numbers)) == len(numbers) >= MIN_ROWS:
        consecutive = numbers.max() - numbers.min() == len(numbers) - 1
        if consecutive or _ROW_NAMES.fullmatch(name):
            got = f"{name!r}, which has another whole number in each row"
            refuse("have columns that do not name the row", got, way_out)


def _check_text(name: str, texts: list[str], n_rows: int, way_out: str) -> None:
    levels = sorted(set(texts))
    looked_at = levels[:: max(1, len(levels) // _LOOKED_AT)]
    numeric = [text for text in looked_at if _is_numeric(text)]
    if len(numeric) >= max(3, 0.8 * len(looked_at)):
        odd = next((row for row, text in enumerate(texts, 1) if not _is_numeric(text)), 1)  # or commas and points
        got = f"{texts[odd - 1][:60]!r} in {name!r}, whose other rows hold numbers"
        refuse("have numbers or text in a column", got, f"mend it, leave it empty, or {way_out}")
    if sum(bool(_DATE.fullmatch(text.strip())) for text in looked_at) >= max(1, 0.9 * len(looked_at)):
        got = f"{name!r}, which holds dates, such as {looked_at[0][:40]!r}"
        refuse(_USABLE, got, f"{way_out}, or make numbers of it, such as the month")
    words = sum(len(text.split()) for text in looked_at) / len(looked_at)
    if max(map(len, looked_at)) > 200 or (words > 4 and len(levels) > MAX_LEVELS / 2):
        refuse(_USABLE, f"{name!r}, which holds free text", way_out)
    if len(levels) == n_rows:
        got = f"{name!r}, which has another value in each row"
        refuse("have columns that do not name the row", got, way_out)
    if len(levels) > MAX_LEVELS:
        got = f"{len(levels):,} in {name!r}"
        refuse(f"have at most {MAX_LEVELS} levels in a column of text", got, f"{way_out}, or merge some")


def _is_numeric(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def classes_of(name: str, column: pa.ChunkedArray) -> tuple[tuple[str, ...], list[int]]:
    """Return the names of the classes in a target column, and the label of each row.

    Args:
        name: Name of the column.
        column: Its values, none missing.

    Returns:
        Names of the classes, sorted as numbers or as texts, and the labels `[n]`, each the index of its class.

    Raises:
        InputError: If there is one class only, there are too many, or one has fewer than 5 rows.

    Example:
        >>> classes_of("kind", pa.chunked_array([["b", "a"] * 5]))[0]
        ('a', 'b')
    """
    another = "name another column with --target"
    if pa.types.is_temporal(column.type):
        refuse("have classes in its target", f"dates in {name!r}", another)
    values = numbers_of(column, name).tolist() if is_number(column) else texts_of(column)
    levels = sorted(set(values), key=lambda level: (isinstance(level, str), level))
    if len(levels) == 1:
        refuse("have two classes or more", f"only {_name(levels[0])[:60]!r} in the target {name!r}", another)
    limit = min(MAX_CLASSES, len(values) // MIN_ROWS_PER_CLASS)
    if len(levels) > limit:
        kind = "numbers" if is_number(column) else "levels"
        got = f"{len(levels):,} different {kind} in the target {name!r}"
        more = ", or make classes of it, such as low and high" if kind == "numbers" else ""
        refuse(f"have at most {limit} classes in {len(values):,} rows", got, another + more)
    numbers = {level: number for number, level in enumerate(levels)}
    labels = [numbers[value] for value in values]
    counts = np.bincount(labels)
    if counts.min() < MIN_ROWS_PER_CLASS:
        rare = [repr(_name(levels[place])[:40]) for place in np.argsort(counts, kind="stable")]
        rare = rare[: int((counts < MIN_ROWS_PER_CLASS).sum())]
        got = f"{int(counts.min())} of {rare[0]} in the target {name!r}"
        got += f", and {len(rare) - 1} more rare ones" if len(rare) > 1 else ""
        rule = f"have at least {MIN_ROWS_PER_CLASS} rows of each class"
        refuse(rule, got, f"merge rare classes, leave their rows out, or {another}")
    return tuple(_name(level) for level in levels), labels


def _name(level: float | str | None) -> str:
    return f"{level:.15g}" if isinstance(level, float) else str(level)
