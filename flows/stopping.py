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
    """Make SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt; SIGHUP stays ignored under nohup."""
    terminals = [number for number in (1, 2) if os.isatty(number)]

    def stop(number: int, _frame: FrameType | None) -> None:
        _asked.append(number)
        if number == signal.SIGHUP:
            _forget(terminals)
        raise KeyboardInterrupt

    for number in _signals():
        signal.signal(number, stop)


def ignore_signals() -> None:
    """Ignore SIGINT, SIGTERM and SIGHUP from now on, so that nothing interrupts the program's cleanup."""
    for number in _signals():
        signal.signal(number, signal.SIG_IGN)


def is_asked() -> bool:
    """Return whether a signal has asked the program to stop.

    The KeyboardInterrupt may come out as another error, or be lost: pydantic does both as it builds a schema.
    """
    return bool(_asked)


def say_stopped() -> None:
    """Print to stderr that the program was stopped; do nothing if that cannot be written."""
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
