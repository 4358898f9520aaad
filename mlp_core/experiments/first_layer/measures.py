"""Measures of every first-layer unit, before and after training."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from torch import Tensor

from mlp_core.artifacts.units import with_units
from mlp_core.data.datasets import Split
from mlp_core.engine.members import member_seed, untrained_members
from mlp_core.engine.tables import TrainedModel
from mlp_core.experiments.first_layer.unit_measures import (
    class_means,
    extent,
    gabor_filters,
    measure_units,
    whole_images,
)
from mlp_core.experiments.first_layer.unit_row import UnitRow
from mlp_core.experiments.measures import first_layer

_N_UNITS_SHOWN = 8
_UNITS = {
    "kind": "trained|random (before training)|gabor (edge filters)|template (class means)|image (single ones)",
    "depth": "hidden layers",
    "member": "number",
    "seed": "seed of weights and order",
    "unit": "number",
    "extent": "image sides, rms distance of the squared weights from their centre",
    "participation_ratio": "0..1, share of the pixels that the unit looks at",
    "class_cosine": "0..1, with the nearest difference of two class means, without sign",
    "spatial_frequency": "cycles per image",
}


def first_layer_table(models: Sequence[TrainedModel], data: Split) -> pa.Table:
    """Return the `first_layer` table: four metrics of each first-layer unit and of references to compare it with.

    Args:
        models: The trained configurations.
        data: The images they were trained on.

    Returns:
        One row per unit: each member's units after training and before it (`random`), then edge filters (`gabor`),
        class means (`template`) and single images, which have no member. NaN becomes null.
    """
    means = class_means(data.train_inputs, data.train_labels)
    shape = data.train_inputs.shape[1:]
    parts = []
    for model in models:
        config, members = model.trial.config, range(model.n_members)
        start = untrained_members(config, members).layers[0][:, :, :-1].reshape(model.n_members, -1, *shape)
        for kind, weights in (("trained", first_layer(model, shape)), ("random", start)):
            rows = _unit_rows(kind, weights, means)
            columns = {
                "depth": [len(config.layer_sizes) - 2] * len(rows),
                "member": [member for member in members for _ in range(weights.shape[1])],
                "seed": [member_seed(config, member) for member in members for _ in range(weights.shape[1])],
            }
            for name, values in columns.items():
                rows = rows.append_column(name, pa.array(values, pa.int64()))
            parts.append(rows)
    templates, images = whole_images(data.train_inputs, data.train_labels)
    for kind, weights in (("gabor", gabor_filters(*shape)), ("template", templates), ("image", images)):
        parts.append(_unit_rows(kind, weights.unsqueeze(0), means))
    return with_units(pa.concat_tables(parts, promote_options="default").select(list(_UNITS)), _UNITS)


def _unit_rows(kind: str, weights: Tensor, means: Tensor) -> pa.Table:
    """Return a row per unit of weights `[members, units, channels, height, width]`."""
    measures = measure_units(weights, means)
    n_members, n_units = weights.shape[:2]
    return pa.table(
        {
            "kind": [kind] * (n_members * n_units),
            "unit": pa.array(list(range(n_units)) * n_members, pa.int64()),
            "extent": pa.array(measures.extent.flatten().numpy(), from_pandas=True),
            "participation_ratio": pa.array(measures.participation_ratio.flatten().numpy(), from_pandas=True),
            "class_cosine": pa.array(measures.class_cosine.flatten().numpy(), from_pandas=True),
            "spatial_frequency": pa.array(measures.frequency.flatten().numpy(), from_pandas=True),
        }
    )


def most_local_units(models: Sequence[TrainedModel], data: Split) -> tuple[list[UnitRow]]:
    """Return the first-layer units of smallest extent, as rows for `units_figure` in a tuple of one.

    The rows are member 0 at each depth, member 0 of the first configuration before training, and edge filters; at most
    8 units each, the most local first.
    """
    shape = data.train_inputs.shape[1:]
    kinds = {}
    for model in models:
        depth = len(model.trial.config.layer_sizes) - 2
        kinds[f"trained, depth {depth}, member 0"] = first_layer(model, shape)[0]
    start = untrained_members(models[0].trial.config, [0]).layers[0][0, :, :-1]
    kinds["before training, member 0"] = start.reshape(-1, *shape)
    kinds["edge filters"] = gabor_filters(*shape)
    rows = []
    for name, units in kinds.items():
        extents = extent(units)
        chosen = extents.argsort(stable=True)[:_N_UNITS_SHOWN]
        rows.append(UnitRow(name, units[chosen].numpy(), extents[chosen].numpy()))
    return (rows,)
