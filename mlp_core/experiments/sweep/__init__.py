"""A grid of settings: which configuration to choose, what the choice costs, and which settings matter."""
