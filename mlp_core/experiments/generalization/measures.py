"""What models of drawn points answer outside their training points, next to what the nearest neighbour answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from mlp_core.artifacts.units import with_units
from mlp_core.data.datasets import Split
from mlp_core.data.transforms import applied
from mlp_core.engine.tables import TrainedModel, result_rows, result_units
from mlp_core.engine.training import predict
from mlp_core.experiments.generalization.companions import TUNED
from mlp_core.experiments.generalization.extrapolation import Extrapolation, extrapolate, training_radius
from mlp_core.experiments.generalization.regions import nearest_neighbour
from mlp_core.experiments.measures import weights_of

_UNITS = {
    "inside_accuracy": "0..1, up to radius 1: on the spirals' arms, or by the rule of other points",
    "rim_accuracy": "0..1, from there to the training radius",
    "outside_accuracy": "0..1, from the training radius to radius 2",
    "ring_accuracy": "0..1, in rings of width 0.1 from the origin to radius 2",
    "islands": "regions of a class without any of its training points, wholly on the map from -2 to 2",
    "island_area": "x1 times x2",
    "border_islands": "the same, at the edge of the map",
    "border_island_area": "x1 times x2, on the map",
    "training_radius": "x1 and x2, of the farthest training point",
}
_COLUMNS = (
    *("model", "degree", "activation", "depth", "width", "parameter_budget", "parameters", "training"),
    *("learning_rate", "member", "seed", "epochs"),
    *("train_accuracy", "test_accuracy", "final_train_loss", "status"),
    *("inside_accuracy", "rim_accuracy", "outside_accuracy"),
    *("islands", "island_area", "border_islands", "border_island_area", "ring_accuracy", "training_radius"),
)


def answers_elsewhere(model: TrainedModel, data: Split, kind: str) -> pa.Table:
    """Return what `extrapolate` measures of a configuration's members outside their training points, a row each.

    Args:
        model: The trained configuration.
        data: The points that it was trained on.
        kind: Their kind, such as `spirals`.
    """
    ensemble, features = weights_of(model), applied(model.trial.config.inputs, data)
    return _table(extrapolate(lambda points: predict(ensemble, features(points)), data, kind))


def _table(extrapolation: Extrapolation) -> pa.Table:
    columns: dict[str, Any] = {}
    for field in fields(extrapolation):
        values = getattr(extrapolation, field.name).numpy()
        columns[field.name] = pa.array(values.ravel(), from_pandas=True)
        if values.ndim == 2:
            columns[field.name] = pa.FixedSizeListArray.from_arrays(columns[field.name], values.shape[1])
    return with_units(pa.table(columns), _UNITS)


def generalization_table(
    models: Sequence[TrainedModel], answers: Sequence[pa.Table], data: Split, kind: str
) -> pa.Table:
    """Return the `generalization` table: each member's accuracies inside and outside the training region.

    Args:
        models: The trained configurations.
        answers: For each configuration, its table of `answers_elsewhere`.
        data: The points they were trained on.
        kind: Their kind, such as `spirals`.

    Returns:
        One row per member, null outside if it diverged, and a last row for the nearest-neighbour classifier.
    """
    parts, units = [], dict(_UNITS)
    for model, own in zip(models, answers, strict=True):
        units |= result_units(model.trial.labels)
        rows = result_rows(model.trial, model.members)
        finished = pc.equal(rows["status"], "ok")
        for column in own.column_names:
            known = pc.if_else(finished, own[column], pa.scalar(None, own[column].type))
            rows = rows.append_column(column, known)
        parts.append(rows)

    def answer(points: Tensor) -> Tensor:
        return nearest_neighbour(points, data.train_inputs, data.train_labels).unsqueeze(0)

    nearest = _table(extrapolate(answer, data, kind))
    test_accuracy = (answer(data.test_inputs)[0] == data.test_labels).double().mean().item()
    reached = {"model": "nearest neighbour", "member": 0, "train_accuracy": 1.0, "test_accuracy": test_accuracy}
    for column, value in {**reached, "status": "ok"}.items():
        nearest = nearest.append_column(column, pa.array([value]))
    table = pa.concat_tables([*parts, nearest], promote_options="default")
    radius = pa.array([training_radius(data)] * len(table))
    table = table.append_column("training_radius", radius)
    return with_units(table.select([name for name in _COLUMNS if name in table.column_names]), units)


def trained_as_set(table: pa.Table, n_classes: int, kind: str) -> tuple[pd.DataFrame, int, str]:
    """Return the arguments of `generalization_figure`: the table without tuned models (pandas), and the other two."""
    frame = table.to_pandas()
    return frame[frame["training"] != TUNED], n_classes, kind
