"""What a sweep measures of its trained configurations, and how figures get it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlp_core.artifacts.units import settings_of, with_units
from mlp_core.data.datasets import Split
from mlp_core.data.transforms import applied
from mlp_core.engine.tables import TrainedModel, history_rows, result_rows, result_units
from mlp_core.engine.training import predict
from mlp_core.experiments.measures import weights_of
from mlp_core.statistics.intervals import median_interval
from mlp_core.theory.gains import forward_gain
from mlp_core.theory.phases import phase_point

if TYPE_CHECKING:
    import pandas as pd

_UNITS = {
    "theory_gain": "Xavier gain that keeps a signal's length",
    "xi_c": "layers over which the angle of two inputs nears its fixed point by e; null where lengths grow for ever",
}
_CLASS_UNITS = {
    "class": "name of the true class",
    "answer": "name of the class that a member answered",
    "count": "test examples, over all members",
    "members": "number",
}


def sweep_table(models: Sequence[TrainedModel], yardsticks: pa.Table, classes: pa.Table) -> pa.Table:
    """Return the `sweep` table: a row per member, with what theory says of its start.

    Args:
        models: The trained configurations.
        yardsticks: Accuracies of scikit-learn's classifiers, as `yardsticks` returns them; they go into the table's
            settings.
        classes: The chosen configuration's answers, as `class_table` returns them; its accuracy per class goes into the
            settings, too.

    Returns:
        The rows of `result_table` with the columns `theory_gain` and `xi_c` (depth scale in layers; null if there is
        none).
    """
    rows, known = [], dict[tuple[str, float, int], float]()
    gains: dict[str, float] = {}
    for model in models:
        config = model.trial.config
        sigma_w = config.gains[0] if config.scheme != "pytorch" else 1 / math.sqrt(3)  # uniform in +-1/sqrt(fan_in)
        start = config.activation, sigma_w, config.layer_sizes[1]
        if start not in known:
            # biases are PyTorch's from every start: uniform in +-1/sqrt(width)
            known[start] = phase_point(config.activation, sigma_w, 1 / math.sqrt(3 * config.layer_sizes[1])).xi_c
        if config.activation not in gains:
            gains[config.activation] = forward_gain(config.activation)
        table = result_rows(model.trial, model.members)
        scale = None if math.isnan(known[start]) else known[start]
        for name, value in (("theory_gain", gains[config.activation]), ("xi_c", scale)):
            table = table.append_column(name, pa.array([value] * len(table), pa.float64()))
        rows.append(table)
    reached = {
        row["yardstick"]: {part: row[f"{part}_accuracy"] for part in ("train", "validation", "test")}
        for row in yardsticks.to_pylist()
    }
    units = {**result_units(models[0].trial.labels), **_UNITS}
    by_class = settings_of(classes)["class_accuracies"]
    return with_units(pa.concat_tables(rows), units, yardsticks=reached, class_accuracies=by_class)


def class_table(models: Sequence[TrainedModel], data: Split) -> pa.Table:
    """Return the confusion matrix of the chosen configuration on test examples, a row per pair of classes.

    Chosen is the configuration of highest mean validation accuracy, as `SweepResults.chosen` is. Counts are summed over
    its members that finished. The settings have its name (`configuration`) and the median accuracy of each class over
    members (`class_accuracies`), with interval.
    """
    best = max(models, key=_chosen_by)
    ensemble, inputs = weights_of(best), applied(best.trial.config.inputs, data)(data.test_inputs)
    finished = np.array([status == "ok" for status in best.members["status"].to_pylist()])
    answers = predict(ensemble, inputs).numpy()[finished]
    n_classes = best.trial.config.layer_sizes[-1]
    names = [str(name) for name in data.classes or range(n_classes)]
    labels = data.test_labels.numpy()
    wanted = np.broadcast_to(labels, answers.shape)
    counts = np.bincount((wanted * n_classes + answers).ravel(), minlength=n_classes**2)
    columns = {
        "class": np.repeat(names, n_classes),
        "answer": np.tile(names, n_classes),
        "count": counts,
        "members": np.full(n_classes**2, len(answers)),
    }
    return with_units(
        pa.table(columns),
        _CLASS_UNITS,
        configuration=best.trial.config.name,
        class_accuracies=_class_accuracies(answers, labels, names),
    )


def _class_accuracies(
    answers: NDArray[np.int64], labels: NDArray[np.int64], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return for each class its test examples and the median accuracy on them over members, with interval."""
    accuracies = []
    for label, name in enumerate(names):
        of_class = labels == label
        right = (answers[:, of_class] == label).sum(1) / max(1, int(of_class.sum()))
        median = median_interval(right if of_class.any() else np.empty(0))
        ends = {"low": median.low, "high": median.high} if median.has_interval else {"low": None, "high": None}
        estimate = median.estimate if median.n else None
        accuracies.append({"class": name, "examples": int(of_class.sum()), "n": median.n, "median": estimate, **ends})
    return accuracies


def _chosen_by(model: TrainedModel) -> tuple[float, int]:
    kept, reached = model.members["kept_epoch"].to_pylist(), model.members["validation_accuracy"].to_pylist()
    chance = 1 / model.trial.config.layer_sizes[-1]
    accuracies = [
        chance if status != "ok" else accuracies[epoch - 1]
        for status, epoch, accuracies in zip(model.members["status"].to_pylist(), kept, reached, strict=True)
    ]
    parameters = model.trial.labels.column("parameters")
    assert isinstance(parameters, int)
    return float(np.mean(accuracies)), -parameters


def chosen_history(classes: pa.Table, models: Sequence[TrainedModel]) -> tuple[pd.DataFrame, str]:
    """Return the arguments of `epochs_figure`: the chosen configuration's history (pandas) and its name.

    Args:
        classes: Answers of the chosen configuration, as `class_table` returns them.
        models: The trained configurations.

    Returns:
        The columns of `history_rows` and `kept`: whether the member keeps the weights of this epoch.
    """
    name = settings_of(classes)["configuration"]
    (chosen,) = (model for model in models if model.trial.config.name == name)
    history = history_rows(chosen.trial, chosen.members).to_pandas()
    kept = dict(zip(*(chosen.members[column].to_pylist() for column in ("member", "kept_epoch")), strict=True))
    history["kept"] = history["epoch"] == history["member"].map(kept)
    return history, name


def with_settings(table: pa.Table, settings: Mapping[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the arguments of a sweep figure: the table (pandas), and its settings updated with the given ones."""
    return table.to_pandas(), {**settings_of(table), **settings}
