"""The sections of the report, one for each experiment, in the report's order."""

from __future__ import annotations

from importlib import import_module

from mlp_core.experiments.catalog import experiments
from mlp_core.report.section import Section


def all_sections() -> tuple[Section, ...]:
    """Return the `SECTION` of every experiment, in the report's order.

    Example:
        >>> [section.name for section in all_sections()][:3]
        ['depth_sweep', 'ablation', 'learning_rate']
    """
    return tuple(import_module(experiment.section).SECTION for experiment in experiments())
