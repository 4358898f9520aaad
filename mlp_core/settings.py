"""What a user can set: one definition for command-line options, flow parameters and the form in Prefect's UI.

Light on purpose: the command line's help reads these models and must not wait for torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic.fields import ComputedFieldInfo, FieldInfo

from mlp_core.activations import ACTIVATION_NAMES, canonical_activation
from mlp_core.addresses import shown_address
from mlp_core.errors import InputError

_Model = TypeVar("_Model", bound=BaseModel)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def list_of_integers(value: Any) -> Any:
    """Turn the text `1,2,5` into a list of its parts, and `1:5` into the integers from 1 to 5.

    Parts stay texts, which pydantic converts and checks; what is no text is returned unchanged.

    Raises:
        ValueError: If a range falls or has more than 1000 numbers.
    """
    if not isinstance(value, str):
        return value
    if match := re.fullmatch(r"\s*(\d{1,6})\s*:\s*(\d{1,6})\s*", value):
        first, last = int(match[1]), int(match[2])
        if not first <= last < first + 1000:
            message = "must be a range from low to high, both ends included, of at most 1000 numbers, such as 1:5"
            raise ValueError(message)
        return list(range(first, last + 1))
    return [part.strip() for part in value.split(",") if part.strip()]


def list_of_numbers(value: Any) -> Any:
    """Turn the text `0.1,1,2` into a list of its parts, and `0.1:3.0:10` into 10 evenly spaced numbers, ends included.

    Parts stay texts, which pydantic converts and checks; what is no text is returned unchanged.

    Raises:
        ValueError: If a range is not start, stop and how many, or has more than 100000 numbers.
    """
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


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values unchanged if they all differ in their first six digits, which configurations are named by.

    Raises:
        ValueError: If two are equal.
    """
    if len({value if isinstance(value, str) else f"{value:.6g}" for value in values}) < len(values):
        message = "must hold each value once"
        raise ValueError(message)
    return values


def list_of_names(value: Any) -> Any:
    """Split the text `relu,tanh` at its commas into a list, without blanks; what is no text is returned unchanged."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def choices_or(others: str, names: Sequence[str]) -> WithJsonSchema:
    """Make a form show a text's usual values as choices, next to a field for any other.

    Args:
        others: What any other text is, for the form.
        names: The usual values.
    """
    choices = {"type": "string", "title": "Name", "enum": [*names]}
    return WithJsonSchema({"anyOf": [choices, {"type": "string", "title": others}]})


Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
ActivationName = Annotated[
    str,
    AfterValidator(canonical_activation),
    choices_or("Leaky ReLU with its slope, or another spelling", ACTIVATION_NAMES[:-1]),
]
Widths = Annotated[tuple[Positive, ...], Field(max_length=1000), BeforeValidator(list_of_integers)]
Depths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=1000)], ...],
    Field(min_length=1),
    BeforeValidator(list_of_integers),
    AfterValidator(distinct),
]
Gains = Annotated[
    tuple[Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)], ...],
    Field(min_length=1),
    BeforeValidator(list_of_numbers),
    AfterValidator(distinct),
]
OptimizerName = Literal["adam", "sgd"]


def title_of(name: str, field: FieldInfo | ComputedFieldInfo) -> str:
    """Return the label of a setting in a form: its title, or else its name with spaces and a capital letter.

    Example:
        >>> title_of("batch_size", FieldInfo())
        'Batch size'
    """
    return field.title or name.replace("_", " ").capitalize()


class Settings(BaseModel):
    """Base of all settings models: they cannot be changed after creation and refuse unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, field_title_generator=title_of
    )


def validated(model: type[_Model], values: dict[str, Any], defaults: _Model | None = None) -> _Model:
    """Check raw values, such as the strings of a command line, and return them as a settings model.

    Args:
        model: Class of the settings.
        values: Raw values by the names of the settings.
        defaults: Settings that hold the values not given; without it, the model's own defaults.

    Raises:
        InputError: For the first value that breaks a rule, in one sentence.

    Example:
        >>> from mlp_core.data.settings import Spirals
        >>> validated(Spirals, {"arms": "3"}).arms
        3
        >>> validated(Spirals, {"arms": "1"})
        Traceback (most recent call last):
        mlp_core.errors.InputError: arms must be greater than or equal to 2, got '1'; the default is 4.
    """
    try:
        base = {} if defaults is None else defaults.model_dump(exclude_defaults=True)
        return model.model_validate({**base, **values})
    except ValidationError as error:
        raise InputError(_sentence(model, error, defaults)) from None


def _sentence(model: type[BaseModel], error: ValidationError, defaults: BaseModel | None) -> str:
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
    value = first["input"]
    value_text = repr(shown_address(value) if isinstance(value, str) else value)  # without keys in an address
    value_text = value_text if len(value_text) <= 100 else f"{value_text[:97]}..."
    default = model.model_fields[name].default if defaults is None else getattr(defaults, name)
    return f"{subject} {rule}, got {value_text}; the default is {text_of(default)}."


def text_of(value: object) -> str:
    """Return a setting's value as text for the command line.

    Several values are joined by commas; more than three evenly spaced numbers become `start:stop:how many`.

    Example:
        >>> text_of((64, 64)), text_of(0.001), text_of((0.5, 1.0, 1.5, 2.0))
        ('64,64', '0.001', '0.5:2:4')
    """
    if isinstance(value, tuple):
        if len(value) > 3 and isinstance(value[0], float):
            range_text = f"{value[0]:g}:{value[-1]:g}:{len(value)}"
            if tuple(float(number) for number in list_of_numbers(range_text)) == value:
                return range_text
        return ",".join(text_of(item) for item in value)
    return repr(value) if isinstance(value, float) else str(value)
