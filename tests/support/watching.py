"""Looking at processes and at Prefect's database from outside."""

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

MARK = "DEEP_MLP_TEST"


def hear_terminal_signals():
    """Undo in a child what it inherits from tests that run under nohup or in the background."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def processes(mark):
    """Return the command lines of all processes with a mark in their environment, which children inherit."""
    lines = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}\0".encode() in (path / "environ").read_bytes():
                lines.append((path / "cmdline").read_text().replace("\0", " "))
        except OSError:  # gone, or another user's
            pass
    return lines


def children(pid):
    """Return the numbers of a process's children."""
    numbers = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int((path / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                numbers.append(int(path.name))
        except OSError:
            pass
    return numbers


def wait_for(condition, process, seconds=180):
    """Wait until a condition holds while a process is at work."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until(condition, seconds=300):
    """Wait until a condition holds, on a busy machine, too."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def runs(home, table):
    """Return the state names of all runs in a Prefect database that no server has open."""
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        return [name for (name,) in database.execute(f"SELECT state_name FROM {table}")]


def stop_by_keyboard(process):
    """Send what Ctrl-C sends: SIGINT to everything in the terminal's foreground."""
    os.killpg(process.pid, signal.SIGINT)


def stop_by_keyboard_twice(process):
    """Press Ctrl-C again while the program is still tidying up."""
    stop_by_keyboard(process)
    time.sleep(0.3)
    stop_by_keyboard(process)


def stop_by_termination(process):
    """Send what `kill` sends, to the program alone."""
    process.terminate()


def stop_by_hangup(process):
    """Send what a terminal that is closed sends: SIGHUP to everything in its foreground."""
    os.killpg(process.pid, signal.SIGHUP)
