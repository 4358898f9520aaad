"""How examples and members lie in tables: what every task that reads or writes one has in common.

Nothing of the artifact folder is known here, so that a change in how files are stored trains nothing again. Torch is
imported where there are examples to convert: to collect what was trained takes a second less.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlp_core.data.sizes import image_shape
from mlp_core.engine.architecture import LEARNED_MARGIN
from mlp_core.engine.configs import Labels, Trial

if TYPE_CHECKING:
    import torch

    from mlp_core.data.datasets import Split
    from mlp_core.engine.members import TrainedMembers


def split_of(pieces: Iterable[pa.RecordBatch]) -> Split:
    """Convert a table of examples to tensors, cut into train, validation and test examples.

    Args:
        pieces: The table in parts, with the columns `label`, `split` (train|validation|test), and either `x1` and
            `x2`, or `features`, or `pixels`. Train examples come first, then validation, then test examples.

    Returns:
        The examples: inputs are points `[n, 2]` or features `[n, features]` of the columns' type, or images, uint8
        `[n, channels, rows, columns]`. Validation inputs and labels are None if there are none.

    Example:
        >>> columns = {"x1": [1.0, 2.0], "x2": [3.0, 4.0], "label": [0, 1], "split": ["train", "test"]}
        >>> split_of(pa.table(columns).to_batches()).test_inputs
        tensor([[2., 4.]], dtype=torch.float64)
    """
    import torch

    from mlp_core.data.datasets import Split

    inputs_parts, labels_parts, n_train, n_validation, about = [], [], 0, 0, None
    for piece in pieces:
        about = about or _about(piece)
        inputs_parts.append(_inputs(piece))
        labels_parts.append(piece.column("label").to_numpy())
        parts = piece.column("split").to_pylist()
        n_train += parts.count("train")
        n_validation += parts.count("validation")
    inputs, labels = torch.from_numpy(np.concatenate(inputs_parts)), torch.from_numpy(np.concatenate(labels_parts))
    train, validation, test = (
        slice(n_train),
        slice(n_train, n_train + n_validation),
        slice(n_train + n_validation, None),
    )
    classes = tuple(about["preprocessing"]["classes"]) if about else None
    whole = Split(inputs[train], labels[train], inputs[test], labels[test], classes, about)
    if not n_validation:
        return whole
    return replace(whole, validation_inputs=inputs[validation], validation_labels=labels[validation])


def _about(piece: pa.RecordBatch) -> Mapping[str, Any] | None:
    """Return what examples of somebody's table say of its columns."""
    settings = json.loads((piece.schema.metadata or {}).get(b"settings", b"{}"))
    return settings if "preprocessing" in settings else None


def images_of(pixels: pa.FixedSizeBinaryArray) -> NDArray[np.uint8]:
    """Return a column of images as an array, uint8 `[n, channels, rows, columns]`; nothing is copied.

    Args:
        pixels: For each image its bytes in channel, row, column order.

    Example:
        >>> images_of(pa.array([bytes(192)] * 2, pa.binary(192))).shape
        (2, 3, 8, 8)
    """
    _, content = pixels.buffers()
    shape = image_shape(pixels.type.byte_width)
    return np.frombuffer(content, np.uint8).reshape(-1, *shape)[pixels.offset : pixels.offset + len(pixels)]


def _inputs(piece: pa.RecordBatch) -> NDArray[Any]:
    if "pixels" in piece.schema.names:
        return images_of(piece.column("pixels"))
    if "features" in piece.schema.names:
        features: NDArray[Any] = piece.column("features").flatten().to_numpy()
        return features.reshape(len(piece), -1)
    return np.stack([piece.column(name).to_numpy() for name in ("x1", "x2")], 1)


MEMBER_UNITS = {
    "member": "number",
    "seed": "seed of weights and order",
    "train_accuracy": "0..1",
    "test_accuracy": "0..1",
    "train_loss": "nats, mean of each epoch",
    "validation_accuracy": "0..1, after each epoch",
    "kept_epoch": "number, from 1: its weights are kept",
    "train_seconds": "processor time of a member's training, the mean of those trained together",
    "status": "ok|diverged",
}
"""Of the columns of `member_table`."""


def member_table(trained: TrainedMembers) -> pa.Table:
    """Return trained members as a table, a row per member, with the columns of `MEMBER_UNITS`.

    The losses of all epochs are one list per row. A member that diverged has null accuracies and the status `diverged`.
    The columns on validation examples are left out if there were none.
    """
    n_epochs = trained.train_loss.shape[1]
    diverged = trained.test_accuracy.isnan().numpy()
    losses = pa.array(trained.train_loss.flatten().numpy())
    validated: dict[str, pa.Array] = {}
    if trained.validation is not None:
        accuracies = pa.array(trained.validation.accuracy.ravel())
        validated = {
            "validation_accuracy": pa.FixedSizeListArray.from_arrays(accuracies, n_epochs),
            "kept_epoch": pa.array(trained.validation.kept_epoch),
            "train_seconds": pa.array([trained.validation.seconds] * len(diverged)),
        }
    return pa.table(
        {
            "member": pa.array(trained.member, pa.int64()),
            "seed": pa.array(trained.seed, pa.int64()),
            "train_accuracy": pa.array(trained.train_accuracy.numpy(), mask=diverged),
            "test_accuracy": pa.array(trained.test_accuracy.numpy(), mask=diverged),
            "train_loss": pa.FixedSizeListArray.from_arrays(losses, n_epochs),
            **validated,
            "status": pa.array(["diverged" if bad else "ok" for bad in diverged]),
        }
    )


def joined_members(blocks: Iterable[pa.Table], n_members: int) -> pa.Table:
    """Join tables of `member_table` and return the rows of the members 0 .. `n_members` - 1, sorted by member."""
    table = pa.concat_tables(blocks)
    if np.array_equal(table["member"].to_numpy(), np.arange(n_members)):  # as nearly always, at a tenth of the time
        return table
    return table.filter(pc.less(table["member"], n_members)).sort_by("member")


RESULT_UNITS = {
    "member": "number",
    "seed": "seed of weights and order",
    "epochs": "passes over the training set",
    "train_accuracy": "0..1",
    "test_accuracy": "0..1",
    "final_train_loss": "nats, mean of the last epoch",
    "validation_accuracy": "0..1, after the epoch whose weights are kept",
    "kept_epoch": "number, from 1: its weights are kept",
    "trained_epochs": "passes over the training set until the training stopped",
    "train_seconds": "processor time of a member's training, the mean of those trained together",
    "status": "ok|diverged",
    "learned": "train accuracy at least 5 points above chance",
}
"""Of the columns that every table of trained members has."""


@dataclass(frozen=True)
class TrainedModel:
    """A trained configuration: table of its members and their parameters, from which metrics and figures are made.

    Attributes:
        trial: The configuration and its labels.
        load_members: Function that returns (loads) a row per member, see `joined_members`.
        state: Function that returns (loads) the stacked parameters of all members, see `Ensemble.state`.
    """

    trial: Trial
    load_members: Callable[[], pa.Table]
    state: Callable[[], dict[str, torch.Tensor]]

    @cached_property
    def members(self) -> pa.Table:
        """A row per member; they are loaded when they are first asked for."""
        return self.load_members()

    @property
    def n_members(self) -> int:
        """Return the number of members."""
        return len(self.members)


def result_rows(trial: Trial, members: pa.Table) -> pa.Table:
    """Return the rows of an experiment's result table for one configuration, a row per member.

    The columns: those of the configuration's labels (such as depth), then those of `RESULT_UNITS`. A member that
    diverged has null accuracies and counts as not learned. The columns on validation examples are left out if there
    were none; `final_train_loss` is that of the last epoch that the member trained.

    Args:
        trial: The configuration and its labels.
        members: A row per member, see `joined_members`.
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
    lengths = _trained_epochs(config.epochs, members)
    last = pa.array(np.arange(len(members)) * config.epochs + lengths - 1)
    columns["final_train_loss"] = losses.flatten().take(last)
    if "kept_epoch" in members.column_names:
        kept = members["kept_epoch"].to_numpy()
        reached = _by_epoch(members, "validation_accuracy")[np.arange(len(members)), kept - 1]
        diverged = pc.is_null(members["test_accuracy"]).to_numpy()
        columns |= {
            "validation_accuracy": pa.array(reached, mask=diverged),
            "kept_epoch": pa.array(kept),
            "trained_epochs": pa.array(lengths),
            "train_seconds": members["train_seconds"],
        }
    threshold = 1 / config.layer_sizes[-1] + LEARNED_MARGIN
    learned = pc.fill_null(pc.greater_equal(members["train_accuracy"], threshold), False)
    return pa.table({**columns, "status": members["status"], "learned": learned})


def _by_epoch(members: pa.Table, column: str) -> NDArray[np.float64]:
    """Return a column of a number for each epoch, `[members, epochs]`."""
    values: NDArray[np.float64] = members[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(members), -1)


def _trained_epochs(n_epochs: int, members: pa.Table) -> NDArray[np.int64]:
    """Return how many epochs each member trained: fewer than all after an early stop, `[members]`."""
    if "kept_epoch" not in members.column_names:
        return np.full(len(members), n_epochs)
    return np.asarray(np.isfinite(_by_epoch(members, "validation_accuracy")).sum(1))


def result_units(labels: Labels) -> dict[str, str]:
    """Return the unit of each column of `result_rows`, by column name; also of those that may be left out."""
    own = {column.name: column.unit for column in labels.columns} | dict(labels.gain_columns)
    return {**RESULT_UNITS, **own}


HISTORY_UNITS = {
    "experiment": "name",
    "configuration": "name",
    "member": "number",
    "epoch": "number, from 1",
    "train_loss": "nats, mean of the epoch",
    "validation_accuracy": "0..1 after the epoch; null without validation examples",
}
"""Of `history_rows`."""


def history_rows(trial: Trial, members: pa.Table) -> pa.Table:
    """Return the training history of a configuration: a row per member and epoch, with the columns of `HISTORY_UNITS`.

    Sorted by member, then epoch. Epochs after a member's early stop have no row. `validation_accuracy` is null without
    validation examples.

    Args:
        trial: The configuration and its labels.
        members: A row per member, see `joined_members`.
    """
    n_members, n_epochs = len(members), trial.config.epochs
    validation = pa.nulls(n_members * n_epochs, pa.float64())
    if "kept_epoch" in members.column_names:
        validation = members["validation_accuracy"].combine_chunks().flatten()
    rows = pa.table(
        {
            "experiment": pa.repeat(trial.labels.experiment, n_members * n_epochs),
            "configuration": pa.repeat(trial.config.name, n_members * n_epochs),
            "member": np.repeat(members["member"].to_numpy(), n_epochs),
            "epoch": np.tile(np.arange(1, n_epochs + 1), n_members),
            "train_loss": members["train_loss"].combine_chunks().flatten(),
            "validation_accuracy": validation,
        }
    )
    lengths = _trained_epochs(n_epochs, members)
    return (
        rows.filter(pa.array((np.arange(n_epochs) < lengths[:, None]).ravel())) if (lengths < n_epochs).any() else rows
    )
