"""How the program is asked to stop: by Ctrl-C, by `kill`, by a terminal that is closed."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from types import FrameType

import click

from mlp_core.errors import Stopped

STOPPED = Stopped.exit_status
"""Exit status of a program that was asked to stop."""
_asked: list[int] = []


def stop_by_signals() -> None:
    """Let all signals that ask a program to stop do what Ctrl-C does; under nohup a closed terminal does not."""
    terminals = [number for number in (1, 2) if os.isatty(number)]

    def stop(number: int, _frame: FrameType | None) -> None:
        _asked.append(number)
        if number == signal.SIGHUP:
            _forget(terminals)
        raise KeyboardInterrupt

    for number in _signals():
        signal.signal(number, stop)


def ignore_signals() -> None:
    """Let nobody disturb the end of a program that stops."""
    for number in _signals():
        signal.signal(number, signal.SIG_IGN)


def is_asked() -> bool:
    """Return whether the program was asked to stop: the error may come out as another one, of what it was raised in."""
    return bool(_asked)


def say_stopped() -> None:
    """Say so, if anybody is there to read it."""
    with suppress(OSError):
        click.echo("deep-mlp: stopped; what was finished is kept.", err=True)


def _signals() -> list[signal.Signals]:
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hangup]


def _forget(terminals: list[int]) -> None:
    """Write nothing more to a terminal that is gone, which would be an error at each line."""
    with Path(os.devnull).open("w") as nowhere:
        for number in terminals:
            os.dup2(nowhere.fileno(), number)
