"""Work that is Python through and through, done in a process of its own.

A training gives the interpreter back at each of its operations and has to wait for it after each. On two cores an epoch
of photographs took several times as long beside figures that another thread drew, and little longer beside a process.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

Result = TypeVar("Result")


class Stopped(Exception):
    """The run is being stopped; nothing of this task is kept."""


@dataclass(frozen=True)
class _Helper:
    """A process that works for the tasks of this one, whether it is told to end at once, and what it has imported."""

    pool: ProcessPoolExecutor
    stop: Any
    imported: set[str] = field(default_factory=set)


_helper: _Helper | None = None
_changing = threading.Lock()


def offloaded(function: Callable[..., Result], *arguments: object) -> Result:
    """Return `function(*arguments)`, worked out in the helper process, which is started when it is first needed.

    In a worker process nothing is trained beside it: there, and should the helper be killed, it is done in place.

    Args:
        function: A function of a module; it changes nothing, and may be called again.
        arguments: What can be pickled.

    Raises:
        Stopped: If the helper was stopped meanwhile.
    """
    if parent_process() is not None:
        return function(*arguments)
    helper, result = _submitted(function, *arguments)
    try:
        return result.result()
    except BrokenProcessPool as error:
        if helper.stop.value:
            raise Stopped from error
        return function(*arguments)


def prepare_helper(module: str) -> None:
    """Let the helper import a module that it will need, beside what else is done: the figures' takes it a second."""
    helper = _helper
    if parent_process() is not None or (helper and module in helper.imported):
        return
    helper, _ = _submitted(_import, module)
    helper.imported.add(module)


def _import(module: str) -> None:
    import_module(module)


def stop_helper() -> None:
    """End the helper process in the midst of its work; the next that is asked for is a new one."""
    global _helper
    with _changing:
        if _helper:
            _helper.stop.value = 1
        _helper = None


def _submitted(function: Callable[..., Result], *arguments: object) -> tuple[_Helper, Future[Result]]:
    global _helper
    with _changing:
        _helper = _helper or _new_helper()
        try:
            return _helper, _submit(_helper, function, *arguments)
        except BrokenProcessPool:  # killed since
            _helper = _new_helper()
            return _helper, _submit(_helper, function, *arguments)


def _submit(helper: _Helper, function: Callable[..., Result], *arguments: object) -> Future[Result]:
    # The first starts the process, which inherits what this thread has blocked: Ctrl-C is for the program
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return helper.pool.submit(function, *arguments)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _new_helper() -> _Helper:
    context = get_context("spawn")
    stop = context.RawValue("b", 0)
    return _Helper(ProcessPoolExecutor(1, context, _watch_program, (stop,)), stop)


def _watch_program(stop: Any) -> None:
    """End the helper when it is told to, and when its program is killed."""
    program = parent_process()

    def watch() -> None:
        while program is not None and program.is_alive() and not stop.value:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
