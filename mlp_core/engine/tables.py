"""How examples and members lie in tables: what every task that reads or writes one has in common.

Nothing of the artifact folder is known here, so that a change in how files are stored trains nothing again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from mlp_core.data.datasets import Split
from mlp_core.engine.architecture import LEARNED_MARGIN
from mlp_core.engine.configs import Labels, Trial

if TYPE_CHECKING:
    from mlp_core.engine.members import TrainedMembers


def split_of(pieces: Iterable[pa.RecordBatch]) -> Split:
    """Return a table of examples as tensors.

    Args:
        pieces: With the columns `label`, `split` (train|test), and `x1` and `x2`, or `features`, or `pixels`.

            The train ones come first.

    Returns:
        Points `[n, 2]` or features `[n, features]`, float32, or images, uint8 `[n, 3, 32, 32]`.

    Example:
        >>> columns = {"x1": [1.0, 2.0], "x2": [3.0, 4.0], "label": [0, 1], "split": ["train", "test"]}
        >>> split_of(pa.table(columns).to_batches()).test_inputs
        tensor([[2., 4.]], dtype=torch.float64)
    """
    inputs_parts, labels_parts, n_train, about = [], [], 0, None
    for piece in pieces:
        about = about or _about(piece)
        inputs_parts.append(_inputs(piece))
        labels_parts.append(piece.column("label").to_numpy())
        n_train += piece.column("split").to_pylist().count("train")
    inputs, labels = torch.from_numpy(np.concatenate(inputs_parts)), torch.from_numpy(np.concatenate(labels_parts))
    classes = tuple(about["preprocessing"]["classes"]) if about else None
    return Split(inputs[:n_train], labels[:n_train], inputs[n_train:], labels[n_train:], classes, about)


def _about(piece: pa.RecordBatch) -> Mapping[str, Any] | None:
    """Return what examples of somebody's table say of its columns."""
    settings = json.loads((piece.schema.metadata or {}).get(b"settings", b"{}"))
    return settings if "preprocessing" in settings else None


def _inputs(piece: pa.RecordBatch) -> NDArray[Any]:
    if "pixels" in piece.schema.names:
        column = piece.column("pixels")
        _, pixels = column.buffers()
        start, length = column.offset, len(column)
        return np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 32)[start : start + length]
    if "features" in piece.schema.names:
        features: NDArray[Any] = piece.column("features").flatten().to_numpy()
        return features.reshape(len(piece), -1)
    return np.stack([piece.column(name).to_numpy() for name in ("x1", "x2")], 1)


def member_table(trained: TrainedMembers) -> pa.Table:
    """Return a row per member, its losses of every epoch as a list; one that diverged has no accuracy."""
    n_epochs = trained.train_loss.shape[1]
    diverged = trained.test_accuracy.isnan().numpy()
    losses = pa.array(trained.train_loss.flatten().numpy())
    return pa.table(
        {
            "member": pa.array(trained.member, pa.int64()),
            "seed": pa.array(trained.seed, pa.int64()),
            "train_accuracy": pa.array(trained.train_accuracy.numpy(), mask=diverged),
            "test_accuracy": pa.array(trained.test_accuracy.numpy(), mask=diverged),
            "train_loss": pa.FixedSizeListArray.from_arrays(losses, n_epochs),
            "status": pa.array(["diverged" if bad else "ok" for bad in diverged]),
        }
    )


def joined_members(blocks: Iterable[pa.Table], n_members: int) -> pa.Table:
    """Return members 0 .. `n_members` - 1 of tables of a row per member."""
    table = pa.concat_tables(blocks)
    return table.filter(pc.less(table["member"], n_members)).sort_by("member")


RESULT_UNITS = {
    "member": "number",
    "seed": "seed of weights and order",
    "epochs": "passes over the training set",
    "train_accuracy": "0..1",
    "test_accuracy": "0..1",
    "final_train_loss": "nats, mean of the last epoch",
    "status": "ok|diverged",
    "learned": "train accuracy at least 5 points above chance",
}
"""Of the columns that every table of trained members has."""


@dataclass(frozen=True)
class TrainedModel:
    """The members of a trained configuration, as measures and figures get them.

    Attributes:
        trial: What was trained, and how an experiment shows it.
        members: As `joined_members` returns them.
        state: Gives the stacked parameters of all members, see `Ensemble.state`.
    """

    trial: Trial
    members: pa.Table
    state: Callable[[], dict[str, torch.Tensor]]

    @property
    def n_members(self) -> int:
        """Return how many members there are."""
        return len(self.members)


def result_rows(trial: Trial, members: pa.Table) -> pa.Table:
    """Return a row per member of a configuration: what tells it from others, its seed and what it reached.

    Args:
        trial: What was trained.
        members: As `joined_members` returns them.
    """
    config, labels = trial.config, trial.labels
    losses = members["train_loss"].combine_chunks()
    columns: dict[str, Any] = {}
    for name, value, _ in labels.columns:
        columns[name] = pa.array([value] * len(members), pa.float64() if value is None else None)
    own_gains = pa.array([config.replicate(member).gain for member in members["member"].to_pylist()])
    columns |= {name: own_gains for name, _ in labels.gain_columns}
    columns |= {"member": members["member"], "seed": members["seed"]}
    columns["epochs"] = pa.array([config.epochs] * len(members), pa.int64())
    columns |= {"train_accuracy": members["train_accuracy"], "test_accuracy": members["test_accuracy"]}
    columns["final_train_loss"] = losses.flatten().take(
        pa.array([row * config.epochs + config.epochs - 1 for row in range(len(members))])
    )
    threshold = 1 / config.layer_sizes[-1] + LEARNED_MARGIN
    learned = pc.fill_null(pc.greater_equal(members["train_accuracy"], threshold), False)
    return pa.table({**columns, "status": members["status"], "learned": learned})


def result_units(labels: Labels) -> dict[str, str]:
    """Return the unit of each column of `result_rows`."""
    own = {column.name: column.unit for column in labels.columns} | dict(labels.gain_columns)
    return {**RESULT_UNITS, **own}


HISTORY_UNITS = {
    "experiment": "name",
    "configuration": "name",
    "member": "number",
    "epoch": "number, from 1",
    "train_loss": "nats, mean of the epoch",
}
"""Of `history_rows`."""


def history_rows(trial: Trial, members: pa.Table) -> pa.Table:
    """Return a row per member and epoch, in this order."""
    n_members, n_epochs = len(members), trial.config.epochs
    return pa.table(
        {
            "experiment": pa.repeat(trial.labels.experiment, n_members * n_epochs),
            "configuration": pa.repeat(trial.config.name, n_members * n_epochs),
            "member": np.repeat(members["member"].to_numpy(), n_epochs),
            "epoch": np.tile(np.arange(1, n_epochs + 1), n_members),
            "train_loss": members["train_loss"].combine_chunks().flatten(),
        }
    )
