"""Interventions on the depth sweep: what carries the decline with depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from mlp_core.engine.configs import Column, Labels, TrainConfig, Training, Trial
from mlp_core.experiments.depth_sweep.experiment import DepthSweep, depth_sweep_trials
from mlp_core.experiments.interface import Experiment, Figure, Setup, Table
from mlp_core.settings import ActivationName, Positive, Settings, distinct, list_of_names

_FIGURES = "mlp_core.experiments.ablation.figures"


class Ablation(Settings):
    """Interventions on the depth sweep: what carries the decline with depth (section 1)."""

    ablation: bool = False
    """Train from other starts and with other activations too, and say what carries the decline with depth."""
    ablation_activations: Annotated[
        tuple[ActivationName, ...], Field(min_length=1), BeforeValidator(list_of_names), AfterValidator(distinct)
    ] = ("relu", "leaky_relu(0.1)", "tanh", "gelu")
    """Activations of the ablation: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    ablation_epochs: Positive = 200
    """Passes of one more training from PyTorch's start; as many as the sweep has for none."""


def ablation_trials(
    depths: Sequence[int],
    parameter_budget: int,
    n_classes: int,
    theoretical_gains: Mapping[str, float],
    longer_epochs: int,
    training: Training,
    n_inputs: int = 2,
) -> list[Trial]:
    """Return the configurations of the ablation: the depth sweep's with other activations, starts or epochs.

    Each activation starts from PyTorch's weights, from Xavier's at gain 1 and from Xavier's at the theoretical gain.
    All are uniform, so that members with equal numbers differ only in the size of their weights. What the depth sweep
    itself trains is the same configuration here, so it is not trained twice.

    Args:
        depths: Numbers of hidden layers; one configuration for each.
        parameter_budget: Trainable parameters that each network reaches with the smallest equal width.
        n_classes: Classes of the data.
        theoretical_gains: Theoretical Xavier gain of each activation, by its name.
        longer_epochs: Epochs of one more training at each depth, with the depth sweep's activation and PyTorch's start;
            none if equal to the depth sweep's epochs.
        training: How the depth sweep trains.
        n_inputs: Features of an example.

    Example:
        >>> for trial in ablation_trials([3], 100, 4, {"tanh": 1.593}, 400, Training()):
        ...     print(trial.config.name, "|", trial.labels.column("initialization"))
        activation=tanh depth=3 width=6 | pytorch
        activation=tanh xavier gain=1 depth=3 width=6 | xavier
        activation=tanh xavier gain=1.593 depth=3 width=6 | xavier at the theoretical gain
        epochs=400 depth=3 width=6 | pytorch
    """
    trials = []
    for activation, theoretical in theoretical_gains.items():
        changed = "" if activation == training.activation else f"activation={activation} "
        starts = (("pytorch", 1.0), ("xavier", 1.0), ("xavier at the theoretical gain", theoretical))
        for start, gain in starts:
            change = changed + ("" if start == "pytorch" else f"xavier gain={gain:.6g} ")
            scheme = "pytorch" if start == "pytorch" else "xavier_uniform"
            for trial in depth_sweep_trials(
                depths, parameter_budget, n_classes, replace(training, activation=activation), n_inputs=n_inputs
            ):
                config = replace(trial.config, scheme=scheme, gains=(gain,), name=change + trial.config.name)
                trials.append(_shown(config, trial.labels, start))
    if longer_epochs != training.epochs:
        longer = replace(training, epochs=longer_epochs)
        for trial in depth_sweep_trials(depths, parameter_budget, n_classes, longer, n_inputs=n_inputs):
            config = replace(trial.config, name=f"epochs={longer_epochs} {trial.config.name}")
            trials.append(_shown(config, trial.labels, "pytorch"))
    return trials


def _shown(config: TrainConfig, labels: Labels, start: str) -> Trial:
    activation, *shape = labels.columns
    gain = None if start == "pytorch" else config.gains[0]
    columns = (
        activation,
        Column("initialization", start, "pytorch|xavier|xavier at the theoretical gain"),
        Column("gain", gain, "factor on Xavier's standard deviation; null for PyTorch's start"),
        *shape,
    )
    return Trial(config, Labels("ablation", columns), "parameter_budget")


def _trials(setup: Setup) -> list[Trial]:
    from mlp_core.theory.gains import forward_gain

    ablation, sweep = setup.settings, setup.other(DepthSweep)
    if not ablation.ablation:
        return []
    activations = dict.fromkeys((sweep.activation, *ablation.ablation_activations))
    return ablation_trials(
        sweep.depths,
        sweep.parameter_budget,
        setup.data.n_classes,
        {name: forward_gain(name) for name in activations},
        ablation.ablation_epochs,
        setup.training(sweep),
        setup.data.n_inputs,
    )


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    if not models:
        return
    chosen = setup.settings.model_dump(mode="json", exclude={"ablation"})
    settings = setup.table_settings(setup.other(DepthSweep)) | chosen
    function = "mlp_core.experiments.ablation.measures:ablation_table"
    table = Table("results/ablation", function, (models, data), settings, "ablation")
    yield table
    yield Figure("ablation", f"{_FIGURES}:ablation_figure", (table, setup.data.n_classes))
    yield Figure("ablation_causes", f"{_FIGURES}:ablation_causes_figure", (table,))


EXPERIMENT = Experiment(
    name="ablation",
    help="Interventions on the depth sweep: what carries the decline with depth (section 1).",
    settings=Ablation,
    parameter="ablation",
    run_name="",
    data=("spirals", "tables"),
    trials=_trials,
    outputs=_outputs,
    smallest=Ablation(ablation=True, ablation_activations=("relu", "tanh"), ablation_epochs=3),
    section="mlp_core.experiments.ablation.section",
    claims="mlp_core.experiments.ablation.claims",
    others=(DepthSweep,),
    flow="depth_sweep",
    tutorial=Ablation(ablation=True, ablation_activations=("relu", "tanh"), ablation_epochs=100),
    beyond=True,
)
