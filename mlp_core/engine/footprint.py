"""What memory training takes, and how an ensemble is cut to fit. Plain arithmetic on configs, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from mlp_core.engine.architecture import is_linear, is_small
from mlp_core.engine.configs import TrainConfig

FLOAT_BYTES = 4
_EVALUATION_EXAMPLES = 512
TRAINING_BYTES = 2**30
"""What the members that are trained at once may take, as long as more than one is trained."""


def training_bytes(config: TrainConfig, n_members: int, n_examples: int) -> int:
    """Estimate the largest memory in bytes that members take while they are trained together, measured or saved.

    Args:
        config: Their configuration.
        n_members: Number of members.
        n_examples: Number of train and test examples together.

    Example:
        >>> from mlp_core.engine.configs import Training
        >>> config = TrainConfig.of(Training(), "wide", "depth_sweep", (2, 14, 4), "per_seed_order")
        >>> training_bytes(config, 100, 4000) - training_bytes(config, 99, 4000)
        33072
    """
    return _together_bytes(config) + n_members * _member_bytes(config, n_examples)


def _together_bytes(config: TrainConfig) -> int:
    """Return what is taken once, however many members there are: small networks are trained one after the other."""
    return _step_bytes(config) if is_small(config.layer_sizes, config.device) else 0


def _member_bytes(config: TrainConfig, n_examples: int) -> int:
    """Return what each member takes."""
    widths, classes = config.layer_sizes[1:], config.layer_sizes[-1]
    parameters = _stored_parameters(config)
    saving = 3 * parameters  # the members, their state, and that as bytes
    if is_small(config.layer_sizes, config.device):  # on two copies of the parameters
        return FLOAT_BYTES * max(2 * (parameters + n_examples), saving)
    copied = config.batches == "per_seed_order" and not is_linear(config.layer_sizes, config.device)
    order = n_examples * (config.layer_sizes[0] + 1 + classes + 2) if copied else 0
    training = _step_bytes(config) + FLOAT_BYTES * order
    around = max(before + 2 * width for before, width in pairwise((0, *widths)))
    evaluation = parameters + min(_EVALUATION_EXAMPLES, n_examples) * around + 2 * n_examples
    return max(training, FLOAT_BYTES * evaluation, FLOAT_BYTES * saving)


def _step_bytes(config: TrainConfig) -> int:
    """Return the memory that one member's step reads or writes, without the examples."""
    widths = config.layer_sizes[1:]
    hidden, classes = widths[:-1], widths[-1]
    copies = 4 if config.optimizer == "adam" else 2  # gradient and two moments; SGD: products before they are added
    batch = config.batch_size * (sum(widths) + 2 * sum(hidden) + len(hidden) + 3 * classes)
    return FLOAT_BYTES * (copies * _stored_parameters(config) + batch)


def _stored_parameters(config: TrainConfig) -> int:
    # A row of more than 63 weights is filled up to 16 numbers, and so is a layer
    return sum(
        (n_inputs + (1 if n_inputs < 63 else 17)) * width + 16 for n_inputs, width in pairwise(config.layer_sizes)
    )


def split_by_memory(
    configs: Sequence[TrainConfig], members: Sequence[int], n_examples: int, limit_bytes: int = TRAINING_BYTES
) -> Iterator[tuple[Sequence[TrainConfig], Sequence[int]]]:
    """Cut an ensemble into parts that are trained one after the other, each within a limit of memory.

    A member's result does not depend on the part it is in.

    Args:
        configs: Configurations that differ in their gains alone.
        members: Numbers of the members, the same for each configuration.
        n_examples: Number of train and test examples together.
        limit_bytes: Memory of a part in bytes; a single member is a part even if it takes more.

    Yields:
        Configurations and numbers of the members of each part.

    Example:
        >>> from mlp_core.engine.configs import Training
        >>> config = TrainConfig.of(Training(), "wide", "depth_sweep", (2, 14, 4), "per_seed_order")
        >>> [len(part) for _, part in split_by_memory([config], range(600), 4000, limit_bytes=8_000_000)]
        [240, 240, 120]
    """
    at_once = max(1, (limit_bytes - _together_bytes(configs[0])) // _member_bytes(configs[0], n_examples))
    n_configs = min(len(configs), at_once)
    n_members = at_once // n_configs
    for first_config in range(0, len(configs), n_configs):
        for first in range(0, len(members), n_members):
            yield configs[first_config : first_config + n_configs], members[first : first + n_members]
