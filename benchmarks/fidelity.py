"""Whether our networks are those of the tutorial's own loop: two samples of each configuration of the depth sweep.

The tutorial's way (`benchmarks.tutorial_style`) trains 64 networks of each depth, this project 1,024. A seed draws
other numbers in the one than in the other, so networks are compared as two samples, not in pairs. A control, networks
that train for three quarters of the epochs, shows that such a difference is seen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import fisher_exact, ks_2samp, mannwhitneyu

from benchmarks.work import Work, depth_configs, load
from mlp_core.artifacts.storage import machine
from mlp_core.engine.architecture import LEARNED_MARGIN
from mlp_core.engine.configs import TrainConfig
from mlp_core.engine.members import train_members
from mlp_core.statistics.intervals import median_interval, share_interval
from mlp_core.statistics.wording import format_cell, format_share

N_TUTORIAL, N_OURS = 64, 1024
CONTROL = 0.75
"""Share of the epochs that the control trains."""
_CHUNK = 8


@dataclass(frozen=True)
class Sample:
    """What trained networks of a configuration came to, float64 `[networks]` each.

    Attributes:
        train_loss: Mean loss of the last epoch, nats.
        train_accuracy: 0..1.
        test_accuracy: 0..1.
        n_classes: Number of classes.
    """

    train_loss: NDArray[np.float64]
    train_accuracy: NDArray[np.float64]
    test_accuracy: NDArray[np.float64]
    n_classes: int

    @property
    def n_never_learned(self) -> int:
        """Return how many networks stayed within 5 points of chance on the training set."""
        return int((self.train_accuracy < 1 / self.n_classes + LEARNED_MARGIN).sum())


def tutorials_networks(config: TrainConfig, members: Sequence[int]) -> list[tuple[float, float, float]]:
    """Train networks one by one as the tutorial does; return for each what `tutorial_style.train_one` returns."""
    from benchmarks import tutorial_style  # here: torchvision, which it needs, takes seconds to import

    torch.set_num_threads(1)
    loaders = tutorial_style.loaders(Work("fidelity", config.name, (config,)))
    return [tutorial_style.train_one(config, member, *loaders) for member in members]


def our_sample(config: TrainConfig, n_networks: int) -> Sample:
    """Train networks of a configuration as this project does."""
    trained = train_members(config, load(Work("fidelity", config.name, (config,))), range(n_networks))
    losses = trained.train_loss[:, -1].double().numpy()
    return Sample(losses, trained.train_accuracy.numpy(), trained.test_accuracy.numpy(), config.layer_sizes[-1])


def differences(first: Sample, second: Sample) -> list[float]:
    """Return the p-values of four tests of whether two samples are of one distribution.

    They are: Kolmogorov and Smirnov's of test accuracies and of losses (any difference), Mann and Whitney's of test
    accuracies (which of two is larger), and Fisher's of how many networks never learned.
    """
    tables = [[sample.n_never_learned, len(sample.train_loss) - sample.n_never_learned] for sample in (first, second)]
    return [
        float(ks_2samp(first.test_accuracy, second.test_accuracy).pvalue),
        float(ks_2samp(first.train_loss, second.train_loss).pvalue),
        float(mannwhitneyu(first.test_accuracy, second.test_accuracy).pvalue),
        float(fisher_exact(tables).pvalue),
    ]


def corrected(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values corrected for how many there are, by Holm's method.

    Example:
        >>> corrected(np.array([0.01, 0.5, 0.02])).tolist()
        [0.03, 0.5, 0.04]
    """
    order = np.argsort(p_values, axis=None)
    factors = len(order) - np.arange(len(order))
    result = np.empty(len(order))
    result[order] = np.minimum(1, np.maximum.accumulate(p_values.ravel()[order] * factors))
    return result.reshape(p_values.shape)


def in_markdown(
    names: Sequence[str], theirs: Sequence[Sample], ours: Sequence[Sample], controls: Sequence[Sample]
) -> str:
    """Return a table in Markdown with a row for each configuration, and what the tests say in all.

    Args:
        names: Names of the configurations.
        theirs: The tutorial's networks of each.
        ours: This project's.
        controls: This project's, trained for fewer epochs.
    """
    p_values = corrected(np.array([differences(*pair) for pair in zip(theirs, ours, strict=True)]))
    of_controls = corrected(np.array([differences(*pair) for pair in zip(theirs, controls, strict=True)]))
    lines = [
        f"{len(theirs[0].train_loss)} networks of each configuration by the tutorial's loop and "
        f"{len(ours[0].train_loss):,} by this project, on {machine()}, torch {torch.__version__}.",
        "",
        "| configuration | its median test accuracy | ours | its never learned | ours | least p | least p, control |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, *samples, p_value, of_control in zip(names, theirs, ours, p_values, of_controls, strict=True):
        medians = [format_cell(median_interval(sample.test_accuracy)) for sample in samples]
        counts = [(sample.n_never_learned, len(sample.train_loss)) for sample in samples]
        shares = [format_share(share_interval(*pair)) for pair in counts]
        cells = [name, *medians, *shares, f"{p_value.min():.2g}", f"{of_control.min():.2g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> int:
    """Train both samples of every configuration and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="networks of the tutorial's side by side")
    workers = parser.parse_args().workers
    configs = depth_configs()
    chunks = [range(first, first + _CHUNK) for first in range(0, N_TUTORIAL, _CHUNK)]
    theirs, ours, controls = [], [], []
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for config in configs:
            networks = [row for rows in pool.map(partial(tutorials_networks, config), chunks) for row in rows]
            loss, train_accuracy, test_accuracy = np.array(networks).T
            theirs.append(Sample(loss, train_accuracy, test_accuracy, config.layer_sizes[-1]))
            ours.append(our_sample(config, N_OURS))
            controls.append(our_sample(replace(config, epochs=round(CONTROL * config.epochs)), N_OURS))
            print(f"{config.name}: {differences(theirs[-1], ours[-1])}", file=sys.stderr, flush=True)
    print(in_markdown([config.name for config in configs], theirs, ours, controls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
