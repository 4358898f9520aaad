"""A multilayer perceptron on photographs: the tutorial's section 2."""

from flows.experiment import experiment_flow

images = experiment_flow("images")
