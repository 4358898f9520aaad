"""Options that a command has under another name, or not at all: what the user is told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

import click

from mlp_core.errors import InputError
from mlp_core.settings import text_of

_ONE_NETWORK = "hidden_widths"
_MANY_DEPTHS = "width", "depths"


def other_names(fields: Iterable[str]) -> tuple[str, ...]:
    """Return what the layers of a command's networks are called in other commands.

    One network has a width of its own in each hidden layer; networks of several depths have one width.

    Args:
        fields: The command's settings.
    """
    own = set(fields)
    if _ONE_NETWORK in own:
        return _MANY_DEPTHS
    return (_ONE_NETWORK,) if own.issuperset(_MANY_DEPTHS) else ()


def in_own_names(command: str, defaults: Mapping[str, object], options: Mapping[str, Any]) -> dict[str, str]:
    """Return what was given under other names under the command's own, and tell the user so.

    Args:
        command: The command.
        defaults: Of all its settings.
        options: All that it takes, None if not given.

    Raises:
        InputError: If the command's own names cannot say it.
    """
    values: dict[str, str] = {name: options[name] for name in other_names(defaults) if options[name] is not None}
    if not values:
        return {}
    if _ONE_NETWORK in defaults:
        widths = cast(tuple[int, ...], defaults[_ONE_NETWORK])
        width, depth = values.get("width", str(widths[0])), values.get("depths", str(len(widths)))
        if not depth.isdecimal() or not 1 <= int(depth) <= 1000:
            message = f"depths must be one number from 1 to 1000 in {command}, got {depth!r}; use --hidden-widths."
            raise InputError(message)
        own = {_ONE_NETWORK: ",".join([width] * int(depth))}
    else:
        listed = [part.strip() for part in values[_ONE_NETWORK].split(",")]
        if len(set(listed)) > 1:
            message = (
                f"hidden_widths must be equal in {command}, whose networks have one width, got "
                f"{values[_ONE_NETWORK]!r}; use --width and --depths."
            )
            raise InputError(message)
        own = {"width": listed[0], "depths": str(len(listed))}
    if twice := [name for name in own if options[name] is not None]:
        message = f"{twice[0]} must be given once, got it as {_written(values)} too; use one of the two."
        raise InputError(message)
    click.echo(f"deep-mlp: {_written(values)} is {_written(own)} in {command}.", err=True)
    return own


def no_such_option(error: click.NoSuchOption, options: Mapping[str, Collection[str]]) -> str:
    """Return a sentence that says which commands have an option, if any has.

    Args:
        error: What was given.
        options: Names of the settings by command.
    """
    name = error.option_name.lstrip("-").replace("-", "_")
    having = [command for command, names in options.items() if name in names]
    command = error.ctx.info_name if error.ctx else None
    if not having or command not in options:
        return error.format_message()
    return f"{command} has no option {error.option_name}, which is one of {', '.join(having)}; see {command} --help."


def _written(options: Mapping[str, object]) -> str:
    return " ".join(f"--{name.replace('_', '-')} {text_of(value)}" for name, value in options.items())
