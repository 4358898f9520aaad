"""Work that is Python through and through, done in a process of its own.

A training gives the interpreter back at each of its operations and has to wait for it after each. On two cores an epoch
of images took several times as long while another thread drew figures, and little longer while a process did.

The process is started and spoken to through a pipe, without a pool of multiprocessing's: a pool would execute the
user's script once more in the process, and needs semaphores in /dev/shm, which containers do not always let one write.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from multiprocessing import Pipe, parent_process
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from tasks.process import ENVIRONMENT, terminal_signals_blocked

Result = TypeVar("Result")
_PROGRAM = "import sys; from tasks.helper_process import _work; _work(int(sys.argv[1]))"


class _Helper:
    """A process that works for the tasks of this one, one job after the other.

    Attributes:
        process: The process.
        imported: The modules that it was asked to import.
        turn: Held by the task whose job it does.
    """

    def __init__(self) -> None:
        self.imported, self.turn, self._sending = set[str](), threading.Lock(), threading.Lock()
        self._connection, its_end = Pipe()
        with its_end, terminal_signals_blocked():
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(its_end.fileno())],
                stdin=subprocess.DEVNULL,
                env={**ENVIRONMENT, **os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                pass_fds=[its_end.fileno()],
            )

    def send(self, function: Callable[..., object], arguments: tuple[object, ...], answers: bool) -> None:
        with self._sending:
            self._connection.send((function, arguments, answers))

    def answer(self) -> Any:
        return self._connection.recv()


_helper: _Helper | None = None
_changing = threading.Lock()


def run_in_helper(
    function: Callable[..., Result], *arguments: object, checkpoint: Callable[[], None] = lambda: None
) -> Result:
    """Return `function(*arguments)`, computed in the helper process: a second Python process that relieves this one.

    The helper is started when it is first needed; Python code that ran here would slow down the trainings. In a worker
    process, where no training runs at the same time, and if the helper is killed, the function is called in this
    process.

    Args:
        function: A module-level function without side effects; it may be called twice.
        arguments: Its arguments; they must be picklable.
        checkpoint: Called before the helper is started or replaced; raises if the run is being stopped.
    """
    checkpoint()
    if parent_process() is not None:
        return function(*arguments)
    helper = _running_helper()
    try:
        with helper.turn:
            helper.send(function, arguments, answers=True)
            result: Result
            result, error, where = helper.answer()
    except (EOFError, OSError):
        checkpoint()
        return function(*arguments)
    if error is not None:
        error.add_note(where)
        raise error
    return result


def preload_in_helper(module: str) -> None:
    """Let the helper process (see `run_in_helper`) import a module in the background, so that later calls are fast.

    Args:
        module: Name of the module.
    """
    if parent_process() is not None:
        return
    helper = _running_helper()
    if module not in helper.imported:
        helper.imported.add(module)
        with contextlib.suppress(OSError):  # killed since
            helper.send(import_module, (module,), answers=False)


def stop_helper() -> None:
    """Kill the helper process (see `run_in_helper`), even in the middle of its work; the next call starts a new one."""
    global _helper
    with _changing:
        if _helper:
            _helper.process.kill()
            _helper.process.wait()
            atexit.unregister(stop_helper)
        _helper = None


def _running_helper() -> _Helper:
    global _helper
    with _changing:
        if _helper is None:
            atexit.register(stop_helper)
        if _helper is None or _helper.process.poll() is not None:
            _helper = _Helper()
        return _helper


def _work(descriptor: int) -> None:
    """Do what the program sends, in its order, until it is gone."""
    connection = Connection(descriptor)
    jobs: queue.SimpleQueue[tuple[Callable[..., object], tuple[object, ...], bool]] = queue.SimpleQueue()

    def receive() -> None:
        try:
            while True:
                jobs.put(connection.recv())
        finally:  # the program was killed, perhaps in the midst of a job; what cannot be read it does itself
            os._exit(1)

    threading.Thread(target=receive, daemon=True).start()
    while True:
        function, arguments, answers = jobs.get()
        answer: tuple[object, Exception | None, str]
        try:
            answer = function(*arguments), None, ""
        except Exception as error:
            answer = None, error, "".join(traceback.format_exception(error))  # which does not travel along
        if answers:
            connection.send(answer)
