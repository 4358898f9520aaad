"""The fair comparison of wide with deep: plans for models with standardised inputs and tuned learning rates.

As the tutorial trains them, all models have one learning rate, and a polynomial's features reach over twenty powers of
ten. Their companions tell what that costs. No torch, so that a cached run need not wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from mlp_core.engine.plans import TrainingPlan
from mlp_core.engine.sizes import parameter_count

AS_SET, TUNED = "as set", "tuned"
"""How a model was trained: as the settings say, or with standardised inputs and a tuned learning rate."""
TUNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Learning rates to choose from on validation examples."""
# Widths are whole numbers: no network has just the polynomial's number of parameters
_EQUAL_SIZE = 0.15


def alike_in_size(parameters: float, others: float) -> bool:
    """Return whether two models have about as many parameters, give or take 15 %."""
    return abs(parameters / others - 1) < _EQUAL_SIZE


def shown_as_set(plans: Mapping[TrainingPlan, TrainingPlan]) -> dict[TrainingPlan, TrainingPlan]:
    """Return the same plans, shown as trained as the settings say."""
    return {plan: _shown(shown, shown.columns, AS_SET) for plan, shown in plans.items()}


def _shown(plan: TrainingPlan, columns: Iterable[tuple[str, str | int | float]], training: str) -> TrainingPlan:
    return replace(plan, columns=(*columns, ("training", training), ("learning_rate", plan.learning_rate)))


def plans_to_tune(plans: Iterable[TrainingPlan]) -> list[TrainingPlan]:
    """Return those of `generalization_plans` that a fair comparison of wide with deep needs.

    They are the widest polynomial, and of the perceptrons of about as many parameters the deepest, if there is one.

    Example:
        >>> from mlp_core.engine.plans import generalization_plans
        >>> training = dict(activation="relu", optimizer="adam", learning_rate=1e-3, epochs=100, batch_size=128)
        >>> plans = generalization_plans([10, 50], [1, 3], [100, 5304], 4, **training, seed=2021, device="cpu")
        >>> [plan.configuration for plan in plans_to_tune(plans)]
        ['degree=50', 'depth=3 width=50']
    """
    sizes = {plan: parameter_count(plan.layer_sizes) for plan in plans}
    wide = max((plan for plan in sizes if plan.experiment == "polynomial"), key=sizes.__getitem__)
    deep = [plan for plan in sizes if plan.experiment != "polynomial" and alike_in_size(sizes[plan], sizes[wide])]
    return [wide, *sorted(deep, key=lambda plan: (-len(plan.layer_sizes), abs(sizes[plan] - sizes[wide])))[:1]]


def tuned_plans(
    rates: Mapping[TrainingPlan, float], plans: Mapping[TrainingPlan, TrainingPlan]
) -> dict[TrainingPlan, TrainingPlan]:
    """Return the companions: what to train, with standardised inputs, and under which name to show it.

    Args:
        rates: Learning rates of the plans to tune.
        plans: What each of them is shown as.
    """
    found = {}
    for plan, rate in rates.items():
        tuned = replace(
            plan,
            configuration=f"{plan.configuration} standardised learning_rate={rate:g}",
            columns=(*plan.columns, ("inputs", "standardised")),
            learning_rate=rate,
        )
        columns = [column for column in plans[plan].columns if column[0] not in ("training", "learning_rate")]
        found[tuned] = _shown(replace(tuned, experiment=plans[plan].experiment), columns, TUNED)
    return found


def is_standardised(plan: TrainingPlan) -> bool:
    """Return whether a plan takes standardised inputs."""
    return ("inputs", "standardised") in plan.columns
