"""How much memory a run will need, and how much there is: what cannot fit is refused before anything is made.

Plain arithmetic on settings and plans, no torch. The tests compare it with what trainings took.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlp_core.artifacts.backends import backend_of
from mlp_core.artifacts.places import artifact_folder
from mlp_core.data.sizes import PIXELS
from mlp_core.engine.footprint import FLOAT_BYTES, in_parts, member_bytes
from mlp_core.engine.plans import (
    TrainingPlan,
    depth_sweep_plans,
    explanation_plans,
    features_plans,
    gain_sweep_plans,
    images_plan,
    phase_plans,
    polynomial_plan,
)
from mlp_core.engine.sizes import parameter_count
from mlp_core.errors import InputError
from mlp_core.machine import cores, own_groups
from mlp_core.settings import (
    DepthSweep,
    Explanation,
    Features,
    GainSweep,
    Generalization,
    Images,
    Phase,
    Polynomial,
    Run,
    Settings,
    Signals,
    Spirals,
    text_of,
)

_PHOTOGRAPHS = 6900  # the drawn faces; another source may hold more, which the size of its table shows only in the run
_PHOTOGRAPH_CLASSES = 3  # likewise, until the source is read
_BYTES_PER_CLASS = PIXELS * 40 + 1024 * 24  # means in two precisions and copies, and a number for each of many units
_BYTES_PER_POINT = 150  # while the spirals are drawn, written and read
_BYTES_PER_EPOCH = 150  # a row of the history while it is sorted and written
_BYTES_PER_NETWORK, _BYTES_PER_LAYER = 20_000, 600  # of a random network's measurements, as a table and joined
_FEATURE_COPIES = 5  # while they are made and joined, written, read and laid out for training


@dataclass(frozen=True)
class Need:
    """What a part of a run needs.

    Attributes:
        n_bytes: At its peak.
        what: The part, in words.
        setting: Name of the setting that decides the size most.
        value: Its value.
    """

    n_bytes: int
    what: str
    setting: str
    value: object


def needs(settings: Iterable[object], n_classes: int = _PHOTOGRAPH_CLASSES) -> list[Need]:
    """Return what the parts of a run need that take memory, by its settings.

    Parts that follow each other count each for itself; of what the workers do side by side, the largest counts for
    each of them.

    Args:
        settings: A flow's parameters.
        n_classes: Of the photographs.

    Example:
        >>> [need.setting for need in needs([Run(), Spirals(), DepthSweep(depths=(3,))])]
        ['points', 'parameter_budget', 'seeds']
    """
    by_kind = {type(model): model for model in settings if isinstance(model, Settings)}
    run = next((model for model in by_kind.values() if isinstance(model, Run)), Run())
    spirals = by_kind.get(Spirals, Spirals())
    assert isinstance(spirals, Spirals)
    n_workers, n_points = run.workers or cores(), spirals.arms * spirals.points
    found = [Need(n_points * _BYTES_PER_POINT, "the spirals", "points", spirals.points)] if Spirals in by_kind else []
    n_epochs = 0
    for model in by_kind.values():
        if isinstance(model, Explanation):
            n_epochs += run.seeds * sum(plan.epochs for plan in _explained(model, by_kind.get(DepthSweep), spirals))
            continue
        if isinstance(model, Signals):
            n_weights = model.width * max(model.width, PIXELS)
            found.append(Need(n_workers * 13 * n_weights, "random networks", "width", model.width))
            n_bytes = run.seeds * (_BYTES_PER_NETWORK + model.layers * _BYTES_PER_LAYER)
            found.append(Need(n_workers * n_bytes, "the measurements of all members", "seeds", run.seeds))
        for plan, n_members, n_plans, n_examples, setting in _trainings(
            model, _run_of(model, by_kind, run), spirals, n_classes
        ):
            part_plans, members = next(iter(in_parts([plan] * min(n_plans, 8), range(n_members), n_examples)))
            training = len(part_plans) * len(members) * member_bytes(plan, n_examples)
            data = n_examples * plan.layer_sizes[0] * FLOAT_BYTES * _FEATURE_COPIES
            what = f"{plan.experiment} {plan.configuration}"
            value = getattr(model, setting)
            if plan.batches == "private" and member_bytes(plan, n_examples) > 4 * member_bytes(plan, 4000):
                setting, value = "points", spirals.points  # each member's own order of them
            found.append(Need(n_workers * training + data, what, setting, value))
            n_epochs += n_plans * n_members * plan.epochs
            if isinstance(model, Features):
                found.append(Need(n_workers * n_classes * _BYTES_PER_CLASS, "the means of all classes", setting, value))
            if isinstance(model, (Features, Generalization)):  # they read the weights of all members at once
                weights = n_members * parameter_count(plan.layer_sizes) * 2 * FLOAT_BYTES
                found.append(Need(weights, f"the weights of {what}", setting, value))
    if n_epochs:
        found.append(Need(n_epochs * _BYTES_PER_EPOCH, "the losses of all members", "seeds", run.seeds))
    return found


def _run_of(model: Settings, by_kind: Mapping[type, Settings], run: Run) -> Run:
    """Return the run as an experiment knows it: beside others, in the tutorial, the phase diagram has one member."""
    return run.model_copy(update={"seeds": 1}) if isinstance(model, Phase) and GainSweep in by_kind else run


def _explained(model: Explanation, sweep: Settings | None, spirals: Spirals) -> Iterable[TrainingPlan]:
    """Return what is trained to explain a depth sweep; at what gain is all the same here."""
    if not model.explain or not isinstance(sweep, DepthSweep):
        return ()
    gains = dict.fromkeys((sweep.activation, *model.explain_activations), 1.5)
    training = {**sweep.model_dump(exclude={"depths", "parameter_budget"}), "seed": 0, "device": "cpu"}
    n_classes, longer = spirals.arms, model.explain_epochs
    return explanation_plans(sweep.depths, sweep.parameter_budget, n_classes, gains, longer, **training)


def _trainings(
    model: Settings, run: Run, spirals: Spirals, n_classes: int = _PHOTOGRAPH_CLASSES
) -> Iterator[tuple[TrainingPlan, int, int, int, str]]:
    """Yield trainings: plan, members, plans like it, examples, and the setting behind it.

    All on the spirals' points, where the largest members train in the smallest parts; the largest of each other kind.
    """
    n_points, arms = spirals.arms * spirals.points, spirals.arms
    common = {"seed": run.seed, "device": "cpu"}
    names = {"activation", "optimizer", "learning_rate", "epochs", "batch_size"}
    training = {**model.model_dump(include=names), **common}
    wide = {name: value for name, value in training.items() if name != "activation"}

    def largest(plans: Iterable[TrainingPlan], n_examples: int) -> TrainingPlan:
        return max(plans, key=lambda plan: member_bytes(plan, n_examples))

    if isinstance(model, DepthSweep):
        for plan in depth_sweep_plans(model.depths, model.parameter_budget, arms, **training):
            yield plan, run.seeds, 1, n_points, "parameter_budget"
    elif isinstance(model, Polynomial):
        yield polynomial_plan(model.degree, arms, **wide), run.seeds, 1, n_points, "degree"
    elif isinstance(model, Generalization):
        plan = polynomial_plan(max(model.degrees), arms, **wide)
        yield plan, run.seeds, len(model.degrees) + 1, n_points, "degrees"  # the widest once more, tuned
        for budget in model.parameter_budgets:
            for plan in depth_sweep_plans(model.depths, budget, arms, **training):
                yield plan, run.seeds, 1, n_points, "parameter_budgets"
    elif isinstance(model, Images):
        plan = images_plan(model.hidden_widths, PIXELS, n_classes, **training)
        yield plan, run.seeds, 1, _PHOTOGRAPHS, "hidden_widths"
    elif isinstance(model, GainSweep):
        gains, widths = model.gains[:1], model.hidden_widths
        sizes = (PIXELS, n_classes)
        found = gain_sweep_plans(gains, model.distribution, widths, *sizes, 1.0, **training)
        yield found[0], run.seeds, len(model.gains), _PHOTOGRAPHS, "hidden_widths"
    elif isinstance(model, Features):
        found = list(features_plans(model.depths, model.width, PIXELS, n_classes, **training).values())
        yield largest(found, _PHOTOGRAPHS), run.seeds, len(found), _PHOTOGRAPHS, "width"
    elif isinstance(model, Phase):
        sizes = (PIXELS, n_classes) if model.data == "images" else (2, arms)
        n_examples = min(model.examples, n_points) * 2
        found = phase_plans(model.depths, model.gains, model.width, *sizes, **training)
        yield largest(found, n_examples), run.seeds * len(model.gains), len(found), n_examples, "width"


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that this process may still take.

    That is the machine's, and less where a control group or the shell (`ulimit -v`, `ulimit -d`) limits it.

    Args:
        root: Where the kernel's files begin.

    Returns:
        Bytes, or None where the system does not say.
    """
    found = []
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        if root == Path("/") and "SC_PHYS_PAGES" in os.sysconf_names:
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    found += _available_in_groups(root)
    found += _available_in_shell(root)
    return max(0, min(found)) if found else None


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
                yield int((group / limit_name).read_text()) - used
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


def check_room(settings: Iterable[object]) -> None:
    """Refuse a run that cannot fit into this machine's memory, or its weights on the disk of its artifact folder.

    Args:
        settings: The flow's parameters.

    Raises:
        InputError: With what it needs and what there is.
    """
    settings = list(settings)
    check_memory(settings, available_bytes())
    run = next((model for model in settings if isinstance(model, Run)), Run())
    root = artifact_folder(run.artifacts)
    free = backend_of(root).free_bytes()
    if free is not None:
        # What an earlier run has trained takes no more
        trained = sum(path.stat().st_size for path in (root / "models").glob("*.safetensors"))
        check_disk(settings, free + trained)


def check_disk(settings: Iterable[object], available: int) -> None:
    """Refuse a run whose weights cannot fit on the disk.

    Args:
        settings: The flow's parameters.
        available: Bytes that are free or hold weights already.

    Raises:
        InputError: With what the weights take and what there is.

    Example:
        >>> check_disk([Run(seeds=1_000_000), Images()], available=10**11)
        Traceback (most recent call last):
        mlp_core.errors.InputError: seeds must leave what fits on the disk, got 1000000: the weights of all members \
take about 820 GB and 100 GB are available; use fewer --seeds, or another --artifacts.
    """
    by_kind = {type(model): model for model in settings if isinstance(model, Settings)}
    run = next((model for model in by_kind.values() if isinstance(model, Run)), Run())
    spirals = by_kind.get(Spirals, Spirals())
    assert isinstance(spirals, Spirals)
    n_bytes = sum(
        n_plans * n_members * parameter_count(plan.layer_sizes) * FLOAT_BYTES
        for model in by_kind.values()
        if not isinstance(model, Explanation)
        for plan, n_members, n_plans, _, _ in _trainings(model, _run_of(model, by_kind, run), spirals)
    )
    if n_bytes > available:
        message = (
            f"seeds must leave what fits on the disk, got {run.seeds}: the weights of all members take about "
            f"{_gigabytes(n_bytes)} GB and {_gigabytes(available)} GB are available; "
            "use fewer --seeds, or another --artifacts."
        )
        raise InputError(message)


def check_memory(settings: Iterable[object], available: int | None, n_classes: int = _PHOTOGRAPH_CLASSES) -> None:
    """Refuse a run that cannot fit into this machine's memory; what dask's machines have is not known here.

    Args:
        settings: The flow's parameters.
        available: See `available_bytes`; None refuses nothing.
        n_classes: Of the photographs, once they are read.

    Raises:
        InputError: With what the largest part needs and what there is.

    Example:
        >>> check_memory([Run(workers=2), Images(hidden_widths=(100_000, 100_000))], available=16 * 10**9)
        Traceback (most recent call last):
        mlp_core.errors.InputError: hidden_widths must leave what fits into memory, got 100000,100000: images \
hidden=100000-100000 needs about 330 GB and 16 GB are available; use a smaller --hidden-widths or fewer --seeds.
    """
    settings = list(settings)
    if available is None or any(isinstance(model, Run) and model.scheduler for model in settings):
        return
    need = max(needs(settings, n_classes), key=lambda need: need.n_bytes, default=None)
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
