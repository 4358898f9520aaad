"""The context of a run: what its tasks need to know of it besides their inputs.

`run_environment` makes it, the flow passes it to each task as the first argument, and no cache key counts it: it says
where and how a run works, never what comes out. It is plain data, so that it travels to worker processes and other
machines. What a process has to remember is found by the run's token: the tokens of the runs that are being stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from mlp_core.artifacts.paths import artifact_folder
from mlp_core.artifacts.storage import locked
from mlp_core.errors import Stopped

if TYPE_CHECKING:
    from upath import UPath

logger = logging.getLogger("deep_mlp")
"""What a user should read; goes to Prefect's log too."""

RECORDS = ".records"
"""Folder of the records of results, in the artifact folder."""

_stopped: set[str] = set()
"""Tokens of the runs that are being stopped. A process may work for several runs; each looks for its own."""


@dataclass(frozen=True)
class RunContext:
    """How one attempt at a run works: where it writes and how many tasks at once; nothing here changes results.

    Attributes:
        artifacts: The artifact folder, an absolute path or an address on S3.
        n_parallel: How many of its tasks work at the same time.
        time_limit_seconds: How long one training may take; 0 for no limit.
        refresh: Whether everything is computed again, without the cache.
        token: Unique name of this attempt.

    Example:
        >>> context = RunContext("/tmp/artifacts", n_parallel=2)
        >>> context.root.as_posix()
        '/tmp/artifacts'
        >>> context.checkpoint()
        >>> stop_run(context.token)
        >>> context.checkpoint()
        Traceback (most recent call last):
        mlp_core.errors.Stopped
    """

    artifacts: str
    n_parallel: int
    time_limit_seconds: float = 0.0
    refresh: bool = False
    token: str = field(default_factory=lambda: uuid4().hex)

    @property
    def root(self) -> Path | UPath:
        """Return the artifact folder as a path."""
        return artifact_folder(self.artifacts)

    @property
    def is_stopped(self) -> bool:
        """Return whether the run is being stopped in this process."""
        return self.token in _stopped

    def checkpoint(self) -> None:
        """Raise an error if the run is being stopped; long computations call it regularly.

        Raises:
            Stopped: If the run is being stopped.
        """
        if self.is_stopped:
            raise Stopped

    def waiting_for(self, what: str) -> Callable[[], None]:
        """Return a function to call repeatedly while another run holds a lock.

        It logs once what the run waits for, and raises `Stopped` when the run is being stopped.

        Args:
            what: What it waits for, in words.
        """
        is_reported = False

        def wait() -> None:
            nonlocal is_reported
            self.checkpoint()
            if not is_reported:
                is_reported = True
                logger.info("waiting for %s", what)

        return wait

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Hold the lock for publishing in this artifact folder; wait while another run holds it.

        Two runs of an experiment write the same table, and neither may draw its figures from the other's.
        """
        waiting = self.waiting_for(f"another run that publishes in {self.root}")
        with locked([self.root / RECORDS / "publishing"], waiting):
            yield


def stop_run(token: str) -> None:
    """Make the tasks of a run in this process stop at their next checkpoint.

    Args:
        token: The run's `RunContext.token`.
    """
    _stopped.add(token)


def is_stopping() -> bool:
    """Return whether any run in this process is being stopped."""
    return bool(_stopped)
