"""Exponential, logarithm, hyperbolic tangent and error function in compiled code, eight numbers at a time.

Those of the C library differ between systems in their last digits. These are sums and products in one order, so that
they do not. Each is a polynomial where the function is close to one, and what the exponential makes of it elsewhere;
the coefficients minimise the largest relative error (Lawson's iteration on Chebyshev points). How far a result is from
the exact one at most is given in units of its last place as float32 (ulp), over the whole range. NaN stays NaN.

For functions that numba compiles, see `mlp_core.engine.vectors`.
"""

from __future__ import annotations

from typing import Any

from mlp_core.engine.compilation import part
from mlp_core.engine.vectors import absolute, exponent, fma, mantissa, nearest_whole, power_of_two, select

_LEAST = -87.336540  # e to this power is 2^-126, the smallest normal number
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.44269504, 0.693145752, 1.42860677e-06  # the high part times a small number is exact
_SQRT2 = 1.41421354


@part
def exponential(x: Any) -> Any:
    """Return e^x of each number of a vector, for x <= 0, within 1.1 ulp; 0 below x = -87.33654, NaN for NaN."""
    inside = select(x < _LEAST, _LEAST, x)
    n = nearest_whole(inside * _LOG2_E)
    r = fma(n, -_LN2_LOW, fma(n, -_LN2_HIGH, inside))
    p = fma(r, 0.0013950489, 0.00836888980)
    p = fma(p, r, 0.0416662060)
    p = fma(p, r, 0.166665182)
    p = fma(p, r, 0.5)
    power = fma(p * r, r, r) + 1.0
    return select(x < _LEAST, 0.0, power * power_of_two(n))


@part
def logarithm(x: Any) -> Any:
    """Return the natural logarithm of each number of a vector, for normal x > 0, within 2 ulp; NaN for NaN."""
    m, e = mantissa(x), exponent(x)
    is_large = m > _SQRT2
    m, e = select(is_large, m * 0.5, m), select(is_large, e + 1.0, e)
    s = (m - 1.0) / (m + 1.0)  # log(m) = 2 artanh(s)
    z = s * s
    p = fma(z, 0.298718661, 0.399775356)
    p = fma(p, z, 0.666667759)
    power = fma(e, _LN2_HIGH, fma(p * z, s, fma(e, _LN2_LOW, s + s)))
    return select(x == x, power, x)


@part
def hyperbolic_tangent(x: Any) -> Any:
    """Return tanh x of each number of a vector, within 2 ulp; NaN for NaN."""
    size = absolute(x)
    z = x * x
    p = fma(z, -0.00628246693, 0.0210777540)
    p = fma(p, z, -0.0538538583)
    p = fma(p, z, 0.133326024)
    p = fma(p, z, -0.333333194)
    near = fma(p * z, x, x)
    e = exponential(size * -2.0)
    far = (1.0 - e) / (1.0 + e)
    return select(size < 0.55, near, select(x < 0.0, 0.0 - far, far))


@part
def error_function(x: Any) -> Any:
    """Return the error function erf x of each number of a vector, within 2 ulp; NaN for NaN."""
    size = absolute(x)
    z = x * x
    p = fma(z, -0.000609035778, 0.00501196226)
    p = fma(p, z, -0.0267789084)
    p = fma(p, z, 0.112821408)
    p = fma(p, z, -0.376125246)
    near = fma(fma(p, z, 0.128379148), x, x)
    t = select(size > 4.0, 4.0, size)  # beyond, it rounds to 1
    q = fma(t, -0.000198220703, 0.00306549971)  # of -log(1 - erf t)
    q = fma(q, t, -0.0223152488)
    q = fma(q, t, 0.104113743)
    q = fma(q, t, 0.636976004)
    q = fma(q, t, 1.12779725)
    q = fma(q, t, 0.000166439087)
    far = 1.0 - exponential(0.0 - q)
    return select(size < 0.9, near, select(x < 0.0, 0.0 - far, far))
