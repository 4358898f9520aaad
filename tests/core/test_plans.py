"""Plans and sizes: which networks the tutorial trains, how large they are, and the gains that theory asks for."""

import json
import math

import numpy as np
import pytest
from torch import nn

from mlp_core.plans import depth_sweep_plans, gain_sweep_plans, images_plan, polynomial_plan, theoretical_gain
from mlp_core.settings import ACTIVATION_NAMES, GainSweep
from mlp_core.sizes import hidden_width, monomial_count, parameter_count

TRAINING = {"optimizer": "adam", "learning_rate": 1e-3, "epochs": 100, "batch_size": 128, "seed": 2021, "device": "cpu"}


def gain_plans(gains, activation="leaky_relu(0.1)", distribution="normal"):
    return gain_sweep_plans(gains, distribution, [128, 64, 32], 3072, 3, **TRAINING, activation=activation)


def test_depths_have_the_tutorials_widths_and_counts():
    """Depths 1 to 5 at a budget of 100: widths 14, 7, 6, 5, 4 and 102, 109, 130, 129, 112 parameters."""
    plans = depth_sweep_plans([1, 2, 3, 4, 5], 100, 4, **TRAINING, activation="relu")
    assert [plan.layer_sizes for plan in plans] == [
        (2, 14, 4),
        (2, 7, 7, 4),
        (2, 6, 6, 6, 4),
        (2, 5, 5, 5, 5, 4),
        (2, 4, 4, 4, 4, 4, 4),
    ]
    columns = [dict(plan.columns) for plan in plans]
    assert [row["width"] for row in columns] == [14, 7, 6, 5, 4]
    assert [row["parameters"] for row in columns] == [102, 109, 130, 129, 112]
    assert [row["depth"] for row in columns] == [1, 2, 3, 4, 5]
    assert plans[2].configuration == "depth=3 width=6"
    assert {(plan.scheme, plan.batches, plan.activation) for plan in plans} == {("pytorch", "private", "relu")}


@pytest.mark.parametrize("depth", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("budget", [1, 5, 100, 101, 4567, 1_000_000])
@pytest.mark.parametrize(("n_inputs", "n_outputs"), [(2, 4), (2, 2), (30, 9)])
def test_the_width_is_the_smallest_that_reaches_the_budget(depth, budget, n_inputs, n_outputs):
    """Counting up from width 1, as the tutorial does, stops at the same width."""

    def count(width):
        return parameter_count([n_inputs, *[width] * depth, n_outputs])

    width = hidden_width(depth, n_inputs=n_inputs, n_outputs=n_outputs, min_parameters=budget)
    assert width >= 1
    assert count(width) >= budget
    assert width == 1 or count(width - 1) < budget


@pytest.mark.parametrize("name", ["depth", "n_inputs", "n_outputs", "min_parameters"])
def test_sizes_below_one_are_refused(name):
    """The message names all four values."""
    sizes = {"depth": 2, "n_inputs": 3, "n_outputs": 4, "min_parameters": 5} | {name: 0}
    with pytest.raises(ValueError, match=r"at least 1, got \(") as caught:
        hidden_width(sizes.pop("depth"), **sizes)
    assert "0" in str(caught.value)


def test_the_polynomial_is_one_layer_on_1325_features():
    """Degree 50 and four arms make a single layer of 5304 parameters that all members train on shared batches."""
    plan = polynomial_plan(50, 4, **TRAINING)
    assert plan.layer_sizes == (1325, 4)
    assert parameter_count(plan.layer_sizes) == 5304
    assert dict(plan.columns) == {"degree": 50, "features": 1325}
    assert (plan.scheme, plan.batches) == ("pytorch", "shared")
    assert [monomial_count(degree) for degree in (1, 2, 50)] == [2, 5, 1325]


def test_the_images_network_is_the_tutorials():
    """3072-64-64-64-3, augmented; without hidden layers it is linear and says so."""
    plan = images_plan([64, 64, 64], 3072, 3, **TRAINING, activation="relu")
    assert plan.layer_sizes == (3072, 64, 64, 64, 3)
    assert dict(plan.columns) == {"activation": "relu", "hidden_widths": "64-64-64", "parameters": 205_187}
    assert (plan.configuration, plan.scheme, plan.batches) == ("hidden=64-64-64", "pytorch", "augmented")
    assert images_plan([], 3072, 3, **TRAINING, activation="relu").configuration == "hidden=none"


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_the_gain_sweep_is_the_tutorials(distribution):
    """Ten networks 3072-128-64-32-3 that differ in their gain alone, the theoretical one beside it."""
    gains = GainSweep().gains
    plans = gain_plans(gains, distribution=distribution)
    assert [plan.gains for plan in plans] == [(dict(plan.columns)["gain"],) for plan in plans] == [(g,) for g in gains]
    assert {plan.layer_sizes for plan in plans} == {(3072, 128, 64, 32, 3)}
    assert {plan.scheme for plan in plans} == {f"xavier_{distribution}"}
    assert {round(dict(plan.columns)["theoretical_gain"], 3) for plan in plans} == {1.407}


@pytest.mark.parametrize("gains", [GainSweep().gains, (1.0, 1.00001), (1e-7, 1e6)])
def test_configurations_of_a_sweep_have_names_of_their_own(gains):
    """Different gains are different configurations, so that their losses can be told apart."""
    names = [plan.configuration for plan in gain_plans(gains)]
    assert len(set(names)) == len(gains)


def test_a_plan_does_not_depend_on_the_other_gains():
    """Ten gains after nine: the nine plans are equal to those before, so that the cache knows them."""
    gains = (*GainSweep().gains, 1.00001, 1.0)
    assert [gain_plans([gain])[0] for gain in gains] == gain_plans(gains)


def test_a_plan_is_plain_data():
    """Its settings survive JSON and hold every field; it can be a key, and nobody changes it."""
    plan = gain_plans([1.4])[0]
    settings = json.loads(json.dumps(plan.settings()))
    assert settings["gains"] == [1.4]
    assert settings["layer_sizes"] == [3072, 128, 64, 32, 3]
    assert set(settings) == set(plan.__dataclass_fields__)
    assert {plan: 1}[gain_plans([1.4])[0]] == 1
    with pytest.raises(AttributeError, match="cannot assign"):
        plan.gains = (2.0,)


def expectation(function):
    """Return E[f(z)^2] for z standard normal, by Gauss and Hermite."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    return float(weights @ np.array([function(z) ** 2 for z in nodes]) / math.sqrt(2 * math.pi))


CLOSED_FORMS = {
    "relu": 1 / 2,
    "leaky_relu(0.0)": 1 / 2,
    "leaky_relu(0.1)": (1 + 0.1**2) / 2,
    "leaky_relu(0.5)": (1 + 0.5**2) / 2,
    "erf": 2 / math.pi * math.asin(2 / 3),
    "gelu": 1 / 3 + 1 / (2 * math.pi * math.sqrt(3)),
    "selu": 1.0,  # its constants were made for this
    "tanh": expectation(math.tanh),
    "sigmoid": expectation(lambda z: 1 / (1 + math.exp(-z))),
}


@pytest.mark.parametrize(("activation", "moment"), CLOSED_FORMS.items())
def test_theoretical_gains_keep_the_second_moment(activation, moment):
    """gain^2 E[f(z)^2] is 1 for every activation, by closed form or, for two of them, by another quadrature."""
    assert theoretical_gain(activation) ** 2 * moment == pytest.approx(1, rel=1e-9)


def test_every_activation_offered_has_a_theoretical_gain():
    """The table above leaves none out."""
    assert {name.split("(")[0] for name in ACTIVATION_NAMES} == {name.split("(")[0] for name in CLOSED_FORMS}


@pytest.mark.parametrize(
    ("activation", "arguments"),
    [("relu", ["relu"]), ("leaky_relu(0.1)", ["leaky_relu", 0.1]), ("leaky_relu(0.01)", ["leaky_relu"])],
)
def test_gains_of_the_relu_family_are_pytorchs(activation, arguments):
    """Here PyTorch's `calculate_gain` follows the same rule; its tanh 5/3 and selu 3/4 are rules of thumb."""
    assert theoretical_gain(activation) == pytest.approx(nn.init.calculate_gain(*arguments), rel=1e-12)


def test_small_slopes_have_a_theoretical_gain():
    """A slope that Python writes with an exponent is a slope too."""
    assert theoretical_gain("leaky_relu(1e-05)") == pytest.approx(math.sqrt(2), rel=1e-9)
