"""The files of a zip or a folder of images: named, checked and read in memory; nothing is unpacked."""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

from mlp_core.addresses import SYNTHETIC
from mlp_core.data.image_layout import FORMATS_TEXT
from mlp_core.data.zip_names import zip_names
from mlp_core.errors import InputError

# A camera's JPEG takes some megabytes; more is never read, so that no file can fill the memory
MOST_BYTES = 16 << 20
# Python keeps some 600 bytes for each file that a zip's directory names: this is room for about 200,000
_MOST_DIRECTORY_BYTES = 24 << 20
_MOST_TOTAL_BYTES = 16 << 30  # 15,803 images of 512 x 512 as PNG, as AFHQ's second version has, take 7 GB


class BadImageError(InputError):
    """The error for a single image file that cannot be used; `--skip-bad-images` may leave such files out.

    Attributes:
        name: Path of the file inside its zip or folder.
        reason: What is wrong with it, in a few words.
    """

    def __init__(self, message: str, name: str, reason: str) -> None:
        super().__init__(message)
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[type[BadImageError], tuple[str, str, str]]:
        """Let pickle keep all three values when the error is sent to another process."""
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


class Files(NamedTuple):
    """The files of a zip or a folder, to be read one by one.

    Attributes:
        names: Paths inside the zip or folder, with forward slashes.
        unused: For each path that is not followed, such as a link in a circle, the reason.
        remarks: Sentences for the user on how the names were decoded.
        read: Function that returns the content of a file by its path; at most `MOST_BYTES` + 1 bytes.
    """

    names: Iterable[str]
    unused: dict[str, str]
    remarks: tuple[str, ...]
    read: Callable[[str], bytes]


def _mode(path: Path) -> int | None:
    """Return the kind of a file, None if there is none or the name cannot be one."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return None


def _folder_names(source: Path, unused: dict[str, str]) -> Iterator[str]:
    """Yield the files of a folder, and note which links lead in a circle."""

    def refuse(error: OSError) -> NoReturn:
        message = f"images must be in folders that can be read, got {error.filename!r} ({error.strerror})."
        raise InputError(message)

    def identity_of(folder: str) -> tuple[int, int]:
        try:
            status = os.stat(folder)  # noqa: PTH116 - of each of many folders
        except OSError as error:
            refuse(error)
        return status.st_dev, status.st_ino

    above: dict[str, tuple[tuple[int, int], ...]] = {}  # of a folder, which folders hold it, and itself
    # left to itself, walk passes over what it may not read
    for folder, inner, names in os.walk(source, onerror=refuse, followlinks=True):
        inside = Path(folder).relative_to(source).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        around = above.pop(folder, None) or (identity_of(folder),)
        for name in list(inner):
            path = os.path.join(folder, name)  # noqa: PTH118 - as walk names it
            identity = identity_of(path)
            if identity in around:
                inner.remove(name)
                unused[prefix + name] = "behind a link to a folder above it"
            else:
                above[path] = (*around, identity)
        yield from (prefix + name for name in names)


def _check_members(source: Path, members: dict[str, zipfile.ZipInfo]) -> None:
    for name, member in members.items():
        outside = name.startswith("/") or re.match("[A-Za-z]:", name) or "\0" in name or ".." in name.split("/")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if outside or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "points outside the folder" if outside else "is a link" if stat.S_ISLNK(kind) else "is a device"
            message = (
                f"images must be plain files inside the zip, got {name!r} in {source}, which {what}; "
                "nothing was read, make the zip anew from a folder you trust."
            )
            raise InputError(message)
    n_bytes = sum(min(member.file_size, MOST_BYTES) for member in members.values())
    if n_bytes > _MOST_TOTAL_BYTES:
        message = (
            f"images must unpack to at most {_MOST_TOTAL_BYTES:,} bytes, got {n_bytes:,} in {source}; split the zip."
        )
        raise InputError(message)


@contextmanager
def _zip_file(source: Path) -> Iterator[zipfile.ZipFile]:
    with _LimitedReader(io.FileIO(source)) as file, zipfile.ZipFile(file) as archive:
        yield archive


@contextmanager
def opened(source: Path) -> Iterator[Files]:
    """Open a zip or a folder of images and give its files; a zip is read in memory, never unpacked to the disk.

    Raises:
        InputError: If there is no such zip or folder, it cannot be read, or the zip is not safe: members with paths
            outside, links, devices, or too much data.
    """
    mode = _mode(source)
    if mode is None or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        message = f"images must name a zip or a folder that exists, got {str(source)!r}; try --images {SYNTHETIC}."
        raise InputError(message)
    if stat.S_ISDIR(mode):
        unused: dict[str, str] = {}
        yield Files(list(_folder_names(source, unused)), unused, (), lambda name: read_file(source, name))
        return
    with ExitStack() as opened:
        try:  # what goes wrong later is told by who reads
            archive = opened.enter_context(_zip_file(source))
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OSError) as error:
            message = f"images must be a zip or a folder, got {str(source)!r}, which is no readable zip."
            raise InputError(message) from error
        members, encoding = zip_names(archive.infolist())
        _check_members(source, members)
        remark = f"the zip does not say how its names are encoded: they were read as {encoding}"
        files = [name for name in members if not name.endswith("/")]
        yield Files(
            files, {}, (remark,) * bool(encoding), lambda name: _read_member(source, name, archive, members[name])
        )


def read_file(source: Path, name: str) -> bytes:
    """Return the bytes of a file in a folder, at most the first `MOST_BYTES` + 1.

    Args:
        source: The folder.
        name: Path of the file inside it.

    Raises:
        BadImageError: If the file is no regular file or cannot be read.
    """
    path = source / name
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, a device never end
            raise damaged(source, name, "is no plain file")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise damaged(source, name, f"cannot be read ({error.strerror})") from error


def _read_member(source: Path, name: str, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    # zipfile unpacks the other methods in pieces without bound: a kilobyte of bzip2 may become a gigabyte
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise damaged(source, name, "is packed in a way other than stored or deflated")
    try:
        with archive.open(entry) as member:
            return member.read(MOST_BYTES + 1)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(source, name, f"is damaged ({error})") from error
    except (NotImplementedError, RuntimeError) as error:  # encryption, among others
        raise damaged(source, name, f"cannot be unpacked ({error})") from error


def damaged(source: Path, name: str, what: str) -> BadImageError:
    """Return, without raising it, the error for an image file that is damaged or cannot be read.

    Args:
        source: The zip or folder.
        name: Path of the file inside it.
        what: What is wrong, to follow the word `which`, such as `is no plain file`.
    """
    message = (
        f"images must be whole {FORMATS_TEXT} files, got {name!r} in {source}, which {what}; "
        "replace it, or leave out up to N such files with --skip-bad-images N."
    )
    return BadImageError(message, name, what)
