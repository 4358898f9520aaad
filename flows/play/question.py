"""What the page can ask: one network, many seeds, drawn points; and the same as a flow and as a command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field

from mlp_core.data.settings import Spirals
from mlp_core.engine.architecture import hidden_width, parameter_count
from mlp_core.engine.configs import TrainConfig
from mlp_core.errors import InputError
from mlp_core.experiments.catalog import experiments
from mlp_core.experiments.interface import Experiment, Setup
from mlp_core.settings import ActivationName, OptimizerName, Rate, Settings, text_of, title_of, validated
from tasks.run_settings import RunSettings
from tasks.stages import Stage, check_batches, data_of_spirals, flow_parameters

N_INPUTS = 2
MOST_WORK = 2e12
"""Members times epochs times training examples times parameters: about ten minutes on two cores."""


class Question(Settings):
    """One network, trained with many seeds, on drawn points.

    The rules are those of the flow's settings; some limits are lower, as somebody waits for the answer.
    """

    arms: Annotated[int, Field(title="Arms", ge=2, le=8)] = 4
    """Spiral arms, each a class."""
    points: Annotated[int, Field(title="Points per arm", ge=10, le=5000)] = 1000
    """Points per arm; a fifth of all points is kept for the test."""
    noise: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.4
    """Noise sigma; its square is the standard deviation at the rim."""
    layers: Annotated[int, Field(title="Hidden layers", ge=1, le=64)] = 3
    """Number of hidden layers."""
    width: Annotated[int, Field(title="Width", ge=1, le=256)] = 6
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
    seeds: Annotated[int, Field(title="Networks", ge=1, le=256)] = 64
    """How many networks are trained, each with a seed of its own."""
    seed: Annotated[int, Field(title="Root seed", ge=0, lt=2**53)] = 2021
    """Root seed: data, initial weights and shuffling all derive from it."""

    @property
    def spirals(self) -> Spirals:
        """Return the settings of the points."""
        return Spirals(arms=self.arms, points=self.points, noise=self.noise)

    @property
    def hidden_width(self) -> int:
        """Return the units of each hidden layer, chosen or by the budget."""
        if not self.parameter_budget:
            return self.width
        return hidden_width(self.layers, n_inputs=N_INPUTS, n_outputs=self.arms, min_parameters=self.parameter_budget)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Return inputs, hidden widths and outputs.

        Example:
            >>> Question(layers=2, parameter_budget=100).layer_sizes
            (2, 7, 7, 4)
        """
        return (N_INPUTS, *[self.hidden_width] * self.layers, self.arms)


@cache
def playground() -> Experiment:
    """Return the experiment that trains a single network of any depth, width and start."""
    (experiment,) = (one for one in experiments() if one.in_playground)
    return experiment


def asked(values: Mapping[str, Any]) -> Question:
    """Return the question of raw values, such as those of a form.

    Args:
        values: By name; what is left out has its default.

    Raises:
        InputError: For the first value that breaks a rule, in one sentence.

    Example:
        >>> asked({"layers": "5", "activation": "Tanh"}).activation
        'tanh'
        >>> asked({"seeds": 300})
        Traceback (most recent call last):
        mlp_core.errors.InputError: seeds must be less than or equal to 256, got 300; the default is 64.
    """
    question = validated(Question, dict(values))
    if question.hidden_width > 256:
        message = (
            f"parameter_budget must lead to a width of at most 256, got {question.parameter_budget}, which leads to "
            f"{question.hidden_width}; lower it, or add hidden layers."
        )
        raise InputError(message)
    stage = Stage(playground(), _setup(question))
    check_batches([stage])
    n_train = stage.setup.data.n_train
    most = int(MOST_WORK / (question.seeds * n_train * parameter_count(question.layer_sizes)))
    if question.epochs > most:
        message = (
            f"epochs must be at most {most} for {question.seeds} networks of this size, got {question.epochs}, or this "
            f"page would compute for more than ten minutes; lower it, or ask on the command line: {command(question)}"
        )
        raise InputError(message)
    return question


def config_of(question: Question) -> TrainConfig:
    """Return what is trained: the very configuration of the flow, so that both give the same networks.

    Example:
        >>> config_of(Question()).name
        'depth=3 width=6'
    """
    (trial,) = playground().trials(_setup(question))
    return trial.config


def flow_settings(question: Question) -> dict[str, Settings]:
    """Return the groups of the flow's settings that ask the same.

    Example:
        >>> flow_settings(Question(width=6))["sweep"].parameter_budget
        130
    """
    run = RunSettings(seeds=question.seeds, seed=question.seed, device="cpu")
    return {playground().parameter: _network(question), "spirals": question.spirals, "run": run}


def command(question: Question) -> str:
    """Return the command that asks the same on a terminal: what differs from its defaults.

    Example:
        >>> command(Question(activation="leaky_relu(0.1)"))
        "deep-mlp depth-sweep --depths 3 --parameter-budget 130 --activation 'leaky_relu(0.1)' --seeds 64 --device cpu"
    """
    return shlex.join(["deep-mlp", playground().tag.replace("_", "-"), *options(question)])


def options(question: Question) -> list[str]:
    """Return the options of the command, one word each."""
    defaults, words = flow_parameters(playground().tag), []
    for group, settings in flow_settings(question).items():
        for name, value in settings:
            if value != getattr(defaults[group], name):
                words += [f"--{name.replace('_', '-')}", text_of(value)]
    return words


def changes(question: Question, pinned: Question) -> list[str]:
    """Return what tells a question from another, in words.

    Example:
        >>> changes(Question(activation="tanh", layers=5), Question())
        ['hidden layers 5 instead of 3', 'activation tanh instead of relu']
    """
    by_budget = bool(question.parameter_budget or pinned.parameter_budget)
    words = []
    for name, field in Question.model_fields.items():
        new, old = getattr(question, name), getattr(pinned, name)
        if name == "width" and by_budget:
            new, old = question.hidden_width, pinned.hidden_width
        if new != old and name not in ("parameter_budget", "seeds"):
            words.append(f"{title_of(name, field).lower()} {text_of(new)} instead of {text_of(old)}")
    return words


def _network(question: Question) -> Settings:
    same = ("activation", "start", "gain", "optimizer", "learning_rate", "batch_size", "epochs")
    return validated(
        playground().settings,
        {
            "depths": (question.layers,),
            "parameter_budget": question.parameter_budget or parameter_count(question.layer_sizes),
            **{name: getattr(question, name) for name in same},
        },
    )


def _setup(question: Question) -> Setup:
    return Setup(_network(question), data_of_spirals(question.spirals), (), question.seed, question.seeds, "cpu")
