"""Claims on the gain sweep: Xavier keeps the variance, and which gain is best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from mlp_core.experiments.claim_source import IMAGES, ONE_ORDER, ClaimSource, rows_with
from mlp_core.experiments.gain_sweep.experiment import GainSweep
from mlp_core.statistics.by_seed import Table, by_seed
from mlp_core.statistics.claims import SMALLEST_DIFFERENCE, Claim, Range, best_claim, median_claim
from mlp_core.statistics.comparisons import best_level
from mlp_core.statistics.measures import cohens_d, mean_or_nan, share


def best_gain_is_theoretical(table: Table, figure: str = "gain_sweep") -> Claim:
    """Return the verdict on the claim that the gain that trains best is the one that theory gives.

    The claim is supported if the whole interval of best gains lies within one step of the grid from the theoretical
    gain, which is as near as the grid can tell. To hold the theoretical gain is not enough: the fewer the seeds, the
    wider the interval, and the easier that would be. If no gain of the grid is that near to theory, the claim is
    undecided. Theory is for layers of equal width, which the tutorial's network does not have. The effect size is
    Cohen's d_z between the best gain and the one nearest to theory.

    Args:
        table: Columns `gain`, `theoretical_gain`, `seed`, `test_accuracy`; the theoretical gain is that of the first
            row.
        figure: Name of the figure.
    """
    accuracy = by_seed(table, "test_accuracy", "gain")
    gains, values = accuracy.levels, accuracy.values
    theory = float(np.asarray(table["theoretical_gain"])[0])
    above = min(max(int(np.searchsorted(gains, theory)), 1), max(len(gains) - 1, 1))
    step = float(gains[above] - gains[above - 1]) if len(gains) > 1 else math.nan
    within_reach = gains[0] - step <= theory <= gains[-1] + step
    reason = "" if within_reach else "; no gain of the grid is within a step of theory"
    return best_claim(
        "best_gain_is_theoretical",
        "tutorial",
        "Bonus",
        "The gain that trains best is the theoretical one.",
        "gain that does better than each other one in at least half of the pairs of equal seeds; theory for layers of "
        f"equal width {theory:.3f}, step of the grid {step:.3f}{reason}",
        Range(theory - step, theory + step),
        best_level(accuracy, 2) if within_reach else (0, math.nan, (math.nan, math.nan)),
        lambda: cohens_d(values[np.median(values, 1).argmax()] - values[np.abs(gains - theory).argmin()]),
        "Cohen's d_z, best gain minus the one nearest to theory",
        figure,
    )


def gains_differ(
    table: Table,
    gains: tuple[float, float] = (1.07, 1.71),
    figure: str = "gain_sweep",
) -> Claim:
    """Return the verdict on our claim that test accuracy at two gains differs by at least one percentage point.

    The two gains lie on either side of the theoretical one, and the difference is the median over seeds. If the table
    has no gains within 0.05 of both, the claim is undecided.

    Args:
        table: Columns `gain`, `seed`, `test_accuracy`.
        gains: The two gains; the difference is taken between the table's nearest ones, first minus second.
        figure: Name of the figure that shows it.
    """
    accuracy = by_seed(table, "test_accuracy", "gain")
    distances = np.abs(accuracy.levels - np.array(gains)[:, None])
    first, second = accuracy.values[distances.argmin(1)]
    difference = first - second if distances.min(1).max() < 0.05 else np.zeros(0)
    return median_claim(
        "gains_differ",
        "ours",
        "Bonus",
        f"The difference in accuracy between gains {gains[0]:g} and {gains[1]:g} is real.",
        f"difference in test accuracy, gain {gains[0]:g} minus gain {gains[1]:g}",
        Range(-SMALLEST_DIFFERENCE, SMALLEST_DIFFERENCE, within=False),
        difference,
        lambda: cohens_d(difference),
        "Cohen's d_z",
        figure,
    )


def xavier_preserves_variance(
    table: Table,
    direction: Literal["forward", "backward"],
    network: str,
    exact: float | None,
    figure: str = "xavier",
) -> Claim:
    """Return the verdict on the claim that Xavier's weights keep the variance of signals or gradients through layers.

    Kept means: the mean square changes by less than a factor of two from one end of the network to the other. If theory
    gives the mean over all networks exactly (as for leaky ReLUs without biases, at any width), that value decides, and
    the ratio of the measured means is the effect size. Otherwise the median of the networks' own ratios decides.

    Args:
        table: Columns `layer`, `member`, and `mean_square` (forward) or `gradient_mean_square` (backward) of
            pre-activations; one gain and one network. The first and the last layer of the table are compared.
        direction: `forward` for signals, from the first layer to the last; `backward` for gradients, from the last to
            the first.
        network: What was measured, in words, such as `3072-128-64-32-3, leaky_relu(0.1), gain 1.407`.
        exact: The ratio of mean squares that theory gives, if it is exact for these networks; else None.
        figure: Name of the figure.
    """
    column, carried, ends = {
        "forward": ("mean_square", "signals", (0, -1)),
        "backward": ("gradient_mean_square", "gradients", (-1, 0)),
    }[direction]
    squares = by_seed(table, column, "layer", key="member")
    (start, end), (first, last) = squares.values[list(ends)], squares.levels[list(ends)]
    claim = median_claim(
        f"xavier_preserves_variance_{direction}",
        "tutorial",
        "Bonus",
        f"Xavier's weights at the theoretical gain keep the variance of {carried} {direction}.",
        f"mean square of {carried} in layer {last} over that in layer {first}; {network}",
        Range(0.5, 2.0),
        share(end, start),
        lambda: cohens_d(end - start),
        "Cohen's d_z of the difference",
        figure,
    )
    if exact is None:
        return claim
    return replace(
        claim,
        estimate=exact,
        low=math.nan,
        high=math.nan,
        verdict="supported" if 0.5 <= exact <= 2.0 else "not supported",
        effect_size=float(share(mean_or_nan(end), mean_or_nan(start))),
        effect="the same measured, ratio of the means over n networks; the estimate is exact",
    )


def _on_xavier(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    sizes, gain = settings["layer_sizes"], table["gain"][0].as_py()
    activation = table["activation"][0].as_py()
    network = f"{'-'.join(str(size) for size in sizes)}, {activation}, gain {gain:.3f}"
    # a ReLU, leaky or not, halves a symmetric signal's square by its slope alone: then infinite width is any width
    is_exact = activation.startswith(("relu", "leaky_relu")) and settings["sigma_b"] == 0
    for direction in ("forward", "backward"):
        column = {"forward": "predicted_mean_square", "backward": "predicted_gradient_mean_square"}[direction]
        predicted = rows_with(table, member=table["member"][0].as_py()).sort_by("layer")[column].to_pylist()
        exact, subject = predicted[-1] / predicted[0], network
        if direction == "forward":
            from_input = exact * gain**2 * 2 * sizes[0] / (sizes[0] + sizes[1])
            subject = f"{network}; from the input to the last layer {from_input:.3g}"
        else:
            exact = 1 / exact
        yield xavier_preserves_variance(table, direction, subject, exact if is_exact else None)


def _on_gain_sweep(table: pa.Table, settings: Mapping[str, Any]) -> Iterator[Claim]:
    # not the gains, which the claims themselves look at, nor the batch, which few images may not fill
    tutorial = GainSweep().model_dump(mode="json", exclude={"gains", "batch_size"})
    if all(settings.get(name) == value for name, value in tutorial.items()):
        yield best_gain_is_theoretical(table)
        yield gains_differ(table)


CLAIMS = (
    ClaimSource("xavier", _on_xavier, data="random networks"),
    ClaimSource("gain_sweep", _on_gain_sweep, data=IMAGES, condition=ONE_ORDER),
)
