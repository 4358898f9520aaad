"""The program `deep-mlp`: options from the settings models, one server for the run, one sentence for a mistake."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NoReturn, get_args, get_origin

import click

from flows.artifact_folder import artifacts, on_artifacts
from flows.option_names import in_own_names, no_such_option, other_names
from flows.predicting import predict
from flows.server import RunLost
from flows.stopping import STOPPED, is_asked, say_stopped, stop_by_signals
from mlp_core.errors import DeepMlpError, Drifted, InputError, ResourceError, Stopped
from mlp_core.settings import Settings, text_of, validated
from tasks.process import configure
from tasks.stages import TUTORIAL, flow_help, flow_names, flow_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from upath import UPath

_SHARED = "spirals", "run"
"""The parameters of the tutorial that its command has options for; the form has those of its experiments, too."""


def _command_parameters(command: str) -> dict[str, Settings]:
    """Return the parameters that a command sets, with their defaults."""
    flow = command.replace("-", "_")
    parameters = flow_parameters(flow)
    return {name: parameters[name] for name in _SHARED} if flow == TUTORIAL else parameters


def _settings_of_commands() -> dict[str, list[str]]:
    commands = [flow.replace("_", "-") for flow in flow_names()]
    return {
        command: [name for group in _command_parameters(command).values() for name in type(group).model_fields]
        for command in commands
    }


def _options(parameters: dict[str, Settings]) -> list[click.Parameter]:
    options: list[click.Parameter] = []
    for group in parameters.values():
        for name, field in type(group).model_fields.items():
            value = getattr(group, name)
            flag = f"--{name.replace('_', '-')}"
            if field.annotation is bool:
                options.append(click.Option([flag], is_flag=True, help=field.description))
                continue
            default = text_of(value)
            help_text = f"{(field.description or '').rstrip('.')}{_syntax(field.annotation)}."
            help_text += f"  [default: {default}]" if default else ""
            choices = [str(value) for value in getattr(field.annotation, "__args__", ()) if isinstance(value, str)]
            metavar = "|".join(choices) or _metavar(value)
            options.append(click.Option([flag], type=str, metavar=metavar, help=help_text))
    others = other_names(name for group in parameters.values() for name in type(group).model_fields)
    return options + [click.Option([f"--{name.replace('_', '-')}"], type=str, hidden=True) for name in others]


def _syntax(annotation: Any) -> str:
    """Return how a list is written on the command line; the form in Prefect's UI has an editor for it."""
    if get_origin(annotation) is not tuple:
        return ""
    item = get_args(annotation)[0]
    syntax = {int: "such as 1,2,5 or 1:5", float: "such as 0.5,1,2 or 0.1:3:10 (start:stop:count)"}
    return f"; {syntax.get(getattr(item, '__origin__', item), 'separated by commas')}"


def _metavar(default: object) -> str:
    if isinstance(default, tuple):
        return "LIST"
    return {int: "N", float: "X"}.get(type(default), "TEXT")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="deep-mlp")
def program() -> None:
    """A laboratory for multilayer perceptrons: the tutorial "Deep MLPs", with many seeds at once."""


def _run_command(name: str, **options: Any) -> None:
    parameters = _command_parameters(name)
    defaults = {field: value for group in parameters.values() for field, value in group}
    options |= in_own_names(name, defaults, options)
    for parameter, group in parameters.items():
        fields = {field: options[field] for field in type(group).model_fields if options[field] not in (None, False)}
        parameters[parameter] = validated(type(group), fields, group)
    from flows.local_run import run_flow

    run_flow(name, parameters)


for _flow in flow_names():
    _name = _flow.replace("_", "-")
    _parameters = _options(_command_parameters(_name))
    program.add_command(
        click.Command(_name, params=_parameters, help=flow_help(_flow), callback=partial(_run_command, _name))
    )


@program.command()
@on_artifacts
@click.option("--against", metavar="DIR", help="Another folder with results, to be set next to these pair by pair.")
def report(root: Path | UPath, against: str | None) -> None:
    """Write the report again from the results that are there."""
    from mlp_core.artifacts.paths import local_view
    from mlp_core.artifacts.storage import write_file
    from mlp_core.experiments.sections import all_sections
    from mlp_core.report.page import SOURCES, read_report_content, render_report
    from tasks.against import next_to
    from tasks.run_settings import RunSettings

    sections = all_sections()
    with local_view(root, *SOURCES) as folder:
        content = read_report_content(folder, sections)
        other = None if against is None else next_to(against, root, content, sections)
        page = render_report(content, sections, RunSettings().seeds, other)
    write_file(root / "report.html", lambda file: file.write_text(page, encoding="utf-8"))
    click.echo(f"report   {root / 'report.html'}")


program.add_command(artifacts)
program.add_command(predict)


@program.group()
def baseline() -> None:
    """Accept results as they are, and see what has moved since."""


@baseline.command()
@on_artifacts
def accept(root: Path | UPath) -> None:
    """Keep the results that are there as the baseline of later runs."""
    from datetime import UTC, datetime

    from mlp_core.artifacts.baseline import accept
    from mlp_core.experiments.catalog import experiments

    click.echo(
        f"accepted {root / accept(root, datetime.now(UTC), [experiment.name for experiment in experiments()]).path}"
    )


@baseline.command()
@on_artifacts
def show(root: Path | UPath) -> None:
    """Print the accepted results: when, with what, and the mean test accuracies."""
    from mlp_core.artifacts.baseline import accepted_baseline, describe_baseline

    click.echo(describe_baseline(accepted_baseline(root)))


@baseline.command()
@on_artifacts
def compare(root: Path | UPath) -> None:
    """Say which results have moved from the baseline; exit status 1 if any has."""
    from dataclasses import replace

    from mlp_core.artifacts.baseline import accepted_baseline
    from mlp_core.artifacts.changes import describe_comparison
    from mlp_core.artifacts.comparison import compare
    from mlp_core.artifacts.results import read_results
    from mlp_core.experiments.catalog import experiments

    accepted, results = accepted_baseline(root), read_results(root, [experiment.name for experiment in experiments()])
    missing = dict.fromkeys(accepted.origins.keys() - results.origins.keys(), "no results of this version's")
    comparison = compare(accepted, results)
    comparison = replace(comparison, left_out={**comparison.left_out, **dict(sorted(missing.items()))})
    click.echo(describe_comparison(comparison))
    if comparison.moved:
        raise Drifted


@program.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at, such as 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen at.  [default: 4200]")
def ui(host: str, port: int | None) -> None:
    """Open Prefect's UI, with all runs so far and those at work, until Ctrl-C: http://127.0.0.1:4200."""
    from flows.ui import show_ui

    show_ui(host, port)


@program.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen at.  [default: 8710, or one that is free]")
@click.option("--artifacts", default="artifacts/play", show_default=True, help="Folder for what is run as a flow.")
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
def play(port: int | None, artifacts: str, no_browser: bool) -> None:
    """Open a page that asks "what if": many small networks at once, with error bars, until Ctrl-C."""
    from flows.play.program import play

    play(port, artifacts, opens_browser=not no_browser)


def _check_environment() -> None:
    """Refuse the program of a copied clone: its first line names the original's Python, which runs the original's code.

    Raises:
        InputError: If it is.
    """
    from pathlib import Path

    started = Path(sys.argv[0]).resolve()
    own = started.parent.parent
    if (own / "pyvenv.cfg").exists() and own != Path(sys.prefix).resolve():
        message = (
            f"the program must be started in the folder where it was installed, got {started}, "
            f"which was copied and runs the code of {sys.prefix}; make {own} again: `make install`."
        )
        raise InputError(message)


def _run() -> None:
    _check_environment()
    output = sys.stdout
    try:
        program.main(prog_name="deep-mlp", standalone_mode=False)
    except SystemExit:
        if sys.stdout is not output:  # click replaces it when nobody reads it any more, and ends with 1
            sys.exit(128 + signal.SIGPIPE)
        raise


def main() -> None:
    """Run the program and end with its status: 0, that of a `DeepMlpError`, 2 for bad options, 130 for Ctrl-C.

    If nobody reads its output any more, as after `| head`, it is quiet and ends with 141.
    """
    configure()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a letter that the terminal cannot show must not end the program
            stream.reconfigure(errors="backslashreplace")
    stop_by_signals()
    sys.exit(_status(_run))


def _stop() -> NoReturn:
    say_stopped()
    sys.stdout.flush()
    os._exit(STOPPED)  # Python itself would wait for threads that wait for what nobody tells them


def _status(command: Callable[[], Any]) -> int:
    try:
        command()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.NoSuchOption as error:
        click.echo(f"deep-mlp: {no_such_option(error, _settings_of_commands())}", err=True)
        return 2
    except click.ClickException as error:
        click.echo(f"deep-mlp: {error.format_message()}", err=True)
        return 2
    except (KeyboardInterrupt, click.Abort, Stopped):
        _stop()
    except DeepMlpError as error:
        if not error.said:
            click.echo(f"deep-mlp: {error}", err=True)
        if isinstance(error, RunLost):  # Python itself would wait for workers that go on asking a lost server
            sys.stdout.flush()
            os._exit(error.exit_status)
        return error.exit_status
    except OSError as error:
        if error.filename or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        message = f"the output must go where there is room to write, got {error.strerror}; what was finished is kept."
        with suppress(OSError):
            click.echo(f"deep-mlp: {message}", err=True)
        from pathlib import Path

        with Path(os.devnull).open("w") as nowhere:  # or Python tries once more as it ends, with a status of its own
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return ResourceError.exit_status
    except Exception:
        if is_asked():  # a library has made another error of it
            _stop()
        raise
    return 0


if __name__ == "__main__":
    import_module("flows.command_line").main()
