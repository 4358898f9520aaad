"""How a table's columns become a network's inputs: what was learned from the training rows, as plain numbers and words.

Kept as JSON in the settings of the table of examples, so that a model can be given new rows years later, by any
program.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


LARGEST = 1e30
"""Number in a column: squares and sums of such stay finite, and a network's inputs in single precision."""
_FARTHEST = 1e9


@dataclass(frozen=True)
class NumberColumn:
    """How a column of numbers becomes one standardised input of a network.

    Attributes:
        name: Name of the column.
        mean: Mean of the training rows; it replaces a missing value where these are allowed.
        scale: Standard deviation of the training rows, above 0.
    """

    name: str
    mean: float
    scale: float


@dataclass(frozen=True)
class LevelColumn:
    """How a column of text, or of true and false, becomes one input of 0 or 1 per level (one-hot).

    Attributes:
        name: Name of the column.
        levels: Different values in the training rows, sorted. For any other value, or a missing one, all inputs are 0.
    """

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Preprocessing:
    """How a table's rows become a network's inputs, as learned from the training rows.

    Attributes:
        columns: The columns used, in the order of the inputs.
        target: Name of the column of classes.
        classes: Names of the classes in the order of the labels.
        missing: How missing values were treated: `refuse`, `mean` or `drop`; only `mean` allows them in new rows.

    Example:
        >>> import pyarrow as pa
        >>> columns = NumberColumn("alcohol", 12.0, 2.0), LevelColumn("colour", ("red", "white"))
        >>> learned = Preprocessing(columns, "kind", ("sweet", "dry"), "refuse")
        >>> learned.inputs
        ('alcohol', 'colour=red', 'colour=white')
        >>> learned.apply(pa.table({"colour": ["white", "blue"], "alcohol": [13.0, 10.0]})).tolist()
        [[0.5, 0.0, 1.0], [-1.0, 0.0, 0.0]]
        >>> Preprocessing.from_json(learned.to_json()) == learned
        True
    """

    columns: tuple[NumberColumn | LevelColumn, ...]
    target: str
    classes: tuple[str, ...]
    missing: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the name of each input: a column's name, or `column=level`."""
        names: list[str] = []
        for column in self.columns:
            if isinstance(column, NumberColumn):
                names.append(column.name)
            else:
                names += [f"{column.name}={level}" for level in column.levels]
        return tuple(names)

    def apply(self, table: pa.Table) -> NDArray[np.float32]:
        """Turn the rows of a table into a network's inputs.

        Args:
            table: New or old rows with all columns used, in any order; other columns are ignored.

        Returns:
            float32 `[n, inputs]`.

        Raises:
            InputError: If a column is missing, has text instead of numbers, a number more than 1e9 standard deviations
                from the mean, or a missing value where these are not allowed.
        """
        parts = []
        for column in self.columns:
            if column.name not in table.column_names:
                message = f"data must have the column {column.name!r}, which the model was trained on; add it."
                raise InputError(message)
            values = table[column.name]
            if values.null_count and self.missing != "mean":
                row = values.is_null().to_pylist().index(True) + 1
                message = (
                    f"data must have a value in every row of {column.name!r}, got none in row {row}; fill it in, or "
                    "train with --missing mean."
                )
                raise InputError(message)
            if isinstance(column, NumberColumn):
                scaled = standardised(numbers_of(values, column.name), column)
                if (np.abs(scaled) > _FARTHEST).any():
                    message = (
                        f"data must have numbers within {_FARTHEST:g} standard deviations of the training rows in "
                        f"{column.name!r}, got one in row {int(np.abs(scaled).argmax()) + 1}; mend it."
                    )
                    raise InputError(message)
                parts.append(scaled[:, None])
            else:
                parts.append(one_hot(texts_of(values), column.levels))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def unseen(self, table: pa.Table) -> list[str]:
        """Return a sentence for each text column that holds values which are not among its levels.

        Such values have no input: all inputs of their column are 0.
        """
        sentences = []
        for column in self.columns:
            if isinstance(column, LevelColumn):
                others = set(texts_of(table[column.name])) - {None, *column.levels}
                if others:
                    listed = ", ".join(repr(value[:40]) for value in sorted(map(str, others))[:3])
                    more = ", ..." if len(others) > 3 else ""
                    sentences.append(f"{column.name!r} holds values that no training row has: {listed}{more}")
        return sentences

    def to_json(self) -> dict[str, Any]:
        """Return the preprocessing as a dict that JSON can hold; `from_json` reads it."""
        columns = [
            {"kind": "numbers", **asdict(column)}
            if isinstance(column, NumberColumn)
            else {"kind": "levels", "name": column.name, "levels": list(column.levels)}
            for column in self.columns
        ]
        return {"columns": columns, "target": self.target, "classes": list(self.classes), "missing": self.missing}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Preprocessing:
        """Return the preprocessing that `to_json` turned into a dict.

        Raises:
            ValueError: If the dict is of another form, or a mean or deviation is none.
        """
        columns: list[NumberColumn | LevelColumn] = []
        try:
            for column in value["columns"]:
                if column["kind"] == "numbers":
                    mean, scale = float(column["mean"]), float(column["scale"])
                    if not (math.isfinite(mean) and 0 < scale < math.inf):
                        message = f"it must have a finite mean and a deviation above 0, got {mean} and {scale}"
                        raise ValueError(message)
                    columns.append(NumberColumn(str(column["name"]), mean, scale))
                else:
                    columns.append(LevelColumn(str(column["name"]), tuple(map(str, column["levels"]))))
            classes = tuple(map(str, value["classes"]))
            return cls(tuple(columns), str(value["target"]), classes, str(value["missing"]))
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            message = f"it must be what a training kept of its table, got {type(error).__name__}: {error}"
            raise ValueError(message) from error


def standardised(numbers: NDArray[np.float64], column: NumberColumn) -> NDArray[np.float64]:
    """Return numbers as standard deviations from the column's mean, `(number - mean) / scale`; NaN becomes 0."""
    scaled: NDArray[np.float64] = (numbers - column.mean) / column.scale
    return np.where(np.isnan(scaled), 0.0, scaled)


def one_hot(texts: Sequence[str | None], levels: Sequence[str]) -> NDArray[np.float64]:
    """Return the one-hot encoding of texts, `[n, levels]`: 1 where a text is the level; all 0 for other texts and None.

    Example:
        >>> one_hot(["b", None, "c"], ["a", "b"]).tolist()
        [[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    """
    from sklearn.preprocessing import OneHotEncoder

    # a missing text is a level that no training row has: no column holds characters that are not allowed in Unicode
    values = np.array([["\ud800" if text is None else text] for text in texts], dtype=object)
    encoder = OneHotEncoder(categories=[list(levels)], handle_unknown="ignore", sparse_output=False)
    encoder.fit(np.array([[levels[0]]], dtype=object))
    encoded: NDArray[np.float64] = encoder.transform(values)
    return encoded


def numbers_of(column: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    """Return a table's column as float64 numbers `[n]`; NaN where a value is missing.

    Args:
        column: Numbers, or texts that are numbers.
        name: Name of the column, for messages.

    Raises:
        InputError: If a text is no number, or a number is beyond ±1e30.
    """
    import pyarrow as pa

    try:
        numbers: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowException:
        row, text = next(
            (
                (row, value)
                for row, value in enumerate(column.to_pylist(), 1)
                if value is not None and not _is_number(value)
            ),
            (1, ""),
        )
        message = f"data must have numbers in {name!r}, got {str(text)[:60]!r} in row {row}; mend it or leave it empty."
        raise InputError(message) from None
    huge = np.abs(numbers) > LARGEST
    if huge.any():
        row = int(huge.argmax())
        message = (
            f"data must have numbers from -{LARGEST:g} to {LARGEST:g} in {name!r}, got {numbers[row]:g} in row "
            f"{row + 1}; mend it or leave it empty."
        )
        raise InputError(message)
    return numbers


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def texts_of(column: pa.ChunkedArray) -> list[str | None]:
    """Return a table's column as texts, None where a value is missing; booleans become `true` and `false`.

    Example:
        >>> import pyarrow as pa
        >>> texts_of(pa.chunked_array([[True, None]])), texts_of(pa.chunked_array([["a", "b"]]))
        (['true', None], ['a', 'b'])
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    texts: list[str | None] = column.cast(pa.string()).to_pylist()
    return texts
