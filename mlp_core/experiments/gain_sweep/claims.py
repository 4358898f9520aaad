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
    """Claim: the gain that trains best is the one that theory gives.

    An interval that merely holds the theoretical gain would prove nothing: the fewer the seeds, the wider it is, the
    better for the claim. So all of it has to lie within one step of the grid, which is as near as the grid can tell. On
    a grid without a gain that near nothing could bear the claim out, so nothing refutes it either: it is undecided.
    Theory is that of layers of equal width, which the tutorial's network has not.

    Args:
        table: Columns `gain`, `theoretical_gain`, `seed`, `test_accuracy`.
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
        lambda: cohens_d(values[values.mean(1).argmax()] - values[np.abs(gains - theory).argmin()]),
        "Cohen's d_z, best gain minus the one nearest to theory",
        figure,
    )


def gains_differ(
    table: Table,
    gains: tuple[float, float] = (1.07, 1.71),
    figure: str = "gain_sweep",
) -> Claim:
    """Claim, ours: the accuracies on either side of the theoretical gain really differ, by a percentage point or more.

    Without gains near these two, within 0.05, the claim is undecided.

    Args:
        table: Columns `gain`, `seed`, `test_accuracy`.
        gains: Two gains; the nearest ones of the table are compared.
        figure: Name of the figure.
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
    """Claim: weights by Xavier keep the variance of signals (forward) or of gradients (backward) through the layers.

    Kept means: within a factor of two from one end of the network to the other. Where the mean over all networks is
    known exactly, as with leaky ReLUs without biases at any width, it decides, and what was measured stands next to it:
    the ratio of the means, as the theory is about means. Else the median of the networks' own ratios decides.

    Args:
        table: Columns `layer`, `member`, and `mean_square` (forward) or `gradient_mean_square` (backward) of
            pre-activations; one gain and one network. The first and the last layer of the table are compared.
        direction: `forward` or `backward`.
        network: What was measured, in words, such as `3072-128-64-32-3, leaky_relu(0.1), gain 1.407`.
        exact: The measure as theory has it, if that is exact for these networks.
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
