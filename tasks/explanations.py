"""Reasons: what carries the decline with depth, where wide fails, what the first layer sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from mlp_core.artifacts.storage import Artifact, Provenance, code_digest, read_table, settings_digest, write_table
from mlp_core.engine.plans import TrainingPlan
from mlp_core.experiments.generalization.companions import TUNED, is_standardised
from tasks.analysis import UNITS, result_rows, save_figure, table_digests
from tasks.caching import artifact_root, cached
from tasks.data import ImageTable, load_split
from tasks.training import TrainedConfiguration

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor
    from upath import UPath

    from mlp_core.experiments.generalization.extrapolation import Extrapolation

_DIAGNOSIS = ("mlp_core.experiments.explanation.diagnosis",)
_EXTRAPOLATION = (
    "mlp_core.experiments.generalization.extrapolation",
    "mlp_core.data.polynomial_features",
    "mlp_core.engine.networks",
    "mlp_core.engine.training",
)
_FEATURES = ("mlp_core.experiments.features.first_layer", "mlp_core.engine.members")
_EXPLANATION_FIGURES = ("mlp_core.experiments.explanation.figures", "mlp_core.report.png")
_GENERALIZATION_FIGURE = ("mlp_core.experiments.generalization.figures", "mlp_core.report.png")
_FEATURE_FIGURES = ("mlp_core.experiments.features.figures", "mlp_core.report.png")
_UNITS_SHOWN = 8
_UNITS = {
    **UNITS,
    "initialization": "pytorch|xavier|xavier at the theoretical gain",
    "gain": "factor on Xavier's standard deviation; null for PyTorch's start",
    "dead_share": "0..1 of the hidden units, before training; null where units cannot die",
    "dead_layers": "hidden layers of dead units alone, before training; null where units cannot die",
    "first_gradient_mean_square": "nats^2, over the first layer's parameters, before training",
    "last_gradient_mean_square": "nats^2, over the output layer's parameters, before training",
    "model": "polynomial|mlp|nearest neighbour",
    "training": "as set|tuned: inputs standardised and the learning rate chosen on validation examples",
    "learning_rate": "step size",
    "parameter_budget": "trainable parameters to reach",
    "inside_accuracy": "0..1, on the arms up to their end at radius 1",
    "rim_accuracy": "0..1, on the arms continued to the training radius",
    "outside_accuracy": "0..1, on the arms continued from the training radius to radius 2",
    "ring_accuracy": "0..1, in rings of width 0.1 from the origin to radius 2",
    "islands": "regions of a class without any of its training points, wholly on the map from -2 to 2",
    "island_area": "x1 times x2",
    "border_islands": "the same, at the edge of the map",
    "border_island_area": "x1 times x2, on the map",
    "kind": "trained|random (before training)|gabor (edge filters)|template (class means)|photograph (single ones)",
    "unit": "number",
    "extent": "image sides, rms distance of the squared weights from their centre",
    "participation_ratio": "0..1, share of the pixels that the unit looks at",
    "class_cosine": "0..1, with the nearest difference of two class means, without sign",
    "spatial_frequency": "cycles per image",
    "training_radius": "x1 and x2, of the farthest training point",
}
_GENERALIZATION_COLUMNS = (
    *("model", "degree", "activation", "depth", "width", "parameter_budget", "parameters", "training"),
    *("learning_rate", "member", "seed", "epochs"),
    *("train_accuracy", "test_accuracy", "final_train_loss", "status"),
    *("inside_accuracy", "rim_accuracy", "outside_accuracy"),
    *("islands", "island_area", "border_islands", "border_island_area", "ring_accuracy", "training_radius"),
)


@task(name="explain", task_run_name="explain", **cached(*_DIAGNOSIS))
def explain(
    trained: Sequence[TrainedConfiguration], shown: Sequence[TrainingPlan], spirals: Artifact, settings: dict[str, Any]
) -> Artifact:
    """Join what the members reached with what they were before their first step, one row per member.

    Args:
        trained: The trainings.
        shown: Under which name and columns to show each.
        spirals: What they were trained on.
        settings: For the table's metadata.
    """
    import pyarrow as pa

    from mlp_core.experiments.explanation.diagnosis import diagnose

    root = artifact_root()
    data = load_split(root, spirals)
    parts = []
    for configuration, name in zip(trained, shown, strict=True):
        rows = result_rows(root, replace(configuration, plan=name))
        gain = None if name.scheme == "pytorch" else name.gains[0]
        rows = rows.add_column(2, "gain", pa.array([gain] * len(rows), pa.float64()))
        found = diagnose(configuration.plan, data, rows["member"].to_pylist())
        for field in fields(found):
            rows = rows.append_column(field.name, pa.array(getattr(found, field.name).numpy(), from_pandas=True))
        parts.append(rows)
    table = pa.concat_tables(parts)
    inputs = {"spirals": spirals.sha256, **table_digests(trained)}
    units = {name: _UNITS[name] for name in table.column_names}
    provenance = Provenance(settings, code_digest(*_DIAGNOSIS), inputs, units)
    return write_table(root, "results/explain.parquet", table.combine_chunks(), provenance)


@task(name="plot explanation", task_run_name="plot {figure}", **cached(*_EXPLANATION_FIGURES))
def plot_explanation(figure: str, results: Artifact, n_classes: int) -> Artifact:
    """Draw `explain`, what the members reached, or `explain_causes`, what they were before and who never learned."""
    from mlp_core.experiments.explanation import figures

    table = read_table(artifact_root(), results).to_pandas()
    if figure == "explain":
        return save_figure(figure, figures.explain_figure, table, n_classes)
    return save_figure(figure, figures.explain_causes_figure, table)


@task(
    name="extrapolate",
    task_run_name="extrapolate {trained.plan.configuration}",
    **cached(*_EXTRAPOLATION),
)
def extrapolate(trained: TrainedConfiguration, spirals: Artifact) -> Artifact:
    """Ask a configuration's members for their answers on the arms continued and on a map, one row per member."""
    from mlp_core.data.polynomial_features import monomials, standardized
    from mlp_core.engine.networks import Ensemble
    from mlp_core.engine.training import predict
    from mlp_core.experiments.generalization import extrapolation

    root = artifact_root()
    ensemble = Ensemble.from_state(load_state(root, trained), trained.plan.activation)
    degree = dict(trained.plan.columns).get("degree")
    data = load_split(root, spirals)

    def features(points: Tensor) -> Tensor:
        return points if degree is None else monomials(points, int(degree))

    def answer(points: Tensor) -> Tensor:
        inputs = features(points)
        return predict(ensemble, standardized(inputs, train) if is_standardised(trained.plan) else inputs)

    train = features(data.train_inputs)
    found = extrapolation.extrapolate(answer, data)
    inputs = {"spirals": spirals.sha256, **{block.weights.path: block.weights.sha256 for block in trained.blocks}}
    settings = {"members": trained.n_members}
    table = _extrapolation_table(found)
    units = {name: _UNITS[name] for name in table.column_names}
    provenance = Provenance(settings, code_digest(*_EXTRAPOLATION), inputs, units)
    name = settings_digest(settings, provenance.code, *inputs.values())[:12]
    return write_table(root, f"tables/extrapolation-{name}.parquet", table, provenance)


def load_state(root: Path | UPath, trained: TrainedConfiguration) -> dict[str, Tensor]:
    """Return the stacked parameters of members 0 .. n - 1."""
    import torch
    from safetensors.torch import load_file

    parts = [load_file(block.weights.locate(root)) for block in trained.blocks]
    return {name: torch.cat([part[name] for part in parts])[: trained.n_members] for name in parts[0]}


def _extrapolation_table(found: Extrapolation) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for field in fields(found):
        values = getattr(found, field.name).numpy()
        columns[field.name] = pa.array(values.ravel(), from_pandas=True)
        if values.ndim == 2:
            columns[field.name] = pa.FixedSizeListArray.from_arrays(columns[field.name], values.shape[1])
    return pa.table(columns)


@task(name="compare generalization", task_run_name="compare generalization", **cached(*_EXTRAPOLATION))
def compare_generalization(
    trained: Sequence[TrainedConfiguration],
    shown: Sequence[TrainingPlan],
    extrapolations: Sequence[Artifact],
    spirals: Artifact,
    settings: dict[str, Any],
) -> Artifact:
    """Join what all models reached with what they answer elsewhere, beside the nearest neighbour's answers.

    Args:
        trained: The trainings.
        shown: Under which name and columns to show each.
        extrapolations: The table of `extrapolate` of each.
        spirals: What they were trained on.
        settings: For the table's metadata.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from mlp_core.experiments.generalization import extrapolation
    from mlp_core.experiments.generalization.regions import nearest_neighbour

    root = artifact_root()
    data = load_split(root, spirals)
    parts = []
    for configuration, name, artifact in zip(trained, shown, extrapolations, strict=True):
        rows = result_rows(root, replace(configuration, plan=name))
        answers = read_table(root, artifact)
        finished = pc.equal(rows["status"], "ok")
        for column in answers.column_names:
            known = pc.if_else(finished, answers[column], pa.scalar(None, answers[column].type))
            rows = rows.append_column(column, known)
        parts.append(rows)

    def answer(points: Tensor) -> Tensor:
        return nearest_neighbour(points, data.train_inputs, data.train_labels).unsqueeze(0)

    nearest = _extrapolation_table(extrapolation.extrapolate(answer, data))
    test_accuracy = (answer(data.test_inputs)[0] == data.test_labels).double().mean().item()
    reached = {"model": "nearest neighbour", "member": 0, "train_accuracy": 1.0, "test_accuracy": test_accuracy}
    for column, value in {**reached, "status": "ok"}.items():
        nearest = nearest.append_column(column, pa.array([value]))
    table = pa.concat_tables([*parts, nearest], promote_options="default")
    radius = pa.array([extrapolation.training_radius(data)] * len(table))
    table = table.append_column("training_radius", radius)
    table = table.select([name for name in _GENERALIZATION_COLUMNS if name in table.column_names])
    inputs = {"spirals": spirals.sha256, **table_digests(trained)}
    inputs |= {artifact.path: artifact.sha256 for artifact in extrapolations}
    units = {name: _UNITS[name] for name in table.column_names}
    provenance = Provenance(settings, code_digest(*_EXTRAPOLATION), inputs, units)
    return write_table(root, "results/generalization.parquet", table.combine_chunks(), provenance)


@task(name="plot generalization", task_run_name="plot generalization", **cached(*_GENERALIZATION_FIGURE))
def plot_generalization(results: Artifact, n_classes: int) -> Artifact:
    """Draw accuracy against radius."""
    from mlp_core.experiments.generalization.figures import generalization_figure

    table = read_table(artifact_root(), results).to_pandas()
    as_set = table[table["training"] != TUNED]
    return save_figure("generalization", generalization_figure, as_set, n_classes)


@task(name="measure features", task_run_name="measure features", **cached(*_FEATURES))
def measure_features(trained: Sequence[TrainedConfiguration], images: ImageTable, settings: dict[str, Any]) -> Artifact:
    """Measure every first-layer unit after training, the same before it, and edge filters; one row per unit."""
    import pyarrow as pa

    from mlp_core.engine.members import member_seed, untrained_members
    from mlp_core.experiments.features.first_layer import class_means, gabor_filters, whole_faces

    root = artifact_root()
    data = load_split(root, images.table)
    means = class_means(data.train_inputs, data.train_labels)
    shape = data.train_inputs.shape[1:]
    parts = []
    for configuration in trained:
        plan, members = configuration.plan, range(configuration.n_members)
        start = untrained_members(plan, members).layers[0][:, :, :-1]
        for kind, weights in (("trained", load_state(root, configuration)["0.weight"]), ("random", start)):
            rows = _unit_rows(kind, weights.unflatten(2, shape), means)
            columns = {
                "depth": [len(plan.layer_sizes) - 2] * len(rows),
                "member": [member for member in members for _ in range(weights.shape[1])],
                "seed": [member_seed(plan, member) for member in members for _ in range(weights.shape[1])],
            }
            for name, values in columns.items():
                rows = rows.append_column(name, pa.array(values, pa.int64()))
            parts.append(rows)
    templates, photographs = whole_faces(data.train_inputs, data.train_labels)
    for kind, weights in (("gabor", gabor_filters(*shape)), ("template", templates), ("photograph", photographs)):
        parts.append(_unit_rows(kind, weights.unsqueeze(0), means))
    names = ["kind", "depth", "member", "seed", "unit"]
    names += ["extent", "participation_ratio", "class_cosine", "spatial_frequency"]
    table = pa.concat_tables(parts, promote_options="default").select(names)
    inputs = {"images": images.table.sha256}
    inputs |= {block.weights.path: block.weights.sha256 for one in trained for block in one.blocks}
    provenance = Provenance(settings, code_digest(*_FEATURES), inputs, {name: _UNITS[name] for name in names})
    return write_table(root, "results/features.parquet", table.combine_chunks(), provenance)


def _unit_rows(kind: str, weights: Tensor, means: Tensor) -> pa.Table:
    """Return a row per unit of weights `[members, units, channels, height, width]`."""
    import pyarrow as pa

    from mlp_core.experiments.features.first_layer import measure_units

    found = measure_units(weights, means)
    n_members, n_units = weights.shape[:2]
    return pa.table(
        {
            "kind": [kind] * (n_members * n_units),
            "unit": pa.array(list(range(n_units)) * n_members, pa.int64()),
            "extent": pa.array(found.extent.flatten().numpy(), from_pandas=True),
            "participation_ratio": pa.array(found.participation_ratio.flatten().numpy(), from_pandas=True),
            "class_cosine": pa.array(found.class_cosine.flatten().numpy(), from_pandas=True),
            "spatial_frequency": pa.array(found.frequency.flatten().numpy(), from_pandas=True),
        }
    )


@task(name="plot features", task_run_name="plot features", **cached(*_FEATURE_FIGURES))
def plot_features(results: Artifact) -> Artifact:
    """Draw the distributions of the measures."""
    from mlp_core.experiments.features.figures import features_figure

    return save_figure("features", features_figure, read_table(artifact_root(), results).to_pandas())


@task(name="plot units", task_run_name="plot units", **cached(*_FEATURE_FIGURES, *_FEATURES))
def plot_units(trained: Sequence[TrainedConfiguration], images: ImageTable) -> Artifact:
    """Draw the most local first-layer units of member 0 at each depth, beside random weights and edge filters."""
    from mlp_core.engine.members import untrained_members
    from mlp_core.experiments.features.figures import UnitRow, units_figure
    from mlp_core.experiments.features.first_layer import extent, gabor_filters

    root = artifact_root()
    shape = load_split(root, images.table).train_inputs.shape[1:]
    kinds = {}
    for configuration in trained:
        depth = len(configuration.plan.layer_sizes) - 2
        kinds[f"trained, depth {depth}, member 0"] = load_state(root, configuration)["0.weight"][0]
    kinds["before training, member 0"] = untrained_members(trained[0].plan, [0]).layers[0][0, :, :-1]
    kinds["edge filters"] = gabor_filters(*shape).flatten(1)
    rows = []
    for name, weights in kinds.items():
        units = weights.unflatten(1, shape)
        extents = extent(units)
        chosen = extents.argsort(stable=True)[:_UNITS_SHOWN]
        rows.append(UnitRow(name, units[chosen].numpy(), extents[chosen].numpy()))
    return save_figure("features_units", units_figure, rows)
