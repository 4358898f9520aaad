"""What the first layer sees: the tutorial's question of section 2, as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlp_core.engine.configs import Labels, Training, Trial
from mlp_core.experiments.columns import shape_columns
from mlp_core.experiments.images.experiment import images_trial
from mlp_core.experiments.interface import Experiment, Figure, MemoryEstimate, Setup, Table
from mlp_core.settings import ActivationName, Depths, OptimizerName, Positive, Rate, Settings

_MEASURES = "mlp_core.experiments.first_layer.measures"
_FIGURES = "mlp_core.experiments.first_layer.figures"
# Of each class: its mean in two precisions and copies, by pixel, and a number for each of many units
_BYTES_PER_PIXEL, _BYTES_OF_UNITS = 40, 1024 * 24


class FirstLayer(Settings):
    """What the first layer of networks on images looks for (section 2)."""

    depths: Depths = (1, 3, 5)
    """Numbers of hidden layers."""
    width: Positive = 64
    """Units of each hidden layer."""
    activation: ActivationName = "relu"
    """Transfer function of the hidden layers: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE)."""
    optimizer: OptimizerName = "adam"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 3e-4
    """Step size."""
    epochs: Positive = 30
    """Passes over the training set."""
    batch_size: Positive = 64
    """Examples per step."""


def first_layer_trials(
    depths: Sequence[int], width: int, n_pixels: int, n_classes: int, training: Training
) -> list[Trial]:
    """Return one configuration per depth: networks on images whose first-layer weights are then measured.

    They are configurations of the experiment `images`, so what that has trained is not trained again.

    Args:
        depths: Numbers of hidden layers.
        width: Units of each hidden layer.
        n_pixels: Numbers per image, such as 3 x 32 x 32.
        n_classes: Classes of the images.
        training: How to train.
    """
    configs = [images_trial([width] * depth, n_pixels, n_classes, training).config for depth in depths]
    return [Trial(config, Labels("first_layer", shape_columns(config)), "width") for config in configs]


def _trials(setup: Setup) -> list[Trial]:
    model, data = setup.settings, setup.data
    return first_layer_trials(model.depths, model.width, data.n_inputs, data.n_classes, setup.training())


def _extra_memory(setup: Setup, n_workers: int) -> Iterator[MemoryEstimate]:
    n_bytes = n_workers * setup.data.n_classes * (setup.data.n_inputs * _BYTES_PER_PIXEL + _BYTES_OF_UNITS)
    yield MemoryEstimate(n_bytes, "the means of all classes", "width", setup.settings.width)


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    settings = setup.table_settings(setup.settings)
    table = Table(
        "results/first_layer", f"{_MEASURES}:first_layer_table", (models, data), settings, "measure first layer"
    )
    yield table
    yield Figure("first_layer", f"{_FIGURES}:unit_measures_figure", (table,))
    units = f"{_MEASURES}:most_local_units"
    yield Figure("first_layer_units", f"{_FIGURES}:units_figure", (models, data), prepare=units)


EXPERIMENT = Experiment(
    name="first_layer",
    help="What the first layer of networks on images looks for (section 2).",
    settings=FirstLayer,
    parameter="model",
    run_name="{model.activation}",
    data=("images",),
    trials=_trials,
    extra_memory=_extra_memory,
    outputs=_outputs,
    reads_all_weights=True,
    smallest=FirstLayer(depths=(1, 3), width=8, epochs=2, batch_size=32),
    section="mlp_core.experiments.first_layer.section",
    claims="mlp_core.experiments.first_layer.claims",
    tutorial=FirstLayer(depths=(3,)),
    beyond=True,
)
