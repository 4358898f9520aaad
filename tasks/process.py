"""What changes a whole process, in one place: environment, interpreter, garbage collection, signals, cores.

To import `tasks` or `flows` changes nothing. The program, its worker processes and the tests call `configure`; a run
of a deployment has the same from `prefect.yaml`. All else is a context manager that sets back what it set: a flow that
is called in a notebook, or two at once, leave the process as they found it.

| what | gain, on two cores | how to switch it off |
|---|---|---|
| `configure`: `OMP_NUM_THREADS=1` | one thread a task, for tasks run side by side; same bits everywhere | set it |
| `configure`: the server's `TASK_RUN_RECORDER` | SQLite was locked half the time with one write a state | set both |
| `configure`: `PYTHONSAFEPATH` | none: nothing of the folder where the user stands is imported | - |
| `configure`, `flow_at_work`: `sys.path` | none: processes that are started find these modules | - |
| `configure`: no `rfc3987_syntax`, which comes with JupyterLab | a second of imports | import it before |
| `configure`: no command line of `httpx`, which Prefect imports | 40 of 1,150 modules | import it before |
| `flow_at_work`: threads swap every 0.2 ms, not 5 | two trainings at once take a tenth less | leave it out |
| `uncollected`: imports without garbage collection | 2.4 s of imports, not 2.8 | leave it out |
| `left_at_end`: no end of interpreter and libraries | a second; Arrow aborts now and then | leave it out |
| `undisturbed`, `terminal_signals_blocked` | none: Ctrl-C is the program's alone, and one event | - |
| `tasks.helper_process`: figures in another process | epochs took several times as long | call the function |

Set elsewhere, for they are the core's or end the program: one thread of torch and NumPy and no subnormal numbers
(`mlp_core.engine.arithmetic`, restored by the last that leaves), the signals that stop the program (`flows.stopping`).
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock

ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # one transaction for many task states: with one each, SQLite is locked half of the time
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "deep_mlp",
    # "Finished in state Completed()", without a name, for every task: the project's own lines say what was made
    "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "WARNING",
    # what the core logs outside a flow, in a notebook, is no mistake
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # nor what lies in the folder where the user stands, which Python would search first
    "PYTHONSAFEPATH": "1",
    # as many tasks as cores run side by side: a thread each
    "OMP_NUM_THREADS": "1",
    # what a killed program's workers leave is cleared by their tracker, which need not talk about it
    "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker",
}
"""Read by Prefect, torch and Python as they start; a value of the user's own stands."""

TERMINAL_SIGNALS = {signal.SIGINT, signal.SIGHUP}
"""What a terminal sends to all processes in its foreground: at Ctrl-C, and when it is closed."""

_ROOT = str(Path(__file__).resolve().parents[1])
_SWITCH_SECONDS = 0.0002
_lock = Lock()
_n_flows = 0  # of this process
_restored_last = ExitStack()  # by the flow that ends last


def configure() -> None:
    """Set environment variables of this process and its children; call it before Prefect or torch is imported.

    Variables that the user has set stay. It also puts the project's folder first in `sys.path`, and keeps a slow module
    that is not needed from being imported.
    """
    if sys.path[0] != _ROOT:  # not a tasks.py or flows.py on the user's PYTHONPATH
        sys.path.insert(0, _ROOT)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # With it jsonschema, which Prefect imports, builds a grammar of internationalised addresses that no schema needs;
    # the other is the command line of httpx, which does without it
    for unused in ("rfc3987_syntax", "httpx._main"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]


@contextmanager
def flow_at_work() -> Iterator[None]:
    """Let Python switch threads every 0.2 ms and log the project's lines, while at least one such context is open.

    Processes that are started meanwhile find the project's packages, not modules of their names on the user's
    PYTHONPATH. The last one that closes restores all of it.
    """
    global _n_flows
    logger = logging.getLogger("deep_mlp")
    with _lock:
        if _n_flows == 0:
            _restored_last.callback(sys.setswitchinterval, sys.getswitchinterval())
            _restored_last.callback(logger.setLevel, logger.level)
            sys.setswitchinterval(_SWITCH_SECONDS)
            logger.setLevel(logging.INFO)
            if sys.path[0] != _ROOT:  # a worker puts the project's folder there only while it imports the flow
                sys.path.insert(0, _ROOT)
                _restored_last.callback(sys.path.remove, _ROOT)
        _n_flows += 1
    try:
        yield
    finally:
        with _lock:
            _n_flows -= 1
            if _n_flows == 0:
                _restored_last.close()


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch off garbage collection while modules are imported, and exempt all objects from it that exist afterwards.

    They stay anyway, and the search took a second.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def left_at_end() -> Iterator[None]:
    """End the process at once after all exit handlers have run, with the status of the `SystemExit`.

    Python's own shutdown would search for garbage, a second long. Arrow would end its threads while it may still use
    them, and now and then the process aborts with status 134 (apache/arrow 34314).
    """
    status = 1

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)

    atexit.register(leave)  # what is registered later runs earlier
    try:
        yield
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delay SIGINT, SIGTERM and SIGHUP while the context lasts: during Prefect's import they cause other errors."""
    with _blocked({signal.SIGINT, signal.SIGTERM, signal.SIGHUP}):
        yield


@contextmanager
def terminal_signals_blocked() -> Iterator[None]:
    """Block the terminal's signals while the context lasts, so that processes started in it do not get them."""
    with _blocked(TERMINAL_SIGNALS):
        yield


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
