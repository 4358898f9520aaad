"""Configurations and sizes: which networks the tutorial trains, and how large they are."""

import json
from dataclasses import replace

import pytest

from mlp_core.data.sizes import monomial_count
from mlp_core.data.transforms import Subset
from mlp_core.engine.architecture import hidden_width, parameter_count
from mlp_core.engine.configs import Training
from mlp_core.experiments.ablation.experiment import ablation_trials
from mlp_core.experiments.depth_sweep.experiment import depth_sweep_trials
from mlp_core.experiments.first_layer.experiment import first_layer_trials
from mlp_core.experiments.gain_sweep.experiment import GainSweep, gain_sweep_trials
from mlp_core.experiments.generalization.experiment import generalization_trials
from mlp_core.experiments.images.experiment import images_trial
from mlp_core.experiments.phase_diagram.experiment import phase_diagram_trials
from mlp_core.experiments.polynomial.experiment import polynomial_trial
from mlp_core.experiments.signal_propagation.experiment import signal_configs
from mlp_core.theory.weight_scales import xavier_scale

TRAINING = Training()
TANH = Training(activation="tanh")


def columns_of(trial):
    return {column.name: column.value for column in trial.labels.columns}


def gain_trials(gains, activation="leaky_relu(0.1)", distribution="normal"):
    training = Training(activation=activation)
    return gain_sweep_trials(gains, distribution, [128, 64, 32], 3072, 3, 1.407, training)


def test_depths_have_the_tutorials_widths_and_counts():
    """Depths 1 to 5 at a budget of 100: widths 14, 7, 6, 5, 4 and 102, 109, 130, 129, 112 parameters."""
    trials = depth_sweep_trials([1, 2, 3, 4, 5], 100, 4, TRAINING)
    configs = [trial.config for trial in trials]
    assert [config.layer_sizes for config in configs] == [
        (2, 14, 4),
        (2, 7, 7, 4),
        (2, 6, 6, 6, 4),
        (2, 5, 5, 5, 5, 4),
        (2, 4, 4, 4, 4, 4, 4),
    ]
    columns = [columns_of(trial) for trial in trials]
    assert [row["width"] for row in columns] == [14, 7, 6, 5, 4]
    assert [row["parameters"] for row in columns] == [102, 109, 130, 129, 112]
    assert [row["depth"] for row in columns] == [1, 2, 3, 4, 5]
    assert configs[2].name == "depth=3 width=6"
    assert {(config.scheme, config.batches, config.activation) for config in configs} == {
        ("pytorch", "per_seed_order", "relu")
    }


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
    trial = polynomial_trial(50, 4, TRAINING)
    assert trial.config.layer_sizes == (1325, 4)
    assert parameter_count(trial.config.layer_sizes) == 5304
    assert columns_of(trial) == {"degree": 50, "features": 1325}
    assert (trial.config.scheme, trial.config.batches) == ("pytorch", "shared_order")
    assert [monomial_count(degree) for degree in (1, 2, 50)] == [2, 5, 1325]


def test_the_images_network_is_the_tutorials():
    """3072-64-64-64-3, augmented; without hidden layers it is linear and says so."""
    trial = images_trial([64, 64, 64], 3072, 3, TRAINING)
    assert trial.config.layer_sizes == (3072, 64, 64, 64, 3)
    assert columns_of(trial) == {"activation": "relu", "hidden_widths": "64-64-64", "parameters": 205_187}
    assert (trial.config.name, trial.config.scheme, trial.config.batches) == (
        "hidden=64-64-64",
        "pytorch",
        "shared_augmented",
    )
    assert images_trial([], 3072, 3, TRAINING).config.name == "hidden=none"


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_the_gain_sweep_is_the_tutorials(distribution):
    """Ten networks 3072-128-64-32-3 that differ in their gain alone, the theoretical one in a column."""
    gains = GainSweep().gains
    trials = gain_trials(gains, distribution=distribution)
    assert [trial.config.gains for trial in trials] == [(columns_of(trial)["gain"],) for trial in trials]
    assert [trial.config.gains for trial in trials] == [(gain,) for gain in gains]
    assert {trial.config.layer_sizes for trial in trials} == {(3072, 128, 64, 32, 3)}
    assert {trial.config.scheme for trial in trials} == {f"xavier_{distribution}"}
    assert {columns_of(trial)["theoretical_gain"] for trial in trials} == {1.407}


@pytest.mark.parametrize("gains", [GainSweep().gains, (1.0, 1.00001), (1e-7, 1e6)])
def test_configurations_of_a_sweep_have_names_of_their_own(gains):
    """Different gains are different configurations, so that their losses can be told apart."""
    names = [trial.config.name for trial in gain_trials(gains)]
    assert len(set(names)) == len(gains)


def test_a_configuration_does_not_depend_on_the_other_gains():
    """Ten gains after nine: the nine are equal to those before, so that the cache knows them."""
    gains = (*GainSweep().gains, 1.00001, 1.0)
    assert [gain_trials([gain])[0] for gain in gains] == gain_trials(gains)


def test_a_configuration_is_plain_data():
    """Its settings survive JSON and hold every field but the name; it can be a key, and nobody changes it."""
    config = gain_trials([1.4])[0].config
    settings = json.loads(json.dumps(config.settings()))
    assert settings["gains"] == [1.4]
    assert settings["layer_sizes"] == [3072, 128, 64, 32, 3]
    assert set(settings) == set(config.__dataclass_fields__) - {"name"}
    assert {config: 1}[gain_trials([1.4])[0].config] == 1
    with pytest.raises(AttributeError, match="cannot assign"):
        config.gains = (2.0,)


def test_a_name_does_not_tell_configurations_apart():
    """It is for the eye alone: under another name the same networks are not trained again."""
    config = gain_trials([1.4])[0].config
    assert replace(config, name="another") == config
    assert replace(config, name="another").settings() == config.settings()


def test_members_are_seeds_by_gains():
    """With several gains, members of one round share a seed and have one gain each, in order."""
    (trial,) = phase_diagram_trials([2], [0.5, 1.0, 2.0], 16, 3072, 3, Subset(512, 2021, "phase"), TANH)
    replicates = [tuple(trial.config.replicate(member)) for member in range(5)]
    assert replicates == [(0, 0.5), (0, 1.0), (0, 2.0), (1, 0.5), (1, 1.0)]


def explained(gains, longer_epochs=200):
    return ablation_trials([1, 5], 100, 4, gains, longer_epochs, TRAINING)


def test_interventions_are_activations_by_starts_by_depths_and_longer_training():
    """Two activations, three starts, two depths; and the default once more for longer."""
    rows = [columns_of(trial) | {"epochs": trial.config.epochs} for trial in explained({"relu": 1.414, "tanh": 1.593})]
    starts = ["pytorch", "xavier", "xavier at the theoretical gain"]
    expected = [(name, start, depth, 100) for name in ("relu", "tanh") for start in starts for depth in (1, 5)]
    expected += [("relu", "pytorch", 1, 200), ("relu", "pytorch", 5, 200)]
    assert [(row["activation"], row["initialization"], row["depth"], row["epochs"]) for row in rows] == expected


def test_the_depth_sweeps_own_configurations_are_among_the_interventions():
    """What the depth sweep trains is the same, so that nothing is trained twice; the others have other names."""
    own = [trial.config for trial in depth_sweep_trials([1, 5], 100, 4, TRAINING)]
    configs = [trial.config for trial in explained({"relu": 1.414, "tanh": 1.593})]
    assert set(own) <= set(configs)
    names = [config.name for config in configs]
    assert len(set(names)) == len(names) == 14


def test_interventions_share_the_depth_sweeps_seeds_and_the_gains_are_as_said():
    """All are trained as the depth sweep's, from uniform weights at gain 1 or at the theoretical gain."""
    trials = explained({"relu": 1.414, "tanh": 1.593})
    configs = [trial.config for trial in trials]
    assert {config.seed_namespace for config in configs} == {"depth_sweep"}
    assert {trial.labels.experiment for trial in trials} == {"ablation"}
    assert {(config.activation, config.scheme, config.gains) for config in configs} == {
        *((name, "pytorch", (1.0,)) for name in ("relu", "tanh")),
        *((name, "xavier_uniform", (1.0,)) for name in ("relu", "tanh")),
        ("relu", "xavier_uniform", (1.414,)),
        ("tanh", "xavier_uniform", (1.593,)),
    }
    assert [columns_of(trial)["gain"] for trial in trials] == [
        None if trial.config.scheme == "pytorch" else trial.config.gains[0] for trial in trials
    ]


def test_as_many_epochs_are_no_longer_training():
    """Asked for as many epochs as the depth sweep has, the longer training is left out."""
    assert len(explained({"relu": 1.414}, longer_epochs=100)) == 6


def test_generalization_takes_the_configurations_of_other_experiments():
    """Degree 50 is the polynomial's and a budget of 100 the depth sweep's; all are shown as generalization."""
    trials = generalization_trials([1, 50], [1, 3], [100, 5304], 4, TRAINING)
    configs = [trial.config for trial in trials]
    assert polynomial_trial(50, 4, TRAINING).config in configs
    assert {trial.config for trial in depth_sweep_trials([1, 3], 100, 4, TRAINING)} <= set(configs)
    assert {trial.labels.experiment for trial in trials} == {"generalization"}
    parameters = [columns_of(trial)["parameters"] for trial in trials]
    assert parameters == [parameter_count(config.layer_sizes) for config in configs] == [12, 5304, 102, 130, 5310, 5454]


def test_the_polynomials_of_generalization_have_no_activation_of_their_own():
    """With another activation for the perceptrons they are still the polynomial's configuration."""
    trials = generalization_trials([50], [1], [100], 4, TANH)
    assert trials[0].config == polynomial_trial(50, 4, TRAINING).config


def test_features_takes_the_images_configuration():
    """Three layers of 64 are the configuration that `images` trains by default."""
    trials = first_layer_trials([1, 3], 64, 3072, 3, TRAINING)
    assert images_trial([64, 64, 64], 3072, 3, TRAINING).config in [trial.config for trial in trials]
    assert [columns_of(trial) for trial in trials] == [{"depth": 1, "width": 64}, {"depth": 3, "width": 64}]


def test_a_phase_trial_holds_all_gains_of_its_depth():
    """One ensemble per depth, Xavier's normal weights, and the member's own gain as two columns of the table."""
    trials = phase_diagram_trials([2, 5], [0.5, 1.0, 2.0], 16, 3072, 3, Subset(512, 2021, "phase"), TANH)
    configs = [trial.config for trial in trials]
    assert [config.layer_sizes for config in configs] == [(3072, 16, 16, 3), (3072, *[16] * 5, 3)]
    assert {config.gains for config in configs} == {(0.5, 1.0, 2.0)}
    assert {(config.scheme, config.batches) for config in configs} == {("xavier_normal", "shared_order")}
    assert {tuple(name for name, _ in trial.labels.gain_columns) for trial in trials} == {("gain", "sigma_w")}
    assert [columns_of(trial)["parameters"] for trial in trials] == [
        parameter_count(config.layer_sizes) for config in configs
    ]


def test_the_gain_of_a_phase_is_sigma_w_between_its_hidden_layers():
    """What the second gain column says holds: with equal widths Xavier's gain is the theory's sigma_w."""
    (trial,) = phase_diagram_trials([4], [1.3], 16, 3072, 3, Subset(512, 2021, "phase"), TANH)
    forward = xavier_scale(trial.config.layer_sizes, trial.config.gains[0]).forward
    assert forward[1:-1] == pytest.approx([1.3**2] * 3)
    assert forward[0] != pytest.approx(1.3**2)


def test_signal_configurations_are_gains_by_kinds_of_input():
    """Gaussian inputs are as wide as the layers, images as they are; gains are multiples of the critical one."""
    networks = {"activation": "tanh", "distribution": "normal", "sigma_b": 0.3, "seed": 1}
    configs = signal_configs([0.5, 2.0], 1.4, width=10, layers=3, n_pixels=3072, **networks)
    assert [(config.inputs, config.gain, config.layer_sizes) for config in configs] == [
        ("gaussian", 0.7, (10, 10, 10, 10)),
        ("gaussian", 2.8, (10, 10, 10, 10)),
        ("images", 0.7, (3072, 10, 10, 10)),
        ("images", 2.8, (3072, 10, 10, 10)),
    ]
