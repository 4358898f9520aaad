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
    """How one attempt at a run works.

    Attributes:
        artifacts: The artifact folder, an absolute path or an address on S3.
        n_parallel: How many of its tasks work at the same time.
        time_limit_seconds: How long one training may take; 0 for as long as it needs.
        refresh: Whether everything is made again, whatever is there.
        token: Names this attempt among all of a process.

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
        """The artifact folder."""
        return artifact_folder(self.artifacts)

    @property
    def is_stopped(self) -> bool:
        """Whether the run is being stopped."""
        return self.token in _stopped

    def checkpoint(self) -> None:
        """Let a long computation end when its run is being stopped.

        Raises:
            Stopped: If it is.
        """
        if self.is_stopped:
            raise Stopped

    def waiting_for(self, what: str) -> Callable[[], None]:
        """Return what to call while a lock is another's: it says so once, and ends the wait with the run."""
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
        """Wait until no other run publishes in this artifact folder, and hold it against others.

        Two runs of an experiment write the same table, and neither may draw its figures from the other's.
        """
        waiting = self.waiting_for(f"another run that publishes in {self.root}")
        with locked([self.root / RECORDS / "publishing"], waiting):
            yield


def stop_run(token: str) -> None:
    """Let the tasks of a run that are at work in this process end at their next checkpoint."""
    _stopped.add(token)


def is_stopping() -> bool:
    """Return whether a run of this process was stopped; of the program's there is one."""
    return bool(_stopped)
