"""Which data a run takes: what its settings ask for, and what an experiment can do with it."""

import re
from inspect import signature

import pytest

from mlp_core.data.faces import write_faces
from mlp_core.data.settings import DataSource, Spirals
from mlp_core.errors import InputError
from mlp_core.experiments.interface import Data
from tasks.resources import estimate_memory
from tasks.run_settings import ImageRunSettings
from tasks.stages import check_batches, flow_parameters, stages_of, with_data


def stages_for(flow, data, **points):
    """Return the stages of a flow on data."""
    parameters = flow_parameters(flow) | {"source": DataSource(data=data), "spirals": Spirals(**points)}
    return stages_of(flow, parameters)


@pytest.mark.parametrize(
    ("flow", "data", "points", "words"),
    [
        ("polynomial", "digits", {}, "data must be drawn points in polynomial, got 'digits'; leave --data out."),
        (
            "generalization",
            "moons",
            {},
            "data must be spirals, circles, gauss or xor in generalization, got 'moons'; leave --data out.",
        ),
        ("depth_sweep", "images", {}, "data must be drawn points or a table in depth-sweep, got 'images'"),
        ("depth_sweep", "digits", {"points": 50}, "points must be left out with --data digits, got 50"),
        ("depth_sweep", "moons", {"arms": 3}, "arms must be left out with --data moons, got 3"),
        ("polynomial", "https://me:word@host/a.csv?key=1", {}, "got 'https://...@host/a.csv?...'"),
    ],
)
def test_what_does_not_fit_together_is_refused(flow, data, points, words):
    """In one sentence, without what may be secret in an address."""
    with pytest.raises(InputError, match=re.escape(words)):
        stages_for(flow, data, **points)


@pytest.mark.parametrize(
    ("data", "settings", "words"),
    [
        (
            "digits",
            {"run": ImageRunSettings(images="faces.zip")},
            "images must be left out with --data digits, got faces.zip",
        ),
        (
            "moons",
            {"run": ImageRunSettings(skip_bad_images=3)},
            "skip_bad_images must be left out with --data moons, got 3",
        ),
        (
            "spirals",
            {"run": ImageRunSettings(image_size=64)},
            "image_size must be left out with --data spirals, got 64; leave --image-size out.",
        ),
        ("wine", {"run": ImageRunSettings(grey=True)}, "grey must be left out with --data wine, got True"),
        ("images", {"spirals": Spirals(points=50)}, "points must be left out with --data images, got 50"),
    ],
)
def test_settings_of_other_data_are_refused(data, settings, words):
    """Not passed over in silence: the phase diagram knows points, tables and images."""
    parameters = flow_parameters("phase_diagram") | {"source": DataSource(data=data)} | settings
    with pytest.raises(InputError, match=re.escape(words)):
        stages_of("phase_diagram", parameters)


def test_points_have_their_classes():
    """Two of each shape but of gauss, which has as many as arms; two inputs."""
    for data, arms, n_classes in (("moons", 4, 2), ("gauss", 7, 7), ("spirals", 3, 3)):
        stage = stages_for("depth_sweep", data, arms=arms)[0]
        assert (stage.setup.data.n_inputs, stage.setup.data.n_classes) == (2, n_classes)
        assert {trial.config.layer_sizes[-1] for trial in stage.experiment.trials(stage.setup)} == {n_classes}


@pytest.mark.parametrize("flow", ["depth_sweep", "learning_rate", "phase_diagram"])
def test_networks_follow_a_table(flow):
    """Once it is read: as many inputs and outputs as it has, and the memory that its rows take."""
    read = Data(61, tuple("abcdefghij"), 200_000, 50_000, {"data": "digits"}, kind="tables")
    stages = with_data(stages_for(flow, "digits"), read)
    trials = stages[0].experiment.trials(stages[0].setup)
    assert {(trial.config.layer_sizes[0], trial.config.layer_sizes[-1]) for trial in trials} == {(61, 10)}
    assert all(need.n_bytes > 0 for need in estimate_memory(stages, flow_parameters(flow)["run"]))
    assert [stage.experiment.name for stage in stages][-1] == "data"


def test_a_table_smaller_than_a_batch_is_refused():
    """No epoch could fill one."""
    read = Data(4, ("a", "b"), 100, 20, {"data": "mine.csv"}, kind="tables")
    with pytest.raises(
        InputError, match="at most the 100 training points, got 128; use a smaller --batch-size or more"
    ):
        check_batches(with_data(stages_for("depth_sweep", "mine.csv"), read))


def test_a_name_of_data_holds_no_secret():
    """In names of runs, titles of the report and tables."""
    assert DataSource(data="https://me:word@host/a/wine.csv?key=1").label == "wine.csv"
    assert DataSource(data="/home/me/digits").label == "file digits"
    assert "word" not in DataSource(data="https://me:word@host/a.csv").model_dump_json()


def test_before_a_run_has_read_them_images_are_as_many_as_it_draws():
    """The estimates of memory and disk reckon with these."""
    drawn = signature(write_faces).parameters
    (stage,) = stages_of("images", flow_parameters("images"))
    data = stage.setup.data
    assert data.n_train == data.n_classes * drawn["n_train_per_class"].default
    assert data.n_test == data.n_classes * drawn["n_val_per_class"].default
