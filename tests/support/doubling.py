"""A compiled function for tests of where compiled code is kept, and a program that uses it."""

from __future__ import annotations

import io
import os
import resource
from contextlib import redirect_stderr

import numpy as np


def double_numbers(answers, environment, most_bytes):
    """Compile or find the function in a process that was just forked, and tell which, with what stands on stderr.

    Args:
        answers: End of a pipe.
        environment: What numba and the project read as they are imported.
        most_bytes: Size of a file that can be written; None for any.
    """
    from numba.core import config

    os.environ.update(environment)
    config.reload_config()
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    with redirect_stderr(io.StringIO()) as errors:
        from doubling_compiled import double

        numbers = np.ones(16, np.float32)
        double(numbers)
        assert numbers.tolist() == 16 * [2]
    answers.send(("found" if double.stats.cache_hits else "compiled", errors.getvalue()))
