"""Images from a zip or a folder: listed and decoded in memory."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from mlp_core.artifacts.backends import file_digest
from mlp_core.data.image_files import MOST_BYTES, BadImageError, Files, damaged, opened, read_file
from mlp_core.data.image_layout import FORMATS, ImageEntry, Listing, check_classes, listing
from mlp_core.errors import InputError

_SIDE = 32

# The tile of a small TIFF may be as large as it says, and a few kilobytes unpack to it
_MOST_TILE_PIXELS = 1 << 20
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF's numbers for them
_TIFF_BEGINNINGS = (b"II", b"MM")


def list_images(source: Path, seed: int = 0) -> Listing:
    """List the images of a zip or a folder, with their classes and their split into train and test, by their paths.

    The ending of a name decides whether a file is an image; if it has none, the first bytes do.

    Images lie in `train/CLASS/`, and in `val/CLASS/` or a folder that people call otherwise (`TEST_FOLDERS` of
    `mlp_core.data.image_layout`), with any folders above and below. Links to folders are followed, but not in a circle.
    Without a folder to test on, or with folders of classes alone, a fifth of each class is drawn to test on.

    Args:
        source: A zip or a folder.
        seed: Seed of that draw.

    Returns:
        The images, and remarks that name all other files, except those that file managers make (`.DS_Store`,
        `__MACOSX`, ...).

    Raises:
        InputError: If there is no such source, it is no zip, a member would lie outside the folder it is unpacked to,
            or the images are not laid out as above, with two classes or more, the same in both, and some in each.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("train/cat/1.jpg", "train/dog/2.webp", "Test/cat/3.jpg", "Test/dog/4.png", "README"):
        ...         path = Path(folder, "faces", name)
        ...         path.parent.mkdir(parents=True, exist_ok=True)
        ...         path.touch()
        ...     found = list_images(Path(folder))
        >>> len(found.images), found.images[0]
        (4, ImageEntry(split='train', class_name='cat', name='faces/train/cat/1.jpg'))
        >>> found.remarks
        ('files not used: 1 with no ending (faces/README)',)
    """
    with opened(source) as files:
        return _listed(source, files, seed)


def _listed(source: Path, files: Files, seed: int) -> Listing:
    def beginning(name: str) -> bytes:
        try:
            return files.read(name)[:12]
        except BadImageError:
            return b""

    layout = listing(source, files.names, files.unused, beginning, seed)
    return layout._replace(remarks=(*files.remarks, *layout.remarks))


def source_digest(source: Path) -> str:
    """Return one SHA-256 for a source of images: of a zip's bytes, or of the names and contents of a folder's images.

    Args:
        source: A zip or a folder.

    Raises:
        InputError: If a folder is one that `list_images` refuses, or nothing is there.
    """
    if source.is_file():
        return file_digest(source)
    digest = sha256()
    for entry in list_images(source).images:
        try:
            content = read_file(source, entry.name)
        except BadImageError as error:
            content = error.reason.encode()
        digest.update(f"{entry.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def decode_images(source: Path, skip_bad: int = 0, seed: int = 0) -> pa.Table:
    """Decode all images of a zip or a folder in memory and return them as a table, one row per image.

    Pixels are taken as they are stored: EXIF data on rotation are ignored, except in TIFF, where Pillow applies them.
    Of several frames the first is used. Grey, palette, CMYK and transparent images become RGB as Pillow converts them,
    which drops transparency. Of 16 bits the upper 8 are used.

    On one thread: two hand Python's interpreter lock to and fro for each tiny image, and took longer.

    Args:
        source: A zip or a folder as `list_images` describes it, its images 32 x 32 pixels.
        skip_bad: How many image files may be left out because they cannot be used.
        seed: Seed to draw a test set if the source has none.

    Returns:
        A row per image in the order of `list_images`: `pixels` (3072 bytes, RGB, in channel, row, column
        order), `label` (int64, index of the class in sorted order), `class`, `split` (`train` or `test`) and `source`
        (the file's name). The table's metadata hold JSON: under `skipped`, what is wrong with each file that was left
        out, by its name; under `remarks`, those of `list_images`; under `split_seed`, the seed if it was used.

    Raises:
        BadImageError: If more than `skip_bad` files are damaged or have another size.
        InputError: If `list_images` refuses the source, or a class has no images left without the skipped files.
    """
    kept: list[ImageEntry] = []
    images: list[bytes] = []
    skipped: dict[str, str] = {}
    with opened(source) as files, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd metadata: they would stand between the program's lines
        layout = _listed(source, files, seed)
        for entry in layout.images:
            try:
                images.append(_decoded(source, entry.name, files.read))
                kept.append(entry)
            except BadImageError as error:
                if len(skipped) == skip_bad:
                    raise _too_many(error, skip_bad) if skip_bad else error from error.__cause__
                skipped[entry.name] = error.reason
    check_classes(source, layout.folders, kept)
    classes = sorted({entry.class_name for entry in kept})
    rows = np.frombuffer(b"".join(images), dtype=np.uint8).reshape(len(kept), -1, 3)
    channels = np.ascontiguousarray(rows.transpose(0, 2, 1))
    # Bytes, not a list of numbers: Parquet takes several times as long to write and to read these
    pixels = pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows[0].size), len(rows), [None, pa.py_buffer(channels)])
    return pa.table(
        {
            "pixels": pixels,
            "label": pa.array([classes.index(entry.class_name) for entry in kept], pa.int64()),
            "class": [entry.class_name for entry in kept],
            "split": [entry.split for entry in kept],
            "source": [entry.name for entry in kept],
        },
        metadata={
            "skipped": json.dumps(skipped),
            "remarks": json.dumps(layout.remarks),
            "split_seed": json.dumps(None if layout.folders[1] else seed),
        },
    )


def _too_many(error: BadImageError, skip_bad: int) -> InputError:
    message = f"skip_bad_images allows {skip_bad} bad files, got one more: {error}"
    return BadImageError(message, error.name, error.reason)


def _decoded(source: Path, name: str, read: Callable[[str], bytes]) -> bytes:
    """Return an image as RGB, in row, column, channel order."""
    content = read(name)
    with _silent() if content.startswith(_TIFF_BEGINNINGS) else nullcontext():
        return _pixels(source, name, content)


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


def _pixels(source: Path, name: str, content: bytes) -> bytes:
    too_large = f"has more than {MOST_BYTES:,} bytes" if len(content) > MOST_BYTES else ""
    size = "far too many"
    try:
        with Image.open(io.BytesIO(content), formats=tuple(FORMATS)) as image:
            if image.size == (_SIDE, _SIDE) and not too_large:
                if isinstance(image, TiffImageFile):
                    _check_tiles(image)
                return _as_rgb(image).tobytes()
            size = f"{image.width} x {image.height}"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        pass
    except UnidentifiedImageError as error:
        raise damaged(source, name, "is no such image") from error
    except Exception as error:
        # Pillow's decoders raise whatever a crafted file makes them raise: OSError, SyntaxError, struct.error, ...
        raise damaged(source, name, too_large or f"is damaged ({error})") from error
    if size == f"{_SIDE} x {_SIDE}":
        raise damaged(source, name, too_large)
    message = (
        f"images must be {_SIDE} x {_SIDE} pixels, got {size} in {name!r} of {source}; "
        "scale the images first, they are not resized here."
    )
    raise BadImageError(message, name, f"{size} pixels")


def _check_tiles(image: TiffImageFile) -> None:
    n_pixels = int(image.tag_v2.get(_TILE_WIDTH, 0)) * int(image.tag_v2.get(_TILE_LENGTH, 0))
    if n_pixels > _MOST_TILE_PIXELS:
        message = f"tiles of {n_pixels:,} pixels"
        raise ValueError(message)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):  # grey, which Pillow would cut off at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):  # what is black and what is white is not known
        message = "its pixels are numbers of 32 bits"
        raise ValueError(message)
    return image.convert("RGB")
