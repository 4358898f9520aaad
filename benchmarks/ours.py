"""The project's own way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from benchmarks.work import Outcome, Work, load
from mlp_core.engine.batches import augmented_epochs
from mlp_core.engine.configs import TrainConfig, group_for_batching
from mlp_core.engine.footprint import split_by_memory
from mlp_core.engine.members import train_batched
from mlp_core.seeds import generator
from tasks.process import flow_at_work


def train(work: Work, members: Sequence[int], *, workers: int) -> Outcome:
    """Train as the flows do, one thread per ensemble, and return the test accuracies.

    The members of a single configuration are divided among the workers.

    Args:
        work: The configurations.
        members: Numbers of the members.
        workers: Number of ensembles trained at the same time.
    """
    data = load(work)
    together = group_for_batching(work.configs, len(members), workers)
    n_parts = 1 if len(together) > 1 else min(workers, len(members))

    def train_some(configs: Sequence[TrainConfig], numbers: Sequence[int]) -> tuple[list[float], float]:
        times: list[float] = []
        trained = train_batched(configs, data, numbers, lambda done: times.append(time.perf_counter()))
        return [accuracy for result in trained for accuracy in result.test_accuracy.tolist()], times[-1] - times[0]

    def train_part(configs: Sequence[TrainConfig], part: int) -> tuple[list[float], float]:
        n_gains = len(configs[0].gains)  # with several gains, a member is one model for each of them
        numbers = [n_gains * member + gain for member in members[part::n_parts] for gain in range(n_gains)]
        n_examples = len(data.train_labels) + len(data.test_labels)
        results = [train_some(*cut) for cut in split_by_memory(configs, numbers, n_examples)]
        return [accuracy for some, _ in results for accuracy in some], sum(seconds for _, seconds in results)

    with flow_at_work(), ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting = [pool.submit(train_part, configs, part) for configs in together for part in range(n_parts)]
        results = [future.result() for future in waiting]
    accuracies = [accuracy for part, _ in results for accuracy in part]
    return Outcome(accuracies, sum(seconds for _, seconds in results) / min(workers, len(results)))


def augment(work: Work, members: Sequence[int], *, workers: int) -> Outcome:
    """Prepare the augmented batches of images of one epoch for each member in turn; train nothing."""
    data, config = load(work), work.configs[0]
    for member in members:
        for batches in augmented_epochs(
            data.train_inputs,
            data.train_labels,
            generator(member),
            n_classes=config.layer_sizes[-1],
            n_epochs=1,
            batch_size=config.batch_size,
        ):
            for _batch in batches:
                pass
    return Outcome([])
