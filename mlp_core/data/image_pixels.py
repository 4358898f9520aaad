"""One image file to pixels: decoded within limits, brought to one size and to grey or colour."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from mlp_core.data.image_files import MOST_BYTES, BadImageError, damaged
from mlp_core.data.image_layout import FORMATS

MOST_PIXELS = 1 << 25
"""Of an image before it is scaled: 100 MB in colour."""

# The tile of a small TIFF may be as large as it says, and a few kilobytes unpack to it
_MOST_TILE_PIXELS = 1 << 20
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF's numbers for them
_TIFF_BEGINNINGS = (b"II", b"MM")


class DecodedImage(NamedTuple):
    """An image as a network gets it, and how large it was.

    Attributes:
        pixels: uint8 `[channels, rows, columns]`, as many rows as columns.
        width: Columns of the file's image.
        height: Rows of the file's image.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int


def decode_image(source: Path, name: str, content: bytes, image_size: int, *, grey: bool) -> DecodedImage:
    """Decode an image file and bring it to a size.

    An image that has the size already is taken as it is stored; EXIF data on rotation are ignored, except in TIFF,
    where Pillow applies them. Any other is scaled until its shorter side has the size, cut to the middle of its longer
    side, and turned as its EXIF data say. It is scaled with Pillow's bilinear filter, which takes the mean of as many
    pixels as become one (antialiasing): what torchvision's `Resize` and `CenterCrop` do.

    Of several frames the first is used. Grey, palette, CMYK and transparent images become RGB as Pillow converts them,
    which drops transparency. Of 16 bits the upper 8 are used. What is to be grey is made so at the end, by the weights
    of ITU-R BT.601; an image that is grey already keeps its values.

    Args:
        source: The zip or folder, for messages.
        name: Path of the file inside it, for messages.
        content: Bytes of the file.
        image_size: Rows, and columns, to bring it to.
        grey: Whether the result has one channel instead of red, green and blue.

    Raises:
        BadImageError: If the file is damaged, no such image, or too large.
    """
    with _silent() if content.startswith(_TIFF_BEGINNINGS) else nullcontext():
        return _decoded(source, name, content, image_size, grey)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what libtiff writes about damaged files away from the terminal: what is raised says it."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no terminal and no log
        yield
        return
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a device
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _decoded(source: Path, name: str, content: bytes, image_size: int, grey: bool) -> DecodedImage:
    if len(content) > MOST_BYTES:
        raise damaged(source, name, f"has more than {MOST_BYTES:,} bytes")
    size = "far too many"
    try:
        with Image.open(io.BytesIO(content), formats=tuple(FORMATS)) as image:
            width, height = image.size
            if width * height <= MOST_PIXELS:
                if isinstance(image, TiffImageFile):
                    _check_tiles(image)
                sized = _sized(_as_rgb(image), image_size)
                pixels = np.asarray(sized.convert("L") if grey else sized)
                return DecodedImage(np.atleast_3d(pixels).transpose(2, 0, 1), width, height)
            size = f"{width} x {height}"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        pass
    except UnidentifiedImageError as error:
        raise damaged(source, name, "is no such image") from error
    except Exception as error:
        # Pillow's decoders raise whatever a crafted file makes them raise: OSError, SyntaxError, struct.error, ...
        raise damaged(source, name, f"is damaged ({error})") from error
    message = (
        f"images must have at most {MOST_PIXELS:,} pixels, got {size} in {name!r} of {source}; scale it down, "
        "or leave out up to N such files with --skip-bad-images N."
    )
    raise BadImageError(message, name, f"has {size} pixels")


def _check_tiles(image: TiffImageFile) -> None:
    n_pixels = int(image.tag_v2.get(_TILE_WIDTH, 0)) * int(image.tag_v2.get(_TILE_LENGTH, 0))
    if n_pixels > _MOST_TILE_PIXELS:
        message = f"tiles of {n_pixels:,} pixels"
        raise ValueError(message)


def _sized(image: Image.Image, side: int) -> Image.Image:
    if image.size == (side, side):
        return image
    # Turned at the end, when it is small: the middle stays the middle
    return ImageOps.exif_transpose(ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):  # grey, which Pillow would cut off at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):  # what is black and what is white is not known
        message = "its pixels are numbers of 32 bits"
        raise ValueError(message)
    return image.convert("RGB")
