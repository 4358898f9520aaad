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
    """Return the settings by which other commands describe hidden layers, if this command has its own way.

    A command with `hidden_widths` (a width for each hidden layer) also understands `width` and `depths`, and a command
    with these two understands `hidden_widths`.

    Args:
        fields: Names of the command's settings.

    Returns:
        Names of settings; empty for a command that has neither.
    """
    own = set(fields)
    if _ONE_NETWORK in own:
        return _MANY_DEPTHS
    return (_ONE_NETWORK,) if own.issuperset(_MANY_DEPTHS) else ()


def in_own_names(command: str, defaults: Mapping[str, object], options: Mapping[str, Any]) -> dict[str, str]:
    """Translate options that were given under another command's names (see `other_names`), and print the translation.

    Args:
        command: Name of the command.
        defaults: Default values of all its settings.
        options: All option values, None where not given.

    Returns:
        Option texts under the command's own names; empty if there is nothing to translate.

    Raises:
        InputError: If the command cannot express it, such as different widths, or got the same under both names.
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
    """Return the error sentence for an unknown option; it names the commands that have the option, if any.

    Args:
        error: The error that click raised.
        options: Names of the settings of each command, by command.
    """
    name = error.option_name.lstrip("-").replace("-", "_")
    having = [command for command, names in options.items() if name in names]
    command = error.ctx.info_name if error.ctx else None
    if not having or command not in options:
        return error.format_message()
    return f"{command} has no option {error.option_name}, which is one of {', '.join(having)}; see {command} --help."


def _written(options: Mapping[str, object]) -> str:
    return " ".join(f"--{name.replace('_', '-')} {text_of(value)}" for name, value in options.items())
