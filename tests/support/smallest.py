"""Every experiment with its smallest settings: what a run asks for, and what it makes, here and without Prefect."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from mlp_core.data import datasets
from mlp_core.data.images import decode_images
from mlp_core.data.settings import Spirals
from mlp_core.engine.arithmetic import uniform_arithmetic
from mlp_core.engine.members import train_members
from mlp_core.engine.tables import TrainedModel, joined_members, member_table, split_of
from mlp_core.experiments.catalog import FOLDERS, experiment_in, experiments
from mlp_core.experiments.interface import Data, Figure, Setup, Table, resolve
from mlp_core.settings import validated
from tasks.run_settings import ImageRunSettings, RunSettings
from tasks.stages import TUTORIAL, data_of_points, flow_parameters, stages_of, with_data

SPIRALS = Spirals(points=40)
IMAGES = Data(3072, ("cat", "dog", "wild"), n_train=60, n_test=24, kind="images")
"""What is known of the images that the tests draw."""


def folder_of(experiment):
    """Return the name of an experiment's folder."""
    return next(folder for folder in FOLDERS if experiment_in(folder) is experiment)


def recorded_schemas(experiment):
    """Return the schemas that tests/experiments/FOLDER/tables.json promises, by table; none of a new experiment."""
    path = Path(__file__).parents[1] / "experiments" / folder_of(experiment) / "tables.json"
    return json.loads(path.read_text()) if path.exists() else {}


def unchanged(settings):
    """Return settings."""
    return settings


def one_configuration(settings):
    """Return settings with the first of each list alone, and with one epoch."""
    values = {name: value[:1] if isinstance(value, tuple) else value for name, value in dict(settings).items()}
    if "epochs" in values:
        values["epochs"] = (1,) if isinstance(values["epochs"], tuple) else 1
    return validated(type(settings), values)


def smallest_parameters(flow):
    """Return the parameters with which the tests run a flow, but `run`: each experiment's own smallest settings."""
    smallest = {
        experiment.settings: experiment.smallest for experiment in experiments() if flow in (TUTORIAL, experiment.name)
    }
    parameters = {name: smallest.get(type(group), group) for name, group in flow_parameters(flow).items()}
    del parameters["run"]
    on_images = "source" in parameters and parameters["source"].data == "images"
    return parameters | ({"spirals": SPIRALS} if "spirals" in parameters and not on_images else {})


def flow_with(experiment):
    """Return the flow whose run with the smallest settings shows an experiment: the tutorial, if it is in that."""
    return experiment.name if experiment.tutorial is None else TUTORIAL


def smallest_stage(experiment, flow, n_seeds=2):
    """Return what a run of a flow with its smallest parameters asks of an experiment."""
    run = (ImageRunSettings if type(flow_parameters(flow)["run"]) is ImageRunSettings else RunSettings)(seeds=n_seeds)
    stages = with_data(stages_of(flow, {**smallest_parameters(flow), "run": run}), IMAGES)
    return next(stage for stage in stages if stage.experiment is experiment)


def smallest_setup(experiment, n_seeds=2, change=unchanged):
    """Return what a run with the smallest settings, each changed by a function, asks of an experiment."""
    smallest = {experiment.settings: change(experiment.smallest) for experiment in experiments()}
    settings = smallest[experiment.settings]
    data = IMAGES if experiment.data[0] == "images" else data_of_points("spirals", SPIRALS)
    return Setup(settings, data, tuple(smallest[group] for group in experiment.others), n_seeds=n_seeds)


def planned_trials(experiment, setup):
    """Return all that an experiment trains, the tuned ones with the first of their rates."""
    trials = list(experiment.trials(setup))
    tunings = experiment.to_tune(setup, trials) if trials else ()
    return [*trials, *(experiment.tuned(setup, tuning.trial, tuning.rates[0]) for tuning in tunings)]


def planned_outputs(experiment, setup):
    """Return the tables and figures that an experiment would make; nothing is trained."""
    models = [TrainedModel(trial, lambda: pa.table({}), dict) for trial in planned_trials(experiment, setup)]
    return list(experiment.outputs(setup, models, None))


def with_inputs(outputs: Any) -> Iterator[Table | Figure]:
    """Yield tables and figures, and the tables that they take."""
    for output in outputs if isinstance(outputs, (list, tuple)) else [outputs]:
        if isinstance(output, (Table, Figure)):
            yield output
            yield from with_inputs(output.inputs)
        elif isinstance(output, (list, tuple)):
            yield from with_inputs(output)


def result_names(outputs):
    """Return the names of the result tables among outputs."""
    tables = [output.name for output in with_inputs(outputs) if isinstance(output, Table)]
    return {name.removeprefix("results/") for name in tables if name.startswith("results/")}


def figure_names(outputs):
    """Return the names of the figures among outputs."""
    return {output.name for output in outputs if isinstance(output, Figure)}


@dataclass
class Made:
    """What was made of an experiment: tables, their settings, and matplotlib's figures, by name."""

    tables: dict[str, pa.Table] = field(default_factory=dict)
    settings: dict[str, dict] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def claims(self, experiment):
        """Return the claims that an experiment makes on its tables."""
        sources = import_module(experiment.claims).CLAIMS if experiment.claims else ()
        return [
            claim
            for source in sources
            if source.table in self.tables
            for claim in source.claims(self.tables[source.table], self.settings[source.table])
        ]


@cache
def _examples(kind, image_zip):
    if kind == "images":
        return split_of(decode_images(image_zip).to_batches())
    return datasets.split(*datasets.spirals(2021, points_per_arm=SPIRALS.points), 2021)


def _trained(trial, data, n_seeds, lost_seeds):
    config = trial.config
    for transform in config.inputs:
        data = transform.split(data)
    n_members = n_seeds * len(config.gains)
    lost = [member for member in range(n_members) if config.replicate(member).seed_index in lost_seeds]
    kept = [member for member in range(n_members) if member not in lost]
    blocks = [train_members(config, data, kept)] if kept else []
    if lost:
        blocks.append(train_members(replace(config, learning_rate=math.inf), data, lost))
        assert blocks[-1].test_accuracy.isnan().all()
    order = torch.tensor([member for block in blocks for member in block.member]).argsort()
    state = {name: torch.cat([block.state[name] for block in blocks])[order] for name in blocks[0].state}
    members = joined_members(map(member_table, blocks), n_members)
    return TrainedModel(trial, lambda: members, lambda: state)


@uniform_arithmetic()
def make_outputs(experiment, setup, image_zip, lost_seeds=()):
    """Train an experiment and make its tables and figures as the tasks do.

    Args:
        experiment: The experiment.
        setup: What is asked of it.
        image_zip: Zip of the tests' images.
        lost_seeds: Indices of seeds whose members diverge, as each of their steps is infinite.
    """
    data = _examples(setup.data.kind, image_zip)
    models = [_trained(trial, data, setup.n_seeds, lost_seeds) for trial in planned_trials(experiment, setup)]
    result, known = Made(), {}

    def value_of(value):
        if isinstance(value, Table):
            if id(value) not in known:
                inputs = map(value_of, value.inputs)
                prepared = resolve(value.prepare)(*inputs) if value.prepare else inputs
                known[id(value)] = value, resolve(value.function)(*prepared)
            return known[id(value)][1]
        return [value_of(item) for item in value] if isinstance(value, (list, tuple)) else value

    for output in experiment.outputs(setup, models, data):
        if isinstance(output, Table):
            name = output.name.rpartition("/")[2]
            result.tables[name], result.settings[name] = value_of(output), dict(output.settings)
            continue
        inputs = [value_of(value) for value in output.inputs]
        frames = [value.to_pandas() if isinstance(value, pa.Table) else value for value in inputs]
        drawn = resolve(output.prepare)(*inputs) if output.prepare else frames
        result.figures[output.name] = resolve(output.draw)(*drawn)
    return result
