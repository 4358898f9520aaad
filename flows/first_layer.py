"""What the first layer sees: the tutorial's question of section 2, as numbers."""

from flows.experiment import experiment_flow

first_layer = experiment_flow("first_layer")
