"""Images: a multilayer perceptron on small photographs."""
