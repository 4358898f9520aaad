"""What a machine can do is asked before a run: its cores, its packages, its folder or bucket."""

import _ctypes
import ctypes
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from mlp_core import machine
from mlp_core.artifacts import paths
from mlp_core.errors import InputError, ResourceError
from tasks import preflight
from tasks.run_settings import RunSettings


def test_as_many_workers_as_cores_are_let_in(tmp_path):
    """One more is refused, with the way out."""
    preflight.check_run(RunSettings(artifacts=str(tmp_path), workers=machine.cores()))
    more = machine.cores() + 1
    with pytest.raises(InputError, match=rf"^workers must be at most the {more - 1} cores .*, got {more}; leave"):
        preflight.check_run(RunSettings(artifacts=str(tmp_path), workers=more))


def test_cores_are_those_that_the_process_may_use():
    """A process that is held to one core counts one."""
    program = (
        "import os\n"
        "from mlp_core.machine import cores\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "print(cores())"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 64),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, 64),
        ({"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ({"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 64),
        (
            {
                "proc/self/cgroup": "4:memory:/\n3:cpu,cpuacct:/slurm/job_1/step_0\n",
                "sys/fs/cgroup/cpu/slurm/job_1/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/slurm/job_1/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "0::/user.slice/run-1.scope\n",
                "sys/fs/cgroup/user.slice/run-1.scope/cpu.max": "800000 100000\n",
                "sys/fs/cgroup/user.slice/cpu.max": "200000 100000\n",
            },
            2,
        ),
        ({"proc/self/cgroup": "3:cpu:/docker/named-outside\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
    ],
    ids=[
        *("nothing known", "no limit", "one core", "a share of a core", "no limit in version 1"),
        *("a job of version 1", "a group around its own", "a container's name outside"),
    ],
)
def test_cores_are_those_that_a_container_or_job_may_use(monkeypatch, tmp_path, files, expected):
    """The kernel's files as they are in control groups of both versions, on a machine of 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(64), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.cores(tmp_path) == expected


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(False, False, ["cpu"]), (True, False, ["cuda", "cpu"]), (False, True, ["mps", "cpu"])],
    ids=["none", "WSL2 or ROCm", "Apple Silicon"],
)
def test_devices_are_those_that_torch_has(monkeypatch, cuda, mps, expected):
    """Whatever the driver and its files are called: WSL2 and ROCm have no /proc/driver/nvidia."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert machine.devices() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch is asked")
@pytest.mark.parametrize("has_driver", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_torch_is_not_imported_where_no_driver_can_be_loaded(tmp_path, has_driver):
    """The answer is torch's; a library of the driver's name, wherever the loader finds it, makes it ask."""
    program = "import sys; from mlp_core.machine import devices; print(devices(), 'torch' in sys.modules)"
    folder = ""
    if has_driver:
        folder = str(tmp_path)
        (tmp_path / "libcuda.so.1").symlink_to(_ctypes.__file__)
    else:
        with suppress(OSError):
            ctypes.CDLL("libcuda.so.1")
            has_driver = True
    environment = {**os.environ, "LD_LIBRARY_PATH": folder}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "torch" in sys.modules  # so that it is asked here
    assert done.stdout == f"{machine.devices()} {has_driver}\n"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"runner": "dask"},
            r"^--runner dask needs packages that are not installed \(prefect_dask\); .*\[dask\]'",
        ),
        ({"artifacts": "s3://bucket/a"}, r"^--artifacts s3://bucket/a needs packages .* \(s3fs, upath\); .*\[s3\]'"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch, tmp_path, settings, words):
    """The sentence says what to install."""
    monkeypatch.setattr(paths, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=words):
        preflight.check_run(RunSettings(**{"artifacts": str(tmp_path), **settings}))


@pytest.mark.slow
def test_a_bucket_out_of_reach_is_refused(monkeypatch):
    """Nobody answers there: the sentence names the folder, the reason, and the settings of the environment."""
    for name, value in {"ENDPOINT_URL": "http://127.0.0.1:9", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(ResourceError, match=r"got s3://bucket/a, but .*127.0.0.1:9.*; see .* set AWS_ENDPOINT_URL"):
        preflight.check_run(RunSettings(artifacts="s3://bucket/a"))


def test_a_folder_of_this_machine_is_looked_at_where_it_is(tmp_path):
    """No copy is made."""
    with paths.local_view(Path(tmp_path), "results") as folder:
        assert folder == tmp_path
