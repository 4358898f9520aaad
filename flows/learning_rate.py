"""The depth sweep's network over learning rates, from two starts."""

from flows.experiment import experiment_flow

learning_rate = experiment_flow("learning_rate")
