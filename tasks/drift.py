"""Drift: this run's results next to the accepted baseline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect import task

from mlp_core.artifacts.storage import Artifact
from tasks.caching import UNCACHED
from tasks.context import RunContext, logger
from tasks.results import save_figure


@task(name="compare with baseline", task_run_name="compare with baseline", **UNCACHED)
def compare_with_baseline(context: RunContext, results: Sequence[Artifact]) -> str:
    """Compare a run's results with the accepted baseline, store the comparison, and draw the trend over runs.

    Args:
        context: The run's context.
        results: Files of this run; those that are no result tables are ignored.

    Returns:
        The metrics that moved, in words; empty if none did, or if there is nothing to compare.
    """
    from mlp_core.artifacts.baseline import keep_comparison, read_baseline, read_comparisons
    from mlp_core.artifacts.comparison import compare
    from mlp_core.artifacts.results import read_results

    root = context.root
    names = [
        artifact.path.removeprefix("results/").removesuffix(".parquet")
        for artifact in results
        if "results/" in artifact.path
    ]
    baseline, current = read_baseline(root), read_results(root, names)
    if baseline is None:
        logger.info("no baseline to compare with; `deep-mlp baseline accept` makes these results the baseline")
        return ""
    if not current.members:
        logger.info("nothing to compare with the baseline: these results are not of trained members")
        return ""
    comparison = compare(baseline, current)
    for experiment, reason in comparison.left_out.items():
        logger.warning("not compared with the baseline: %s (%s)", experiment, reason)
    if not comparison.changes:
        return ""
    keep_comparison(root, comparison, datetime.now(UTC))
    if (comparisons := read_comparisons(root)) is not None:
        save_figure(context, "trend", "mlp_core.report.trend:trend_figure", comparisons.to_pandas())
    if comparison.moved:
        logger.warning("%s", comparison.describe())
        return comparison.describe()
    logger.info("%s", comparison.describe())
    return ""
