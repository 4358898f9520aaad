"""What is trained, apart from how it is shown: configurations, their labels, their replicates.

No torch, so that a cached run need not wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from mlp_core.data.transforms import Transform
from mlp_core.errors import InputError

OPTIMIZERS = ("adam", "sgd")
TASKS_AT_MOST = 128
"""Of a run's trainings, where there are fewer shapes of networks."""
NETWORKS_TOGETHER = 8
"""Of one ensemble: more train no faster per network, and leave less for the other workers."""


def known_optimizer(name: str) -> str:
    """Return the name of an optimizer.

    Raises:
        InputError: If there is none of that name; the message lists the choices.
    """
    if name in OPTIMIZERS:
        return name
    message = f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {name!r}."
    raise InputError(message)


class Replicate(NamedTuple):
    """What tells the members of a configuration apart.

    Attributes:
        seed_index: Members of the same index share a seed, in all configurations of a seed namespace.
        gain: Xavier's.
    """

    seed_index: int
    gain: float


@dataclass(frozen=True)
class Training:
    """How a configuration is trained, whatever its architecture.

    Attributes:
        activation: Canonical name.
        optimizer: One of `OPTIMIZERS`.
        learning_rate: Step size.
        epochs: Passes over the training set.
        batch_size: Examples per step.
        seed: Root seed.
        device: `cpu`, `cuda` or `mps`.
        weight_decay: Decoupled, as in AdamW: each step takes this share of the weights, times its size.
        patience: Epochs without a rise of the validation accuracy after which a member stops; 0 for no early stop.
        balanced: Whether the loss weighs examples so that all classes count alike.
    """

    activation: str = "relu"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    epochs: int = 100
    batch_size: int = 128
    seed: int = 2021
    device: str = "cpu"
    weight_decay: float = 0.0
    patience: int = 0
    balanced: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a member becomes, but its replicate.

    Attributes:
        name: Readable, such as `depth=3 width=6`; it decides nothing and does not tell configurations apart.
        seed_namespace: Configurations of one namespace give members of equal index the same seed.
        layer_sizes: Inputs, hidden widths, outputs.
        activation: Canonical name.
        scheme: See `mlp_core.engine.networks.Initialization`.
        gains: Xavier gains. With several, members 0, 1, ... have the first gain, the second and so on, then the first
            again; members of one round share a seed.
        batches: `private`: each member shuffles for itself and leaves out a last short batch; `shared`: all members see
            the same batches; `augmented`: shared, and the images are rotated and flipped anew every epoch.
        inputs: What is done to the data before training, in this order.
        optimizer: See `Training`, as the rest.
    """

    name: str = field(compare=False)
    seed_namespace: str
    layer_sizes: tuple[int, ...]
    scheme: str
    gains: tuple[float, ...]
    batches: Literal["per_seed_order", "shared_order", "shared_augmented"]
    inputs: tuple[Transform, ...]
    activation: str
    optimizer: str
    learning_rate: float
    epochs: int
    batch_size: int
    seed: int
    device: str
    weight_decay: float = 0.0
    patience: int = 0
    balanced: bool = False

    @classmethod
    def of(
        cls,
        training: Training,
        name: str,
        seed_namespace: str,
        layer_sizes: tuple[int, ...],
        batches: Literal["per_seed_order", "shared_order", "shared_augmented"],
        *,
        scheme: str = "pytorch",
        gains: tuple[float, ...] = (1.0,),
        inputs: tuple[Transform, ...] = (),
    ) -> TrainConfig:
        """Return the configuration of an architecture and a way to train it.

        Example:
            >>> config = TrainConfig.of(Training(epochs=5), "one layer", "depth_sweep", (2, 14, 4), "per_seed_order")
            >>> config.epochs, config.replicate(3)
            (5, Replicate(seed_index=3, gain=1.0))
        """
        return cls(name, seed_namespace, layer_sizes, scheme, gains, batches, inputs, **asdict(training))

    def replicate(self, member: int) -> Replicate:
        """Return which seed and which gain a member has."""
        return Replicate(member // len(self.gains), self.gains[member % len(self.gains)])

    def settings(self) -> dict[str, Any]:
        """Return the configuration as JSON-like data, without its name."""
        return {key: value for key, value in asdict(self).items() if key != "name"}

    def apart_from_gains(self) -> TrainConfig:
        """Return what all configurations have in common that differ in their gains alone."""
        return replace(self, name="", gains=())


class Column(NamedTuple):
    """A column of a result table that has one value for a whole configuration."""

    name: str
    value: str | int | float | None
    unit: str


@dataclass(frozen=True)
class Labels:
    """How an experiment shows a configuration; nothing here decides a number.

    Attributes:
        experiment: Name of the experiment.
        columns: What tells this configuration from others in the result table.
        gain_columns: Columns of the result table that hold the member's own gain, with their units.
    """

    experiment: str
    columns: tuple[Column, ...]
    gain_columns: tuple[tuple[str, str], ...] = ()

    def column(self, name: str) -> str | int | float | None:
        """Return the value of a column; None if there is no such column."""
        return next((column.value for column in self.columns if column.name == name), None)


@dataclass(frozen=True)
class Trial:
    """A configuration as a part of an experiment.

    Attributes:
        config: What to train.
        labels: How to show it.
        sized_by: The setting to lower where it does not fit into memory.
    """

    config: TrainConfig
    labels: Labels
    sized_by: str = "seeds"


def group_for_batching(configs: Iterable[TrainConfig], n_members: int, n_workers: int) -> list[tuple[TrainConfig, ...]]:
    """Gather configurations that differ in their gains alone, which can be trained as one ensemble.

    Where that leaves more than `TASKS_AT_MOST`, as of a sweep, those of equal shape follow each other in a task: a task
    costs as much as the training of some small networks.

    Args:
        configs: All different.
        n_members: Members that each configuration shall have.
        n_workers: How many ensembles are trained at the same time; none of the workers shall be left without work.

    Returns:
        The configurations, in their order within each ensemble or task.

    Example:
        >>> sizes = (3072, 8, 3)
        >>> configs = [
        ...     TrainConfig.of(Training(), f"gain={gain}", "gain_sweep", sizes, "shared_augmented", gains=(gain,))
        ...     for gain in (1.0, 2.0, 3.0, 4.0)
        ... ]
        >>> [[config.gains for config in ensemble] for ensemble in group_for_batching(configs, 1, 2)]
        [[(1.0,), (2.0,)], [(3.0,), (4.0,)]]
    """
    alike: dict[TrainConfig, list[TrainConfig]] = {}
    for config in configs:
        alike.setdefault(config.apart_from_gains(), []).append(config)
    together = []
    for group in alike.values():
        size = min(max(1, NETWORKS_TOGETHER // n_members), -(-len(group) // n_workers))
        together += [tuple(group[start : start + size]) for start in range(0, len(group), size)]
    return together if len(together) <= TASKS_AT_MOST else _by_shape(together)


def _by_shape(together: Iterable[tuple[TrainConfig, ...]]) -> list[tuple[TrainConfig, ...]]:
    """Return one task for several ensembles of equal shape, the largest networks first."""
    shapes: dict[tuple[int, ...], list[tuple[TrainConfig, ...]]] = {}
    for ensemble in together:
        shapes.setdefault(ensemble[0].layer_sizes, []).append(ensemble)
    size = -(-sum(map(len, shapes.values())) // TASKS_AT_MOST)
    in_order = sorted(shapes.items(), key=lambda shape: -sum(a * b for a, b in pairwise(shape[0])))
    return [
        tuple(config for ensemble in ensembles[start : start + size] for config in ensemble)
        for _, ensembles in in_order
        for start in range(0, len(ensembles), size)
    ]
