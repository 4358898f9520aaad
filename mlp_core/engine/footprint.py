"""What memory training takes, and how an ensemble is cut to fit. Plain arithmetic on plans, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from mlp_core.engine.plans import TrainingPlan

FLOAT_BYTES = 4
_EVALUATION_EXAMPLES = 512
TRAINING_BYTES = 2**30
"""What the members that are trained at once may take, as long as more than one is trained."""
_STEP_BYTES = 2**23
"""What a step of members that share nothing may touch: twice as much leaves a processor's caches, and every step then
waits for memory. Members that see the same batches gain more from company than they lose by it."""


def member_bytes(plan: TrainingPlan, n_examples: int) -> int:
    """Return the memory that one member of a plan takes at its peak, while it is trained or measured.

    Args:
        plan: What to train.
        n_examples: Train and test examples.

    Example:
        >>> from mlp_core.engine.plans import depth_sweep_plans
        >>> training = dict(activation="relu", optimizer="adam", learning_rate=1e-3, epochs=100, batch_size=128)
        >>> plan = depth_sweep_plans([1], 100, 4, **training, seed=2021, device="cpu")[0]
        >>> member_bytes(plan, 4000)
        176352
    """
    widths, classes = plan.layer_sizes[1:], plan.layer_sizes[-1]
    parameters = _stored_parameters(plan)
    order = n_examples * (plan.layer_sizes[0] + 1 + classes + 2) if plan.batches == "private" else 0
    training = _step_bytes(plan) + FLOAT_BYTES * order
    around = max(before + 2 * width for before, width in pairwise((0, *widths)))
    evaluation = parameters + min(_EVALUATION_EXAMPLES, n_examples) * around + 2 * n_examples
    saving = 3 * parameters  # the members, their state, and that as bytes
    return max(training, FLOAT_BYTES * evaluation, FLOAT_BYTES * saving)


def _step_bytes(plan: TrainingPlan) -> int:
    """Return the memory that one member's step reads or writes, without the examples."""
    widths = plan.layer_sizes[1:]
    hidden, classes = widths[:-1], widths[-1]
    copies = 4 if plan.optimizer == "adam" else 2  # gradient and two moments; SGD: products before they are added
    batch = plan.batch_size * (sum(widths) + 2 * sum(hidden) + len(hidden) + 3 * classes)
    return FLOAT_BYTES * (copies * _stored_parameters(plan) + batch)


def _stored_parameters(plan: TrainingPlan) -> int:
    # A row of more than 63 weights is filled up to 16 numbers, and so is a layer
    return sum((n_inputs + (1 if n_inputs < 63 else 17)) * width + 16 for n_inputs, width in pairwise(plan.layer_sizes))


def in_parts(
    plans: Sequence[TrainingPlan], members: Sequence[int], n_examples: int, limit_bytes: int = TRAINING_BYTES
) -> Iterator[tuple[Sequence[TrainingPlan], Sequence[int]]]:
    """Cut an ensemble into parts that fit into memory, and into the caches if that costs nothing.

    A member is what it is whoever trains beside it.

    Args:
        plans: Plans that differ in their gains alone.
        members: Numbers of the members of each.
        n_examples: Train and test examples.
        limit_bytes: What the members of a part may take, unless it is one member.

    Example:
        >>> from mlp_core.engine.plans import depth_sweep_plans
        >>> training = dict(activation="relu", optimizer="adam", learning_rate=1e-3, epochs=100, batch_size=128)
        >>> plans = depth_sweep_plans([1], 100, 4, **training, seed=2021, device="cpu")
        >>> [len(part) for _, part in in_parts(plans, range(600), 4000)]
        [259, 259, 82]
        >>> plans = depth_sweep_plans([1], 100, 4, **training, seed=2021, device="cuda")
        >>> [len(part) for _, part in in_parts(plans, range(600), 4000)]
        [600]
    """
    at_once = limit_bytes // member_bytes(plans[0], n_examples)
    if plans[0].batches == "private" and plans[0].device == "cpu":
        at_once = min(at_once, _STEP_BYTES // _step_bytes(plans[0]))
    at_once = max(1, at_once)
    n_plans = min(len(plans), at_once)
    n_members = at_once // n_plans
    for first_plan in range(0, len(plans), n_plans):
        for first in range(0, len(members), n_members):
            yield plans[first_plan : first_plan + n_plans], members[first : first + n_members]
