"""Products of small layers in compiled code: as many sums at a time as a processor's registers hold.

Sixteen registers hold two rows of outputs, thirty-two of sixteen numbers each hold four, which is a fifth faster there;
four rows in sixteen registers took 40 in 100 longer. The order of each sum is the same, so that the bits are, too.
"""

from __future__ import annotations

from typing import Any

from mlp_core.engine.compilation import HAS_WIDE_REGISTERS, part
from mlp_core.engine.vectors import (
    LANES,
    constant,
    fma,
    load,
    load_pair,
    load_twice,
    lower,
    number,
    spread,
    store,
    totals,
    upper,
)

BLOCK = 32
"""Examples that a product computes at a time."""


@part
def multiply(
    work: Any, out: int, n_out: int, weights: Any, first: int, out_step: int, in_step: int, signal: int, n_in: int,
    width: int,
) -> None:  # fmt: skip
    """Write rows of outputs: each the sum over the inputs of weight times row."""
    for row in range(0, n_out, 2):
        for column in range(0, width, BLOCK):
            a0 = a1 = b0 = b1 = constant(work, 0.0)
            weight, at = first + row * out_step, signal + column
            for _ in range(n_in):
                a, b = spread(weights, weight), spread(weights, weight + out_step)
                x0, x1 = load(work, at), load(work, at + LANES)
                a0, a1, b0, b1 = fma(a, x0, a0), fma(a, x1, a1), fma(b, x0, b0), fma(b, x1, b1)
                weight += in_step
                at += width
            at = out + row * width + column
            store(work, at, a0)
            store(work, at + LANES, a1)
            if row + 1 < n_out:
                store(work, at + width, b0)
                store(work, at + width + LANES, b1)


@part
def weigh(work: Any, delta: int, n_out: int, signal: int, n_in: int, gradient: Any, first: int, width: int) -> None:
    """Write the gradient of a layer's weights: sums over the batch of delta times input."""
    for row in range(0, n_out, 2):
        for column in range(0, n_in, 4):
            s0 = s1 = s2 = s3 = constant(work, 0.0)  # their first halves are of this row, the second of the next
            up, at = delta + row * width, signal + column * width
            for _ in range(0, width, 8):
                deltas = load_pair(work, up, up + width)
                s0, s1 = fma(deltas, load_twice(work, at), s0), fma(deltas, load_twice(work, at + width), s1)
                s2 = fma(deltas, load_twice(work, at + 2 * width), s2)
                s3 = fma(deltas, load_twice(work, at + 3 * width), s3)
                up += 8
                at += 8
            sums, at, left = totals(s0, s1, s2, s3), first + row * n_in + column, n_in - column
            _put(gradient, at, left, lower(sums))
            if row + 1 < n_out:
                _put(gradient, at + n_in, left, upper(sums))


@part
def _put(out: Any, at: int, left: int, sums: Any) -> None:
    if left >= 4:
        store(out, at, sums)
    else:
        for index in range(left):
            out[at + index] = number(sums, index)


@part
def _multiply_wide(
    work: Any, out: int, n_out: int, weights: Any, first: int, out_step: int, in_step: int, signal: int, n_in: int,
    width: int,
) -> None:  # fmt: skip
    """As `multiply`, four rows at a time; what would lie beyond the last row computes that one again."""
    for row in range(0, n_out, 4):
        r1, r2, r3 = min(row + 1, n_out - 1), min(row + 2, n_out - 1), min(row + 3, n_out - 1)
        for column in range(0, width, BLOCK):
            a0 = a1 = b0 = b1 = c0 = c1 = d0 = d1 = constant(work, 0.0)
            wa, wb = first + row * out_step, first + r1 * out_step
            wc, wd = first + r2 * out_step, first + r3 * out_step
            at = signal + column
            for _ in range(n_in):
                a, b, c, d = spread(weights, wa), spread(weights, wb), spread(weights, wc), spread(weights, wd)
                x0, x1 = load(work, at), load(work, at + LANES)
                a0, a1, b0, b1 = fma(a, x0, a0), fma(a, x1, a1), fma(b, x0, b0), fma(b, x1, b1)
                c0, c1, d0, d1 = fma(c, x0, c0), fma(c, x1, c1), fma(d, x0, d0), fma(d, x1, d1)
                wa += in_step
                wb += in_step
                wc += in_step
                wd += in_step
                at += width
            at = out + column
            store(work, at + row * width, a0)
            store(work, at + row * width + LANES, a1)
            store(work, at + r1 * width, b0)
            store(work, at + r1 * width + LANES, b1)
            store(work, at + r2 * width, c0)
            store(work, at + r2 * width + LANES, c1)
            store(work, at + r3 * width, d0)
            store(work, at + r3 * width + LANES, d1)


@part
def _weigh_wide(
    work: Any, delta: int, n_out: int, signal: int, n_in: int, gradient: Any, first: int, width: int
) -> None:
    """As `weigh`, four rows at a time; what would lie beyond the last row computes that one again."""
    for row in range(0, n_out, 4):
        r1, r2, r3 = min(row + 1, n_out - 1), min(row + 2, n_out - 1), min(row + 3, n_out - 1)
        for column in range(0, n_in, 4):
            s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = constant(work, 0.0)
            u0, u1, u2, u3 = delta + row * width, delta + r1 * width, delta + r2 * width, delta + r3 * width
            at = signal + column * width
            for k in range(0, width, 8):
                a, b = load_pair(work, u0 + k, u1 + k), load_pair(work, u2 + k, u3 + k)
                x0, x1 = load_twice(work, at), load_twice(work, at + width)
                x2, x3 = load_twice(work, at + 2 * width), load_twice(work, at + 3 * width)
                s0, s1, s2, s3 = fma(a, x0, s0), fma(a, x1, s1), fma(a, x2, s2), fma(a, x3, s3)
                t0, t1, t2, t3 = fma(b, x0, t0), fma(b, x1, t1), fma(b, x2, t2), fma(b, x3, t3)
                at += 8
            at, left = first + column, n_in - column
            sums = totals(s0, s1, s2, s3)
            _put(gradient, at + row * n_in, left, lower(sums))
            _put(gradient, at + r1 * n_in, left, upper(sums))
            sums = totals(t0, t1, t2, t3)
            _put(gradient, at + r2 * n_in, left, lower(sums))
            _put(gradient, at + r3 * n_in, left, upper(sums))


if HAS_WIDE_REGISTERS:
    multiply, weigh = _multiply_wide, _weigh_wide
