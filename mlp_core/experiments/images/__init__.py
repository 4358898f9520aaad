"""A multilayer perceptron on images."""
