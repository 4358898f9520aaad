"""What a report is of: the command, when the results were made, the commit, the machine and the versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from mlp_core.report.page import ReportContent

_UNKNOWN = "not recorded"
_VERSIONS = ("python", "torch", "numpy")
_RECORDED = ("table", "made", "command", "commit")


def facts(content: ReportContent, names: Sequence[str]) -> dict[str, str]:
    """Return the facts at the top of the report as texts, by name, such as `command`, `commit` and `versions`.

    Different values of several tables are joined by `; `; what is missing is `not recorded`.

    Args:
        content: Tables, settings and provenance; the table `runs` has command, time and commit of each table.
        names: Names of the tables that the report shows.
    """
    runs = content.tables.get("runs", pd.DataFrame(columns=list(_RECORDED)))
    runs = runs[runs["table"].isin(names)] if set(_RECORDED) <= set(runs) else pd.DataFrame(columns=list(_RECORDED))
    provenance = [content.provenance.get(name, {}) for name in names]
    seeds = [content.settings.get(name, {}).get("seeds") for name in names]
    return {
        "command": _joined(runs.sort_values("made", kind="stable")["command"]),
        "results made": _period(runs["made"]),
        "commit": _joined(runs["commit"]),
        "machine": _joined(entry.get("machine", "") for entry in provenance),
        "versions": _joined(_versions(entry.get("versions", {})) for entry in provenance),
        "members": _members([n for n in seeds if n]),
    }


def _members(counts: Sequence[int]) -> str:
    """Return how many members configurations have.

    Example:
        >>> _members([8, 8, 2]), _members([1]), _members([])
        ('8 or 2 per configuration', '1 per configuration', 'not recorded')
    """
    return f"{' or '.join(map(str, dict.fromkeys(counts)))} per configuration" if counts else _UNKNOWN


def _joined(texts: Iterable[Any]) -> str:
    """Return different texts side by side.

    Example:
        >>> _joined(["a", "b", "a", ""]), _joined([])
        ('a; b', 'not recorded')
    """
    return "; ".join(dict.fromkeys(str(text) for text in texts if text)) or _UNKNOWN


def _period(times: pd.Series) -> str:
    moments = pd.to_datetime(times, errors="coerce", utc=True).dropna()
    if moments.empty:
        return _UNKNOWN
    first, last = (f"{moment:%Y-%m-%d %H:%M}" for moment in (moments.min(), moments.max()))
    return f"{first} UTC" if first == last else f"{first} to {last} UTC"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in _VERSIONS if name in versions)
