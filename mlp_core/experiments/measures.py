"""What several experiments measure of trained networks, and how a figure gets it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mlp_core.artifacts.units import settings_of, with_units
from mlp_core.data.datasets import Split
from mlp_core.data.transforms import applied
from mlp_core.engine.networks import Ensemble
from mlp_core.engine.tables import TrainedModel, history_rows, result_rows, result_units
from mlp_core.engine.training import predict
from mlp_core.report.decision_map import DecisionMap

if TYPE_CHECKING:
    import pandas as pd

MAP_SIZE, MAP_EXTENT = 500, 2.0
_MAP_UNITS = {"x1": "1", "x2": "1", "class": "class index"}


def result_table(models: Sequence[TrainedModel]) -> pa.Table:
    """Return the result table of an experiment that measures only accuracies: a row per member, all configurations."""
    table = pa.concat_tables([result_rows(model.trial, model.members) for model in models])
    return with_units(table, result_units(models[0].trial.labels))


def loss_history(models: Sequence[TrainedModel]) -> tuple[pd.DataFrame, str]:
    """Return the arguments of a figure of loss curves: the losses of all members and epochs, the experiment's name."""
    history = pa.concat_tables([history_rows(model.trial, model.members) for model in models])
    return history.to_pandas(), models[0].trial.labels.experiment


def weights_of(model: TrainedModel, members: slice = slice(None)) -> Ensemble:
    """Return the trained networks of a configuration as an ensemble.

    Args:
        model: The trained configuration.
        members: Which members to take; all by default.
    """
    state = {name: tensor[members] for name, tensor in model.state().items()}
    return Ensemble.from_state(state, model.trial.config.activation)


def decision_map(models: Sequence[TrainedModel], data: Split, kind: str) -> pa.Table:
    """Compute the decision map of the best member: its class at each point of a grid over [-2, 2] x [-2, 2].

    The configuration is the one of highest median test accuracy, and its member the one of highest train accuracy, so
    that no test point picks the member that it is drawn on.

    Args:
        models: Configurations trained on the points, or on a transform of them.
        data: The points.
        kind: Kind of the models in words, for the map's title.

    Returns:
        A row per point of the grid with `x1`, `x2` and `class`; x1 changes fastest. The class is -1 where no member
        finished, and the title says so.
    """
    best = max(models, key=lambda model: _median(model.members["test_accuracy"]))
    accuracies = [-1.0 if accuracy is None else accuracy for accuracy in best.members["train_accuracy"].to_pylist()]
    member = accuracies.index(max(accuracies))
    ensemble, features = weights_of(best, slice(member, member + 1)), applied(best.trial.config.inputs, data)
    axis = torch.linspace(-MAP_EXTENT, MAP_EXTENT, MAP_SIZE)
    x2, x1 = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([x1.flatten(), x2.flatten()], 1)
    # The whole grid at degree 50 would take 1.3 GB, and parts that leave the second-level cache twice the time
    classes = [predict(ensemble, features(part)).squeeze(0) for part in torch.split(grid, 1024)]
    columns = {
        "x1": grid[:, 0].numpy(),
        "x2": grid[:, 1].numpy(),
        "class": torch.cat(classes).to(torch.int16).numpy(),
    }
    finished = max(accuracies) >= 0
    if not finished:  # a diverged network answers the first class everywhere, which says nothing
        columns["class"] = np.full_like(columns["class"], -1)
    name = best.trial.config.name
    return with_units(
        pa.table(columns),
        _MAP_UNITS,
        experiment=best.trial.labels.experiment,
        configuration=name,
        member=member,
        title=f"{kind}, {name.replace('=', ' ')}, {f'member {member}' if finished else 'no member finished'}",
    )


def map_panels(*inputs: pa.Table | Split) -> tuple[list[DecisionMap]]:
    """Return the argument of a figure of decision maps: a list with one panel per map, in a tuple of one.

    Args:
        inputs: Tables of `decision_map`, in the order of the panels, and the points that the models were trained on.
    """
    (data,) = (item for item in inputs if isinstance(item, Split))
    radius = float(data.train_inputs.norm(dim=1).max())
    panels = [
        DecisionMap(
            settings_of(table)["title"],
            table["class"].to_numpy().reshape(MAP_SIZE, MAP_SIZE),
            MAP_EXTENT,
            data.test_inputs.numpy(),
            data.test_labels.numpy(),
            radius,
        )
        for table in inputs
        if isinstance(table, pa.Table)
    ]
    return (panels,)


def _median(column: pa.ChunkedArray) -> float:
    finished = column.drop_null().to_numpy()
    return float(np.median(finished)) if len(finished) else -1.0


def first_layer(model: TrainedModel, shape: Sequence[int]) -> Tensor:
    """Return the first layer's weights as images.

    Args:
        model: A trained configuration.
        shape: Channels, height and width of an image.

    Returns:
        float32 `[members, units, channels, height, width]`.
    """
    weights = model.state()["0.weight"]
    return weights.view(*weights.shape[:2], *shape)
