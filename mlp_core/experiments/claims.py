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
    """Return the claims that can be made on some result tables, in the order of the tutorial's sections.

    No claim depends on which other tables there are.

    Args:
        tables: By name, those of `claimed_tables()` that there are. A claim whose rows are not there is left out.
        settings: Of each table: what the claims on it need to know (`arms`, `epochs`, `layer_sizes`).

    Returns:
        The claims.

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
    """Return the modules that make the claims, of those experiments that have some.

    Example:
        >>> claim_modules()[0]
        'mlp_core.experiments.depth_sweep.claims'
    """
    return [experiment.claims for experiment in experiments() if experiment.claims]


def claim_sources() -> list[ClaimSource]:
    """Return what the experiments export as `CLAIMS`, in the order of the tutorial's sections."""
    return [source for module in claim_modules() for source in import_module(module).CLAIMS]


def claimed_tables() -> list[str]:
    """Return the names of the result tables that claims rest on.

    Example:
        >>> claimed_tables()[:2]
        ['depth_sweep', 'ablation']
    """
    return [source.table for source in claim_sources()]
