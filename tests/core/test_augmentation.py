"""Rotations, flips and scaling compared with torchvision's own, image by image."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from mlp_core.data.augmentation import draw_augmentations, normalize, rotate_and_flip
from mlp_core.engine.augmented import augmented_batch


def jpeg_images(n, height=32, width=32):
    """Return images with gradients, edges and grain, through JPEG and back."""
    random = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width, 0:1][:2] / 32
    pil_images = []
    for _ in range(n):
        waves = np.sin(random.normal(0, 4, 3) * x + random.normal(0, 4, 3) * y + random.uniform(0, 6, 3))
        edge = 40 * (x > random.uniform()) * random.normal(size=3)
        pixels = 128 + 70 * waves + edge + random.normal(0, 12, (height, width, 3))
        buffer = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG")
        pil_images.append(Image.open(buffer).convert("RGB"))
    return pil_images


def stacked(pil_images):
    return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in pil_images]).contiguous()


def rotated_and_flipped(image, angle, flip):
    """Turn and mirror as torchvision does, by Pillow; torchvision itself takes a second and a half to import."""
    rotated = image.rotate(angle)
    return rotated.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else rotated


@pytest.fixture(scope="module")
def pil_images():
    return jpeg_images(100)


@pytest.mark.thorough
@pytest.mark.parametrize("angle", [10.0, -3.7, 100.1, 180.0, 90.0, -90.0, 1e-14, 0.0, 360.0])
@pytest.mark.parametrize("flip", [False, True])
def test_torchvision_turns_and_mirrors_as_pillow_does(pil_images, angle, flip):
    """So what is compared with Pillow below is compared with torchvision."""
    from torchvision.transforms import functional

    for image in pil_images:
        rotated = functional.rotate(image, angle)
        expected = functional.hflip(rotated) if flip else rotated
        assert rotated_and_flipped(image, angle, flip) == expected


@pytest.mark.parametrize("max_angle_degrees", [10.0, 180.0])
def test_images_equal_torchvisions(pil_images, max_angle_degrees):
    """Thousands of random rotations and flips agree in every pixel."""
    n = 3000
    angles, flips = draw_augmentations(n, torch.Generator().manual_seed(1), max_angle_degrees)
    chosen = [pil_images[index % len(pil_images)] for index in range(n)]
    expected = stacked(map(rotated_and_flipped, chosen, angles.tolist(), flips.tolist()))
    assert torch.equal(rotate_and_flip(stacked(chosen), angles, flips), expected)


@pytest.mark.thorough
def test_draws_equal_torchvisions(pil_images):
    """With the same seed, torchvision's transforms turn and mirror the same images by the same angles."""
    from torchvision.transforms import Compose, RandomHorizontalFlip, RandomRotation

    transform = Compose([RandomRotation(10), RandomHorizontalFlip()])
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected = stacked(map(transform, pil_images))
    angles, flips = draw_augmentations(len(pil_images), torch.Generator().manual_seed(3))
    assert torch.equal(rotate_and_flip(stacked(pil_images), angles, flips), expected)


@pytest.mark.parametrize("angle", [0.0, 360.0, 90.0, 180.0, 270.0, -90.0, 1e-14])
@pytest.mark.parametrize("flip", [False, True])
def test_right_angles_equal_torchvisions(pil_images, angle, flip):
    """Quarter turns, for which PIL has paths of its own, agree in every pixel."""
    images = stacked(pil_images[:5])
    expected = stacked([rotated_and_flipped(image, angle, flip) for image in pil_images[:5]])
    assert torch.equal(rotate_and_flip(images, torch.full((5,), angle), torch.full((5,), flip)), expected)


def test_angle_zero_changes_nothing(pil_images):
    """No angle and no flip give the same image; a flip alone mirrors the columns."""
    images, angles = stacked(pil_images[:2]), torch.zeros(2)
    moved = rotate_and_flip(images, angles, torch.tensor([False, True]))
    assert torch.equal(moved[0], images[0])
    assert torch.equal(moved[1], images[1].flip(-1))


def test_corners_become_black():
    """A white image that is turned has black corners and a white middle."""
    white = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    moved = rotate_and_flip(white, torch.tensor([10.0]), torch.tensor([False]))[0]
    assert moved[:, [0, 0, -1, -1], [0, -1, 0, -1]].eq(0).all()
    assert moved[:, 8:24, 8:24].eq(255).all()


def test_images_need_not_be_square():
    """Height and width are not mixed up."""
    pil_images = jpeg_images(20, height=20, width=31)
    angles, flips = draw_augmentations(20, torch.Generator().manual_seed(2))
    expected = stacked(map(rotated_and_flipped, pil_images, angles.tolist(), flips.tolist()))
    assert torch.equal(rotate_and_flip(stacked(pil_images), angles, flips), expected)


def test_draws_are_uniform_and_repeatable():
    """Angles fill -10 .. 10, half of the images are flipped, and the same generator gives the same."""
    angles, flips = draw_augmentations(10_000, torch.Generator().manual_seed(0))
    assert angles.dtype == torch.float64
    assert angles.abs().max() <= 10
    assert angles.mean().abs() < 0.3
    assert angles.std() == pytest.approx(20 / 12**0.5, rel=0.03)
    assert flips.double().mean() == pytest.approx(0.5, abs=0.02)
    again, _ = draw_augmentations(10_000, torch.Generator().manual_seed(0))
    assert torch.equal(angles, again)


@pytest.mark.thorough
def test_normalised_bytes_equal_torchvisions():
    """Each of the 256 byte values becomes the very float that ToTensor and Normalize make."""
    from torchvision import transforms

    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    assert torch.equal(normalize(torch.from_numpy(values)), transform(Image.fromarray(values))[0])


def test_a_batch_is_the_three_steps_in_one(pil_images):
    """Picking, moving and scaling at once gives the same rows, in part of a wider buffer."""
    images = stacked(pil_images)
    indices = torch.randperm(100, generator=torch.Generator().manual_seed(4))[:77]
    angles, flips = draw_augmentations(77, torch.Generator().manual_seed(5))
    expected = normalize(rotate_and_flip(images[indices], angles, flips)).flatten(1)
    buffer = torch.ones(77, 3073)
    augmented_batch(images, indices, angles, flips, buffer[:, :-1])
    assert torch.equal(buffer[:, :-1], expected)
    assert buffer[:, -1].eq(1).all()


@pytest.mark.parametrize(("rows", "columns", "angles"), [(2, 27, 3), (3, 26, 3), (3, 27, 2)])
def test_rows_that_do_not_fit_are_refused(rows, columns, angles):
    """Compiled code would write beyond them."""
    images, flips = torch.zeros(3, 3, 3, 3, dtype=torch.uint8), torch.zeros(3, dtype=torch.bool)
    with pytest.raises(ValueError, match="must have the shapes"):
        augmented_batch(images, torch.arange(3), torch.zeros(angles), flips, torch.zeros(rows, columns))


@pytest.mark.parametrize("index", [-1, 3])
def test_an_image_that_is_not_there_is_refused(index):
    """Compiled code would read beyond the images."""
    images, flips = torch.zeros(3, 3, 3, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="indices must be 0 to 2, got"):
        augmented_batch(images, torch.tensor([0, index]), torch.zeros(2), flips, torch.zeros(2, 27))
