"""Claims on the ablation: what the decline with depth goes with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlp_core.experiments.claim_source import ClaimSource, claim_stream, rows_with
from mlp_core.statistics.bootstrap import bootstrap_interval, resampled_means
from mlp_core.statistics.by_seed import Table, by_seed, common_seeds
from mlp_core.statistics.claims import Claim, Range, measured_claim
from mlp_core.statistics.measures import cohens_d, mean_or_nan, share
from mlp_core.statistics.ranks import rank_correlation

_Floats = NDArray[np.float64]


def decline_is_vanishing_gradients(
    default: Table, restored: Table, stream: np.random.Generator, figure: str = "ablation"
) -> Claim:
    """Claim: accuracy falls beyond the best depth because gradients vanish.

    A cause is known by what happens without it: the same networks, with the same ReLU, start with weights that keep the
    gradients' size. If vanishing gradients are the cause, then at least half of the decline from the best depth to the
    deepest goes. This cannot prove the cause, as a gain changes signals too, but it can refute it. The effect size
    is an association that needs no intervention: within the depths beyond the best, do the members with the
    smaller gradients at the start end worse? Dead units share in it, as they let no gradient through.

    Args:
        default: ReLU as PyTorch starts it; columns `depth`, `seed`, `test_accuracy`, and
            `first_gradient_mean_square`: of the gradient of the loss by the first layer's parameters, before
            the first step.
        restored: The same depths, ReLU with Xavier weights at the theoretical gain; columns `depth`, `seed`,
            `test_accuracy`.
        stream: Where the resamples come from.
        figure: Name of the figure.

    Raises:
        ValueError: If the tables do not hold the same depths.
    """
    n, remaining, (low, high) = _remaining_decline(default, restored, stream)

    def association() -> float:
        _, (accuracy, gradient) = common_seeds(
            by_seed(default, "test_accuracy", "depth"), by_seed(default, "first_gradient_mean_square", "depth")
        )
        beyond = slice(int(accuracy.mean(1).argmax()) + 1, None)
        found = [rank_correlation(*pair) for pair in zip(gradient[beyond], accuracy[beyond], strict=True)]
        return mean_or_nan(np.array(found))

    return measured_claim(
        "decline_is_vanishing_gradients",
        "tutorial",
        "Section 1",
        "Past the best depth learning itself fails, because gradients vanish.",
        "share of the decline from the best depth to the deepest that goes when the start restores the gradients",
        Range(low=0.5),
        n,
        1 - remaining,
        (1 - high, 1 - low),
        association,
        "rank correlation of gradient at the start and accuracy, mean of the depths beyond the best",
        figure,
    )


def decline_goes_with_better_start(
    default: Table, better: Table, stream: np.random.Generator, figure: str = "ablation"
) -> Claim:
    """Claim, ours: most of the decline past the best depth goes with another activation and start.

    The decline is from the best depth of the default start to the deepest, with either start: a best depth
    chosen for the better start itself would find some decline in pure noise. At a fixed budget of parameters the
    deeper network is the narrower one, so that the claim cannot tell depth from width.

    Args:
        default: ReLU as PyTorch starts it; columns `depth`, `seed`, `test_accuracy`.
        better: The same depths, tanh with Xavier weights at the theoretical gain; the same columns.
        stream: Where the resamples come from.
        figure: Name of the figure.

    Raises:
        ValueError: If the tables do not hold the same depths.
    """
    n, remaining, (low, high) = _remaining_decline(default, better, stream)

    def decline() -> float:
        reference = by_seed(default, "test_accuracy", "depth").values.mean(1).argmax()
        values = by_seed(better, "test_accuracy", "depth").values
        return cohens_d(values[reference] - values[-1])

    return measured_claim(
        "decline_goes_with_better_start",
        "ours",
        "Section 1",
        "Most of the decline past the best depth goes with tanh and a better start (of depth and width, which change "
        "together here, it says nothing).",
        "share of the decline from the best depth to the deepest that goes with tanh and Xavier weights",
        Range(low=0.5),
        n,
        1 - remaining,
        (1 - high, 1 - low),
        decline,
        "Cohen's d_z of the decline that remains",
        figure,
    )


def _remaining_decline(
    default: Table, other: Table, stream: np.random.Generator
) -> tuple[int, float, tuple[float, float]]:
    """Return seeds, and with its interval the other start's share of the default's decline from its best depth."""
    groups = by_seed(default, "test_accuracy", "depth"), by_seed(other, "test_accuracy", "depth")
    if not np.array_equal(groups[0].levels, groups[1].levels):
        message = f"depth must be the same in both tables, got {[group.levels.tolist() for group in groups]!r}."
        raise ValueError(message)
    paired, values = common_seeds(*groups)

    def remaining(default_means: _Floats, other_means: _Floats) -> _Floats:
        best = default_means.argmax(1)[:, None]
        declines = [np.take_along_axis(means, best, 1)[:, 0] - means[:, -1] for means in (other_means, default_means)]
        return share(*declines)

    n = min(part.shape[1] for part in values)
    estimate = float(remaining(*(part.mean(1)[None] for part in values))[0]) if n else math.nan
    return n, estimate, bootstrap_interval(remaining(*resampled_means(values, stream, paired)), n)


_THEORETICAL = "xavier at the theoretical gain"


def _on_ablation(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    table = rows_with(table, epochs=settings["epochs"])
    default = rows_with(table, activation="relu", initialization="pytorch")
    restored = rows_with(table, activation="relu", initialization=_THEORETICAL)
    better = rows_with(table, activation="tanh", initialization=_THEORETICAL)
    # a training that failed leaves a depth out: its decline would be another one
    if _same_depths(default, restored):
        stream = claim_stream(settings, "decline_is_vanishing_gradients")
        yield decline_is_vanishing_gradients(default, restored, stream)
    if _same_depths(default, better):
        yield decline_goes_with_better_start(default, better, claim_stream(settings, "decline_goes_with_better_start"))


def _same_depths(one: pa.Table, other: pa.Table) -> bool:
    depths = [set(table["depth"].to_pylist()) for table in (one, other)]
    return bool(depths[0]) and depths[0] == depths[1]


CLAIMS = (ClaimSource("ablation", _on_ablation, data="spirals"),)
