"""Analysis: result tables, decision maps, figures and the report, all from stored tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from mlp_core.artifacts.places import local_view
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
from tasks.caching import UNCACHED, artifact_root, cached
from tasks.data import ImageTable, load_split
from tasks.laboratory import checkpoint, logger
from tasks.monitoring import show_results
from tasks.offloading import offloaded
from tasks.training import TrainedConfiguration

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.figure import Figure
    from torch import Tensor
    from upath import UPath

_MAPS = ("mlp_core.engine.training", "mlp_core.data.polynomial_features")
_SWEEPS = (
    *("mlp_core.experiments.depth_sweep.figures", "mlp_core.experiments.gain_sweep.figures"),
    "mlp_core.report.png",
)
_LOSSES = ("mlp_core.report.loss_curves", "mlp_core.report.png")
_DECISION_MAPS = ("mlp_core.report.decision_maps", "mlp_core.report.png")
_FIRST_LAYER = ("mlp_core.experiments.images.figures", "mlp_core.report.png")
_SAMPLES = (*_FIRST_LAYER, "mlp_core.data.augmentation", "mlp_core.seeds")
_MAP_SIZE, _MAP_EXTENT = 500, 2.0
UNITS = {
    "activation": "name",
    "depth": "hidden layers",
    "width": "units per hidden layer",
    "parameters": "trainable parameters",
    "degree": "highest total degree",
    "features": "monomials",
    "hidden_widths": "units of each hidden layer",
    "distribution": "normal|uniform",
    "gain": "factor on Xavier's standard deviation",
    "theoretical_gain": "gain that keeps the second moment",
    "sigma_w": "standard deviation of a weight between hidden layers times sqrt(fan_in)",
    "member": "number",
    "seed": "seed of weights and order",
    "epochs": "passes over the training set",
    "train_accuracy": "0..1",
    "test_accuracy": "0..1",
    "final_train_loss": "nats, mean of the last epoch",
    "status": "ok|diverged",
    "experiment": "name",
    "configuration": "name",
    "epoch": "number, from 1",
    "train_loss": "nats, mean of the epoch",
    "x1": "1",
    "x2": "1",
    "class": "class index",
    "reason": "text",
    "learned": "train accuracy at least 5 points above chance",
}


@dataclass(frozen=True)
class Failure:
    """A task that failed.

    Attributes:
        experiment: Whose it was; several, joined by commas, where a table or figure of theirs is missing.
        reason: What it said.
    """

    experiment: str
    reason: str


@dataclass(frozen=True)
class DecisionTable:
    """A model's answers on a grid."""

    title: str
    table: Artifact


@task(name="summarize", task_run_name="summarize {experiment}", **cached())
def summarize(experiment: str, trained: Sequence[TrainedConfiguration], settings: dict[str, Any]) -> Artifact:
    """Join the members of all configurations into the experiment's result table, one row per member."""
    import pyarrow as pa

    root = artifact_root()
    parts = [result_rows(root, configuration) for configuration in trained]
    table = pa.concat_tables(parts)
    provenance = Provenance(
        settings, _trained_code(), table_digests(trained), {name: UNITS[name] for name in table.column_names}
    )
    return write_table(root, f"results/{experiment}.parquet", table.combine_chunks(), provenance)


def result_rows(root: Path | UPath, configuration: TrainedConfiguration) -> pa.Table:
    """Return a row per member of a configuration."""
    from mlp_core.engine.tables import result_rows

    return result_rows(configuration.plan, _members(root, configuration))


def table_digests(trained: Sequence[TrainedConfiguration]) -> dict[str, str]:
    """Return the digest of every table of members, by its path."""
    return {block.table.path: block.table.sha256 for part in trained for block in part.blocks}


def _trained_code() -> str:
    return code_digest("mlp_core.engine.members")


def _members(root: Path | UPath, trained: TrainedConfiguration) -> pa.Table:
    """Return the rows of a configuration's members 0 .. n - 1."""
    from mlp_core.engine.tables import joined_members

    return joined_members((read_table(root, block.table) for block in trained.blocks), trained.n_members)


@task(name="collect history", task_run_name="collect history", **UNCACHED)
def collect_history(trained: Sequence[TrainedConfiguration]) -> Artifact:
    """Write every member's loss of every epoch; experiments that this run leaves out keep their rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    root = artifact_root()
    by_experiment: dict[str, list[pa.Table]] = {}
    for configuration in sorted(trained, key=lambda one: one.plan.configuration):
        rows = _history_rows(root, configuration)
        by_experiment.setdefault(configuration.plan.experiment, []).append(rows)
    schema = rows.schema
    path = root / "results" / "history.parquet"
    with locked([root / "results"], checkpoint):  # two runs that add to it at once must not lose each other's rows
        with suppress(OSError, ValueError, KeyError, pa.ArrowException):  # none, damaged, or another table of this name
            earlier = read_table(root, Artifact.of(root, path)).replace_schema_metadata().cast(schema)
            for experiment in set(pc.unique(earlier["experiment"]).to_pylist()) - set(by_experiment):
                by_experiment[experiment] = [earlier.filter(pc.equal(earlier["experiment"], experiment))]
        table = pa.concat_tables([part for name in sorted(by_experiment) for part in by_experiment[name]])
        units = {name: UNITS[name] for name in table.column_names}
        provenance = Provenance({}, _trained_code(), table_digests(trained), units)
        return write_table(root, "results/history.parquet", table.combine_chunks(), provenance)


def _history_rows(root: Path | UPath, configuration: TrainedConfiguration) -> pa.Table:
    """Return a row per member and epoch, in this order."""
    import numpy as np
    import pyarrow as pa

    members = _members(root, configuration)
    n_members, n_epochs = len(members), configuration.plan.epochs
    return pa.table(
        {
            "experiment": pa.repeat(configuration.plan.experiment, n_members * n_epochs),
            "configuration": pa.repeat(configuration.plan.configuration, n_members * n_epochs),
            "member": np.repeat(members["member"].to_numpy(), n_epochs),
            "epoch": np.tile(np.arange(1, n_epochs + 1), n_members),
            "train_loss": members["train_loss"].combine_chunks().flatten(),
        }
    )


@task(name="map decisions", task_run_name="map decisions {trained[0].plan.experiment}", **cached(*_MAPS))
def map_decisions(trained: Sequence[TrainedConfiguration], spirals: Artifact) -> DecisionTable:
    """Ask the best member for its class everywhere on a grid.

    Best is the configuration of highest mean test accuracy, and in it the member of highest train accuracy, so that
    no test point picks the member that it is drawn on.
    """
    import pyarrow as pa
    import torch
    from safetensors.torch import load_file

    from mlp_core.data.polynomial_features import monomials
    from mlp_core.engine.networks import Ensemble
    from mlp_core.engine.training import predict

    root = artifact_root()
    best = max(trained, key=lambda configuration: _mean(_members(root, configuration)["test_accuracy"]))
    members = _members(root, best)
    accuracies = [accuracy if accuracy is not None else -1.0 for accuracy in members["train_accuracy"].to_pylist()]
    member = accuracies.index(max(accuracies))
    block = next(block for block in best.blocks if block.first <= member <= block.last)
    state = {
        name: tensor[member - block.first].unsqueeze(0)
        for name, tensor in load_file(block.weights.locate(root)).items()
    }
    ensemble = Ensemble.from_state(state, best.plan.activation)
    axis = torch.linspace(-_MAP_EXTENT, _MAP_EXTENT, _MAP_SIZE)
    x2, x1 = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([x1.flatten(), x2.flatten()], 1)
    degree = dict(best.plan.columns).get("degree")
    classes = []
    # The whole grid at degree 50 would take 1.3 GB, and parts that leave the second-level cache twice the time
    for part in grid.split(1024):
        inputs = part if degree is None else monomials(part, int(degree))
        classes.append(predict(ensemble, inputs).squeeze(0))
    table = pa.table(
        {
            "x1": grid[:, 0].numpy(),
            "x2": grid[:, 1].numpy(),
            "class": torch.cat(classes).to(torch.int16).numpy(),
        }
    )
    settings = {
        "experiment": best.plan.experiment,
        "configuration": best.plan.configuration,
        "member": member,
    }
    provenance = Provenance(
        settings,
        code_digest(*_MAPS),
        {"weights": block.weights.sha256},
        {name: UNITS[name] for name in table.column_names},
    )
    name = settings_digest(settings, provenance.code, block.weights.sha256)[:12]
    shown = "polynomial" if degree is not None else "MLP"
    title = f"{shown}, {best.plan.configuration.replace('=', ' ')}, member {member}"
    return DecisionTable(title, write_table(root, f"tables/decision_map-{name}.parquet", table, provenance))


def _mean(column: pa.ChunkedArray) -> float:
    import pyarrow.compute as pc

    mean = pc.mean(column).as_py()
    return -1.0 if mean is None else float(mean)


def save_figure(name: str, draw: Callable[..., Figure], *data: object) -> Artifact:
    """Write the figure that a function draws of some data as PNG."""
    from mlp_core.report.png import drawn_png

    checkpoint()  # or a stopped run would start a helper
    root = artifact_root()
    path = root / "figures" / f"{name}.png"
    png = offloaded(drawn_png, draw, *data)
    write_file(path, lambda file: file.write_bytes(png))
    return Artifact.of(root, path)


@task(name="plot results", task_run_name="plot {experiment}", **cached(*_SWEEPS))
def plot_results(experiment: str, results: Artifact, n_classes: int) -> Artifact:
    """Draw the accuracies of a sweep: `depth_sweep` or `gain_sweep`."""
    from mlp_core.experiments.depth_sweep.figures import depth_sweep_figure
    from mlp_core.experiments.gain_sweep.figures import gain_sweep_figure

    table = read_table(artifact_root(), results).to_pandas()
    draw: dict[str, Callable[[pd.DataFrame, int], Figure]] = {
        "depth_sweep": depth_sweep_figure,
        "gain_sweep": gain_sweep_figure,
    }
    return save_figure(experiment, draw[experiment], table, n_classes)


@task(name="plot losses", task_run_name="plot losses {trained[0].plan.experiment}", **cached(*_LOSSES))
def plot_losses(trained: Sequence[TrainedConfiguration]) -> Artifact:
    """Draw the loss curves of an experiment."""
    import pyarrow as pa

    from mlp_core.report.loss_curves import loss_curves_figure

    root = artifact_root()
    experiment = trained[0].plan.experiment
    history = pa.concat_tables([_history_rows(root, configuration) for configuration in trained]).to_pandas()
    return save_figure(f"{experiment}_loss", loss_curves_figure, history, experiment)


@task(name="plot decision maps", task_run_name="plot decision maps", **cached(*_DECISION_MAPS))
def plot_decision_maps(maps: Sequence[DecisionTable], spirals: Artifact, name: str = "decision_maps") -> Artifact:
    """Draw decision maps side by side, with the test points on them."""
    from mlp_core.report.decision_maps import DecisionMap, decision_maps_figure

    root = artifact_root()
    split = load_split(root, spirals)
    radius = float(split.train_inputs.norm(dim=1).max())
    shown = [
        DecisionMap(
            decisions.title,
            read_table(root, decisions.table)["class"].to_numpy().reshape(_MAP_SIZE, _MAP_SIZE),
            _MAP_EXTENT,
            split.test_inputs.numpy(),
            split.test_labels.numpy(),
            radius,
        )
        for decisions in maps
    ]
    return save_figure(name, decision_maps_figure, shown)


@task(name="plot samples", task_run_name="plot samples", **cached(*_SAMPLES))
def plot_samples(images: ImageTable, seed: int) -> Artifact:
    """Draw a grid of augmented training photographs."""
    import torch

    from mlp_core.data.augmentation import draw_augmentations, rotate_and_flip
    from mlp_core.experiments.images.figures import samples_figure
    from mlp_core.seeds import generator

    split = load_split(artifact_root(), images.table)
    stream = generator(seed, "samples")
    chosen = torch.randperm(len(split.train_labels), generator=stream)[:32]
    pictures: Tensor = rotate_and_flip(split.train_inputs[chosen], *draw_augmentations(len(chosen), stream))
    labels = split.train_labels[chosen].tolist()
    return save_figure("samples", samples_figure, pictures.numpy(), labels, images.classes)


@task(name="plot first layer", task_run_name="plot first layer", **cached(*_FIRST_LAYER))
def plot_first_layer(trained: TrainedConfiguration) -> Artifact:
    """Draw the first layer's weights of member 0 as pictures."""
    from safetensors import safe_open

    from mlp_core.experiments.images.figures import first_layer_figure

    with safe_open(trained.blocks[0].weights.locate(artifact_root()), "pt") as file:
        weights = file.get_slice("0.weight")[0]
    return save_figure("first_layer", first_layer_figure, weights.view(-1, 3, 32, 32).numpy())


@task(name="write report", task_run_name="write report", **UNCACHED)
def write_report(results: Sequence[Artifact], experiments: Sequence[str], failures: Sequence[Failure]) -> str:
    """Write the report from every result in the artifact folder, and what failed, and show this run's in Prefect's UI.

    Returns:
        The report's path, empty if there is no result.
    """
    from mlp_core.experiments.sections import all_sections
    from mlp_core.report.page import SOURCES, has_sections, read_report_content, render_sections, report_sections
    from mlp_core.settings import Run

    root, sections = artifact_root(), all_sections()
    with locked([root / "results"], checkpoint):
        _note_failures(root, experiments, failures)
    if not has_sections(root, sections):
        return ""
    with local_view(root, *SOURCES) as folder:
        content = read_report_content(folder, sections)
    shown = report_sections(content, sections)
    page = render_sections(shown, content, sections, Run().seeds)
    path = root / "report.html"
    write_file(path, lambda file: file.write_text(page, encoding="utf-8"))
    made = {artifact.path for artifact in results}
    if own := [section for section in shown if f"results/{section.name}.parquet" in made]:
        show_results(own, path)
    logger.info("report: %s", path)
    return str(path)


def _note_failures(root: Path | UPath, experiments: Sequence[str], failures: Sequence[Failure]) -> None:
    """Keep what failed beside the results, so that they do not pass for whole; no file if nothing is missing.

    Args:
        root: The artifact folder.
        experiments: Those of this run: what failed in an earlier one of theirs no longer counts.
        failures: Those of this run.
    """
    import pyarrow as pa

    name, rows = "results/failures.parquet", [asdict(failure) for failure in failures]
    with suppress(OSError, KeyError, ValueError, pa.ArrowException):
        earlier = read_table(root, Artifact.of(root, root / name)).to_pylist()
        rows += [row for row in earlier if not set(row["experiment"].split(", ")) <= set(experiments)]
    table = pa.Table.from_pylist(rows, pa.schema({"experiment": pa.string(), "reason": pa.string()}))
    if len(table):
        units = {column: UNITS[column] for column in table.column_names}
        write_table(root, name, table, Provenance({}, "", {}, units))
    else:
        (root / name).unlink(missing_ok=True)
