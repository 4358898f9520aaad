"""Photographs from a zip or a folder: listed, checked and decoded in memory; nothing is unpacked."""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from mlp_core.errors import InputError
from mlp_core.storage import file_digest

SYNTHETIC = "synthetic"
ANIMAL_FACES = "animal-faces"
ANIMAL_FACES_URL = "https://osf.io/kgfvj/download"

_SIDE = 32
_SPLITS = {"train": "train", "val": "test"}  # folder name to split name, in the order of the table's rows
_SUFFIXES = (".jpg", ".jpeg", ".png")
_LAYOUT = "put each class in its own folder below train/ and val/"

# A picture of 32 x 32 pixels takes a few kilobytes; more is never read, so that no file can fill the memory
_MOST_BYTES = 1 << 20


class ImageEntry(NamedTuple):
    """An image file of a source.

    Attributes:
        split: `train` or `test`.
        class_name: Name of its folder.
        name: Path inside the zip or the folder, with forward slashes.
    """

    split: str
    class_name: str
    name: str


def check_image_source(text: str) -> None:
    """Check what `--images` names before anything is run; a URL is not opened.

    Args:
        text: `synthetic`, `animal-faces`, an http(s) URL, or the path of a zip or a folder.

    Raises:
        InputError: If it is none of these, or a path that `list_images` refuses.

    Example:
        >>> check_image_source("synthetic")
        >>> check_image_source("ftp://host/faces.zip")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mlp_core.errors.InputError: images must be synthetic, animal-faces, ... got 'ftp://host/faces.zip'.
    """
    if text in (SYNTHETIC, ANIMAL_FACES) or _is_web_address(text):
        return
    path = Path(text)
    with suppress(RuntimeError):  # the home of a user whom this machine does not know
        path = path.expanduser()
    if not text or _mode(path) is None:
        message = (
            f"images must be {SYNTHETIC}, {ANIMAL_FACES}, an http(s) URL of a zip, or a zip or folder "
            f"that exists, got {text!r}."
        )
        raise InputError(message)
    list_images(path)


def list_images(source: Path) -> list[ImageEntry]:
    """List the images of a zip or a folder from its directory alone; no pixel is read.

    Images lie in `train/CLASS/` and `val/CLASS/`, with any one folder above. Other files are ignored, and so
    are hidden ones, `__MACOSX`, and what lies behind links to folders.

    Args:
        source: A zip or a folder.

    Returns:
        Train, then test; within each by class, then by name, as torchvision's `ImageFolder` sorts.

    Raises:
        InputError: If there is no such source, it is no zip, a member would lie outside the folder it is
            unpacked to, or the images are not laid out as above, with two classes or more, the same in both.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg", "val/dog/4.png"):
        ...         path = Path(folder, "faces", name)
        ...         path.parent.mkdir(parents=True, exist_ok=True)
        ...         path.touch()
        ...     entries = list_images(Path(folder))
        >>> len(entries), entries[0]
        (4, ImageEntry(split='train', class_name='cat', name='faces/train/cat/1.jpg'))
    """
    mode = _mode(source)
    if mode is None or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        message = f"images must name a zip or a folder that exists, got {str(source)!r}; try --images {SYNTHETIC}."
        raise InputError(message)
    names = _folder_names(source) if stat.S_ISDIR(mode) else _zip_names(source)
    prefixes = set()
    entries = set()  # a zip may hold a name twice; the later one counts, as in unpacking
    for name in names:
        *prefix, split, class_name, file_name = ["", "", *name.split("/")]
        if split in _SPLITS and file_name.lower().endswith(_SUFFIXES) and not _is_ignored(name):
            prefixes.add("/".join(prefix[2:]))
            entries.add(ImageEntry(_SPLITS[split], class_name, name))
    _check_layout(source, sorted(prefixes), entries)
    return sorted(entries, key=lambda entry: (entry.split != "train", *entry))


def source_digest(source: Path) -> str:
    """Return the SHA-256 of a zip's bytes, or of the names and contents of a folder's images.

    Args:
        source: A zip or a folder.

    Raises:
        InputError: If a folder is one that `list_images` refuses, or nothing is there.
    """
    if source.is_file():
        return file_digest(source)
    digest = sha256()
    for entry in list_images(source):
        content = (source / entry.name).read_bytes()
        digest.update(f"{entry.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def decode_images(source: Path) -> pa.Table:
    """Decode all images of a zip or a folder, in memory.

    On one thread: two hand Python's interpreter lock to and fro for each tiny picture, and took longer.

    Args:
        source: A zip or a folder as `list_images` describes it, its images 32 x 32 pixels.

    Returns:
        A row per image in the order of `list_images`: `pixels` (3072 uint8, RGB, in channel, row, column
        order), `label` (int64, index of the class by name), `class`, `split` (`train` or `test`) and `source`
        (the file's name).

    Raises:
        InputError: For what `list_images` refuses, another size, and a file that is no whole JPEG or PNG.
    """
    entries = list_images(source)
    classes = sorted({entry.class_name for entry in entries})
    pixels = np.empty((len(entries), 3, _SIDE, _SIDE), dtype=np.uint8)
    with _opened(source) as read:
        for entry, destination in zip(entries, pixels, strict=True):
            rgb = np.frombuffer(_decoded(source, entry.name, read), dtype=np.uint8)
            destination[:] = rgb.reshape(_SIDE, _SIDE, 3).transpose(2, 0, 1)
    return pa.table(
        {
            "pixels": pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), pixels[0].size),
            "label": pa.array([classes.index(entry.class_name) for entry in entries], pa.int64()),
            "class": [entry.class_name for entry in entries],
            "split": [entry.split for entry in entries],
            "source": [entry.name for entry in entries],
        }
    )


def _is_web_address(text: str) -> bool:
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname)


def _mode(path: Path) -> int | None:
    """Return the kind of a file, None if there is none or the name cannot be one."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return None


def _is_ignored(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _folder_names(source: Path) -> Iterator[str]:
    for folder, _, names in os.walk(source):
        inside = Path(folder).relative_to(source).as_posix()
        yield from (name if inside == "." else f"{inside}/{name}" for name in names)


def _zip_names(source: Path) -> list[str]:
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OSError) as error:
        message = f"images must be a zip or a folder, got {str(source)!r}, which is no readable zip."
        raise InputError(message) from error
    for member in members:
        # zipfile tidies names; what the archive really says is in orig_filename
        name = member.orig_filename
        outside = (
            name.startswith("/")
            or re.match("[A-Za-z]:", name)
            or "\\" in name
            or "\0" in name
            or ".." in name.split("/")
        )
        if outside or stat.S_ISLNK(member.external_attr >> 16):
            what = "points outside the folder" if outside else "is a link"
            message = (
                f"images must be plain files inside the zip, got {name!r} in {source}, which {what}; "
                "nothing was read, make the zip anew from a folder you trust."
            )
            raise InputError(message)
    return [member.filename for member in members]


def _check_layout(source: Path, prefixes: list[str], entries: set[ImageEntry]) -> None:
    classes = {split: {entry.class_name for entry in entries if entry.split == split} for split in _SPLITS.values()}
    if not entries:
        message = (
            f"images must be .jpg, .jpeg or .png files in train/CLASS/ and val/CLASS/, got none in {source}; {_LAYOUT}."
        )
    elif len(prefixes) > 1:
        message = (
            "images must lie below one folder that holds train/ and val/, "
            f"got {prefixes[0] or '.'!r} and {prefixes[1]!r} in {source}; keep one of them."
        )
    elif different := sorted(classes["train"] ^ classes["test"]):
        present, absent = ("train", "val") if different[0] in classes["train"] else ("val", "train")
        message = (
            "images must hold the same classes in train and val, "
            f"got {different[0]!r} in {present} but not in {absent} of {source}; {_LAYOUT}."
        )
    elif len(classes["train"]) < 2:
        message = f"images must hold at least two classes, got {sorted(classes['train'])} in {source}; {_LAYOUT}."
    else:
        return
    raise InputError(message)


@contextmanager
def _opened(source: Path) -> Iterator[Callable[[str], bytes]]:
    """Give a function that reads one image file of a source by its name."""
    if source.is_dir():

        def read_file(name: str) -> bytes:
            with (source / name).open("rb") as file:
                return file.read(_MOST_BYTES)

        yield read_file
        return
    with zipfile.ZipFile(source) as archive:

        def read_member(name: str) -> bytes:
            with archive.open(name) as member:
                return member.read(_MOST_BYTES)

        yield read_member


def _decoded(source: Path, name: str, read: Callable[[str], bytes]) -> bytes:
    """Return a picture as RGB, in row, column, channel order."""
    size = "far too many"
    try:
        with Image.open(io.BytesIO(read(name)), formats=("JPEG", "PNG")) as picture:
            if picture.size == (_SIDE, _SIDE):
                return (picture if picture.mode == "RGB" else picture.convert("RGB")).tobytes()
            size = f"{picture.width} x {picture.height}"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        pass
    except UnidentifiedImageError as error:
        raise _damaged(source, name, "is no JPEG or PNG picture") from error
    except (OSError, SyntaxError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(source, name, f"is damaged ({error})") from error
    except (NotImplementedError, RuntimeError) as error:
        # zipfile's words for encryption and rare compression methods
        raise _damaged(source, name, f"cannot be unpacked ({error})") from error
    message = (
        f"images must be {_SIDE} x {_SIDE} pixels, got {size} in {name!r} of {source}; "
        "scale the pictures first, they are not resized here."
    )
    raise InputError(message)


def _damaged(source: Path, name: str, what: str) -> InputError:
    return InputError(f"images must be whole JPEG or PNG pictures, got {name!r} in {source}, which {what}; replace it.")
