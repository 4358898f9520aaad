"""The sweep's grid: which configurations it has, what a design leaves out, and what bad lists get."""

import numpy as np
import pytest

from mlp_core.engine.configs import TASKS_PER_WORKER, Training, group_for_batching
from mlp_core.errors import InputError
from mlp_core.experiments.interface import Data, Setup
from mlp_core.experiments.sweep.design import sobol_design, whole_product
from mlp_core.experiments.sweep.experiment import EXPERIMENT, Sweep, sweep_trials
from mlp_core.settings import validated
from tasks.stages import Stage, check_batches


def trials(**settings):
    return sweep_trials(validated(Sweep, settings), 64, 10, {"relu": 2**0.5, "tanh": 1.6}, Training())


def test_every_combination_is_trained_once():
    """With other names and other configurations."""
    planned = trials(depths="1:3", widths="8,16", starts="pytorch,xavier:2,theory", weight_decays="0,0.1")
    assert len(planned) == 3 * 2 * 2 * 3 * 2 * 2
    assert len({trial.config for trial in planned}) == len({trial.config.name for trial in planned}) == len(planned)
    shapes = {trial.config.layer_sizes for trial in planned}
    assert (64, 8, 10) in shapes
    assert (64, 16, 16, 16, 10) in shapes


def test_a_budget_takes_the_place_of_widths():
    """Each depth reaches it with its own smallest width."""
    planned = trials(depths="1,2", parameter_budgets="2000", activations="relu", starts="theory", learning_rates="0.01")
    assert [trial.labels.column("width") for trial in planned] == [27, 21]
    assert all(trial.labels.column("parameters") >= 2000 for trial in planned)
    assert all(trial.labels.column("parameter_budget") == 2000 for trial in planned)


@pytest.mark.parametrize("start", ["xavier", "xavier:0", "xavier:-1", "xavier:nan", "he", "pytorch:2", "theory:1"])
def test_a_start_that_is_none_is_refused(start):
    """In a sentence that says how starts are written."""
    with pytest.raises(InputError, match=r"^starts must be pytorch, theory, or xavier:GAIN .*\.$"):
        validated(Sweep, {"starts": start})


def test_equal_starts_are_refused_however_they_are_written():
    """Each level counts once."""
    with pytest.raises(InputError, match="starts must hold each value once"):
        validated(Sweep, {"starts": "xavier:1.0,xavier:1"})


def test_too_large_a_product_needs_a_design():
    """The sentence says how many; with a design it is no matter."""
    with pytest.raises(InputError, match=r"^configurations must be from 1 to 20,000 for a product of 60,000 .*\.$"):
        validated(Sweep, {"depths": "1:100", "widths": "1:100", "activations": "relu,tanh,gelu", "starts": "theory"})
    assert len(trials(depths="1:100", widths="1:100", configurations=50)) == 50


def test_a_design_is_even_and_grows():
    """Of 64 configurations of a grid of 4^5 each level has about as many; more configurations keep these."""
    design = np.array(sobol_design([4] * 5, 64, seed=5))
    counts = np.array([np.bincount(column, minlength=4) for column in design.T])
    assert counts.min() >= 14
    assert counts.max() <= 18
    assert sobol_design([4] * 5, 100, seed=5)[:64] == list(map(tuple, design.tolist()))
    assert sobol_design([4] * 5, 64, seed=6) != sobol_design([4] * 5, 64, seed=5)


@pytest.mark.parametrize("n", [1, 23, 24, 1000])
def test_a_design_never_repeats_itself(n):
    """Up to the whole product."""
    design = sobol_design([3, 4, 2], n, seed=1)
    assert len(design) == len(set(design)) == min(n, 24)
    assert set(design) <= set(whole_product([3, 4, 2]))


@pytest.mark.parametrize("n_workers", [1, 2, 16])
def test_many_configurations_share_tasks_by_shape(n_workers):
    """Two thousand are some thirty tasks for each worker, each of one shape; few keep a task each."""
    configs = [trial.config for trial in trials(depths="1:4", widths="8,16,32,64", weight_decays="0:0.15:16")]
    tasks = group_for_batching(configs, 8, n_workers)
    assert len(configs) == 2048
    assert TASKS_PER_WORKER * n_workers / 2 <= len(tasks) <= TASKS_PER_WORKER * n_workers + 16  # 16 shapes
    assert all(len({config.layer_sizes for config in task}) == 1 for task in tasks)
    assert sorted(config.name for task in tasks for config in task) == sorted(config.name for config in configs)
    assert len(group_for_batching(configs[:32], 8, n_workers)) == 32


def test_a_batch_that_no_epoch_fills_is_refused():
    """Counted without the examples that are set aside."""
    setup = Setup(validated(Sweep, {"batch_sizes": "100"}), Data(2, ("a", "b"), 120, 30))
    with pytest.raises(InputError, match=r"^batch_size must be at most the 94 training points, got 100"):
        check_batches([Stage(EXPERIMENT, setup)])
