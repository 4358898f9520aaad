"""Continued spirals, accuracy by radius, nearest neighbours, and islands on maps drawn by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from mlp_core.data.datasets import spirals
from mlp_core.experiments.generalization.regions import accuracy_by_radius, decision_islands, nearest_neighbour


def curve(t, arm, arms=4):
    """Return the tutorial's curve of one arm."""
    angle = 2 * math.pi / arms * (2 * t + arm)
    return torch.stack([t * torch.sin(angle), t * torch.cos(angle)], 1)


@pytest.mark.parametrize("arms", [3, 4])
def test_continued_spirals_are_the_tutorials_curves_and_go_on(arms):
    """Up to t = 1 the clean continued arms run through the points of those that end there, and then along the curve."""
    clean, labels = spirals(noise=0.0, arms=arms, t_max=2.0, points_per_arm=1999)
    ended, _ = spirals(noise=0.0, arms=arms)
    by_arm = clean.view(arms, 1999, 2)
    torch.testing.assert_close(by_arm[:, :1000], ended.view(arms, 1000, 2), rtol=0, atol=1e-6)
    for arm in range(arms):
        torch.testing.assert_close(by_arm[arm], curve(torch.linspace(0, 2, 1999), arm, arms), rtol=0, atol=1e-6)
    assert torch.equal(labels, torch.arange(arms).repeat_interleave(1999))


def test_noise_goes_on_as_in_training():
    """Beyond t = 1 the noise is still 0.16 t in each coordinate."""
    noisy, clean = (spirals(1, t_max=2.0, points_per_arm=20_000, noise=noise)[0] for noise in (0.4, 0.0))
    t = torch.linspace(0, 2, 20_000).repeat(4).unsqueeze(1)
    deviation = ((noisy - clean)[t[:, 0] > 1] / t[t[:, 0] > 1]).std().item()
    assert deviation == pytest.approx(0.16, rel=0.01)


def test_clean_arms_stay_apart():
    """From t = 1 to 2 the nearest other arm is nearly half a unit away, and no less the further out."""
    clean, labels = spirals(noise=0.0, t_max=3.0, points_per_arm=3000)
    here = (labels == 0) & (clean.norm(dim=1) >= 1) & (clean.norm(dim=1) <= 2)
    distances, _ = KDTree(clean[labels != 0].numpy()).query(clean[here].numpy())
    assert (distances[0], distances[-1]) == pytest.approx((0.46, 0.49), abs=0.005)
    assert (np.diff(distances) > -1e-4).all()


def test_noisy_arms_merge():
    """The nearest curve is the point's own 9 times in 10 near t = 1, and 6 times in 10 near t = 2."""
    clean, labels = spirals(noise=0.0, t_max=3.5, points_per_arm=2000)
    points, own = spirals(1, t_max=2.0, points_per_arm=4000)
    right = nearest_neighbour(points, clean, labels) == own
    t = torch.linspace(0, 2, 4000).repeat(4)
    assert right[(t > 0.75) & (t < 1)].double().mean().item() == pytest.approx(0.9, abs=0.02)
    assert right[t > 1.75].double().mean().item() == pytest.approx(0.6, abs=0.02)


def test_answers_carried_straight_outwards_are_wrong_beyond_a_quarter():
    """Who answers outside as at the end of the arm is right to radius 1.25, and nowhere from there to 2."""
    points, labels = spirals(noise=0.0, t_max=2.0)
    ends, end_labels = spirals(noise=0.0, points_per_arm=2)  # the origin and the end, four times
    at_rim = points / points.norm(dim=1, keepdim=True).clamp_min(1e-9)
    carried = nearest_neighbour(at_rim, ends[1::2], end_labels[1::2])
    bands = accuracy_by_radius(carried.unsqueeze(0), labels, points, [1.0, 1.2499, 1.2501, 2.01])
    assert bands.accuracy[0, [0, 2]].tolist() == [1.0, 0.0]


def test_accuracy_in_rings_by_hand():
    """Each ring counts its own points: the outer radius belongs to it, the innermost point to the first."""
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, -1.5], [3.0, 0.0], [-2.0, 0.0]])
    labels = torch.tensor([0, 1, 2, 3, 0])
    predictions = torch.tensor([[0, 0, 2, 3, 1], [1, 1, 2, 3, 0]])
    rings = accuracy_by_radius(predictions, labels, points, [0.0, 1.0, 2.0, 2.5])
    assert rings.low.tolist() == [0.0, 1.0, 2.0]
    assert rings.high.tolist() == [1.0, 2.0, 2.5]
    assert rings.n.tolist() == [2, 2, 0]
    assert rings.accuracy[:, :2].tolist() == [[0.5, 0.5], [0.5, 1.0]]
    assert rings.accuracy[:, 2].isnan().all()


def test_inside_and_outside_are_two_rings():
    """With an infinite last edge no point is left out, and the two shares make up the whole."""
    points, labels = spirals(3)
    predictions = (points[:, 0] > 0).long().unsqueeze(0)
    rings = accuracy_by_radius(predictions, labels, points, [0.0, 0.5, math.inf])
    assert rings.n.sum() == len(points)
    whole = (rings.accuracy * rings.n).sum() / len(points)
    assert whole.item() == pytest.approx((predictions[0] == labels).double().mean().item())


@pytest.mark.parametrize("edges", [[1.0], [0.0, 1.0, 1.0], [1.0, 0.0]])
def test_edges_must_rise(edges):
    """A ring without width is refused, with the edges in the message."""
    with pytest.raises(ValueError, match=r"edges must be at least two rising radii, got \["):
        accuracy_by_radius(torch.zeros(1, 1), torch.zeros(1), torch.zeros(1, 2), edges)


def test_nearest_neighbours_are_those_of_all_distances():
    """The tree finds what comparing every distance finds."""
    train_inputs, train_labels = spirals(1, points_per_arm=100)
    points = 2 * torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    expected = ((points[:, None] - train_inputs) ** 2).sum(2).argmin(1)
    assert torch.equal(nearest_neighbour(points, train_inputs, train_labels), train_labels[expected])


def drawn(*lines):
    """Return a map from lines of digits, the highest x2 first, as one draws it."""
    return np.array([[int(digit) for digit in line] for line in lines])[::-1]


def at(*places):
    """Return training points at (column, row from below) of a map whose pixels are 1 apart and whose side is 6."""
    return torch.tensor(places, dtype=torch.float32).view(-1, 2) - 3.0


MAP = drawn(
    "0000011",
    "0100011",
    "0111000",
    "0000010",
    "0000000",
    "2000111",
    "2200111",
)
GROUND = [(0, 3), (0, 0)]  # a point on the 0s, and one on the 2s
LABELS = [0, 2]


def islands(points, labels, classes=MAP, min_pixels=2):
    return decision_islands(classes, 3.0, at(*points), torch.tensor(labels), min_pixels)


def test_regions_without_own_examples_are_islands():
    """The three large patches of 1 are islands; two of them reach the edge. The single pixel is speckle."""
    regions = islands(GROUND, LABELS)
    assert regions.classes.tolist() == [1, 1, 1]
    assert regions.areas.tolist() == [6.0, 4.0, 4.0]
    assert regions.enclosed == (1, 4.0)
    assert regions.cut == (2, 10.0)


@pytest.mark.parametrize("turns", range(4))
def test_any_edge_cuts(turns):
    """An island at the left, the right, the upper or the lower edge of the map is cut."""
    turned = np.rot90(drawn("00000", "00000", "11000", "00000", "00000"), turns)
    regions = decision_islands(turned, 2.0, torch.tensor([[-2.0, -2.0]]), torch.tensor([0]), min_pixels=2)
    assert (regions.enclosed, regions.cut) == ((0, 0.0), (1, 2.0))


def test_speckle_counts_if_asked_to():
    """Without a least size the single pixel is an island too: all of it lies on the map."""
    assert islands(GROUND, LABELS, min_pixels=1).enclosed == (2, 5.0)


def test_one_example_makes_a_region_more_than_an_island():
    """A training point of class 1 in the patch on the right below takes it from the islands, and no other patch."""
    regions = islands([*GROUND, (5, 1)], [*LABELS, 1])
    assert regions.areas.tolist() == [4.0, 4.0]
    assert islands([*GROUND, (5.4, 0.6)], [*LABELS, 1]).areas.tolist() == [4.0, 4.0]  # the nearest pixel counts


def test_an_example_of_another_class_does_not():
    """A misclassified training point speaks against a region, not for it; nor does one off the map."""
    assert len(islands([*GROUND, (5, 1)], [*LABELS, 0]).areas) == 3
    assert len(islands([*GROUND, (9, 1), (5, -4)], [*LABELS, 1, 1]).areas) == 3


def test_all_classes_can_have_islands():
    """Without its point the 2 in the corner is an island as well, and without any point the ground is."""
    assert islands([(0, 3)], [0]).classes.tolist() == [1, 1, 1, 2]
    assert islands([], []).areas.tolist() == [MAP.size - 18.0, 6.0, 4.0, 4.0, 3.0]


def test_a_slanting_line_is_one_region():
    """Pixels that touch at a corner belong together, so that a thin band is one island and not many."""
    regions = islands([(0, 0)], [0], np.eye(7, dtype=int)[::-1])
    assert regions.areas.tolist() == [7.0]


def test_areas_are_in_units_of_the_axes():
    """A disc of radius 0.5 has the area pi / 4 on a fine map."""
    axis = np.linspace(-2, 2, 401)
    disc = (np.hypot(axis[:, None] - 1, axis) < 0.5).astype(int)
    regions = decision_islands(disc, 2.0, torch.tensor([[-1.0, -1.0]]), torch.tensor([0]))
    assert regions.enclosed == (1, pytest.approx(math.pi / 4, rel=0.01))
    row_is_x2 = decision_islands(disc, 2.0, torch.tensor([[-1.0, -1.0], [0.0, 1.0]]), torch.tensor([0, 1]))
    assert len(row_is_x2.areas) == 0


def test_a_map_must_be_square():
    """Another shape is refused, and named."""
    with pytest.raises(ValueError, match=r"square map, got shape \(3, 4\)"):
        decision_islands(np.zeros((3, 4), dtype=int), 2.0, torch.zeros(0, 2), torch.zeros(0))
