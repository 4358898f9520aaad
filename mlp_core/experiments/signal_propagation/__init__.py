"""Signals and gradients in random networks."""
