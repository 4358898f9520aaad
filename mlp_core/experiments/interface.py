"""What an experiment says about itself. Nothing here runs anything, and nothing heavy is imported.

An experiment is a folder of this package with a module `experiment` that holds `EXPERIMENT`. Everything else asks that
object: the command line, the flows, the check of memory and disk, the report, the claims and the tests. What takes
torch, pandas or matplotlib is named as `"module:function"` and imported by the task that needs it; a task's cache key
holds the source of that module and of all that it imports.

Example:
    >>> from mlp_core.experiments.catalog import experiment_in
    >>> experiment = experiment_in("depth_sweep")
    >>> setup = Setup(experiment.settings(depths=(1, 3)), data=Data(2, ("a", "b", "c", "d"), 3200, 800))
    >>> [trial.config.name for trial in experiment.trials(setup)]
    ['depth=1 width=14', 'depth=3 width=6']
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, TypeVar

from mlp_core.data.settings import DRAWN_POINTS
from mlp_core.engine.configs import Training, Trial
from mlp_core.settings import Settings

DataKind = Literal["spirals", "tables", "images"]
"""What examples are: points of two coordinates (spirals, unless `--data` says otherwise), a table's rows, images."""
_Group = TypeVar("_Group", bound=Settings)


@dataclass(frozen=True)
class Data:
    """What an experiment needs to know of its data to choose configurations, before or after the data are read.

    Attributes:
        n_inputs: Features of an example.
        classes: Class names, in the order of the labels.
        n_train: Number of training examples.
        n_test: Number of test examples.
        settings: Where the data come from, for the metadata of result tables.
        kind: What the examples are.
    """

    n_inputs: int
    classes: tuple[str, ...]
    n_train: int
    n_test: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    kind: DataKind = "spirals"

    @property
    def n_classes(self) -> int:
        """Return the number of classes."""
        return len(self.classes)


@dataclass(frozen=True)
class Setup:
    """Everything that an experiment gets from a run: settings, data, seeds and device.

    Attributes:
        settings: The experiment's own settings.
        data: Sizes and class names of its data.
        others: Settings of the other experiments listed in `Experiment.others`.
        seed: Root seed.
        n_seeds: Members per configuration and gain.
        device: Where to train, such as `cpu`.
    """

    settings: Any
    data: Data
    others: tuple[Settings, ...] = ()
    seed: int = 2021
    n_seeds: int = 8
    device: str = "cpu"

    def training(self, settings: Settings | None = None) -> Training:
        """Return how to train, by settings and with the run's root seed and device.

        Args:
            settings: Settings to read; the experiment's own if None. Only `activation`, `optimizer`, `learning_rate`,
                `epochs` and `batch_size` are read, as far as they are there; all else keeps the default of `Training`.
        """
        values = dict(settings or self.settings)
        names = {"activation", "optimizer", "learning_rate", "epochs", "batch_size"} & values.keys()
        return Training(**{name: values[name] for name in names}, seed=self.seed, device=self.device)

    def other(self, group: type[_Group]) -> _Group:
        """Return the settings of another experiment, by their class; it must be one of `Experiment.others`."""
        return next(settings for settings in self.others if isinstance(settings, group))

    def table_settings(self, *models: Settings, **more: Any) -> dict[str, Any]:
        """Return the settings to store in a result table's metadata: number of seeds, root seed, data and settings.

        Args:
            models: Groups of settings to add.
            more: Single values to add.
        """
        values: dict[str, Any] = {"seeds": self.n_seeds, "seed": self.seed, **more, **self.data.settings}
        for model in models:
            values |= model.model_dump(mode="json")
        return values


@dataclass(frozen=True)
class Table:
    """Description of a table that a task will make; nothing is computed here.

    Attributes:
        name: `results/NAME`, or `tables/NAME` for an intermediate table, whose file name gets a digest.
        function: `"module:function"` that gets the loaded inputs and returns a table whose columns have units
            (`with_units`).
        prepare: `"module:function"` that gets the loaded inputs and returns the arguments of `function` as a tuple;
            the helper process then calls `function`, whose imports this one is spared. Empty for neither.
        inputs: Data, trained configurations, other tables, and plain values; the task loads their files first.
        settings: For the table's metadata.
        title: Name of the task run.
    """

    name: str
    function: str
    inputs: tuple[Any, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    prepare: str = ""

    @property
    def modules(self) -> tuple[str, ...]:
        """Return the modules of `function` and `prepare`: their source code is part of the cache key."""
        return _modules(self.function, self.prepare)


@dataclass(frozen=True)
class Figure:
    """Description of a figure that a task will draw; nothing is drawn here.

    Attributes:
        name: Name of its files, and of the figure in the report's section.
        draw: `"module:function"` that gets what `prepare` returns, or else the inputs, and returns a matplotlib Figure.
        inputs: As for a `Table`; without `prepare`, tables come as pandas frames.
        prepare: `"module:function"` that gets the loaded inputs and returns the arguments of `draw` as a tuple; empty
            for none.
        panel: Place of this experiment's panels in a figure that several experiments draw into; None for a figure of
            its own.
    """

    name: str
    draw: str
    inputs: tuple[Any, ...]
    prepare: str = ""
    panel: int | None = None

    @property
    def modules(self) -> tuple[str, ...]:
        """Return the modules of `draw` and `prepare`: their source code is part of the cache key."""
        return _modules(self.draw, self.prepare)


def _modules(*references: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reference.split(":")[0] for reference in references if reference))


@dataclass(frozen=True)
class Tuning:
    """A configuration whose learning rate is to be chosen on validation examples.

    Attributes:
        trial: The configuration.
        rates: Learning rates to choose from.
    """

    trial: Trial
    rates: tuple[float, ...]


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory that one part of a run needs at its peak, and the setting to lower if that is too much.

    Attributes:
        n_bytes: Memory in bytes.
        what: The part, in words.
        setting: Name of the setting that decides the size most.
        value: The setting's value.
    """

    n_bytes: int
    what: str
    setting: str
    value: object


def _nothing(*_: Any) -> tuple[()]:
    return ()


@dataclass(frozen=True)
class Experiment:
    """An experiment: its settings, what it trains, and which tables, figures, section and claims it makes.

    Attributes:
        name: Name of its result table, and of its rows in the history of losses.
        help: What its command does, in one sentence.
        settings: Class of its settings.
        parameter: Name of the flow's parameter that holds the settings.
        run_name: Template for the names of its runs, filled with the flow's parameters.
        data: The kinds of data that it can use; the first is the default.
        points: The kinds of drawn points that it can use, such as `spirals`.
        outputs: Function of the setup, the trained configurations and the data; returns the tables and figures to make.
        meanwhile: Function of the setup and the data; returns tables that need no training, to be made meanwhile. Among
            the outputs, or their inputs, the table of the same name stands for it.
        smallest: Small settings with which the tests run it.
        section: Module of its section of the report, with `SECTION`.
        claims: Module of its claims, with `CLAIMS`; empty if it makes none.
        trials: Function of the setup; returns the configurations to train.
        to_tune: Function of the setup and the trials; returns those to train once more with a tuned learning rate.
        tuned: Function of the setup, a trial and its tuned rate; returns the configuration to train. None if nothing is
            tuned.
        extra_memory: Function of the setup and the number of workers; returns memory needed for other work than
            training.
        reads_all_weights: Whether an output reads the weights of all members at once.
        others: Classes of the settings of other experiments that it reads.
        flow: Name of the flow that runs it; its own `name` if empty.
        n_seeds: Default number of members per configuration; None for the default of all experiments.
        tutorial: Its settings in the flow of the whole tutorial; None if it is not part of that.
        tutorial_divisor: In that flow it has the run's seeds divided by this, rounded down, at least one.
        beyond: Whether it goes beyond the tutorial's one seed, and therefore needs several.
        in_helper: Modules that its work in the helper process imports, in the order in which it needs them.
        in_playground: Whether `deep-mlp play` trains its configurations; its settings then have `depths`,
            `parameter_budget`, `start` and `gain`.
    """

    name: str
    help: str
    settings: type[Settings]
    parameter: str
    run_name: str
    data: tuple[DataKind, ...]
    outputs: Callable[[Setup, Sequence[Any], Any], Iterable[Table | Figure]]
    smallest: Settings
    section: str
    claims: str = ""
    points: tuple[str, ...] = DRAWN_POINTS
    meanwhile: Callable[[Setup, Any], Iterable[Table]] = _nothing
    trials: Callable[[Setup], Sequence[Trial]] = _nothing
    to_tune: Callable[[Setup, Sequence[Trial]], Sequence[Tuning]] = _nothing
    tuned: Callable[[Setup, Trial, float], Trial] | None = None
    extra_memory: Callable[[Setup, int], Iterable[MemoryEstimate]] = _nothing
    reads_all_weights: bool = False
    others: tuple[type[Settings], ...] = ()
    flow: str = ""
    n_seeds: int | None = None
    tutorial: Settings | None = None
    tutorial_divisor: int = 1
    beyond: bool = False
    in_helper: tuple[str, ...] = ("mlp_core.report.loss_curves",)
    in_playground: bool = False

    @property
    def tag(self) -> str:
        """Return the name of the flow that runs it; Prefect's tag of its tasks."""
        return self.flow or self.name


def resolve(reference: str) -> Callable[..., Any]:
    """Import and return the function that a string `"module:function"` names.

    Example:
        >>> resolve("math:sqrt")(9.0)
        3.0
    """
    module, name = reference.split(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function
