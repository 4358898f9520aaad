"""The tutorial's claims and some of ours, each with a measure, an interval over seeds and a verdict by one rule.

A claim is worded as its source says it, so that *supported* always means that its source is right. It names a measure
and the values of it that would bear the claim out, before any number is seen. The claims take result tables: anything
that gives a column by its name, such as a pandas frame, a pyarrow table or a dict of arrays, with one row per member
and configuration and only the rows that the claim is about. A seed that lacks a finite value in any configuration
compared, as a diverged member does, is left out; `n` counts those that remain. Give each claim a generator of its own,
so that its interval does not depend on which others are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mlp_core.experiments.depth_sweep.published import PUBLISHED_CURVE
from mlp_core.statistics.intervals import student_t_factor

N_RESAMPLES = 10_000
_WEIGHTS_AT_ONCE = 5_000_000
MIN_SEEDS = 8
# Accuracies closer than this are called equal: with seeds enough, any two configurations differ in some digit
SMALLEST_DIFFERENCE = 0.01
VERDICT_RULE = (
    "A claim is supported, which always means that its source is right, if the 95 % interval of its measure lies "
    "wholly in the range claimed, not supported if the interval lies wholly outside it, neither if both models that it "
    "compares do worse than guessing, and undecided if the interval holds values of both kinds or rests on fewer than "
    f"{MIN_SEEDS} seeds."
)
# How far a mean over seeds may lie from one published number that is still called typical
TYPICAL_MARGIN = 0.05

Verdict = Literal["supported", "not supported", "neither", "undecided"]
Source = Literal["tutorial", "ours"]
_Floats = NDArray[np.float64]


class Table(Protocol):
    """Columns by name."""

    def __getitem__(self, name: str, /) -> Any:
        """Return one column."""


@dataclass(frozen=True)
class Range:
    """The values of a measure that bear a claim out.

    Attributes:
        low: Smallest of the range.
        high: Largest of the range.
        within: Whether the claim holds in the range; if not, it holds on both sides of it.
    """

    low: float = -math.inf
    high: float = math.inf
    within: bool = True

    def __str__(self) -> str:
        """Return the range in words."""
        if not self.low <= self.high:
            return "no value"
        if not self.within:
            return f"below {self.low:g} or above {self.high:g}"
        if self.high == math.inf:
            return f"at least {self.low:g}"
        if self.low == -math.inf:
            return f"at most {self.high:g}"
        return f"{self.low:.4g} to {self.high:.4g}"

    def verdict(self, low: float, high: float, n: int) -> Verdict:
        """Return the verdict on an interval by `VERDICT_RULE`.

        Example:
            >>> Range(low=0.5).verdict(0.6, 0.9, n=64), Range(low=0.5).verdict(0.6, 0.9, n=4)
            ('supported', 'undecided')
        """
        inside, outside = self.low <= low and high <= self.high, high < self.low or low > self.high
        if n < MIN_SEEDS or not (inside or outside):
            return "undecided"
        return "supported" if inside is self.within else "not supported"


@dataclass(frozen=True)
class Claim:
    """One claim, measured.

    Attributes:
        name: Short name.
        source: Who says it: the tutorial, or this project.
        section: The tutorial's section that it belongs to.
        statement: The claim as its source says it.
        measure: What was measured.
        claimed: The values of the measure that bear the claim out.
        n: Seeds; with two unpaired groups those of the smaller one.
        estimate: The measure; NaN if there is none.
        low: Lower end of its 95 % interval over seeds, by bootstrap; may be infinite, NaN if there is none, as for an
            exact number.
        high: Upper end.
        effect_size: A second number, such as how large the effect is; NaN if there is none.
        effect: What kind of number the effect size is.
        verdict: By `VERDICT_RULE`.
        figure: Name of the figure that shows it.
        data: What the networks were trained on or measured with.
        condition: What the verdict holds for only; empty if there is no such thing.
    """

    name: str
    source: Source
    section: str
    statement: str
    measure: str
    claimed: str
    n: int
    estimate: float
    low: float
    high: float
    effect_size: float
    effect: str
    verdict: Verdict
    figure: str
    data: str = ""
    condition: str = ""


def bootstrap_weights(n: int, stream: np.random.Generator, n_resamples: int = N_RESAMPLES) -> _Floats:
    """Return how much each of n seeds weighs in each resample: `weights @ values` are the resampled means.

    Configurations that share seeds are resampled together by one matrix product, which keeps them paired.

    Args:
        n: Seeds, at least 1.
        stream: Where the resamples come from.
        n_resamples: How many of them; two halves one after the other are the whole.

    Returns:
        `[n_resamples, n]`, each row with sum 1.

    Example:
        >>> weights = bootstrap_weights(8, np.random.default_rng(0))
        >>> weights.shape, bool(np.allclose(weights.sum(1), 1))
        ((10000, 8), True)

    Source:
        Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    draws = stream.integers(n, size=(n_resamples, n)) + n * np.arange(n_resamples)[:, None]
    return np.bincount(draws.ravel(), minlength=n_resamples * n).reshape(n_resamples, n) / n


def bootstrap_interval(resampled: _Floats, n: int) -> tuple[float, float]:
    """Return the central 95 % of a resampled measure, widened as few seeds require.

    The plain percentiles are too narrow for few seeds, as a normal quantile and a deviation without Bessel's correction
    are: with 8 they cover a mean 89 times in 100. So the tails are not 2.5 % but
    `Phi(-t(n - 1) sqrt(n / (n - 1)))`, with which the interval of a mean is that of Student's t for symmetric data. The
    ends are values that occur, so that the best of a few depths has a depth for an end. A resample in which the
    measure is not defined (NaN) counts as beyond both ends.

    Args:
        resampled: The measure in each resample.
        n: Seeds.

    Returns:
        Lower and upper end; NaN for fewer than 2 seeds.

    Example:
        >>> values = np.random.default_rng(0).normal(size=64)
        >>> low, high = bootstrap_interval(bootstrap_weights(64, np.random.default_rng(1)) @ values, 64)
        >>> from mlp_core.statistics.intervals import mean_interval
        >>> interval = mean_interval(values)
        >>> abs(low - interval.low) < 0.02, abs(high - interval.high) < 0.02
        (True, True)

    Source:
        Hesterberg 2015, "What teachers should know about the bootstrap", section 4.3.2 (expanded percentiles).
    """
    if n < 2:
        return math.nan, math.nan
    tail = math.erfc(student_t_factor(n - 1) * math.sqrt(n / (n - 1) / 2)) / 2
    undefined = np.isnan(resampled)
    low = np.quantile(np.where(undefined, -math.inf, resampled), tail, method="lower")
    high = np.quantile(np.where(undefined, math.inf, resampled), 1 - tail, method="higher")
    return float(low), float(high)


def cohens_d(values: _Floats, others: _Floats | None = None) -> float:
    """Return the standardised distance of a mean from 0, or of two means from each other.

    Of one sample `mean / s`; for differences of pairs this is d_z. Of two samples the difference of the means over the
    pooled deviation.

    Args:
        values: `[n]`.
        others: `[m]`.

    Returns:
        NaN if there are too few values, or if they are all equal.

    Example:
        >>> cohens_d(np.array([1.0, 2.0, 3.0]))
        2.0
        >>> round(cohens_d(np.array([3.0, 5.0]), np.array([1.0, 3.0])), 6)
        1.414214

    Source:
        Cohen 1988, "Statistical power analysis for the behavioral sciences", eq. 2.2.1 and 2.3.5.
    """
    samples = [values] if others is None else [values, others]
    freedom = sum(len(sample) - 1 for sample in samples)
    if freedom < 1 or not all(len(sample) for sample in samples) or all(np.ptp(sample) == 0 for sample in samples):
        return math.nan
    squares = sum(float(((sample - sample.mean()) ** 2).sum()) for sample in samples)
    difference = float(values.mean()) - (0.0 if others is None else float(others.mean()))
    return difference / math.sqrt(squares / freedom)


def rank_correlation(first: _Floats, second: _Floats) -> float:
    """Return Spearman's rank correlation, equal values sharing their mean rank.

    Args:
        first: `[n]`.
        second: `[n]`.

    Returns:
        -1 .. 1; NaN if either is constant.

    Example:
        >>> rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.5, 0.6]))
        1.0
    """

    def ranks(values: _Floats) -> _Floats:
        _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
        centred: _Floats = (np.cumsum(counts) - (counts - 1) / 2)[position] - (len(values) + 1) / 2
        return centred

    one, other = ranks(first), ranks(second)
    size = math.sqrt(float(one @ one) * float(other @ other))
    return float(one @ other) / size if size > 0 else math.nan


def interior_best_depth(table: Table, stream: np.random.Generator, figure: str = "depth_sweep") -> Claim:
    """Claim: at a fixed budget of parameters some depth between the extremes is best.

    The best depth is chosen anew in each resample, so that its choice is part of the interval: were all depths alike,
    any of them would come out best, and the claim would be undecided.

    Args:
        table: Columns `depth`, `seed`, `test_accuracy`; one activation and one initialization.
        stream: Where the resamples come from.
        figure: Name of the figure.
    """
    accuracy = _by_seed(table, "test_accuracy", "depth")
    depths, values = accuracy.levels, accuracy.values
    inner = [float(depth) for depth in depths[1:-1]] or [math.nan]

    def advantage() -> float:
        best = values.mean(1)[1:-1].argmax() + 1
        better_end = 0 if values[0].mean() > values[-1].mean() else -1
        return cohens_d(values[best] - values[better_end])

    return _claim(
        "interior_best_depth",
        "tutorial",
        "Section 1",
        "At a fixed budget of parameters a depth between the extremes is best.",
        "depth of highest mean test accuracy",
        Range(inner[0], inner[-1]),
        *_best_level(accuracy, 3, stream),
        advantage,
        "Cohen's d_z, best inner depth minus the better end",
        figure,
    )


def decline_is_vanishing_gradients(
    default: Table, restored: Table, stream: np.random.Generator, figure: str = "explain"
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
        _, (accuracy, gradient) = _common_seeds(
            _by_seed(default, "test_accuracy", "depth"), _by_seed(default, "first_gradient_mean_square", "depth")
        )
        beyond = slice(int(accuracy.mean(1).argmax()) + 1, None)
        found = [rank_correlation(*pair) for pair in zip(gradient[beyond], accuracy[beyond], strict=True)]
        return _mean(np.array(found))

    return _claim(
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
    default: Table, better: Table, stream: np.random.Generator, figure: str = "explain"
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
        reference = _by_seed(default, "test_accuracy", "depth").values.mean(1).argmax()
        values = _by_seed(better, "test_accuracy", "depth").values
        return cohens_d(values[reference] - values[-1])

    return _claim(
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


def published_curve_is_typical(table: Table, stream: np.random.Generator, figure: str = "depth_sweep") -> Claim:
    """Claim, ours to test: what the one published curve loses with depth, networks lose on average.

    The published curve has its best depth at 3 and loses 3.6 percentage points from there to depth 5. Both depths are
    the published curve's, not chosen by these members, and both are averaged: the best minus the last value of one
    seed's curve would be large by noise alone.

    Args:
        table: Columns `depth`, `seed`, `test_accuracy`; the tutorial's activation, initialization and depths.
        stream: Where the resamples come from.
        figure: Name of the figure.
    """
    accuracy = _by_seed(table, "test_accuracy", "depth")
    best, deepest = max(PUBLISHED_CURVE, key=PUBLISHED_CURVE.__getitem__), max(PUBLISHED_CURVE)
    published = PUBLISHED_CURVE[best] - PUBLISHED_CURVE[deepest]
    decline = accuracy.values[accuracy.levels == best] - accuracy.values[accuracy.levels == deepest]
    n = decline.shape[1]
    below = [int((accuracy.values[accuracy.levels == depth] < value).sum()) for depth, value in PUBLISHED_CURVE.items()]
    ranks = f"{', '.join(str(rank) for rank in below[:-1])} and {below[-1]} of {n} members"
    return _claim(
        "published_curve_is_typical",
        "ours",
        "Section 1",
        "The tutorial's curve of one seed is typical: little is lost from the best depth to the deepest.",
        f"mean of test accuracy at depth {best} minus that at depth {deepest}; in the one curve it is {published:.3f}",
        Range(published - TYPICAL_MARGIN, published + TYPICAL_MARGIN),
        n,
        _mean(decline),
        bootstrap_interval(_resampled_means([decline], stream)[0][:, 0], n),
        lambda: cohens_d(decline[0] - published),
        f"Cohen's d_z, decline minus that of the one curve; at depths 1 to {deepest} {ranks} are below it",
        figure,
    )


def polynomial_does_not_generalize(
    table: Table, n_classes: int, stream: np.random.Generator, figure: str = "generalization"
) -> Claim:
    """Claim: outside the training region the polynomial model does not generalise.

    That it is at chance there could never be shown; so the claim is that of what the model knows inside, its advantage
    over chance, at most half is left outside.

    Args:
        table: Columns `seed`, `inside_accuracy`, `outside_accuracy`; the rows of degree 50.
        n_classes: Arms of the spirals.
        stream: Where the resamples come from.
        figure: Name of the figure.
    """
    _, groups = _common_seeds(_by_seed(table, "inside_accuracy"), _by_seed(table, "outside_accuracy"))
    inside, outside = (values - 1 / n_classes for values in groups)
    resampled = _resampled_means([inside, outside], stream, paired=True)
    return _claim(
        "polynomial_does_not_generalize",
        "tutorial",
        "Section 1.1",
        "Outside the region of its training points the polynomial of degree 50 does not generalise.",
        "share of its advantage over chance inside the training region that the model keeps outside",
        Range(high=0.5),
        inside.shape[1],
        float(_share(_mean(outside), _mean(inside))),
        bootstrap_interval(_share(resampled[1][:, 0], resampled[0][:, 0]), inside.shape[1]),
        lambda: cohens_d(outside[0]),
        "Cohen's d_z, accuracy outside minus chance",
        figure,
    )


def shortfall_is_the_optimizers(
    polynomials: tuple[Table, Table],
    networks: tuple[Table, Table],
    sizes: str,
    stream: np.random.Generator,
    figure: str = "generalization",
) -> Claim:
    """Claim, ours: inside, most of what the polynomial lacks on a perceptron of equal size is the optimizer's doing.

    As the tutorial trains them, the polynomial's features reach over twenty powers of ten and both models have the one
    learning rate. If that is what keeps the polynomial behind, at least half of its shortfall in test accuracy goes
    when both models have standardised inputs and learning rates tuned on validation examples.

    Args:
        polynomials: As the tutorial trains it, and tuned; columns `seed`, `test_accuracy`.
        networks: The same of the perceptron.
        sizes: What is compared, in words, such as `depth 3, 5454 parameters against 5304`.
        stream: Where the resamples come from.
        figure: Name of the figure.
    """
    pairs = [_common_seeds(*(_by_seed(table, "test_accuracy") for table in pair)) for pair in (networks, polynomials)]
    n = min(values.shape[1] for _, groups in pairs for values in groups)
    (network, tuned_network), (polynomial, tuned_polynomial) = (groups for _, groups in pairs)
    means = [resampled[:, 0] for paired, groups in pairs for resampled in _resampled_means(groups, stream, paired)]
    return _claim(
        "shortfall_is_the_optimizers",
        "ours",
        "Section 1.1",
        "Inside the training region most of the wide model's shortfall is the optimizer's, not width's.",
        "share of the polynomial's shortfall in test accuracy that goes when both models have standardised inputs and "
        f"tuned learning rates; {sizes}",
        Range(low=0.5),
        n,
        1 - float(_share(_mean(tuned_network) - _mean(tuned_polynomial), _mean(network) - _mean(polynomial))),
        bootstrap_interval(1 - _share(means[1] - means[3], means[0] - means[2]), n),
        lambda: cohens_d(tuned_network[0], tuned_polynomial[0]),
        "Cohen's d between the two after tuning",
        figure,
    )


def network_generalizes_better(
    network: Table,
    polynomial: Table,
    n_classes: int,
    sizes: str,
    stream: np.random.Generator,
    figure: str = "generalization",
) -> Claim:
    """Claim, ours: a multilayer perceptron with as many parameters does better outside the training region.

    Where both do worse than guessing, who is less wrong is not who generalises better: the verdict is `neither`.

    Args:
        network: Columns `seed`, `outside_accuracy`; the rows of one network.
        polynomial: The same columns; the rows of degree 50.
        n_classes: Arms of the spirals.
        sizes: What is compared, in words, such as `depth 3, 5454 parameters against 5304`.
        stream: Where the resamples come from.
        figure: Name of the figure.
    """
    paired, groups = _common_seeds(_by_seed(network, "outside_accuracy"), _by_seed(polynomial, "outside_accuracy"))
    first, second = (values[0] for values in groups)
    n = min(len(first), len(second))
    resampled = [means[:, 0] for means in _resampled_means(groups, stream, paired)]
    claim = _claim(
        "network_generalizes_better",
        "ours",
        "Section 1.1",
        "A multilayer perceptron of equal size does better outside the training region than the polynomial.",
        f"difference in accuracy outside the training region, network minus polynomial; {sizes}",
        Range(low=SMALLEST_DIFFERENCE),
        n,
        _mean(first) - _mean(second),
        bootstrap_interval(resampled[0] - resampled[1], n),
        lambda: cohens_d(first - second) if paired else cohens_d(first, second),
        "Cohen's d_z" if paired else "Cohen's d",
        figure,
    )
    highest = max((bootstrap_interval(means, n)[1] for means in resampled), default=math.nan)
    below = f"both, {_mean(first):.3f} and {_mean(second):.3f}, do worse than guessing, {1 / n_classes:.3f}"
    if n >= MIN_SEEDS and highest < 1 / n_classes:
        return replace(claim, verdict="neither", measure=f"{claim.measure}; {below}")
    return claim


def first_layer_is_not_local(
    trained: Table,
    random: Table,
    edge_filters: _Floats,
    templates: _Floats,
    stream: np.random.Generator,
    figure: str = "features",
) -> Claim:
    """Claim: first-layer units are not local, they look at whole faces.

    How far a unit's weights reach is measured on a scale whose ends are known: 0 is an edge filter, 1 a template of a
    whole face, the mean picture of a class. Random weights reach further still, so that this cannot show that training
    made the units wide, only that it did not make them local.

    Args:
        trained: Columns `seed`, `unit`, `extent`; one network.
        random: The same of random weights, such as the members' own before training.
        edge_filters: Extents of local filters, `[filters]`.
        templates: Extents of templates of classes, `[classes]`.
        stream: Where the resamples come from.
        figure: Name of the figure.
    """
    units = _by_seed(trained, "extent", "unit").values
    local, whole = float(edge_filters.mean()), float(templates.mean())
    extents = units.mean(0, keepdims=True)
    start = float((_mean(_by_seed(random, "extent", "unit").values) - local) / (whole - local))
    resampled = (_resampled_means([extents], stream)[0][:, 0] - local) / (whole - local)
    return _claim(
        "first_layer_is_not_local",
        "tutorial",
        "Section 2",
        "First-layer units are not local: they look at whole faces.",
        "mean extent of the units on a scale from 0, edge filters, to 1, templates of whole faces (class means); "
        f"before training {start:.2f}",
        Range(low=0.5),
        extents.shape[1],
        (_mean(extents) - local) / (whole - local),
        bootstrap_interval(resampled, extents.shape[1]),
        lambda: cohens_d(units.ravel(), edge_filters),
        "Cohen's d between trained units and edge filters",
        figure,
    )


def best_gain_is_theoretical(table: Table, stream: np.random.Generator, figure: str = "gain_sweep") -> Claim:
    """Claim: the gain that trains best is the one that theory gives.

    An interval that merely holds the theoretical gain would prove nothing: the fewer the seeds, the wider it is, the
    better for the claim. So all of it has to lie within one step of the grid, which is as near as the grid can tell. On
    a grid without a gain that near nothing could bear the claim out, so nothing refutes it either: it is undecided.
    Theory is that of layers of equal width, which the tutorial's network has not.

    Args:
        table: Columns `gain`, `theoretical_gain`, `seed`, `test_accuracy`.
        stream: Where the resamples come from.
        figure: Name of the figure.
    """
    accuracy = _by_seed(table, "test_accuracy", "gain")
    gains, values = accuracy.levels, accuracy.values
    theory = float(np.asarray(table["theoretical_gain"])[0])
    above = min(max(int(np.searchsorted(gains, theory)), 1), max(len(gains) - 1, 1))
    step = float(gains[above] - gains[above - 1]) if len(gains) > 1 else math.nan
    within_reach = gains[0] - step <= theory <= gains[-1] + step
    reason = "" if within_reach else "; no gain of the grid is within a step of theory"
    return _claim(
        "best_gain_is_theoretical",
        "tutorial",
        "Bonus",
        "The gain that trains best is the theoretical one.",
        f"gain of highest mean test accuracy; theory for layers of equal width {theory:.3f}, step of the grid "
        f"{step:.3f}{reason}",
        Range(theory - step, theory + step),
        *(_best_level(accuracy, 2, stream) if within_reach else (0, math.nan, (math.nan, math.nan))),
        lambda: cohens_d(values[values.mean(1).argmax()] - values[np.abs(gains - theory).argmin()]),
        "Cohen's d_z, best gain minus the one nearest to theory",
        figure,
    )


def gains_differ(
    table: Table,
    stream: np.random.Generator,
    gains: tuple[float, float] = (1.07, 1.71),
    figure: str = "gain_sweep",
) -> Claim:
    """Claim, ours: the accuracies on either side of the theoretical gain really differ, by a percentage point or more.

    Without gains near these two, within 0.05, the claim is undecided.

    Args:
        table: Columns `gain`, `seed`, `test_accuracy`.
        stream: Where the resamples come from.
        gains: Two gains; the nearest ones of the table are compared.
        figure: Name of the figure.
    """
    accuracy = _by_seed(table, "test_accuracy", "gain")
    distances = np.abs(accuracy.levels - np.array(gains)[:, None])
    first, second = accuracy.values[distances.argmin(1)]
    difference = (first - second)[None]
    n = difference.shape[1] if distances.min(1).max() < 0.05 else 0
    return _claim(
        "gains_differ",
        "ours",
        "Bonus",
        f"The difference in accuracy between gains {gains[0]:g} and {gains[1]:g} is real.",
        f"difference in test accuracy, gain {gains[0]:g} minus gain {gains[1]:g}",
        Range(-SMALLEST_DIFFERENCE, SMALLEST_DIFFERENCE, within=False),
        n,
        _mean(difference) if n else math.nan,
        bootstrap_interval(_resampled_means([difference], stream)[0][:, 0], n),
        lambda: cohens_d(difference[0]),
        "Cohen's d_z",
        figure,
    )


def xavier_preserves_variance(
    table: Table,
    direction: Literal["forward", "backward"],
    network: str,
    exact: float | None,
    stream: np.random.Generator,
    figure: str = "xavier",
) -> Claim:
    """Claim: weights by Xavier keep the variance of signals (forward) or of gradients (backward) through the layers.

    Kept means: within a factor of two from one end of the network to the other. Where the mean over all networks is
    known exactly, as with leaky ReLUs without biases at any width, it decides, and what was measured stands next to it.
    Else means over members are compared, as the theory is about means: a single network scatters, and the mean of a
    ratio is not the ratio of the means.

    Args:
        table: Columns `layer`, `member`, and `mean_square` (forward) or `gradient_mean_square` (backward) of
            pre-activations; one gain and one network. The first and the last layer of the table are compared.
        direction: `forward` or `backward`.
        network: What was measured, in words, such as `3072-128-64-32-3, leaky_relu(0.1), gain 1.407`.
        exact: The measure as theory has it, if that is exact for these networks.
        stream: Where the resamples come from.
        figure: Name of the figure.
    """
    column, carried, ends = {
        "forward": ("mean_square", "signals", (0, -1)),
        "backward": ("gradient_mean_square", "gradients", (-1, 0)),
    }[direction]
    squares = _by_seed(table, column, "layer", key="member")
    (start, end), (first, last) = squares.values[list(ends), None], squares.levels[list(ends)]
    resampled = _resampled_means([start, end], stream, paired=True)
    n, measured = start.shape[1], float(_share(_mean(end), _mean(start)))
    claim = _claim(
        f"xavier_preserves_variance_{direction}",
        "tutorial",
        "Bonus",
        f"Xavier's weights at the theoretical gain keep the variance of {carried} {direction}.",
        f"mean square of {carried} in layer {last} over that in layer {first}; {network}",
        Range(0.5, 2.0),
        n,
        measured,
        bootstrap_interval(_share(resampled[1][:, 0], resampled[0][:, 0]), n),
        lambda: cohens_d((end - start)[0]),
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
        effect_size=measured,
        effect="the same measured, ratio of the means over n networks; the estimate is exact",
    )


@dataclass(frozen=True)
class _BySeed:
    """Levels of a column, rising; seeds with a finite value in all of them; values `[levels, seeds]`."""

    levels: NDArray[Any]
    seeds: NDArray[Any]
    values: _Floats


def _by_seed(table: Table, value: str, by: str | None = None, key: str = "seed") -> _BySeed:
    seeds, columns = np.unique(np.asarray(table[key]), return_inverse=True)
    levels, rows = np.unique(
        np.zeros(len(columns)) if by is None else np.asarray(table[by]),
        return_inverse=True,
    )
    per_cell = np.bincount(rows * len(seeds) + columns)
    if per_cell.max(initial=0) > 1:
        what = key if by is None else f"{by} and {key}"
        message = f"table must hold one row per {what}, got {per_cell.max()}; select the rows of one configuration."
        raise ValueError(message)
    values = np.full((len(levels), len(seeds)), math.nan)
    values[rows, columns] = np.asarray(table[value], dtype=np.float64)
    complete = np.isfinite(values).all(0)
    return _BySeed(levels, seeds[complete], values[:, complete])


def _common_seeds(first: _BySeed, second: _BySeed) -> tuple[bool, list[_Floats]]:
    """Return whether two groups share seeds, and the values of these, or all values if they share none."""
    common, *columns = np.intersect1d(first.seeds, second.seeds, return_indices=True)
    if not len(common):
        return False, [first.values, second.values]
    return True, [group.values[:, column] for group, column in zip((first, second), columns, strict=True)]


def _resampled_means(groups: Sequence[_Floats], stream: np.random.Generator, paired: bool = False) -> list[_Floats]:
    """Return the means `[N_RESAMPLES, levels]` of groups `[levels, seeds]`; paired groups are resampled alike."""
    if not paired:
        return [means for values in groups for means in _means_alike([values], stream)]
    return _means_alike(groups, stream)


def _means_alike(groups: Sequence[_Floats], stream: np.random.Generator) -> list[_Floats]:
    n = groups[0].shape[1]
    if not n:
        return [np.full((N_RESAMPLES, len(values)), math.nan) for values in groups]
    parts: list[list[_Floats]] = [[] for _ in groups]
    at_once = max(1, _WEIGHTS_AT_ONCE // n)  # all weights of 20,000 seeds would take gigabytes
    for start in range(0, N_RESAMPLES, at_once):
        weights = bootstrap_weights(n, stream, min(at_once, N_RESAMPLES - start))
        for part, values in zip(parts, groups, strict=True):
            part.append(weights @ values.T)
    return [np.concatenate(part) for part in parts]


def _best_level(
    group: _BySeed, fewest_levels: int, stream: np.random.Generator
) -> tuple[int, float, tuple[float, float]]:
    """Return seeds, the level of highest mean and the interval of that choice; nothing if there is little to choose."""
    n = group.values.shape[1]
    if not n or len(group.levels) < fewest_levels:
        return 0, math.nan, (math.nan, math.nan)
    (means,) = _resampled_means([group.values], stream)
    best = float(group.levels[group.values.mean(1).argmax()])
    return n, best, bootstrap_interval(group.levels[means.argmax(1)].astype(np.float64), n)


def _remaining_decline(
    default: Table, other: Table, stream: np.random.Generator
) -> tuple[int, float, tuple[float, float]]:
    """Return seeds, and with its interval the other start's share of the default's decline from its best depth."""
    groups = _by_seed(default, "test_accuracy", "depth"), _by_seed(other, "test_accuracy", "depth")
    if not np.array_equal(groups[0].levels, groups[1].levels):
        message = f"depth must be the same in both tables, got {[group.levels.tolist() for group in groups]!r}."
        raise ValueError(message)
    paired, values = _common_seeds(*groups)

    def share(default_means: _Floats, other_means: _Floats) -> _Floats:
        best = default_means.argmax(1)[:, None]
        declines = [np.take_along_axis(means, best, 1)[:, 0] - means[:, -1] for means in (other_means, default_means)]
        return _share(*declines)

    n = min(part.shape[1] for part in values)
    estimate = float(share(*(part.mean(1)[None] for part in values))[0]) if n else math.nan
    return n, estimate, bootstrap_interval(share(*_resampled_means(values, stream, paired)), n)


def _share(part: _Floats | float, whole: _Floats | float) -> _Floats:
    """Return part / whole; NaN where the whole is not above 0."""
    above = np.where(np.asarray(whole) > 0, whole, math.nan)
    shares: _Floats = part / above
    return shares


def _mean(values: _Floats) -> float:
    return float(values.mean()) if values.size else math.nan


def _claim(
    name: str,
    source: Source,
    section: str,
    statement: str,
    measure: str,
    claimed: Range,
    n: int,
    estimate: float,
    interval: tuple[float, float],
    effect_size: Callable[[], float],
    effect: str,
    figure: str,
) -> Claim:
    size = effect_size() if n > 1 else math.nan
    verdict = claimed.verdict(*interval, n)
    words = statement, measure, str(claimed)
    return Claim(name, source, section, *words, n, estimate, *interval, size, effect, verdict, figure)
