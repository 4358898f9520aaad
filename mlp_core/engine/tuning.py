"""Choosing a learning rate on validation examples, which are a part of the training set and no test examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from mlp_core.data.datasets import Split
from mlp_core.engine.configs import TrainConfig
from mlp_core.engine.members import train_members
from mlp_core.seeds import generator

VALIDATION_SHARE = 0.2
"""Of the training set."""


def tuned_learning_rate(
    config: TrainConfig,
    data: Split,
    rates: Sequence[float],
    checkpoint: Callable[[], None] = lambda: None,
) -> float:
    """Return the learning rate of `rates` with which member 0 has the highest validation accuracy.

    The member is trained once per rate. A rate with which it diverges is the last choice.

    Args:
        config: Configuration to train; its own learning rate is not used.
        data: A random fifth of its training examples (`VALIDATION_SHARE`) validates, the others train; its test
            examples are not used.
        rates: Learning rates to choose from; of equally good ones the first is taken.
        checkpoint: Called before every step, or every few milliseconds of short steps; it may raise to stop.

    Example:
        >>> from mlp_core.data.datasets import spirals, split
        >>> from mlp_core.engine.configs import Training
        >>> config = TrainConfig.of(Training(epochs=5), "wide", "depth_sweep", (2, 14, 4), "per_seed_order")
        >>> tuned_learning_rate(config, split(*spirals()), [1e-6, 1e-2])
        0.01
    """
    order = torch.randperm(
        len(data.train_labels), generator=generator(config.seed, config.seed_namespace, "validation")
    )
    n_validation = int(VALIDATION_SHARE * len(order))
    validation, fit = order[:n_validation], order[n_validation:]
    inputs, labels = data.train_inputs, data.train_labels
    held_out = Split(inputs[fit], labels[fit], inputs[validation], labels[validation])
    reached = {}
    for rate in rates:
        trained = train_members(replace(config, learning_rate=rate), held_out, [0], lambda _done: checkpoint())
        reached[rate] = trained.test_accuracy.item()
    # a member that diverged has NaN, which is no maximum
    return max(reached, key=lambda rate: (reached[rate] == reached[rate], reached[rate]))
