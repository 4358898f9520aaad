"""Which experiments a flow runs, and what it asks of each: from the flow's parameters alone, without Prefect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mlp_core.addresses import shown_address
from mlp_core.data.settings import DRAWN_POINTS, IMAGES, DataSource, ImageSettings, Spirals, is_table
from mlp_core.data.sizes import MIN_ROWS, TEST_SHARE
from mlp_core.errors import InputError
from mlp_core.experiments.catalog import FOLDERS, experiment_in, experiments, of_flow
from mlp_core.experiments.interface import Data, DataKind, Experiment, Setup
from mlp_core.settings import Settings
from tasks.run_settings import ImageRunSettings, RunSettings

TUTORIAL = "tutorial"
"""The flow of all experiments that have a place in it."""
_TAKEN = {"spirals": "drawn points", "tables": "a table", "images": "images"}
"""The kinds of data in words."""
_UNREAD_TABLE = Data(1, ("", ""), n_train=MIN_ROWS, n_test=MIN_ROWS, kind="tables")


@dataclass(frozen=True)
class Stage:
    """An experiment of a run together with the settings, data and seeds that it gets (its setup)."""

    experiment: Experiment
    setup: Setup

    @property
    def kind_of_data(self) -> DataKind:
        """Return the kind of its data."""
        return self.setup.data.kind


def flow_names() -> list[str]:
    """Return the names of all flows, the tutorial first."""
    return [TUTORIAL, *dict.fromkeys(experiment.tag for experiment in experiments())]


def flow_help(flow: str) -> str:
    """Return a sentence that describes a flow, by its name."""
    return "Run every experiment of the tutorial." if flow == TUTORIAL else of_flow(flow)[0].help


def flow_parameters(flow: str) -> dict[str, Settings]:
    """Return the parameters of a flow (groups of settings by name) with their defaults, in the order of its form.

    Example:
        >>> list(flow_parameters("depth_sweep"))
        ['sweep', 'ablation', 'source', 'spirals', 'run']
    """
    if flow == TUTORIAL:
        folders = {folder: experiment_in(folder) for folder in FOLDERS}
        named = {
            folder: experiment.tutorial for folder, experiment in folders.items() if experiment.tutorial is not None
        }
        parameters: dict[str, Settings] = dict(sorted(named.items(), key=lambda item: folders[item[0]].beyond))
        members = tuple(folders[folder] for folder in parameters)
    else:
        members = of_flow(flow)
        parameters = {experiment.parameter: experiment.settings() for experiment in members}
    kinds = {kind for experiment in members for kind in experiment.data}
    if "spirals" in kinds:
        if flow != TUTORIAL:
            parameters["source"] = DataSource(data=IMAGES if members[0].data[0] == "images" else DRAWN_POINTS[0])
        parameters["spirals"] = Spirals()
    parameters["run"] = ImageRunSettings() if "images" in kinds else RunSettings()
    if flow != TUTORIAL and members[0].n_seeds is not None:
        parameters["run"] = parameters["run"].model_copy(update={"seeds": members[0].n_seeds})
    return parameters


def stages_of(flow: str, parameters: Mapping[str, Settings], device: str = "cpu") -> list[Stage]:
    """Return the experiments that a run of a flow executes, with their settings, in the order in which they begin.

    In the tutorial, experiments that need several seeds come last, and are left out if the run has one seed. With data
    other than the flow's usual ones, the experiment `data` is added.

    Args:
        flow: Name of the flow.
        parameters: The flow's parameters by name.
        device: Where to train.

    Raises:
        InputError: If an experiment cannot use the data that are asked for.
    """
    run = parameters["run"]
    assert isinstance(run, RunSettings)
    members = of_flow(flow)
    if flow == TUTORIAL:
        chosen = [
            experiment
            for experiment in experiments()
            if experiment.tutorial is not None and (run.seeds > 1 or not experiment.beyond)
        ]
        members = tuple(sorted(chosen, key=lambda experiment: experiment.beyond))
    by_type = {type(settings): settings for settings in parameters.values()}
    spirals = by_type.get(Spirals, Spirals())
    source = by_type.get(DataSource)
    assert isinstance(spirals, Spirals)
    assert source is None or isinstance(source, DataSource)
    if source is not None:
        _check_other_data(source, spirals, run)
        if source.data not in (DRAWN_POINTS[0], IMAGES):  # what the tutorial does not know is shown
            members = tuple(dict.fromkeys((*members, experiment_in("data"))))
    stages = []
    for experiment in members:
        settings = by_type[experiment.settings]
        data = _data_before(experiment, source, spirals, run)
        n_seeds = max(1, run.seeds // experiment.tutorial_divisor) if flow == TUTORIAL else run.seeds
        others = tuple(by_type[group] for group in experiment.others)
        stages.append(Stage(experiment, Setup(settings, data, others, run.seed, n_seeds, device)))
    return stages


def _check_other_data(source: DataSource, spirals: Spirals, run: RunSettings) -> None:
    """Refuse settings of drawn points or of images that the data do not have."""
    kind = source.data
    of_points = () if kind in DRAWN_POINTS else (*Spirals.model_fields,)
    if kind in ("moons", "circles", "xor"):
        of_points = ("arms",)
    of_images = () if kind == IMAGES or not isinstance(run, ImageSettings) else (*ImageSettings.model_fields,)
    for settings, names in ((spirals, of_points), (run, of_images)):
        for name in names:
            value = getattr(settings, name)
            if value != type(settings).model_fields[name].default:
                option = f"--{name.replace('_', '-')}"
                value = shown_address(value) if name == "images" else value
                message = f"{name} must be left out with --data {shown_address(kind)}, got {value}; leave {option} out."
                raise InputError(message)


def _data_before(experiment: Experiment, source: DataSource | None, spirals: Spirals, run: RunSettings) -> Data:
    """Return what is known of an experiment's data before they are drawn or read."""
    kind = experiment.data[0]
    if source is not None:
        kind = "images" if source.data == IMAGES else "tables" if is_table(source.data) else "spirals"
    of_shape = source is None or kind != "spirals" or source.data in experiment.points
    if kind not in experiment.data or not of_shape:
        taken = [word for kind, word in _TAKEN.items() if kind in experiment.data]
        if experiment.points != DRAWN_POINTS:
            taken = [*experiment.points]
        address = shown_address(source.data if source else "")
        listed = " or ".join(filter(None, (", ".join(taken[:-1]), taken[-1])))
        message = f"data must be {listed} in {experiment.tag.replace('_', '-')}, got {address!r}; leave --data out."
        raise InputError(message)
    if kind == "images":
        assert isinstance(run, ImageSettings)
        # What the drawn faces have; how many another source has is known when it has been read (`with_data`)
        return Data(run.n_pixels, ("cat", "dog", "wild"), n_train=6000, n_test=900, kind="images")
    if kind == "tables":
        return _UNREAD_TABLE
    return data_of_points(source.data if source else DRAWN_POINTS[0], spirals)


def with_data(stages: Iterable[Stage], data: Data) -> list[Stage]:
    """Return the stages with updated facts about their data, once these are read.

    Args:
        stages: The experiments of a run.
        data: Sizes and classes of the data; only stages of the same kind of data get them.
    """
    return [
        replace(stage, setup=replace(stage.setup, data=data)) if stage.kind_of_data == data.kind else stage
        for stage in stages
    ]


def data_of_points(kind: str, spirals: Spirals) -> Data:
    """Return the sizes and classes of points before they are drawn.

    Args:
        kind: `spirals`, `moons`, `circles`, `gauss` or `xor`.
        spirals: Number of arms (classes of spirals and gauss; the others have two), points per class, and noise.
    """
    n_classes = spirals.arms if kind in ("spirals", "gauss") else 2
    n_points = n_classes * spirals.points
    n_test = int(TEST_SHARE * n_points)
    classes = tuple(str(label) for label in range(n_classes))
    settings = spirals.model_dump(mode="json")
    if kind != "spirals":
        settings = {"data": kind, "classes": n_classes, "points": spirals.points, "noise": spirals.noise}
    return Data(2, classes, n_points - n_test, n_test, settings)


def check_batches(stages: Iterable[Stage]) -> None:
    """Refuse a batch size larger than the training set, for configurations that leave out short batches.

    Raises:
        InputError: If there are fewer training examples than the batch size.
    """
    for stage in stages:
        data = stage.setup.data
        for trial in stage.experiment.trials(stage.setup):
            n_train = data.n_train
            for transform in trial.config.inputs:
                n_train = transform.n_train(n_train, data.n_classes)
            if trial.config.batches == "per_seed_order" and trial.config.batch_size > n_train:
                message = (
                    f"batch_size must be at most the {n_train} training points, got {trial.config.batch_size}; "
                    f"use a smaller --batch-size or more {'rows' if stage.kind_of_data == 'tables' else '--points'}."
                )
                raise InputError(message)
