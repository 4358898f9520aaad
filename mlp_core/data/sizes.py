"""How large data are: shares, pixels, monomials. Plain arithmetic, no torch."""

from __future__ import annotations

from math import isqrt

TEST_SHARE = 0.2
"""Share of the spirals' points, and of images that come unsplit, that is for testing."""
MIN_ROWS = 10
"""Of a table."""
IMAGE_SIZE = 32
"""Rows of the tutorial's images, and columns."""


def pixel_count(image_size: int, *, grey: bool) -> int:
    """Return how many numbers an image has: one for each pixel of a grey one, three of one in colour.

    Args:
        image_size: Rows, and columns, of the image.
        grey: Whether it is grey.

    Example:
        >>> pixel_count(32, grey=False), pixel_count(28, grey=True)
        (3072, 784)
    """
    return (1 if grey else 3) * image_size**2


def image_shape(n_pixels: int) -> tuple[int, int, int]:
    """Return channels, rows and columns of a square image, from how many numbers it has.

    No square number is three times another, so that the number alone tells a grey image from one in colour.

    Args:
        n_pixels: Numbers of the image, see `pixel_count`.

    Raises:
        ValueError: If no square image has as many.

    Example:
        >>> image_shape(3072), image_shape(784)
        ((3, 32, 32), (1, 28, 28))
    """
    for channels in (1, 3):
        side = isqrt(n_pixels // channels)
        if side and channels * side**2 == n_pixels:
            return channels, side, side
    message = f"n_pixels must be those of a square image, grey or in colour, got {n_pixels}."
    raise ValueError(message)


def monomial_count(degree: int) -> int:
    """Return the number of monomials `x1^i x2^j` with `0 < i + j <= degree`: `(degree + 1)(degree + 2) / 2 - 1`.

    Example:
        >>> monomial_count(50)
        1325
    """
    return (degree + 1) * (degree + 2) // 2 - 1
