"""Signals in wide random networks, by theory: how a layer maps the length of a signal and the correlation of two.

In a wide network with random weights the pre-activations of a layer are Gaussian, so that two numbers tell where an
input goes (Poole et al. 2016): its length q, the mean square of the pre-activations, and the correlation c of two
inputs. Each layer maps them on; where the maps come to rest, and how fast, decides how deep a network can be trained
(Schoenholz et al. 2017). Weights have standard deviation `sigma_w / sqrt(fan_in)`, biases `sigma_b`: standard
deviations here, while the papers plot sigma_w^2.

Right to 1e-6 of the value for sigma_w from 1e-3 to 1e3, checked against other sums; other sigma_w are refused below
1e-8 and above 1e8.

Sources:
    Poole et al. 2016, "Exponential expressivity in deep neural networks through transient chaos".
    Schoenholz et al. 2017, "Deep information propagation".
"""

from __future__ import annotations

import math

from mlp_core.theory.activation_functions import activation_function
from mlp_core.theory.expectations import gaussian_mean, gaussian_pair_mean

SMALLEST_LENGTH = 1e-24
"""Stands for length 0, at which derivatives are those of the limit, in which a kink still has its two sides."""

_SIGMA_W_RANGE = 1e-8, 1e8


def length_map(q: float, activation: str, sigma_w: float, sigma_b: float) -> float:
    """Return the mean square of the next layer's pre-activations (its length), given this layer's, q.

    It is `sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2` for z standard normal and phi the activation.

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
    check_ranges(sigma_w, sigma_b, q)
    phi = activation_function(activation)
    return float(sigma_w**2 * gaussian_mean(lambda u: phi.function(u) ** 2, q) + sigma_b**2)


def length_slope(q: float, activation: str, sigma_w: float) -> float:
    """Return the derivative of `length_map` at q: `sigma_w^2 E[z phi(sqrt(q) z) phi'(sqrt(q) z)] / sqrt(q)`.

    By partial integration this is `chi_1 + sigma_w^2 E[phi'' phi]`, as the paper writes it, but it needs no second
    derivative, which a kink does not have. Below q = 1e-12 it is the derivative at 1e-12.

    Args:
        q: Mean square of a layer's pre-activations, at least 0.
        activation: Canonical name of phi.
        sigma_w: Standard deviation of a weight times sqrt(fan_in), above 0.

    Example:
        >>> round(length_slope(1.0, "relu", sigma_w=1.2), 6)
        0.72

    Source:
        Schoenholz et al. 2017, eq. 7.
    """
    check_ranges(sigma_w, 0.0, q)
    phi = activation_function(activation)
    root = math.sqrt(max(q, 1e-12))  # any smaller, and rounding shows where phi(0) is not 0
    mean = gaussian_mean(lambda u: u / root * phi.function(u) * phi.derivative(u), root**2)
    return float(sigma_w**2 * mean / root)


def chi(q: float, activation: str, sigma_w: float, c: float = 1.0) -> float:
    """Return chi = `sigma_w^2 E[phi'(u1) phi'(u2)]`, for Gaussian u1, u2 of mean square q and correlation c.

    At c = 1 it is chi_1: the factor by which a layer multiplies the mean square of a small difference between two
    inputs and, with equal widths, that of a gradient. At the fixed point c* it is the slope of the correlation map.

    Args:
        q: Mean square of a layer's pre-activations, at least 0.
        activation: Canonical name of phi.
        sigma_w: Standard deviation of a weight times sqrt(fan_in), above 0.
        c: Correlation, -1 .. 1.

    Example:
        >>> round(chi(1.0, "leaky_relu(0.1)", sigma_w=1.0), 6)  # (1 + 0.1^2) / 2 at any length
        0.505

    Source:
        Poole et al. 2016, eq. 6; Schoenholz et al. 2017, eq. 9.
    """
    check_ranges(sigma_w, 0.0, q, c)
    phi = activation_function(activation)
    length = max(q, SMALLEST_LENGTH)
    if c == 1:
        return float(sigma_w**2 * gaussian_mean(lambda u: phi.derivative(u) ** 2, length))
    mean = gaussian_pair_mean(lambda u1, u2: phi.derivative(u1) * phi.derivative(u2), length, length, 1 - c)
    return sigma_w**2 * mean


def correlation_map(
    c: float, q: float, activation: str, sigma_w: float, sigma_b: float, q_other: float | None = None
) -> float:
    """Return the correlation of two inputs' pre-activations in the next layer, given this layer's, c.

    It is `(sigma_w^2 E[phi(u1) phi(u2)] + sigma_b^2) / sqrt(V(q) V(q_other))` with V the length map and Gaussian u1, u2
    of mean squares q and q_other and correlation c. At the fixed point of V the denominator is q*, as in the paper.

    Args:
        c: Correlation, -1 .. 1.
        q: Mean square of the first input's pre-activations (its length), at least 0.
        activation: Canonical name of phi.
        sigma_w: Standard deviation of a weight times sqrt(fan_in).
        sigma_b: Standard deviation of a bias.
        q_other: The same of the second input; q by default.

    Example:
        >>> round(correlation_map(0.0, 1.0, "relu", sigma_w=2**0.5, sigma_b=0.0), 4)  # 1 / pi
        0.3183

    Source:
        Poole et al. 2016, eq. 5.
    """
    check_ranges(sigma_w, sigma_b, q, c)
    phi = activation_function(activation)
    # Where lengths fade to nothing, activations are linear and correlations stay as they are
    q, q_other = max(q, SMALLEST_LENGTH), max(q if q_other is None else q_other, SMALLEST_LENGTH)
    mean = gaussian_pair_mean(lambda u1, u2: phi.function(u1) * phi.function(u2), q, q_other, 1 - c)
    lengths = [length_map(length, activation, sigma_w, sigma_b) for length in (q, q_other)]
    return correlation_of(sigma_w**2 * mean + sigma_b**2, *lengths)


def correlation_of(covariance: float, q: float, q_other: float) -> float:
    """Return the correlation `covariance / sqrt(q q_other)`, cut to -1 .. 1, which rounding may leave.

    Args:
        covariance: Mean of the product of two variables of mean 0.
        q: Mean square of the first, above 0.
        q_other: Mean square of the second, above 0.

    Example:
        >>> correlation_of(1.0, 1.0, 4.0), correlation_of(1.0 + 1e-15, 1.0, 1.0)
        (0.5, 1.0)
    """
    return max(-1.0, min(1.0, covariance / math.sqrt(q) / math.sqrt(q_other)))


def check_ranges(sigma_w: float, sigma_b: float, q: float, c: float = 1.0) -> None:
    """Raise a ValueError that states the rule if a number is out of its range or not finite.

    The ranges: sigma_w 1e-8 .. 1e8, sigma_b and q at least 0, c -1 .. 1.

    Example:
        >>> check_ranges(sigma_w=1.0, sigma_b=-1.0, q=1.0)
        Traceback (most recent call last):
        ValueError: sigma_b must be at least 0 and finite, got -1.0.
    """
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
