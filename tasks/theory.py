"""Theory beside measurement: signals in random networks, and which networks can be trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from mlp_core.artifacts.storage import Artifact, Provenance, code_digest, read_table, settings_digest, write_table
from mlp_core.engine.plans import SignalPlan
from tasks.analysis import UNITS, save_figure
from tasks.caching import artifact_root, cached, canonical
from tasks.data import ImageTable, load_split
from tasks.laboratory import checkpoint, logger

if TYPE_CHECKING:
    from torch import Tensor
    from upath import UPath

_EXAMPLES = ("mlp_core.data.augmentation", "mlp_core.data.datasets", "mlp_core.seeds")
_SIGNALS = (
    "mlp_core.data.augmentation",
    "mlp_core.data.datasets",
    "mlp_core.theory.meanfield",
    "mlp_core.theory.signals",
)
_PHASE = ("mlp_core.experiments.phase.figures", "mlp_core.report.png")
_SIGNAL_FIGURE = ("mlp_core.report.signals", "mlp_core.report.png")
_GAUSSIAN_MEAN_SQUARE, _GAUSSIAN_CORRELATION = 1.0, 0.5
_QUANTITIES = ("mean_square", "correlation", "gradient_mean_square")
_SIGNAL_UNITS = {
    **UNITS,
    "inputs": "gaussian|photographs",
    "relative_gain": "multiple of the critical gain",
    "layer": "number, from 1 at the inputs",
    "seed": "seed of the member's weights",
    "mean_square": "of the pre-activations, over the units",
    "correlation": "cosine between the pre-activations of two inputs; null where all units are dead",
    "gradient_mean_square": "of the gradient at the pre-activations, 1 in the last layer",
    "predicted_mean_square": "the same at infinite width",
    "predicted_correlation": "the same at infinite width",
    "predicted_gradient_mean_square": "the same at infinite width",
    "status": "ok|dead",
}


@task(name="choose examples", task_run_name="choose {n_examples} examples", **cached(*_EXAMPLES))
def choose_examples(data: Artifact | ImageTable, n_examples: int, seed: int) -> Artifact:
    """Draw training examples; photographs become pixels in -1 .. 1. One row per example, and all test examples."""
    import pyarrow as pa
    import torch

    from mlp_core.data.augmentation import normalize
    from mlp_core.seeds import generator

    root = artifact_root()
    source = data.table if isinstance(data, ImageTable) else data
    split = load_split(root, source)
    chosen = torch.randperm(len(split.train_labels), generator=generator(seed, "phase", "examples"))[:n_examples]
    inputs = torch.cat([split.train_inputs[chosen], split.test_inputs])
    features = (normalize(inputs) if inputs.dtype == torch.uint8 else inputs).flatten(1)
    table = pa.table(
        {
            "features": pa.FixedSizeListArray.from_arrays(pa.array(features.flatten().numpy()), features.shape[1]),
            "label": pa.array([*split.train_labels[chosen].tolist(), *split.test_labels.tolist()], pa.int64()),
            "split": pa.array(["train"] * len(chosen) + ["test"] * len(split.test_labels)).dictionary_encode(),
        }
    )
    settings = {"examples": n_examples, "seed": seed}
    units = {"features": "pixels in -1..1, or x1 and x2", "label": "class index", "split": "train|test"}
    provenance = Provenance(settings, code_digest(*_EXAMPLES), {"data": source.sha256}, units)
    name = settings_digest(settings, provenance.code, source.sha256)[:12]
    return write_table(root, f"tables/examples-{name}.parquet", table, provenance)


@task(name="plot phase", task_run_name="plot phase", **cached(*_PHASE))
def plot_phase(results: Artifact, n_classes: int) -> Artifact:
    """Draw the phase diagram."""
    from mlp_core.experiments.phase.figures import phase_figure

    return save_figure("phase", phase_figure, read_table(artifact_root(), results).to_pandas(), n_classes)


@task(
    name="measure signals",
    task_run_name="measure signals {plan.inputs} gain={plan.gain:.4g}",
    **cached(*_SIGNALS),
)
def measure_signals(plan: SignalPlan, images: ImageTable, n_members: int) -> Artifact:
    """Send two inputs through random networks and a gradient back; one row per member and layer."""
    import pyarrow as pa

    from mlp_core.seeds import derive_seed
    from mlp_core.theory import signals
    from mlp_core.theory.meanfield import predicted_signals, xavier_scale

    root = artifact_root()
    inputs = _two_inputs(root, plan, images)
    scale = xavier_scale(plan.layer_sizes, plan.gain)
    predicted = predicted_signals(scale, plan.activation, plan.sigma_b, *signals.input_lengths(inputs))
    n_layers = len(plan.layer_sizes) - 1
    parts = []
    for member in range(n_members):
        checkpoint()
        seed = derive_seed(plan.seed, "signals", member)
        found = signals.measure_signals(scale, plan.activation, plan.sigma_b, inputs, [0], seed, plan.distribution)
        named = {
            name: getattr(plan, name) for name in ("activation", "distribution", "inputs", "relative_gain", "gain")
        }
        columns: dict[str, Any] = {name: pa.array([value] * n_layers) for name, value in named.items()}
        columns["layer"] = pa.array(range(1, n_layers + 1), pa.int64())
        columns |= {"member": pa.array([member] * n_layers), "seed": pa.array([seed] * n_layers)}
        for name in _QUANTITIES:
            columns[name] = pa.array(getattr(found, name)[0].numpy(), from_pandas=True)
        for name in _QUANTITIES:
            columns[f"predicted_{name}"] = pa.array(getattr(predicted, name))
        dead = found.correlation[0].isnan().tolist()
        parts.append(pa.table({**columns, "status": ["dead" if one else "ok" for one in dead]}))
    table = pa.concat_tables(parts).combine_chunks()
    settings = {"plan": canonical(plan), "members": n_members}
    provenance = Provenance(
        settings,
        code_digest(*_SIGNALS),
        {"images": images.table.sha256},
        {name: _SIGNAL_UNITS[name] for name in table.column_names},
    )
    logger.info("measured signals, %s inputs, gain %.4g: %d members", plan.inputs, plan.gain, n_members)
    name = settings_digest(settings, provenance.code, images.table.sha256)[:12]
    return write_table(root, f"tables/signals-{name}.parquet", table, provenance)


def _two_inputs(root: Path | UPath, plan: SignalPlan, images: ImageTable) -> Tensor:
    """Return two random directions of a set length and angle, or the first test photographs of two classes."""
    import torch

    from mlp_core.data.augmentation import normalize
    from mlp_core.seeds import generator
    from mlp_core.theory.signals import gaussian_inputs

    if plan.inputs == "gaussian":
        stream = generator(plan.seed, "signals", "inputs")
        return gaussian_inputs(plan.layer_sizes[0], _GAUSSIAN_MEAN_SQUARE, _GAUSSIAN_CORRELATION, stream)
    split = load_split(root, images.table)
    first = [int((split.test_labels == label).nonzero()[0]) for label in split.test_labels.unique()[:2]]
    return normalize(split.test_inputs[torch.tensor(first)]).flatten(1)


@task(name="collect signals", task_run_name="collect signals", **cached())
def collect_signals(measured: Sequence[Artifact], settings: dict[str, Any], name: str = "signals") -> Artifact:
    """Join the measurements of all gains and kinds of input into a result table."""
    import pyarrow as pa

    root = artifact_root()
    table = pa.concat_tables([read_table(root, artifact) for artifact in measured])
    provenance = Provenance(
        settings,
        code_digest(*_SIGNALS),
        {artifact.path: artifact.sha256 for artifact in measured},
        {name: _SIGNAL_UNITS[name] for name in table.column_names},
    )
    return write_table(root, f"results/{name}.parquet", table.combine_chunks(), provenance)


@task(name="plot signals", task_run_name="plot signals", **cached(*_SIGNAL_FIGURE))
def plot_signals(results: Artifact, name: str = "signals") -> Artifact:
    """Draw what was measured on what is predicted."""
    from mlp_core.report.signals import signals_figure

    return save_figure(name, signals_figure, read_table(artifact_root(), results).to_pandas())
