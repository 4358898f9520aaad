"""Photographs from zips and folders: what is listed, what is refused, and which pixels come out."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from mlp_core.addresses import image_path
from mlp_core.errors import InputError
from mlp_core.images import decode_images, list_images, source_digest


def picture(seed, kind="JPEG", size=(32, 32), mode="RGB"):
    """Return an encoded picture of noise."""
    shape = (size[1], size[0], len(mode)) if len(mode) > 1 else (size[1], size[0])
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def four_pictures(prefix="faces/"):
    """Return the smallest source that is accepted, with one picture per class and part."""
    return {
        f"{prefix}val/dog/d.jpg": picture(3),
        f"{prefix}train/dog/c.JPEG": picture(2),
        f"{prefix}train/cat/b.png": picture(1, "PNG"),
        f"{prefix}train/cat/B.jpg": picture(0),
        f"{prefix}val/cat/a.JPG": picture(4),
    }


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_folder(path, members):
    for name, content in members.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


WRITERS = {"zip": write_zip, "folder": write_folder}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """Write members as a zip or as a folder."""
    return lambda members: WRITERS[request.param](tmp_path / "photos", members)


@pytest.mark.parametrize("prefix", ["", "faces/", "a/b c/"])
def test_images_are_listed_below_any_prefix_train_first(write, prefix):
    """Train comes before val, then classes and names in their order, wherever the layout begins."""
    entries = list_images(write(four_pictures(prefix)))
    assert [entry.name.removeprefix(prefix) for entry in entries] == [
        "train/cat/B.jpg",
        "train/cat/b.png",
        "train/dog/c.JPEG",
        "val/cat/a.JPG",
        "val/dog/d.jpg",
    ]
    assert [entry.split for entry in entries] == ["train", "train", "train", "test", "test"]


def test_other_files_are_ignored(write):
    """A README, Finder's droppings and a table beside the pictures change nothing."""
    names = ("README.md", "faces/.DS_Store", "faces/train/cat/labels.csv", "__MACOSX/faces/train/cat/._B.jpg")
    others = dict.fromkeys((*names, "faces/train/cat/._B.jpg"), b"?")
    assert len(list_images(write({**four_pictures(), **others}))) == 5


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], r"got none in .*photos; put each class in its own folder below train/ and val/\."),
        (["cat/1.jpg", "dog/2.jpg"], r"train/CLASS/ and val/CLASS/, got none"),
        (["train/cat/1.jpg", "val/cat/2.jpg"], r"at least two classes, got \['cat'\] in .*photos; put each"),
        (["train/cat/1.jpg", "train/dog/2.jpg"], r"same classes .* got 'cat' in train but not in val"),
        (
            ["train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg", "val/cow/4.jpg", "val/dog/5.jpg"],
            r"got 'cow' in val but not in train",
        ),
        (["a/train/cat/1.jpg", "b/val/cat/2.jpg"], r"below one folder .* got 'a' and 'b' in .*; keep one"),
        (["train/cat/1.jpg", "old/train/cat/1.jpg"], r"got '\.' and 'old' in"),
    ],
)
def test_wrong_layouts_are_refused(write, names, words):
    """A source without train and val, with too few, different or ambiguous classes says what it found."""
    source = write({"README": b"", **dict.fromkeys(names, b"")})
    with pytest.raises(InputError, match=words):
        list_images(source)


def test_what_is_no_zip_is_refused(tmp_path):
    """A missing path and a file of another kind are told apart."""
    with pytest.raises(InputError, match=r"that exists, got '.*nowhere'; try --images synthetic"):
        list_images(tmp_path / "nowhere")
    page = tmp_path / "page.zip"
    page.write_text("<html>")
    with pytest.raises(InputError, match="no readable zip"):
        list_images(page)


def test_pixels_are_those_of_image_folder(write, tmp_path):
    """Pixels, labels and order within a part are what torchvision's ImageFolder gives."""
    members = four_pictures()
    table = decode_images(write(members))
    reference_folder = write_folder(tmp_path / "reference", members)
    for part, split in (("train", "train"), ("val", "test")):
        rows = [row for row in table.to_pylist() if row["split"] == split]
        reference = ImageFolder(reference_folder / "faces" / part)
        assert [row["label"] for row in rows] == reference.targets
        assert [Path(row["source"]).name for row in rows] == [Path(name).name for name, _ in reference.samples]
        for row, (image, label) in zip(rows, reference, strict=True):
            assert row["class"] == reference.classes[label]
            assert row["pixels"] == np.asarray(image).transpose(2, 0, 1).tobytes()


def test_digest_follows_names_and_contents(write, tmp_path):
    """The same source has the same digest; one changed picture gives another."""
    members = four_pictures()
    digest = source_digest(write(members))
    assert digest == source_digest(tmp_path / "photos")
    assert digest != source_digest(write({**members, "faces/train/dog/c.JPEG": picture(99)}))


def test_digest_of_a_folder_ignores_other_files(tmp_path):
    """A note beside the pictures is not part of the data."""
    folder = write_folder(tmp_path / "photos", four_pictures())
    digest = source_digest(folder)
    (folder / "README").write_text("hello")
    assert source_digest(folder) == digest


@pytest.mark.parametrize("text", ["synthetic", "animal-faces", "https://osf.io/kgfvj/download", "http://[::1]:80/x"])
def test_named_sources_and_web_addresses_pass(text):
    """The two names and web addresses are accepted without being opened."""
    assert image_path(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "ftp://host/x.zip", "file:///tmp/x.zip", "http://", "http://[", "nowhere.zip", "a\0b", "x" * 5000],
)
def test_other_schemes_and_missing_paths_are_refused(text):
    """What cannot be fetched nor found lists the choices."""
    with pytest.raises(InputError, match="must be synthetic, animal-faces, an http"):
        image_path(text)


def test_a_path_may_begin_at_home(write, monkeypatch):
    """A tilde that the shell left, as in `--images=~/x.zip`, is the home folder; an unknown user's is refused."""
    source = write(four_pictures())
    monkeypatch.setenv("HOME", str(source.parent))
    assert image_path(f"~/{source.name}") == source
    with pytest.raises(InputError, match="that exists, got '~nobody-here/x'"):
        image_path("~nobody-here/x")
