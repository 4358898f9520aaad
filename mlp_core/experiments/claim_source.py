"""Where claims come from: a result table, and which of its rows they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mlp_core.data.settings import other_data, other_images
from mlp_core.statistics.claims import Claim

IMAGES = "images"
ONE_ORDER = "in one order of batches, which all members share"
"""The condition of claims on networks that are all trained on the same batches in the same order."""


@dataclass(frozen=True)
class ClaimSource:
    """A result table, and how to make claims from it.

    Attributes:
        table: Name of the table.
        make: Function of the table and its settings; yields the claims that the rows allow.
        data: What the networks were trained on or measured with, such as `spirals`.
        condition: What the verdicts are limited to, such as one order of batches; empty if they are not limited.
        column: A column that tables of earlier versions do not have: without it there are no claims.
    """

    table: str
    make: Callable[[pa.Table, Mapping[str, Any]], Iterator[Claim]]
    data: str
    condition: str = ""
    column: str = "seed"

    def claims(self, table: pa.Table, settings: Mapping[str, Any]) -> list[Claim]:
        """Return the claims that a table allows, each with its data and condition filled in.

        The list is empty if the table has no rows, was written by an earlier version (no such `column`), or is about
        other data than the tutorial's.
        """
        if not len(table) or self.column not in table.column_names or other_data(settings):
            return []
        data = self.data
        if data == IMAGES:
            data = other_images(settings) or IMAGES
        return [replace(claim, data=data, condition=self.condition) for claim in self.make(table, settings)]


def rows_with(table: pa.Table, **values: str | int) -> pa.Table:
    """Return the rows of a table whose columns have all the given values.

    The table is filtered in Arrow: NumPy would turn a column with a null into floats and round the large seeds.

    Example:
        >>> rows_with(pa.table({"depth": [1, 3], "seed": [2**62, None]}), depth=1)["seed"].to_pylist() == [2**62]
        True
    """
    for name, value in values.items():
        table = table.filter(pc.equal(table[name], value))
    return table
