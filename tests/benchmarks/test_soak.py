"""The soak disturbs each tenth run by a plan that can be repeated, and tells what is lost or left over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak import Disturbance, plan


def test_each_ten_runs_have_one_disturbance_and_equal_seeds_equal_ones():
    """Of fewer than ten it is among them; who cannot fill a disk has the other kinds."""
    disturbances = plan(205, 3, disk=True)
    assert [disturbance.after // 10 for disturbance in disturbances] == list(range(21))
    assert disturbances[-1].after < 205
    assert disturbances == plan(205, 3, disk=True)
    assert disturbances != plan(205, 4, disk=True)
    kinds = {disturbance.what for disturbance in plan(2000, 3, disk=True)}
    assert kinds == {"run killed", "worker killed", "run and worker killed", "server restarted", "disk full"}
    assert {disturbance.what for disturbance in plan(2000, 3, disk=False)} == kinds - {"disk full"}


@pytest.mark.slow
def test_a_small_soak_loses_nothing_and_leaves_nothing(new_port):
    """Of three scheduled runs one is killed; the seed is printed, and what is said of the fault."""
    (disturbance,) = plan(3, 2, disk=os.geteuid() == 0)
    assert isinstance(disturbance, Disturbance)
    # As from a shell: this process keeps the folder that it is in away from those that it starts
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PREFECT_") and name != "PYTHONSAFEPATH"
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--runs", "3", "--seed", "2"],
        env={**kept, "PREFECT_SERVER_API_PORT": str(new_port())},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=560,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("3 runs, seed 2")
    assert any(line.strip().startswith(f"{disturbance.what}: Crashed: ") for line in lines), done.stdout
    assert lines[-1] == "nothing was lost, and nothing was left over"
