"""Spirals and their split, compared with the tutorial's formulas written out again."""

import math

import pytest
import torch

from mlp_core.data.datasets import spirals, split


def tutorial_spirals(seed, arms=4, points=1000, sigma=0.4):
    """Return points, labels and shuffled order as the tutorial draws them, from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        t = torch.linspace(0, 1, points)
        coordinates = []
        for k in range(arms):
            phase = 2 * math.pi / arms * (2 * t + k)
            x1 = t * (torch.sin(phase) + sigma**2 * torch.randn(points))
            x2 = t * (torch.cos(phase) + sigma**2 * torch.randn(points))
            coordinates.append(torch.stack([x1, x2], 1))
        torch.manual_seed(seed)
        order = torch.randperm(arms * points)
    return torch.cat(coordinates), torch.arange(arms).repeat_interleave(points), order


@pytest.mark.parametrize("seed", [2021, 7])
def test_spirals_are_the_tutorials_bit_for_bit(seed):
    """Not one bit differs between our points and the tutorial's with the same seed."""
    points, labels = spirals(seed)
    expected_points, expected_labels, _ = tutorial_spirals(seed)
    assert torch.equal(points, expected_points)
    assert torch.equal(labels, expected_labels)
    assert (points.dtype, labels.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize("seed", [2021, 7])
def test_the_split_is_the_tutorials_bit_for_bit(seed):
    """The first 800 of the tutorial's shuffled points are for the test, the other 3200 for training."""
    points, labels, order = tutorial_spirals(seed)
    parts = split(*spirals(seed), seed)
    assert torch.equal(parts.test_inputs, points[order[:800]])
    assert torch.equal(parts.test_labels, labels[order[:800]])
    assert torch.equal(parts.train_inputs, points[order[800:]])
    assert torch.equal(parts.train_labels, labels[order[800:]])


@pytest.mark.parametrize(("arms", "points", "sigma"), [(3, 50, 0.1), (2, 10, 1.0), (7, 33, 0.0)])
def test_other_spirals_follow_the_same_formula(arms, points, sigma):
    """Number of arms, points and noise enter as they do in the tutorial's formula."""
    expected = tutorial_spirals(5, arms, points, sigma)
    examples = spirals(5, arms=arms, points_per_arm=points, noise=sigma)
    assert torch.equal(examples[0], expected[0])
    assert torch.equal(examples[1], expected[1])


def test_without_noise_a_point_lies_t_from_the_origin():
    """The curves wind outwards from the origin to radius 1."""
    points, _ = spirals(0, arms=3, points_per_arm=101, noise=0.0)
    torch.testing.assert_close(points.norm(dim=1), torch.linspace(0, 1, 101).repeat(3), rtol=1e-6, atol=0)


def test_the_noise_at_the_rim_is_sigma_squared():
    """With sigma 0.4 the standard deviation around the curve is 0.16 t, not 0.4 t."""
    noisy, _ = spirals(1, points_per_arm=20_000)
    smooth, _ = spirals(1, points_per_arm=20_000, noise=0.0)
    t = torch.linspace(0, 1, 20_000).repeat(4).unsqueeze(1)
    deviation = ((noisy - smooth)[t[:, 0] > 0.1] / t[t[:, 0] > 0.1]).std().item()
    assert deviation == pytest.approx(0.16, rel=0.01)


def test_a_split_holds_each_example_once():
    """Nothing is lost, doubled or moved to another label; the test part is rounded down."""
    inputs, labels = torch.arange(13.0).unsqueeze(1), torch.arange(13)
    parts = split(inputs, labels, 3)
    assert (len(parts.test_labels), len(parts.train_labels)) == (2, 11)
    assert sorted([*parts.test_labels.tolist(), *parts.train_labels.tolist()]) == list(range(13))
    assert torch.equal(parts.train_inputs[:, 0].long(), parts.train_labels)
    assert torch.equal(parts.test_inputs[:, 0].long(), parts.test_labels)


def test_the_global_generator_is_left_alone():
    """Drawing and splitting neither read nor advance PyTorch's global generator."""
    before = torch.get_rng_state()
    split(*spirals(2021))
    assert torch.equal(torch.get_rng_state(), before)
