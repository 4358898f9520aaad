"""Every random number of the project begins here: one root seed, labels, and no global state."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(root: int, *labels: str | int) -> int:
    """Return a seed that depends on the root seed and on every label, in their order.

    SHA-256 over the labels, so that neighbouring members get unrelated streams and a member's stream
    does not depend on which other members, configurations or runners exist.

    Args:
        root: Root seed of the run, at least 0.
        labels: What the stream is for, from the general to the particular.

    Returns:
        An integer in 0 .. 2^63 - 1.

    Example:
        >>> derive_seed(2021, "depth_sweep", "member", 0) != derive_seed(2021, "depth_sweep", "member", 1)
        True
    """
    text = "\x1f".join([str(root), *(f"{type(label).__name__}:{label}" for label in labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(root: int, *labels: str | int) -> torch.Generator:
    """Return a CPU generator of its own for `derive_seed(root, *labels)`.

    Draws are made on the CPU on every device, so that a GPU starts from the same numbers.

    Example:
        >>> import torch
        >>> a, b = generator(1, "weights", 0), generator(1, "weights", 0)
        >>> bool(torch.equal(torch.rand(3, generator=a), torch.rand(3, generator=b)))
        True
    """
    import torch

    return torch.Generator().manual_seed(derive_seed(root, *labels))
