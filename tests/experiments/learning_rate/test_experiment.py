"""What the learning rates train, and what they share with other experiments."""

from dataclasses import replace

import pytest
from stored import computed

from mlp_core.errors import InputError
from mlp_core.experiments.ablation.experiment import Ablation
from mlp_core.experiments.catalog import experiment_in
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from mlp_core.experiments.interface import Data, Setup
from mlp_core.experiments.learning_rate.experiment import EXPERIMENT, LearningRate
from mlp_core.settings import validated

SPIRALS = Data(2, ("0", "1", "2", "3"), 3200, 800)


def configs(experiment, settings, *others):
    return {trial.config for trial in experiment.trials(Setup(settings, SPIRALS, others))}


def test_the_usual_rate_is_the_configuration_of_others():
    """From PyTorch's start the depth sweep's own, from Xavier's that of its ablation; no other is shared."""
    own = configs(EXPERIMENT, LearningRate())
    assert len(own) == 26
    (shared,) = own & configs(experiment_in("depth_sweep"), DepthSweep())
    assert (shared.layer_sizes, shared.scheme, shared.learning_rate) == ((2, 6, 6, 6, 4), "pytorch", 1e-3)
    explained = configs(
        experiment_in("ablation"), Ablation(ablation=True, ablation_activations=("relu",)), DepthSweep()
    )
    assert own & explained == {
        shared,
        *(config for config in explained if config.gains[0] > 1 and len(config.layer_sizes) == 5),
    }
    assert len(own & explained) == 2
    names = {config.name for config in own} & {config.name for config in explained}
    assert names == {"depth=3 width=6", "xavier gain=1.41421 depth=3 width=6"}


def test_configurations_differ_in_rate_and_start_alone():
    """So that what the table tells of two rates, or of two starts, is theirs."""
    own = configs(EXPERIMENT, LearningRate())
    assert {(config.learning_rate, config.scheme) for config in own} == {
        (rate, scheme) for rate in LearningRate().learning_rates for scheme in ("pytorch", "xavier_uniform")
    }
    assert len({replace(config, learning_rate=1.0, scheme="", gains=()) for config in own}) == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("0", "greater than 0"),
        ("nan", "finite"),
        ("0.1,0.1", "each value once"),
        ("", "at least 1 item"),
        ("1e7", "1000000"),
    ],
)
def test_rates_that_are_none_are_refused(values, words):
    """In one sentence with the default."""
    with pytest.raises(InputError, match=rf"^learning_rates must .*{words}.*the default is 0.0001,"):
        validated(LearningRate, {"learning_rates": values})


def test_what_the_depth_sweep_trained_is_not_trained_again(run, copied):
    """In one folder three of the four configurations are new."""
    ran = run("learning_rate", copied("depth_sweep"))
    assert ran.state.is_completed()
    assert [name for name in ran.tasks["Cached"] if name.startswith("train ")] == ["train depth=1 width=14"]
    assert len([name for name in computed(ran) if name.startswith("train ")]) == 3
