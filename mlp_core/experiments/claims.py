"""The claims that result tables allow: those that the experiments' folders export, in the tutorial's order.

A claim is about the tutorial's own networks. Where a table does not hold them it is left out, not made about others.
Each names the data that it rests on, as drawn faces are not real images.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pyarrow as pa

from mlp_core.experiments.catalog import experiments
from mlp_core.experiments.claim_source import ClaimSource
from mlp_core.statistics.claims import Claim


def tutorial_claims(tables: Mapping[str, pa.Table], settings: Mapping[str, Mapping[str, Any]]) -> list[Claim]:
    """Return the claims that some result tables allow, in the order of the tutorial's sections.

    Each claim depends on its own table only, never on which other tables there are.

    Args:
        tables: Result tables by name; those of `claimed_tables()` are used. A claim whose rows are missing is left out.
        settings: Settings of each table, by its name: what the claims need to know, such as `arms`, `epochs` and
            `layer_sizes`.

    Returns:
        The claims with their verdicts.

    Example:
        >>> depths = {"depth": [1, 2, 3] * 8, "seed": sorted(list(range(8)) * 3), "test_accuracy": [0.7, 0.9, 0.8] * 8}
        >>> claims = tutorial_claims({"depth_sweep": pa.table(depths)}, {"depth_sweep": {}})
        >>> [(claim.name, claim.estimate, claim.verdict) for claim in claims]
        [('interior_best_depth', 2.0, 'supported')]
    """
    return [
        claim
        for source in claim_sources()
        if source.table in tables
        for claim in source.claims(tables[source.table], settings[source.table])
    ]


def claim_modules() -> list[str]:
    """Return the names of the modules that make claims, one for each experiment that has claims.

    Example:
        >>> claim_modules()[0]
        'mlp_core.experiments.depth_sweep.claims'
    """
    return [experiment.claims for experiment in experiments() if experiment.claims]


def claim_sources() -> list[ClaimSource]:
    """Return the `CLAIMS` of all experiments, in the order of the tutorial's sections."""
    return [source for module in claim_modules() for source in import_module(module).CLAIMS]


def claimed_tables() -> list[str]:
    """Return the names of the result tables from which claims are made.

    Example:
        >>> claimed_tables()[:2]
        ['depth_sweep', 'ablation']
    """
    return [source.table for source in claim_sources()]
