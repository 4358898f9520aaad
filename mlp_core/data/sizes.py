"""How large data are: shares, pixels, monomials. Plain arithmetic, no torch."""

from __future__ import annotations

TEST_SHARE = 0.2
"""Share of the spirals' points, and of images that come unsplit, that is for testing."""
MIN_ROWS = 10
"""Of a table."""
PIXELS = 3 * 32 * 32
"""Numbers in an image: channels, rows and columns."""


def monomial_count(degree: int) -> int:
    """Return the number of monomials `x1^i x2^j` with `0 < i + j <= degree`: `(degree + 1)(degree + 2) / 2 - 1`.

    Example:
        >>> monomial_count(50)
        1325
    """
    return (degree + 1) * (degree + 2) // 2 - 1
