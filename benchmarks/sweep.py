"""`python -m benchmarks.sweep`: a grid over `digits` by `deep-mlp sweep`, and by scikit-learn's GridSearchCV, smaller.

The same 16 shapes, three activations, batches, epochs and training examples. The peer trains one network of each shape
and activation, its time counts as often as ours has networks for each of these. Processor time is what a machine with
other work can tell; wall time needs one without.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from mlp_core.artifacts.storage import machine

DEPTHS, WIDTHS, EPOCHS, BATCH = (1, 2, 3, 4), (8, 16, 32, 64), 30, 64
STARTS = "pytorch,theory,xavier:0.5,xavier:1,xavier:1.5,xavier:2,xavier:3"
RATES = "0.001,0.003,0.01"
ACTIVATIONS, PEERS_ACTIVATIONS = ("relu", "tanh", "sigmoid"), ("relu", "tanh", "logistic")  # its name of the same
CONFIGURATIONS = len(DEPTHS) * len(WIDTHS) * len(ACTIVATIONS) * len(STARTS.split(",")) * len(RATES.split(","))


class Cost(NamedTuple):
    """Wall time, processor time and peak memory of a program; the memory is that of its largest process."""

    wall_seconds: float
    processor_seconds: float
    peak_mb: float


def main() -> None:
    """Measure `deep-mlp sweep` and scikit-learn's grid search, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description="Measure a sweep next to its peer.")
    parser.add_argument("--seeds", type=int, default=8, metavar="N", help="per configuration  [default: 8]")
    parser.add_argument("--peer", action="store_true", help="do the peer's work, in this process")
    parser.add_argument("--without-ours", action="store_true", help="measure the peer alone")
    options = parser.parse_args()
    if options.peer:
        grid_search()
        return
    n_ours, n_peers = CONFIGURATIONS * options.seeds, len(DEPTHS) * len(WIDTHS) * len(PEERS_ACTIVATIONS)
    print(f"{machine()}, load {os.getloadavg()[0]:.1f}")
    print("| program | networks | wall (s) | processor (s) | processor per network (s) | peak (MB) |")
    print("|---|---:|---:|---:|---:|---:|")
    peer = measured([sys.executable, "-m", "benchmarks.sweep", "--peer"])
    print(row("GridSearchCV(MLPClassifier, n_jobs=2)", n_peers, peer))
    if options.without_ours:
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("deep-mlp")), "sweep", "--data", "digits", "--artifacts", folder]
        command += ["--depths", "1:4", "--widths", ",".join(map(str, WIDTHS)), "--activations", ",".join(ACTIVATIONS)]
        command += ["--starts", STARTS, "--learning-rates", RATES, "--epochs", str(EPOCHS), "--batch-sizes", str(BATCH)]
        ours = measured([*command, "--seeds", str(options.seeds)])
    print(row("deep-mlp sweep, with report", n_ours, ours))
    ratio = peer.processor_seconds / n_peers / (ours.processor_seconds / n_ours)
    print(f"\nPer network {ratio:.0f} times less processor time; the peer trained {n_peers} networks of {n_ours}.")


def measured(command: Sequence[str]) -> Cost:
    """Run a program to its end and return its cost.

    Raises:
        RuntimeError: If it ends with another status than 0.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        message = f"{command[0]} ended with {process.returncode}"
        raise RuntimeError(message)
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def row(name: str, n_networks: int, cost: Cost) -> str:
    """Return a row of the Markdown table.

    Args:
        name: Name of the program.
        n_networks: Number of networks that it trained.
        cost: What it took.

    Example:
        >>> row("one", 2, Cost(1.0, 3.0, 500.0))
        '| one | 2 | 1 | 3 | 1.5000 | 500 |'
    """
    each = cost.processor_seconds / n_networks
    return (
        f"| {name} | {n_networks} | {cost.wall_seconds:.0f} | {cost.processor_seconds:.0f} | {each:.4f} "
        f"| {cost.peak_mb:.0f} |"
    )


def grid_search() -> None:
    """Fit each shape and activation once with scikit-learn's GridSearchCV, on as many examples as the project.

    The examples are the `digits` data: 1,151 for training and 287 for validation.
    """
    import warnings

    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    os.environ["PYTHONWARNINGS"] = "ignore"  # the number of epochs is given
    warnings.simplefilter("ignore")
    inputs, labels = load_digits(return_X_y=True)
    inputs = StandardScaler().fit_transform(inputs)[:1438].astype(np.float32)  # a fifth is for testing
    fold = np.where(np.arange(1438) < 1151, -1, 0)
    grid = {
        "hidden_layer_sizes": [(width,) * depth for depth, width in product(DEPTHS, WIDTHS)],
        "activation": list(PEERS_ACTIVATIONS),
    }
    network = MLPClassifier(
        solver="adam", learning_rate_init=0.003, batch_size=BATCH, max_iter=EPOCHS, n_iter_no_change=EPOCHS + 1, alpha=0
    )
    GridSearchCV(network, grid, cv=PredefinedSplit(fold), n_jobs=2, refit=False).fit(inputs, labels[:1438])


if __name__ == "__main__":
    main()
