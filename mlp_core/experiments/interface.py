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
    """What configurations need to know of the data.

    Attributes:
        n_inputs: Numbers in an example.
        classes: Names in the order of the labels.
        n_train: Training examples.
        n_test: Test examples.
        settings: What a table's metadata says of where the data come from.
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
        """Return how many classes there are."""
        return len(self.classes)


@dataclass(frozen=True)
class Setup:
    """What a run asks of an experiment.

    Attributes:
        settings: The experiment's own.
        data: What is known of its data.
        others: Settings of other experiments that it reads.
        seed: Root seed.
        n_seeds: Members per configuration and gain.
        device: Where to train.
    """

    settings: Any
    data: Data
    others: tuple[Settings, ...] = ()
    seed: int = 2021
    n_seeds: int = 8
    device: str = "cpu"

    def training(self, settings: Settings | None = None) -> Training:
        """Return how to train by settings: the experiment's own, or others."""
        values = dict(settings or self.settings)
        names = {"activation", "optimizer", "learning_rate", "epochs", "batch_size"} & values.keys()
        return Training(**{name: values[name] for name in names}, seed=self.seed, device=self.device)

    def other(self, group: type[_Group]) -> _Group:
        """Return the settings of another experiment."""
        return next(settings for settings in self.others if isinstance(settings, group))

    def table_settings(self, *models: Settings, **more: Any) -> dict[str, Any]:
        """Return what a result table's metadata says of the settings: seeds, data and the models given."""
        values: dict[str, Any] = {"seeds": self.n_seeds, "seed": self.seed, **more, **self.data.settings}
        for model in models:
            values |= model.model_dump(mode="json")
        return values


@dataclass(frozen=True)
class Table:
    """A table to make.

    Attributes:
        name: `results/NAME`, or `tables/NAME` for an intermediate one, whose file gets a digest after its name.
        function: `"module:function"`: gets the inputs, returns a table whose columns have units (`with_units`).
        inputs: Data, trained configurations, other tables, and plain values. Files come loaded: see `tasks.results`.
        settings: For the table's metadata.
        title: What the task is called.
    """

    name: str
    function: str
    inputs: tuple[Any, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""

    @property
    def modules(self) -> tuple[str, ...]:
        """Return the modules whose source decides the table."""
        return (self.function.split(":")[0],)


@dataclass(frozen=True)
class Figure:
    """A figure to draw.

    Attributes:
        name: Of its file, and of the figure in the report's section.
        draw: `"module:function"`: returns a matplotlib Figure of what `prepare` gives, or of the inputs themselves.
        inputs: As of a `Table`; with no `prepare`, tables come as pandas frames.
        prepare: `"module:function"`: gets the loaded inputs, returns what is drawn as a tuple.
        panel: For a figure that several experiments draw into: where this one's inputs stand among theirs.
    """

    name: str
    draw: str
    inputs: tuple[Any, ...]
    prepare: str = ""
    panel: int | None = None

    @property
    def modules(self) -> tuple[str, ...]:
        """Return the modules whose source decides the figure."""
        return tuple(reference.split(":")[0] for reference in (self.draw, self.prepare) if reference)


@dataclass(frozen=True)
class Tuning:
    """A configuration whose learning rate is chosen on validation examples before it is trained.

    Attributes:
        trial: The configuration.
        rates: Learning rates to choose from.
    """

    trial: Trial
    rates: tuple[float, ...]


@dataclass(frozen=True)
class MemoryEstimate:
    """What a part of a run needs at its peak.

    Attributes:
        n_bytes: Memory.
        what: The part, in words.
        setting: Name of the setting that decides the size most.
        value: Its value.
    """

    n_bytes: int
    what: str
    setting: str
    value: object


def _nothing(*_: Any) -> tuple[()]:
    return ()


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
        name: Of its result table, and in the history.
        help: What its command does, in one sentence.
        settings: The model of its settings.
        parameter: What its flow calls them.
        run_name: What its runs are called by: a template with the flow's parameters.
        data: The kinds of data it takes; the first unless `--data` says otherwise.
        points: Which drawn points it takes, if it takes any.
        outputs: Gets the setup, the trained configurations and the data; returns tables and figures to make.
        smallest: Settings with which the tests run it.
        section: Module of the report's section, with `SECTION`.
        claims: Module of its claims, with `CLAIMS`; empty if it makes none.
        trials: What to train.
        to_tune: Gets the setup and the trials; which of them train once more, with a tuned learning rate.
        tuned: Gets the setup, a trial and its tuned rate; returns what to train.
        extra_memory: Memory that is not for training: gets the setup and the number of workers.
        reads_all_weights: Whether an output reads the weights of all members at once.
        others: Settings of other experiments that it reads.
        flow: The flow that runs it; its own if empty.
        n_seeds: Members per configuration unless the user says otherwise; None for as many as usual.
        tutorial: Its settings in the flow of the whole tutorial; None to stay out.
        tutorial_seeds: Members per configuration there, if not as many as the run says.
        beyond: Whether it goes past the tutorial's own protocol, which is one seed, and so needs several.
        in_playground: Whether `deep-mlp play` asks it; its settings have `depths`, `parameter_budget`, `start`, `gain`.
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
    trials: Callable[[Setup], Sequence[Trial]] = _nothing
    to_tune: Callable[[Setup, Sequence[Trial]], Sequence[Tuning]] = _nothing
    tuned: Callable[[Setup, Trial, float], Trial] | None = None
    extra_memory: Callable[[Setup, int], Iterable[MemoryEstimate]] = _nothing
    reads_all_weights: bool = False
    others: tuple[type[Settings], ...] = ()
    flow: str = ""
    n_seeds: int | None = None
    tutorial: Settings | None = None
    tutorial_seeds: int | None = None
    beyond: bool = False
    in_playground: bool = False

    @property
    def tag(self) -> str:
        """Return the name of its flow, with which Prefect marks its tasks."""
        return self.flow or self.name


def resolve(reference: str) -> Callable[..., Any]:
    """Return the function that `"module:function"` names.

    Example:
        >>> resolve("math:sqrt")(9.0)
        3.0
    """
    module, name = reference.split(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function
