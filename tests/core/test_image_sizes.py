"""Images of any size: scaled by one rule, grey or in colour, and what follows from the size."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
from configurations import config_of
from PIL import Image

from mlp_core.data.augmentation import draw_augmentations, rotate_and_flip
from mlp_core.data.datasets import Split
from mlp_core.data.faces import write_faces
from mlp_core.data.images import _Images, decode_images, read_images
from mlp_core.data.sizes import image_shape, pixel_count
from mlp_core.engine.augmented import augmented_batch
from mlp_core.engine.members import train_members
from mlp_core.engine.tables import split_of
from mlp_core.errors import InputError
from mlp_core.experiments.first_layer.figures import units_figure
from mlp_core.experiments.first_layer.unit_measures import extent, gabor_filters, spatial_frequency
from mlp_core.experiments.first_layer.unit_row import UnitRow
from mlp_core.experiments.images.experiment import images_trial
from mlp_core.experiments.images.figures import first_layer_figure, samples_figure

NOISE = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # to be turned by a quarter, clockwise


def thirds(width, height):
    """Return an image whose thirds are red, green and blue along its longer side, and darker at the top left."""
    pixels = np.zeros((max(width, height), min(width, height), 3), np.uint8)
    for number, part in enumerate(np.array_split(pixels, 3)):
        part[:, :, number] = 200
    pixels = pixels if height >= width else pixels.transpose(1, 0, 2).copy()
    pixels[: height // 2, : width // 2] //= 2
    return Image.fromarray(pixels)


@pytest.fixture
def decoded(tmp_path):
    """Give a function that decodes an image in the company of others, and returns its pixels, rows first."""

    def decoded(image, image_size, kind="PNG", *, grey=False, **options):
        others = Image.new("RGB", (image_size, image_size))
        for name in ("train/b/1.png", "val/a/1.png", "val/b/1.png", "train/a/1.png"):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name == "train/a/1.png":
                image.save(path, kind, **options)
            else:
                others.save(path)
        table = decode_images(tmp_path, image_size=image_size, grey=grey)
        return split_of(table.to_batches()).train_inputs[0].permute(1, 2, 0).squeeze(-1).numpy()

    return decoded


@pytest.mark.thorough  # as the next: torchvision takes a second and a half to import
@pytest.mark.parametrize("side", [64, 100, 512, 20])
def test_a_square_image_is_torchvision_s(decoded, side):
    """The pixels of `Resize` with antialiasing, larger or smaller."""
    from torchvision.transforms import Resize

    image = Image.fromarray(NOISE[:side, :side])
    assert np.array_equal(decoded(image, 32), np.asarray(Resize(32)(image)))


@pytest.mark.thorough
@pytest.mark.parametrize("size", [(64, 48), (301, 512), (90, 31)])
def test_an_oblong_image_is_torchvision_s_but_for_a_part_of_a_pixel(decoded, size):
    """`Resize` and `CenterCrop` cut at whole pixels of the small image, we at parts of them."""
    from torchvision.transforms import CenterCrop, Compose, Resize

    waves = Image.fromarray(NOISE).resize((6, 6)).resize(size, Image.Resampling.BICUBIC)
    expected = np.asarray(Compose([Resize(32), CenterCrop(32)])(waves)).astype(int)
    difference = np.abs(decoded(waves, 32).astype(int) - expected)
    assert difference.mean() < 3


def test_fine_stripes_become_their_mean(decoded):
    """Without antialiasing they would be white or black alone; at the edge the filter is cut, amid a stripe."""
    stripes = np.zeros((512, 512), np.uint8)
    stripes[:, ::2] = 255
    pixels = decoded(Image.fromarray(stripes), 32).astype(int)
    assert np.abs(pixels[:, 1:-1] - 127).max() <= 1
    assert np.abs(pixels - 127).max() <= 255 / 32


@pytest.mark.parametrize("size", [(300, 100), (100, 300)])
def test_the_middle_of_the_longer_side_is_kept(decoded, size):
    """Of three thirds the second one, whole, from the top to the bottom of the shorter side."""
    pixels = decoded(thirds(*size), 32)
    inner = pixels[1:-1, 1:-1]
    assert (inner[..., 1] >= 100).all()
    assert (inner[..., [0, 2]] == 0).all()
    corners = [int(pixels[row, column, 1]) for row, column in ((2, 2), (2, -3), (-3, 2), (-3, -3))]
    assert corners == [100, 200, 200, 200]  # the darker quarter stays where it is


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_what_is_scaled_is_turned_as_its_exif_data_say(decoded, kind):
    """Once, also a TIFF, which Pillow turns; the darker quarter at the top left goes to the top right."""
    image = Image.new("RGB", (64, 64), (200, 200, 200))
    image.paste((90, 90, 90), (0, 0, 32, 32))
    pixels = decoded(image, 16, kind, exif=TURNED).astype(int)
    corners = [pixels[2, 2, 0], pixels[2, -3, 0], pixels[-3, 2, 0], pixels[-3, -3, 0]]
    assert corners == pytest.approx([200, 90, 200, 200], abs=12)


def test_what_has_the_size_is_as_it_is_stored(decoded):
    """Whatever its EXIF data say."""
    assert np.array_equal(decoded(Image.fromarray(NOISE[:48, :48]), 48, exif=TURNED), NOISE[:48, :48])


def test_grey_digits_keep_their_values(decoded):
    """28 x 28 and one channel, as handwritten digits are kept; colours get the weights of ITU-R BT.601."""
    digit = Image.fromarray(NOISE[:28, :28, 0])
    assert np.array_equal(decoded(digit, 28, grey=True), NOISE[:28, :28, 0])
    grey = decoded(Image.fromarray(NOISE[:28, :28]), 28, grey=True)
    assert np.abs(grey - NOISE[:28, :28] @ [0.299, 0.587, 0.114]).max() < 0.51


def zip_of(path, sizes):
    """Write a zip of two classes, each with an image of each size to train and one more to test on."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in "ab":
            for number, size in enumerate([*sizes, sizes[0]]):
                buffer = io.BytesIO()
                Image.new("RGB", size, (50 * number, 9, 9)).save(buffer, "PNG")
                part = "train" if number < len(sizes) else "test"
                archive.writestr(f"faces/{part}/{name}/{number}.png", buffer.getvalue())
    return path


@pytest.mark.parametrize(
    ("sizes", "how", "remarks"),
    [
        ([(32, 32), (32, 32)], {}, []),
        (
            [(64, 64), (10, 20), (32, 32)],
            {},
            [
                "8 images of 32 x 32 pixels, in colour: 4 made smaller, 2 enlarged, "
                "2 cut to the middle of their longer side"
            ],
        ),
        ([(28, 28)], {"image_size": 28, "grey": True}, ["4 images of 28 x 28 pixels, grey: all had this size"]),
    ],
)
def test_what_became_of_the_sizes_is_said(tmp_path, sizes, how, remarks):
    """How many images were scaled and cut; nothing of images that are as the tutorial's."""
    table = decode_images(zip_of(tmp_path / "faces.zip", sizes), **how)
    assert json.loads(table.schema.metadata[b"remarks"]) == remarks


def test_new_images_are_read_in_whatever_folders(tmp_path):
    """By name; what is no image or cannot be read is left out and said."""
    path = zip_of(tmp_path / "faces.zip", [(40, 40)])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("loose.jpg", b"")
        archive.writestr("notes.txt", b"")
        archive.writestr("deep/er/1.png", archive.read("faces/test/a/1.png"))
    read = read_images(path, (1, 16, 16))
    assert read.table["image"].to_pylist() == [
        "deep/er/1.png",
        *(f"faces/{part}/{name}/{number}.png" for part, number in (("test", 1), ("train", 0)) for name in "ab"),
    ]
    assert read.table["pixels"].type.byte_width == 256
    assert read.unreadable == {"loose.jpg": "is no such image"}
    assert read.remarks == [
        "files not used: 1 with the ending .txt (notes.txt)",
        "5 images of 16 x 16 pixels, grey: 5 made smaller",
    ]


def test_more_pixels_than_memory_should_hold_are_refused(tmp_path):
    """Before the first is decoded: a zip may name 200,000 images; at the tutorial's size they are let in."""
    _Images(tmp_path, 200_000, 32, grey=False)
    sentence = (
        r"^image_size must leave at most 4,294,967,296 bytes for all images, got 128: 200,000 images of .* take "
        r"9,830,400,000; use a smaller --image-size, or fewer images\.$"
    )
    with pytest.raises(InputError, match=sentence):
        _Images(tmp_path, 200_000, 128, grey=False)


def test_a_number_tells_the_shape():
    """Of every size, grey and in colour."""
    shapes = {pixel_count(side, grey=grey): (1 if grey else 3, side, side) for side in range(1, 129) for grey in (0, 1)}
    assert len(shapes) == 256
    assert {n: image_shape(n) for n in shapes} == shapes
    with pytest.raises(ValueError, match=r"n_pixels must be those of a square image, grey or in colour, got 3000\."):
        image_shape(3000)


@pytest.mark.parametrize("side", [8, 28, 64, 128])
def test_images_are_turned_as_by_pillow_at_any_size(side):
    """Every pixel is Pillow's, in one channel as in three."""
    images = torch.from_numpy(NOISE[:side, :side].transpose(2, 0, 1).copy())[:, None].repeat(20, 1, 1, 1)
    angles, flips = draw_augmentations(len(images), torch.Generator().manual_seed(1))
    for image, turned, angle, flip in zip(images, rotate_and_flip(images, angles, flips), angles, flips, strict=True):
        expected = Image.fromarray(image[0].numpy()).rotate(float(angle))
        expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else expected
        assert np.array_equal(turned[0], expected)
    rows = torch.empty(len(images), images[0].numel())
    augmented_batch(images, torch.arange(len(images)), angles, flips, rows)
    assert torch.equal(rows, rotate_and_flip(images, angles, flips).flatten(1) / 127.5 - 1)


def blobs(n, channels, side):
    """Return images of two classes: bright at the left, or at the right."""
    labels = torch.arange(n) % 2
    images = torch.randint(
        100, (n, channels, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(n)
    )
    for image, label in zip(images, labels, strict=True):
        image[:, side // 4 : 3 * side // 4, : side // 3] += torch.tensor(100 * (1 - int(label)), dtype=torch.uint8)
        image[:, side // 4 : 3 * side // 4, -side // 3 :] += torch.tensor(100 * int(label), dtype=torch.uint8)
    return images, labels


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 8), (1, 28), (3, 64)])
def test_networks_take_images_of_any_size(channels, side):
    """Also of as few pixels as the compiled code would take; flips make the two classes one, so they learn by heart."""
    data = Split(*blobs(40, channels, side), *blobs(20, channels, side))
    training = {"activation": "relu", "optimizer": "adam", "learning_rate": 1e-3, "epochs": 2, "batch_size": 16}
    config = config_of(images_trial, [8], channels * side**2, 2, **training, seed=1, device="cpu")
    trained = train_members(config, data, range(3))
    assert tuple(trained.state["0.weight"].shape) == (3, 8, channels * side**2)
    assert trained.train_loss.isfinite().all()
    alone = train_members(config, data, [1])
    assert torch.equal(alone.state["0.weight"][0], trained.state["0.weight"][1])
    assert alone.test_accuracy[0] == trained.test_accuracy[1]


@pytest.mark.parametrize("side", [8, 16, 28, 32, 64, pytest.param(128, marks=pytest.mark.thorough)])
def test_edge_filters_of_any_size_are_waves(side):
    """Their waves are of 4 pixels or more, so that each has weights, and 8 cycles at most."""
    filters = gabor_filters(3, side, side)
    assert filters.abs().amax((1, 2, 3)).min() > 0.1
    assert spatial_frequency(filters).max() < side / 2
    assert extent(filters).isfinite().all()


def test_edge_filters_are_local_from_16_pixels_up():
    """They reach as far in all images of 32 pixels and more, and further where the waves must be longer."""
    extents = {side: float(extent(gabor_filters(1, side, side)).mean()) for side in (8, 16, 28, 32, 64, 128)}
    assert max(abs(extents[side] - extents[32]) for side in (64, 128)) < 0.005
    assert extents[8] > extents[16] > extents[28] > extents[32]
    assert extents[16] < 0.25 < 0.35 < float(extent(torch.ones(1, 16, 16)))


def drawn_images(figure):
    return [image.get_array() for axes in figure.axes for image in axes.get_images()]


def test_grey_images_are_drawn_grey():
    """In figures of samples and weights: three equal channels, and no colour map."""
    weights = np.random.default_rng(0).normal(size=(4, 1, 28, 28))
    figures = [
        samples_figure(NOISE[:2, :, 0].reshape(2, 1, 16, 32), [0, 1], ["a", "b"]),
        first_layer_figure(weights),
        units_figure([UnitRow("trained", weights, np.ones(4))]),
    ]
    for figure in figures:
        for pixels in drawn_images(figure):
            assert pixels.shape[2] == 3
            assert (pixels == pixels[..., :1]).all()
    assert "as grey images" in figures[1].get_suptitle()
    assert "white +" in figures[1].get_suptitle()


def test_drawn_faces_are_drawn_at_the_size(tmp_path):
    """As fine as it allows: at 64 they hold more than the enlarged ones of 32 would, and 32 are what they were."""
    for size in (32, 64):
        write_faces(tmp_path / f"{size}.zip", seed=1, n_train_per_class=4, n_val_per_class=1, image_size=size)
    with zipfile.ZipFile(tmp_path / "64.zip") as archive:
        names = archive.namelist()
        assert len(names) == 15
        assert {Image.open(archive.open(name)).size for name in names} == {(64, 64)}
    table = decode_images(tmp_path / "64.zip", image_size=64)
    frequencies = spatial_frequency(split_of(table.to_batches()).train_inputs)
    enlarged = spatial_frequency(split_of(decode_images(tmp_path / "32.zip", image_size=64).to_batches()).train_inputs)
    assert frequencies.mean() > enlarged.mean()
