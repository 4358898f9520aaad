"""The control groups of this process: what a container, a batch system or systemd lets it use of a machine."""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path


def own_groups(controller: str, root: Path = Path("/")) -> list[Path]:
    """Return the folders of the Linux control groups (cgroups) that this process is in: its own and all parents.

    A group's limit holds for its children too, so the lowest limit of all counts. In a container its own group is the
    outermost folder, whatever the kernel calls the group outside. Not every folder returned exists.

    Args:
        controller: `memory` or `cpu`; version 1 of cgroups has a tree for each, version 2 one for all.
        root: Folder that holds `proc` and `sys`.

    Example:
        >>> [group.as_posix() for group in own_groups("memory", Path("/nowhere"))]
        ['/nowhere/sys/fs/cgroup', '/nowhere/sys/fs/cgroup/unified', '/nowhere/sys/fs/cgroup/memory']
    """
    trees = root / "sys/fs/cgroup"
    paths = {trees: "", trees / "unified": "", trees / controller: ""}
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            paths |= {trees: path, trees / "unified": path}
        elif controller in controllers.split(","):
            paths[trees / controller] = path
    groups = []
    for tree, path in paths.items():
        own = tree / path.lstrip("/")
        groups += [group for group in (own, *own.parents) if group.is_relative_to(tree)]
    return groups


def cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use at the same time, at least 1.

    It is the smallest of the process's affinity and the CPU quotas of its control groups; a quota of 1.5 cores counts
    as 2.

    Args:
        root: Folder that holds `proc` and `sys`.
    """
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in own_groups("cpu", root):
        for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
            try:
                quota, period = map(int, " ".join((group / name).read_text() for name in names).split())
            except (OSError, ValueError):  # no such group, or one without a limit
                continue
            if quota > 0:  # -1 in version 1: no limit
                n_cores = min(n_cores, -(-quota // period))
    return n_cores


def devices() -> list[str]:
    """Return the devices that PyTorch can train on here, of `cuda`, `mps` and `cpu`, in this order.

    Where there may be more than the CPU, it imports torch, which takes about a second.
    """
    if sys.platform == "linux" and "torch" not in sys.modules and not _may_have_cuda():
        return ["cpu"]
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, there in available.items() if there]


def _may_have_cuda() -> bool:
    """Return whether PyTorch for CUDA finds the driver's library as it does itself, or is PyTorch for ROCm."""
    torch = find_spec("torch")
    if torch is None or torch.origin is None or (Path(torch.origin).parent / "lib/libtorch_hip.so").exists():
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
