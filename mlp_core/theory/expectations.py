"""Means of functions of one Gaussian or two, by sums over Gauss-Legendre nodes on panels.

Where the Gaussian's mean square q is large, an activation bends within a sliver of it, so that no fixed set of nodes
will do: Gauss-Hermite's 192 nodes are wrong by 0.3 % for tanh at q = 100, and take deep chaos for order at a gain of
50. Panels therefore end where the activation bends, at pre-activations of 0, +-1, +-2, +-4, ... +-32, beyond which it
is straight, and at a kink. For two Gaussians the second is taken given the first, with its own panels for each value
of the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float64]

_N_NODES = 16  # of each panel
_REACH = 9.0  # standard deviations; the normal density there is 1e-18
_GAUSSIAN_EDGES = np.array([0.0, 1.5, 3.0, 5.0, 7.0, _REACH])  # fine enough for the density
_BENDS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])  # pre-activations between which panels resolve any activation
_N_ROWS = 64  # of nodes at a time: arrays that stay in a core's cache, and that need no fresh memory


@cache
def _legendre() -> tuple[_Array, _Array]:
    """Return nodes in 0 .. 1 and weights that sum to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)
    return (nodes + 1) / 2, weights / 2


def _panels(edges: _Array) -> tuple[_Array, _Array]:
    """Return where panels start and how wide they are, `[..., panels]` each, without those that are empty everywhere.

    Args:
        edges: Of the panels, `[..., edges]`, in any order.
    """
    edges = np.sort(np.clip(edges, -_REACH, _REACH), axis=-1)
    starts, widths = edges[..., :-1], np.diff(edges, axis=-1)
    needed = (widths > 0).reshape(-1, widths.shape[-1]).any(axis=0)
    # A mask leaves the panels' axis first in memory; in that order the sums took twice the time
    return np.ascontiguousarray(starts[..., needed]), np.ascontiguousarray(widths[..., needed])


def _nodes(starts: _Array, widths: _Array) -> tuple[_Array, _Array]:
    """Return nodes and weights, `[..., nodes]` each, for the mean over a standard Gaussian by `[..., panels]`."""
    fractions, weights = _legendre()
    nodes = widths[..., None] * fractions
    nodes += starts[..., None]
    densities = nodes**2
    densities /= -2
    np.exp(densities, out=densities)
    densities *= widths[..., None] * weights
    densities /= math.sqrt(2 * math.pi)
    shape = (*nodes.shape[:-2], -1)
    return nodes.reshape(shape), densities.reshape(shape)


def _both_sides(edges: _Array) -> _Array:
    return np.concatenate([-edges, edges], axis=-1)


def gaussian_mean(integrand: Callable[[_Array], _Array], q: _Array | float) -> _Array:
    """Return the expected value of `integrand(u)` for Gaussian u of mean 0 and variance q, for each q of an array.

    Args:
        integrand: Function of an array, element by element; smooth but for a kink at 0, and close to a polynomial
            beyond -32 and 32.
        q: Variances `[...]`, above 0.

    Returns:
        float64 of the shape of q.

    Example:
        >>> gaussian_mean(lambda u: u**4, np.array([1.0, 2.0])).round(9).tolist()  # 3 q^2
        [3.0, 12.0]
    """
    root = np.sqrt(np.asarray(q))[..., None]
    bends = _BENDS / np.maximum(root, _BENDS[0] / _REACH)
    gaussian = np.broadcast_to(_GAUSSIAN_EDGES, (*bends.shape[:-1], len(_GAUSSIAN_EDGES)))
    nodes, weights = _nodes(*_panels(_both_sides(np.concatenate([gaussian, bends], axis=-1))))
    nodes *= root
    return np.asarray((weights * integrand(nodes)).sum(axis=-1))


def gaussian_pair_mean(
    integrand: Callable[[_Array, _Array], _Array], q: float, q_other: float, decorrelation: float
) -> float:
    """Return the expected value of `integrand(u1, u2)` for two Gaussians of mean 0 and correlation c.

    With x and y independent, `u1 = sqrt(q) x` and `u2 = sqrt(q_other) (c x + sqrt(1 - c^2) y)` have the correlation c.
    The argument is 1 - c, not c, so that no digits are lost where c is almost 1.

    Args:
        integrand: Function of two arrays, element by element; in each smooth but for a kink at 0, and close to a
            polynomial beyond -32 and 32.
        q: Variance of u1, above 0.
        q_other: Variance of u2, above 0.
        decorrelation: 1 - c, 0 .. 2.

    Example:
        >>> round(gaussian_pair_mean(lambda u1, u2: u1 * u2, 1.0, 4.0, decorrelation=0.7), 9)  # sqrt(q q_other) c
        0.6
    """
    root, root_other, c = math.sqrt(q), math.sqrt(q_other), 1 - decorrelation
    across = max(math.sqrt(decorrelation * (2 - decorrelation)), 1e-150)
    # The mean over y bends, as a function of x, about 0 as sharply as u2 does or as the two are close
    sharpest = min(1 / root, 1 / root_other, across, 1.0)
    n_doublings = math.ceil(math.log2(1.5 / max(sharpest, 1e-15)))
    doublings = 1.5 / 2.0 ** np.arange(1, n_doublings + 1)
    x, x_weights = _nodes(*_panels(_both_sides(np.concatenate([_GAUSSIAN_EDGES, doublings]))))
    bends = np.concatenate([[0.0], _BENDS]) / (root_other * across)
    around = -c * x[:, None] / across + _both_sides(bends)
    gaussian = np.broadcast_to(_both_sides(_GAUSSIAN_EDGES), (len(x), 2 * len(_GAUSSIAN_EDGES)))
    starts, widths = _panels(np.concatenate([gaussian, around], axis=-1))
    means = np.empty(len(x))
    for first_row in range(0, len(x), _N_ROWS):
        rows = slice(first_row, first_row + _N_ROWS)
        column = x[rows, None]
        y, weights = _nodes(starts[rows], widths[rows])
        # c x + across y, without losing what tells it from x where c is almost 1
        y *= across
        y -= decorrelation * column
        y += column
        y *= root_other
        values = integrand(root * column, y)
        values *= weights
        means[rows] = values.sum(axis=-1)
    return float(x_weights @ means)
