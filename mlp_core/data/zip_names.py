"""Names of a zip's members as people wrote them: in UTF-8, in an older code page, with backslashes.

A zip says of a name that it is UTF-8, or nothing. Names of which nothing is said are in the code page of the machine
that made the zip, or in UTF-8 all the same, as macOS writes them. Short names hold too little for statistics of
letters, so encodings are tried in a stated order: the first under which every name is a plausible one is taken.
"""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

_SUPERFLUOUS = re.compile(r"^(\./)+|(?<=/)(\./|/)+")  # as in ./train//cat


class ZipNames(NamedTuple):
    """The members of a zip by their decoded names.

    Attributes:
        members: Members by name, with forward slashes, in the order of the zip; of equal names the last member.
        encoding: Name of the encoding that was guessed for names without one; empty if all names have one.
    """

    members: dict[str, zipfile.ZipInfo]
    encoding: str


def zip_names(members: Sequence[zipfile.ZipInfo]) -> ZipNames:
    r"""Decode the names of a zip's members, guess the encoding where the zip does not give it, and index them by name.

    All names without an encoding are decoded alike, by the first of UTF-8, Shift-JIS, GBK and some code pages in which
    every name is plausible. Backslashes become forward slashes.

    Example:
        >>> def member(name, encoding):  # as zipfile reads a name of which nothing is said
        ...     return zipfile.ZipInfo(name.encode(encoding).decode("cp437"))
        >>> names = zip_names([member("train\\表\\1.png", "cp932"), member("train\\犬\\1.png", "cp932")])
        >>> list(names.members), names.encoding
        (['train/表/1.png', 'train/犬/1.png'], 'Shift-JIS')
    """
    unmarked = [_raw(member) for member in members if _is_unmarked(member)]
    encoding, words = _encoding_of(unmarked) if unmarked else ("ascii", "")
    by_name = {}
    for member in members:
        if _is_unmarked(member):
            name = _raw(member).decode(encoding)
        else:
            name = member.orig_filename if _is_cut(member) else member.filename
        by_name[_SUPERFLUOUS.sub("", name.replace("\\", "/"))] = member
    return ZipNames(by_name, words)


def _is_unmarked(member: zipfile.ZipInfo) -> bool:
    # some zips repeat a name in UTF-8 in a field of its own, which newer Pythons read
    repeated = member.filename != member.orig_filename and not _is_cut(member)
    return not (member.flag_bits & 0x800 or member.orig_filename.isascii() or repeated)


def _is_cut(member: zipfile.ZipInfo) -> bool:
    return "\0" in member.orig_filename  # zipfile takes what stands before


def _raw(member: zipfile.ZipInfo) -> bytes:
    return member.orig_filename.encode("cp437")  # what zipfile reads them by, a letter for each byte


def _encoding_of(names: Iterable[bytes]) -> tuple[str, str]:
    """Return the encoding of names, and how people call it."""
    raw = b"/".join(sorted(set(names)))
    for encoding, words, is_plausible in _TRIES:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if is_plausible(text):
            return encoding, words
    return "cp437", "code page 437"


def _of_one_script(text: str, is_letter: Callable[[str], bool]) -> bool:
    """Return whether each word is ASCII or all of certain letters: what is read wrongly mixes them (`Löwe`, `L背e`)."""
    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", text))
    others = [character for character in text if not character.isascii() and not character.isalnum()]
    return all(word.isascii() or all(map(is_letter, word)) for word in words) and all(map(_is_sign, others))


def _is_sign(character: str) -> bool:
    return character in "・ー々、。「」（）！？　«»№°"  # noqa: RUF001 - as wide as their letters


def _is_common_cjk(text: str, encoding: str, first: bytes, last: bytes) -> bool:
    """Return whether most letters are among those that their standard counts as common, whose codes lie in a row."""
    letters = [character for character in text if not character.isascii() and character.isalpha()]
    common = [first <= character.encode(encoding) <= last or "\u3040" <= character <= "\u30ff" for character in letters]
    return 2 * sum(common) >= len(letters)


def _is_japanese(text: str) -> bool:
    # kanji of the first level; half-width katakana are what the bytes of other code pages look like
    return _of_one_script(text, lambda letter: "\u3005" <= letter <= "\u9fff") and _is_common_cjk(
        text, "cp932", b"\x88\x9f", b"\x98\x72"
    )


def _is_chinese(text: str) -> bool:
    return _of_one_script(text, lambda letter: "\u4e00" <= letter <= "\u9fff") and _is_common_cjk(
        text, "gbk", b"\xb0\xa1", b"\xd7\xf9"
    )


def _is_cyrillic(text: str) -> bool:
    return _of_one_script(text, lambda letter: "\u0400" <= letter <= "\u045f")


def _is_latin(text: str) -> bool:
    return _of_one_script(text, lambda letter: letter < "\u0250")


_TRIES: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    ("utf-8", "UTF-8", lambda _: True),
    ("cp932", "Shift-JIS", _is_japanese),
    ("gbk", "GBK", _is_chinese),
    ("cp866", "code page 866", _is_cyrillic),
    ("cp437", "code page 437", _is_latin),
    ("cp850", "code page 850", _is_latin),
)
