"""Speed, measured beside what people use for the same work: `python -m benchmarks`."""
