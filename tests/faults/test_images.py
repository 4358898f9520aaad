"""Images of every kind: converted by a stated rule, or refused by name; some may be left out if the user says so."""

import io
import json
import os
import struct
import zipfile
import zlib
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mlp_core.data.image_files import BadImageError
from mlp_core.data.images import decode_images
from mlp_core.errors import InputError

NOISE = np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8)
RGB = NOISE[..., :3]
GREY = NOISE[..., 0]


def encoded(pixels, kind="PNG", mode=None, **options):
    """Return pixels, or an image, as a file's bytes."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def opened(content):
    """Return what Pillow sees in a file, as RGB."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def chunk(kind, content):
    """Return a part of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(depth, colour, rows, size=(32, 32), *more):
    """Return a PNG of a kind that Pillow does not write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + data + chunk(b"IEND", b"")


def source(folder, content, name="train/cat/0.png"):
    """Write a folder of good images and one more."""
    good = encoded(np.zeros((32, 32, 3), np.uint8))
    for path in ("train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png", name):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if path == name else good)
    return folder


def tiled_tiff(side):
    """Return a black TIFF of 32 x 32 pixels in one tile, as large as it is said to be, deflated."""
    data = zlib.compress(bytes(min(3 * side * side, 100 << 20)), 1)
    tags = {256: 32, 257: 32, 258: (8, 8, 8), 259: 8, 262: 2, 277: 3, 322: side, 323: side, 324: 0, 325: len(data)}
    place = 8 + 2 + 12 * len(tags) + 4  # of what is too long for the directory, then of the tile
    directory = b""
    for tag, value in (tags | {324: place + 6}).items():
        if isinstance(value, tuple):
            directory += struct.pack("<HHII", tag, 3, 3, place)
        else:
            directory += struct.pack("<HHII", tag, 4, 1, value)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4)
    return head + struct.pack("<3H", *tags[258]) + data


def wide_webp():
    """Return a WebP whose one frame is as small as it should be, and its canvas is not."""
    frame = bytes(6) + struct.pack("<I", 31)[:3] * 2 + bytes(4) + encoded(RGB, "WEBP", lossless=True)[12:]
    parts = ((b"VP8X", b"\2\0\0\0" + struct.pack("<I", 16_382)[:3] * 2), (b"ANIM", bytes(6)), (b"ANMF", frame))
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(part)) + part + bytes(len(part) % 2) for kind, part in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def sized(*size):
    """Return a black image of a size."""
    return encoded(np.zeros((size[1], size[0], 3), np.uint8))


SIXTEEN_BITS = np.random.default_rng(1).integers(0, 1 << 16, (32, 32, 3)).astype(">u2")
CMYK = encoded(NOISE, "JPEG", "CMYK")
PALETTE = Image.fromarray(RGB).quantize(16)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # to be turned by a quarter

CONVERTED = {
    "greyscale": (encoded(GREY), np.stack([GREY] * 3, -1)),
    "greyscale with transparency": (encoded(NOISE, mode="LA"), opened(encoded(NOISE, mode="LA"))),
    "black and white": (encoded(GREY, mode="1"), opened(encoded(GREY, mode="1"))),
    "a palette": (encoded(PALETTE), np.asarray(PALETTE.convert("RGB"))),
    "a palette with transparency": (encoded(PALETTE, transparency=3), np.asarray(PALETTE.convert("RGB"))),
    "RGBA": (encoded(NOISE), RGB),
    "CMYK": (CMYK, opened(CMYK)),
    "a progressive JPEG": (encoded(RGB, "JPEG", progressive=True), opened(encoded(RGB, "JPEG", progressive=True))),
    "16 bits of grey": (png(16, 0, SIXTEEN_BITS[..., 0]), np.stack([SIXTEEN_BITS[..., 0] >> 8] * 3, -1)),
    "16 bits of colour": (png(16, 2, SIXTEEN_BITS), SIXTEEN_BITS >> 8),
    "turned by EXIF": (encoded(RGB, "JPEG", exif=TURNED), opened(encoded(RGB, "JPEG"))),
    "animated": (encoded(RGB, save_all=True, append_images=[Image.fromarray(255 - RGB)]), RGB),
    "a PNG named .jpg": (encoded(RGB), RGB),
    "WebP": (encoded(RGB, "WEBP", lossless=True), RGB),
    "a WebP named .jpg": (encoded(RGB, "WEBP", lossless=True), RGB),
    "an animated WebP": (
        encoded(RGB, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(255 - RGB)]),
        RGB,
    ),
    "BMP": (encoded(RGB, "BMP"), RGB),
    "TIFF": (encoded(RGB, "TIFF"), RGB),
    "a TIFF packed with LZW": (encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "a TIFF in tiles": (tiled_tiff(32), np.zeros_like(RGB)),
    "a TIFF of 16 bits of grey": (
        encoded(SIXTEEN_BITS[..., 0].astype("<u2"), "TIFF"),
        np.stack([SIXTEEN_BITS[..., 0] >> 8] * 3, -1),
    ),
    "a TIFF of two pages": (encoded(RGB, "TIFF", save_all=True, append_images=[Image.fromarray(255 - RGB)]), RGB),
    "GIF": (encoded(PALETTE, "GIF"), np.asarray(PALETTE.convert("RGB"))),
    "an animated GIF": (
        encoded(PALETTE, "GIF", save_all=True, append_images=[Image.new("P", (32, 32))]),
        np.asarray(PALETTE.convert("RGB")),
    ),
    "a JPEG named .jfif": (encoded(RGB, "JPEG"), opened(encoded(RGB, "JPEG"))),
    "1 x 1": (sized(1, 1), np.zeros_like(RGB)),
    "32 x 33": (sized(32, 33), np.zeros_like(RGB)),
    "1 x 9999": (sized(1, 9999), np.zeros_like(RGB)),
    "4000 x 3000": (sized(4000, 3000), np.zeros_like(RGB)),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_an_image_that_is_converted(tmp_path, case):
    """The pixels are those that the rule gives."""
    content, expected = CONVERTED[case]
    table = decode_images(
        source(
            tmp_path, content, f"train/cat/0.{case.rpartition('named .')[2]}" if "named" in case else "train/cat/0.png"
        )
    )
    pixels = np.frombuffer(table.column("pixels")[0].as_py(), np.uint8).reshape(3, 32, 32).transpose(1, 2, 0)
    assert pixels.tolist() == expected.tolist()


ZEROS = np.zeros((32, 97), np.uint8)
REFUSED = {
    "a truncated JPEG": (encoded(RGB, "JPEG")[:400], r"which is damaged \(.*; replace it, or leave out up to N such"),
    "a truncated PNG": (encoded(RGB)[:400], r"which is damaged \("),
    "zero bytes": (b"", "which is no such image"),
    "text": (b"I am an image, believe me", "which is no such image"),
    "another format": (encoded(RGB, "PPM"), "which is no such image"),
    "a truncated WebP": (encoded(RGB, "WEBP", lossless=True)[:400], r"which is damaged \("),
    "a truncated BMP": (encoded(RGB, "BMP")[:400], r"which is damaged \("),
    "a truncated TIFF": (encoded(RGB, "TIFF", compression="tiff_lzw")[:400], r"which is (damaged \(|no such image)"),
    "a truncated GIF": (encoded(PALETTE, "GIF")[:400], r"which is damaged \("),
    "a TIFF whose tile unpacks to a gigabyte": (
        partial(tiled_tiff, 16_384),
        r"which is damaged \(tiles of 268,435,456 pixels",
    ),
    "a TIFF of numbers of 32 bits": (encoded(Image.new("F", (32, 32)), "TIFF"), r"its pixels are numbers of 32 bits"),
    "a WebP with a canvas of 16,383 x 16,383": (wide_webp(), "got far too many in"),
    "a GIF with a screen of 65,535 x 65,535": (
        encoded(PALETTE, "GIF")
        .replace(b"89a\x20\0\x20\0", b"89a\xff\xff\xff\xff")
        .replace(b"87a\x20\0\x20\0", b"87a\xff\xff\xff\xff"),
        "got far too many in",
    ),
    "a BMP of 2,000,000 x 2,000,000": (
        encoded(RGB, "BMP").replace(struct.pack("<ll", 32, 32), struct.pack("<ll", 2_000_000, 2_000_000)),
        "got far too many in",
    ),
    "a PNG with a wrong checksum": (
        encoded(RGB).replace(b"IHDR\0\0\0 ", b"IHDR\0\0\0!"),
        "which is damaged|no such image",
    ),
    "a PNG without pixels": (encoded(RGB).replace(b"IDAT", b"teXt"), "which is no such image"),
    "6000 x 6000": (
        png(8, 2, ZEROS[:, :96], (6000, 6000)),
        r"images must have at most 33,554,432 pixels, got 6000 x 6000 in 'train/cat/0\.png' of .*; scale it down, ",
    ),
    "20,000 x 20,000": (png(8, 2, ZEROS[:, :96], (20_000, 20_000)), "got far too many in"),
    "more than 16 megabytes": (
        png(8, 2, ZEROS[:, :96], (32, 32), chunk(b"junK", bytes(16 << 20))),
        "which has more than 16,777,216 bytes",
    ),
    "large, with EXIF data that are none": (
        encoded(np.zeros((64, 64, 3), np.uint8), "JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 40)[:300],
        r"which is damaged \(",
    ),
    "a hundred megabytes of text inside": (
        lambda: png(8, 2, ZEROS[:, :96], (32, 32), chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100 << 20)))),
        r"which is damaged \(Decompressed data too large",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_image_that_is_refused(tmp_path, case):
    """Named, with what is the matter and what to do."""
    content, words = REFUSED[case]
    content = content() if callable(content) else content  # large ones take each process half a second
    with pytest.raises(BadImageError, match=words) as caught:
        decode_images(source(tmp_path, content))
    assert "'train/cat/0.png'" in str(caught.value)
    assert caught.value.name == "train/cat/0.png"


KINDS = {"JPEG": {}, "PNG": {}, "WEBP": {"lossless": True}, "GIF": {}, "TIFF": {}}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_an_ending(tmp_path, kind):
    """Is told by its first bytes."""
    content = encoded(PALETTE if kind == "GIF" else RGB, kind, **KINDS[kind])
    table = decode_images(source(tmp_path, content, "train/cat/IMG_0001"))
    assert table.column("source")[1].as_py() == "train/cat/IMG_0001"
    assert table.schema.metadata[b"remarks"] == b"[]"


def test_a_damaged_tiff_says_nothing_of_its_own(tmp_path, capfd):
    """What libtiff writes on its own to the terminal is kept from it; what we say is not."""
    content = bytearray(encoded(RGB, "TIFF", compression="tiff_deflate"))
    content[100:140] = bytes(40)
    folder = source(tmp_path, bytes(content), "train/cat/0.tif")
    assert decode_images(folder, skip_bad=1).num_rows == 4
    os.write(2, b"and on\n")
    assert capfd.readouterr().err == "and on\n"


def damaged(image_zip, path, names):
    """Copy a zip of image_zip, some of them cut in half."""
    with zipfile.ZipFile(image_zip) as good, zipfile.ZipFile(path, "w") as archive:
        for name in good.namelist():
            data = good.read(name)
            archive.writestr(name, data[: len(data) // 2] if name.removeprefix("faces/") in names else data)
        archive.writestr("faces/train/cat/notes.txt", "fine cats")
    return path


def test_bad_files_are_left_out_if_the_user_says_so(run, image_zip, tmp_path, caplog):
    """Up to the number allowed; they are named in the log, in the table's own words, and in the report."""
    bad = ("train/cat/01.png", "val/dog/02.jpeg")
    zipped = damaged(image_zip, tmp_path / "cut.zip", bad)
    folder = tmp_path / "artifacts"
    with pytest.raises(InputError, match=r"got 'faces/train/cat/01\.png' in .*cut\.zip, .* --skip-bad-images N\."):
        run("images", folder, images=zipped).state.result()
    with pytest.raises(InputError, match=r"skip_bad_images allows 1 bad files, got one more: .*02\.jpeg"):
        run("images", folder, images=zipped, skip_bad_images=1).state.result()
    assert not folder.exists()

    caplog.set_level("INFO", "deep_mlp")
    assert run("images", folder, images=zipped, skip_bad_images=2).state.is_completed()
    words = "2: 'faces/train/cat/01.png', 'faces/val/dog/02.jpeg'"
    assert f"bad images left out: {words}" in caplog.messages
    remark = "files not used: 1 with the ending .txt (faces/train/cat/notes.txt)"
    assert remark in caplog.messages
    (path,) = folder.glob("tables/images-*.parquet")
    table = pq.read_table(path)
    assert table.num_rows == 82
    skipped = json.loads(table.schema.metadata[b"settings"])["skipped"]
    assert list(skipped) == [f"faces/{name}" for name in bad]
    assert all("damaged" in reason for reason in skipped.values())
    settings = json.loads(pq.read_schema(folder / "results/images.parquet").metadata[b"settings"])
    assert settings["bad_images_left_out"] == words
    page = (folder / "report.html").read_text()
    assert words.replace("'", "&#39;") in page
    assert settings["images_remarks"] == remark
    assert f"About the images: {remark}." in page

    again = run("images", folder, images=zipped, skip_bad_images=3)
    assert "train hidden=8" in again.tasks["Cached"]
    assert [name for name in again.tasks["Completed"] if name.startswith("unzip")] != []
    assert list(folder.glob("tables/images-*.parquet")) == [path]


def test_two_halves_are_what_the_whole_is(image_zip, tmp_path):
    """As two processes decode them, with bad files in each: the same table and remarks, the same file to blame."""
    bad = ("train/cat/01.png", "val/dog/02.jpeg", "val/wild/01.png")
    zipped = damaged(image_zip, tmp_path / "cut.zip", bad)
    whole = decode_images(zipped, 3, image_size=16)
    halves = decode_images(zipped, 3, image_size=16, map_parts=map)
    assert halves.equals(whole, check_metadata=True)
    assert whole.num_rows == 81
    assert b"81 images of 16 x 16 pixels" in whole.schema.metadata[b"remarks"]
    for allowed in range(3):
        with pytest.raises(BadImageError) as alone:
            decode_images(zipped, allowed)
        with pytest.raises(BadImageError) as shared:
            decode_images(zipped, allowed, map_parts=map)
        assert str(shared.value) == str(alone.value)
        assert shared.value.name == f"faces/{bad[allowed]}"


def test_a_folder_that_changes_between_its_halves(tmp_path):
    """Is refused: an image could be missing or be there twice, unnoticed."""
    folder = source(tmp_path, encoded(RGB, "PNG"))

    def one_is_gone_after_each(decode, parts):
        for part in parts:
            yield decode(part)
            (folder / "train/cat/0.png").unlink(missing_ok=True)

    with pytest.raises(InputError, match="must not change while they are decoded, got other files in "):
        decode_images(folder, map_parts=one_is_gone_after_each)


def test_a_class_that_lost_all_its_images(tmp_path):
    """Is refused like one that never had any."""
    folder = source(tmp_path, b"", "val/cat/1.png")
    with pytest.raises(InputError, match=r"same classes in train and val, got 'cat' in train but not in val"):
        decode_images(folder, skip_bad=5)


def test_a_damaged_image_found_by_the_run_leaves_nothing_behind(run, image_zip, tmp_path):
    """No folder, no half-written table."""
    zipped = damaged(image_zip, tmp_path / "cut.zip", ["val/dog/02.jpeg"])
    ran = run("images", tmp_path / "artifacts", images=zipped)
    with pytest.raises(InputError, match=r"whole JPEG, PNG, .* files.*'faces/val/dog/02\.jpeg' in .*damaged.*replace"):
        ran.state.result()
    assert [path.name for path in tmp_path.iterdir()] == ["cut.zip"]


@pytest.mark.slow
def test_the_program_says_one_line_about_a_damaged_image(program, image_zip, tmp_path):
    """Neither Prefect's errors nor a traceback stand next to the sentence; exit status 2."""
    damaged(image_zip, tmp_path / "cut.zip", ["val/dog/02.jpeg"])
    ran = program("images --images cut.zip")
    assert ran.err.startswith(
        "deep-mlp: images must be whole JPEG, PNG, WebP, BMP, TIFF or GIF files, got 'faces/val/dog/02.jpeg' in "
    )
    assert ran.err.count("\n") == 1
    assert (ran.status, ran.out) == (2, "")
    assert [path.name for path in tmp_path.iterdir()] == ["cut.zip"]
