"""A wide, shallow model on polynomial features: the tutorial's section 1.1."""

from flows.experiment import experiment_flow

polynomial = experiment_flow("polynomial")
