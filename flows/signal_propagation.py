"""Signals and gradients in random networks, next to what theory predicts: the tutorial's bonus without training."""

from flows.experiment import experiment_flow

signal_propagation = experiment_flow("signal_propagation")
