"""Claims and report: what is said about all results of an artifact folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.runtime import flow_run

from mlp_core.artifacts.paths import local_view
from mlp_core.artifacts.storage import Artifact, Provenance, code_digest, locked, read_table, write_file, write_table
from mlp_core.experiments import claims
from mlp_core.experiments.claims import claim_modules
from tasks.caching import UNCACHED, cached
from tasks.context import RunContext, logger
from tasks.monitoring import show_results
from tasks.run_record import note_run
from tasks.run_settings import RunSettings

if TYPE_CHECKING:
    from upath import UPath


@dataclass(frozen=True)
class Failure:
    """A task that failed.

    Attributes:
        experiment: Name of its experiment; several, joined by commas, if a table or figure of several is missing.
        reason: The error message.
    """

    experiment: str
    reason: str


_CLAIMS = ("mlp_core.experiments.claims", *claim_modules())
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
    "data": "spirals|drawn faces|images|random networks: what it rests on, and the size of other images",
    "condition": "what the verdict holds for only; empty if there is no such thing",
}


def claimed_tables(root: Path | UPath, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Return the result tables from which claims are made: this run's, and those of earlier runs in the folder.

    Like the report, the claims are about the whole folder: `deep-mlp gain-sweep` after the tutorial removes no verdict.

    Args:
        root: The artifact folder.
        artifacts: Files of this run.

    Returns:
        The tables; none if this run made no table with claims.
    """
    by_path = {artifact.path: artifact for artifact in artifacts}
    paths = [f"results/{name}.parquet" for name in claims.claimed_tables()]
    if by_path.keys().isdisjoint(paths):
        return []
    return [
        by_path.get(path) or Artifact.of(root, root / path)
        for path in paths
        if path in by_path or (root / path).exists()
    ]


@task(name="measure claims", task_run_name="measure claims", **cached(*_CLAIMS, libraries=("scipy", "pyarrow")))
def measure_claims(context: RunContext, results: Sequence[Artifact]) -> Artifact:
    """Decide all claims that the given result tables allow, and store them in `results/claims.parquet`, a row each."""
    import pyarrow as pa

    from mlp_core.experiments.claims import tutorial_claims
    from mlp_core.statistics.claims import Claim

    root = context.root
    tables, settings = {}, {}
    for artifact in results:
        name = artifact.path.removeprefix("results/").removesuffix(".parquet")
        tables[name] = read_table(root, artifact)
        settings[name] = json.loads(tables[name].schema.metadata[b"settings"])
    measured = tutorial_claims(tables, settings)
    columns: dict[str, Any] = {}
    for field in fields(Claim):
        kind = {"int": pa.int64(), "float": pa.float64()}.get(str(field.type), pa.string())
        values = pa.array([getattr(claim, field.name) for claim in measured], kind, from_pandas=True)
        columns["claim" if field.name == "name" else field.name] = values
    provenance = Provenance(
        {"tables": settings},
        code_digest(*_CLAIMS),
        {artifact.path: artifact.sha256 for artifact in results},
        _UNITS,
    )
    return write_table(root, "results/claims.parquet", pa.table(columns), provenance)


@task(name="write report", task_run_name="write report", **UNCACHED)
def write_report(
    context: RunContext, results: Sequence[Artifact], experiments: Sequence[str], failures: Sequence[Failure]
) -> str:
    """Write `report.html` from all results in the artifact folder, and add this run's results to Prefect's UI.

    Args:
        context: The run's context.
        results: Files of this run.
        experiments: Names of the experiments of this run.
        failures: Tasks of this run that failed; the report lists them.

    Returns:
        The report's path; empty if there is no result.
    """
    from mlp_core.experiments.sections import all_sections
    from mlp_core.report.page import SOURCES, has_sections, read_report_content, render_sections, report_sections

    root, sections = context.root, all_sections()
    with locked([root / "results"], context.checkpoint):
        _note_failures(root, experiments, failures)
        note_run(root, results, flow_run.flow_name.replace("-", "_"), flow_run.parameters)
    if not has_sections(root, sections):
        return ""
    with local_view(root, *SOURCES) as folder:
        content = read_report_content(folder, sections)
    shown_sections = report_sections(content, sections)
    page = render_sections(shown_sections, content, sections, RunSettings().seeds)
    path = root / "report.html"
    write_file(path, lambda file: file.write_text(page, encoding="utf-8"))
    paths = {artifact.path for artifact in results}
    if own := [section for section in shown_sections if f"results/{section.name}.parquet" in paths]:
        show_results(own, path)
    logger.info("report: %s", path)
    return str(path)


def _note_failures(root: Path | UPath, experiments: Sequence[str], failures: Sequence[Failure]) -> None:
    """Keep what failed next to the results, so that they do not pass for whole; no file if nothing is missing.

    Args:
        root: The artifact folder.
        experiments: Those of this run: what failed in an earlier one of theirs no longer counts.
        failures: Those of this run.
    """
    import pyarrow as pa

    name, rows = "results/failures.parquet", [asdict(failure) for failure in failures]
    with suppress(OSError, KeyError, ValueError, pa.ArrowException):
        earlier = read_table(root, Artifact.of(root, root / name)).to_pylist()
        rows += [row for row in earlier if not set(row["experiment"].split(", ")) <= set(experiments)]
    table = pa.Table.from_pylist(rows, pa.schema({"experiment": pa.string(), "reason": pa.string()}))
    if len(table):
        write_table(root, name, table, Provenance({}, "", {}, {"experiment": "name", "reason": "text"}))
    else:
        (root / name).unlink(missing_ok=True)
