"""Cache keys: what decides a result is in them, and nothing else."""

import copy
from collections import UserList
from dataclasses import replace
from types import SimpleNamespace

import pytest
from configurations import config_of

from mlp_core.artifacts.storage import Artifact
from mlp_core.data.settings import Spirals
from mlp_core.experiments.images.experiment import images_trial
from tasks import checksummed_json
from tasks.caching import InputsAndSourceClosure, canonical
from tasks.context import RunContext
from tasks.data import Examples, decode_images, generate_spirals, transform_examples
from tasks.training import train_configurations

TABLE = Artifact("tables/a.parquet", "0" * 64, 100, rows=3)
MOVED = Artifact("tables/b.parquet", "0" * 64, 100, rows=3)
CHANGED = Artifact("tables/a.parquet", "1" * 64, 100, rows=3)
TRAINING = {"activation": "relu", "optimizer": "adam", "learning_rate": 0.1, "epochs": 1, "batch_size": 8}
PLAN = config_of(images_trial, (8,), 3072, 3, **TRAINING, seed=1, device="cpu")


def key(task, **inputs):
    policy = task.cache_policy
    return policy.compute_key(SimpleNamespace(task=task), inputs, {})


def test_a_file_counts_by_its_digest():
    """Where it lies does not matter, what is in it does, however deep it is nested."""
    for wrap in (lambda table: table, lambda table: [table], lambda table: Examples(table, ("cat", "dog"), 2)):
        assert canonical(wrap(TABLE)) == canonical(wrap(MOVED))
        assert canonical(wrap(TABLE)) != canonical(wrap(CHANGED))


def test_every_setting_counts():
    """A changed setting, plan or number of members is another key, an equal one the same."""
    keys = {
        key(train_configurations, configs=(plan,), data=data, n_members=n_members)
        for plan in (PLAN, config_of(images_trial, (8,), 3072, 3, **{**TRAINING, "epochs": 2}, seed=1, device="cpu"))
        for data in (TABLE, CHANGED)
        for n_members in (1, 2)
    }
    assert len(keys) == 8
    again = config_of(images_trial, (8,), 3072, 3, **TRAINING, seed=1, device="cpu")
    assert key(train_configurations, configs=(again,), data=MOVED, n_members=2) in keys


def test_a_name_for_the_eye_is_no_other_key():
    """A configuration that two experiments call differently is one training."""
    named = replace(PLAN, name="another")
    assert canonical(named) == canonical(PLAN)


def test_where_and_how_a_run_works_does_not_count():
    """The context that each task gets is in no key, and travels to other processes as it is."""
    keys = {key(generate_spirals, spirals=Spirals(), seed=1)}
    for context in (RunContext("/here", 1), RunContext("/there", 8, time_limit_seconds=3.0, refresh=True)):
        keys.add(key(generate_spirals, context=context, spirals=Spirals(), seed=1))
        assert copy.deepcopy(context) == context
    assert len(keys) == 1


def test_two_tasks_never_share_a_key():
    """Equal inputs of two tasks are told apart, also to the eye."""
    keys = [key(task, spirals=Spirals(), seed=1) for task in (generate_spirals, transform_examples, decode_images)]
    assert len(set(keys)) == 3
    assert keys[0].startswith("generate-spirals-")


def test_code_that_computes_the_result_counts():
    """The key holds the core modules that a task names, and the task's own module."""
    policy = InputsAndSourceClosure(code=("mlp_core.theory.random_networks",))
    digests = {
        policy.code_digest("tasks.data"),
        policy.code_digest("tasks.training"),
        InputsAndSourceClosure(code=("mlp_core.report.trend",)).code_digest("tasks.data"),
    }
    assert len(digests) == 3
    assert InputsAndSourceClosure(code=("mlp_core.theory.random_networks",)).code_digest("tasks.data") in digests


def test_a_record_with_a_changed_letter_is_refused():
    """Every single changed letter shows, where JSON alone would let most of them pass."""
    text = checksummed_json.dumps({"activation": "relu", "width": 14})
    assert checksummed_json.loads(text) == {"activation": "relu", "width": 14}
    for position in range(len(text)):
        changed = text[:position] + chr(ord(text[position]) ^ 1) + text[position + 1 :]
        with pytest.raises(ValueError, match="was changed after it was written"):
            checksummed_json.loads(changed)


@pytest.mark.parametrize("value", [{1, 2}, object(), {"a": frozenset()}])
def test_what_has_no_stable_text_is_refused(value):
    """A set has no order: better no key than another one each time."""
    with pytest.raises(TypeError, match="cannot be part of a cache key"):
        canonical(value)


def test_a_user_list_counts_as_the_list_in_it():
    """Trained networks come in one: Prefect and dask leave it as it is."""
    assert canonical(UserList([TABLE, PLAN])) == canonical([TABLE, PLAN])
