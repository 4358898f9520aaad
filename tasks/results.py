"""Tables and figures: load what an experiment's function takes, call it, write what it gives."""

from __future__ import annotations

from collections import UserList
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from mlp_core.artifacts.storage import (
    Artifact,
    Provenance,
    code_digest,
    locked,
    read_table,
    settings_digest,
    write_file,
    write_table,
)
from mlp_core.experiments.interface import Figure, Table, resolve
from tasks.caching import UNCACHED, cached, canonical
from tasks.context import RunContext, logger
from tasks.data import Examples, load_split
from tasks.helper_process import run_in_helper
from tasks.training import TrainedTrial

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor
    from upath import UPath

    from mlp_core.engine.tables import TrainedModel

_RESULT_LIBRARIES = ("scipy", "pandas", "pyarrow")
_FIGURE_LIBRARIES = (*_RESULT_LIBRARIES, "matplotlib")
_KEPT_BYTES = 32 * 1024


def _table_run_name() -> str:
    from prefect.runtime import task_run

    table: Table = task_run.parameters["table"]
    return table.title or table.name


@task(name="make table", task_run_name=_table_run_name, **cached(libraries=_RESULT_LIBRARIES))
def make_table(context: RunContext, table: Table, inputs: Sequence[Any]) -> Artifact:
    """Compute a table from its loaded inputs and store it with its provenance.

    Args:
        context: The run's context.
        table: Its description, without inputs; see `mlp_core.experiments.interface.Table`.
        inputs: References to files (they are loaded first) and plain values.
    """
    from mlp_core.artifacts.units import settings_of, units_of

    root = context.root
    function, data = resolve(table.function), tuple(_loaded(root, value) for value in inputs)
    options = {"checkpoint": context.checkpoint} if "checkpoint" in signature(function).parameters else {}
    if table.prepare:
        data, function = resolve(table.prepare)(*data), partial(run_in_helper, function, checkpoint=context.checkpoint)
    rows = function(*data, **options)
    settings = {**table.settings, **settings_of(rows)}
    digests = dict(_digests(inputs))
    provenance = Provenance(settings, code_digest(*table.modules), digests, units_of(rows))
    path = table.name
    if not path.startswith("results/"):
        # In whatever order the configurations come, the table is the same
        values = [sorted(map(str, value)) if isinstance(value, list) else value for value in canonical(inputs)]
        asked = {"function": table.function, "inputs": values}
        path += f"-{settings_digest(asked, provenance.code)[:12]}"
    if options:
        logger.info("%s: %d rows", table.title, len(rows))
    return write_table(root, f"{path}.parquet", rows.replace_schema_metadata().combine_chunks(), provenance)


@task(name="draw figure", task_run_name="draw {figure.name}", **cached(libraries=_FIGURE_LIBRARIES))
def draw_figure(context: RunContext, figure: Figure, inputs: Sequence[Any]) -> list[Artifact]:
    """Draw a figure from its loaded inputs and store it as PNG, and as SVG if that is small.

    Args:
        context: The run's context.
        figure: Its description, without inputs; see `mlp_core.experiments.interface.Figure`.
        inputs: References to files (they are loaded first) and plain values.
    """
    data = tuple(_loaded(context.root, value) for value in inputs)
    if figure.prepare:
        data = resolve(figure.prepare)(*data)
    else:
        data = tuple(value.to_pandas() if hasattr(value, "to_pandas") else value for value in data)
    return save_figure(context, figure.name, figure.draw, *data)


def save_figure(context: RunContext, name: str, draw: str, *data: object) -> list[Artifact]:
    """Draw a figure in the helper process and store it in `figures` as PNG, and as SVG if that is small.

    Args:
        context: The run's context.
        name: Name of the files.
        draw: The drawing function as `"module:function"`.
        data: The function's arguments.

    Returns:
        The files; an SVG of an earlier run is deleted if there is none now.
    """
    from mlp_core.experiments.drawing import drawn_files

    folder = context.root / "figures"
    files = run_in_helper(drawn_files, draw, *data, checkpoint=context.checkpoint)
    if "svg" not in files:
        (folder / f"{name}.svg").unlink(missing_ok=True)  # that of an earlier run would be another figure
    return [_written(context.root, folder / f"{name}.{ending}", content) for ending, content in files.items()]


def _written(root: Path | UPath, path: Path | UPath, content: bytes) -> Artifact:
    write_file(path, lambda file: file.write_bytes(content))
    return Artifact.of(root, path)


def _loaded(root: Path | UPath, value: Any) -> Any:
    """Return a table, examples or trained members for what refers to them; anything else as it is."""
    if isinstance(value, Artifact):
        return read_table(root, value)
    if isinstance(value, Examples):
        return load_split(root, value.table)
    if isinstance(value, TrainedTrial):
        return loaded_model(root, value)
    if isinstance(value, (list, tuple, UserList)):
        return [_loaded(root, item) for item in value]
    return value


def _digests(value: Any) -> Iterator[tuple[str, str]]:
    """Yield path and digest of every file that inputs refer to."""
    if isinstance(value, Artifact):
        yield value.path, value.sha256
    elif isinstance(value, Examples):
        yield from _digests(value.table)
    elif isinstance(value, TrainedTrial):
        yield from _digests([block.table for block in value.blocks])
    elif isinstance(value, (list, tuple, UserList)):
        for item in value:
            yield from _digests(item)


def loaded_model(root: Path | UPath, trained: TrainedTrial) -> TrainedModel:
    """Return a trained configuration; its members and their weights are read when they are asked for."""
    from mlp_core.engine.tables import TrainedModel

    return TrainedModel(trained.trial, partial(_members, root, trained), partial(_state, root, trained))


def _members(root: Path | UPath, trained: TrainedTrial) -> pa.Table:
    """Return a row per member 0 .. n - 1."""
    from mlp_core.engine.tables import joined_members

    tables = (block.table for block in trained.blocks)
    parts = (
        _kept_table(root, table) if table.size_bytes <= _KEPT_BYTES else read_table(root, table) for table in tables
    )
    return joined_members(parts, trained.n_members)


# Result tables and history want the same ones, and to read 1,000 small files takes a second; large ones are not kept
_kept_table = lru_cache(maxsize=2048)(read_table)


def _state(root: Path | UPath, trained: TrainedTrial) -> dict[str, Tensor]:
    """Return the stacked parameters of members 0 .. n - 1."""
    import torch
    from safetensors.torch import load_file

    parts = [load_file(block.weights.locate(root)) for block in trained.blocks]
    return {name: torch.cat([part[name] for part in parts])[: trained.n_members] for name in parts[0]}


@task(name="collect history", task_run_name="collect history", **UNCACHED)
def collect_history(context: RunContext, trained: Sequence[TrainedTrial]) -> Artifact:
    """Store the losses of all members and epochs in `results/history.parquet`.

    Rows of experiments that this run did not train are kept from the earlier file.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from mlp_core.engine.tables import HISTORY_UNITS, history_rows

    root = context.root
    by_experiment: dict[str, list[pa.Table]] = {}
    for model in sorted(trained, key=lambda model: model.name):
        rows = history_rows(model.trial, loaded_model(root, model).members)
        by_experiment.setdefault(model.trial.labels.experiment, []).append(rows)
    schema = rows.schema
    path = root / "results" / "history.parquet"
    with locked(
        [root / "results"], context.checkpoint
    ):  # two runs that add to it at once must not lose each other's rows
        with suppress(OSError, ValueError, KeyError, pa.ArrowException):  # none, damaged, or another table of this name
            earlier = read_table(root, Artifact.of(root, path)).replace_schema_metadata()
            if "validation_accuracy" not in earlier.column_names:  # of a version that had none
                earlier = earlier.append_column("validation_accuracy", pa.nulls(len(earlier), pa.float64()))
            earlier = earlier.cast(schema)
            for experiment in set(pc.unique(earlier["experiment"]).to_pylist()) - set(by_experiment):
                by_experiment[experiment] = [earlier.filter(pc.equal(earlier["experiment"], experiment))]
        table = pa.concat_tables([part for name in sorted(by_experiment) for part in by_experiment[name]])
        code = code_digest("mlp_core.engine.members")
        provenance = Provenance({}, code, dict(_digests(list(trained))), HISTORY_UNITS)
        return write_table(root, "results/history.parquet", table.combine_chunks(), provenance)
