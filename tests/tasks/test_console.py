"""What of Prefect's log stays off the console."""

import logging
import sys

import pytest
from httpx import ConnectError

from flows.run_collector import SweepFailed
from flows.server import RunLost
from mlp_core.errors import Drifted, InputError, ResourceError, Stopped
from tasks.console import _is_relevant
from tasks.training import TimeLimitExceeded


def record(error):
    """Return a record of an error that was raised."""
    try:
        raise error  # noqa: TRY301 a record needs a traceback
    except BaseException:
        return logging.LogRecord("prefect", logging.ERROR, "", 0, "it ended so", (), sys.exc_info())


@pytest.mark.parametrize(
    "error",
    [
        *(kind("a") for kind in (InputError, ResourceError, Stopped, TimeLimitExceeded, SweepFailed, Drifted, RunLost)),
        KeyboardInterrupt(),
        ConnectError("a"),
        ValueError("raised by KeyboardInterrupt"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_program_says_itself_is_no_news(error):
    """Its own errors, Ctrl-C, and those of a server that is gone."""
    assert not _is_relevant(record(error))


@pytest.mark.parametrize("error", [ValueError("a"), OSError("b")])
def test_a_defect_is_news(error):
    """It keeps its traceback."""
    assert _is_relevant(record(error))
