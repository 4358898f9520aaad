"""Where networks learn: trained accuracies over gain and depth, and what the mean-field theory says of them.

Signals and gradients of a random network change by a factor in each layer, so that depth has a scale; Schoenholz et al.
2017 find that networks can be trained up to some six such scales. Here a depth counts as trainable at a gain where the
median train accuracy of the members is at least half-way from chance to the best of the grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.statistics.ranks import rank_correlation
from mlp_core.theory.phases import CriticalPoint, critical_point, phase_point

_Array = NDArray[np.float64]

SCALES = 6
"""Depth scales that a signal can cross, as Schoenholz et al. 2017 draw it."""


@dataclass(frozen=True)
class PhaseGrid:
    """Accuracies of networks over a grid of depths and gains.

    Attributes:
        depths: Numbers of hidden layers, ascending, `[depths]`.
        gains: Xavier gains, ascending, `[gains]`.
        accuracy: Median of the members that finished, 0..1, `[depths, gains]`; NaN where none did.
        members: Those that finished, the least accurate first, 0..1, `[depths, gains, members]`; NaN for the others.
        finished: Number of members that finished, `[depths, gains]`.
        diverged: Number of members that diverged, `[depths, gains]`.
    """

    depths: NDArray[np.int64]
    gains: _Array
    accuracy: _Array
    members: _Array
    finished: NDArray[np.int64]
    diverged: NDArray[np.int64]

    @property
    def spread(self) -> _Array:
        """Return by how much the members of a cell differ, 0..1, `[depths, gains]`; NaN where fewer than 2 finished."""
        spread = np.full(self.finished.shape, math.nan)
        several = self.finished > 1
        spread[several] = np.nanmax(self.members[several], -1) - np.nanmin(self.members[several], -1)
        return spread


def phase_grid(depth: NDArray[Any], gain: NDArray[Any], accuracy: NDArray[Any]) -> PhaseGrid:
    """Return accuracies over depth and gain, from the members' values in any order.

    Args:
        depth: Hidden layers of each member, `[members]`.
        gain: Gain of each member, `[members]`.
        accuracy: 0 .. 1, NaN for a member that diverged, `[members]`.

    Example:
        >>> grid = phase_grid(np.array([2, 2, 4]), np.array([1.0, 1.0, 1.0]), np.array([0.5, 0.7, np.nan]))
        >>> grid.accuracy.round(3).tolist(), grid.finished.tolist(), grid.diverged.tolist()
        ([[0.6], [nan]], [[2], [0]], [[0], [1]])
    """
    depths, rows = np.unique(depth, return_inverse=True)
    gains, columns = np.unique(gain, return_inverse=True)
    shape = (len(depths), len(gains))
    ok = np.isfinite(accuracy)
    finished, diverged = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    np.add.at(finished, (rows[ok], columns[ok]), 1)
    np.add.at(diverged, (rows[~ok], columns[~ok]), 1)
    members = np.full((*shape, int((finished + diverged).max())), math.nan)
    for row, column in zip(*np.nonzero(finished), strict=True):
        own = np.sort(accuracy[ok & (rows == row) & (columns == column)])
        members[row, column, : len(own)] = own
    median = np.full(shape, math.nan)
    median[finished > 0] = np.nanmedian(members[finished > 0], -1)
    return PhaseGrid(depths, gains, median, members, finished, diverged)


def trainable_threshold(grid: PhaseGrid, chance: float) -> float:
    """Return the accuracy half-way from chance to the best cell of a grid; NaN if no member finished.

    A depth counts as trainable at a gain if its median accuracy reaches this threshold.

    Example:
        >>> trainable_threshold(phase_grid(np.array([2, 2]), np.array([1.0, 2.0]), np.array([0.9, 0.5])), chance=0.5)
        0.7
    """
    finished = grid.accuracy[grid.finished > 0]
    return (chance + float(finished.max())) / 2 if len(finished) else math.nan


def deepest_trainable(grid: PhaseGrid, threshold: float) -> NDArray[np.int64]:
    """Return, for each gain, the largest depth whose median accuracy reaches the threshold; 0 if no depth does.

    Example:
        >>> depth, gain = np.array([2, 4, 2, 4]), np.array([1.0, 1.0, 3.0, 3.0])
        >>> deepest_trainable(phase_grid(depth, gain, np.array([0.9, 0.8, 0.4, 0.3])), threshold=0.6).tolist()
        [4, 0]
    """
    reached = np.nan_to_num(grid.accuracy) >= threshold
    return np.asarray(np.where(reached, grid.depths[:, None], 0).max(0))


@dataclass(frozen=True)
class PredictedScales:
    """Depth scales that mean-field theory predicts for hidden layers of one width with PyTorch's biases.

    Attributes:
        sigma_b: Standard deviation of a bias, `1 / sqrt(3 width)`.
        critical: The critical point, where order turns into chaos.
        correlation: Depth scale xi_c of the correlation of two inputs at each gain, in layers, `[gains]`.
        gradient: `1 / |log chi_1|` at each gain, in layers, `[gains]`: the depth scale over which gradients vanish or
            explode; infinite at chi_1 = 1.
    """

    sigma_b: float
    critical: CriticalPoint
    correlation: _Array
    gradient: _Array


def predicted_scales(activation: str, width: int, gains: NDArray[Any]) -> PredictedScales:
    """Return the depth scales that theory predicts for hidden layers of equal width, where Xavier's gain is sigma_w.

    In order both scales are equal; in chaos the gradients' is the shorter one, since gradients explode sooner than the
    correlation of two inputs is lost.

    Args:
        activation: Name of the activation.
        width: Units of each hidden layer; PyTorch draws biases uniformly in +-1/sqrt(width).
        gains: Xavier gains above 0, `[gains]`.

    Example:
        >>> found = predicted_scales("tanh", 64, np.array([0.8, 2.0]))
        >>> round(found.critical.sigma_w, 3), found.correlation.round(1).tolist(), found.gradient.round(1).tolist()
        (1.156, [2.1, 7.8], [2.1, 3.2])

    Source:
        Schoenholz et al. 2017, eq. 9, and section 4 on the gradients' scale.
    """
    sigma_b = 1 / math.sqrt(3 * width)
    points = [phase_point(activation, float(gain), sigma_b) for gain in gains]
    slopes = [abs(math.log(point.chi_1)) for point in points]
    return PredictedScales(
        sigma_b,
        critical_point(activation, sigma_b),
        np.array([point.xi_c for point in points]),
        np.array([1 / slope if slope else math.inf for slope in slopes]),
    )


@dataclass(frozen=True)
class Agreement:
    """How well a predicted depth agrees with the deepest trainable depth, over the gains.

    Attributes:
        predicted: Predicted depths, at most the deepest of the grid, `[gains]`.
        rank_correlation: Spearman's, between predicted and measured depths.
        steps: How many steps of the grid's depths the measured depth lies above (or, negative, below) the deepest one
            that is predicted to be trainable, `[gains]`.
    """

    predicted: _Array
    rank_correlation: float
    steps: NDArray[np.int64]


def agreement(grid: PhaseGrid, deepest: NDArray[np.int64], scale: NDArray[Any]) -> Agreement:
    """Compare the deepest trainable depths with the prediction of `SCALES` (six) depth scales.

    Differences are counted in steps of the grid's depths, its resolution: a prediction of 11 and a measured 8 agree if
    the grid's next depth is 12.

    Args:
        grid: Accuracies of the trained networks; only its depths are used.
        deepest: Deepest trainable depth at each gain, as `deepest_trainable` returns it.
        scale: Predicted depth scale at each gain, in layers; NaN counts as 0.

    Example:
        >>> depth, gain = np.array([2, 4, 8, 2, 4, 8]), np.array([0.5, 0.5, 0.5, 1.0, 1.0, 1.0])
        >>> grid = phase_grid(depth, gain, np.array([0.9, 0.9, 0.4, 0.9, 0.9, 0.9]))
        >>> agreement(grid, deepest_trainable(grid, 0.6), np.array([0.5, np.inf]))
        Agreement(predicted=array([3., 8.]), rank_correlation=1.0, steps=array([1, 0]))
    """
    predicted = np.minimum(SCALES * np.nan_to_num(scale, posinf=math.inf), grid.depths[-1])
    steps = np.searchsorted(grid.depths, deepest, "right") - np.searchsorted(grid.depths, predicted, "right")
    return Agreement(predicted, rank_correlation(deepest, predicted), steps)


@dataclass(frozen=True)
class PhaseDiagram:
    """A grid of trained networks of one activation and width, compared with what theory predicts.

    Attributes:
        grid: Train accuracies.
        threshold: Accuracy from which a depth counts as trainable.
        deepest: Deepest trainable depth at each gain.
        scales: Predicted depth scales.
        by_correlation: Agreement of `deepest` with `SCALES` depth scales of the correlation.
        by_gradient: Agreement of `deepest` with `SCALES` depth scales of the gradient.
    """

    grid: PhaseGrid
    threshold: float
    deepest: NDArray[np.int64]
    scales: PredictedScales
    by_correlation: Agreement
    by_gradient: Agreement

    @property
    def ordered(self) -> NDArray[np.bool_]:
        """Return whether each gain is below the critical one (the ordered phase), bool `[gains]`."""
        return np.asarray(self.grid.gains < self.scales.critical.sigma_w)


def phase_diagram(grid: PhaseGrid, activation: str, width: int, chance: float) -> PhaseDiagram:
    """Compare a grid of train accuracies with the depths that mean-field theory predicts to be trainable.

    Args:
        grid: Train accuracies.
        activation: Name of the activation.
        width: Units of each hidden layer.
        chance: Accuracy of guessing, 1 over the number of classes.
    """
    threshold = trainable_threshold(grid, chance)
    deepest = deepest_trainable(grid, threshold)
    scales = predicted_scales(activation, width, grid.gains)
    return PhaseDiagram(
        grid,
        threshold,
        deepest,
        scales,
        agreement(grid, deepest, scales.correlation),
        agreement(grid, deepest, scales.gradient),
    )
