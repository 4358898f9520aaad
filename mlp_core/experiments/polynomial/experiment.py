"""A wide, shallow model on polynomial features: the tutorial's section 1.1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field

from mlp_core.data.transforms import Monomials
from mlp_core.engine.configs import Column, Labels, TrainConfig, Training, Trial
from mlp_core.experiments.interface import Experiment, Figure, Setup, Table
from mlp_core.experiments.outputs import decision_map, loss_figure, map_figure, result_table
from mlp_core.settings import OptimizerName, Positive, Rate, Settings


class Polynomial(Settings):
    """One linear layer on polynomial features (section 1.1)."""

    degree: Annotated[int, Field(ge=1, le=500)] = 50
    """Highest total degree of the monomials."""
    optimizer: OptimizerName = "adam"
    """How the weights are updated: Adam or stochastic gradient descent."""
    learning_rate: Rate = 1e-3
    """Step size."""
    epochs: Positive = 100
    """Passes over the training set."""
    batch_size: Positive = 128
    """Examples per step."""


def polynomial_trial(degree: int, n_classes: int, training: Training, experiment: str = "polynomial") -> Trial:
    """Return the configuration of one linear layer on all monomials of two inputs up to a total degree.

    Args:
        degree: Highest total degree.
        n_classes: Classes of the data.
        training: How to train.
        experiment: Name of the experiment whose table has the results.
    """
    monomials = Monomials(degree)
    sizes = (monomials.n_inputs(2), n_classes)
    name = f"degree={degree}"
    config = TrainConfig.of(training, name, "polynomial", sizes, "shared_order", inputs=(monomials,))
    columns = Column("degree", degree, "highest total degree"), Column("features", sizes[0], "monomials")
    return Trial(config, Labels(experiment, columns), "degree")


def _trials(setup: Setup) -> list[Trial]:
    return [polynomial_trial(setup.settings.degree, setup.data.n_classes, setup.training())]


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    yield result_table("polynomial", setup, models, setup.settings)
    yield loss_figure("polynomial", models)
    yield map_figure([decision_map(models, data, "polynomial")], data, panel=0)


EXPERIMENT = Experiment(
    name="polynomial",
    help="One wide layer on polynomial features of the spirals (section 1.1).",
    settings=Polynomial,
    parameter="model",
    run_name="degree {model.degree}",
    data=("spirals",),
    trials=_trials,
    outputs=_outputs,
    smallest=Polynomial(degree=3, epochs=2, batch_size=32),
    section="mlp_core.experiments.polynomial.section",
    tutorial=Polynomial(),
)
