"""What the members of the depth sweep's interventions reached, and what they were before their first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import pyarrow as pa

from mlp_core.artifacts.units import with_units
from mlp_core.data.datasets import Split
from mlp_core.engine.tables import TrainedModel, result_rows, result_units
from mlp_core.experiments.ablation.init_diagnostics import measure_at_init

_UNITS = {
    "dead_share": "0..1 of the hidden units, before training; null where units cannot die",
    "dead_layers": "hidden layers of dead units alone, before training; null where units cannot die",
    "first_gradient_mean_square": "nats^2, over the first layer's parameters, before training",
    "last_gradient_mean_square": "nats^2, over the output layer's parameters, before training",
}


def ablation_table(models: Sequence[TrainedModel], data: Split) -> pa.Table:
    """Return the `ablation` table: a row per member with its accuracies and its state before the first step.

    Args:
        models: The trained configurations, at least one.
        data: The examples they were trained on.

    Returns:
        Rows in the order of the models; dead units and gradients are null where they cannot be measured.
    """
    parts = []
    for model in models:
        rows = result_rows(model.trial, model.members)
        diagnosis = measure_at_init(model.trial.config, data, rows["member"].to_pylist())
        for field in fields(diagnosis):
            rows = rows.append_column(field.name, pa.array(getattr(diagnosis, field.name).numpy(), from_pandas=True))
        parts.append(rows)
    return with_units(pa.concat_tables(parts), result_units(models[0].trial.labels) | _UNITS)
