"""Gain sweep: the gain of Xavier's weights."""
