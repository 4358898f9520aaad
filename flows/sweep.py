"""A grid of settings: which configuration to choose, and which settings matter."""

from flows.experiment import experiment_flow

sweep = experiment_flow("sweep")
