"""What is trained, apart from how it is shown: configurations, their labels, their replicates.

No torch, so that a cached run need not wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from mlp_core.data.transforms import Transform
from mlp_core.errors import InputError

OPTIMIZERS = ("adam", "sgd")
TASKS_PER_WORKER = 32
"""Of a run's trainings at most, where there are fewer shapes of networks: the last ones still have work for all."""
NETWORKS_TOGETHER = 8
"""Of one ensemble: more train no faster per network, and leave less for the other workers."""


def known_optimizer(name: str) -> str:
    """Return `name` unchanged if it names an optimizer: `adam` or `sgd`.

    Raises:
        InputError: If it does not; the message lists the choices.
    """
    if name in OPTIMIZERS:
        return name
    message = f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {name!r}."
    raise InputError(message)


class Replicate(NamedTuple):
    """Seed index and gain of a member: all in which members of one configuration differ.

    Attributes:
        seed_index: From 0. Members of the same index share a seed, in all configurations of a seed namespace.
        gain: Gain of Xavier's initialization.
    """

    seed_index: int
    gain: float


@dataclass(frozen=True)
class Training:
    """Settings of the training that do not depend on a network's architecture.

    Attributes:
        activation: Canonical name of the hidden layers' activation, such as `relu` or `leaky_relu(0.1)`.
        optimizer: One of `OPTIMIZERS`.
        learning_rate: Step size.
        epochs: Passes over the training set.
        batch_size: Examples per step.
        seed: Root seed.
        device: `cpu`, `cuda` or `mps`.
        weight_decay: Decoupled, as in AdamW: each step also subtracts `learning_rate * weight_decay` times the weights.
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
    """Configuration of a network: with a member's `Replicate` it decides the trained weights.

    Attributes:
        name: Readable, such as `depth=3 width=6`; configurations that differ in it alone count as equal.
        seed_namespace: Configurations of one namespace give members of equal index the same seed.
        layer_sizes: Number of inputs, widths of the hidden layers, number of outputs.
        activation: See `Training`.
        scheme: How weights start, see `mlp_core.engine.networks.Initialization`.
        gains: Xavier gains. With several, members 0, 1, ... have the first gain, the second and so on, then the first
            again; members of one round share a seed.
        batches: `per_seed_order`: each member shuffles for itself and leaves out a last short batch; `shared_order`:
            all members see the same batches; `shared_augmented`: the same, and the images are rotated and flipped anew
            every epoch.
        inputs: Transforms of the data before training, applied in this order.
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
        """Return the configuration of a network of these layer sizes, with all fields of `training`.

        Args:
            training: Activation, optimizer, epochs and the other settings of the training.
            name: See the class, as the rest.
            seed_namespace: See the class.
            layer_sizes: See the class.
            batches: See the class.
            scheme: See the class.
            gains: See the class.
            inputs: See the class.

        Example:
            >>> config = TrainConfig.of(Training(epochs=5), "one layer", "depth_sweep", (2, 14, 4), "per_seed_order")
            >>> config.epochs, config.replicate(3)
            (5, Replicate(seed_index=3, gain=1.0))
        """
        return cls(name, seed_namespace, layer_sizes, scheme, gains, batches, inputs, **asdict(training))

    def replicate(self, member: int) -> Replicate:
        """Return the seed index and the gain of a member, by its number from 0; see `gains`."""
        return Replicate(member // len(self.gains), self.gains[member % len(self.gains)])

    def settings(self) -> dict[str, Any]:
        """Return all fields but `name` as a dictionary, nested dataclasses as dictionaries, to be written as JSON."""
        own = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "name"}
        return own | {"inputs": tuple(asdict(transform) for transform in self.inputs)}

    def apart_from_gains(self) -> TrainConfig:
        """Return a copy without name and gains: equal for configurations that differ in their gains alone."""
        return replace(self, name="", gains=())


class Column(NamedTuple):
    """A column of a result table whose value is the same for all members of a configuration.

    Attributes:
        name: Name of the column.
        value: Its value; None where it does not apply to the configuration.
        unit: Its unit, such as `units` or `0..1`, written into the table.
    """

    name: str
    value: str | int | float | None
    unit: str


@dataclass(frozen=True)
class Labels:
    """Names and values that describe a configuration in tables and figures; they do not change the training.

    Attributes:
        experiment: Name of the experiment.
        columns: Columns of the result table that tell this configuration from others, such as its depth.
        gain_columns: Name and unit of each column of the result table that holds the member's own gain.
    """

    experiment: str
    columns: tuple[Column, ...]
    gain_columns: tuple[tuple[str, str], ...] = ()

    def column(self, name: str) -> str | int | float | None:
        """Return the value of the column of that name; None if there is no such column."""
        return next((column.value for column in self.columns if column.name == name), None)


@dataclass(frozen=True)
class Trial:
    """One configuration that an experiment trains, with its labels.

    Attributes:
        config: What to train.
        labels: How tables and figures describe it.
        sized_by: Name of the setting that the error message says to lower where the training does not fit into memory.
    """

    config: TrainConfig
    labels: Labels
    sized_by: str = "seeds"


def group_for_batching(configs: Iterable[TrainConfig], n_members: int, n_workers: int) -> list[tuple[TrainConfig, ...]]:
    """Group configurations into tasks; those that differ in their gains alone can be trained as one ensemble.

    A group of these is cut so that an ensemble has at most `NETWORKS_TOGETHER` networks (or one configuration) and all
    workers have work. If more than `TASKS_PER_WORKER` groups a worker remain, groups of equal layer sizes are joined,
    the largest networks first: to start a task costs as much as the training of some small networks.

    Args:
        configs: All different.
        n_members: Members of each configuration.
        n_workers: How many tasks run at the same time.

    Returns:
        A tuple of configurations per task.

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
    n_tasks = TASKS_PER_WORKER * n_workers
    return together if len(together) <= n_tasks else _by_shape(together, n_tasks)


def _by_shape(together: Iterable[tuple[TrainConfig, ...]], n_tasks: int) -> list[tuple[TrainConfig, ...]]:
    """Return one task for several ensembles of equal shape, the largest networks first."""
    shapes: dict[tuple[int, ...], list[tuple[TrainConfig, ...]]] = {}
    for ensemble in together:
        shapes.setdefault(ensemble[0].layer_sizes, []).append(ensemble)
    size = -(-sum(map(len, shapes.values())) // n_tasks)
    in_order = sorted(shapes.items(), key=lambda shape: -sum(a * b for a, b in pairwise(shape[0])))
    return [
        tuple(config for ensemble in ensembles[start : start + size] for config in ensemble)
        for _, ensembles in in_order
        for start in range(0, len(ensembles), size)
    ]
