"""A run of experiments: what is trained, what follows, and an honest end."""

from __future__ import annotations

from collections import UserList
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from prefect import tags, unmapped
from prefect.futures import PrefectFuture, wait

from flows.run_collector import RunCollector, Submitted
from flows.sources import data_of_images, data_of_table, points, submit_images, table
from mlp_core.data.settings import DataSource, Spirals
from mlp_core.data.transforms import Transform
from mlp_core.engine.configs import TrainConfig, Trial, group_for_batching
from mlp_core.errors import InputError
from mlp_core.experiments.interface import Data, Figure, Table
from mlp_core.machine import devices
from mlp_core.settings import Settings
from tasks.context import RunContext
from tasks.data import Examples, transform_examples
from tasks.execution import run_environment
from tasks.limits import check_tag_limits
from tasks.resources import available_bytes, check_memory, check_resources
from tasks.results import draw_figure, make_table
from tasks.run_settings import ImageRunSettings, RunSettings
from tasks.stages import Stage, check_batches, stages_of, with_data
from tasks.training import TrainedTrial, train_configurations, tune_learning_rate


def device_of(run: RunSettings) -> str:
    """Return the name of the device to train on: `cpu`, `cuda` or `mps`; for `auto` the best one that there is.

    Raises:
        InputError: If the device asked for is not there.
    """
    available = devices() if run.device != "cpu" else ["cpu"]
    if run.device == "auto":
        return available[0]
    if run.device not in available:
        message = (
            f"device must be one that this machine has ({', '.join(available)}), got {run.device!r}; use --device auto."
        )
        raise InputError(message)
    return run.device


class ExperimentRuns:
    """Submits the tasks of all experiments of a run, and shares what several of them need.

    A training, a transform of the data or a figure that two experiments have in common is made once. `examples` must
    hold the data of a kind before an experiment on it begins.

    Args:
        context: The run's context.
    """

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.collector = RunCollector(context)
        self.examples: dict[str, Examples] = {}
        self._submitted: dict[TrainConfig, Submitted] = {}
        self._trials: dict[str, list[Trial]] = {}
        self._tunings: dict[str, list[tuple[Trial, PrefectFuture[float]]]] = {}
        self._transformed: dict[tuple[str, tuple[Transform, ...]], Any] = {}
        self._tables: dict[int, tuple[Table, PrefectFuture[Any]]] = {}
        self._meanwhile: dict[str, PrefectFuture[Any]] = {}
        self._panels: list[Figure] = []

    def begin(self, stage: Stage) -> None:
        """Submit an experiment's trainings, what is made meanwhile, and the tuning of learning rates; do not wait."""
        experiment, setup = stage.experiment, stage.setup
        trials = self._trials[experiment.name] = list(experiment.trials(setup))
        with tags(experiment.tag):
            for table in experiment.meanwhile(setup, self.examples[stage.kind_of_data]):
                self._meanwhile[table.name] = self._table(table)
            self._submit_trainings(stage, trials)
            self._tunings[experiment.name] = [
                (
                    tuning.trial,
                    tune_learning_rate.submit(
                        self.context,
                        tuning.trial.config,
                        self._inputs(stage, tuned_inputs(stage, tuning.trial)),
                        tuning.rates,
                    ),
                )
                for tuning in (experiment.to_tune(setup, trials) if trials else ())
            ]

    def train_tuned(self, stage: Stage) -> None:
        """Wait for an experiment's tuned learning rates, and submit the trainings that use them."""
        experiment = stage.experiment
        with tags(experiment.tag):
            for trial, future in self._tunings[experiment.name]:
                for rate in self.collector.collect([future], experiment.name, [f"tuning {trial.config.name}"]):
                    assert experiment.tuned is not None
                    tuned = experiment.tuned(stage.setup, trial, rate)
                    self._submit_trainings(stage, [tuned])
                    self._trials[experiment.name].append(tuned)

    def wait_for_trainings(self, stage: Stage) -> None:
        """Wait until an experiment's trainings have ended, whether they succeeded or failed."""
        wait([self._submitted[trial.config].future for trial in self._trials[stage.experiment.name]])

    def publish(self, stage: Stage) -> list[PrefectFuture[Any]]:
        """Wait for an experiment's trainings, then submit the tasks that make its tables and figures.

        Args:
            stage: The experiment.

        Returns:
            The tasks' futures; empty if all trainings failed. Figures shared with other experiments are left to
            `draw_panels`.
        """
        experiment, trials = stage.experiment, self._trials[stage.experiment.name]
        with tags(experiment.tag):
            models = self.collector.collect_trainings(trials, self._submitted, experiment.name) if trials else []
            if trials and not models:
                return []
            outputs = experiment.outputs(stage.setup, models, self.examples[stage.kind_of_data])
            futures = [self._submit_output(output) for output in outputs]
        own = [future for future in futures if future is not None]
        if not trials and own:  # of one that trains nothing, this is the measurement itself
            self.collector.experiments.add(experiment.name)
        return own

    def draw_panels(self) -> list[PrefectFuture[Any]]:
        """Submit the figures that several experiments draw into, each with the panels of all of them in order.

        Returns:
            The tasks' futures.
        """
        names = dict.fromkeys(figure.name for figure in self._panels)
        futures = []
        for name in names:
            panels = sorted((panel for panel in self._panels if panel.name == name), key=lambda panel: panel.panel or 0)
            inputs = {id(value): value for figure in panels for value in figure.inputs}
            futures.append(self._draw(replace(panels[0], inputs=tuple(inputs.values()))))
        return futures

    def expect(self) -> None:
        """Add all submitted trainings to the run's progress display."""
        self.collector.progress.expect(training.future for training in self._submitted.values())

    def _submit_trainings(self, stage: Stage, trials: Iterable[Trial]) -> None:
        """Submit trainings, but none that this run has submitted already."""
        by_inputs: dict[tuple[tuple[Transform, ...], int], list[TrainConfig]] = {}
        for config in dict.fromkeys(trial.config for trial in trials):
            if config not in self._submitted:
                by_inputs.setdefault((config.inputs, len(config.gains)), []).append(config)
        for (inputs, n_gains), configs in by_inputs.items():
            n_members, data = stage.setup.n_seeds * n_gains, self._inputs(stage, inputs)
            together = group_for_batching(configs, n_members, self.context.n_parallel)
            futures = train_configurations.map(unmapped(self.context), together, unmapped(data), unmapped(n_members))
            for group, future in zip(together, futures, strict=True):
                self._submitted |= dict.fromkeys(group, Submitted(group, data, n_members, future))

    def _inputs(self, stage: Stage, transforms: tuple[Transform, ...]) -> Any:
        """Return the stage's examples as a configuration takes them, or the task that makes them so."""
        if not transforms:
            return self.examples[stage.kind_of_data]
        key = stage.kind_of_data, transforms
        if key not in self._transformed:
            before = self._inputs(stage, transforms[:-1])
            self._transformed[key] = transform_examples.submit(self.context, transforms[-1], before)
        return self._transformed[key]

    def _submit_output(self, output: Table | Figure) -> PrefectFuture[Any] | None:
        if isinstance(output, Table):
            return self._table(output)
        if output.panel is not None:
            self._panels.append(output)
            self._resolved(output.inputs)  # its tables begin now
            return None
        return self._draw(output)

    def _draw(self, figure: Figure) -> PrefectFuture[Any]:
        return draw_figure.submit(self.context, replace(figure, inputs=()), self._resolved(figure.inputs))

    def _table(self, table: Table) -> PrefectFuture[Any]:
        if table.name in self._meanwhile:
            return self._meanwhile[table.name]
        if id(table) not in self._tables:
            future = make_table.submit(self.context, replace(table, inputs=()), self._resolved(table.inputs))
            self._tables[id(table)] = table, future
        return self._tables[id(table)][1]

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, Table):
            return self._table(value)
        if isinstance(value, (list, tuple)):
            if value and all(isinstance(item, TrainedTrial) for item in value):
                return UserList(value)  # in a list Prefect looks for futures in each field: seconds for a large sweep
            return [self._resolved(item) for item in value]
        return value


def tuned_inputs(stage: Stage, trial: Trial) -> tuple[Transform, ...]:
    """Return the input transforms of a trial's second training, the one with a tuned learning rate.

    Args:
        stage: The experiment; it must define `tuned`.
        trial: One of its trials.

    Returns:
        The transforms of the examples, in order: those of the configuration that `Experiment.tuned` returns.
    """
    tuned = stage.experiment.tuned
    assert tuned is not None
    return tuned(stage.setup, trial, trial.config.learning_rate).config.inputs


def _read_points(
    runs: ExperimentRuns, stages: Sequence[Stage], parameters: Mapping[str, Settings], seed: int
) -> Data | None:
    """Submit the tasks that draw points and read a table, if stages want them; return what is known of the table."""
    source, spirals = parameters.get("source", DataSource()), parameters.get("spirals")
    assert isinstance(source, DataSource)
    tag_of = {stage.kind_of_data: stage.experiment.tag for stage in reversed(stages)}
    if "spirals" in tag_of:
        assert isinstance(spirals, Spirals)
        with tags(tag_of["spirals"]):
            runs.examples["spirals"] = points(runs.context, source.data, spirals, seed)
    if "tables" not in tag_of:
        return None
    with tags(tag_of["tables"]):
        runs.examples["tables"] = table(runs.context, source, seed)
    return data_of_table(source, runs.examples["tables"])


def run_experiments(flow: str, parameters: Mapping[str, Settings]) -> Any:
    """Run all experiments of a flow; spirals train while images are decoded.

    Args:
        flow: Name of the flow.
        parameters: The flow's parameters by name: groups of settings.

    Returns:
        What `RunCollector.publish` returns: the report's path, or a state named Drifted.

    Raises:
        InputError: If the settings, data, memory or disk do not allow the run.
        SweepFailed: If a task failed.
    """
    run = parameters["run"]
    assert isinstance(run, RunSettings)
    stages = stages_of(flow, parameters, device_of(run))
    check_batches(stage for stage in stages if stage.kind_of_data == "spirals")
    check_resources(stages, run)
    with run_environment(run) as context:
        check_tag_limits(*dict.fromkeys(stage.experiment.tag for stage in stages))
        runs = ExperimentRuns(context)
        kinds = {stage.kind_of_data for stage in stages}
        first = [stage for stage in stages if not stage.experiment.beyond or flow == stage.experiment.tag]
        later = [stage for stage in stages if stage not in first]
        decoded = None
        if "images" in kinds:  # first: while one worker waits for the helper, the other trains with a core to itself
            assert isinstance(run, ImageRunSettings)
            with tags(next(stage.experiment.tag for stage in stages if stage.kind_of_data == "images")):
                decoded = submit_images(context, run)
        if rows := _read_points(runs, stages, parameters, run.seed):
            first, later = with_data(first, rows), with_data(later, rows)
            check_batches([*first, *later])
            check_memory([*first, *later], run, available_bytes())
        for stage in first:
            if stage.kind_of_data != "images":
                runs.begin(stage)
        if decoded is not None and isinstance(run, ImageRunSettings):
            runs.examples["images"] = decoded()
            first, later = (with_data(group, data_of_images(run, runs.examples["images"])) for group in (first, later))
            check_memory([*first, *later], run, available_bytes())
        for stage in first:
            if stage.kind_of_data == "images":
                runs.begin(stage)
        for stage in later:
            runs.begin(stage)
        begun = [*first, *later]
        for stage in begun:
            runs.train_tuned(stage)
        runs.expect()
        runs.wait_for_trainings(begun[0])  # so long another run may publish
        with context.publishing():
            results = [future for stage in begun for future in runs.publish(stage)]
            return runs.collector.publish([*results, *runs.draw_panels()], run.on_drift)
