"""What is imported before it is needed, and what is not."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

from flows import preloading
from flows.preloading import all_is_to_be_made, preload_until_healthy
from tasks.run_settings import RunSettings


def _printed(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_only_a_run_in_threads_in_a_new_folder_makes_all(tmp_path):
    """One that may take its results from the cache does without torch, and worker processes train by themselves."""
    new = str(tmp_path / "new")
    assert all_is_to_be_made(RunSettings(artifacts=new))
    assert not all_is_to_be_made(RunSettings(artifacts=new, runner="processes"))
    assert not all_is_to_be_made(RunSettings(artifacts=str(tmp_path)))


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no file tells what is loaded")
def test_torchs_library_is_loaded_without_torch():
    """No module of it is imported, for that would hold the interpreter while Prefect is.

    That torch works afterwards is shown by the good run of tests/faults/test_processes.py: it trains in a new folder.
    """
    program = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from flows.preloading import load_torch_library\n"
        "load_torch_library()\n"
        "[thread.join() for thread in threading.enumerate() if thread.daemon]\n"
        "print('libtorch_python' in Path('/proc/self/maps').read_text(), 'torch' in sys.modules)\n"
    )
    assert _printed(program) == "True False\n"


def test_the_helper_needs_no_torch_for_points_and_yardsticks():
    """What the helper process is asked to import takes a second less so."""
    modules = "mlp_core.data.sampled_points", "mlp_core.experiments.sweep.yardsticks"
    program = f"import sys\nimport {', '.join(modules)}\nprint({{'torch', 'pandas'}} & {{*sys.modules}})"
    assert _printed(program) == "set()\n"


def test_a_server_that_only_starts_keeps_nobody_waiting(monkeypatch):
    """It takes connections, and answers seconds later: meanwhile all is imported, what trains only if something is."""
    monkeypatch.setattr(preloading, "_SLOW_MODULES", ("colorsys", "no_such_module"))
    monkeypatch.setattr(preloading, "_SLOW_TRAINING_MODULES", ("sched",))
    for module in ("colorsys", "sched"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        preload_until_healthy(f"http://127.0.0.1:{silent.getsockname()[1]}/api", trains=False)
        assert time.monotonic() < started + 1
    assert "colorsys" in sys.modules
    assert "sched" not in sys.modules


def test_what_is_preloaded_is_there():
    """A module of Prefect's that has another name would be imported late, unnoticed."""
    for module in (*preloading._SLOW_MODULES, *preloading._SLOW_TRAINING_MODULES):
        assert find_spec(module), module
