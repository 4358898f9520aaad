"""One wide layer on polynomial features."""
