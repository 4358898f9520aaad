"""The tutorial's experiments as data: which networks to train, and how.

No torch, so that a cached run need not wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from mlp_core.data.sizes import monomial_count
from mlp_core.engine.sizes import hidden_width, parameter_count

_NETWORKS_TOGETHER = 8  # more train no faster per network, and leave less for the other workers


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
        optimizer: One of `mlp_core.engine.training.OPTIMIZERS`.
        learning_rate: Step size.
        epochs: Passes over the training set.
        batch_size: Examples per step.
        batches: `private`: each member shuffles for itself and leaves out a last short batch; `shared`: all members see
            the same batches; `augmented`: shared, and the photographs are rotated and flipped anew every epoch.
        seed: Root seed.
        device: `cpu`, `cuda` or `mps`.
        gain_columns: Columns of the result table that hold the member's own gain.
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
    gain_columns: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """Return the plan as JSON-like data."""
        return asdict(self)

    def apart_from_gains(self) -> TrainingPlan:
        """Return what all plans have in common that differ in their gains alone."""
        return replace(self, configuration="", columns=(), gains=(), gain_columns=())


def ensembles(plans: Iterable[TrainingPlan], n_members: int, n_workers: int) -> list[tuple[TrainingPlan, ...]]:
    """Gather plans that differ in their gains alone, which can be trained as one ensemble.

    Args:
        plans: All different.
        n_members: Members that each plan shall have.
        n_workers: How many ensembles are trained side by side; none of them shall be left without work.

    Returns:
        The plans, in their order within each ensemble.

    Example:
        >>> training = dict(activation="relu", optimizer="sgd", learning_rate=1e-2, epochs=1, batch_size=64)
        >>> sizes = (8,), 3072, 3
        >>> plans = gain_sweep_plans((1, 2, 3, 4), "normal", *sizes, 1.4, **training, seed=2021, device="cpu")
        >>> [[plan.gains for plan in ensemble] for ensemble in ensembles(plans, 1, 2)]
        [[(1,), (2,)], [(3,), (4,)]]
    """
    alike: dict[TrainingPlan, list[TrainingPlan]] = {}
    for plan in plans:
        alike.setdefault(plan.apart_from_gains(), []).append(plan)
    together = []
    for group in alike.values():
        size = min(max(1, _NETWORKS_TOGETHER // n_members), -(-len(group) // n_workers))
        together += [tuple(group[start : start + size]) for start in range(0, len(group), size)]
    return together


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


def explanation_plans(
    depths: Sequence[int],
    parameter_budget: int,
    n_classes: int,
    theoretical_gains: Mapping[str, float],
    longer_epochs: int,
    **training: Any,
) -> dict[TrainingPlan, TrainingPlan]:
    """Return the interventions on the depth sweep: what to train, and under which name to show it.

    Each activation starts from PyTorch's weights, from Xavier's at gain 1 and from Xavier's at the theoretical gain,
    uniform like PyTorch's, so that members of equal number differ in the size of their weights alone. What the depth
    sweep itself trains is here the same plan, and need not be trained twice.

    Args:
        depths: Hidden layers.
        parameter_budget: Trainable parameters to reach.
        n_classes: Arms of the spirals.
        theoretical_gains: Xavier gain that theory asks for, by activation.
        longer_epochs: Epochs of one more training, with the depth sweep's activation from PyTorch's start.
        **training: The depth sweep's own activation, optimizer, learning_rate, epochs, batch_size, seed and device.

    Example:
        >>> training = dict(activation="relu", optimizer="adam", learning_rate=1e-3, epochs=100, batch_size=128)
        >>> plans = explanation_plans([3], 100, 4, {"tanh": 1.593}, 400, **training, seed=2021, device="cpu")
        >>> for trained, shown in plans.items():
        ...     print(trained.configuration, "|", dict(shown.columns)["initialization"])
        activation=tanh depth=3 width=6 | pytorch
        activation=tanh xavier gain=1 depth=3 width=6 | xavier
        activation=tanh xavier gain=1.593 depth=3 width=6 | xavier at the theoretical gain
        epochs=400 depth=3 width=6 | pytorch
    """
    plans = {}
    for activation, theoretical in theoretical_gains.items():
        changed = "" if activation == training["activation"] else f"activation={activation} "
        starts = (("pytorch", 1.0), ("xavier", 1.0), ("xavier at the theoretical gain", theoretical))
        for start, gain in starts:
            change = changed + ("" if start == "pytorch" else f"xavier gain={gain:.6g} ")
            scheme = "pytorch" if start == "pytorch" else "xavier_uniform"
            for plan in depth_sweep_plans(depths, parameter_budget, n_classes, **training | {"activation": activation}):
                trained = replace(plan, scheme=scheme, gains=(gain,), configuration=change + plan.configuration)
                plans[trained] = _explanation(trained, start)
    for plan in depth_sweep_plans(depths, parameter_budget, n_classes, **training | {"epochs": longer_epochs}):
        if plan.epochs != training["epochs"]:
            trained = replace(plan, configuration=f"epochs={plan.epochs} {plan.configuration}")
            plans[trained] = _explanation(trained, "pytorch")
    return plans


def _explanation(plan: TrainingPlan, start: str) -> TrainingPlan:
    columns = dict(plan.columns)
    named = (("activation", columns.pop("activation")), ("initialization", start), *columns.items())
    return replace(plan, experiment="explain", columns=named)


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


def generalization_plans(
    degrees: Sequence[int], depths: Sequence[int], parameter_budgets: Sequence[int], n_classes: int, **training: Any
) -> dict[TrainingPlan, TrainingPlan]:
    """Return wide and deep models of the spirals: what to train, and under which name to show it.

    They are plans of the experiments `polynomial` and `depth_sweep`, so that what those trained is not trained again.

    Args:
        degrees: Of the polynomial models.
        depths: Hidden layers of the perceptrons.
        parameter_budgets: Trainable parameters for the perceptrons to reach.
        n_classes: Arms of the spirals.
        **training: The plan's activation, optimizer, learning_rate, epochs, batch_size, seed and device.

    Example:
        >>> training = dict(activation="relu", optimizer="adam", learning_rate=1e-3, epochs=100, batch_size=128)
        >>> plans = generalization_plans([10], [3], [100, 5304], 4, **training, seed=2021, device="cpu")
        >>> [(plan.experiment, plan.configuration) for plan in plans]
        [('polynomial', 'degree=10'), ('depth_sweep', 'depth=3 width=6'), ('depth_sweep', 'depth=3 width=50')]
    """
    shared = {name: value for name, value in training.items() if name != "activation"}
    plans = {}
    for degree in degrees:
        plan = polynomial_plan(degree, n_classes, **shared)
        parameters = ("parameters", parameter_count(plan.layer_sizes))
        columns = (("model", "polynomial"), *plan.columns, parameters)
        plans[plan] = replace(plan, experiment="generalization", columns=columns)
    for budget in parameter_budgets:
        for plan in depth_sweep_plans(depths, budget, n_classes, **training):
            columns = (("model", "mlp"), *plan.columns, ("parameter_budget", budget))
            plans[plan] = replace(plan, experiment="generalization", columns=columns)
    return plans


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


def features_plans(
    depths: Sequence[int], width: int, n_pixels: int, n_classes: int, **training: Any
) -> dict[TrainingPlan, TrainingPlan]:
    """Return networks of several depths on photographs: what to train, and under which name to show it.

    They are plans of the experiment `images`, so that what that trained is not trained again.

    Args:
        depths: Hidden layers.
        width: Units of each.
        n_pixels: Numbers per photograph, 3 x 32 x 32.
        n_classes: Classes of photographs.
        **training: The plan's activation, optimizer, learning_rate, epochs, batch_size, seed and device.
    """
    plans = {}
    for depth in depths:
        plan = images_plan([width] * depth, n_pixels, n_classes, **training)
        plans[plan] = replace(plan, experiment="features", columns=(("depth", depth), ("width", width)))
    return plans


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


def phase_plans(
    depths: Sequence[int], gains: Sequence[float], width: int, n_inputs: int, n_classes: int, **training: Any
) -> list[TrainingPlan]:
    """Return one plan per depth, all gains in it: they train as one ensemble.

    Args:
        depths: Hidden layers.
        gains: Xavier's; with equal widths the gain is the sigma_w of every layer between hidden ones.
        width: Units of each hidden layer.
        n_inputs: Features of an example.
        n_classes: Classes of examples.
        **training: The plan's activation, optimizer, learning_rate, epochs, batch_size, seed and device.

    Example:
        >>> training = dict(activation="tanh", optimizer="sgd", learning_rate=1e-2, epochs=40, batch_size=64)
        >>> plans = phase_plans([2, 64], [0.5, 1.0, 2.0], 64, 3072, 3, **training, seed=2021, device="cpu")
        >>> [(plan.configuration, plan.gains) for plan in plans]
        [('depth=2 width=64', (0.5, 1.0, 2.0)), ('depth=64 width=64', (0.5, 1.0, 2.0))]
    """
    plans = []
    for depth in depths:
        sizes = (n_inputs, *[width] * depth, n_classes)
        columns = (
            ("activation", training["activation"]),
            ("depth", depth),
            ("width", width),
            ("parameters", parameter_count(sizes)),
        )
        plans.append(
            TrainingPlan(
                "phase",
                f"depth={depth} width={width}",
                columns,
                sizes,
                scheme="xavier_normal",
                gains=tuple(gains),
                batches="shared",
                gain_columns=("gain", "sigma_w"),
                **training,
            )
        )
    return plans


@dataclass(frozen=True)
class SignalPlan:
    """Random networks of one gain and the kind of input to send through them.

    Attributes:
        activation: Canonical name.
        distribution: `normal` or `uniform`.
        inputs: `gaussian` or `photographs`.
        relative_gain: The gain as a multiple of the critical one.
        gain: Xavier's; between layers of equal width it is sigma_w.
        sigma_b: Standard deviation of a bias.
        layer_sizes: Inputs, then the units of each layer.
        seed: Root seed.
    """

    activation: str
    distribution: Literal["normal", "uniform"]
    inputs: Literal["gaussian", "photographs"]
    relative_gain: float
    gain: float
    sigma_b: float
    layer_sizes: tuple[int, ...]
    seed: int


def signal_plans(
    relative_gains: Sequence[float], critical_gain: float, width: int, layers: int, n_pixels: int, **networks: Any
) -> list[SignalPlan]:
    """Return one plan per kind of input and gain.

    Args:
        relative_gains: Multiples of the critical gain.
        critical_gain: Where order turns into chaos.
        width: Units of each layer, and features of a Gaussian input.
        layers: How many.
        n_pixels: Numbers per photograph, 3 x 32 x 32.
        **networks: The plan's activation, distribution, sigma_b and seed.

    Example:
        >>> networks = dict(activation="tanh", distribution="normal", sigma_b=0.3, seed=2021)
        >>> plans = signal_plans([1.0, 1.5], 1.4, width=100, layers=3, n_pixels=3072, **networks)
        >>> [(plan.inputs, round(plan.gain, 1), plan.layer_sizes[:2]) for plan in plans[1:3]]
        [('gaussian', 2.1, (100, 100)), ('photographs', 1.4, (3072, 100))]
    """
    kinds: tuple[tuple[Literal["gaussian", "photographs"], int], ...] = (("gaussian", width), ("photographs", n_pixels))
    return [
        SignalPlan(
            inputs=inputs,
            relative_gain=relative,
            gain=relative * critical_gain,
            layer_sizes=(n_inputs, *[width] * layers),
            **networks,
        )
        for inputs, n_inputs in kinds
        for relative in relative_gains
    ]


def xavier_plan(
    hidden_widths: Sequence[int],
    n_pixels: int,
    n_classes: int,
    gain: float,
    critical_gain: float,
    **networks: Any,
) -> SignalPlan:
    """Return the gain sweep's network as Xavier's weights start it, without biases as the theory has it.

    Args:
        hidden_widths: Units of each hidden layer.
        n_pixels: Numbers per photograph, 3 x 32 x 32.
        n_classes: Classes of photographs.
        gain: The theoretical one.
        critical_gain: Where order turns into chaos in layers of equal width.
        **networks: The plan's activation, distribution and seed.

    Example:
        >>> networks = dict(activation="leaky_relu(0.1)", distribution="normal", seed=2021)
        >>> plan = xavier_plan([128, 64, 32], 3072, 3, gain=1.407, critical_gain=1.407, **networks)
        >>> plan.layer_sizes, plan.relative_gain, plan.sigma_b
        ((3072, 128, 64, 32, 3), 1.0, 0.0)
    """
    return SignalPlan(
        inputs="photographs",
        # leaky_relu's two gains are one number, which two ways of computing give with different last digits
        relative_gain=round(gain / critical_gain, 12),
        gain=gain,
        sigma_b=0.0,
        layer_sizes=(n_pixels, *hidden_widths, n_classes),
        **networks,
    )
