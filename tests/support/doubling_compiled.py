"""A function that is compiled as the project's own are: imported when the processor and the cache are chosen."""

from mlp_core.engine.compilation import program
from mlp_core.engine.vectors import LANES, load, store


@program
def double(numbers):
    """Double numbers in place."""
    for index in range(0, len(numbers), LANES):
        store(numbers, index, load(numbers, index) + load(numbers, index))
