"""Which configurations of a grid are trained: all of them, or some that a Sobol sequence spreads over it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

MOST_CONFIGURATIONS = 20_000
"""Of a sweep."""
_DRAWS_PER_CONFIGURATION = 64
_DRAWN_AT_ONCE = 1024


def whole_product(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Return every combination of levels, as tuples of indices; the last setting changes fastest.

    Args:
        sizes: How many levels each setting has.

    Example:
        >>> whole_product([2, 2])
        [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    return list(product(*(range(size) for size in sizes)))


def sobol_design(sizes: Sequence[int], n_configurations: int, seed: int) -> list[tuple[int, ...]]:
    """Return distinct combinations of levels that fill the grid evenly, as tuples of indices.

    A Sobol sequence with one random shift is cut into as many equal parts along each setting as it has levels; repeated
    combinations are skipped. With the same seed, a longer design begins with the shorter one, so that more
    configurations train only what is new.

    Args:
        sizes: How many levels each setting has.
        n_configurations: How many combinations to return; the whole product if it has no more.
        seed: Seed of the shift.

    Example:
        >>> design = sobol_design([4, 4, 4], 16, seed=1)
        >>> len(set(design)), [sum(levels[0] == level for levels in design) for level in range(4)]
        (16, [4, 4, 4, 4])
        >>> sobol_design([4, 4, 4], 20, seed=1)[:16] == design
        True

    Source:
        Sobol' 1967; direction numbers of Joe and Kuo 2008, as `scipy.stats.qmc.Sobol` has them; the shift is that of
        Cranley and Patterson 1976.
    """
    if prod(sizes) <= n_configurations:
        return whole_product(sizes)
    import numpy as np
    from scipy.stats.qmc import Sobol

    sequence = Sobol(len(sizes), scramble=False)
    stream = np.random.default_rng(seed)
    shift = stream.random(len(sizes))
    chosen: dict[tuple[int, ...], None] = {}
    for _ in range(-(-n_configurations * _DRAWS_PER_CONFIGURATION // _DRAWN_AT_ONCE)):
        levels = ((sequence.random(_DRAWN_AT_ONCE) + shift) % 1 * np.array(sizes)).astype(int)
        chosen |= dict.fromkeys(map(tuple, levels.tolist()))
        if len(chosen) >= n_configurations:
            break
    # so near to the whole product that the sequence would need long for the rest
    chosen |= dict.fromkeys(whole_product(sizes)) if len(chosen) < n_configurations else {}
    return list(chosen)[:n_configurations]
