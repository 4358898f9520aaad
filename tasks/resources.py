"""How much memory a run will need, and how much there is: what cannot fit is refused before anything is made.

Plain arithmetic on settings and configurations, no torch. The tests compare it with what trainings took.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mlp_core.artifacts.backends import backend_of
from mlp_core.artifacts.paths import artifact_folder
from mlp_core.data.sizes import IMAGE_SIZE, image_shape
from mlp_core.engine.architecture import parameter_count
from mlp_core.engine.configs import NETWORKS_TOGETHER, TrainConfig, Trial
from mlp_core.engine.footprint import FLOAT_BYTES, split_by_memory, training_bytes
from mlp_core.errors import InputError
from mlp_core.experiments.interface import MemoryEstimate
from mlp_core.machine import cores, own_groups
from mlp_core.settings import text_of
from tasks.run_settings import RunSettings
from tasks.stages import Stage

_BYTES_PER_POINT = 150  # while the spirals are drawn, written and read
_BYTES_PER_EPOCH = 150  # a row of the history while it is sorted and written
_FEATURE_COPIES = 5  # while they are made and joined, written, read and laid out for training
_IMAGE_COPIES = 6  # of bytes: while they are decoded, handed over by the helper, written and read
_EVALUATED_IMAGES = 2 * 512  # as floats, in the two buffers of the pass that measures the train accuracy


def estimate_memory(stages: Iterable[Stage], run: RunSettings) -> list[MemoryEstimate]:
    """Estimate the memory that each part of a run needs at its peak.

    Parts that follow each other count each for itself; what all workers do at the same time is multiplied by their
    number.

    Args:
        stages: The experiments of the run.
        run: The run's settings.

    Example:
        >>> from tasks.stages import flow_parameters, stages_of
        >>> parameters = flow_parameters("polynomial")
        >>> [need.setting for need in estimate_memory(stages_of("polynomial", parameters), parameters["run"])]
        ['points', 'degree', 'seeds']
    """
    n_workers, n_epochs = run.workers or cores(), 0
    parts: list[MemoryEstimate] = []
    for stage in stages:
        data = stage.setup.data
        if stage.kind_of_data == "spirals":
            n_bytes = (data.n_train + data.n_test) * _BYTES_PER_POINT
            parts.append(MemoryEstimate(n_bytes, "the spirals", "points", data.settings["points"]))
        parts += stage.experiment.extra_memory(stage.setup, n_workers)
        for alike in _alike(_trials(stage)):
            parts += _estimate_training(stage, alike, n_workers)
            n_epochs += sum(_n_members(stage, trial.config) * trial.config.epochs for trial in alike)
    if n_epochs:
        parts.append(MemoryEstimate(n_epochs * _BYTES_PER_EPOCH, "the losses of all members", "seeds", run.seeds))
    return parts


def _trials(stage: Stage) -> list[Trial]:
    """Return what an experiment trains; what it trains once more with a tuned learning rate counts twice."""
    trials = stage.experiment.trials(stage.setup)
    tunings = stage.experiment.to_tune(stage.setup, trials) if trials else ()
    return [*trials, *(tuning.trial for tuning in tunings)]


def _alike(trials: Iterable[Trial]) -> Iterable[list[Trial]]:
    groups: dict[TrainConfig, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.config.apart_from_gains(), []).append(trial)
    return groups.values()


def _n_members(stage: Stage, config: TrainConfig) -> int:
    return stage.setup.n_seeds * len(config.gains)


def _estimate_training(stage: Stage, alike: Sequence[Trial], n_workers: int) -> Iterator[MemoryEstimate]:
    trial, data = alike[0], stage.setup.data
    config, setting = trial.config, trial.sized_by
    n_examples = data.n_train + data.n_test
    for transform in config.inputs:
        n_examples = transform.n_examples(n_examples - data.n_test, data.n_test)
    n_members = _n_members(stage, config)
    configs, members = next(
        iter(split_by_memory([config] * min(len(alike), NETWORKS_TOGETHER), range(n_members), n_examples))
    )
    n_together = len(configs) * len(members)
    training = training_bytes(config, n_together, n_examples)
    examples = n_examples * config.layer_sizes[0] * FLOAT_BYTES * _FEATURE_COPIES
    if (
        config.batches == "shared_augmented"
    ):  # bytes, of which a training makes floats in pieces, and of the test images
        floats = n_workers * FLOAT_BYTES * (data.n_test + _EVALUATED_IMAGES)
        examples = config.layer_sizes[0] * (n_examples * _IMAGE_COPIES + floats)
    groups = (stage.setup.settings, *stage.setup.others)
    value = next((getattr(group, setting) for group in groups if hasattr(group, setting)), stage.setup.n_seeds)
    if config.batches == "per_seed_order" and training > 4 * training_bytes(config, n_together, 4000):
        setting = "data" if stage.kind_of_data == "tables" else "points"  # each member's own order of them
        value = data.settings[setting]
    if config.batches == "shared_augmented" and examples > n_workers * training:
        image_size = image_shape(config.layer_sizes[0])[1]
        setting, value = ("image_size", image_size) if image_size > IMAGE_SIZE else (setting, value)
    what = f"{stage.experiment.name} {config.name}"
    yield MemoryEstimate(n_workers * training + examples, what, setting, value)
    if stage.experiment.reads_all_weights:
        weights = n_members * parameter_count(config.layer_sizes) * 2 * FLOAT_BYTES
        yield MemoryEstimate(weights, f"the weights of {what}", setting, value)


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory in bytes that this process may still use.

    It is the free memory of the machine, or less if a control group or the shell (`ulimit -v`, `ulimit -d`) limits it.

    Args:
        root: Folder with the kernel's files (`proc`, `sys`).

    Returns:
        Bytes; None if the system does not tell.
    """
    sizes = []
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        sizes += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        if root == Path("/") and "SC_PHYS_PAGES" in os.sysconf_names:
            sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    sizes += _available_in_groups(root)
    sizes += _available_in_shell(root)
    return max(0, min(sizes)) if sizes else None


def _available_in_groups(root: Path) -> Iterator[int]:
    for group in own_groups("memory", root):
        for limit_name, usage_name, cached_name in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            try:
                statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                # What the kernel caches of files it gives back when memory is short
                used = int((group / usage_name).read_text()) - int(statistics.get(cached_name, 0))
                limit = int((group / limit_name).read_text())
                # In version 1 also that of groups around a container, which it does not see
                yield min(limit, int(statistics.get("hierarchical_memory_limit", limit))) - used
            except (OSError, ValueError):  # no such group, or one without a limit
                continue


def _available_in_shell(root: Path) -> Iterator[int]:
    try:
        limits, status = ((root / "proc/self" / name).read_text() for name in ("limits", "status"))
    except OSError:  # not Linux
        return
    for limit_name, usage_name in (("Max address space", "VmSize:"), ("Max data size", "VmData:")):
        limit, usage = (
            re.search(rf"^{name}\s+(\d+)", text, re.M) for name, text in ((limit_name, limits), (usage_name, status))
        )
        if limit and usage:
            yield int(limit[1]) - int(usage[1]) * 1024


def check_resources(stages: Sequence[Stage], run: RunSettings) -> None:
    """Refuse a run that needs more memory than this machine has, or more disk space for its weights.

    Args:
        stages: The experiments of the run.
        run: The run's settings.

    Raises:
        InputError: With the need and what is available.
    """
    check_memory(stages, run, available_bytes())
    root = artifact_folder(run.artifacts)
    free = backend_of(root).free_bytes()
    if free is not None:
        # What an earlier run has trained takes no more
        trained = sum(path.stat().st_size for path in (root / "models").glob("*.safetensors"))
        check_disk(stages, run, free + trained)


def check_disk(stages: Iterable[Stage], run: RunSettings, available: int) -> None:
    """Refuse a run whose weights need more disk space than is available.

    Args:
        stages: The experiments of the run.
        run: The run's settings.
        available: Bytes that are free, or already hold weights.

    Raises:
        InputError: With the need and what is available.

    Example:
        >>> from tasks.run_settings import ImageRunSettings
        >>> from tasks.stages import flow_parameters, stages_of
        >>> parameters = flow_parameters("images") | {"run": ImageRunSettings(seeds=1_000_000)}
        >>> check_disk(stages_of("images", parameters), parameters["run"], available=10**11)
        Traceback (most recent call last):
        mlp_core.errors.InputError: seeds must leave what fits on the disk, got 1000000: the weights of all members \
take about 820 GB and 100 GB are available; use fewer --seeds, or another --artifacts.
    """
    n_bytes = sum(
        _n_members(stage, trial.config) * parameter_count(trial.config.layer_sizes) * FLOAT_BYTES
        for stage in stages
        for trial in _trials(stage)
    )
    if n_bytes > available:
        message = (
            f"seeds must leave what fits on the disk, got {run.seeds}: the weights of all members take about "
            f"{_gigabytes(n_bytes)} GB and {_gigabytes(available)} GB are available; "
            "use fewer --seeds, or another --artifacts."
        )
        raise InputError(message)


def check_memory(stages: Iterable[Stage], run: RunSettings, available: int | None) -> None:
    """Refuse a run whose largest part needs more memory than is available on this machine.

    With a dask scheduler nothing is refused, as the memory of its machines is not known.

    Args:
        stages: The experiments of the run.
        run: The run's settings.
        available: Bytes, see `available_bytes`; None refuses nothing.

    Raises:
        InputError: With the need of the largest part and what is available.

    Example:
        >>> from tasks.stages import flow_parameters, stages_of
        >>> parameters = flow_parameters("images")
        >>> parameters["model"] = type(parameters["model"])(hidden_widths=(100_000, 100_000))
        >>> check_memory(stages_of("images", parameters), RunSettings(workers=2), available=16 * 10**9)
        Traceback (most recent call last):
        mlp_core.errors.InputError: hidden_widths must leave what fits into memory, got 100000,100000: images \
hidden=100000-100000 needs about 330 GB and 16 GB are available; use a smaller --hidden-widths or fewer --seeds.
    """
    if available is None or run.scheduler:
        return
    need = max(estimate_memory(stages, run), key=lambda need: need.n_bytes, default=None)
    if need is None or need.n_bytes <= available:
        return
    flag = f"--{need.setting.replace('_', '-')}"
    way_out = "use fewer --seeds or --epochs" if need.setting == "seeds" else f"use a smaller {flag} or fewer --seeds"
    message = (
        f"{need.setting} must leave what fits into memory, got {text_of(need.value)}: {need.what} needs about "
        f"{_gigabytes(need.n_bytes)} GB and {_gigabytes(available)} GB are available; {way_out}."
    )
    raise InputError(message)


def _gigabytes(n_bytes: int) -> str:
    gigabytes = n_bytes / 1e9
    digits = 1 - math.floor(math.log10(gigabytes)) if gigabytes > 0 else 0
    return f"{round(gigabytes, digits):,.{max(0, digits)}f}"
