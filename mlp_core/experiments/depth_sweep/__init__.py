"""Depth against width at a fixed parameter budget."""
