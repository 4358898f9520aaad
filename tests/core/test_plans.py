"""Plans and sizes: which networks the tutorial trains, how large they are, and the gains that theory asks for."""

import json

import pytest
from mlp_core.engine.plans import (
    depth_sweep_plans,
    explanation_plans,
    features_plans,
    gain_sweep_plans,
    generalization_plans,
    images_plan,
    phase_plans,
    polynomial_plan,
    signal_plans,
)

from mlp_core.data.sizes import monomial_count
from mlp_core.engine.sizes import hidden_width, parameter_count
from mlp_core.experiments.gain_sweep.experiment import GainSweep
from mlp_core.theory.weight_scales import xavier_scale

TRAINING = {"optimizer": "adam", "learning_rate": 1e-3, "epochs": 100, "batch_size": 128, "seed": 2021, "device": "cpu"}


def gain_plans(gains, activation="leaky_relu(0.1)", distribution="normal"):
    return gain_sweep_plans(gains, distribution, [128, 64, 32], 3072, 3, 1.407, **TRAINING, activation=activation)


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
    assert {dict(plan.columns)["theoretical_gain"] for plan in plans} == {1.407}


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


def explained(gains, longer_epochs=200):
    return explanation_plans([1, 5], 100, 4, gains, longer_epochs, **TRAINING, activation="relu")


def test_interventions_are_activations_by_starts_by_depths_and_longer_training():
    """Two activations, three starts, two depths; and the default once more for longer."""
    shown = [
        dict(plan.columns) | {"epochs": plan.epochs} for plan in explained({"relu": 1.414, "tanh": 1.593}).values()
    ]
    starts = ["pytorch", "xavier", "xavier at the theoretical gain"]
    expected = [(name, start, depth, 100) for name in ("relu", "tanh") for start in starts for depth in (1, 5)]
    expected += [("relu", "pytorch", 1, 200), ("relu", "pytorch", 5, 200)]
    assert [(row["activation"], row["initialization"], row["depth"], row["epochs"]) for row in shown] == expected


def test_the_depth_sweeps_own_plans_are_among_the_interventions():
    """What the depth sweep trains is the same plan, so that nothing is trained twice; the others have other names."""
    own = depth_sweep_plans([1, 5], 100, 4, **TRAINING, activation="relu")
    plans = explained({"relu": 1.414, "tanh": 1.593})
    assert set(own) <= set(plans)
    names = [plan.configuration for plan in plans]
    assert len(set(names)) == len(names) == 14


def test_interventions_share_the_depth_sweeps_seeds_and_the_gains_are_as_said():
    """All are trained as the depth sweep's, from uniform weights at gain 1 or at the theoretical gain."""
    plans = explained({"relu": 1.414, "tanh": 1.593})
    assert {plan.experiment for plan in plans} == {"depth_sweep"}
    assert {plan.experiment for plan in plans.values()} == {"explain"}
    found = {(plan.activation, plan.scheme, plan.gains) for plan in plans}
    assert found == {
        *((name, "pytorch", (1.0,)) for name in ("relu", "tanh")),
        *((name, "xavier_uniform", (1.0,)) for name in ("relu", "tanh")),
        ("relu", "xavier_uniform", (1.414,)),
        ("tanh", "xavier_uniform", (1.593,)),
    }
    assert all(plan.layer_sizes == shown.layer_sizes for plan, shown in plans.items())


def test_as_many_epochs_are_no_longer_training():
    """Asked for as many epochs as the depth sweep has, the longer training is left out."""
    assert len(explained({"relu": 1.414}, longer_epochs=100)) == 6


def test_generalization_takes_the_plans_of_other_experiments():
    """Degree 50 is the polynomial's plan and a budget of 100 the depth sweep's; all are shown as generalization."""
    plans = generalization_plans([1, 50], [1, 3], [100, 5304], 4, **TRAINING, activation="relu")
    assert polynomial_plan(50, 4, **TRAINING) in plans
    assert set(depth_sweep_plans([1, 3], 100, 4, **TRAINING, activation="relu")) <= set(plans)
    assert {plan.experiment for plan in plans.values()} == {"generalization"}
    parameters = [dict(plan.columns)["parameters"] for plan in plans.values()]
    assert parameters == [parameter_count(plan.layer_sizes) for plan in plans] == [12, 5304, 102, 130, 5310, 5454]


def test_features_takes_the_images_plan():
    """Three layers of 64 are the plan that `images` trains by default."""
    plans = features_plans([1, 3], 64, 3072, 3, **TRAINING, activation="relu")
    assert images_plan([64, 64, 64], 3072, 3, **TRAINING, activation="relu") in plans
    assert [dict(plan.columns) for plan in plans.values()] == [{"depth": 1, "width": 64}, {"depth": 3, "width": 64}]


def test_a_phase_plan_holds_all_gains_of_its_depth():
    """One ensemble per depth, Xavier's normal weights, and the member's own gain as two columns of the table."""
    plans = phase_plans([2, 5], [0.5, 1.0, 2.0], 16, 3072, 3, **TRAINING, activation="tanh")
    assert [plan.layer_sizes for plan in plans] == [(3072, 16, 16, 3), (3072, *[16] * 5, 3)]
    assert {plan.gains for plan in plans} == {(0.5, 1.0, 2.0)}
    assert {(plan.scheme, plan.batches, plan.gain_columns) for plan in plans} == {
        ("xavier_normal", "shared", ("gain", "sigma_w"))
    }
    assert [dict(plan.columns)["parameters"] for plan in plans] == [parameter_count(plan.layer_sizes) for plan in plans]


def test_the_gain_of_a_phase_is_sigma_w_between_its_hidden_layers():
    """What the second gain column says holds: with equal widths Xavier's gain is the theory's sigma_w."""
    (plan,) = phase_plans([4], [1.3], 16, 3072, 3, **TRAINING, activation="tanh")
    forward = xavier_scale(plan.layer_sizes, plan.gains[0]).forward
    assert forward[1:-1] == pytest.approx([1.3**2] * 3)
    assert forward[0] != pytest.approx(1.3**2)


def test_signal_plans_are_gains_by_kinds_of_input():
    """Gaussian inputs are as wide as the layers, photographs as they are; gains are multiples of the critical one."""
    networks = {"activation": "tanh", "distribution": "normal", "sigma_b": 0.3, "seed": 1}
    plans = signal_plans([0.5, 2.0], 1.4, width=10, layers=3, n_pixels=3072, **networks)
    assert [(plan.inputs, plan.gain, plan.layer_sizes) for plan in plans] == [
        ("gaussian", 0.7, (10, 10, 10, 10)),
        ("gaussian", 2.8, (10, 10, 10, 10)),
        ("photographs", 0.7, (3072, 10, 10, 10)),
        ("photographs", 2.8, (3072, 10, 10, 10)),
    ]
