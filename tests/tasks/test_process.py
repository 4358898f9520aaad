"""What changes a whole process, and what sets it back."""

import ast
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasks.process import (
    ENVIRONMENT,
    TERMINAL_SIGNALS,
    configure,
    flow_at_work,
    terminal_signals_blocked,
    uncollected,
    undisturbed,
)

ROOT = Path(__file__).parents[2]
MODULES = [
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for package in ("tasks", "flows")
    for path in sorted((ROOT / package).glob("*.py"))
    if path.stem not in ("__init__", "prefect_server")  # the latter is the server's program
]
STATE = """
import gc, importlib, json, os, signal, sys, threading
import prefect, rich, click, yaml
def state():
    handlers = [repr(signal.getsignal(number)) for number in signal.valid_signals()]
    threads = [thread.name for thread in threading.enumerate()]
    gc_state = [gc.isenabled(), gc.get_freeze_count(), sys.getswitchinterval()]
    return [dict(os.environ), list(sys.path), handlers, threads, gc_state]
before = state()
"""


@pytest.mark.thorough  # quick: that no other module has what changes a process
def test_importing_changes_nothing():
    """Neither environment nor path, threads, signals, garbage collection, as in a notebook that has Prefect already."""
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    program = STATE + f"[importlib.import_module(name) for name in {MODULES}]\nprint(json.dumps([before, state()]))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    before, after = json.loads(done.stdout.splitlines()[-1])
    assert after == before


def test_a_slow_module_that_nobody_needs_is_not_imported(tmp_path):
    """As JupyterLab brings it, and jsonschema takes it where it is: a second in each program and its server.

    And httpx, of which Prefect is a user, brings its own command line and what colours its output.
    """
    (tmp_path / "rfc3987_syntax.py").write_text("print('imported')")
    program = "import sys; sys.path.insert(0, sys.argv[1]); from tasks.process import configure; configure()"
    command = [
        sys.executable,
        "-c",
        f"{program}; import jsonschema, httpx; print('pygments' in sys.modules)",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


SWITCHES = {
    "sys.setswitchinterval", "sys.path.insert", "gc.disable", "gc.enable", "gc.freeze",
    "signal.pthread_sigmask", "os.environ.setdefault", "torch.set_num_threads",
}  # fmt: skip


@pytest.mark.parametrize("module", [name for name in MODULES if name != "tasks.process"])
def test_no_other_module_changes_the_process(module):
    """So that the table in `tasks.process` has them all."""
    tree = ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert called.isdisjoint(SWITCHES)
    assert "signal.signal" not in called or module in ("flows.stopping", "tasks.execution")  # the latter in workers


def test_a_process_is_configured_with_what_the_user_has_not_set(monkeypatch):
    """The project comes first on the path, once."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("DO_NOT_TRACK")
    monkeypatch.setattr(sys, "path", ["elsewhere", *sys.path])
    for _ in range(2):
        configure()
        assert sys.path[:2] == [str(ROOT), "elsewhere"]
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert os.environ["DO_NOT_TRACK"] == "1"


def test_the_last_of_two_flows_sets_back(monkeypatch):
    """Whichever ends first, the other keeps its quick threads, and finds the project's packages first."""
    monkeypatch.setattr(sys, "path", ["elsewhere", *sys.path])
    path = sys.path[:]
    logger = logging.getLogger("deep_mlp")
    usual = sys.getswitchinterval(), logger.level
    with ExitStack() as first:
        second = ExitStack()
        first.enter_context(flow_at_work())
        quick = sys.getswitchinterval()
        second.enter_context(flow_at_work())
        first.close()
        assert sys.getswitchinterval() == quick < usual[0]
        assert logger.level == logging.INFO
        assert sys.path == [str(ROOT), *path]
        second.close()
    assert (sys.getswitchinterval(), logger.level, sys.path) == (*usual, path)


@pytest.mark.parametrize(
    ("context", "blocked"),
    [(undisturbed, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}), (terminal_signals_blocked, TERMINAL_SIGNALS)],
)
def test_signals_are_put_off_and_come_again(context, blocked):
    """In this thread alone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    masks = []
    with context():
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        other = threading.Thread(target=lambda: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    assert masks[0] == before | blocked
    other.start()
    other.join()
    assert masks[1] == before == signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_garbage_is_looked_for_again_after_the_imports():
    """Among what was made later."""
    n_frozen = gc.get_freeze_count()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > n_frozen
    finally:
        gc.unfreeze()
        if n_frozen:  # what the tests exempt themselves
            gc.freeze()


@pytest.mark.parametrize(
    ("end", "status"), [("sys.exit(0)", 0), ("sys.exit(3)", 3), ("sys.exit('why')", 1), ("1 / 0", 1), ("pass", 1)]
)
def test_the_program_is_left_with_its_status(end, status):
    """After what was registered for its end, with all that was written, and without the interpreter's own end."""
    program = "import atexit, sys, weakref\nfrom tasks.process import left_at_end\n"
    program += "class Thing:\n    def __del__(self): print('the interpreter ended')\nthing = Thing()\n"
    program += f"with left_at_end():\n    atexit.register(print, 'registered')\n    print('at work')\n    {end}\n"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert (ended.returncode, ended.stdout.split("\n")) == (status, ["at work", "registered", ""])
