"""Every random number of the project begins here: one root seed, labels, and no global state."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(root: int, *labels: str | int) -> int:
    """Derive a seed from the root seed and labels; another label, order or type (`1` or `"1"`) gives another seed.

    It is a SHA-256 digest, so that members with neighbouring numbers get unrelated random numbers, which do not depend
    on the other members, configurations or runners.

    Args:
        root: Root seed of the run, at least 0.
        labels: What the random numbers are for, from the general to the particular.

    Returns:
        An integer in 0 .. 2^63 - 1.

    Example:
        >>> derive_seed(2021, "depth_sweep", "member", 0) != derive_seed(2021, "depth_sweep", "member", 1)
        True
    """
    text = "\x1f".join([str(root), *(f"{type(label).__name__}:{label}" for label in labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(root: int, *labels: str | int) -> torch.Generator:
    """Return a new random generator of PyTorch, on the CPU, seeded with `derive_seed(root, *labels)`.

    Random numbers are drawn on the CPU also for training on a GPU, so that both start from the same numbers.

    Example:
        >>> import torch
        >>> a, b = generator(1, "weights", 0), generator(1, "weights", 0)
        >>> bool(torch.equal(torch.rand(3, generator=a), torch.rand(3, generator=b)))
        True
    """
    import torch

    return torch.Generator().manual_seed(derive_seed(root, *labels))
