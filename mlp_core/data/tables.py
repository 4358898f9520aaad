"""Tables as examples: which column is the target, how rows are split, and what is learned from the training rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from mlp_core.data.datasets import Split
from mlp_core.data.image_layout import TEST_FOLDERS, TRAIN_FOLDERS
from mlp_core.data.preprocessing import LevelColumn, NumberColumn, Preprocessing, numbers_of, texts_of
from mlp_core.data.settings import DataSource
from mlp_core.data.sizes import MIN_ROWS
from mlp_core.data.table_columns import check_usable, chosen, classes_of, is_number, without, without_nan
from mlp_core.data.table_files import refuse
from mlp_core.errors import InputError
from mlp_core.seeds import derive_seed

MAX_INPUTS = 10_000
"""Of a network, all levels counted."""


class ColumnUse(NamedTuple):
    """How a column of a table is used.

    Attributes:
        name: Name of the column.
        use: `target`, `split`, `standardised`, `one-hot`, `constant` or `ignored`.
        inputs: Number of the network's inputs that come from it.
        missing: Number of rows without a value, before any row was left out.
        values: Mean and standard deviation of the training rows, or their levels, in words.
    """

    name: str
    use: str
    inputs: int
    missing: int
    values: str


@dataclass(frozen=True)
class TableExamples:
    """A table turned into train and test examples, with a record of how.

    Attributes:
        data: Inputs float32 `[n, inputs]` and labels, split into train and test, with the classes' names.
        preprocessing: How rows become inputs, as learned from the training rows.
        columns: How each column of the table is used.
        remarks: Sentences for the user on what may be unexpected, such as rows that were left out.
    """

    data: Split
    preprocessing: Preprocessing
    columns: tuple[ColumnUse, ...]
    remarks: tuple[str, ...]


def bundled_table(name: str) -> pa.Table:
    """Load one of the data sets that come with scikit-learn as a table, one row per example.

    Args:
        name: `digits`, `wine`, `iris` or `breast_cancer`.

    Returns:
        A column per feature, and last the column `class` with the names of the classes.

    Example:
        >>> table = bundled_table("iris")
        >>> table.num_rows, table.column_names[-1], table["class"][0].as_py()
        (150, 'class', 'setosa')
    """
    from sklearn import datasets

    loaded = getattr(datasets, f"load_{name}")()
    columns = {str(feature): loaded.data[:, place] for place, feature in enumerate(loaded.feature_names)}
    names = [str(name) for name in loaded.target_names]
    return pa.table({**columns, "class": [names[label] for label in loaded.target]})


def table_examples(table: pa.Table, source: DataSource, seed: int) -> TableExamples:
    """Turn a table into train and test examples for a network.

    Numbers are standardised; texts and booleans become one input of 0 or 1 per level. Means, deviations and levels are
    those of the training rows alone. Columns that are constant there are left out.

    Args:
        table: As `mlp_core.data.table_files.read_table_file` returns it.
        source: Settings: the target, columns to ignore, the split, and what to do with missing values.
        seed: Root seed of the split, used if `source.split_seed` is 0.

    Raises:
        InputError: If the table cannot be used; the message names the first reason and the way out.

    Example:
        >>> examples = table_examples(bundled_table("wine"), DataSource(), seed=2021)
        >>> tuple(examples.data.train_inputs.shape), len(examples.data.test_labels), examples.data.classes
        ((142, 13), 36, ('class_0', 'class_1', 'class_2'))
    """
    names = table.column_names
    target, features = _roles(names, source)
    if table.num_rows < MIN_ROWS:
        refuse(f"have at least {MIN_ROWS} rows", f"{table.num_rows}", "add some")
    used = [name for name in names if name in {*features, target, source.split_column}]
    table = pa.table({name: without_nan(table[name]) for name in used})
    missing = {name: int(table[name].null_count) for name in used}
    for name in features:
        if missing[name] == table.num_rows:
            refuse("have values in each column", f"none in {name!r}", without(name))
        check_usable(name, table[name])
    kept = _without_missing(table, source, target, missing)
    classes, labels = classes_of(target, kept[target])
    is_train, split_words = _split(kept, labels, classes, source, seed)
    uses, columns = _learned(kept.filter(pa.array(is_train)), features, missing)
    preprocessing = Preprocessing(tuple(columns), target, classes, source.missing)
    if not 1 <= len(preprocessing.inputs) <= MAX_INPUTS:
        got = f"{len(preprocessing.inputs):,} of the columns that are not constant"
        refuse(f"give from 1 to {MAX_INPUTS:,} inputs", got, "choose with --ignore, or name another file")
    inputs = torch.from_numpy(preprocessing.apply(kept))
    numbers, mask = torch.tensor(labels), torch.from_numpy(is_train)
    data = Split(inputs[mask], numbers[mask], inputs[~mask], numbers[~mask], classes)
    remarks = [*_remarks_on_missing(table, kept, source, uses), split_words]
    if constant := [name for name in features if uses[name].use == "constant"]:
        more = f" and {len(constant) - 5} more" if len(constant) > 5 else ""
        remarks.append(f"left out as constant in the training rows: {', '.join(map(repr, constant[:5]))}{more}")
    remarks += preprocessing.unseen(kept.filter(pa.array(~is_train)))
    uses[target] = ColumnUse(target, "target", 0, missing[target], ", ".join(classes))
    if source.split_column:
        uses[source.split_column] = ColumnUse(source.split_column, "split", 0, missing[source.split_column], "")
    columns_of_table = (uses.get(name, ColumnUse(name, "ignored", 0, 0, "")) for name in names)
    return TableExamples(data, preprocessing, tuple(columns_of_table), tuple(remarks))


def _remarks_on_missing(
    table: pa.Table, kept: pa.Table, source: DataSource, uses: Mapping[str, ColumnUse]
) -> Iterator[str]:
    """Yield what became of missing values, if there were any."""
    if left_out := table.num_rows - kept.num_rows:
        what = "a value" if source.missing == "drop" else "their class" + " or part" * bool(source.split_column)
        yield f"{left_out:,} of {table.num_rows:,} rows left out, as they miss {what}"
    for use, now in {"standardised": "the mean of the training rows", "one-hot": "no level"}.items():
        gaps = [kept[name].null_count for name, column in uses.items() if column.use == use]
        if n_gaps := sum(gaps):
            n_columns = sum(map(bool, gaps))
            where = f"{n_columns} {use} column{'s' * (n_columns != 1)}"
            yield f"{n_gaps:,} missing value{'s' * (n_gaps != 1)} in {where}: {now}"


def _roles(names: list[str], source: DataSource) -> tuple[str, list[str]]:
    """Return the target and the columns that may become inputs."""
    ignored = {chosen("ignore", name, names) for name in source.ignore}
    if source.split_column:
        chosen("split_column", source.split_column, names)
    left = [name for name in names if name not in ignored and name != source.split_column]
    if len(left) < 2:
        refuse("have a column of classes and others", f"{len(left)} that are left", "ignore fewer with --ignore")
    target = chosen("target", source.target, names) if source.target else left[-1]
    if target not in left:
        message = f"target must be a column that is used for nothing else, got {target!r}; use another --target."
        raise InputError(message)
    return target, [name for name in left if name != target]


def _without_missing(table: pa.Table, source: DataSource, target: str, missing: dict[str, int]) -> pa.Table:
    """Return the rows that can be used, by the rule for missing values."""
    needed = [name for name in (target, source.split_column) if name]
    if source.missing == "drop":
        needed = table.column_names
    elif source.missing == "refuse":
        needed = []
    if any(missing.values()) and source.missing == "refuse":
        gaps = [f"{name[:60]!r} ({count:,})" for name, count in missing.items() if count]
        any_missing = sum(bool(row) for row in _rows_without(table, list(missing)))
        got = f"{any_missing:,} of {table.num_rows:,} rows without one, in {', '.join(gaps[:5])}"
        got += f" and {len(gaps) - 5} more columns" if len(gaps) > 5 else ""
        refuse("have a value in every row", got, "use --missing mean or drop, or --ignore those columns")
    gaps_in_rows = _rows_without(table, needed)
    if gaps_in_rows.all():
        refuse("have rows that miss no value", "none", "use --missing mean, or --ignore empty columns")
    kept = table.filter(pa.array(~gaps_in_rows))
    if kept.num_rows < MIN_ROWS:
        got = f"{kept.num_rows} that miss none"
        refuse(f"have at least {MIN_ROWS} rows", got, "use --missing mean, or --ignore empty columns")
    return kept


def _rows_without(table: pa.Table, names: list[str]) -> NDArray[np.bool_]:
    without = np.zeros(table.num_rows, dtype=bool)
    for name in names:
        without |= table[name].is_null().to_numpy()
    return without


def _split(
    table: pa.Table, labels: list[int], classes: tuple[str, ...], source: DataSource, seed: int
) -> tuple[NDArray[np.bool_], str]:
    """Return which rows are to train on, and how that came."""
    if source.split_column:
        is_train, words = _split_by_column(table[source.split_column], source.split_column)
        way_out = "split the rows otherwise"
    else:
        from sklearn.model_selection import train_test_split

        n_test = round(source.test_share * len(labels))
        rule = f"leave a row of each of the {len(classes)} classes in both parts"
        if not len(classes) <= n_test <= len(labels) - len(classes):
            message = (
                f"test_share must {rule}, got {source.test_share} of {len(labels)} rows; use another --test-share."
            )
            raise InputError(message)
        root = source.split_seed or seed
        state = derive_seed(root, "table", "split") % 2**32
        rows = np.arange(len(labels))
        train_rows, _ = train_test_split(rows, test_size=n_test, random_state=state, stratify=labels)
        is_train = np.isin(rows, train_rows)
        words = f"{n_test:,} of {len(labels):,} rows drawn by class to test on"
        way_out = "use a larger --test-share"
    numbers = np.array(labels)
    for part, rows_of_part in (("train", is_train), ("test", ~is_train)):
        absent = sorted(set(range(len(classes))) - set(numbers[rows_of_part].tolist()))
        if absent:
            listed = ", ".join(repr(classes[label][:40]) for label in absent[:3]) + (", ..." if len(absent) > 3 else "")
            refuse("have each class in both parts", f"no {listed} in the {part} part", way_out)
    return is_train, words


def _split_by_column(column: pa.ChunkedArray, name: str) -> tuple[NDArray[np.bool_], str]:
    words = [str(text).strip() for text in texts_of(column)]
    spellings = {word.lower(): word for word in sorted(set(words))}
    train = [word for word in spellings if word in TRAIN_FOLDERS]
    test = [word for word in spellings if word in TEST_FOLDERS]
    if len(train) != 1 or len(test) != 1 or len(spellings) != 2:
        listed = ", ".join(repr(word[:40]) for word in list(spellings.values())[:4]) + (
            ", ..." if len(spellings) > 4 else ""
        )
        message = (
            f"split_column must hold {TRAIN_FOLDERS[0]} and one of {', '.join(TEST_FOLDERS)}, got {listed} in {name!r}"
            "; rename them, or leave --split-column out."
        )
        raise InputError(message)
    is_train = np.array([word.lower() == train[0] for word in words])
    return is_train, f"{int((~is_train).sum()):,} of {len(words):,} rows to test on, as {name!r} says"


def _learned(
    train: pa.Table, features: list[str], missing: dict[str, int]
) -> tuple[dict[str, ColumnUse], list[NumberColumn | LevelColumn]]:
    """Return what becomes of each column, and of those that are used what is learned from the training rows."""
    from sklearn.preprocessing import StandardScaler

    uses: dict[str, ColumnUse] = {}
    columns: list[NumberColumn | LevelColumn] = []
    for name in features:
        column = train[name]
        if pc.count_distinct(column.cast(pa.string())).as_py() < 2:
            uses[name] = ColumnUse(name, "constant", 0, missing[name], "")
        elif is_number(column):
            learned = StandardScaler().fit(numbers_of(column, name)[:, None])
            number = NumberColumn(name, float(learned.mean_[0]), float(learned.scale_[0]))
            columns.append(number)
            values = f"mean {number.mean:.4g}, standard deviation {number.scale:.4g}"
            uses[name] = ColumnUse(name, "standardised", 1, missing[name], values)
        else:
            levels = tuple(sorted({text for text in texts_of(column) if text is not None}))
            columns.append(LevelColumn(name, levels))
            uses[name] = ColumnUse(name, "one-hot", len(levels), missing[name], ", ".join(levels))
    return uses, columns


def described(examples: TableExamples) -> dict[str, Any]:
    """Return the preprocessing, the use of each column and the remarks as a dict that JSON can hold."""
    return {
        "preprocessing": examples.preprocessing.to_json(),
        "columns": [column._asdict() for column in examples.columns],
        "remarks": list(examples.remarks),
    }
