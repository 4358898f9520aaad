"""Models with known answers, asked outside their training region."""

import math

import pytest
import torch

from mlp_core.data.datasets import spirals, split
from mlp_core.data.points import drawn_points, ruled_points
from mlp_core.experiments.generalization.extrapolation import extrapolate, training_radius
from mlp_core.experiments.generalization.regions import nearest_neighbour


@pytest.fixture(scope="module")
def data():
    """Give the tutorial's spirals."""
    return split(*spirals(2021))


def true_class(points, arms=4):
    """Return the arm on whose clean curve a point at its radius would lie: the perfect answer."""
    angle = torch.atan2(points[:, 0], points[:, 1]) - 2 * math.pi / arms * 2 * points.norm(dim=1)
    return (angle / (2 * math.pi / arms)).round().long() % arms


def test_who_knows_the_curve_is_right_everywhere(data):
    """The perfect answer is right everywhere; in the map's corners, cut off, the arms turn back into view."""
    extrapolation = extrapolate(lambda points: true_class(points).unsqueeze(0), data)
    assert extrapolation.inside_accuracy.item() == pytest.approx(1, abs=2e-3)  # at the origin all arms are one point
    assert (extrapolation.rim_accuracy.item(), extrapolation.outside_accuracy.item()) == (1, 1)
    assert extrapolation.ring_accuracy[0, 1:].tolist() == [1] * 19
    assert (extrapolation.islands.item(), extrapolation.border_islands.item()) == (0, 4)


def test_the_nearest_neighbour_is_right_inside_alone(data):
    """Memory has accuracy near 1 where it was, and 0 outside, where the arms have turned on."""
    nearest = lambda points: nearest_neighbour(points, data.train_inputs, data.train_labels).unsqueeze(0)  # noqa: E731
    extrapolation = extrapolate(nearest, data)
    assert extrapolation.inside_accuracy.item() > 0.98
    assert extrapolation.outside_accuracy.item() == 0
    assert 0.3 < extrapolation.rim_accuracy.item() < 0.45
    assert (extrapolation.islands + extrapolation.border_islands).item() == 0


def test_a_constant_answer_is_chance(data):
    """Every region and ring has all arms alike, so that one class is right for a quarter of its points."""
    extrapolation = extrapolate(lambda points: torch.full((2, len(points)), 3), data)
    for accuracy in (
        extrapolation.inside_accuracy,
        extrapolation.rim_accuracy,
        extrapolation.outside_accuracy,
        *extrapolation.ring_accuracy.T,
    ):
        assert accuracy.tolist() == pytest.approx([0.25, 0.25])
    assert extrapolation.ring_accuracy.shape == (2, 20)


def test_an_island_is_found_with_its_area(data):
    """A disc of class 0 far from its points, and a corner of class 1, are one island and one at the border."""

    def answer(points):
        classes = torch.full((len(points),), 2)
        classes[(points - torch.tensor([-1.5, 0.0])).norm(dim=1) < 0.25] = 0
        classes[(points > 1.6).all(1)] = 1
        return classes.unsqueeze(0)

    extrapolation = extrapolate(answer, data)
    assert (extrapolation.islands.item(), extrapolation.border_islands.item()) == (1, 1)
    assert extrapolation.island_area.item() == pytest.approx(math.pi / 16, rel=0.05)
    assert extrapolation.border_island_area.item() == pytest.approx(0.16, rel=0.05)


def test_without_noise_there_is_no_rim():
    """Where training points end with the arms the rim holds nothing, and outside begins there."""
    clean = split(*spirals(2021, noise=0.0))
    assert training_radius(clean) <= 1.000001
    extrapolation = extrapolate(lambda points: torch.zeros(1, len(points), dtype=torch.int64), clean)
    assert math.isnan(extrapolation.rim_accuracy.item()) or extrapolation.rim_accuracy.item() == pytest.approx(0.25)
    assert extrapolation.outside_accuracy.item() == pytest.approx(0.25)


def test_with_much_noise_there_is_no_outside():
    """Where training points lie everywhere on the arms continued, nothing is outside."""
    noisy = split(*spirals(2021, noise=2.0))
    extrapolation = extrapolate(lambda points: torch.zeros(1, len(points), dtype=torch.int64), noisy)
    assert training_radius(noisy) > 2
    assert math.isnan(extrapolation.outside_accuracy.item())
    assert extrapolation.rim_accuracy.item() == pytest.approx(0.25)


def drawn_rule(kind, points, classes):
    """Return the class of each point by the rule in the words of the documents."""
    x, y = points.T
    if kind == "circles":
        return ((x**2 + y**2).sqrt() < 0.75).long()
    if kind == "xor":
        return (torch.sign(x) != torch.sign(y)).long()
    return (torch.atan2(x, y) / (2 * math.pi / classes)).round().long() % classes


@pytest.mark.parametrize(("kind", "classes"), [("circles", 2), ("xor", 2), ("gauss", 3), ("gauss", 5)])
def test_who_knows_the_rule_of_other_points_is_right_everywhere(kind, classes):
    """Inside, at the rim, outside and in every ring; who answers one class is not."""
    data = drawn_points(kind, 2021, classes=classes, points=500, noise=0.3)
    perfect = extrapolate(lambda points: drawn_rule(kind, points, classes).unsqueeze(0), data, kind)
    assert perfect.inside_accuracy.item() == perfect.rim_accuracy.item() == perfect.outside_accuracy.item() == 1
    assert perfect.ring_accuracy.tolist() == [[1.0] * 20]
    constant = extrapolate(lambda points: torch.zeros(1, len(points), dtype=torch.int64), data, kind)
    share = 1.0 if kind == "circles" else 1 / classes  # all that lies outside is nearer to the outer circle
    assert constant.outside_accuracy.item() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("kind", ["circles", "gauss", "xor"])
def test_the_rule_is_what_the_drawn_points_follow(kind):
    """With little noise every training point has the class that the rule gives it."""
    data = drawn_points(kind, 2021, classes=4 if kind == "gauss" else 2, points=500, noise=0.0)
    right = drawn_rule(kind, data.train_inputs.double(), 4) == data.train_labels
    assert right.all()


def test_moons_have_no_rule_beyond_their_ends():
    """Which class a point there has nobody knows."""
    with pytest.raises(ValueError, match="kind must be one of circles, gauss, xor, got 'moons'"):
        ruled_points("moons", 2, 10, 2.0)
