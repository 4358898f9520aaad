"""Photographs from a zip or a folder: listed, checked and decoded in memory; nothing is unpacked."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from mlp_core.addresses import SYNTHETIC
from mlp_core.errors import InputError
from mlp_core.storage import file_digest

_SIDE = 32
_SPLITS = {"train": "train", "val": "test"}  # folder name to split name, in the order of the table's rows
_SUFFIXES = (".jpg", ".jpeg", ".png")
_LAYOUT = "put each class in its own folder below train/ and val/"

# A picture of 32 x 32 pixels takes a few kilobytes; more is never read, so that no file can fill the memory
_MOST_BYTES = 1 << 20
# Python keeps some 600 bytes for each file that a zip's directory names: this is room for about 200,000
_MOST_DIRECTORY_BYTES = 24 << 20
_MOST_TOTAL_BYTES = 4 << 30


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


class BadImageError(InputError):
    """One image file that cannot be used; the others can.

    Attributes:
        name: The file's, inside its source.
        reason: What is the matter with it, in a few words.
    """

    def __init__(self, message: str, name: str, reason: str) -> None:
        super().__init__(message)
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[type[BadImageError], tuple[str, str, str]]:
        """Travel between processes whole."""
        return BadImageError, (str(self), self.name, self.reason)


class _LimitedReader(io.BufferedReader):
    """A file that a zip's directory cannot make `zipfile` read into memory without bound."""

    def read(self, size: int | None = -1) -> bytes:
        """Read as a file does, but for a size that only a directory of too many files has."""
        if size is not None and size > _MOST_DIRECTORY_BYTES:
            message = (
                f"images must be fewer files, got a zip with {size:,} bytes of file names ({self.name}), "
                f"more than {_MOST_DIRECTORY_BYTES:,}; split it."
            )
            raise InputError(message)
        return super().read(size)


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
    with _opened(source) as (names, _):
        return _listed(source, names)


def _listed(source: Path, names: Iterable[str]) -> list[ImageEntry]:
    prefixes = set()
    entries = set()  # a zip may hold a name twice; the later one counts, as in unpacking
    for name in names:
        *prefix, split, class_name, file_name = ["", "", *name.split("/")]
        if split in _SPLITS and class_name and file_name.lower().endswith(_SUFFIXES) and not _is_ignored(name):
            prefixes.add("/".join(prefix[2:]))
            entries.add(ImageEntry(_SPLITS[split], class_name, name))
            if not _is_unicode(name):
                message = f"images must have names in valid Unicode, got {name!r} in {source}; rename it."
                raise InputError(message)
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
        try:
            content = _read_file(source, entry.name)
        except BadImageError as error:
            content = error.reason.encode()
        digest.update(f"{entry.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def decode_images(source: Path, skip_bad: int = 0) -> pa.Table:
    """Decode all images of a zip or a folder, in memory.

    What becomes of a picture: its pixels as they are stored, whatever its EXIF data say on how to turn it; of several
    frames the first; grey, palette, CMYK and transparent ones become RGB as Pillow converts them, which drops
    transparency; of 16 bits the upper 8.

    On one thread: two hand Python's interpreter lock to and fro for each tiny picture, and took longer.

    Args:
        source: A zip or a folder as `list_images` describes it, its images 32 x 32 pixels.
        skip_bad: How many image files may be left out because they cannot be used.

    Returns:
        A row per image in the order of `list_images`: `pixels` (3072 bytes, RGB, in channel, row, column
        order), `label` (int64, index of the class by name), `class`, `split` (`train` or `test`) and `source`
        (the file's name). The table's metadata hold, as JSON under `skipped`, what is the matter with each file that
        was left out, by its name.

    Raises:
        BadImageError: For a file more than may be skipped that has another size or is no whole JPEG or PNG.
        InputError: For what `list_images` refuses, also after the skipped files.
    """
    kept: list[ImageEntry] = []
    pictures: list[bytes] = []
    skipped: dict[str, str] = {}
    with _opened(source) as (names, read):
        for entry in _listed(source, names):
            try:
                pictures.append(_decoded(source, entry.name, read))
                kept.append(entry)
            except BadImageError as error:
                if len(skipped) == skip_bad:
                    raise _too_many(error, skip_bad) if skip_bad else error from error.__cause__
                skipped[entry.name] = error.reason
    _check_layout(source, [], set(kept))
    classes = sorted({entry.class_name for entry in kept})
    rows = np.frombuffer(b"".join(pictures), dtype=np.uint8).reshape(len(kept), -1, 3)
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
        metadata={"skipped": json.dumps(skipped)},
    )


def _too_many(error: BadImageError, skip_bad: int) -> InputError:
    message = f"skip_bad_images allows {skip_bad} bad files, got one more: {error}"
    return BadImageError(message, error.name, error.reason)


def _mode(path: Path) -> int | None:
    """Return the kind of a file, None if there is none or the name cannot be one."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_ignored(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _folder_names(source: Path) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        message = f"images must be in folders that can be read, got {error.filename!r} ({error.strerror})."
        raise InputError(message)

    # left to itself, walk passes over what it may not read
    for folder, _, names in os.walk(source, onerror=refuse):
        inside = Path(folder).relative_to(source).as_posix()
        yield from (name if inside == "." else f"{inside}/{name}" for name in names)


def _zip_names(source: Path, members: list[zipfile.ZipInfo]) -> list[str]:
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
        kind = stat.S_IFMT(member.external_attr >> 16)
        if outside or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "points outside the folder" if outside else "is a link" if stat.S_ISLNK(kind) else "is a device"
            message = (
                f"images must be plain files inside the zip, got {name!r} in {source}, which {what}; "
                "nothing was read, make the zip anew from a folder you trust."
            )
            raise InputError(message)
    n_bytes = sum(min(member.file_size, _MOST_BYTES) for member in members)
    if n_bytes > _MOST_TOTAL_BYTES:
        message = (
            f"images must unpack to at most {_MOST_TOTAL_BYTES:,} bytes, got {n_bytes:,} in {source}; split the zip."
        )
        raise InputError(message)
    return [member.filename for member in members]


@contextmanager
def _zip_file(source: Path) -> Iterator[zipfile.ZipFile]:
    with _LimitedReader(io.FileIO(source)) as file, zipfile.ZipFile(file) as archive:
        yield archive


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
def _opened(source: Path) -> Iterator[tuple[Iterable[str], Callable[[str], bytes]]]:
    """Give the names of a source's files, and a function that reads one of them."""
    mode = _mode(source)
    if mode is None or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        message = f"images must name a zip or a folder that exists, got {str(source)!r}; try --images {SYNTHETIC}."
        raise InputError(message)
    if stat.S_ISDIR(mode):
        yield _folder_names(source), lambda name: _read_file(source, name)
        return
    with ExitStack() as opened:
        try:  # what goes wrong later is told by who reads
            archive = opened.enter_context(_zip_file(source))
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OSError) as error:
            message = f"images must be a zip or a folder, got {str(source)!r}, which is no readable zip."
            raise InputError(message) from error
        yield _zip_names(source, archive.infolist()), lambda name: _read_member(source, name, archive)


def _read_file(source: Path, name: str) -> bytes:
    path = source / name
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, a device never end
            raise _damaged(source, name, "is no plain file")
        with path.open("rb") as file:
            return file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise _damaged(source, name, f"cannot be read ({error.strerror})") from error


def _read_member(source: Path, name: str, archive: zipfile.ZipFile) -> bytes:
    # zipfile unpacks the other methods in pieces without bound: a kilobyte of bzip2 may become a gigabyte
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _damaged(source, name, "is packed in a way other than stored or deflated")
    try:
        with archive.open(name) as member:
            return member.read(_MOST_BYTES + 1)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(source, name, f"is damaged ({error})") from error
    except (NotImplementedError, RuntimeError) as error:  # encryption, among others
        raise _damaged(source, name, f"cannot be unpacked ({error})") from error


def _decoded(source: Path, name: str, read: Callable[[str], bytes]) -> bytes:
    """Return a picture as RGB, in row, column, channel order."""
    content = read(name)
    too_large = f"has more than {_MOST_BYTES:,} bytes" if len(content) > _MOST_BYTES else ""
    size = "far too many"
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
            if picture.size == (_SIDE, _SIDE) and not too_large:
                return _as_rgb(picture).tobytes()
            size = f"{picture.width} x {picture.height}"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        pass
    except UnidentifiedImageError as error:
        raise _damaged(source, name, "is no JPEG or PNG picture") from error
    except Exception as error:
        # Pillow's decoders raise whatever a crafted file makes them raise: OSError, SyntaxError, struct.error, ...
        raise _damaged(source, name, too_large or f"is damaged ({error})") from error
    if size == f"{_SIDE} x {_SIDE}":
        raise _damaged(source, name, too_large)
    message = (
        f"images must be {_SIDE} x {_SIDE} pixels, got {size} in {name!r} of {source}; "
        "scale the pictures first, they are not resized here."
    )
    raise BadImageError(message, name, f"{size} pixels")


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")


def _damaged(source: Path, name: str, what: str) -> BadImageError:
    message = (
        f"images must be whole JPEG or PNG pictures, got {name!r} in {source}, which {what}; "
        "replace it, or leave out up to N such files with --skip-bad-images N."
    )
    return BadImageError(message, name, what)
