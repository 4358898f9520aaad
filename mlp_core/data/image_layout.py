"""Which files of a source are images, of which class, to train or to test on, and which are not: by names."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mlp_core.data.sizes import TEST_SHARE
from mlp_core.errors import InputError
from mlp_core.seeds import derive_seed

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
}
"""Endings of each format that is read; upper case too."""
FORMATS_TEXT = "JPEG, PNG, WebP, BMP, TIFF or GIF"
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("val", "valid", "validation", "dev", "test", "testing")
"""Names of the folder to test on, in any case; of several the first in this order is used."""

_SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
_SPLIT_FOLDERS = TRAIN_FOLDERS + TEST_FOLDERS
_LITTER = {"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"}  # left by file managers, which nobody means to use
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_LAYOUT = "put each class in its own folder, below train/ and val/ or without these"
_NAMES_SHOWN, _REASONS_SHOWN = 3, 8


class ImageEntry(NamedTuple):
    """An image file of a zip or a folder, with its class and whether it is a train or a test example.

    Attributes:
        split: `train` or `test`.
        class_name: Name of the folder of its class, in Unicode's composed form (NFC).
        name: Path inside the zip or the folder, with forward slashes.
    """

    split: str
    class_name: str
    name: str


class Listing(NamedTuple):
    """The images of a zip or a folder, as `listing` returns them.

    Attributes:
        images: Train images, then test images; within each by class, then by name, as torchvision's `ImageFolder`.
        folders: Names of the train and the test folder; the second is empty if there is none, and a fifth of the
            images was drawn for testing.
        remarks: Sentences for the user on what may be unexpected: files that are not used, a split that was drawn,
            class names in several forms of Unicode.
    """

    images: list[ImageEntry]
    folders: tuple[str, str]
    remarks: tuple[str, ...]


class _Places(NamedTuple):
    """Where images lie: below `base`, there in a folder to train and one to test on, empty if there is none."""

    base: tuple[str, ...]
    train: str
    test: str

    @property
    def class_depth(self) -> int:
        """Return which part of a path is the class."""
        return len(self.base) + bool(self.train)

    def split_of(self, parts: tuple[str, ...]) -> str:
        """Return what a file is for by its path, empty if it is not in the folder of a class."""
        if parts[: len(self.base)] != self.base or len(parts) < self.class_depth + 2:
            return ""
        if not self.train or parts[len(self.base)] == self.train:
            return "train"
        return "test" if parts[len(self.base)] == self.test else ""

    def whydescribe_unused(self, parts: tuple[str, ...]) -> str:
        """Return why an image in no class folder is not used."""
        outside = parts[: len(self.base)] != self.base
        if outside:
            return f"outside {shown_name('/'.join(self.base))}/"
        folder = parts[len(self.base)]
        other = self.train and len(parts) > len(self.base) + 1 and folder not in (self.train, self.test)
        return f"in {shown_name(folder)}/" if other else "in no class folder"


def listing(
    source: Path,
    names: Iterable[str],
    unused: Mapping[str, str],
    beginning: Callable[[str], bytes],
    seed: int,
) -> Listing:
    """Find the images among files, with their classes and whether they are for training or testing, by their paths.

    Args:
        source: The zip or folder, for messages.
        names: Paths of its files, with forward slashes.
        unused: For each path already left out, the reason; it is named in the remarks.
        beginning: Function that returns the first bytes of a file; called for files without an ending in their name.
        seed: Seed to draw a test set if there is no folder of test images.

    Raises:
        InputError: If the files are not laid out as `mlp_core.data.images.list_images` says.
    """
    unused = dict(unused)
    images = [tuple(name.split("/")) for name in image_names(names, unused, beginning)]
    if not images:
        but = "".join(f" ({sentence})" for sentence in describe_unused(unused))
        message = f"images must be {FORMATS_TEXT} files, got none in {source}{but}; {_LAYOUT}."
        raise InputError(message)
    places = _places(source, images)
    entries: list[ImageEntry] = []
    spellings: dict[str, set[str]] = defaultdict(set)
    for parts in images:
        name = "/".join(parts)
        if split := places.split_of(parts):
            spelling = parts[places.class_depth]
            class_name = unicodedata.normalize("NFC", spelling)
            check_name(source, name)
            spellings[class_name].add(spelling)
            entries.append(ImageEntry(split, class_name, name))
        else:
            unused[name] = places.whydescribe_unused(parts)
    _check_classes_without_images(source, places, unused, spellings)
    remarks = []
    if not places.test:
        entries = _split_here(source, entries, len("/".join((*places.base, ""))), seed)
        remarks.append(
            f"{places.train + '/' if places.train else 'the source'} comes without images to test on: "
            f"{TEST_SHARE:.0%} of each class, drawn with seed {seed}, are used for that"
        )
    folders = places.train or "train", places.test
    check_classes(source, folders, entries)
    remarks += [
        f"the class {name!r} is written in {len(forms)} forms of Unicode, which are one class"
        for name, forms in sorted(spellings.items())
        if len(forms) > 1
    ]
    remarks += describe_unused(unused)
    return Listing(sorted(entries, key=lambda entry: (entry.split != "train", *entry)), folders, tuple(remarks))


def image_names(names: Iterable[str], unused: dict[str, str], beginning: Callable[[str], bytes]) -> list[str]:
    """Return those of some paths that are images, in any folder, and note why the others are not.

    Args:
        names: Paths, with forward slashes.
        unused: Gets the reason for each path that is no image, except those that file managers make.
        beginning: Function that returns the first bytes of a file; called for files without an ending in their name.
    """
    images: list[str] = []
    for name in names:
        parts = tuple(name.split("/"))
        if parts[-1].startswith("._") or not _LITTER.isdisjoint(parts):
            continue
        if reason := _why_no_image(name, parts, beginning):
            unused[name] = reason
        else:
            images.append(name)
    return images


def check_classes(source: Path, folders: tuple[str, str], entries: Iterable[ImageEntry]) -> None:
    """Check that there are at least two classes, and the same ones in the train and the test images.

    Args:
        source: The zip or folder, for messages.
        folders: Names of the train and the test folder, for messages.
        entries: The images.

    Raises:
        InputError: If a class is in only one of the two, of which the message names the first, or if there are fewer
            than two classes.
    """
    classes: dict[str, set[str]] = {"train": set(), "test": set()}
    for entry in entries:
        classes[entry.split].add(entry.class_name)
    train, test = folders[0], folders[1] or "what is drawn to test on"
    if different := sorted(classes["train"] ^ classes["test"]):
        present, absent = (train, test) if different[0] in classes["train"] else (test, train)
        message = (
            f"images must hold the same classes in {train} and {test}, "
            f"got {different[0]!r} in {present} but not in {absent} of {source}; {_LAYOUT}."
        )
    elif len(classes["train"]) < 2:
        message = f"images must hold at least two classes, got {sorted(classes['train'])} in {source}; {_LAYOUT}."
    else:
        return
    raise InputError(message)


def _why_no_image(name: str, parts: tuple[str, ...], beginning: Callable[[str], bytes]) -> str:
    if any(part.startswith(".") for part in parts):
        return "hidden"
    _, dot, ending = parts[-1].rpartition(".")
    if f"{dot}{ending.lower()}" in _SUFFIXES:
        return ""
    if dot and ending:
        return f"with the ending {shown_name(dot + ending)}"
    start = beginning(name)
    is_image = start.startswith(_BEGINNINGS) or (start[:4], start[8:12]) == (b"RIFF", b"WEBP")
    return "" if is_image else "with no ending"


def _places(source: Path, images: Sequence[tuple[str, ...]]) -> _Places:
    """Find the folder that holds the one to train on, or else the classes."""
    bases = _bases(images, TRAIN_FOLDERS)
    # a class may be called train, or have such a folder
    inner = {
        base
        for base in bases
        for above in bases
        if len(above) < len(base) and base[: len(above)] == above and _is_one_of(base[len(above)], _SPLIT_FOLDERS)
    }
    if not bases:
        return _Places(_base_of_classes(source, images), "", "")
    base, *others = sorted(bases - inner)
    others += sorted(_bases((parts for parts in images if parts[: len(base)] != base), TEST_FOLDERS))
    if others:
        message = (
            "images must lie below one folder that holds train/ and val/, "
            f"got {'/'.join(base) or '.'!r} and {'/'.join(others[0])!r} in {source}; keep one of them."
        )
        raise InputError(message)
    depth = len(base)
    folders = sorted({parts[depth] for parts in images if parts[:depth] == base and len(parts) > depth + 2})
    return _Places(base, _folder(source, folders, TRAIN_FOLDERS), _folder(source, folders, TEST_FOLDERS))


def _bases(images: Iterable[tuple[str, ...]], names: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Return the folders that hold the first folder of some names with a folder of a class in it, for each image."""
    bases = set()
    for parts in images:
        depth = next((depth for depth in range(len(parts) - 2) if _is_one_of(parts[depth], names)), None)
        if depth is not None:
            bases.add(parts[:depth])
    return bases


def _is_one_of(folder: str, names: tuple[str, ...]) -> bool:
    return folder.casefold() in names


def _folder(source: Path, folders: Sequence[str], names: tuple[str, ...]) -> str:
    """Return the folder with the first of some names, in any case."""
    matches = sorted(
        (folder for folder in folders if _is_one_of(folder, names)), key=lambda folder: names.index(folder.casefold())
    )
    if len(matches) > 1 and (names == TRAIN_FOLDERS or matches[0].casefold() == matches[1].casefold()):
        message = (
            f"images must have one folder {names[0]}/, got {matches[0]!r} and {matches[1]!r} in {source}; "
            "keep one of them."
        )
        raise InputError(message)
    return matches[0] if matches else ""


def _base_of_classes(source: Path, images: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the folder whose folders are the classes: the first that holds more than one."""
    base: tuple[str, ...] = ()
    while True:
        inside = [parts[len(base) :] for parts in images]
        folders = sorted({parts[0] for parts in inside if len(parts) > 1})
        if split := [folder for folder in folders if _is_one_of(folder, _SPLIT_FOLDERS)]:
            message = (
                f"images must lie in train/CLASS/ and val/CLASS/, or in CLASS/ alone, got {split[0]!r} "
                f"but no images in train/CLASS/ in {source}; {_LAYOUT}."
            )
            raise InputError(message)
        if len(folders) != 1 or any(len(parts) < 3 for parts in inside):
            return base
        base += (folders[0],)


def check_name(source: Path, name: str) -> None:
    """Check that a path can be written as text.

    Raises:
        InputError: If it is no valid Unicode.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        message = f"images must have names in valid Unicode, got {name!r} in {source}; rename it."
        raise InputError(message) from error


def _check_classes_without_images(
    source: Path, places: _Places, unused: Mapping[str, str], classes: Mapping[str, object]
) -> None:
    """Refuse a class folder whose files are all of no use: a class less would be another task."""
    for name, reason in unused.items():
        parts = tuple(name.split("/"))
        class_name = unicodedata.normalize("NFC", parts[places.class_depth]) if places.split_of(parts) else ""
        if class_name and class_name not in classes and reason != "hidden":
            message = (
                f"images must be {FORMATS_TEXT} files in every class folder, got none in {class_name!r} of "
                f"{source} ({name!r} is {reason}); convert what is there, or move that folder away."
            )
            raise InputError(message)


def _split_here(source: Path, entries: Sequence[ImageEntry], skipped_letters: int, seed: int) -> list[ImageEntry]:
    """Draw a share of each class to test on, the same whatever other images and folders there are."""
    by_class: dict[str, list[ImageEntry]] = defaultdict(list)
    for entry in entries:
        by_class[entry.class_name].append(entry)
    split: list[ImageEntry] = []
    for class_name, members in by_class.items():
        if len(members) < 2:
            message = (
                f"images must hold two images or more of each class, one to train and one to test on, "
                f"got one of {class_name!r} in {source}; add some."
            )
            raise InputError(message)
        members.sort(key=lambda entry: derive_seed(seed, "photographs", entry.name[skipped_letters:]))
        n_test = max(1, round(TEST_SHARE * len(members)))
        split += [entry._replace(split="test") for entry in members[:n_test]] + members[n_test:]
    return split


def describe_unused(unused: Mapping[str, str]) -> list[str]:
    """Return a sentence on files that are not used: how many and which, by reason; none if there are none.

    Args:
        unused: The reason for each path.
    """
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, reason in sorted(unused.items()):
        by_reason[reason].append(name)
    reasons = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    words = []
    for reason, names in reasons[:_REASONS_SHOWN]:
        listed = ", ".join([shown_name(name) for name in names[:_NAMES_SHOWN]] + ["..."] * (len(names) > _NAMES_SHOWN))
        words.append(f"{len(names)} {reason} ({listed})")
    if left := sum(len(names) for _, names in reasons[_REASONS_SHOWN:]):
        words.append(f"{left} others")
    return [f"files not used: {', '.join(words)}"] if words else []


def shown_name(text: str) -> str:
    """Return a path as it is, or quoted if it holds what a terminal would obey.

    Example:
        >>> shown_name("cat/1.jpg"), len(shown_name("a" + chr(27)))
        ('cat/1.jpg', 7)
    """
    return text if text.isprintable() else repr(text)
