"""Locality, likeness to class differences and spatial frequency of units whose values are known."""

import math
from itertools import combinations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mlp_core.data.augmentation import normalize
from mlp_core.engine.networks import Ensemble
from mlp_core.experiments.first_layer.unit_measures import (
    class_cosine,
    class_means,
    extent,
    gabor_filters,
    measure_units,
    participation_ratio,
    spatial_frequency,
)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def random_units(n_units, shape, stream):
    """Return the first layer that an untrained network has."""
    return Ensemble((math.prod(shape), n_units), "relu", [stream]).state()["0.weight"].view(n_units, *shape)


def test_a_single_pixel_takes_part_alone():
    """A unit that sees one pixel, in whatever colours, has the ratio 1 / 1024."""
    weights = torch.zeros(2, 3, 32, 32)
    weights[0, 1, 5, 7] = -3.0
    weights[1, :, 31, 0] = torch.tensor([1.0, -2.0, 0.5])
    assert participation_ratio(weights).tolist() == pytest.approx([1 / 1024] * 2)


def test_equal_weights_all_take_part():
    """The ratio is 1 if every pixel has the same power, whatever its sign, colour and size."""
    signs = torch.randint(0, 2, (3, 32, 32), generator=stream()) * 2.0 - 1
    one_colour = torch.zeros(3, 32, 32)
    one_colour[2] = 1e-6
    assert participation_ratio(torch.stack([torch.ones(3, 32, 32), signs, one_colour])).tolist() == pytest.approx(
        [1.0] * 3
    )


def test_part_of_the_pixels_is_their_share_wherever_they_lie():
    """With equal weight on 100 pixels the ratio is 100 / 1024, gathered or scattered."""
    gathered, scattered = torch.zeros(1, 32, 32), torch.zeros(1, 1024)
    gathered[0, 3:13, 20:30] = 0.7
    scattered[0, torch.randperm(1024, generator=stream())[:100]] = 0.7
    ratio = participation_ratio(torch.stack([gathered, scattered.view(1, 32, 32)]))
    assert ratio.tolist() == pytest.approx([100 / 1024] * 2)


def test_the_ratio_of_untrained_units_is_15_19ths():
    """Units as PyTorch starts them are nearly as spread out as they can be."""
    assert participation_ratio(random_units(200, (3, 32, 32), stream())).mean().item() == pytest.approx(
        15 / 19, abs=0.002
    )


def test_a_unit_without_weights_has_no_measures():
    """Nothing is measured of a unit that is all zero: NaN, not a number that means something."""
    zero = torch.zeros(3, 8, 8)
    measures = measure_units(zero, torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 8, 8))
    assert all(value.isnan() for value in (measures.participation_ratio, measures.class_cosine, measures.frequency))


def wave(rows, columns, height=32, width=32):
    """Return a plane wave with so many cycles per image down and across."""
    y, x = torch.arange(height)[:, None] / height, torch.arange(width) / width
    return torch.sin(2 * math.pi * (rows * y + columns * x) + 0.4)


@pytest.mark.parametrize(("rows", "columns", "cycles"), [(0, 1, 1.0), (7, 0, 7.0), (3, 4, 5.0), (-6, 8, 10.0)])
def test_a_wave_has_its_frequency(rows, columns, cycles):
    """A plane wave of any direction has the length of its frequency, in cycles per image."""
    unit = torch.stack([wave(rows, columns), 2 * wave(rows, columns), torch.zeros(32, 32)])
    assert spatial_frequency(unit).item() == pytest.approx(cycles, rel=1e-5)


def test_frequencies_weigh_by_their_power():
    """Amplitudes 1 and 2 at 2 and 10 cycles have the mean (1 x 2 + 4 x 10) / 5; other colours are added up."""
    mixed = wave(0, 2) + 2 * wave(10, 0)
    apart = torch.stack([wave(0, 2), 2 * wave(10, 0)])
    assert spatial_frequency(mixed[None]).item() == pytest.approx(8.4, rel=1e-5)
    assert spatial_frequency(apart).item() == pytest.approx(8.4, rel=1e-5)


def test_the_mean_is_no_pattern():
    """A constant added to a colour changes no frequency, and alone has none."""
    assert spatial_frequency(wave(0, 3)[None] + 5).item() == pytest.approx(3.0, rel=1e-5)
    assert spatial_frequency(torch.ones(3, 32, 32)).isnan()


def test_images_need_not_be_square():
    """Cycles are counted along each side of an image on its own."""
    unit = wave(3, 4, height=16, width=24)[None]
    assert spatial_frequency(unit).item() == pytest.approx(5.0, rel=1e-5)


def test_class_means_by_hand():
    """Means are taken per class and pixel, in the order of the labels."""
    images = torch.tensor([[1, 10], [3, 20], [7, 30], [8, 0]], dtype=torch.uint8).view(4, 1, 1, 2)
    means = class_means(images, torch.tensor([2, 2, 0, 1]))
    assert means.shape == (3, 1, 1, 2)
    assert means.flatten(1).tolist() == [[7.0, 30.0], [8.0, 0.0], [2.0, 15.0]]


def test_a_template_is_recognised():
    """A unit that is a class difference has the cosine 1, turned round or shrunk as well; one across all has 0."""
    means = torch.zeros(3, 3, 4, 4)
    means[0, 0], means[1, 1] = wave(1, 0, 4, 4), wave(0, 1, 4, 4)
    across = torch.zeros(3, 4, 4)
    across[2] = 1.0
    units = torch.stack([means[0], -0.01 * means[1], means[0] - means[1], across])
    assert class_cosine(units, means).tolist() == pytest.approx([1.0, 1.0, 1.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("n_units", [(7,), (2, 3), (1, 1300)])
def test_the_cosine_is_the_largest_over_all_pairs(n_units):
    """As by the definition, also of many units, of near means, and with two classes alike."""
    units = random_units(math.prod(n_units), (3, 4, 4), stream(4)).view(*n_units, 3, 4, 4)
    means = 100 + torch.randn(6, 3, 4, 4, generator=stream(5)) / 100
    means[3] = means[1]
    pairs = [(first - second).double().flatten() for first, second in combinations(means, 2) if (first != second).any()]
    flat = units.double().flatten(-3)
    cosines = torch.stack([flat @ pair / (flat.norm(dim=-1) * pair.norm()) for pair in pairs])
    torch.testing.assert_close(class_cosine(units, means), cosines.abs().amax(0), rtol=1e-9, atol=0)


def test_many_classes_take_no_room_for_their_pairs():
    """No tensor on the way is larger than the means themselves, or a number for each unit and class."""

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            result = function(*arguments, **(options or {}))
            self.numel = max(
                [self.numel, *(leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor))]
            )
            return result

    units, means = torch.randn(100, 3, 4, 4, generator=stream()), torch.randn(300, 3, 4, 4, generator=stream(1))
    with Largest() as largest:
        class_cosine(units, means)
    assert largest.numel == 300 * 100


def test_raw_and_normalised_images_give_the_same_cosines():
    """To scale and shift all images alike changes no cosine."""
    images = torch.randint(0, 256, (30, 3, 8, 8), dtype=torch.uint8, generator=stream())
    labels, units = torch.arange(30) % 3, random_units(5, (3, 8, 8), stream(1))
    raw, normalised = (class_means(form, labels) for form in (images, normalize(images)))
    torch.testing.assert_close(class_cosine(units, raw), class_cosine(units, normalised), rtol=1e-4, atol=1e-6)


def test_random_units_are_like_no_class():
    """The cosine of a random unit with any one template scatters by 1 / sqrt(3072) = 0.018."""
    template = random_units(1, (3, 32, 32), stream(2))
    cosines = class_cosine(
        random_units(2000, (3, 32, 32), stream(3)), torch.cat([template, torch.zeros_like(template)])
    )
    assert cosines.square().mean().sqrt().item() == pytest.approx(0.018, rel=0.05)


def test_edge_filters_are_local_and_of_their_frequency():
    """All filters are far more local than random weights; half of them have 4 cycles per image and half 8."""
    filters = gabor_filters(3, 32, 32)
    assert filters.shape == (144, 3, 32, 32)
    assert len(torch.unique(filters, dim=0)) == 144
    # a wave in a Gaussian envelope fills 4 pi s^2 / 3 pixels: s is half a wavelength, 4 pixels for the coarse filters
    areas = participation_ratio(filters).view(2, 72) * 1024
    assert areas[0].mean().item() == pytest.approx(4 * math.pi * 16 / 3, rel=0.02)
    assert areas[1].mean() < areas[0].mean() / 3
    assert areas.max() < 0.1 * 1024 < participation_ratio(random_units(9, (3, 32, 32), stream())).min() * 1024
    frequencies = spatial_frequency(filters).view(2, 72)
    assert frequencies.mean(1).tolist() == pytest.approx([4.0, 8.0], rel=0.15)


def test_edge_filters_lie_where_they_should():
    """The filters' power is centred at three places along either axis, each with eight filters of a frequency."""
    power = gabor_filters(1, 32, 32)[:, 0].square()[72:]  # the fine ones, which the edge of the image does not cut
    power = power / power.sum((1, 2), keepdim=True)
    centres = torch.stack([(power.sum(2) * torch.arange(32)).sum(1), (power.sum(1) * torch.arange(32)).sum(1)], 1)
    places, counts = torch.unique(((centres + 0.5) / 8).round().int(), dim=0, return_counts=True)
    assert places.tolist() == [[y, x] for y in (1, 2, 3) for x in (1, 2, 3)]
    assert counts.tolist() == [8] * 9


def test_all_measures_keep_members_and_units_apart():
    """Leading axes stay, each unit is measured as it is alone, and the order begins with the most local unit."""
    units = torch.cat([random_units(3, (3, 32, 32), stream()), gabor_filters(3, 32, 32)[[0, 100, 50]]]).view(
        2, 3, 3, 32, 32
    )
    differences = random_units(3, (3, 32, 32), stream(9))
    measured = measure_units(units, differences)
    for name, measure in (
        ("extent", extent),
        ("participation_ratio", participation_ratio),
        ("frequency", spatial_frequency),
        ("class_cosine", lambda unit: class_cosine(unit, differences)),
    ):
        values = getattr(measured, name)
        assert values.shape == (2, 3)
        assert values.dtype == torch.float64
        assert values[1, 2].item() == pytest.approx(measure(units[1, 2]).item())
    assert measured.extent[1].argmin() == 1  # the fine filter


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((slice(None), slice(None)), 1 / math.sqrt(6)),
        ((slice(0, 16), slice(0, 16)), 0.5 / math.sqrt(6)),
        ((slice(7, 8), slice(0, 32)), 1 / math.sqrt(12)),
        ((slice(3, 4), slice(5, 6)), 0.0),
    ],
)
def test_extent_by_hand(shape: tuple[slice, slice], expected: float) -> None:
    """A whole image, a quarter, a row and one pixel have the rms radius of a square, half of it, a line and a point."""
    weights = torch.zeros(3, 32, 32)
    weights[:, shape[0], shape[1]] = -2.0
    assert extent(weights).item() == pytest.approx(expected, rel=3e-3)


def test_extent_tells_a_patch_from_as_many_pixels_strewn_about() -> None:
    """45 pixels are as few wherever they lie, so that their share of the image is no measure of how local they are."""
    patch, strewn = torch.zeros(3, 32, 32), torch.zeros(3, 32, 32)
    patch[:, 12:17, 10:19] = 1.0
    strewn.flatten(1)[:, torch.randperm(1024, generator=stream(1))[:45]] = 1.0
    assert participation_ratio(patch) == participation_ratio(strewn)
    assert extent(patch) < 0.1
    assert extent(strewn) > 0.35


def test_extent_of_nothing_is_no_number() -> None:
    """A unit without weights reaches nowhere; a shift within the image changes nothing."""
    assert extent(torch.zeros(2, 3, 8, 8)).isnan().all()
    weights = torch.zeros(3, 32, 32)
    weights[:, 2:6, 2:9] = random_units(1, (3, 4, 7), stream(2))[0]
    assert extent(weights.roll((11, 13), (1, 2))).item() == pytest.approx(extent(weights).item())
