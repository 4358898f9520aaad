"""Verdicts: the tutorial's claims, and ours, on the result tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from prefect import task

from mlp_core.artifacts.storage import Artifact, Provenance, code_digest, read_table, write_table
from mlp_core.experiments import claims
from tasks.caching import artifact_root, cached

_CLAIMS = ("mlp_core.experiments.claims", *claims.claim_modules())
_UNITS = {
    "claim": "name",
    "source": "tutorial|ours: who says it",
    "section": "of the tutorial",
    "statement": "the claim as its source says it",
    "measure": "what was measured",
    "claimed": "values of the measure that bear the claim out",
    "n": "seeds; with two unpaired groups those of the smaller one",
    "estimate": "the measure; null if there is none",
    "low": "lower end of its 95 % interval over seeds, may be infinite; null if there is none, as for an exact number",
    "high": "upper end of the same",
    "effect_size": "number of the kind that effect names; null if there is none",
    "effect": "kind of effect size",
    "verdict": "supported|not supported|neither|undecided; supported: the source is right",
    "figure": "name of the figure that shows it",
    "data": "spirals|drawn faces|photographs|random networks: what it rests on",
    "condition": "what the verdict holds for only; empty if there is no such thing",
}


def claimed_tables(made: Sequence[Artifact]) -> list[Artifact]:
    """Return the result tables to make claims on: those of this run, and beside them what earlier runs left.

    Like the report, the claims are about the whole folder: `deep-mlp gain-sweep` after the tutorial takes no verdict
    away. A run that made none of these tables has nothing to claim.
    """
    root = artifact_root()
    by_path = {artifact.path: artifact for artifact in made}
    paths = [f"results/{name}.parquet" for name in claims.claimed_tables()]
    if by_path.keys().isdisjoint(paths):
        return []
    return [
        by_path.get(path) or Artifact.of(root, root / path)
        for path in paths
        if path in by_path or (root / path).exists()
    ]


@task(name="measure claims", task_run_name="measure claims", **cached(*_CLAIMS))
def measure_claims(results: Sequence[Artifact]) -> Artifact:
    """Measure the tutorial's claims on result tables, one row per claim."""
    import pyarrow as pa

    from mlp_core.statistics.bootstrap import N_RESAMPLES
    from mlp_core.statistics.claims import Claim

    root = artifact_root()
    tables, settings = {}, {}
    for artifact in results:
        name = artifact.path.removeprefix("results/").removesuffix(".parquet")
        tables[name] = read_table(root, artifact)
        settings[name] = json.loads(tables[name].schema.metadata[b"settings"])
    measured = claims.tutorial_claims(tables, settings)
    columns: dict[str, Any] = {}
    for field in fields(Claim):
        kind = {"int": pa.int64(), "float": pa.float64()}.get(str(field.type), pa.string())
        values = pa.array([getattr(claim, field.name) for claim in measured], kind, from_pandas=True)
        columns["claim" if field.name == "name" else field.name] = values
    provenance = Provenance(
        {"resamples": N_RESAMPLES, "tables": settings},
        code_digest(*_CLAIMS),
        {artifact.path: artifact.sha256 for artifact in results},
        _UNITS,
    )
    return write_table(root, "results/claims.parquet", pa.table(columns), provenance)
