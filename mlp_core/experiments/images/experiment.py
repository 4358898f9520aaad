"""A multilayer perceptron on images: the tutorial's section 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlp_core.engine.configs import Column, Labels, TrainConfig, Training, Trial
from mlp_core.experiments.columns import activation_column, parameters_column
from mlp_core.experiments.interface import Experiment, Figure, Setup, Table
from mlp_core.experiments.outputs import loss_figure, result_table
from mlp_core.settings import ActivationName, OptimizerName, Positive, Rate, Settings, Widths

_MEASURES = "mlp_core.experiments.images.measures"


class Images(Settings):
    """A multilayer perceptron on images of animal faces (section 2)."""

    hidden_widths: Widths = (64, 64, 64)
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


def images_trial(
    hidden_widths: Sequence[int], n_pixels: int, n_classes: int, training: Training, sized_by: str = "hidden_widths"
) -> Trial:
    """Return the configuration of one network on images, trained on augmented images in one shared order of batches.

    Args:
        hidden_widths: Units of each hidden layer.
        n_pixels: Numbers per image, such as 3 x 32 x 32.
        n_classes: Classes of the images.
        training: How to train.
        sized_by: Name of the setting that decides the network's size; error messages about memory name it.
    """
    sizes = (n_pixels, *hidden_widths, n_classes)
    widths = "-".join(str(width) for width in hidden_widths) or "none"
    config = TrainConfig.of(training, f"hidden={widths}", "images", sizes, "shared_augmented")
    columns = (
        activation_column(config),
        Column("hidden_widths", widths, "units of each hidden layer"),
        parameters_column(config),
    )
    return Trial(config, Labels("images", columns), sized_by)


def _trials(setup: Setup) -> list[Trial]:
    data = setup.data
    return [images_trial(setup.settings.hidden_widths, data.n_inputs, data.n_classes, setup.training())]


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    figures = "mlp_core.experiments.images.figures"
    samples = data, setup.seed, setup.data.classes
    yield Figure("samples", f"{figures}:samples_figure", samples, prepare=f"{_MEASURES}:augmented_samples")
    yield result_table("images", setup, models, setup.settings)
    yield loss_figure("images", models)
    weights = f"{_MEASURES}:first_layer_of_member_0"
    yield Figure("images_first_layer", f"{figures}:first_layer_figure", (models[0],), prepare=weights)


EXPERIMENT = Experiment(
    name="images",
    help="A multilayer perceptron on images (section 2).",
    settings=Images,
    parameter="model",
    run_name="{model.activation}",
    data=("images",),
    trials=_trials,
    outputs=_outputs,
    smallest=Images(hidden_widths=(8,), epochs=2, batch_size=32),
    section="mlp_core.experiments.images.section",
    tutorial=Images(),
)
