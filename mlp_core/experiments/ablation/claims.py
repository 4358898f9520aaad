"""Claims on the ablation: what the decline with depth goes with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlp_core.experiments.claim_source import ClaimSource, rows_with
from mlp_core.statistics.by_seed import Table, by_seed, common_seeds, highest_median, in_pairs
from mlp_core.statistics.claims import Claim, Range, median_claim
from mlp_core.statistics.measures import cohens_d, mean_or_nan, share
from mlp_core.statistics.ranks import rank_correlation

_Floats = NDArray[np.float64]


def decline_is_vanishing_gradients(default: Table, restored: Table, figure: str = "ablation") -> Claim:
    """Return the verdict on the claim that accuracy falls beyond the best depth because gradients vanish.

    For each seed, the measure is the share of its decline from the best depth to the deepest that disappears when the
    same ReLU networks start with weights that keep the gradients' size. The claim is supported if the interval of the
    median share lies above 0.5. This cannot prove the cause, as a gain changes signals too, but it can refute it. A
    seed without a decline has no share (NaN) and counts against either verdict.

    The effect size needs no intervention: the rank correlation between the gradient at the start and the accuracy at
    the end, at each depth beyond the best, averaged over these depths. Dead units take part in it, as they let no
    gradient through.

    Args:
        default: ReLU with PyTorch's start; columns `depth`, `seed`, `test_accuracy` and `first_gradient_mean_square`
            (mean square of the loss gradient over the first layer's parameters, before the first step).
        restored: The same depths, ReLU with Xavier weights at the theoretical gain; columns `depth`, `seed`,
            `test_accuracy`.
        figure: Name of the figure that shows it.

    Raises:
        ValueError: If the two tables do not have the same depths.
    """
    best, shares, decline, n_choices = _share_that_goes(default, restored)

    def association() -> float:
        groups = [by_seed(default, value, "depth") for value in ("test_accuracy", "first_gradient_mean_square")]
        _, (accuracy, gradient) = common_seeds(*groups)
        beyond = groups[0].levels > best
        correlations = [rank_correlation(*pair) for pair in zip(gradient[beyond], accuracy[beyond], strict=True)]
        return mean_or_nan(np.array(correlations))

    return median_claim(
        "decline_is_vanishing_gradients",
        "tutorial",
        "Section 1",
        "Past the best depth learning itself fails, because gradients vanish.",
        f"share of the decline {decline} that goes when the start restores the gradients",
        Range(low=0.5),
        shares,
        association,
        "rank correlation of gradient at the start and accuracy, mean of the depths beyond the best",
        figure,
        n_choices,
    )


def decline_goes_with_better_start(default: Table, better: Table, figure: str = "ablation") -> Claim:
    """Return the verdict on our claim that tanh and a better start remove most of the decline past the best depth.

    For each seed, the measure is the share of its decline from the best depth to the deepest that disappears with the
    other activation and start; supported if the interval of the median lies above 0.5. The best depth is that of the
    default start for both: a best depth chosen for the better start itself would find some decline in pure noise. At a
    fixed budget of parameters the deeper network is the narrower one, so the claim cannot tell depth from width.

    Args:
        default: ReLU with PyTorch's start; columns `depth`, `seed`, `test_accuracy`.
        better: The same depths and columns, tanh with Xavier weights at the theoretical gain.
        figure: Name of the figure that shows it.

    Raises:
        ValueError: If the two tables do not have the same depths.
    """
    best, shares, decline, n_choices = _share_that_goes(default, better)

    def remaining() -> float:
        accuracy = by_seed(better, "test_accuracy", "depth")
        return cohens_d(accuracy.values[accuracy.levels == best].ravel() - accuracy.values[-1])

    return median_claim(
        "decline_goes_with_better_start",
        "ours",
        "Section 1",
        "Most of the decline past the best depth goes with tanh and a better start (of depth and width, which change "
        "together here, it says nothing).",
        f"share of the decline {decline} that goes with tanh and Xavier weights",
        Range(low=0.5),
        shares,
        remaining,
        "Cohen's d_z of the decline that remains",
        figure,
        n_choices,
    )


def _share_that_goes(default: Table, other: Table) -> tuple[float, _Floats, str, int]:
    """Return the best depth, the share of each seed's decline that goes with another start, and what decline this is.

    The best depth is that of the default start's highest median, as everywhere in the report. Other seeds may choose
    another one: the words name it, and the last value, of how many depths it was chosen, widens the interval so that it
    holds for whichever was. A seed without a decline has no share, NaN: it speaks against either verdict.
    """
    groups = by_seed(default, "test_accuracy", "depth"), by_seed(other, "test_accuracy", "depth")
    if not np.array_equal(groups[0].levels, groups[1].levels):
        message = f"depth must be the same in both tables, got {[group.levels.tolist() for group in groups]!r}."
        raise ValueError(message)
    depths, n_choices = groups[0].levels, max(1, len(groups[0].levels) - 1)
    best = highest_median(default, "test_accuracy", "depth")
    if math.isnan(best):
        return best, np.zeros(0), "from the best depth to the deepest", n_choices
    words = f"from depth {best:g}, the one of highest median, to depth {depths[-1]}"
    _, (base, changed) = in_pairs(*groups)
    lost, left = (values[depths == best].ravel() - values[-1] for values in (base, changed))
    return best, 1 - share(left, lost), words, n_choices


_THEORETICAL = "xavier at the theoretical gain"


def _on_ablation(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    table = rows_with(table, epochs=settings["epochs"])
    default = rows_with(table, activation="relu", initialization="pytorch")
    restored = rows_with(table, activation="relu", initialization=_THEORETICAL)
    better = rows_with(table, activation="tanh", initialization=_THEORETICAL)
    # a training that failed leaves a depth out: its decline would be another one
    if _same_depths(default, restored):
        yield decline_is_vanishing_gradients(default, restored)
    if _same_depths(default, better):
        yield decline_goes_with_better_start(default, better)


def _same_depths(first: pa.Table, other: pa.Table) -> bool:
    depths = [set(table["depth"].to_pylist()) for table in (first, other)]
    return bool(depths[0]) and depths[0] == depths[1]


CLAIMS = (ClaimSource("ablation", _on_ablation, data="spirals"),)
