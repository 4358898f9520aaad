"""Depth against width at a fixed parameter budget: the tutorial's section 1."""

from flows.experiment import experiment_flow

depth_sweep = experiment_flow("depth_sweep")
