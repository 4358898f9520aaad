"""What a run will need, imported before it does: while a server starts, and in the helper process.

Nothing that a cached run does without: what trains and draws is loaded when the artifact folder is not there yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from flows.server import healthy
from mlp_core.artifacts.paths import artifact_folder
from tasks.helper_process import preload_in_helper
from tasks.run_settings import ImageRunSettings, RunSettings
from tasks.stages import Stage

# The last are for training: a cached run does without
_SLOW_MODULES = (
    "mlp_core.report.page",
    "pandas",
    "pyarrow.parquet",
    "torch",
    "mlp_core.engine.members",
)


def all_is_to_be_made(run: RunSettings) -> bool:
    """Return whether a run will train in this process and find nothing in the cache."""
    return run.runner == "threads" and not artifact_folder(run.artifacts).exists()


def preload_until_healthy(url: str) -> None:
    """Import slow modules, one after the other, until a server answers at an API address."""
    for module in _SLOW_MODULES:
        if healthy(url):  # nothing waits for what is left
            break
        import_module(module)


def preload_helper(stages: Sequence[Stage], run: RunSettings) -> None:
    """Let the helper process import in the background what a run's experiments need there.

    Args:
        stages: The experiments.
        run: The run's settings.
    """
    modules = [module for stage in stages for module in stage.experiment.in_helper]
    for module in ["mlp_core.data.images"] if isinstance(run, ImageRunSettings) else modules:
        preload_in_helper(module)
