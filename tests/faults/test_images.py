"""Pictures of every kind: converted by a stated rule, or refused by name; some may be left out if the user says so."""

import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mlp_core.errors import InputError
from mlp_core.images import BadImageError, decode_images

NOISE = np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8)
RGB = NOISE[..., :3]
GREY = NOISE[..., 0]


def encoded(pixels, kind="PNG", mode=None, **options):
    """Return pixels, or a picture, as a file's bytes."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, kind, **options)
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
    """Write a folder of good pictures and one more."""
    good = encoded(np.zeros((32, 32, 3), np.uint8))
    for path in ("train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png", name):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if path == name else good)
    return folder


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
}


@pytest.mark.parametrize("case", CONVERTED)
def test_a_picture_that_is_converted(tmp_path, case):
    """The pixels are those that the rule gives."""
    content, expected = CONVERTED[case]
    table = decode_images(source(tmp_path, content, "train/cat/0.jpg" if case.endswith(".jpg") else "train/cat/0.png"))
    found = np.frombuffer(table.column("pixels")[0].as_py(), np.uint8).reshape(3, 32, 32).transpose(1, 2, 0)
    assert found.tolist() == expected.tolist()


def sized(*size):
    return encoded(np.zeros((size[1], size[0], 3), np.uint8))


ZEROS = np.zeros((32, 97), np.uint8)
REFUSED = {
    "a truncated JPEG": (encoded(RGB, "JPEG")[:400], r"which is damaged \(.*; replace it, or leave out up to N such"),
    "a truncated PNG": (encoded(RGB)[:400], r"which is damaged \("),
    "zero bytes": (b"", "which is no JPEG or PNG picture"),
    "text": (b"I am a picture, believe me", "which is no JPEG or PNG picture"),
    "GIF": (encoded(RGB, "GIF"), "which is no JPEG or PNG picture"),
    "WebP": (encoded(RGB, "WEBP"), "which is no JPEG or PNG picture"),
    "a PNG with a wrong checksum": (
        encoded(RGB).replace(b"IHDR\0\0\0 ", b"IHDR\0\0\0!"),
        "which is damaged|no JPEG or PNG",
    ),
    "a PNG without pixels": (encoded(RGB).replace(b"IDAT", b"teXt"), "which is no JPEG or PNG picture"),
    "1 x 1": (sized(1, 1), r"images must be 32 x 32 pixels, got 1 x 1 in 'train/cat/0\.png' of .*; scale the pictures"),
    "32 x 33": (sized(32, 33), "got 32 x 33 in"),
    "4000 x 3000": (sized(4000, 3000), "got 4000 x 3000 in"),
    "20,000 x 20,000": (png(8, 2, ZEROS[:, :96], (20_000, 20_000)), "got far too many in"),
    "more than a megabyte": (
        png(8, 2, ZEROS[:, :96], (32, 32), chunk(b"junK", bytes(1 << 20))),
        "which has more than 1,048,576 bytes",
    ),
    "a hundred megabytes of text inside": (
        png(8, 2, ZEROS[:, :96], (32, 32), chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100 << 20)))),
        r"which is damaged \(Decompressed data too large",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_picture_that_is_refused(tmp_path, case):
    """Named, with what is the matter and what to do."""
    content, words = REFUSED[case]
    with pytest.raises(BadImageError, match=words) as caught:
        decode_images(source(tmp_path, content))
    assert "'train/cat/0.png'" in str(caught.value)
    assert caught.value.name == "train/cat/0.png"


def damaged(photographs, path, names):
    """Copy a zip of photographs, some of them cut in half."""
    with zipfile.ZipFile(photographs) as good, zipfile.ZipFile(path, "w") as archive:
        for name in good.namelist():
            data = good.read(name)
            archive.writestr(name, data[: len(data) // 2] if name.removeprefix("faces/") in names else data)
    return path


def test_bad_files_are_left_out_if_the_user_says_so(run, photographs, tmp_path, caplog):
    """Up to the number allowed; they are named in the log, in the table's own words, and in the report."""
    bad = ("train/cat/01.png", "val/dog/02.jpeg")
    zipped = damaged(photographs, tmp_path / "cut.zip", bad)
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
    (path,) = folder.glob("tables/images-*.parquet")
    table = pq.read_table(path)
    assert table.num_rows == 82
    skipped = json.loads(table.schema.metadata[b"settings"])["skipped"]
    assert list(skipped) == [f"faces/{name}" for name in bad]
    assert all("damaged" in reason for reason in skipped.values())
    settings = json.loads(pq.read_schema(folder / "results/images.parquet").metadata[b"settings"])
    assert settings["bad_images_left_out"] == words
    assert words.replace("'", "&#39;") in (folder / "report.html").read_text()

    again = run("images", folder, images=zipped, skip_bad_images=3)
    assert "train hidden=8" in again.tasks["Cached"]
    assert [name for name in again.tasks["Completed"] if name.startswith("unzip")] != []
    assert list(folder.glob("tables/images-*.parquet")) == [path]


def test_a_class_that_lost_all_its_pictures(tmp_path):
    """Is refused like one that never had any."""
    folder = source(tmp_path, b"", "val/cat/1.png")
    with pytest.raises(InputError, match=r"same classes in train and val, got 'cat' in train but not in val"):
        decode_images(folder, skip_bad=5)


def test_a_damaged_picture_found_by_the_run_leaves_nothing_behind(run, photographs, tmp_path):
    """No folder, no half-written table."""
    zipped = damaged(photographs, tmp_path / "cut.zip", ["val/dog/02.jpeg"])
    ran = run("images", tmp_path / "artifacts", images=zipped)
    with pytest.raises(InputError, match=r"whole JPEG or PNG.*'faces/val/dog/02\.jpeg' in .*damaged.*replace"):
        ran.state.result()
    assert [path.name for path in tmp_path.iterdir()] == ["cut.zip"]


@pytest.mark.slow
def test_the_program_says_one_line_about_a_damaged_picture(program, photographs, tmp_path):
    """Neither Prefect's errors nor a traceback stand beside the sentence; exit status 2."""
    damaged(photographs, tmp_path / "cut.zip", ["val/dog/02.jpeg"])
    ran = program("images --images cut.zip")
    assert ran.err.startswith("deep-mlp: images must be whole JPEG or PNG pictures, got 'faces/val/dog/02.jpeg' in ")
    assert ran.err.count("\n") == 1
    assert (ran.status, ran.out) == (2, "")
    assert [path.name for path in tmp_path.iterdir()] == ["cut.zip"]
