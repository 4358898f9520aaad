"""Training and measuring members of a plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mlp_core.data.augmentation import normalize
from mlp_core.data.datasets import Split
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.batches import Batch, augmented_epochs, private_epochs, shared_epochs
from mlp_core.engine.networks import Ensemble, Initialization
from mlp_core.engine.plans import TrainingPlan
from mlp_core.engine.training import accuracy, train
from mlp_core.seeds import derive_seed, generator

_EVALUATION_BATCH = 512


@dataclass(frozen=True)
class TrainedMembers:
    """Members after training, equal lengths.

    Attributes:
        member: Numbers of the members.
        seed: The seed each member's weights and order derive from.
        train_accuracy: float64 `[members]`, 0 .. 1, NaN if diverged.
        test_accuracy: float64 `[members]`, 0 .. 1, NaN if diverged.
        train_loss: float32 `[members, epochs]`, mean loss of each epoch in nats.
        state: Stacked parameters, see `Ensemble.state`.
    """

    member: list[int]
    seed: list[int]
    train_accuracy: Tensor
    test_accuracy: Tensor
    train_loss: Tensor
    state: dict[str, Tensor]


def member_seed(plan: TrainingPlan, member: int) -> int:
    """Return the seed of a member's weights and order; the same in all configurations of an experiment."""
    return derive_seed(plan.seed, plan.experiment, member // len(plan.gains))


def untrained_members(plan: TrainingPlan, members: Sequence[int]) -> Ensemble:
    """Return some members of a plan as they are before their first step."""
    return Ensemble(
        plan.layer_sizes,
        plan.activation,
        [generator(member_seed(plan, member), "weights") for member in members],
        Initialization(plan.scheme, tuple(plan.gains[member % len(plan.gains)] for member in members)),
        plan.device,
    )


@uniform_arithmetic()
def train_members(
    plan: TrainingPlan, data: Split, members: Sequence[int], checkpoint: Callable[[], None] = lambda: None
) -> TrainedMembers:
    """Train some members of a plan and measure them.

    Args:
        plan: What to train.
        data: Train and test examples: float32 inputs `[n, features]`, or uint8 photographs `[n, 3, height, width]`.
        members: Numbers of the members, each at least 0.
        checkpoint: Called before every step; it may raise to stop the training.
    """
    seeds = [member_seed(plan, member) for member in members]
    inputs, labels = data.train_inputs.to(plan.device), data.train_labels.to(plan.device)
    test_inputs, test_labels = data.test_inputs.to(plan.device), data.test_labels.to(plan.device)
    ensemble = untrained_members(plan, members)
    with closing(_epochs(plan, inputs, labels, seeds)) as epochs:  # or an error that is kept keeps them counted
        losses = train(
            ensemble, epochs, optimizer=plan.optimizer, learning_rate=plan.learning_rate, checkpoint=checkpoint
        )
    if plan.batches == "augmented":
        # As the tutorial does, the train accuracy is that on one more augmented pass
        train_accuracy = _augmented_accuracy(plan, ensemble, inputs, labels)
        test_inputs = normalize(test_inputs).flatten(1)
    else:
        train_accuracy = accuracy(ensemble, inputs, labels)
    test_accuracy = accuracy(ensemble, test_inputs, test_labels)
    is_finite = losses.isfinite().all(0) & torch.stack([p.flatten(1).isfinite().all(1) for p in ensemble.layers]).all(0)
    diverged = ~is_finite.cpu()
    missing = torch.tensor(math.nan, dtype=torch.float64)
    return TrainedMembers(
        list(members),
        seeds,
        torch.where(diverged, missing, train_accuracy),
        torch.where(diverged, missing, test_accuracy),
        losses.T.cpu().contiguous(),
        ensemble.state(),
    )


def train_together(
    plans: Sequence[TrainingPlan], data: Split, members: Sequence[int], checkpoint: Callable[[], None] = lambda: None
) -> list[TrainedMembers]:
    """Train the same members of plans that differ in their gains alone; each gives what it gives alone.

    As one ensemble they share their batches, which are made once, and the matrix product of the first layer.

    Args:
        plans: What to train.
        data: See `train_members`.
        members: Numbers of the members of each plan.
        checkpoint: See `train_members`.

    Returns:
        The members of each plan, in the order of the plans: what `train_members` returns for that plan.
    """
    gains = tuple(gain for plan in plans for gain in plan.gains)
    numbers, n_before = [], 0
    for plan in plans:
        n_gains = len(plan.gains)
        numbers += [member // n_gains * len(gains) + n_before + member % n_gains for member in members]
        n_before += n_gains
    all_members = train_members(replace(plans[0], gains=gains), data, numbers, checkpoint)
    parts = [slice(start, start + len(members)) for start in range(0, len(numbers), len(members))]
    return [
        TrainedMembers(
            list(members),
            all_members.seed[part],
            all_members.train_accuracy[part],
            all_members.test_accuracy[part],
            all_members.train_loss[part],
            {name: parameters[part] for name, parameters in all_members.state.items()},
        )
        for part in parts
    ]


def _epochs(plan: TrainingPlan, inputs: Tensor, labels: Tensor, seeds: Sequence[int]) -> Generator[Iterable[Batch]]:
    n_classes = plan.layer_sizes[-1]
    if plan.batches == "private":
        streams = [generator(seed, "order") for seed in seeds]
        return private_epochs(
            inputs,
            labels,
            streams,
            n_classes=n_classes,
            n_epochs=plan.epochs,
            batch_size=plan.batch_size,
            drop_last=True,
        )
    stream = generator(plan.seed, plan.experiment, "order")
    make = shared_epochs if plan.batches == "shared" else augmented_epochs
    return make(inputs, labels, stream, n_classes=n_classes, n_epochs=plan.epochs, batch_size=plan.batch_size)


def _augmented_accuracy(plan: TrainingPlan, ensemble: Ensemble, inputs: Tensor, labels: Tensor) -> Tensor:
    stream = generator(plan.seed, plan.experiment, "evaluation")
    correct = torch.zeros(ensemble.n_members, dtype=torch.int64, device=labels.device)
    for batches in augmented_epochs(
        inputs, labels, stream, n_classes=plan.layer_sizes[-1], n_epochs=1, batch_size=_EVALUATION_BATCH
    ):
        for batch in batches:
            correct += (ensemble.logits(batch.inputs[:-1].T).argmax(1) == batch.targets.argmin(0)).sum(1)
    return correct.cpu().double() / len(labels)
