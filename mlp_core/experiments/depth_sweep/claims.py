"""Claims on the depth sweep: a best depth lies inside, and the published curve is typical."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from mlp_core.data.settings import Spirals
from mlp_core.experiments.claim_source import ClaimSource
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from mlp_core.experiments.depth_sweep.published import PUBLISHED_CURVE
from mlp_core.statistics.by_seed import Table, by_seed
from mlp_core.statistics.claims import Claim, Range, best_claim, median_claim
from mlp_core.statistics.comparisons import best_level
from mlp_core.statistics.measures import cohens_d

# How far a median over seeds may lie from one published number that is still called typical
TYPICAL_MARGIN = 0.05


def interior_best_depth(table: Table, figure: str = "depth_sweep") -> Claim:
    """Return the verdict on the claim that, at a fixed budget of parameters, some depth between the extremes is best.

    The interval holds all depths that sign tests over pairs of equal seeds do not exclude as the best. If all depths
    were equally good, it would hold both extremes 95 times in 100, and the claim would be undecided. The effect size is
    Cohen's d_z between the best inner depth and the better of the two extremes.

    Args:
        table: Columns `depth`, `seed`, `test_accuracy`; one activation and one initialization.
        figure: Name of the figure.
    """
    accuracy = by_seed(table, "test_accuracy", "depth")
    depths, values = accuracy.levels, accuracy.values
    inner = [float(depth) for depth in depths[1:-1]] or [math.nan]

    def advantage() -> float:
        medians = np.median(values, 1)
        best = medians[1:-1].argmax() + 1
        better_end = 0 if medians[0] > medians[-1] else -1
        return cohens_d(values[best] - values[better_end])

    return best_claim(
        "interior_best_depth",
        "tutorial",
        "Section 1",
        "At a fixed budget of parameters a depth between the extremes is best.",
        "depth that does better than each other one in at least half of the pairs of equal seeds",
        Range(inner[0], inner[-1]),
        best_level(accuracy, 3),
        advantage,
        "Cohen's d_z, best inner depth minus the better end",
        figure,
    )


def published_curve_is_typical(table: Table, figure: str = "depth_sweep") -> Claim:
    """Return the verdict on our claim that most networks lose with depth what the tutorial's one published curve loses.

    The published curve has its best depth at 3 and loses 3.6 percentage points from there to depth 5. The claim is
    about the median loss over seeds between these two depths, within `TYPICAL_MARGIN`. Both depths are the published
    curve's, not chosen from these members: the best minus the last value of one seed's curve would be large by noise
    alone. The median is used as it has a reliable interval, which the mean has not: a few networks fail.

    Args:
        table: Columns `depth`, `seed`, `test_accuracy`; the tutorial's activation, initialization and depths.
        figure: Name of the figure.
    """
    accuracy = by_seed(table, "test_accuracy", "depth")
    best, deepest = max(PUBLISHED_CURVE, key=PUBLISHED_CURVE.__getitem__), max(PUBLISHED_CURVE)
    published = PUBLISHED_CURVE[best] - PUBLISHED_CURVE[deepest]
    decline = accuracy.values[accuracy.levels == best] - accuracy.values[accuracy.levels == deepest]
    n = decline.shape[1]
    below = [int((accuracy.values[accuracy.levels == depth] < value).sum()) for depth, value in PUBLISHED_CURVE.items()]
    ranks = f"{', '.join(str(rank) for rank in below[:-1])} and {below[-1]} of {n} member{'s' * (n != 1)}"
    return median_claim(
        "published_curve_is_typical",
        "ours",
        "Section 1",
        "The tutorial's curve of one seed is typical: little is lost from the best depth to the deepest.",
        f"test accuracy at depth {best} minus that at depth {deepest}; in the one curve it is {published:.3f}",
        Range(published - TYPICAL_MARGIN, published + TYPICAL_MARGIN),
        decline.ravel(),
        lambda: cohens_d(decline[0] - published),
        f"Cohen's d_z, decline minus that of the one curve; below it lie, in the order of the depths, {ranks}",
        figure,
    )


def _on_depth_sweep(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    yield interior_best_depth(table)
    published = {**Spirals().model_dump(mode="json"), **DepthSweep().model_dump(mode="json")}
    whole = set(table["depth"].to_pylist()) == set(published["depths"])
    if whole and all(settings.get(name) == value for name, value in published.items()):
        yield published_curve_is_typical(table)


CLAIMS = (ClaimSource("depth_sweep", _on_depth_sweep, data="spirals"),)
