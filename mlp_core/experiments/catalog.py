"""The experiments there are, in the order of the tutorial and of the report."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from mlp_core.experiments.interface import Experiment

FOLDERS = (
    "depth_sweep",
    "ablation",
    "learning_rate",
    "polynomial",
    "generalization",
    "images",
    "first_layer",
    "gain_sweep",
    "signal_propagation",
    "phase_diagram",
    "sweep",
    "data",
)
"""Whoever adds an experiment adds its folder here."""


@cache
def experiments() -> tuple[Experiment, ...]:
    """Return all experiments, in the order of `FOLDERS`: that of the tutorial and of the report."""
    return tuple(experiment_in(folder) for folder in FOLDERS)


@cache
def experiment_in(folder: str) -> Experiment:
    """Return the experiment that a folder of `mlp_core/experiments` defines, by the folder's name."""
    experiment: Experiment = import_module(f"mlp_core.experiments.{folder}.experiment").EXPERIMENT
    return experiment


def of_flow(flow: str) -> tuple[Experiment, ...]:
    """Return the experiments that a flow runs, in the report's order; empty if there is no such flow.

    Example:
        >>> [experiment.name for experiment in of_flow("depth_sweep")]
        ['depth_sweep', 'ablation']
    """
    return tuple(experiment for experiment in experiments() if experiment.tag == flow)
