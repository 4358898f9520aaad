"""Training and measuring members of a configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlp_core.data.augmentation import normalize
from mlp_core.data.datasets import Split
from mlp_core.engine.architecture import is_linear, is_small
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.batches import Batch, augmented_epochs, batches_per_epoch, per_seed_epochs, shared_epochs
from mlp_core.engine.configs import Replicate, TrainConfig
from mlp_core.engine.networks import Ensemble, Initialization
from mlp_core.engine.training import accuracy, train
from mlp_core.engine.validation import EarlyStopping, ValidationHistory
from mlp_core.seeds import derive_seed, generator

if TYPE_CHECKING:
    from mlp_core.engine.small import SmallTraining

_EVALUATION_BATCH = 512


@dataclass(frozen=True)
class TrainedMembers:
    """Trained members of a configuration: accuracies, losses and parameters, each with one entry per member.

    Attributes:
        member: Numbers of the members, from 0.
        seed: The seed each member's weights and order derive from.
        train_accuracy: float64 `[members]`, 0 .. 1, NaN if diverged.
        test_accuracy: float64 `[members]`, 0 .. 1, NaN if diverged.
        train_loss: float32 `[members, epochs]`, mean loss of each epoch in nats; NaN after an early stop.
        state: Stacked parameters, see `Ensemble.state`.
        validation: Accuracy on the validation examples after each epoch; None if the data have none.
    """

    member: list[int]
    seed: list[int]
    train_accuracy: Tensor
    test_accuracy: Tensor
    train_loss: Tensor
    state: dict[str, Tensor]
    validation: ValidationHistory | None = None


def member_seed(config: TrainConfig, seed_index: int) -> int:
    """Return the seed from which a member's first weights and its order of the examples derive.

    It depends on the root seed, the seed namespace and `seed_index` alone: all configurations of a seed namespace give
    members of equal index the same seed.

    Args:
        config: Configuration of the member.
        seed_index: See `Replicate`; with one gain it is the number of the member.
    """
    return derive_seed(config.seed, config.seed_namespace, seed_index)


def untrained_members(config: TrainConfig, members: Sequence[int]) -> Ensemble:
    """Return members of a configuration as an ensemble with their first weights, before any training.

    Args:
        config: Their configuration.
        members: Numbers of the members, each at least 0; the ensemble has them in this order.
    """
    return _untrained(config, [config.replicate(member) for member in members])


def _untrained(config: TrainConfig, replicates: Sequence[Replicate]) -> Ensemble:
    return Ensemble(
        config.layer_sizes,
        config.activation,
        [generator(member_seed(config, replicate.seed_index), "weights") for replicate in replicates],
        Initialization(config.scheme, tuple(replicate.gain for replicate in replicates)),
        config.device,
    )


def train_members(
    config: TrainConfig,
    data: Split,
    members: Sequence[int],
    checkpoint: Callable[[float], object] = lambda done: None,
) -> TrainedMembers:
    """Train members of a configuration; return their accuracies, losses and parameters.

    Args:
        config: What to train.
        data: Train and test examples: float32 inputs `[n, features]`, or uint8 images `[n, channels, height, width]`.
        members: Numbers of the members, each at least 0.
        checkpoint: Called with the share of the training that is done, 0 .. 1: before every step, or every few
            milliseconds of the short ones of small networks, and at the end. It may raise to stop the training.

    Returns:
        The members in the order of `members`. One that diverged has NaN accuracies.

    Raises:
        InputError: If the batch size leaves an epoch without a step.
    """
    return train_batched([config], data, members, checkpoint)[0]


@uniform_arithmetic()
def _train(
    config: TrainConfig,
    data: Split,
    numbers: list[int],
    replicates: Sequence[Replicate],
    checkpoint: Callable[[float], object],
) -> TrainedMembers:
    seeds = [member_seed(config, replicate.seed_index) for replicate in replicates]
    inputs, labels = data.train_inputs.to(config.device), data.train_labels.to(config.device)
    test_inputs, test_labels = data.test_inputs.to(config.device), data.test_labels.to(config.device)
    ensemble = _untrained(config, replicates)
    stopping = EarlyStopping(len(seeds), config.epochs, config.patience) if data.validation_labels is not None else None
    # The compiled code takes no images that change with every epoch
    if config.batches != "shared_augmented" and is_small(config.layer_sizes, config.device):
        losses = _train_small(config, ensemble, data, inputs, labels, seeds, checkpoint, stopping)
    else:
        losses = _train_together(config, ensemble, data, inputs, labels, seeds, checkpoint, stopping)
    checkpoint(1.0)
    if config.batches == "shared_augmented":
        # As the tutorial does, the train accuracy is that on one more augmented pass
        train_accuracy = _augmented_accuracy(config, ensemble, inputs, labels)
        test_inputs = normalize(test_inputs).flatten(1)
    else:
        train_accuracy = accuracy(ensemble, inputs, labels)
    test_accuracy = accuracy(ensemble, test_inputs, test_labels)
    is_finite = losses.isfinite().all(0) & torch.stack([p.flatten(1).isfinite().all(1) for p in ensemble.layers]).all(0)
    diverged = ~is_finite.cpu()
    validation = None
    if stopping is not None:
        losses[torch.from_numpy(stopping.stopped.T[: len(losses)])] = math.nan
        validation = ValidationHistory(stopping.accuracy, stopping.kept_epoch, stopping.seconds)
    missing = torch.tensor(math.nan, dtype=torch.float64)
    return TrainedMembers(
        numbers,
        seeds,
        torch.where(diverged, missing, train_accuracy),
        torch.where(diverged, missing, test_accuracy),
        losses.T.cpu().contiguous(),
        ensemble.state(),
        validation,
    )


def train_batched(
    configs: Sequence[TrainConfig],
    data: Split,
    members: Sequence[int],
    checkpoint: Callable[[float], object] = lambda done: None,
) -> list[TrainedMembers]:
    """Train several configurations that differ in their gains alone, as one ensemble.

    The batches are made once for all of them. Each configuration's result is the one of `train_members` with it alone.

    Args:
        configs: Configurations that are equal but for `name` and `gains`.
        data: See `train_members`.
        members: Numbers of the members; the same ones are trained of each configuration.
        checkpoint: See `train_members`.

    Returns:
        The members of each configuration, in the order of the configurations.
    """
    replicates = [config.replicate(member) for config in configs for member in members]
    together = _train(configs[0], data, [*members] * len(configs), replicates, checkpoint)
    parts = [slice(start, start + len(members)) for start in range(0, len(replicates), len(members))]
    return [
        TrainedMembers(
            together.member[part],
            together.seed[part],
            together.train_accuracy[part],
            together.test_accuracy[part],
            together.train_loss[part],
            {name: parameters[part] for name, parameters in together.state.items()},
            together.validation
            and replace(
                together.validation,
                accuracy=together.validation.accuracy[part],
                kept_epoch=together.validation.kept_epoch[part],
            ),
        )
        for part in parts
    ]


def _train_small(
    config: TrainConfig,
    ensemble: Ensemble,
    data: Split,
    inputs: Tensor,
    labels: Tensor,
    seeds: Sequence[int],
    checkpoint: Callable[[float], object],
    stopping: EarlyStopping | None,
) -> Tensor:
    training = small_training(config, ensemble, inputs, labels, seeds, _validation(data))
    if stopping is None:
        return training.run(checkpoint=checkpoint)
    assert data.validation_labels is not None
    n, last = len(data.validation_labels), config.epochs - 1
    best: dict[int, NDArray[np.floating]] = {}

    def validate(member: int, epoch: int, parameters: NDArray[np.floating]) -> bool:
        stopping.clock()
        if stopping.record(member, epoch, training.n_right[member, epoch] / n):
            best[member] = parameters.copy()
        goes_on = stopping.goes_on(member)
        if not goes_on or epoch == last:
            parameters[:] = best.pop(member)
        return goes_on

    def clock(_member: int, epoch: int, _parameters: NDArray[np.floating]) -> bool:
        stopping.clock(epoch or 1)
        return True

    if config.patience:
        return training.run(validate, checkpoint)
    # The first epoch apart: it may have to wait for the compiler
    losses = training.run(clock, checkpoint, ends=sorted({1, config.epochs}))
    stopping.record_all(training.n_right / n)
    return losses


def _validation(data: Split) -> tuple[Tensor, Tensor] | None:
    if data.validation_inputs is None or data.validation_labels is None:
        return None
    return data.validation_inputs, data.validation_labels


def small_training(
    config: TrainConfig,
    ensemble: Ensemble,
    inputs: Tensor,
    labels: Tensor,
    seeds: Sequence[int],
    validation: tuple[Tensor, Tensor] | None = None,
) -> SmallTraining:
    """Return the training of a configuration of small networks, to take any number of epochs at a time.

    In the end the members are those of `train_members`, to the last bit.

    Args:
        config: What to train; `is_small` holds for it.
        ensemble: The untrained members.
        inputs: float32 `[n, features]`.
        labels: int64 `[n]`.
        seeds: The members' seeds, see `member_seed`.
        validation: Inputs and labels of examples to classify after each epoch.
    """
    from mlp_core.engine.small import SmallTraining

    options = {**_epoch_options(config), **_step_options(config, labels), "validation": validation}
    return SmallTraining(ensemble, inputs, labels, _orders(config, seeds), **options)


def _epoch_options(config: TrainConfig) -> dict[str, Any]:
    drop_last = config.batches == "per_seed_order"
    return {"n_epochs": config.epochs, "batch_size": config.batch_size, "drop_last": drop_last}


def _step_options(config: TrainConfig, labels: Tensor) -> dict[str, Any]:
    return {
        "optimizer": config.optimizer,
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "class_weights": balanced_weights(labels, config.layer_sizes[-1]) if config.balanced else None,
    }


def balanced_weights(labels: Tensor, n_classes: int) -> Tensor:
    """Return class weights, float32 `[classes]`, for a loss in which rare classes count as much as common ones.

    The loss of an example is multiplied by the weight of its class:
    `n / (classes * n of the class)`, as scikit-learn's `balanced`; 1 for a class without examples.

    Example:
        >>> balanced_weights(torch.tensor([0, 0, 0, 1]), 2)
        tensor([0.6667, 2.0000])
    """
    counts = labels.bincount(minlength=n_classes).double()
    return torch.where(counts > 0, len(labels) / (n_classes * counts), 1.0).float()


def _train_together(
    config: TrainConfig,
    ensemble: Ensemble,
    data: Split,
    inputs: Tensor,
    labels: Tensor,
    seeds: Sequence[int],
    checkpoint: Callable[[float], object],
    stopping: EarlyStopping | None,
) -> Tensor:
    n_steps = config.epochs * math.ceil(len(labels) / config.batch_size)
    steps = count()
    best: list[Tensor] = []

    def validate(epoch: int) -> bool:
        if stopping is None:
            return True
        stopping.clock()
        assert data.validation_inputs is not None
        assert data.validation_labels is not None
        reached = accuracy(
            ensemble, data.validation_inputs.to(config.device), data.validation_labels.to(config.device)
        ).tolist()
        if not best:
            best.extend(layer.clone() for layer in ensemble.layers)
        going = [member for member in range(len(seeds)) if stopping.goes_on(member)]
        for member in going:
            if stopping.record(member, epoch, reached[member]):
                for kept, layer in zip(best, ensemble.layers, strict=True):
                    kept[member] = layer[member]
        return any(stopping.goes_on(member) for member in going)

    options = {"after_epoch": validate, **_step_options(config, labels)}
    if is_linear(config.layer_sizes, config.device) and config.batches != "shared_augmented":
        from mlp_core.engine.linear import train_linear

        streams = _orders(config, seeds)
        losses = train_linear(
            ensemble, inputs, labels, streams, checkpoint=checkpoint, **_epoch_options(config), **options
        )
    else:
        with closing(_epochs(config, inputs, labels, seeds)) as epochs:  # or a kept error keeps their thread
            losses = train(ensemble, epochs, checkpoint=lambda: checkpoint(next(steps) / n_steps), **options)
    for kept, layer in zip(best, ensemble.layers, strict=bool(best)):
        layer.copy_(kept)
    return torch.cat([losses, losses.new_zeros(config.epochs - len(losses), losses.shape[1])])


def _orders(config: TrainConfig, seeds: Sequence[int]) -> list[torch.Generator]:
    """Return the generators of the orders of the examples: one per member, or one for all."""
    if config.batches == "per_seed_order":
        return [generator(seed, "order") for seed in seeds]
    return [generator(config.seed, config.seed_namespace, "order")]


def _epochs(config: TrainConfig, inputs: Tensor, labels: Tensor, seeds: Sequence[int]) -> Generator[Iterable[Batch]]:
    sizes = {"n_classes": config.layer_sizes[-1], "n_epochs": config.epochs, "batch_size": config.batch_size}
    if config.batches == "per_seed_order":
        batches_per_epoch(len(labels), config.batch_size, drop_last=True)
        return per_seed_epochs(inputs, labels, _orders(config, seeds), drop_last=True, **sizes)
    (stream,) = _orders(config, seeds)
    if config.batches == "shared_order":
        return shared_epochs(inputs, labels, stream, **sizes)
    return augmented_epochs(inputs, labels, stream, **sizes)


def _augmented_accuracy(config: TrainConfig, ensemble: Ensemble, inputs: Tensor, labels: Tensor) -> Tensor:
    stream = generator(config.seed, config.seed_namespace, "evaluation")
    correct = torch.zeros(ensemble.n_members, dtype=torch.int64, device=labels.device)
    for batches in augmented_epochs(
        inputs, labels, stream, n_classes=config.layer_sizes[-1], n_epochs=1, batch_size=_EVALUATION_BATCH
    ):
        for batch in batches:
            correct += (ensemble.logits(batch.inputs[:-1].T).argmax(1) == batch.targets.argmin(0)).sum(1)
    return correct.cpu().double() / len(labels)
