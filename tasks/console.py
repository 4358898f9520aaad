"""What the user of the program reads while a run goes on: our own lines, and of Prefect's only what is news."""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import TYPE_CHECKING

from mlp_core.errors import DeepMlpError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

_NO_NEWS = (
    "Finished in state",  # an error was shown before
    "Crash detected! Execution was aborted by",  # the user's own Ctrl-C
    "Crash detected! Execution was interrupted by an unexpected exception: CancelledError",  # of who still waited then
    "Still processing items",  # the last event leaves a moment later
)


class ConsoleHandler(logging.Handler):
    """Logging handler that prints each record as a line with the time of day on a console.

    Args:
        console: Where to print.
        status: A spinner whose text is the latest line; None if there is none.
    """

    def __init__(self, console: Console, status: Status | None = None) -> None:
        super().__init__()
        self.console, self.status = console, status

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, and set the spinner's text to it."""
        text = record.getMessage()
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        self.console.print(f"{stamp}  {text}", markup=False)
        if self.status:
            self.status.update(text)


def stderr_console() -> Console:
    """Return a Rich console on stderr; it writes plain text if stderr is no terminal."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def silence_prefect_console() -> None:
    """Hide Prefect's log lines on the console, except warnings and errors that the program does not report itself."""
    from prefect.logging.configuration import ensure_logging_setup

    ensure_logging_setup()
    _said_by_the_program()  # imported now, not in the midst of an error
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_relevant)
    logging.getLogger("deep_mlp").propagate = False


def _is_relevant(record: logging.LogRecord) -> bool:
    """Return whether a warning or error of Prefect's says what the program does not say itself."""
    if record.levelno < logging.WARNING or record.getMessage().startswith(_NO_NEWS):
        return False
    error = record.exc_info[1] if record.exc_info else None
    # An interrupt raised in pydantic's midst comes out as another error
    return not isinstance(error, _said_by_the_program()) and "KeyboardInterrupt" not in str(error)


@cache
def _said_by_the_program() -> tuple[type[BaseException], ...]:
    """Return the errors that end in a sentence of the program's own, those of a server that is gone among them."""
    from concurrent.futures.process import BrokenProcessPool

    from httpx import ConnectError, ConnectTimeout, ReadError, RemoteProtocolError
    from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError

    lost = ConnectError, ConnectTimeout, ReadError, RemoteProtocolError
    return DeepMlpError, KeyboardInterrupt, BrokenProcessPool, ConcurrencySlotAcquisitionError, *lost
