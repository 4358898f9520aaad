"""What is in examples: columns, classes, and their first two principal components."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mlp_core.artifacts.units import with_units
from mlp_core.data.datasets import Split
from mlp_core.experiments.data.projection import ProjectedExamples

MOST_POINTS = 2000
"""Of each part that an image shows; more would cover each other."""
_UNITS = {
    "item": "column|class",
    "name": "of the column, or of the class",
    "use": "as it is|standardised|one-hot|constant|ignored|split|target; null for a class",
    "inputs": "inputs that the column gives a network; null for a class",
    "missing": "rows without a value in the file; null for a class",
    "train_rows": "rows to train on; null for a column",
    "test_rows": "rows to test on; null for a column",
    "values": "mean and standard deviation of the training rows, their levels, or the classes",
}


def _class_names(data: Split) -> tuple[str, ...]:
    n_classes = int(max(data.train_labels.max(), data.test_labels.max())) + 1
    return tuple(map(str, data.classes or range(n_classes)))


def columns_table(data: Split) -> pa.Table:
    """Return the `data` table: a row for each column of the input table, then one for each class.

    Args:
        data: Examples of a table, or points, whose columns are x1, x2 and the class.

    Returns:
        For a column its use, inputs, missing rows and values; for a class its numbers of training and test rows. What
        does not apply is null.
    """
    classes = _class_names(data)
    points: list[dict[str, Any]] = [
        *({"name": name, "use": "as it is", "inputs": 1, "missing": 0, "values": ""} for name in ("x1", "x2")),
        {"name": "class", "use": "target", "inputs": 0, "missing": 0, "values": ", ".join(classes)},
    ]
    columns = data.about["columns"] if data.about else points
    counts = [np.bincount(part.numpy(), minlength=len(classes)) for part in (data.train_labels, data.test_labels)]
    rows: list[dict[str, Any]] = [{"item": "column", **column} for column in columns]
    rows += [
        {"item": "class", "name": name, "train_rows": int(train), "test_rows": int(test), "values": ""}
        for name, train, test in zip(classes, *counts, strict=True)
    ]
    texts, numbers = dict.fromkeys(("item", "name", "use", "values"), pa.string()), pa.int64()
    return with_units(
        pa.Table.from_pylist(rows, pa.schema({name: texts.get(name, numbers) for name in _UNITS})), _UNITS
    )


def projected(data: Split) -> tuple[ProjectedExamples]:
    """Return examples as points of a plane, as a tuple of one: the argument of `data_figure`.

    Points stay as they are. Rows of a table are projected on the first two principal components of the training inputs,
    with the sign that makes the largest weight positive; a table with one input gets a second coordinate of 0. Only the
    first `MOST_POINTS` training and test examples are taken.
    """
    train, test = (part[:MOST_POINTS].double().numpy() for part in (data.train_inputs, data.test_inputs))
    labels = [part[:MOST_POINTS].numpy() for part in (data.train_labels, data.test_labels)]
    axes = "x1", "x2"
    inputs = np.concatenate([train, test])
    if data.about:
        from sklearn.decomposition import PCA

        if inputs.shape[1] == 1:  # a second coordinate of zeros
            inputs, train = (np.pad(part, ((0, 0), (0, 1))) for part in (inputs, train))
        components = PCA(2, svd_solver="full").fit(train)
        inputs = components.transform(inputs)
        shares = components.explained_variance_ratio_
        first, second = (f"{100 * share:.0f} % of the variance" for share in shares)
        axes = f"component 1, {first}", f"component 2, {second}"
    projection = ProjectedExamples(
        inputs,
        np.concatenate(labels),
        len(train),
        len(data.train_labels) + len(data.test_labels),
        _class_names(data),
        axes,
    )
    return (projection,)
