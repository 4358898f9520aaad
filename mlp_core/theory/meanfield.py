"""Signals in wide random networks, by theory: lengths, angles and gradients from layer to layer.

In a wide network with random weights the pre-activations of a layer are Gaussian, so that two numbers tell where an
input goes (Poole et al. 2016): its length q, the mean square of the pre-activations, and the correlation c of two
inputs. Each layer maps them on; where the maps come to rest, and how fast, decides how deep a network can be trained
(Schoenholz et al. 2017). Weights have standard deviation `sigma_w / sqrt(fan_in)`, biases `sigma_b`: standard
deviations here, while the papers plot sigma_w^2.

Expectations over one Gaussian (lengths) or two (correlations) are sums over Gauss-Legendre nodes on panels. Where q is
large, an activation bends within a sliver of the Gaussian, so that no fixed set of nodes will do: Gauss-Hermite's 192
nodes are wrong by 0.3 % for tanh at q = 100, and take deep chaos for order at a gain of 50. Panels therefore end where
the activation bends, at pre-activations of 0, +-1, +-2, +-4, ... +-32, beyond which it is straight, and at a kink. For
two Gaussians the second is taken given the first, with its own panels for each value of the first.

Right to 1e-6 of the value for sigma_w from 1e-3 to 1e3, checked against other sums; other sigma_w are refused below
1e-8 and above 1e8.

Sources:
    Poole et al. 2016, "Exponential expressivity in deep neural networks through transient chaos".
    Schoenholz et al. 2017, "Deep information propagation".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, ndtr

from mlp_core.errors import InputError
from mlp_core.settings import ACTIVATION_NAMES

_Array = NDArray[np.float64]

_N_NODES = 16  # of each panel
_REACH = 9.0  # standard deviations; the normal density there is 1e-18
_GAUSSIAN_EDGES = np.array([0.0, 1.5, 3.0, 5.0, 7.0, _REACH])  # fine enough for the density
_BENDS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])  # pre-activations between which panels resolve any activation
_SIGMA_W_RANGE = 1e-8, 1e8
_NO_LONGER_A_NUMBER = 1e280  # one more layer may be more than a float holds
_TOLERANCE = 1e-10
_MAX_ITERATIONS = 200
# At length 0 the derivatives are those of the limit, in which a kink still has its two sides
_SMALLEST_LENGTH = 1e-24
_GRID_START = 1e-12
_LARGEST_LENGTH = 1e18
_LARGEST_CRITICAL_LENGTH = 1e6


@dataclass(frozen=True)
class _Transfer:
    function: Callable[[_Array], _Array]
    derivative: Callable[[_Array], _Array]


def _sigmoid(u: _Array) -> _Array:
    return (1 + np.tanh(u / 2)) / 2


def _leaky_relu(slope: float) -> _Transfer:
    return _Transfer(lambda u: np.where(u > 0, u, slope * u), lambda u: np.where(u > 0, 1.0, slope))


# Klambauer et al. 2017, as torch.nn.SELU has them
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805

_TRANSFERS = {
    "relu": _leaky_relu(0.0),
    "tanh": _Transfer(np.tanh, lambda u: 1 - np.tanh(u) ** 2),
    "sigmoid": _Transfer(_sigmoid, lambda u: _sigmoid(u) * _sigmoid(-u)),
    "gelu": _Transfer(
        lambda u: u * ndtr(u),
        lambda u: ndtr(u) + u * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi),
    ),
    "erf": _Transfer(erf, lambda u: 2 / math.sqrt(math.pi) * np.exp(-(u**2))),
    "selu": _Transfer(
        lambda u: _SELU_SCALE * np.where(u > 0, u, _SELU_ALPHA * np.expm1(np.minimum(u, 0))),
        lambda u: _SELU_SCALE * np.where(u > 0, 1.0, _SELU_ALPHA * np.exp(np.minimum(u, 0))),
    ),
}


def _transfer(activation: str) -> _Transfer:
    if activation in _TRANSFERS:
        return _TRANSFERS[activation]
    if match := re.fullmatch(r"leaky_relu\((.+)\)", activation):
        try:
            slope = float(match[1])
        except ValueError:
            slope = math.nan
        if 0 <= slope < 1:
            return _leaky_relu(slope)
        message = (
            f"activation must have a slope of at least 0 and below 1, such as leaky_relu(0.1), got {activation!r}."
        )
        raise InputError(message)
    message = f"activation must be one of {', '.join(ACTIVATION_NAMES)}, got {activation!r}."
    raise InputError(message)


@lru_cache
def _legendre() -> tuple[_Array, _Array]:
    """Return nodes in 0 .. 1 and weights that sum to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)
    return (nodes + 1) / 2, weights / 2


def _nodes(edges: _Array) -> tuple[_Array, _Array]:
    """Return nodes and weights, `[..., nodes]` each, for the mean over a standard Gaussian.

    Args:
        edges: Of the panels, `[..., edges]`, in any order.
    """
    edges = np.sort(np.clip(edges, -_REACH, _REACH), axis=-1)
    starts, widths = edges[..., :-1], np.diff(edges, axis=-1)
    needed = (widths > 0).reshape(-1, widths.shape[-1]).any(axis=0)
    starts, widths = starts[..., needed, None], widths[..., needed, None]
    fractions, weights = _legendre()
    nodes = starts + widths * fractions
    densities = widths * weights * np.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
    shape = (*nodes.shape[:-2], -1)
    return nodes.reshape(shape), densities.reshape(shape)


def _both_sides(edges: _Array) -> _Array:
    return np.concatenate([-edges, edges], axis=-1)


def _mean(integrand: Callable[[_Array], _Array], q: _Array | float) -> _Array:
    """Return the mean of `integrand(u)` over u of mean square q, above 0, for each q of an array `[...]`."""
    root = np.sqrt(np.asarray(q))[..., None]
    bends = _BENDS / np.maximum(root, _BENDS[0] / _REACH)
    edges = np.concatenate(
        [np.broadcast_to(_GAUSSIAN_EDGES, (*bends.shape[:-1], len(_GAUSSIAN_EDGES))), bends], axis=-1
    )
    nodes, weights = _nodes(_both_sides(edges))
    return np.asarray((weights * integrand(root * nodes)).sum(axis=-1))


def _pair_mean(integrand: Callable[[_Array, _Array], _Array], q: float, q_other: float, decorrelation: float) -> float:
    """Return the mean of `integrand(u1, u2)` over Gaussians of mean squares q and q_other, above 0.

    With x and y independent, `u1 = sqrt(q) x` and `u2 = sqrt(q_other) (c x + sqrt(1 - c^2) y)` have the correlation c.
    Its distance from 1 is passed, not the correlation, so that nothing is lost where the two are almost one.
    """
    root, root_other, c = math.sqrt(q), math.sqrt(q_other), 1 - decorrelation
    across = max(math.sqrt(decorrelation * (2 - decorrelation)), 1e-150)
    # The mean over y bends, as a function of x, about 0 as sharply as u2 does or as the two are close
    sharpest = min(1 / root, 1 / root_other, across, 1.0)
    n_doublings = math.ceil(math.log2(1.5 / max(sharpest, 1e-15)))
    doublings = 1.5 / 2.0 ** np.arange(1, n_doublings + 1)
    x, x_weights = _nodes(_both_sides(np.concatenate([_GAUSSIAN_EDGES, doublings])))
    bends = np.concatenate([[0.0], _BENDS]) / (root_other * across)
    around = -c * x[:, None] / across + _both_sides(bends)
    gaussian = np.broadcast_to(_both_sides(_GAUSSIAN_EDGES), (len(x), 2 * len(_GAUSSIAN_EDGES)))
    y, weights = _nodes(np.concatenate([gaussian, around], axis=-1))
    first = root * x[:, None]
    # c x + across y, without losing what tells it from x where c is almost 1
    second = root_other * (x[:, None] + (across * y - decorrelation * x[:, None]))
    return float(x_weights @ (weights * integrand(first, second)).sum(axis=-1))


def length_map(q: float, activation: str, sigma_w: float, sigma_b: float) -> float:
    """Return the length after one more layer: `sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2`, z standard normal.

    Args:
        q: Mean square of a layer's pre-activations, at least 0.
        activation: Canonical name of phi.
        sigma_w: Standard deviation of a weight times sqrt(fan_in), above 0.
        sigma_b: Standard deviation of a bias, at least 0.

    Raises:
        ValueError: If a number is out of its range.
        InputError: If there is no such activation; the message lists the choices.

    Example:
        >>> round(length_map(3.0, "relu", sigma_w=1.0, sigma_b=0.5), 6)
        1.75

    Source:
        Poole et al. 2016, eq. 3.
    """
    _check(sigma_w, sigma_b, q)
    transfer = _transfer(activation)
    return float(sigma_w**2 * _mean(lambda u: transfer.function(u) ** 2, q) + sigma_b**2)


def length_slope(q: float, activation: str, sigma_w: float) -> float:
    """Return the derivative of the length map, `sigma_w^2 E[z phi(sqrt(q) z) phi'(sqrt(q) z)] / sqrt(q)`.

    By partial integration this is `chi_1 + sigma_w^2 E[phi'' phi]`, as the paper writes it, but it needs no second
    derivative, which a kink does not have.

    Example:
        >>> round(length_slope(1.0, "relu", sigma_w=1.2), 6)
        0.72

    Source:
        Schoenholz et al. 2017, eq. 7.
    """
    _check(sigma_w, 0.0, q)
    transfer = _transfer(activation)
    root = math.sqrt(max(q, 1e-12))  # any smaller, and rounding shows where phi(0) is not 0
    mean = _mean(lambda u: u / root * transfer.function(u) * transfer.derivative(u), root**2)
    return float(sigma_w**2 * mean / root)


def chi(q: float, activation: str, sigma_w: float, c: float = 1.0) -> float:
    """Return `sigma_w^2 E[phi'(u1) phi'(u2)]` for u1, u2 of length q and correlation c.

    At c = 1 it is chi_1, the factor by which a layer stretches a small difference between inputs and, with equal
    widths, the mean square of a gradient on its way back. At the fixed point c* it is the slope of the correlation map.

    Example:
        >>> round(chi(1.0, "leaky_relu(0.1)", sigma_w=1.0), 6)  # (1 + 0.1^2) / 2 at any length
        0.505

    Source:
        Poole et al. 2016, eq. 6; Schoenholz et al. 2017, eq. 9.
    """
    _check(sigma_w, 0.0, q, c)
    transfer = _transfer(activation)
    length = max(q, _SMALLEST_LENGTH)
    if c == 1:
        return float(sigma_w**2 * _mean(lambda u: transfer.derivative(u) ** 2, length))
    mean = _pair_mean(lambda u1, u2: transfer.derivative(u1) * transfer.derivative(u2), length, length, 1 - c)
    return sigma_w**2 * mean


def correlation_map(
    c: float, q: float, activation: str, sigma_w: float, sigma_b: float, q_other: float | None = None
) -> float:
    """Return the correlation of two inputs after one more layer.

    `(sigma_w^2 E[phi(u1) phi(u2)] + sigma_b^2) / sqrt(V(q) V(q_other))` with V the length map and u1, u2
    of lengths q and q_other and correlation c. At the fixed length the denominator is q*, as in the paper.

    Args:
        c: Correlation, -1 .. 1.
        q: Length of the first input, at least 0.
        activation: Canonical name of phi.
        sigma_w: Standard deviation of a weight times sqrt(fan_in).
        sigma_b: Standard deviation of a bias.
        q_other: Length of the second input; q by default.

    Example:
        >>> round(correlation_map(0.0, 1.0, "relu", sigma_w=2**0.5, sigma_b=0.0), 4)  # 1 / pi
        0.3183

    Source:
        Poole et al. 2016, eq. 5.
    """
    _check(sigma_w, sigma_b, q, c)
    transfer = _transfer(activation)
    # Where lengths fade to nothing, activations are linear and correlations stay as they are
    q, q_other = max(q, _SMALLEST_LENGTH), max(q if q_other is None else q_other, _SMALLEST_LENGTH)
    mean = _pair_mean(lambda u1, u2: transfer.function(u1) * transfer.function(u2), q, q_other, 1 - c)
    lengths = [length_map(length, activation, sigma_w, sigma_b) for length in (q, q_other)]
    return _correlation(sigma_w**2 * mean + sigma_b**2, *lengths)


@dataclass(frozen=True)
class FixedPoint:
    """Where a map comes to rest.

    Attributes:
        value: The point; inf or NaN if there is none.
        converged: Whether it was found to the tolerance within the allowed steps.
        iterations: Steps in which the bracket was narrowed.
    """

    value: float
    converged: bool
    iterations: int


def length_fixed_point(
    activation: str, sigma_w: float, sigma_b: float, max_iterations: int = _MAX_ITERATIONS
) -> FixedPoint:
    """Return q*, the length at which a signal that starts small comes to rest.

    The first crossing of `V(q) = q` from above on a geometric grid, then narrowed down. Special cases:

    - Without biases and with weights too small a signal dies: q* = 0. For tanh that is up to sigma_w = 1, included.
    - relu, leaky_relu, and gelu and selu at large lengths, grow in proportion: from sigma_w^2 = 2 (relu) on there
      is no fixed point, and the value is inf, not converged.
    - On that very line and without biases relu and leaky_relu keep every length; 1 stands for all.
    - gelu without biases rests only at 0, or grows; the length 1 that its forward gain keeps repels its neighbours.

    Args:
        activation: Canonical name of phi.
        sigma_w: Standard deviation of a weight times sqrt(fan_in).
        sigma_b: Standard deviation of a bias.
        max_iterations: Steps allowed to narrow the bracket; some 10 are needed.

    Example:
        >>> round(length_fixed_point("relu", sigma_w=1.0, sigma_b=1.0).value, 6)
        2.0
        >>> length_fixed_point("relu", sigma_w=1.5, sigma_b=0.0)
        FixedPoint(value=inf, converged=False, iterations=0)

    Source:
        Poole et al. 2016, eq. 3 and figure 1.
    """
    lowest = length_map(0.0, activation, sigma_w, sigma_b)
    transfer = _transfer(activation)

    def excess(q: _Array | float) -> _Array:
        mean = _mean(lambda u: transfer.function(u) ** 2, q)
        return np.asarray((sigma_w**2 * mean + sigma_b**2) / q - 1)

    # V rises, so that no fixed point lies below V(0)
    grid = np.geomspace(lowest or _GRID_START, _LARGEST_LENGTH * max(lowest, 1.0), 401)
    excesses = excess(grid)
    if (abs(excesses) <= _TOLERANCE).all():
        return FixedPoint(1.0, True, 0)
    if excesses[0] <= 0:
        return FixedPoint(lowest, True, 0)
    below = np.nonzero(excesses < -_TOLERANCE)[0]
    if len(below) == 0:
        return FixedPoint(math.inf, False, 0)
    low, high = grid[below[0] - 1], grid[below[0]]
    return _root(lambda q: float(excess(q)), float(low), float(high), max_iterations)


def correlation_fixed_point(
    q: float, activation: str, sigma_w: float, sigma_b: float, max_iterations: int = _MAX_ITERATIONS
) -> FixedPoint:
    """Return c*, the correlation at which two inputs of length q come to rest, looked for in 0 .. 1.

    The map is a power series with no negative coefficient, so it bends upward on 0 .. 1 and ends at 1: while the
    slope there is at most 1, c* = 1 (order: all inputs look the same), and else exactly one other point attracts
    (chaos). Its root is that of the growth of `1 - c`, `sigma_w^2 E[(phi(u1) - phi(u2))^2] / (2 V(q) (1 - c)) - 1`. It
    keeps its digits where c is almost 1, has no singularity on the critical line, and falls as 1 - c rises.

    Args:
        q: Length, as a rule q*. Where q* is 0, c* is that of an infinitesimal bias: 1.
        activation: Canonical name of phi.
        sigma_w: Standard deviation of a weight times sqrt(fan_in).
        sigma_b: Standard deviation of a bias.
        max_iterations: Steps allowed to narrow the bracket; some 10 are needed.

    Example:
        >>> q = length_fixed_point("tanh", sigma_w=1.5, sigma_b=0.3).value
        >>> found = correlation_fixed_point(q, "tanh", sigma_w=1.5, sigma_b=0.3)
        >>> round(found.value, 4), abs(correlation_map(found.value, q, "tanh", 1.5, 0.3) - found.value) < 1e-9
        (0.7668, True)

    Source:
        Poole et al. 2016, eq. 5 and section 2.2.
    """
    transfer = _transfer(activation)
    q = max(q, _SMALLEST_LENGTH)
    next_length = length_map(q, activation, sigma_w, sigma_b)

    def growth(decorrelation: float) -> float:
        mean = _pair_mean(lambda u1, u2: (transfer.function(u1) - transfer.function(u2)) ** 2, q, q, decorrelation)
        return sigma_w**2 * mean / (2 * next_length * decorrelation) - 1

    smallest = 1e-12
    if chi(q, activation, sigma_w) * q / next_length - 1 <= _TOLERANCE or growth(smallest) <= 0:
        return FixedPoint(1.0, True, 0)
    if growth(1.0) >= -_TOLERANCE:
        return FixedPoint(0.0, True, 0)
    found = _root(growth, smallest, 1.0, max_iterations)
    return FixedPoint(1 - found.value, found.converged, found.iterations)


@dataclass(frozen=True)
class PhasePoint:
    """What the theory says of one activation at one sigma_w and sigma_b.

    Attributes:
        q: Fixed length.
        c: Fixed correlation; NaN, not converged, if there is no fixed length.
        chi_1: Slope of the correlation map at c = 1: below 1 order, above 1 chaos. Without a fixed length its
            limit at large lengths; relu and leaky_relu have one chi_1 at all lengths.
        chi_c: Slope of the correlation map at c*; NaN if there is none.
        xi_q: Layers over which a length's distance from q* falls by e; NaN if there is none.
        xi_c: Layers over which a correlation's distance from c* falls by e; infinite on the critical line.
    """

    q: FixedPoint
    c: FixedPoint
    chi_1: float
    chi_c: float
    xi_q: float
    xi_c: float


def phase_point(activation: str, sigma_w: float, sigma_b: float) -> PhasePoint:
    """Return fixed points, slopes and depth scales of random networks.

    `xi_q = -1 / log(V'(q*))` and `xi_c = -1 / log(chi at c*)`, V being the length map; a slope of 1 gives infinity.
    At q* = 0 xi_c is that of an infinitesimal bias: the scale at which signals and gradients fade. The correlation of
    relu and leaky_relu without biases does not depend on lengths, and nears 1 by a power of the depth.

    Args:
        activation: Canonical name.
        sigma_w: Standard deviation of a weight times sqrt(fan_in), above 0.
        sigma_b: Standard deviation of a bias, at least 0.

    Example:
        >>> point = phase_point("tanh", sigma_w=0.9, sigma_b=0.0)  # all lengths fall by 0.9^2 a layer
        >>> point.q.value, point.c.value, round(point.chi_1, 6), round(point.xi_c, 3)
        (0.0, 1.0, 0.81, 4.746)

    Source:
        Schoenholz et al. 2017, eq. 7 to 10.
    """
    q = length_fixed_point(activation, sigma_w, sigma_b)
    if not math.isfinite(q.value):
        chi_1 = chi(_LARGEST_LENGTH, activation, sigma_w)
        return PhasePoint(q, FixedPoint(math.nan, False, 0), chi_1, math.nan, math.nan, math.nan)
    c = correlation_fixed_point(q.value, activation, sigma_w, sigma_b)
    chi_1 = chi(q.value, activation, sigma_w)
    chi_c = chi(q.value, activation, sigma_w, c.value)
    return PhasePoint(q, c, chi_1, chi_c, _depth_scale(length_slope(q.value, activation, sigma_w)), _depth_scale(chi_c))


@dataclass(frozen=True)
class CriticalPoint:
    """A point of the line between order and chaos.

    Attributes:
        sigma_w: Standard deviation of a weight times sqrt(fan_in); NaN if none was found.
        q: The length that it keeps, where chi_1 is 1; inf if lengths grow without bound.
        stable: Whether lengths near q come to it or stay. Not so for relu and leaky_relu with biases, and for gelu
            below a sigma_b of about 0.4: there chi_1 is 1 at a length that repels its neighbours.
        converged: Whether the point was found to the tolerance within the allowed steps.
    """

    sigma_w: float
    q: float
    stable: bool
    converged: bool


def critical_point(activation: str, sigma_b: float, max_iterations: int = _MAX_ITERATIONS) -> CriticalPoint:
    """Return the sigma_w at which chi_1(q*) = 1.

    At a given length q both conditions can be solved at once, `sigma_w^2 = 1 / E[phi'^2]` and
    `sigma_b^2 = q - sigma_w^2 E[phi^2]`; so one looks for the q that gives sigma_b, and no search is nested in another.

    Args:
        activation: Canonical name of phi.
        sigma_b: Standard deviation of a bias, at least 0.
        max_iterations: Steps allowed to narrow the bracket; some 10 are needed.

    Returns:
        The point; not converged if its q is above 1e6.

    Example:
        >>> [round(critical_point(name, sigma_b=0.0).sigma_w ** 2, 3) for name in ("tanh", "leaky_relu(0.1)")]
        [1.0, 1.98]

    Source:
        Poole et al. 2016, eq. 6; Schoenholz et al. 2017, figure 1.
    """
    _check(1.0, sigma_b, 0.0)
    transfer = _transfer(activation)

    def growth(q: _Array | float) -> _Array:
        square = _mean(lambda u: transfer.function(u) ** 2, q)
        slope_square = _mean(lambda u: transfer.derivative(u) ** 2, q)
        return np.asarray(square / slope_square / q - 1)

    def point(q: float, keeps_length: bool, converged: bool) -> CriticalPoint:
        sigma_w = 1 / math.sqrt(chi(q, activation, 1.0))
        probe = 1.01 * q + 1e-6
        returns = length_map(probe, activation, sigma_w, sigma_b) <= probe * (1 + _TOLERANCE)
        return CriticalPoint(sigma_w, q if keeps_length else math.inf, returns, converged)

    grid = np.geomspace(_GRID_START, _LARGEST_CRITICAL_LENGTH, 401)
    growths = growth(grid)
    if (abs(growths) <= _TOLERANCE).all():
        return point(1.0, keeps_length=sigma_b == 0, converged=True)
    if sigma_b == 0 and transfer.function(np.zeros(1))[0] == 0:
        return point(0.0, keeps_length=True, converged=True)
    enough = np.nonzero(growths + sigma_b**2 / grid <= 0)[0]
    if len(enough) == 0:
        return CriticalPoint(math.nan, math.nan, False, False)
    low, high = grid[enough[0] - 1], grid[enough[0]]
    found = _root(lambda q: float(growth(q)) + sigma_b**2 / q, float(low), float(high), max_iterations)
    return point(found.value, keeps_length=True, converged=found.converged)


@dataclass(frozen=True)
class WeightScale:
    """How large the random weights of each layer are.

    Attributes:
        layer_sizes: Inputs, then the units of each layer.
        deviations: Standard deviation of a weight, one per layer.
    """

    layer_sizes: tuple[int, ...]
    deviations: tuple[float, ...]

    @property
    def forward(self) -> _Array:
        """Factor `fan_in * deviation^2` of each layer, `[layers]`: sigma_w^2 on the way forward."""
        return np.array([n * d**2 for n, d in zip(self.layer_sizes[:-1], self.deviations, strict=True)])

    @property
    def backward(self) -> _Array:
        """Factor `fan_out * deviation^2` of each layer, `[layers]`: in the place of sigma_w^2 on the way back."""
        return np.array([n * d**2 for n, d in zip(self.layer_sizes[1:], self.deviations, strict=True)])


def mean_field_scale(layer_sizes: Sequence[int], sigma_w: float) -> WeightScale:
    """Return weights of standard deviation `sigma_w / sqrt(fan_in)`, the papers' own.

    Example:
        >>> mean_field_scale([100, 100, 25], sigma_w=2.0).backward.round(6).tolist()
        [4.0, 1.0]
    """
    return WeightScale(tuple(layer_sizes), tuple(sigma_w / math.sqrt(n_inputs) for n_inputs in layer_sizes[:-1]))


def xavier_scale(layer_sizes: Sequence[int], gain: float) -> WeightScale:
    """Return weights of standard deviation `gain * sqrt(2 / (fan_in + fan_out))`.

    Where the widths differ, one gain is another sigma_w in each layer, and another again on the way back: forward
    `sigma_w^2 = gain^2 * 2 fan_in / (fan_in + fan_out)`, backward with fan_out above the line.

    Example:
        >>> scale = xavier_scale([3072, 128, 64, 32, 3], gain=1.0)
        >>> scale.forward.round(2).tolist(), scale.backward.round(2).tolist()
        ([1.92, 1.33, 1.33, 1.83], [0.08, 0.67, 0.67, 0.17])

    Source:
        Glorot & Bengio 2010, eq. 10 to 12.
    """
    deviations = (gain * math.sqrt(2 / (n_inputs + n_outputs)) for n_inputs, n_outputs in pairwise(layer_sizes))
    return WeightScale(tuple(layer_sizes), tuple(deviations))


@dataclass(frozen=True)
class PredictedSignals:
    """What an infinitely wide network does to two inputs, per layer, `[layers]` each.

    Attributes:
        mean_square: q, of the first input's pre-activations.
        correlation: c, of the two inputs' pre-activations.
        gradient_mean_square: Of the gradient at the first input's pre-activations, 1 at the last layer.
    """

    mean_square: _Array
    correlation: _Array
    gradient_mean_square: _Array


def predicted_signals(
    scale: WeightScale, activation: str, sigma_b: float, q_inputs: tuple[float, float], c_inputs: float
) -> PredictedSignals:
    """Return lengths, correlations and gradients layer by layer, from the two inputs on.

    The first layer is linear: `q = sigma_w^2 q_input + sigma_b^2`; from then on each length is the length map of the
    one before. Back, a gradient's mean square takes the factor `fan_out * deviation^2 * E[phi'(sqrt(q) z)^2]` at each
    layer. Where lengths grow beyond what a float holds they are inf, and correlations NaN.

    Args:
        scale: Size of the weights, which may differ from layer to layer.
        activation: Canonical name of phi; after every layer but the last.
        sigma_b: Standard deviation of a bias.
        q_inputs: Mean squares of the two inputs' features.
        c_inputs: Cosine of the angle between the two inputs.

    Example:
        >>> scale = xavier_scale([64, 64, 64, 64], gain=2**0.5)
        >>> found = predicted_signals(scale, "relu", 0.0, q_inputs=(1.0, 1.0), c_inputs=0.0)
        >>> found.mean_square.round(4).tolist(), found.correlation.round(4).tolist()
        ([2.0, 2.0, 2.0], [0.0, 0.3183, 0.4937])

    Source:
        Poole et al. 2016, eq. 3 and 5; Schoenholz et al. 2017, on back-propagation.
    """
    sigmas = np.sqrt(scale.forward)
    q_first, q_second = (float(sigmas[0] ** 2 * q + sigma_b**2) for q in q_inputs)
    product = math.sqrt(q_inputs[0] * q_inputs[1]) * c_inputs
    c = _correlation(float(sigmas[0] ** 2 * product + sigma_b**2), q_first, q_second)
    lengths, correlations = [q_first], [c]
    for sigma_w in sigmas[1:].tolist():
        if max(q_first, q_second) < _NO_LONGER_A_NUMBER:
            c = correlation_map(c, q_first, activation, sigma_w, sigma_b, q_second)
            q_first, q_second = (length_map(q, activation, sigma_w, sigma_b) for q in (q_first, q_second))
        else:
            q_first, q_second, c = math.inf, math.inf, math.nan
        lengths.append(q_first)
        correlations.append(c)
    slopes = [chi(min(q, _NO_LONGER_A_NUMBER), activation, 1.0) for q in lengths[:-1]]
    factors = scale.backward[1:] * np.array(slopes)
    with np.errstate(over="ignore"):
        gradients = np.append(np.cumprod(factors[::-1])[::-1], 1.0)
    return PredictedSignals(np.array(lengths), np.array(correlations), gradients)


def forward_gain(activation: str) -> float:
    """Return the gain that keeps a signal's second moment: `1 / sqrt(E[phi(z)^2])` for z standard normal.

    For leaky_relu(a) this is `sqrt(2 / (1 + a^2))`.

    Args:
        activation: Canonical name.

    Example:
        >>> [round(forward_gain(name), 3) for name in ("leaky_relu(0.1)", "relu", "tanh")]
        [1.407, 1.414, 1.593]

    Source:
        He et al. 2015, eq. 10 and 15.
    """
    return 1 / math.sqrt(length_map(1.0, activation, sigma_w=1.0, sigma_b=0.0))


def backward_gain(activation: str) -> float:
    """Return the gain that keeps a gradient's mean square: `1 / sqrt(E[phi'(z)^2])` for z standard normal.

    Its counterpart for signals on the way forward is `forward_gain`.

    Example:
        >>> [round(backward_gain(name), 3) for name in ("relu", "tanh", "selu")]
        [1.414, 1.467, 0.966]
    """
    return 1 / math.sqrt(chi(1.0, activation, sigma_w=1.0))


@dataclass(frozen=True)
class GainRow:
    """Gains of one activation: theory beside PyTorch's.

    Attributes:
        activation: Canonical name.
        forward: Keeps the second moment of a signal of unit length, forward.
        backward: Keeps the mean square of a gradient there, backward.
        pytorch: What `torch.nn.init.calculate_gain` returns; None if it knows no such activation.
        pytorch_formula: The same as PyTorch's documentation writes it.
        remark: What PyTorch's value does where it differs.
    """

    activation: str
    forward: float
    backward: float
    pytorch: float | None
    pytorch_formula: str
    remark: str


_PYTORCH_GAINS: dict[str, tuple[float | None, str, str]] = {
    "relu": (math.sqrt(2), "sqrt(2)", "the same forward and backward"),
    "tanh": (5 / 3, "5/3", "above both: lengths settle above 1 (q* = 1.18) and gradients grow by 1.21 in each layer"),
    "sigmoid": (1.0, "1", "far below both: gradients vanish, to 1/18 of their mean square in each layer"),
    "gelu": (None, "none", "no value; the length that the forward gain keeps repels its neighbours"),
    "erf": (None, "none", "no value; gradients ask for less than signals"),
    "selu": (3 / 4, "3/4", "below both: gives up unit length (q* = 0.023) for gradients that hardly grow"),
}


def gain_table(activations: Sequence[str]) -> list[GainRow]:
    """Return the gains of each activation, one row each.

    Args:
        activations: Canonical names.

    Example:
        >>> [(row.activation, round(row.forward, 3), row.pytorch_formula) for row in gain_table(["tanh", "selu"])]
        [('tanh', 1.593, '5/3'), ('selu', 1.0, '3/4')]

    Source:
        He et al. 2015, eq. 10, 14 and 15; PyTorch's documentation of `torch.nn.init.calculate_gain`.
    """
    rows = []
    for activation in activations:
        forward, backward = forward_gain(activation), backward_gain(activation)
        if activation.startswith("leaky_relu"):
            pytorch: tuple[float | None, str, str] = (forward, "sqrt(2 / (1 + slope^2))", _PYTORCH_GAINS["relu"][2])
        else:
            pytorch = _PYTORCH_GAINS[activation]
        rows.append(GainRow(activation, forward, backward, *pytorch))
    return rows


def _root(excess: Callable[[float], float], low: float, high: float, max_iterations: int) -> FixedPoint:
    """Return where `excess` turns from positive, at low, to not positive, at high; both ends above 0.

    False position on a logarithmic scale; the value at an end that stays twice is halved, so that both ends close in
    (the Illinois rule). Some 10 steps as a rule, where halving takes 40; up to 70 next to the critical line, where the
    root hides in rounding.
    """
    ends, values, previous = [math.log(low), math.log(high)], [excess(low), excess(high)], -1
    for iteration in range(max_iterations):
        if ends[1] - ends[0] <= _TOLERANCE:
            return FixedPoint(math.exp(sum(ends) / 2), True, iteration)
        middle = (ends[0] * values[1] - ends[1] * values[0]) / (values[1] - values[0])
        value = excess(math.exp(middle))
        if value == 0:
            return FixedPoint(math.exp(middle), True, iteration + 1)
        side = 0 if value > 0 else 1
        if side == previous:
            values[1 - side] /= 2
        ends[side], values[side], previous = middle, value, side
    return FixedPoint(math.exp(sum(ends) / 2), False, max_iterations)


def _correlation(product: float, q: float, q_other: float) -> float:
    """Return a correlation for a covariance, held in -1 .. 1 against rounding."""
    return max(-1.0, min(1.0, product / math.sqrt(q) / math.sqrt(q_other)))


def _depth_scale(slope: float) -> float:
    if slope >= 1 - _TOLERANCE:
        return math.inf
    return -1 / math.log(slope) if slope > 0 else 0.0


def _check(sigma_w: float, sigma_b: float, q: float, c: float = 1.0) -> None:
    lowest, highest = _SIGMA_W_RANGE
    for name, value, valid, rule in (
        ("sigma_w", sigma_w, lowest <= sigma_w <= highest, f"in {lowest:g} .. {highest:g}"),
        ("sigma_b", sigma_b, sigma_b >= 0, "at least 0"),
        ("q", q, q >= 0, "at least 0"),
        ("c", c, -1 <= c <= 1, "in -1 .. 1"),
    ):
        if not (valid and math.isfinite(value)):
            message = f"{name} must be {rule} and finite, got {value!r}."
            raise ValueError(message)
