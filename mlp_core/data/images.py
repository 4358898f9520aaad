"""Images from a zip or a folder: listed and decoded in memory."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlp_core.artifacts.backends import file_digest
from mlp_core.data.image_files import BadImageError, Files, opened, read_file
from mlp_core.data.image_layout import (
    FORMATS_TEXT,
    ImageEntry,
    Listing,
    check_classes,
    check_name,
    describe_unused,
    image_names,
    listing,
)
from mlp_core.data.image_pixels import DecodedImage, decode_image
from mlp_core.data.sizes import IMAGE_SIZE, pixel_count
from mlp_core.errors import InputError

_MOST_BYTES = 4 << 30
"""Of all images of a source when they are decoded: 87,381 of 128 x 128 pixels in colour."""
_N_PARTS = 2


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
    layout = listing(source, files.names, files.unused, lambda name: _beginning(files, name), seed)
    return layout._replace(remarks=(*files.remarks, *layout.remarks))


def _beginning(files: Files, name: str) -> bytes:
    try:
        return files.read(name)[:12]
    except BadImageError:
        return b""


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


def decode_images(
    source: Path,
    skip_bad: int = 0,
    seed: int = 0,
    image_size: int = IMAGE_SIZE,
    grey: bool = False,
    map_parts: Callable[[Callable[[int], _Part], Sequence[int]], Iterable[_Part]] | None = None,
) -> pa.Table:
    """Decode all images of a zip or a folder in memory and return them as a table, one row per image.

    `decode_image` of `mlp_core.data.image_pixels` says what becomes of each: size, colours, frames.

    In one process on one thread: two hand Python's interpreter lock to and fro for each tiny image, and took longer.

    Args:
        source: A zip or a folder as `list_images` describes it.
        skip_bad: How many image files may be left out because they cannot be used.
        seed: Seed to draw a test set if the source has none.
        image_size: Rows, and columns, that each image is brought to.
        grey: Whether images become grey: one channel instead of red, green and blue.
        map_parts: Does what `map` does, in several processes: two halves are decoded so. None for this process alone.

    Returns:
        A row per image in the order of `list_images`: `pixels` (bytes, in channel, row, column order: 3072 of an image
        of 32 x 32 pixels in RGB), `label` (int64, index of the class in sorted order), `class`, `split` (`train` or
        `test`) and `source` (the file's name). The table's metadata hold JSON: under `skipped`, what is wrong with each
        file that was left out, by its name; under `remarks`, those of `list_images` and one on how many images had
        another size; under `split_seed`, the seed if it was used.

    Raises:
        BadImageError: If more than `skip_bad` files are damaged or too large.
        InputError: If `list_images` refuses the source, it changes meanwhile, or a class has no images left without
            the skipped files.
    """
    n_parts = _N_PARTS if map_parts else 1
    decode = partial(_decoded_part, source, skip_bad, seed, image_size, grey, n_parts)
    parts = list((map_parts or map)(decode, range(n_parts)))
    layout, kept, bad, images = _joined(source, parts)
    if len(bad) > skip_bad:
        error = bad[skip_bad]
        raise _too_many(error, skip_bad) if skip_bad else error from error.__cause__
    check_classes(source, layout.folders, kept)
    classes = sorted({entry.class_name for entry in kept})
    return pa.table(
        {
            "pixels": images.column(),
            "label": pa.array([classes.index(entry.class_name) for entry in kept], pa.int64()),
            "class": [entry.class_name for entry in kept],
            "split": [entry.split for entry in kept],
            "source": [entry.name for entry in kept],
        },
        metadata={
            "skipped": json.dumps({error.name: error.reason for error in bad}),
            "remarks": json.dumps((*layout.remarks, *images.remarks())),
            "split_seed": json.dumps(None if layout.folders[1] else seed),
        },
    )


class _Part(NamedTuple):
    """What `_decoded_part` returns: the source's layout, and of its images those that were decoded or are bad."""

    layout: Listing
    kept: list[ImageEntry]
    bad: list[BadImageError]
    images: _Images


def _decoded_part(
    source: Path, skip_bad: int, seed: int, image_size: int, grey: bool, n_parts: int, part: int
) -> _Part:
    """Decode one of several equal parts of a source's images, up to one bad file more than may be left out."""
    kept: list[ImageEntry] = []
    bad: list[BadImageError] = []
    with opened(source) as files, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd metadata: they would stand between the program's lines
        layout = _listed(source, files, seed)
        entries = layout.images
        images = _Images(source, len(entries), image_size, grey)
        for entry in entries[len(entries) * part // n_parts : len(entries) * (part + 1) // n_parts]:
            try:
                images.add(decode_image(source, entry.name, files.read(entry.name), image_size, grey=grey))
                kept.append(entry)
            except BadImageError as error:
                bad.append(error.with_traceback(None))
                if len(bad) > skip_bad:
                    break
    images.pixels = images.pixels[: images.n]
    return _Part(layout, kept, bad, images)


def _joined(source: Path, parts: Sequence[_Part]) -> _Part:
    """Return all parts of a source as one; refuse a source that was another one for the next part."""
    layout, images = parts[0].layout, parts[0].images
    for part in parts[1:]:
        if part.layout != layout:
            message = (
                f"images must not change while they are decoded, got other files in {source} meanwhile; run it again."
            )
            raise InputError(message)
        images.n += part.images.n
        images.changes += part.images.changes
    if len(parts) > 1:
        images.pixels = np.concatenate([part.images.pixels for part in parts])
    kept = [entry for part in parts for entry in part.kept]
    return _Part(layout, kept, [error for part in parts for error in part.bad], images)


class ReadImages(NamedTuple):
    """The images of a source, as `read_images` returns them.

    Attributes:
        table: A row per image, sorted by name: `image` (path inside the source, with forward slashes) and `pixels` as
            in `decode_images`.
        unreadable: What is wrong with each image file that could not be read, by its path.
        remarks: Sentences for the user on other files, which are not used, and on how many images had another size.
    """

    table: pa.Table
    unreadable: dict[str, str]
    remarks: list[str]


def read_images(source: Path, shape: Sequence[int]) -> ReadImages:
    """Decode all images of a zip or a folder, in whatever folders they lie, without classes or a split.

    Args:
        source: A zip or a folder.
        shape: Channels, rows and columns that each image is brought to, see `decode_image`.

    Raises:
        InputError: If there is no such source, or not one image in it that can be read.
    """
    channels, image_size, _ = shape
    kept: list[str] = []
    unreadable: dict[str, str] = {}
    with opened(source) as files, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unused = dict(files.unused)
        names = sorted(image_names(files.names, unused, lambda name: _beginning(files, name)))
        images = _Images(source, len(names), image_size, channels == 1)
        for name in names:
            check_name(source, name)
            try:
                images.add(decode_image(source, name, files.read(name), image_size, grey=channels == 1))
                kept.append(name)
            except BadImageError as error:
                unreadable[name] = error.reason
    if not kept:
        but = "".join(f" ({sentence})" for sentence in describe_unused(unused | unreadable))
        message = (
            f"images must be {FORMATS_TEXT} files, got none that can be read in {source}{but}; name another source."
        )
        raise InputError(message)
    table = pa.table({"image": kept, "pixels": images.column()})
    return ReadImages(table, unreadable, [*files.remarks, *describe_unused(unused), *images.remarks()])


class _Images:
    """The pixels of decoded images in one memory, and how many had another size.

    Args:
        source: The zip or folder, for messages.
        n_most: How many there are at most.
        image_size: Rows, and columns, of each.
        grey: Whether they have one channel instead of three.
    """

    def __init__(self, source: Path, n_most: int, image_size: int, grey: bool) -> None:
        n_pixels = pixel_count(image_size, grey=grey)
        if n_most * n_pixels > _MOST_BYTES:
            message = (
                f"image_size must leave at most {_MOST_BYTES:,} bytes for all images, got {image_size}: {n_most:,} "
                f"images of {source} take {n_most * n_pixels:,}; use a smaller --image-size, or fewer images."
            )
            raise InputError(message)
        self.image_size, self.grey, self.n = image_size, grey, 0
        self.pixels: NDArray[np.uint8] = np.empty((n_most, n_pixels), np.uint8)
        self.changes: Counter[str] = Counter()

    def add(self, image: DecodedImage) -> None:
        self.pixels[self.n] = image.pixels.reshape(-1)
        self.n += 1
        shorter, longer = sorted((image.width, image.height))
        self.changes["made smaller"] += shorter > self.image_size
        self.changes["enlarged"] += shorter < self.image_size
        self.changes["cut to the middle of their longer side"] += shorter < longer

    def column(self) -> pa.FixedSizeBinaryArray:
        # Bytes, not a list of numbers: Parquet takes several times as long to write and to read these
        pixels = pa.py_buffer(self.pixels[: self.n])
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(self.pixels.shape[1]), self.n, [None, pixels])

    def remarks(self) -> list[str]:
        """Return a sentence on sizes; none if all images are the tutorial's, in size and colour."""
        changed = ", ".join(f"{n:,} {what}" for what, n in self.changes.items() if n)
        if not changed and self.image_size == IMAGE_SIZE and not self.grey:
            return []
        size = f"{self.image_size} x {self.image_size} pixels, {'grey' if self.grey else 'in colour'}"
        return [f"{self.n:,} images of {size}: {changed or 'all had this size'}"]


def _too_many(error: BadImageError, skip_bad: int) -> InputError:
    message = f"skip_bad_images allows {skip_bad} bad files, got one more: {error}"
    return BadImageError(message, error.name, error.reason)
