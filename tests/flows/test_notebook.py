"""Flows called in a process that goes on, as in a notebook: it is left as it was found, and each run is its own."""

import gc
import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
import threadpoolctl  # noqa: F401 - it sets a variable of the environment as it is imported
import torch

from flows.depth_sweep import depth_sweep
from flows.polynomial import polynomial
from mlp_core.artifacts.storage import locked
from mlp_core.data.settings import Spirals
from mlp_core.experiments.depth_sweep.experiment import DepthSweep
from tasks.context import RECORDS
from tasks.run_settings import RunSettings

QUICK = {"spirals": Spirals(points=40), "sweep": DepthSweep(depths=(1, 2), epochs=2, batch_size=32)}


@pytest.fixture
def quick_settings(api_url):
    """Save each run a second."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield


@pytest.fixture(autouse=True)
def nothing_frozen():
    """Take back for a test what the tests exempt from the search for garbage: what dies of it changes its number."""
    gc.unfreeze()
    yield
    gc.freeze()


def state():
    """Return what a flow could change of its process."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    collector = gc.isenabled(), gc.get_freeze_count(), gc.get_threshold()
    threads = torch.get_num_threads(), sys.getswitchinterval()
    return dict(os.environ), [*sys.path], handlers, masked, collector, threads, logging.getLogger("deep_mlp").level


def running_threads():
    """Return the threads, but those that AnyIO keeps for Prefect's next call."""
    return {thread for thread in threading.enumerate() if thread.name != "AnyIO worker thread"}


@pytest.fixture
def two_threads():
    """Let torch have two threads, which no flow would choose."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(n_threads)


def test_a_flow_leaves_its_process_as_it_was(quick_settings, two_threads, tmp_path):
    """Whether it completes or fails; the second run leaves no thread that the first, with Prefect's own, did not."""
    before = state()
    assert depth_sweep(**QUICK, run=RunSettings(artifacts=str(tmp_path), seeds=1), return_state=True).is_completed()
    assert state() == before
    threads = running_threads()
    failed = RunSettings(artifacts=str(tmp_path), seeds=2, time_limit_seconds=1e-9)
    assert depth_sweep(**QUICK, run=failed, return_state=True).is_failed()
    assert state() == before
    deadline = time.monotonic() + 60
    while left := running_threads() - threads:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.thorough
def test_a_flow_that_fails_does_not_stop_another(quick_settings, without_drawing, tmp_path, caplog):
    """Two at the same time, in two threads: one waits to publish while all trainings of the other fail."""
    caplog.set_level(logging.INFO, "deep_mlp")
    waits, fails = tmp_path / "waits", tmp_path / "fails"
    logger = logging.getLogger("deep_mlp")
    logger.addHandler(caplog.handler)
    before = state()
    with ThreadPoolExecutor(1) as pool:
        with locked([waits / RECORDS / "publishing"], lambda: None):
            how = RunSettings(artifacts=str(waits), seeds=1)
            other = pool.submit(copy_context().run, depth_sweep, **QUICK, run=how, return_state=True)
            deadline = time.monotonic() + 180
            while f"waiting for another run that publishes in {waits}" not in caplog.text:
                assert not other.done(), other.result()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            how = RunSettings(artifacts=str(fails), seeds=1, time_limit_seconds=1e-9)
            assert polynomial(spirals=Spirals(points=40), run=how, return_state=True).is_failed()
            assert not other.done()
        assert other.result(180).is_completed()
    logger.removeHandler(caplog.handler)
    assert (waits / "report.html").exists()
    assert state() == before
