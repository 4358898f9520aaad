"""Intervals, comparisons and verdicts. Numbers in, numbers and words out; nothing of networks, files or pages."""
