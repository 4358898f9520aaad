"""The depth sweep's network over learning rates, from two starts."""
