"""How often claims and comparisons are decided wrongly, and how often at all, on this project's own networks.

Samples of 8, 16 and 64 seeds are drawn from the populations of `benchmarks.coverage`, which this program does not
train. Where they are moved to the edge of what is claimed, every decision for one side is wrong; as they are, every
decision is right that says what the whole population does.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage import FOLDER, SIZES, configs, population
from mlp_core.experiments.ablation.claims import decline_goes_with_better_start, decline_is_vanishing_gradients
from mlp_core.experiments.depth_sweep.claims import TYPICAL_MARGIN, interior_best_depth, published_curve_is_typical
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from mlp_core.experiments.depth_sweep.published import PUBLISHED_CURVE
from mlp_core.experiments.gain_sweep.claims import best_gain_is_theoretical, gains_differ
from mlp_core.statistics.claims import Claim, Range, median_claim
from mlp_core.statistics.comparisons import not_best
from mlp_core.statistics.intervals import median_interval

_Floats = NDArray[np.float64]
_Start = tuple[str, str, float]
_Wrong = Literal["wrong", "supported", "not supported", ""]
_OUTSIDE: tuple[tuple[int, _Wrong], ...] = ((1, "supported"), (-1, "not supported"))
"""Beyond the edge or short of it, and what must not be said there."""
_DEFAULT: _Start = ("relu", "pytorch", 1.0)


@dataclass(frozen=True)
class Decision:
    """A decision made on a sample of networks whose population is known.

    Attributes:
        name: What is decided.
        truth: What holds in the population, in words.
        decide: Function of the indices of the sampled networks; returns the verdict.
        wrong: The verdict that is an error in this population; empty if verdicts are only counted.
    """

    name: str
    truth: str
    decide: Callable[[NDArray[np.int64]], str]
    wrong: _Wrong


def populations(folder: Path) -> dict[_Start, _Floats]:
    """Read the trained populations of the depth sweep and the ablation.

    Args:
        folder: Where `benchmarks.coverage` stores them.

    Returns:
        Test accuracies `[depths, networks]` by activation, scheme and gain; networks in the same column have equal
        seeds. Starts that lack a depth are left out.
    """
    by_start: dict[_Start, dict[int, _Floats]] = {}
    named = configs()
    for config in (*named["depth sweep"], *named["ablation"]):
        table = population(folder, config)
        if table is not None and config.epochs == DepthSweep().epochs:
            key = config.activation, config.scheme, float(config.gains[0])
            by_start.setdefault(key, {})[len(config.layer_sizes) - 2] = table["test_accuracy"].to_numpy()
    whole = {key: depths for key, depths in by_start.items() if len(depths) == len(DepthSweep().depths)}
    n = min(len(values) for depths in whole.values() for values in depths.values())
    return {key: np.stack([depths[depth][:n] for depth in sorted(depths)]) for key, depths in whole.items()}


def gain_populations(folder: Path) -> tuple[list[float], _Floats]:
    """Read the trained populations of the gain sweep.

    Args:
        folder: Where `benchmarks.coverage` stores them.

    Returns:
        The gains, and test accuracies `[gains, networks]`, equal seeds in the same column; both empty if none is
        trained.
    """
    tables = {config.gains[0]: population(folder, config) for config in configs()["gain sweep"]}
    trained = {gain: table["test_accuracy"].to_numpy() for gain, table in sorted(tables.items()) if table is not None}
    n = min((len(values) for values in trained.values()), default=0)
    return list(trained), np.array([values[:n] for values in trained.values()])


def best_by_pairs(values: _Floats) -> int:
    """Return the row that is best in pairs of equal seeds: its lowest share of wins over any other row is highest.

    Args:
        values: `[rows, networks]`; the networks of a column have equal seeds.
    """
    shares = (values[:, None] > values[None]).mean(2) + np.eye(len(values))
    return int(shares.min(1).argmax())


def decisions(accuracies: dict[_Start, _Floats]) -> Iterator[Decision]:
    """Yield decisions on the depth sweep and ablation: in populations as they are, and moved to the claim's edge.

    Args:
        accuracies: As `populations` returns them.
    """
    default = accuracies[_DEFAULT]
    best = best_by_pairs(default)
    truth = f"depth {best + 1} wins most pairs with each other one: it is excluded"
    yield Decision(
        "which depth is best (sign tests)",
        truth,
        lambda places: "wrong" if not_best(default[:, places])[0][best] else "",
        "wrong",
    )
    yield Decision(
        "a depth between the extremes is best", f"as it is: depth {best + 1} is", _on_depths(default), wrong=""
    )
    at_the_end = default[np.r_[np.delete(np.arange(len(default)), best), best]]
    yield Decision(
        "a depth between the extremes is best", "the best depth is the deepest", _on_depths(at_the_end), "supported"
    )
    published, typical = _typical(default)
    yield Decision("the one curve is typical", f"as it is: a median decline of {typical:.3f}", published(0), wrong="")
    edge = max(PUBLISHED_CURVE.values()) - PUBLISHED_CURVE[max(PUBLISHED_CURVE)] + TYPICAL_MARGIN
    for beyond, wrong in _OUTSIDE:
        truth = f"the median decline is at the edge, {'outside' if beyond > 0 else 'inside'}"
        yield Decision("the one curve is typical", truth, published(edge + 1e-9 * beyond - typical), wrong)
    alike = [values for key, values in accuracies.items() if key != _DEFAULT]
    reference = int(np.median(default, 1).argmax())
    half = [values[reference] - values[-1] - (default[reference] - default[-1]) / 2 for values in alike]
    half = [values - np.median(values) for values in half]
    yield Decision(
        f"more than half of the decline goes, best of {len(half)} starts",
        "each leaves just half",
        lambda places: "wrong" if any(median_interval(change[places], len(half)).high < 0 for change in half) else "",
        "wrong",
    )


def decisions_on_starts(accuracies: dict[_Start, _Floats]) -> Iterator[Decision]:
    """Yield the two claims on what removes the decline with depth: in populations as they are, and moved to the edge.

    Args:
        accuracies: As `populations` returns them.
    """
    default = accuracies[_DEFAULT]
    gradients = {"first_gradient_mean_square": np.ones(0)}
    best = int(np.median(default, 1).argmax())
    for activation, claim in (("relu", decline_is_vanishing_gradients), ("tanh", decline_goes_with_better_start)):
        key = max(
            start for start in accuracies if start[0] == activation and start[1] != "pytorch"
        )  # the larger gain: theory's
        other, name = accuracies[key], claim.__name__.replace("_", " ")
        with np.errstate(divide="ignore", invalid="ignore"):
            lost = default[best] - default[-1]
            share = np.where(lost > 0, 1 - (other[best] - other[-1]) / lost, np.nan)

        def decide(values: _Floats, make: Callable[..., Claim] = claim) -> Callable[[NDArray[np.int64]], str]:
            def on(places: NDArray[np.int64]) -> str:
                tables = [_table(side[:, places]) for side in (default, values)]
                tables[0] |= {column: np.ones(default.shape[0] * len(places)) for column in gradients}
                return make(*tables).verdict

            return on

        yield Decision(
            name,
            f"as it is: {np.nanmedian(share):.2f} in the median of the seeds that decline",
            decide(other),
            wrong="",
        )
        # what is left of each decline moves so that half of all seeds, those without a decline on the wrong side, lose
        # more than half: then either verdict is wrong
        for beyond, wrong in _OUTSIDE:
            left = other[best] - other[-1] - lost / 2
            ranked = np.where(lost > 0, -left, -beyond * math.inf)
            moved = other.copy()
            moved[-1] -= np.sort(ranked)[len(ranked) // 2 - (beyond > 0)] + 1e-9 * beyond
            side = "less" if beyond > 0 else "more"
            yield Decision(name, f"just {side} than half of the seeds lose more than half", decide(moved), wrong)


def decisions_on_gains(gains: list[float], values: _Floats) -> Iterator[Decision]:
    """Yield the claims on the gain sweep, on a coarser grid of gains than its own.

    Args:
        gains: The gains.
        values: Test accuracies `[gains, networks]`.
    """
    best = gains[best_by_pairs(values)]

    def table(places: NDArray[np.int64], values: _Floats = values) -> dict[str, NDArray[np.generic]]:
        columns = _table(values[:, places])
        return {
            **columns,
            "gain": np.repeat(gains, len(places)),
            "theoretical_gain": np.full(values.shape[0] * len(places), 1.407),
        }

    yield Decision(
        "the best gain is the theoretical one",
        f"as it is: {best:g} is the best of {len(gains)}",
        lambda places: best_gain_is_theoretical(table(places)).verdict,
        "",
    )
    pair = (1.4, 1.7)
    difference = values[gains.index(pair[0])] - values[gains.index(pair[1])]
    yield Decision(
        f"gains {pair[0]:g} and {pair[1]:g} differ",
        f"as it is: by {100 * np.median(difference):.2f} points",
        lambda places: gains_differ(table(places), pair).verdict,
        "",
    )
    for beyond, wrong in _OUTSIDE:
        moved = values.copy()
        moved[gains.index(pair[0])] += 0.01 - 1e-9 * beyond - np.median(difference)
        yield Decision(
            f"gains {pair[0]:g} and {pair[1]:g} differ",
            f"the median difference is at the edge, {'too small' if beyond > 0 else 'large enough'}",
            lambda places, moved=moved: gains_differ(table(places, moved), pair).verdict,  # type: ignore[misc]
            wrong,
        )


def constructed(n_networks: int) -> Iterator[Decision]:
    """Yield a claim on shares with a skewed (exponential) distribution, moved to the claim's edge from either side."""
    stream = np.random.default_rng(0)
    shares = stream.exponential(size=n_networks)
    for beyond, wrong in _OUTSIDE:
        values = shares - np.median(shares) + 0.5 + 1e-9 * beyond

        def decide(places: NDArray[np.int64], values: _Floats = values) -> str:
            claim = median_claim("", "ours", "", "", "", Range(high=0.5), values[places], lambda: 0.0, "", "")
            return claim.verdict

        side = "more" if beyond > 0 else "less"
        yield Decision("at most half is kept (constructed, exponential)", f"just {side} than half is", decide, wrong)


def _on_depths(values: _Floats) -> Callable[[NDArray[np.int64]], str]:
    return lambda places: interior_best_depth(_table(values[:, places])).verdict


def _typical(default: _Floats) -> tuple[Callable[[float], Callable[[NDArray[np.int64]], str]], float]:
    """Return the claim on the published curve for networks that lose so much more, and the median that they lose."""
    depths = sorted(PUBLISHED_CURVE)
    best, deepest = depths.index(max(PUBLISHED_CURVE, key=PUBLISHED_CURVE.__getitem__)), len(depths) - 1

    def moved(by: float) -> Callable[[NDArray[np.int64]], str]:
        values = default.copy()
        values[deepest] -= by
        return lambda places: published_curve_is_typical(_table(values[:, places])).verdict

    return moved, float(np.median(default[best] - default[deepest]))


def _table(values: _Floats) -> dict[str, NDArray[np.generic]]:
    n_depths, n = values.shape
    return {
        "depth": np.repeat(np.arange(1, n_depths + 1), n),
        "seed": np.tile(np.arange(n), n_depths),
        "test_accuracy": values.ravel(),
    }


def _cell(decision: Decision, verdicts: list[str]) -> str:
    shares = {word: 100 * verdicts.count(word) / len(verdicts) for word in ("supported", "not supported")}
    if decision.wrong:
        return f"{100 * verdicts.count(decision.wrong) / len(verdicts):.1f} %"
    return f"{shares['supported']:.1f} % / {shares['not supported']:.1f} %"


def main() -> int:
    """Print the tables of docs/statistics.md: how often each decision is wrong, or made at all, by sample size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("--samples", type=int, default=2000, metavar="N", help="of each size")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the populations lie")
    options = parser.parse_args()
    accuracies = populations(options.folder)
    n_networks = next(iter(accuracies.values())).shape[1]
    parts = [(n_networks, [*decisions(accuracies), *decisions_on_starts(accuracies), *constructed(n_networks)])]
    gains, values = gain_populations(options.folder)
    if values.size:
        parts.append((values.shape[1], list(decisions_on_gains(gains, values))))
    print(f"{' and '.join(f'{n:,}' for n, _ in parts)} networks of each, {options.samples:,} samples of each size.")
    columns = " | ".join(f"n = {n}" for n in SIZES)
    for is_wrong, title in ((True, "said wrongly, at the edge"), (False, "supported / not supported, as it is")):
        print(f"\n| decision | {title} | {columns} |\n|---|---|{'---:|' * len(SIZES)}")
        for n_members, some in parts:
            for decision in (decision for decision in some if bool(decision.wrong) is is_wrong):
                cells = []
                for n in SIZES:
                    stream = np.random.default_rng([n, *decision.name.encode(), *decision.truth.encode()])
                    samples = (stream.integers(n_members, size=n) for _ in range(options.samples))
                    cells.append(_cell(decision, [decision.decide(places) for places in samples]))
                print(f"| {decision.name} | {decision.truth} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
