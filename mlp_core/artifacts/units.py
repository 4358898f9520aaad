"""Units of columns, kept where the columns are made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa


def with_units(table: pa.Table, units: Mapping[str, str], **settings: Any) -> pa.Table:
    """Return a table that knows the unit of each of its columns.

    Args:
        table: The table.
        units: By column; more than the table has does no harm.
        **settings: What was found out while the table was made, for its metadata.

    Raises:
        KeyError: If a column has no unit.

    Example:
        >>> units_of(with_units(pa.table({"depth": [1]}), {"depth": "hidden layers"}))
        {'depth': 'hidden layers'}
    """
    named = {name: units[name] for name in table.column_names}
    return table.replace_schema_metadata({"units": json.dumps(named), "settings": json.dumps(settings)})


def units_of(table: pa.Table) -> dict[str, str]:
    """Return the units that `with_units` gave, by column."""
    units: dict[str, str] = json.loads(table.schema.metadata[b"units"])
    return units


def settings_of(table: pa.Table) -> dict[str, Any]:
    """Return a table's settings: those that `with_units` was given, or of a stored table all that it was made with."""
    settings: dict[str, Any] = json.loads(table.schema.metadata[b"settings"])
    return settings
