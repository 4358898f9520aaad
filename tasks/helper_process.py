"""Work that is Python through and through, done in processes of its own.

A training gives the interpreter back at each of its operations and has to wait for it after each. On two cores an epoch
of images took several times as long while another thread drew figures, and little longer while a process did.

A second one is started when a task has to wait for the first: at the end of a run all workers have figures to draw, and
no training takes the core on which it runs.

A process is started and spoken to through a pipe, without a pool of multiprocessing's: a pool would execute the user's
script once more in the process, and needs semaphores in /dev/shm, which containers do not always let one write.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from importlib import import_module
from multiprocessing import Pipe, parent_process
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from tasks.process import ENVIRONMENT, terminal_signals_blocked

Argument = TypeVar("Argument")
Result = TypeVar("Result")
_PROGRAM = "import sys; from tasks.helper_process import _work; _work(int(sys.argv[1]))"


class _Helper:
    """A process that works for the tasks of this one, one job after the other.

    Attributes:
        process: The process.
        imported: The modules that it was asked to import.
        at_work: Whether it does a task's job.
    """

    def __init__(self) -> None:
        self.imported, self.at_work, self._sending = set[str](), False, threading.Lock()
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


_DRAWING = "mlp_core.report.loss_curves"  # imports what all figures need, for a second

_helpers: list[_Helper] = []
_changing = threading.Lock()
_places = threading.Semaphore(1)  # for jobs at the same time; a second helper brings one more when it is ready
_second_asked = threading.Event()


def run_in_helper(
    function: Callable[..., Result], *arguments: object, checkpoint: Callable[[], None] = lambda: None
) -> Result:
    """Return `function(*arguments)`, computed in a helper: another Python process that relieves this one.

    A helper is started when it is first needed, and a second one when a call has to wait; Python code that ran here
    would slow down the trainings. In a worker process, where no training runs at the same time, and if the helper is
    killed, the function is called in this process.

    Args:
        function: A module-level function without side effects; it may be called twice.
        arguments: Its arguments; they must be picklable.
        checkpoint: Called before a helper is started or replaced; raises if the run is being stopped.
    """
    checkpoint()
    if parent_process() is not None:
        return function(*arguments)
    try:
        with _free_helper(checkpoint) as helper:
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


def map_in_helpers(
    function: Callable[[Argument], Result], arguments: Sequence[Argument], *, checkpoint: Callable[[], None]
) -> list[Result]:
    """Return the function's results for several arguments, two computed at the same time, each as by `run_in_helper`.

    Args:
        function: As of `run_in_helper`.
        arguments: One for each call.
        checkpoint: As of `run_in_helper`.
    """
    if parent_process() is not None:
        return list(map(function, arguments))
    interrupted = threading.Event()

    def check() -> None:
        checkpoint()
        if interrupted.is_set():
            raise CancelledError

    with ThreadPoolExecutor(2) as pool:
        try:
            return list(pool.map(partial(run_in_helper, function, checkpoint=check), arguments))
        except KeyboardInterrupt:  # without this it would wait until the jobs are done
            interrupted.set()
            stop_helpers()
            raise


def preload_in_helper(module: str) -> None:
    """Let the first helper (see `run_in_helper`) import a module in the background, so that later calls are fast.

    Args:
        module: Name of the module.
    """
    if parent_process() is not None:
        return
    with _changing:
        helper = next(iter(_living_helpers()), None) or _new_helper()
    if module not in helper.imported:
        helper.imported.add(module)
        with contextlib.suppress(OSError):  # killed since
            helper.send(import_module, (module,), answers=False)


def start_second_helper(module: str = _DRAWING) -> None:
    """Start a second helper, once in the life of this process; it gets no job before it has imported a module.

    Args:
        module: Name of the module: what most jobs will need.
    """
    if parent_process() is not None:
        return
    with _changing:
        if _second_asked.is_set():
            return
        _second_asked.set()
        helper = _new_helper()
        helper.at_work = True

    def join() -> None:
        with contextlib.suppress(EOFError, OSError):  # killed since; the next job starts another one
            helper.send(import_module, (module,), answers=False)
            helper.send(os.getpid, (), answers=True)
            helper.answer()
        helper.at_work = False
        _places.release()

    threading.Thread(target=join, daemon=True).start()


def stop_helpers() -> None:
    """Kill all helpers (see `run_in_helper`), even in the middle of their work; the next call starts a new one."""
    with _changing:
        for helper in _helpers:
            helper.process.kill()
            helper.process.wait()
        _helpers.clear()
        atexit.unregister(stop_helpers)


@contextlib.contextmanager
def _free_helper(checkpoint: Callable[[], None]) -> Iterator[_Helper]:
    """Wait for a helper that has no job; no other task gets it while the context lasts."""
    if not _places.acquire(blocking=False):
        start_second_helper()
        _places.acquire()
    try:
        checkpoint()  # the run may have been stopped meanwhile
        with _changing:
            helper = next((helper for helper in _living_helpers() if not helper.at_work), None) or _new_helper()
            helper.at_work = True
        try:
            yield helper
        finally:
            helper.at_work = False
    finally:
        _places.release()


def _living_helpers() -> list[_Helper]:
    _helpers[:] = [helper for helper in _helpers if helper.process.poll() is None]
    return _helpers


def _new_helper() -> _Helper:
    if not _helpers:
        atexit.register(stop_helpers)
    _helpers.append(_Helper())
    return _helpers[-1]


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
