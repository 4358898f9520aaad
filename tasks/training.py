"""Training: all members of a configuration at once, and few members of several that differ in their gains alone."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task

from mlp_core.artifacts.storage import (
    Artifact,
    Provenance,
    code_digest,
    locked,
    settings_digest,
    versions,
    write_file,
    write_table,
)
from mlp_core.engine.configs import TrainConfig, Trial
from mlp_core.engine.footprint import split_by_memory
from mlp_core.errors import DeepMlpError
from tasks.caching import cached
from tasks.context import RECORDS, RunContext, logger
from tasks.data import Examples, load_split
from tasks.helper_process import preload_in_helper

if TYPE_CHECKING:
    from upath import UPath

    from mlp_core.engine.members import TrainedMembers

_CODE = ("mlp_core.engine.members", "mlp_core.engine.tables")
_TUNING = ("mlp_core.engine.tuning",)
_SECONDS_BETWEEN_LINES = 10
_READABLE_CHARACTERS = 100  # of a file's name, which may have 255


class TimeLimitExceeded(DeepMlpError):
    """A training took longer than the run's `time_limit_seconds`."""


@dataclass(frozen=True)
class MemberBlock:
    """Consecutive members of a configuration that were trained and stored together.

    Attributes:
        first: Number of the first member.
        last: Number of the last member (included).
        table: File with one row per member; the losses of all epochs are a list.
        weights: File with their stacked parameters, in safetensors format.
    """

    first: int
    last: int
    table: Artifact
    weights: Artifact


@dataclass(frozen=True)
class TrainedConfig:
    """The stored members 0 .. `n_members` - 1 of a trained configuration, in one or more blocks."""

    config: TrainConfig
    n_members: int
    blocks: tuple[MemberBlock, ...]


@dataclass(frozen=True)
class TrainedTrial:
    """The stored members of a trained configuration, with the labels that an experiment gives it."""

    trial: Trial
    n_members: int
    blocks: tuple[MemberBlock, ...]

    @property
    def name(self) -> str:
        """Return the configuration's name."""
        return self.trial.config.name


def _task_run_name() -> str:
    from prefect.runtime import task_run

    return f"train {names_in_short(task_run.parameters['configs'])}"


def names_in_short(configs: Sequence[TrainConfig]) -> str:
    """Return a short name for configurations that train together: that of the only one, or `FIRST to LAST`."""
    return " to ".join(dict.fromkeys((configs[0].name, configs[-1].name)))


@task(name="train", task_run_name=_task_run_name, **cached(*_CODE))
def train_configurations(
    context: RunContext, configs: tuple[TrainConfig, ...], data: Examples, n_members: int
) -> list[TrainedConfig]:
    """Train and store those members of some configurations that no earlier run has stored.

    Configurations that differ only in their gains train as one ensemble. If two runs in one folder want the same
    configuration, the second waits and uses what the first has stored.

    Args:
        context: The run's context.
        configs: The configurations.
        data: Their examples.
        n_members: Members of each configuration.

    Returns:
        One result per configuration, in their order.
    """
    records, examples = context.root / RECORDS, data.table
    waiting = context.waiting_for(f"another run that trains {configs[0].seed_namespace} {names_in_short(configs)}")
    with locked((records / _file_name(config, examples) for config in configs), waiting):
        return _train_missing(context, configs, examples, n_members)


@task(name="tune learning rate", task_run_name="tune learning rate {config.name}", **cached(*_TUNING))
def tune_learning_rate(context: RunContext, config: TrainConfig, data: Examples, rates: tuple[float, ...]) -> float:
    """Return the learning rate, of some given ones, that is best for a configuration on validation examples.

    Args:
        context: The run's context.
        config: The configuration.
        data: Its training examples, of which a part is held out for validation.
        rates: Learning rates to try.
    """
    from mlp_core.engine.tuning import tuned_learning_rate

    rate = tuned_learning_rate(config, load_split(context.root, data.table), rates, context.checkpoint)
    logger.info("tuned %s %s: learning rate %g", config.seed_namespace, config.name, rate)
    return rate


def _train_missing(
    context: RunContext, configs: Sequence[TrainConfig], examples: Artifact, n_members: int
) -> list[TrainedConfig]:
    started, root = time.monotonic(), context.root
    blocks: dict[TrainConfig, list[MemberBlock]] = {}
    # By the members to train, and by what all have in common that train as one ensemble
    alike: dict[tuple[tuple[int, ...], TrainConfig], list[TrainConfig]] = {}
    for config in configs:
        blocks[config] = [] if context.refresh else _earlier_blocks(root, _file_name(config, examples), n_members)
        missing = set(range(n_members)) - {member for block in blocks[config] for member in _members(block)}
        alike.setdefault((tuple(sorted(missing)), config.apart_from_gains()), []).append(config)
    for (members, _), together in alike.items():
        if not members:
            logger.info("found %s %s: all %d members", configs[0].seed_namespace, names_in_short(together), n_members)
        for run in _runs(members):
            for part, numbers in split_by_memory(together, run, examples.rows):
                for config, block in zip(part, _train_blocks(context, part, examples, numbers, started), strict=True):
                    blocks[config].append(block)
    return [
        TrainedConfig(config, n_members, tuple(sorted(blocks[config], key=lambda block: block.first)))
        for config in configs
    ]


def _file_name(config: TrainConfig, examples: Artifact) -> str:
    key = settings_digest(config.settings(), examples.sha256, code_digest(*_CODE), str(versions()))[:12]
    readable = re.sub(r"[^A-Za-z0-9=.-]", "-", config.name)[:_READABLE_CHARACTERS]
    return f"{config.seed_namespace}-{readable}-{key}"


def _members(block: MemberBlock) -> range:
    return range(block.first, block.last + 1)


def _runs(members: Sequence[int]) -> list[list[int]]:
    """Cut sorted numbers where one is left out."""
    runs: list[list[int]] = []
    for member in members:
        if runs and member == runs[-1][-1] + 1:
            runs[-1].append(member)
        else:
            runs.append([member])
    return runs


def _earlier_blocks(root: Path | UPath, name: str, n_members: int) -> list[MemberBlock]:
    """Return blocks of earlier runs that do not overlap, the larger ones first, as far as they are whole."""
    spans = []
    for path in (root / RECORDS / name).glob("*.json"):
        first, last = (int(number) for number in path.stem.split("-"))
        if first < n_members:
            spans.append((first, last, path))
    blocks: list[MemberBlock] = []
    for first, last, path in sorted(spans, key=lambda item: (item[0], -item[1])):
        if blocks and first <= blocks[-1].last:
            continue
        stem, whole = f"{name}-{path.stem}", False
        with suppress(OSError, ValueError):
            table = Artifact.of(root, root / "members" / f"{stem}.parquet", last - first + 1)
            weights = Artifact.of(root, root / "models" / f"{stem}.safetensors")
            whole = json.loads(path.read_bytes()) == {"table": table.sha256, "weights": weights.sha256}
        if whole:
            blocks.append(MemberBlock(first, last, table, weights))
        else:
            logger.warning("%s: its table or weights are gone or were changed; these members train again", stem)
    return blocks


def _train_blocks(
    context: RunContext,
    configs: Sequence[TrainConfig],
    examples: Artifact,
    members: Sequence[int],
    task_started: float,
) -> list[MemberBlock]:
    from mlp_core.engine.members import train_batched

    context.checkpoint()  # or a stopped run would start a helper
    preload_in_helper("mlp_core.report.loss_curves")  # they follow
    config, name = configs[0], names_in_short(configs)
    data = load_split(context.root, examples)
    started = reported_at = time.monotonic()
    deadline = task_started + (context.time_limit_seconds or math.inf)

    def watch(done: float) -> None:
        nonlocal reported_at
        context.checkpoint()
        if time.monotonic() > deadline:
            message = f"{name} took longer than the {context.time_limit_seconds:g} s of --time-limit-seconds"
            raise TimeLimitExceeded(message)
        if time.monotonic() > reported_at + _SECONDS_BETWEEN_LINES:
            reported_at = time.monotonic()
            epoch = int(done * config.epochs)
            whom = f"{name}, members {members[0]} to {members[-1]}"
            logger.info("train %s %s: epoch %d of %d", config.seed_namespace, whom, epoch, config.epochs)

    _tell_of_own_bits()
    trained = train_batched(configs, data, members, watch)
    blocks = [_keep(context.root, config, examples, part) for config, part in zip(configs, trained, strict=True)]
    seconds, n_members = time.monotonic() - started, len(configs) * len(members)
    logger.info("trained %s %s: %d members in %.1f s", config.seed_namespace, name, n_members, seconds)
    return blocks


@cache
def _tell_of_own_bits() -> None:
    from mlp_core.engine.arithmetic import has_bits_of_its_own

    if has_bits_of_its_own():
        logger.warning("this processor has no AVX2: results have other last digits than on those that have it")


def _keep(root: Path | UPath, config: TrainConfig, examples: Artifact, trained: TrainedMembers) -> MemberBlock:
    from safetensors.torch import save_file

    from mlp_core.engine.tables import MEMBER_UNITS, member_table

    first, last = trained.member[0], trained.member[-1]
    name, numbers = _file_name(config, examples), f"{first:03d}-{last:03d}"
    stem = f"{name}-{numbers}"
    weights = root / "models" / f"{stem}.safetensors"
    settings = {"experiment": config.seed_namespace, "configuration": config.name, **config.settings()}
    # safetensors writes several entries in a random order
    metadata = {"config": json.dumps(settings, sort_keys=True)}
    write_file(weights, lambda file: save_file(trained.state, file, metadata))
    parameters, members = Artifact.of(root, weights), member_table(trained)
    provenance = Provenance(
        settings,
        code_digest(*_CODE),
        {"data": examples.sha256, "weights": parameters.sha256},
        {name: MEMBER_UNITS[name] for name in members.column_names},
    )
    table = write_table(root, f"members/{stem}.parquet", members, provenance)
    # Last, so that what it names is there and whole: Parquet has no checksum of its footer
    digests = json.dumps({"table": table.sha256, "weights": parameters.sha256})
    write_file(root / RECORDS / name / f"{numbers}.json", lambda file: file.write_text(digests))
    return MemberBlock(first, last, table, parameters)
