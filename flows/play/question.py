"""What the page can ask: one network, many seeds, drawn points; and the same as a flow and as a command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field

from mlp_core.data.datasets import Split, spirals, split
from mlp_core.data.points import drawn_points
from mlp_core.data.settings import DataSource, Spirals
from mlp_core.data.table_files import read_table_file
from mlp_core.data.tables import table_examples
from mlp_core.engine.architecture import hidden_width, parameter_count
from mlp_core.engine.configs import TrainConfig
from mlp_core.errors import InputError
from mlp_core.experiments.catalog import experiments
from mlp_core.experiments.interface import Data, Experiment, Setup
from mlp_core.settings import ActivationName, OptimizerName, Rate, Settings, text_of, title_of, validated
from mlp_core.statistics.wording import count
from tasks.run_settings import RunSettings
from tasks.stages import Stage, check_batches, data_of_points, flow_parameters, stages_of

N_INPUTS = 2
MOST_CLASSES = 8
MOST_WIDTH = 256
MOST_PARAMETERS = 1_000_000
MOST_PARAMETERS_TOGETHER = 32_000_000
"""Of all networks of a question: half a gigabyte with what the optimizer keeps of them."""
MOST_WORK = 2e12
"""Members times epochs times training examples times parameters: about ten minutes on two cores."""


class Question(Settings):
    """One network, trained with many seeds, on drawn points.

    The rules are those of the flow's settings; some limits are lower, as somebody waits for the answer.
    """

    data: Literal["spirals", "moons", "circles", "gauss", "xor", "table"] = "spirals"
    """Drawn points, or a table of one's own: two columns of numbers, and the classes last."""
    arms: Annotated[int, Field(title="Arms", ge=2, le=MOST_CLASSES)] = 4
    """Spiral arms, or clusters of gauss, each a class."""
    points: Annotated[int, Field(title="Points per class", ge=10, le=5000)] = 1000
    """Points per arm, or per class of other drawn points; a fifth of all is kept for the test."""
    noise: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.4
    """Noise sigma; its square is the standard deviation at the rim."""
    layers: Annotated[int, Field(title="Hidden layers", ge=1, le=64)] = 3
    """Number of hidden layers."""
    width: Annotated[int, Field(title="Width", ge=1, le=MOST_WIDTH)] = 6
    """Units of each hidden layer; with a parameter budget the width follows from it."""
    parameter_budget: Annotated[int, Field(title="Parameter budget", ge=0, le=100_000)] = 0
    """Trainable parameters that the network reaches with the smallest equal width; 0 to choose the width."""
    activation: ActivationName = "relu"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    start: Literal["pytorch", "xavier_normal", "xavier_uniform"] = "pytorch"
    """Initial weights: PyTorch's own, or Xavier's from a normal or uniform distribution."""
    gain: Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)] = 1.0
    """Factor on Xavier's standard deviation; PyTorch's start has none."""
    optimizer: OptimizerName = "adam"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 1e-3
    """Step size."""
    batch_size: Annotated[int, Field(ge=1, le=20_000)] = 128
    """Examples per step; the last short batch of an epoch is left out."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Passes over the training set."""
    seeds: Annotated[int, Field(title="Networks", ge=1, le=MOST_WIDTH)] = 64
    """How many networks are trained, each with a seed of its own."""
    seed: Annotated[int, Field(title="Root seed", ge=0, lt=2**53)] = 2021
    """Root seed: data, initial weights and shuffling all derive from it."""


@cache
def playground() -> Experiment:
    """Return the experiment whose configurations the page trains: the one with `in_playground`, the depth sweep."""
    (experiment,) = (experiment for experiment in experiments() if experiment.in_playground)
    return experiment


@dataclass(frozen=True, eq=False)
class OwnTable:
    """A table that the user has chosen in the page; it is kept in memory only.

    Attributes:
        name: Name of the file, for display.
        table: Its content.
    """

    name: str
    table: pa.Table

    @classmethod
    def read(cls, name: str, text: str) -> OwnTable:
        """Parse a table from text, such as CSV.

        Args:
            name: Name of the file, for display; shortened to 80 printable characters.
            text: Content of the file.

        Raises:
            InputError: If it cannot be read as a table.
        """
        printable = "".join(letter for letter in name if letter.isprintable())[:80] or "a table"
        with NamedTemporaryFile(suffix=".csv") as file:  # a name of ours: the page's never reaches the disk
            file.write(text.encode())
            file.flush()
            return cls(printable, read_table_file(Path(file.name), printable))

    @lru_cache(maxsize=4)  # noqa: B019 - a page drops its table with the next one
    def split(self, seed: int) -> Split:
        """Return the rows as standardised points, a fifth of each class for testing.

        Args:
            seed: Root seed, which decides the split.

        Raises:
            InputError: If there are not two columns of numbers and up to eight classes.
        """
        data = table_examples(self.table, DataSource(data=self.name), seed).data
        n_inputs, n_classes = data.train_inputs.shape[1], len(data.classes or ())
        if n_inputs != N_INPUTS or n_classes > MOST_CLASSES:
            message = (
                f"data must be two columns of numbers and up to {MOST_CLASSES} classes in the last, got {n_inputs} "
                f"inputs and {n_classes} classes in {self.name}; larger tables: deep-mlp depth-sweep --data FILE."
            )
            raise InputError(message)
        return data


@dataclass(frozen=True)
class Asked:
    """A validated question of the page (settings of networks to train), as data, configuration, flow and command.

    Attributes:
        question: The settings.
        own: The user's own table; None for drawn points.
    """

    question: Question
    own: OwnTable | None = None

    @cached_property
    def data(self) -> Split:
        """Return the training and test points; drawn ones are those of a flow with the same settings."""
        question = self.question
        if self.own:
            return self.own.split(question.seed)
        return _drawn(question.data, question.arms, question.points, question.noise, question.seed)

    @property
    def n_classes(self) -> int:
        """Return the number of classes."""
        return self._setup_data.n_classes

    @property
    def hidden_width(self) -> int:
        """Return the units of each hidden layer: the chosen width, or the smallest that reaches the budget."""
        layers, budget = self.question.layers, self.question.parameter_budget
        if not budget:
            return self.question.width
        return hidden_width(layers, n_inputs=N_INPUTS, n_outputs=self.n_classes, min_parameters=budget)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Return the number of inputs, the width of each hidden layer and the number of classes.

        Example:
            >>> Asked(Question(layers=2, parameter_budget=100)).layer_sizes
            (2, 7, 7, 4)
        """
        return (N_INPUTS, *[self.hidden_width] * self.question.layers, self.n_classes)

    @property
    def config(self) -> TrainConfig:
        """Return the training configuration: the same as in a flow, so that both train equal networks.

        Example:
            >>> Asked(Question()).config.name
            'depth=3 width=6'
        """
        (trial,) = playground().trials(self.stage.setup)
        return trial.config

    @property
    def stage(self) -> Stage:
        """Return the experiment with this question's settings, as a flow would run it."""
        question = self.question
        setup = Setup(self._network, self._setup_data, (), question.seed, question.seeds, "cpu")
        return Stage(playground(), setup)

    @property
    def flow_settings(self) -> dict[str, Settings]:
        """Return the flow's parameters (groups of settings by name) that ask the same question.

        The parameter budget is the network's own number of parameters if the width was chosen.

        Example:
            >>> Asked(Question(width=6)).flow_settings["sweep"].parameter_budget
            130
        """
        question = self.question
        return {
            playground().parameter: self._network,
            "source": DataSource(data=self.own.name if self.own else question.data),
            "spirals": Spirals(arms=question.arms, points=question.points, noise=question.noise),
            "run": RunSettings(seeds=question.seeds, seed=question.seed, device="cpu"),
        }

    @property
    def options(self) -> list[str]:
        """Return the command's options that differ from their defaults, as a list of words."""
        defaults, words = flow_parameters(playground().tag), []
        for group, settings in self.flow_settings.items():
            for name, value in settings:
                if value != getattr(defaults[group], name):
                    words += [f"--{name.replace('_', '-')}", text_of(value)]
        return words

    @property
    def command(self) -> str:
        """Return the shell command that asks the same question.

        Example:
            >>> Asked(Question(activation="leaky_relu(0.1)", data="moons")).command
            "deep-mlp depth-sweep --depths 3 --parameter-budget 116 --activation 'leaky_relu(0.1)' --data moons \
--seeds 64 --device cpu"
        """
        return shlex.join(["deep-mlp", playground().tag.replace("_", "-"), *self.options])

    @cached_property
    def _network(self) -> Settings:
        same = ("activation", "start", "gain", "optimizer", "learning_rate", "batch_size", "epochs")
        return validated(
            playground().settings,
            {
                "depths": (self.question.layers,),
                "parameter_budget": self.question.parameter_budget or parameter_count(self.layer_sizes),
                **{name: getattr(self.question, name) for name in same},
            },
        )

    @cached_property
    def _setup_data(self) -> Data:
        if self.own:
            data = self.data
            n_train, n_test = len(data.train_labels), len(data.test_labels)
            return Data(N_INPUTS, tuple(map(str, data.classes or ())), n_train, n_test, kind="tables")
        question = self.question
        spirals = Spirals(arms=question.arms, points=question.points, noise=question.noise)
        return data_of_points(question.data, spirals)


def asked(values: Mapping[str, Any], own: OwnTable | None = None) -> Asked:
    """Validate raw values, such as those of a form, and return the question.

    Args:
        values: Settings by name; missing ones have their defaults.
        own: The user's own table, if there is one; used if `data` is `table`.

    Raises:
        InputError: For the first value that breaks a rule, in one sentence; also if the network is too large or the
            training would take more than about ten minutes.

    Example:
        >>> asked({"layers": "5", "activation": "Tanh"}).question.activation
        'tanh'
        >>> asked({"seeds": 300})
        Traceback (most recent call last):
        mlp_core.errors.InputError: seeds must be less than or equal to 256, got 300; the default is 64.
    """
    question = validated(Question, dict(values))
    if question.data == "table" and own is None:
        message = "data must be drawn points as long as there is no table, got 'table'; choose a file first."
        raise InputError(message)
    asks = Asked(question, own if question.data == "table" else None)
    if asks.hidden_width > MOST_WIDTH:
        message = (
            f"parameter_budget must lead to a width of at most {MOST_WIDTH}, got {question.parameter_budget}, which "
            f"leads to {asks.hidden_width}; lower it, or add hidden layers."
        )
        raise InputError(message)
    n_parameters = parameter_count(asks.layer_sizes)
    if n_parameters > MOST_PARAMETERS:
        message = (
            f"layers must lead to at most {MOST_PARAMETERS:,} parameters, got {question.layers}, which leads to "
            f"{n_parameters:,}; lower it, or the width."
        )
        raise InputError(message)
    if n_parameters * question.seeds > MOST_PARAMETERS_TOGETHER:
        message = (
            f"seeds must be at most {MOST_PARAMETERS_TOGETHER // n_parameters} for networks of {n_parameters:,} "
            f"parameters, got {question.seeds}; lower it, or ask on the command line: {asks.command}"
        )
        raise InputError(message)
    if not asks.own:
        stages_of(playground().tag, {**flow_parameters(playground().tag), **asks.flow_settings})
    check_batches([asks.stage])
    n_train = asks.stage.setup.data.n_train
    most = int(MOST_WORK / (question.seeds * n_train * n_parameters))
    if question.epochs > most:
        message = (
            f"epochs must be at most {most} for {count(question.seeds, 'network')} of this size, got "
            f"{question.epochs}, or this page would compute for more than ten minutes; lower it, or ask on the command "
            f"line: {asks.command}"
        )
        raise InputError(message)
    return asks


def changes(asks: Asked, pinned: Asked) -> list[str]:
    """Return a phrase for each setting in which a question differs from a pinned one (kept for comparison).

    The number of networks (`seeds`) is not compared. A parameter budget is compared by the width that follows from it,
    and the gain is part of the start. The list is empty if nothing else differs.

    Example:
        >>> changes(Asked(Question(activation="tanh", layers=5)), Asked(Question()))
        ['hidden layers 5 instead of 3', 'activation tanh instead of relu']
        >>> changes(asked({"start": "xavier_normal", "gain": 1.4}), asked({}))
        ["start xavier normal with gain 1.4 instead of PyTorch's"]
    """
    by_budget = bool(asks.question.parameter_budget or pinned.question.parameter_budget)
    words = []
    for name, field in Question.model_fields.items():
        new, old = getattr(asks.question, name), getattr(pinned.question, name)
        if name == "width" and by_budget:
            new, old = asks.hidden_width, pinned.hidden_width
        if name == "start":
            new, old = _describe_start(asks.question), _describe_start(pinned.question)
        if new != old and name not in ("parameter_budget", "gain", "seeds"):
            words.append(f"{title_of(name, field).lower()} {text_of(new)} instead of {text_of(old)}")
    return words


def _describe_start(question: Question) -> str:
    if question.start == "pytorch":
        return "PyTorch's"
    return f"{question.start.replace('_', ' ')} with gain {text_of(question.gain)}"


@lru_cache(maxsize=16)
def _drawn(kind: str, arms: int, points: int, noise: float, seed: int) -> Split:
    if kind == "spirals":
        return split(*spirals(seed, arms=arms, points_per_arm=points, noise=noise), seed)
    return drawn_points(kind, seed, classes=arms if kind == "gauss" else 2, points=points, noise=noise)
