"""Units of columns, kept where the columns are made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa


def with_units(table: pa.Table, units: Mapping[str, str], **settings: Any) -> pa.Table:
    """Return a table with the unit of each of its columns in its metadata, in place of the metadata it had.

    Args:
        table: The table.
        units: Units by column; columns that the table does not have are ignored.
        **settings: Further values for the metadata, which `settings_of` returns; JSON must be able to hold them.

    Raises:
        KeyError: If a column has no unit.

    Example:
        >>> units_of(with_units(pa.table({"depth": [1]}), {"depth": "hidden layers"}))
        {'depth': 'hidden layers'}
    """
    named = {name: units[name] for name in table.column_names}
    return table.replace_schema_metadata({"units": json.dumps(named), "settings": json.dumps(settings)})


def units_of(table: pa.Table) -> dict[str, str]:
    """Return the units of a table's columns, by column, from its metadata; a `KeyError` if they have none."""
    units: dict[str, str] = json.loads(table.schema.metadata[b"units"])
    return units


def settings_of(table: pa.Table) -> dict[str, Any]:
    """Return the settings in a table's metadata: those given to `with_units`, or all settings of a stored table."""
    settings: dict[str, Any] = json.loads(table.schema.metadata[b"settings"])
    return settings
