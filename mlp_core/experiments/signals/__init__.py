"""Signals: lengths, correlations and gradients through random networks."""
