"""Zips made to do harm, or damaged on the way: refused by name or read safely; nothing is ever unpacked to disk."""

import io
import json
import os
import stat
import struct
import subprocess
import sys
import zipfile

import pytest
from PIL import Image

from mlp_core.data.image_files import BadImageError
from mlp_core.data.images import decode_images, list_images, source_digest
from mlp_core.errors import InputError

MOST_BYTES = 50 << 20


def image(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
    return buffer.getvalue()


GOOD = {f"{split}/{name}/1.png": image(name) for split in ("train", "val") for name in ("red", "blue")}


def entry(name, mode=None, **attributes):
    """Return a zip's entry, with a Unix mode if there is one."""
    info = zipfile.ZipInfo(name)
    if mode is not None:
        info.create_system = 3
        info.external_attr = mode << 16
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def write(path, *more, compression=zipfile.ZIP_DEFLATED):
    """Write a good zip, and more entries with their contents."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (*GOOD.items(), *more):
            archive.writestr(name, content, compress_type=getattr(name, "compress_type", None) or compression)
    return path


def refused(path):
    """Return why a zip is refused, in how much memory; nothing may lie next to it afterwards."""
    good = write(path.with_name("good.zip"))
    before = sorted(path.parent.rglob("*"))
    program = (
        "import json, re, sys\n"
        "from pathlib import Path\n"
        "from mlp_core.data.images import decode_images\n"
        "def peak():\n"
        "    # not ru_maxrss, which a process inherits from the one that started it\n"
        "    status = Path('/proc/self/status').read_text()\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1]) * 1024\n"
        "decode_images(Path(sys.argv[1]))\n"
        "before = peak()\n"
        "try:\n"
        "    words = str(decode_images(Path(sys.argv[2])).num_rows)\n"
        "except ValueError as error:\n"
        "    words = f'{type(error).__name__}: {error}'\n"
        "print(json.dumps([words, peak() - before]))"
    )
    command = [sys.executable, "-c", program, str(good), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    words, n_bytes = json.loads(done.stdout)
    assert n_bytes < MOST_BYTES
    assert sorted(path.parent.rglob("*")) == before
    return words


OUTSIDE = {
    "one folder up": "../evil.jpg",
    "up in the middle": "faces/../../evil.jpg",
    "an absolute path": "/etc/evil.jpg",
    "a drive": "C:/evil.jpg",
    "a drive's own folder": "c:evil.jpg",
    "a backslash up": "..\\evil.jpg",
    "a network path": "\\\\host\\share\\evil.jpg",
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_name_that_leads_outside(tmp_path, case):
    """One such member spoils the whole zip, whatever it is."""
    source = write(tmp_path / "evil.zip", (OUTSIDE[case], b""))
    with pytest.raises(InputError, match="points outside the folder; nothing was read"):
        decode_images(source)


PLAUSIBLE = {
    "UTF-8 as macOS writes it": ("utf-8", ("кошка", "犬"), "UTF-8"),
    "Shift-JIS": ("cp932", ("猫", "犬"), "Shift-JIS"),
    "Shift-JIS with a backslash in a letter": ("cp932", ("表情", "ネコ"), "Shift-JIS"),
    "GBK": ("gbk", ("猫", "狗"), "GBK"),
    "code page 866": ("cp866", ("кошка", "собака"), "code page 866"),
    "code page 437": ("cp437", ("Löwe", "Bär"), "code page 437"),
    "code page 850": ("cp850", ("São", "Ãpple"), "code page 850"),
}


class _Entry(zipfile.ZipInfo):
    """An entry whose name is written as it stands, with no word on its encoding."""

    def __init__(self, raw):
        super().__init__(raw.decode("cp437"))
        self.raw = raw

    def _encodeFilenameFlags(self):
        return self.raw, self.flag_bits


@pytest.mark.parametrize("case", PLAUSIBLE)
def test_names_in_an_encoding_that_nobody_states(tmp_path, case):
    """Read by a stated order of tries, and said."""
    encoding, names, words = PLAUSIBLE[case]
    source = tmp_path / "names.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for name, content in GOOD.items():
            written = name.replace("red", names[0]).replace("blue", names[1]).encode(encoding)
            archive.writestr(_Entry(written), content)
    listing = list_images(source)
    assert {image.class_name for image in listing.images} == set(names)
    assert listing.remarks == (f"the zip does not say how its names are encoded: they were read as {words}",)
    assert decode_images(source).num_rows == 4


def test_backslashes_between_folders(tmp_path):
    """As PowerShell writes them: they are what slashes are."""
    source = tmp_path / "windows.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("faces\\train\\red\\", b"")
        for name, content in GOOD.items():
            archive.writestr("faces\\" + name.replace("/", "\\"), content)
    listing = list_images(source)
    assert [image.name for image in listing.images] == sorted(f"faces/{name}" for name in GOOD)
    assert listing.remarks == ()
    assert decode_images(source).num_rows == 4


def test_paths_written_in_a_roundabout_way(tmp_path):
    """As some programs write them: the folders are those that are meant."""
    source = tmp_path / "dots.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for name, content in GOOD.items():
            archive.writestr("./" + name.replace("/", "//./"), content)
    listing = list_images(source)
    assert ([image.name for image in listing.images], listing.remarks) == (sorted(GOOD), ())
    assert decode_images(source).num_rows == 4


def test_a_name_with_a_zero_byte(tmp_path):
    """What follows the zero would be lost in unpacking, and with it the true name."""
    source = write(tmp_path / "evil.zip", ("train/red/evil.pngX.txt", b""))
    source.write_bytes(source.read_bytes().replace(b"evil.pngX.txt", b"evil.png\0.txt"))
    with pytest.raises(InputError, match=r"'train/red/evil.png\\x00.txt' in .*evil.zip, which points outside"):
        decode_images(source)


KINDS = {
    "a symbolic link": (stat.S_IFLNK, "is a link"),
    "a character device": (stat.S_IFCHR, "is a device"),
    "a block device": (stat.S_IFBLK, "is a device"),
    "a pipe": (stat.S_IFIFO, "is a device"),
    "a socket": (stat.S_IFSOCK, "is a device"),
}


@pytest.mark.parametrize("case", KINDS)
def test_a_member_that_is_no_plain_file(tmp_path, case):
    """Refused even with an innocent name."""
    mode, words = KINDS[case]
    source = write(tmp_path / "evil.zip", (entry("train/red/2.png", mode | 0o777), b"/etc/passwd"))
    with pytest.raises(InputError, match=rf"got 'train/red/2\.png' in .*evil\.zip, which {words}; nothing was read"):
        decode_images(source)


def zeros(n_bytes, method):
    """Return an entry, and its content: an image's name, and nothing but zeros."""
    return entry("train/red/bomb.png", compress_type=method), bytes(n_bytes)


BOMBS = {
    "deflated": (zipfile.ZIP_DEFLATED, "has more than 16,777,216 bytes"),
    "bzip2": (zipfile.ZIP_BZIP2, "is packed in a way other than stored or deflated"),
    "lzma": (zipfile.ZIP_LZMA, "is packed in a way other than stored or deflated"),
}


@pytest.mark.parametrize(
    "case", ["deflated", *(pytest.param(case, marks=pytest.mark.slow) for case in ("bzip2", "lzma"))]
)
def test_a_bomb_by_ratio(tmp_path, case):
    """A hundred megabytes from a few kilobytes, in each of the ways to pack: never unpacked beyond sixteen."""
    method, words = BOMBS[case]
    source = write(tmp_path / "bomb.zip", zeros(100 << 20, method))
    assert source.stat().st_size < 200_000
    assert f"got 'train/red/bomb.png' in {source}, which {words}" in refused(source)


@pytest.mark.thorough
def test_a_bomb_by_count(tmp_path):
    """A directory of a million files is refused before it is read."""
    source = tmp_path / "many.zip"
    name = b"x.png"
    record = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, 33, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0)
    directory = (record + name) * 1_000_000
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 10**6, 10**6, len(directory), 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(directory), 1)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    source.write_bytes(directory + end + locator + last)
    assert zipfile.is_zipfile(source)
    assert "images must be fewer files, got a zip with 51,000,000 bytes of file names" in refused(source)


@pytest.mark.thorough
def test_a_bomb_by_sum(tmp_path):
    """Each file may be small enough: together they may not unpack to more than 16 GiB."""
    source = write(tmp_path / "sum.zip", *((entry(f"train/red/of {number}.png"), b"") for number in range(1200)))
    content = bytearray(source.read_bytes())
    position = 0
    while (position := content.find(b"PK\1\2", position)) >= 0:  # what a directory says of a size costs nothing
        content[position + 24 : position + 28] = struct.pack("<L", 16 << 20)
        position += 46
    source.write_bytes(content)
    assert "images must unpack to at most 17,179,869,184 bytes, got 20,199,768,064" in refused(source)


def test_files_that_lie_on_each_other(tmp_path):
    """Entries that share their bytes, as in a quine of zips, give no more than they hold; the rest is refused."""
    source = write(tmp_path / "overlap.zip", ("train/red/2.png", GOOD["train/red/1.png"]))
    content = bytearray(source.read_bytes())
    central = [position for position in range(len(content)) if content[position : position + 4] == b"PK\1\2"]
    content[central[-1] + 42 : central[-1] + 46] = bytes(4)  # the last file now begins where the first does
    source.write_bytes(content)
    with pytest.raises(BadImageError, match=r"'train/red/2\.png' in .*overlap\.zip, which is damaged"):
        decode_images(source)


def test_a_zip_in_a_zip(tmp_path):
    """Left alone next to the images; under an image's name it is no image."""
    inner = write(tmp_path / "inner.zip").read_bytes()
    assert decode_images(write(tmp_path / "nested.zip", ("more.zip", inner))).num_rows == 4
    with pytest.raises(InputError, match=r"'train/red/2\.png' in .*, which is no such image"):
        decode_images(write(tmp_path / "nested.zip", ("train/red/2.png", inner)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice(tmp_path):
    """One image, the later one, as in unpacking."""
    table = decode_images(write(tmp_path / "twice.zip", ("train/red/1.png", image("lime"))))
    assert table.column("source").to_pylist().count("train/red/1.png") == 1
    row = table.column("source").to_pylist().index("train/red/1.png")
    assert table.column("pixels")[row].as_py()[1024:1026] == bytes([255, 255])


def test_names_that_differ_in_case(tmp_path):
    """Two images, on any file system, since no file is written."""
    table = decode_images(write(tmp_path / "case.zip", ("train/red/1.PNG", image("lime"))))
    assert table.column("source").to_pylist()[:3] == ["train/blue/1.png", "train/red/1.PNG", "train/red/1.png"]


def test_a_name_that_is_no_utf_8(tmp_path):
    """Said to be UTF-8, but not: the zip cannot be read."""
    source = write(tmp_path / "names.zip", ("train/red/ä.png", GOOD["train/red/1.png"]))
    source.write_bytes(source.read_bytes().replace("ä".encode(), b"\xff\xff"))
    with pytest.raises(InputError, match=r"got '.*names\.zip', which is no readable zip"):
        decode_images(source)


def changed(source, **fields):
    """Change fields of every header in a zip: `flag` or `method`."""
    content = bytearray(source.read_bytes())
    for mark, places in ((b"PK\3\4", {"flag": 6, "method": 8}), (b"PK\1\2", {"flag": 8, "method": 10})):
        position = 0
        while (position := content.find(mark, position)) >= 0:
            for name, value in fields.items():
                content[position + places[name] : position + places[name] + 2] = struct.pack("<H", value)
            position += 4
    source.write_bytes(content)
    return source


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"flag": 1}, "cannot be unpacked .*encrypted, password required", id="encrypted"),
        pytest.param({"flag": 0x41}, "cannot be unpacked", id="encrypted strongly"),
        pytest.param({"method": 99}, "is packed in a way other than stored or deflated", id="method 99"),
    ],
)
def test_a_way_of_packing_that_is_not_ours(tmp_path, fields, words):
    """Named with the first such file."""
    with pytest.raises(InputError, match=rf"got 'train/blue/1\.png' in .*, which {words}"):
        decode_images(changed(write(tmp_path / "packed.zip"), **fields))


def test_zip64_is_read(tmp_path):
    """The form of zips of more than 4 GB is read like any other."""
    source = tmp_path / "large.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for name, content in GOOD.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    assert decode_images(source).num_rows == 4


DAMAGES = {
    "its directory cut off": lambda content: content[:-30],
    "all but its directory cut off": lambda content: content[content.index(b"PK\1\2") :],
    "cut in half": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "its directory overwritten": lambda content: content.replace(b"PK\1\2", b"XXXX"),
    "a page of HTML": lambda content: b"<!doctype html><p>log in",
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_zip(tmp_path, case):
    """Refused as a whole, in one sentence."""
    source = write(tmp_path / "damaged.zip")
    source.write_bytes(DAMAGES[case](source.read_bytes()))
    with pytest.raises(InputError, match=r"images must be a zip or a folder, .*no readable zip|which is damaged \("):
        decode_images(source)


def test_a_checksum_that_is_wrong(tmp_path):
    """A byte that changed after packing fails the member's checksum, even if the image still opens."""
    source = write(tmp_path / "flipped.zip", compression=zipfile.ZIP_STORED)
    content = bytearray(source.read_bytes())
    content[content.index(GOOD["train/blue/1.png"]) + 45] ^= 1
    source.write_bytes(content)
    with pytest.raises(InputError, match=r"'train/blue/1\.png' .* damaged \(Bad CRC-32"):
        decode_images(source)


@pytest.fixture
def folder(tmp_path):
    """Give a folder of good images."""
    for name, content in GOOD.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("kind", ["a pipe", "a link to an endless device"])
def test_a_folder_with_no_plain_file(folder, kind):
    """It is not opened: a pipe would be waited for, the device never end."""
    path = folder / "train/red/2.png"
    os.mkfifo(path) if kind == "a pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"'train/red/2\.png' in .*, which is no plain file"):
        decode_images(folder)
    assert source_digest(folder) == source_digest(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(folder):
    """Not passed over in silence, as if it were empty."""
    (folder / "train/red").chmod(0)
    with pytest.raises(InputError, match=r"images must be in folders that can be read, got '.*train/red'"):
        decode_images(folder)
    (folder / "train/red").chmod(0o755)


def test_a_name_on_disk_that_is_no_utf_8(folder):
    """Named, with the way out: it could not be stored in a table."""
    os.rename(os.fsencode(folder / "train/red/1.png"), os.fsencode(folder / "train/red") + b"/\xff.png")  # noqa: PTH104
    with pytest.raises(InputError, match=r"names in valid Unicode, got 'train/red/\\udcff\.png' in .*; rename it"):
        decode_images(folder)
