"""What a user can set: one definition for command-line options, flow parameters and the form in Prefect's UI.

Light on purpose: the command line's help reads these models and must not wait for torch.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_serializer,
)
from pydantic.fields import ComputedFieldInfo, FieldInfo

from mlp_core.activations import ACTIVATION_NAMES, canonical_activation
from mlp_core.data.addresses import shown_address
from mlp_core.errors import InputError

_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[A-Za-z0-9!_.*'()=/-]*)?")

_Model = TypeVar("_Model", bound=BaseModel)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _integers(value: Any) -> Any:
    """Turn `1,2,5` and `1:5` (both ends included) into a list; leave everything else to pydantic."""
    if not isinstance(value, str):
        return value
    if match := re.fullmatch(r"\s*(\d{1,6})\s*:\s*(\d{1,6})\s*", value):
        first, last = int(match[1]), int(match[2])
        if not first <= last < first + 1000:
            message = "must be a range from low to high, both ends included, of at most 1000 numbers, such as 1:5"
            raise ValueError(message)
        return list(range(first, last + 1))
    return [part.strip() for part in value.split(",") if part.strip()]


def _range_of_numbers(value: Any) -> Any:
    """Turn `0.1,1,2` and `0.1:3.0:10` (start, stop, how many) into a list; leave everything else to pydantic."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(":")]
    if len(parts) == 1:
        return [part.strip() for part in value.split(",") if part.strip()]
    if len(parts) != 3 or not parts[2].isdecimal() or not 1 <= int(parts[2]) <= 100_000:
        message = "must be numbers such as 0.5,1,2 or a range such as 0.1:3.0:10 (start:stop:how many, at most 100000)"
        raise ValueError(message)
    start, stop, count = _number(parts[0]), _number(parts[1]), int(parts[2])
    if start is None or stop is None:
        message = "must begin and end with a number"
        raise ValueError(message)
    if count == 1:
        return [start]
    step = (stop - start) / (count - 1)
    return [*(index * step + start for index in range(count - 1)), stop]


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse values that the names of configurations, with six digits, could not tell apart."""
    if len({value if isinstance(value, str) else f"{value:.6g}" for value in values}) < len(values):
        message = "must hold each value once"
        raise ValueError(message)
    return values


def _names(value: Any) -> Any:
    """Turn `relu,tanh` into a list; leave everything else to pydantic."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
ActivationName = Annotated[
    str,
    AfterValidator(canonical_activation),
    WithJsonSchema(  # a form shows the names as choices
        {
            "anyOf": [
                {"type": "string", "title": "Name", "enum": list(ACTIVATION_NAMES[:-1])},
                {"type": "string", "title": "Leaky ReLU with its slope, or another spelling"},
            ]
        }
    ),
]
Widths = Annotated[tuple[Positive, ...], Field(max_length=1000), BeforeValidator(_integers)]
Depths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=1000)], ...],
    Field(min_length=1),
    BeforeValidator(_integers),
    AfterValidator(_distinct),
]
Gains = Annotated[
    tuple[Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)], ...],
    Field(min_length=1),
    BeforeValidator(_range_of_numbers),
    AfterValidator(_distinct),
]
OptimizerName = Literal["adam", "sgd"]


def _folder_or_bucket(value: Any) -> Any:
    """Let in a path, and of addresses that of a bucket; never one that carries keys."""
    location = str(value) if isinstance(value, Path) else value
    if isinstance(location, str) and "://" in location and not _BUCKET.fullmatch(location):
        message = "must be a folder or s3://BUCKET/PREFIX, with the keys in the environment (AWS_ACCESS_KEY_ID)"
        raise ValueError(message)
    return location


def _scheduler_of_dask(value: str, others: ValidationInfo) -> str:
    if not re.fullmatch(r"((tcp|tls)://[^\s:/@]+:\d{1,5})?", value):
        message = "must be an address such as tcp://127.0.0.1:8786"
        raise ValueError(message)
    if value and others.data.get("runner") != "dask":
        message = "must be left out unless --runner dask"
        raise ValueError(message)
    if value and others.data.get("workers"):
        message = "must be left out with --workers: the workers are those of the scheduler"
        raise ValueError(message)
    return value


def title_of(name: str, field: FieldInfo | ComputedFieldInfo) -> str:
    """Return what a form calls a setting.

    Example:
        >>> title_of("batch_size", DepthSweep.model_fields["batch_size"])
        'Batch size'
    """
    return field.title or name.replace("_", " ").capitalize()


class Settings(BaseModel):
    """Base of all settings: frozen, and nothing unknown is let in."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, field_title_generator=title_of
    )


class Photographs(Settings):
    """The photographs of the experiments that take any."""

    images: Annotated[str, Field(min_length=1)] = "synthetic"
    """Photographs: synthetic, animal-faces, an http(s) URL of a zip, a local zip or a folder of a folder per class."""
    skip_bad_images: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """How many image files that cannot be used may be left out; they are named in the log and counted in the report."""

    @field_serializer("images", when_used="json")
    def _without_secrets(self, images: str) -> str:
        """Prefect keeps a run's settings as JSON, for everyone who can open its page."""
        return shown_address(images)


class Run(Settings):
    """How to run: what all experiments have in common, the rarest last."""

    seeds: Annotated[int, Field(title="Seeds per configuration", ge=1, le=1_000_000)] = 8
    """Members per configuration, each with a seed of its own; 1 is the tutorial's own protocol."""
    seed: Annotated[int, Field(title="Root seed", ge=0, lt=2**63)] = 2021
    """Root seed: data, initial weights and shuffling all derive from it."""
    artifacts: Annotated[str, Field(min_length=1), BeforeValidator(_folder_or_bucket)] = "artifacts"
    """Folder for results, figures, models, report and cache, or s3://BUCKET/PREFIX."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto takes a GPU if there is one."""
    refresh: bool = False
    """Make everything again, whatever the cache holds."""
    time_limit_seconds: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 0.0
    """How long one training may take before it counts as failed; 0 for as long as it needs."""
    on_drift: Literal["ignore", "drifted", "failed"] = "ignore"
    """How a run ends whose figures moved from the accepted baseline; with ignore it is not compared."""
    runner: Literal["threads", "processes", "dask"] = "threads"
    """How tasks run side by side."""
    workers: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Tasks side by side, at most one per core; 0 is one per core."""
    scheduler: Annotated[str, AfterValidator(_scheduler_of_dask)] = ""
    """Address of a dask scheduler that is up, such as tcp://127.0.0.1:8786; without it dask runs on this machine."""


class RunOnPhotographs(Run, Photographs):
    """How to run an experiment on photographs, and on which."""


class FewSeeds(RunOnPhotographs):
    """How to run an experiment of so many configurations that two members of each are enough to begin with."""

    seeds: Annotated[int, Field(title="Seeds per configuration", ge=1, le=1_000_000)] = 2
    """Members per configuration, each with a seed of its own; 1 is the tutorial's own protocol."""


class Spirals(Settings):
    """The spirals: points on arms around the origin, one class per arm."""

    arms: Annotated[int, Field(ge=2, le=100)] = 4
    """Spiral arms, each a class."""
    points: Annotated[int, Field(ge=10, le=1_000_000)] = 1000
    """Points per arm."""
    noise: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.4
    """Noise sigma; its square is the standard deviation at the rim."""


class DepthSweep(Settings):
    """Depth against width at a fixed parameter budget (section 1)."""

    depths: Depths = (1, 2, 3, 4, 5)
    """Numbers of hidden layers."""
    parameter_budget: Positive = 100
    """Trainable parameters that each network reaches with the smallest equal width."""
    activation: ActivationName = "relu"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "adam"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 1e-3
    """Step size."""
    epochs: Positive = 100
    """Passes over the training set."""
    batch_size: Positive = 128
    """Examples per step; the last short batch of an epoch is left out."""


class Explanation(Settings):
    """Interventions on the depth sweep: what carries the decline with depth (section 1)."""

    explain: bool = False
    """Train from other starts and with other activations too, and say what carries the decline with depth."""
    explain_activations: Annotated[
        tuple[ActivationName, ...], Field(min_length=1), BeforeValidator(_names), AfterValidator(_distinct)
    ] = ("relu", "leaky_relu(0.1)", "tanh", "gelu")
    """Activations to explain with: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    explain_epochs: Positive = 200
    """Passes of one more training from PyTorch's start; as many as the sweep has for none."""


class Polynomial(Settings):
    """One linear layer on polynomial features (section 1.1)."""

    degree: Annotated[int, Field(ge=1, le=500)] = 50
    """Highest total degree of the monomials."""
    optimizer: OptimizerName = "adam"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 1e-3
    """Step size."""
    epochs: Positive = 100
    """Passes over the training set."""
    batch_size: Positive = 128
    """Examples per step."""


class Images(Settings):
    """A multilayer perceptron on photographs of animal faces (section 2)."""

    hidden_widths: Widths = (64, 64, 64)
    """Units of each hidden layer."""
    activation: ActivationName = "relu"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "adam"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 3e-4
    """Step size."""
    epochs: Positive = 30
    """Passes over the training set."""
    batch_size: Positive = 64
    """Examples per step."""


class GainSweep(Settings):
    """Xavier weights at several gains, one epoch each (bonus)."""

    gains: Gains = tuple(index * ((3.0 - 0.1) / 9) + 0.1 for index in range(9)) + (3.0,)  # noqa: RUF005 - a range and its end
    """Factors on Xavier's standard deviation."""
    distribution: Literal["normal", "uniform"] = "normal"
    """Distribution of the initial weights."""
    hidden_widths: Widths = (128, 64, 32)
    """Units of each hidden layer."""
    activation: ActivationName = "leaky_relu(0.1)"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "sgd"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 1e-2
    """Step size."""
    epochs: Positive = 1
    """Passes over the training set."""
    batch_size: Positive = 64
    """Examples per step."""


class Signals(Settings):
    """Lengths, angles and gradients in random networks, beside what theory predicts (bonus)."""

    activation: ActivationName = "tanh"
    """Transfer function between the layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    relative_gains: Gains = (0.7, 1.0, 1.5)
    """Gains as multiples of the critical one: order below 1, chaos above."""
    sigma_b: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.3
    """Standard deviation of a bias; 0.3 is that of Poole et al. 2016, PyTorch's at width 500 is 0.026."""
    distribution: Literal["normal", "uniform"] = "normal"
    """Distribution of weights and biases."""
    width: Annotated[int, Field(ge=2, le=20_000)] = 500
    """Units of each layer."""
    layers: Annotated[int, Field(ge=2, le=1000)] = 20
    """Layers to measure in, the first linear."""


class Phase(Settings):
    """Which networks can be trained, over gain and depth (bonus)."""

    data: Literal["images", "spirals"] = "images"
    """What to train on."""
    examples: Positive = 512
    """Training examples, drawn from the training set once for all; the whole set if it is smaller."""
    depths: Depths = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    """Numbers of hidden layers."""
    gains: Gains = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0)
    """Factors on Xavier's standard deviation."""
    width: Positive = 64
    """Units of each hidden layer."""
    activation: ActivationName = "tanh"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "sgd"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 1.25e-2
    """Step size."""
    epochs: Positive = 32
    """Passes over the training examples."""
    batch_size: Positive = 64
    """Examples per step."""


class Generalization(Settings):
    """Wide against deep outside the training region (section 1.1)."""

    degrees: Annotated[
        tuple[Annotated[int, Field(ge=1, le=500)], ...],
        Field(min_length=1),
        BeforeValidator(_integers),
        AfterValidator(_distinct),
    ] = (1, 2, 5, 10, 20, 50)
    """Highest total degrees of the polynomial models."""
    depths: Depths = (1, 2, 3, 5)
    """Numbers of hidden layers of the multilayer perceptrons."""
    parameter_budgets: Annotated[
        tuple[Positive, ...], Field(min_length=1), BeforeValidator(_integers), AfterValidator(_distinct)
    ] = (100, 5304)
    """Trainable parameters to reach; 5304 are those of the polynomial of degree 50 with four arms."""
    activation: ActivationName = "relu"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "adam"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 1e-3
    """Step size."""
    epochs: Positive = 100
    """Passes over the training set."""
    batch_size: Positive = 128
    """Examples per step."""


class Features(Settings):
    """What the first layer of networks on photographs looks for (section 2)."""

    depths: Depths = (1, 3, 5)
    """Numbers of hidden layers."""
    width: Positive = 64
    """Units of each hidden layer."""
    activation: ActivationName = "relu"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "adam"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 3e-4
    """Step size."""
    epochs: Positive = 30
    """Passes over the training set."""
    batch_size: Positive = 64
    """Examples per step."""


def validated(model: type[_Model], values: dict[str, Any]) -> _Model:
    """Return a settings model for raw values, such as the strings of a command line.

    Raises:
        InputError: For the first value that breaks a rule, in one sentence.

    Example:
        >>> validated(GainSweep, {"gains": "0.5:1.5:3"}).gains
        (0.5, 1.0, 1.5)
        >>> validated(Run, {"seeds": "0"})
        Traceback (most recent call last):
        mlp_core.errors.InputError: seeds must be greater than or equal to 1, got '0'; the default is 8.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(_sentence(model, error)) from None


def _sentence(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else model.__name__
    if first["type"] == "extra_forbidden":
        return f"{name} is no setting of {model.__name__}; choose from {', '.join(model.model_fields)}."
    rule = first["msg"].removeprefix("Value error, ").replace("Input should", "must")
    rule = rule.replace("must be a valid integer", "must be a whole number").split(", unable to")[0]
    rule = (
        rule.replace("Tuple should", "must")
        .replace("Value should", "must")
        .replace("String should", "must")
        .split(" after validation")[0]
    )
    if "must" not in rule:
        rule = f"must be valid: {rule}"
    subject = name if rule.startswith("must") else f"{name}:"
    found = first["input"]
    shown = repr(shown_address(found) if isinstance(found, str) else found)  # without keys in an address
    shown = shown if len(shown) <= 100 else f"{shown[:97]}..."
    return f"{subject} {rule}, got {shown}; the default is {text_of(model.model_fields[name].default)}."


def text_of(value: object) -> str:
    """Return a setting's value as one writes it on the command line.

    Example:
        >>> text_of((64, 64)), text_of(0.001), text_of(GainSweep().gains)
        ('64,64', '0.001', '0.1:3:10')
    """
    if isinstance(value, tuple):
        if len(value) > 3 and isinstance(value[0], float):
            range_text = f"{value[0]:g}:{value[-1]:g}:{len(value)}"
            if tuple(float(number) for number in _range_of_numbers(range_text)) == value:
                return range_text
        return ",".join(text_of(item) for item in value)
    return repr(value) if isinstance(value, float) else str(value)
