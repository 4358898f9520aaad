"""Depth sweep: the depths of one budget of parameters."""
