"""Images from zips and folders: what is listed, what is refused, and which pixels come out."""

import io
import zipfile
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from mlp_core.addresses import image_path
from mlp_core.data.images import decode_images, list_images, source_digest
from mlp_core.errors import InputError


def image(seed, kind="JPEG", size=(32, 32), mode="RGB"):
    """Return an encoded image of noise."""
    shape = (size[1], size[0], len(mode)) if len(mode) > 1 else (size[1], size[0])
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def four_images(prefix="faces/"):
    """Return the smallest source that is accepted, with one image per class and part."""
    return {
        f"{prefix}val/dog/d.jpg": image(3),
        f"{prefix}train/dog/c.JPEG": image(2),
        f"{prefix}train/cat/b.png": image(1, "PNG"),
        f"{prefix}train/cat/B.jpg": image(0),
        f"{prefix}val/cat/a.JPG": image(4),
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
    entries, _, remarks = list_images(write(four_images(prefix)))
    assert remarks == ()
    assert [entry.name.removeprefix(prefix) for entry in entries] == [
        "train/cat/B.jpg",
        "train/cat/b.png",
        "train/dog/c.JPEG",
        "val/cat/a.JPG",
        "val/dog/d.jpg",
    ]
    assert [entry.split for entry in entries] == ["train", "train", "train", "test", "test"]


def test_what_file_managers_leave_is_ignored(write):
    """Finder's and Explorer's droppings change nothing, and nobody needs to hear of them."""
    names = (".DS_Store", "train/cat/Thumbs.db", "train/cat/._B.jpg", "train/desktop.ini", ".DS_Store")
    others = dict.fromkeys([f"faces/{name}" for name in names] + ["__MACOSX/faces/train/cat/._B.jpg"], b"?")
    listing = list_images(write({**four_images(), **others}))
    assert (len(listing.images), listing.remarks) == (5, ())


UNUSED = {
    "another ending": (["train/cat/1.heic", "train/cat/2.heic"], "2 with the ending .heic (train/cat/1.heic, train"),
    "no ending": (["README", "train/cat/label"], "2 with no ending (README, train/cat/label)"),
    "a table": (["labels.csv"], "1 with the ending .csv (labels.csv)"),
    "hidden": (["train/cat/.old.jpg", ".git/x.png", "train/.trash/1.jpg"], "3 hidden (.git/x.png, train/.trash/1.jpg,"),
    "at the top": (["1.jpg", "train/2.jpg"], "2 in no class folder (1.jpg, train/2.jpg)"),
    "a third folder": (["test/cat/1.jpg", "test/2.jpg"], "2 in test/ (test/2.jpg, test/cat/1.jpg)"),
    "many": ([f"test/{number}.jpg" for number in range(9)], "9 in test/ (test/0.jpg, test/1.jpg, test/2.jpg, ...)"),
}


@pytest.mark.parametrize("case", UNUSED)
def test_what_is_not_used_is_counted_and_named(write, case):
    """Each file that is no image of a class stands in one sentence, by the reason."""
    names, words = UNUSED[case]
    listing = list_images(write({**four_images(""), **dict.fromkeys(names, b"text")}))
    assert len(listing.images) == 5
    (remark,) = listing.remarks
    assert remark.startswith(f"files not used: {words}")


def test_what_is_not_used_has_a_reason_each(write):
    """The most frequent reason comes first, and above the images' folder is another."""
    others = {"a.txt": b"", "test/1.jpg": b"", "test/2.jpg": b"", "more\x1b/3.jpg": b""}
    listing = list_images(write({**four_images(), **{f"faces/{name}": b"" for name in others}, "x/1.jpg": b""}))
    (remark,) = listing.remarks
    assert remark == (
        "files not used: 2 in test/ (faces/test/1.jpg, faces/test/2.jpg), 1 with the ending .txt (faces/a.txt), "
        "1 in 'more\\x1b'/ ('faces/more\\x1b/3.jpg'), 1 outside faces/ (x/1.jpg)"
    )


@pytest.mark.thorough
def test_images_below_a_class_are_of_that_class(write, tmp_path):
    """Whatever folders a class has, its images are those that torchvision's ImageFolder finds."""
    from torchvision.datasets import ImageFolder

    inner = {
        "train/cat/persian/1.jpg": image(5),
        "train/cat/train/x/1.jpg": image(6),
        "val/dog/a/b/1.png": image(7),
    }
    members = {**four_images(""), **inner}
    listing = list_images(write(members))
    assert (len(listing.images), listing.remarks) == (8, ())
    reference = write_folder(tmp_path / "reference", members)
    for part, split in (("train", "train"), ("val", "test")):
        names = [entry.name for entry in listing.images if entry.split == split]
        samples = [Path(name).relative_to(reference).as_posix() for name, _ in ImageFolder(reference / part).samples]
        assert sorted(names) == sorted(samples)


def test_a_class_may_be_called_like_a_split(write):
    """The outermost folder says what an image is for."""
    names = ["train/train/1.jpg", "train/test/1.jpg", "val/train/1.jpg", "val/train/x/2.jpg", "val/test/1.jpg"]
    listing = list_images(write(dict.fromkeys(names, b"")))
    assert [entry.class_name for entry in listing.images] == ["test", "train", "test", "train", "train"]
    assert listing.folders == ("train", "val")


@pytest.mark.parametrize(
    ("train", "test"),
    [*[("train", name) for name in ("valid", "validation", "dev", "test", "testing", "Val")], ("TRAIN", "Test")],
)
def test_splits_as_people_name_them(write, train, test):
    """Any case, and any of the usual names."""
    listing = list_images(
        write(dict.fromkeys([f"a/{part}/{name}/1.jpg" for part in (train, test) for name in "xy"], b""))
    )
    assert [entry.split for entry in listing.images] == ["train", "train", "test", "test"]
    assert (listing.folders, listing.remarks) == ((train, test), ())


def test_of_two_folders_to_test_on_one_is_used(write):
    """Val before test, as the tutorial does; the other is named."""
    parts = ("train", "test", "val")
    listing = list_images(write(dict.fromkeys([f"{part}/{name}/1.jpg" for part in parts for name in "xy"], b"")))
    assert listing.folders == ("train", "val")
    assert listing.remarks == ("files not used: 2 in test/ (test/x/1.jpg, test/y/1.jpg)",)


@pytest.mark.parametrize("prefix", ["", "faces/", "train/", "faces/train/"])
def test_classes_alone_are_split_here(write, prefix):
    """A fifth of each class, the same for equal seeds and below any folder, and said."""
    names = [f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(10)]
    source = write(dict.fromkeys([prefix + name for name in names], b""))
    listing, other = list_images(source, 1), list_images(source, 2)

    def tested(listing):
        return [entry.name.removeprefix(prefix) for entry in listing.images if entry.split == "test"]

    assert sorted(entry.name.removeprefix(prefix) for entry in listing.images) == sorted(names)
    assert [name.split("/")[0] for name in tested(listing)] == ["cat", "cat", "dog", "dog"]
    assert tested(listing) != tested(other)
    where = "train/" if "train" in prefix else "the source"
    assert listing.remarks == (
        f"{where} comes without images to test on: 20% of each class, drawn with seed 1, are used for that",
    )
    table = decode_images(write({**dict.fromkeys([prefix + name for name in names], image(0))}), seed=1)
    assert table["source"].to_pylist() == [entry.name for entry in listing.images]
    assert table.schema.metadata[b"split_seed"] == b"1"


def test_other_images_do_not_change_a_split_much(write):
    """One more class changes nothing of the others."""
    names = [f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(10)]
    before = list_images(write(dict.fromkeys(names, b""))).images
    after = list_images(write(dict.fromkeys([*names, "cow/1.jpg", "cow/2.jpg"], b""))).images
    assert set(before) < set(after)


def test_the_two_forms_of_unicode_are_one_class(write):
    """Composed or not, as macOS and Linux write them, it is one name; said once."""
    forms = [normalize(form, "caf\u00e9") for form in ("NFC", "NFD")]
    names = [f"{part}/{form}/1.jpg" for part, form in zip(("train", "val"), forms, strict=True)]
    listing = list_images(write(dict.fromkeys([*names, "train/tea/1.jpg", "val/tea/1.jpg"], b"")))
    assert {entry.class_name for entry in listing.images} == {"caf\u00e9", "tea"}
    assert listing.remarks == ("the class 'caf\u00e9' is written in 2 forms of Unicode, which are one class",)


def test_links_to_folders_are_followed_but_not_in_a_circle(tmp_path):
    """As torchvision does, which would follow a circle until the path is too long."""
    folder = write_folder(tmp_path / "photos", four_images(""))
    elsewhere = write_folder(tmp_path / "elsewhere", {"1.jpg": image(8), "deep/2.jpg": image(9)})
    (folder / "train").rename(tmp_path / "moved")
    (folder / "train").symlink_to(tmp_path / "moved")
    for part in ("train", "val"):
        (folder / part / "wild").symlink_to(elsewhere)
    (folder / "val/dog/circle").symlink_to(folder)
    (folder / "val/dog/gone").symlink_to(tmp_path / "nowhere")
    listing = list_images(folder)
    assert [entry.name for entry in listing.images if entry.class_name == "wild"] == [
        f"{part}/wild/{name}" for part in ("train", "val") for name in ("1.jpg", "deep/2.jpg")
    ]
    assert listing.remarks == (
        "files not used: 1 behind a link to a folder above it (val/dog/circle), 1 with no ending (val/dog/gone)",
    )
    assert decode_images(folder).num_rows == 9


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            [],
            r"got none in .*photos \(files not used: 1 with no ending \(README\)\); put each class in its own folder, ",
        ),
        (["1.jpg"], r"at least two classes, got \[\] in"),
        (["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"], r"two images or more of each class, .* got one of 'dog' in"),
        (["cats/train.jpg", "cats/val.jpg"], r"at least two classes, got \['cats'\] in"),
        (
            ["trian/cat/1.jpg", "trian/dog/1.jpg", "val/cat/1.jpg", "val/dog/1.jpg"],
            r"got 'val' but no images in tr",
        ),
        (["train/cat.1.jpg", "train/dog.1.jpg"], r"got 'train' but no images in train/CLASS/ in"),
        (["Train/cat/1.jpg", "train/dog/1.jpg"], r"one folder train/, got 'Train' and 'train' in"),
        (["train/cat/1.jpg", "Val/cat/1.jpg", "val/cat/1.jpg"], r"one folder val/, got 'Val' and 'val' in"),
        (
            [f"{part}/{name}" for part in ("train", "val") for name in ("a/1.jpg", "b/1.jpg", "c/1.heic")],
            r"in every class folder, got none in 'c' of .* \('train/c/1\.heic' is with the ending \.heic\); convert",
        ),
        (["train/cat/1.jpg", "val/cat/2.jpg"], r"at least two classes, got \['cat'\] in .*photos; put each"),
        (["train/cat/1.jpg", "train/dog/2.jpg", "dev/cat/1.jpg"], r"same classes .* got 'dog' in train but not in dev"),
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


@pytest.mark.thorough
def test_pixels_are_those_of_image_folder(write, tmp_path):
    """Pixels, labels and order within a part are what torchvision's ImageFolder gives."""
    from torchvision.datasets import ImageFolder

    members = four_images()
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
    """The same source has the same digest; one changed image gives another."""
    members = four_images()
    digest = source_digest(write(members))
    assert digest == source_digest(tmp_path / "photos")
    assert digest != source_digest(write({**members, "faces/train/dog/c.JPEG": image(99)}))


def test_digest_of_a_folder_ignores_other_files(tmp_path):
    """A note next to the images is not part of the data."""
    folder = write_folder(tmp_path / "photos", four_images())
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
    source = write(four_images())
    monkeypatch.setenv("HOME", str(source.parent))
    assert image_path(f"~/{source.name}") == source
    with pytest.raises(InputError, match="that exists, got '~nobody-here/x'"):
        image_path("~nobody-here/x")
