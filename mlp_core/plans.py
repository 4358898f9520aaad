"""The tutorial's experiments as data: which networks to train, and how.

No torch, so that a cached run need not wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mlp_core.sizes import hidden_width, monomial_count, parameter_count


@dataclass(frozen=True)
class TrainingPlan:
    """One configuration: everything that decides what a member becomes, but its number.

    Attributes:
        experiment: Name of the experiment.
        configuration: Readable name of the configuration, such as `depth=3 width=6`.
        columns: What tells this configuration from others in the result table, as (column, value) pairs.
        layer_sizes: Inputs, hidden widths, outputs.
        activation: Canonical name.
        scheme: See `Initialization`.
        gains: Xavier gains. With several, members 0, 1, ... have the first gain, the second and so on, then the first
            again; members of one round share a seed.
        optimizer: One of `mlp_core.training.OPTIMIZERS`.
        learning_rate: Step size.
        epochs: Passes over the training set.
        batch_size: Examples per step.
        batches: `private`: each member shuffles for itself and leaves out a last short batch; `shared`: all members see
            the same batches; `augmented`: shared, and the photographs are rotated and flipped anew every epoch.
        seed: Root seed.
        device: `cpu`, `cuda` or `mps`.
    """

    experiment: str
    configuration: str
    columns: tuple[tuple[str, str | int | float], ...]
    layer_sizes: tuple[int, ...]
    activation: str
    scheme: str
    gains: tuple[float, ...]
    optimizer: str
    learning_rate: float
    epochs: int
    batch_size: int
    batches: Literal["private", "shared", "augmented"]
    seed: int
    device: str

    def settings(self) -> dict[str, Any]:
        """Return the plan as JSON-like data."""
        return asdict(self)


def depth_sweep_plans(
    depths: Sequence[int], parameter_budget: int, n_classes: int, **training: Any
) -> list[TrainingPlan]:
    """Return one plan per depth, with the smallest equal width that reaches the parameter budget.

    Args:
        depths: Hidden layers.
        parameter_budget: Trainable parameters to reach.
        n_classes: Arms of the spirals.
        **training: The plan's activation, optimizer, learning_rate, epochs, batch_size, seed and device.

    Example:
        >>> training = dict(activation="relu", optimizer="adam", learning_rate=1e-3, epochs=100, batch_size=128)
        >>> [plan.configuration for plan in depth_sweep_plans([1, 3], 100, 4, **training, seed=2021, device="cpu")]
        ['depth=1 width=14', 'depth=3 width=6']
    """
    plans = []
    for depth in depths:
        width = hidden_width(depth, n_inputs=2, n_outputs=n_classes, min_parameters=parameter_budget)
        sizes = (2, *[width] * depth, n_classes)
        columns = (
            ("activation", training["activation"]),
            ("depth", depth),
            ("width", width),
            ("parameters", parameter_count(sizes)),
        )
        plans.append(
            TrainingPlan(
                "depth_sweep",
                f"depth={depth} width={width}",
                columns,
                sizes,
                scheme="pytorch",
                gains=(1.0,),
                batches="private",
                **training,
            )
        )
    return plans


def polynomial_plan(degree: int, n_classes: int, **training: Any) -> TrainingPlan:
    """Return the plan of one linear layer on all monomials up to a degree."""
    features = monomial_count(degree)
    return TrainingPlan(
        "polynomial",
        f"degree={degree}",
        (("degree", degree), ("features", features)),
        (features, n_classes),
        activation="relu",
        scheme="pytorch",
        gains=(1.0,),
        batches="shared",
        **training,
    )


def images_plan(hidden_widths: Sequence[int], n_pixels: int, n_classes: int, **training: Any) -> TrainingPlan:
    """Return the plan of a network on photographs.

    Args:
        hidden_widths: Units of each hidden layer.
        n_pixels: Numbers per photograph, 3 x 32 x 32.
        n_classes: Classes of photographs.
        **training: The plan's activation, optimizer, learning_rate, epochs, batch_size, seed and device.
    """
    sizes = (n_pixels, *hidden_widths, n_classes)
    widths = "-".join(str(width) for width in hidden_widths) or "none"
    columns = (
        ("activation", training["activation"]),
        ("hidden_widths", widths),
        ("parameters", parameter_count(sizes)),
    )
    return TrainingPlan(
        "images",
        f"hidden={widths}",
        columns,
        sizes,
        scheme="pytorch",
        gains=(1.0,),
        batches="augmented",
        **training,
    )


def gain_sweep_plans(
    gains: Sequence[float],
    distribution: str,
    hidden_widths: Sequence[int],
    n_pixels: int,
    n_classes: int,
    theoretical_gain: float,
    **training: Any,
) -> list[TrainingPlan]:
    """Return one plan per gain; members of equal number differ between gains in the scale of their weights alone."""
    sizes = (n_pixels, *hidden_widths, n_classes)
    return [
        TrainingPlan(
            "gain_sweep",
            f"gain={gain:.6g}",
            (
                ("activation", training["activation"]),
                ("distribution", distribution),
                ("gain", gain),
                ("theoretical_gain", theoretical_gain),
            ),
            sizes,
            scheme=f"xavier_{distribution}",
            gains=(gain,),
            batches="augmented",
            **training,
        )
        for gain in gains
    ]
