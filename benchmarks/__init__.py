"""Speed, measured next to what people use for the same work: `python -m benchmarks`."""
