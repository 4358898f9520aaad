"""Xavier weights at several gains: the tutorial's bonus."""

from flows.experiment import experiment_flow

gain_sweep = experiment_flow("gain_sweep")
