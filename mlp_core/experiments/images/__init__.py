"""A multilayer perceptron on photographs."""
