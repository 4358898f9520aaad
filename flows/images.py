"""A multilayer perceptron on images: the tutorial's section 2."""

from flows.experiment import experiment_flow

images = experiment_flow("images")
