"""How often claims and comparisons are decided wrongly, on populations of this project's own networks.

Samples of 8, 16 and 64 seeds are drawn from the populations of `benchmarks.coverage`, which this program does not
train, and moved to where the truth is at the edge of what is claimed: there every decision for one side is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage import FOLDER, SIZES, configs, population
from mlp_core.experiments.ablation.claims import decline_goes_with_better_start
from mlp_core.experiments.depth_sweep.claims import TYPICAL_MARGIN, published_curve_is_typical
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from mlp_core.statistics import bootstrap
from mlp_core.statistics.bootstrap import bootstrap_interval, bootstrap_weights
from mlp_core.statistics.claims import MIN_SEEDS, Range
from mlp_core.statistics.comparisons import not_best
from mlp_core.statistics.intervals import median_interval

_Floats = NDArray[np.float64]
_RESAMPLES = 2000
_PUBLISHED_DECLINE = 0.036


def populations(folder: Path) -> dict[tuple[str, str, float], _Floats]:
    """Return test accuracies `[depths, networks]` by activation, scheme and gain; equal places have equal seeds."""
    by_start: dict[tuple[str, str, float], dict[int, _Floats]] = {}
    named = configs()
    for config in (*named["depth sweep"], *named["ablation"]):
        table = population(folder, config)
        if table is not None and config.epochs == DepthSweep().epochs:
            key = config.activation, config.scheme, config.gains[0]
            by_start.setdefault(key, {})[len(config.layer_sizes) - 2] = table["test_accuracy"].to_numpy()
    whole = {key: depths for key, depths in by_start.items() if len(depths) == len(DepthSweep().depths)}
    n = min(len(values) for depths in whole.values() for values in depths.values())
    return {key: np.stack([depths[depth][:n] for depth in sorted(depths)]) for key, depths in whole.items()}


def decisions(found: dict[tuple[str, str, float], _Floats]) -> Iterator[tuple[str, str, Callable[[_Floats], str]]]:
    """Yield what is decided, what would be wrong, and from the places of some networks to what is said."""
    default = found["relu", "pytorch", 1.0]
    best = int(default.mean(1).argmax())
    shares = (default[:, None] > default[None]).mean(2) + np.eye(len(default))
    wins = shares.min(1)
    most_wins = int(wins.argmax())

    def excluded(places: _Floats) -> str:
        return "wrong" if not_best(default[:, places])[0][most_wins] else ""

    wrong = f"depth {most_wins + 1}, with {100 * wins[most_wins]:.1f} % of pairs at least, is excluded"
    yield "which depth is best (sign tests)", wrong, excluded

    alike = [values for key, values in found.items() if key != ("relu", "pytorch", 1.0)]
    half = [values[best] - values[-1] - (default[best] - default[-1]) / 2 for values in alike]
    half = [values - np.median(values) for values in half]

    def goes(places: _Floats) -> str:
        return "wrong" if any(median_interval(one[places], len(half)).high < 0 for one in half) else ""

    yield f"more than half of the decline goes, best of {len(half)} starts", "said where each leaves just half", goes

    better = min(alike, key=lambda values: values[best].mean() - values[-1].mean())
    loss = default[best].mean() - default[-1].mean()
    shift = loss / 2 - (better[best].mean() - better[-1].mean())
    edge = better.copy()
    edge[-1] -= shift

    def start(places: _Floats) -> str:
        tables = (_table(values[:, places]) for values in (default, edge))
        return decline_goes_with_better_start(*tables, np.random.default_rng(int(places[0]))).verdict

    yield "half of the mean decline goes with one start", "decided where just half goes", start

    published = default.copy()
    published[-1] += default[2].mean() - default[4].mean() - (_PUBLISHED_DECLINE + TYPICAL_MARGIN)

    def typical(places: _Floats) -> str:
        return published_curve_is_typical(_table(published[:, places]), np.random.default_rng(int(places[0]))).verdict

    yield "the one curve is typical", "decided where the mean decline is at the edge", typical

    def ratio(places: _Floats) -> str:
        values = default[0][places] - 0.25
        outside = 0.5 * (default[0].mean() - 0.25) + 0.8 * (values - values.mean())
        outside += (default[1][places] - default[1].mean()) * 0.5
        weights = bootstrap_weights(len(places), np.random.default_rng(int(places[0])), _RESAMPLES)
        interval = bootstrap_interval((weights @ outside) / (weights @ values), len(places))
        return Range(high=0.5).verdict(*interval, max(len(places), MIN_SEEDS))

    yield "a share of an advantage is kept (constructed)", "decided where just half is kept", ratio


def _table(values: _Floats) -> dict[str, NDArray[np.generic]]:
    n_depths, n = values.shape
    return {
        "depth": np.repeat(np.arange(1, n_depths + 1), n),
        "seed": np.tile(np.arange(n), n_depths),
        "test_accuracy": values.ravel(),
    }


def main() -> int:
    """Print the table of docs/statistics.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("--samples", type=int, default=1000, metavar="N", help="of each size")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the populations lie")
    options = parser.parse_args()
    bootstrap.N_RESAMPLES = _RESAMPLES
    found = populations(options.folder)
    n_networks = next(iter(found.values())).shape[1]
    print(f"{n_networks} networks for each depth and start, {options.samples} samples of each size.\n")
    print(f"| decision | wrong | {' | '.join(f'n = {n}' for n in SIZES)} |\n|---|---|{'---:|' * len(SIZES)}")
    for what, wrong, decide in decisions(found):
        cells = []
        for n in SIZES:
            stream = np.random.default_rng([n, *what.encode()])
            said = [decide(stream.integers(n_networks, size=n)) for _ in range(options.samples)]
            parts = [100 * said.count(word) / len(said) for word in ("wrong", "supported", "not supported")]
            cells.append(f"{parts[0]:.1f} %" if not any(parts[1:]) else f"{parts[1]:.1f} % / {parts[2]:.1f} %")
        print(f"| {what} | {wrong} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
