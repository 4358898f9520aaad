"""What Prefect's UI shows of a run besides its tasks: results, figures, findings, how far it is, and drift."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from httpx import HTTPError, HTTPStatusError
from prefect.artifacts import Artifact, MarkdownArtifact, TableArtifact, create_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Crashed

from tasks.context import RunContext, logger

if TYPE_CHECKING:
    from upath import UPath

    from mlp_core.report.page import ShownSection

_COLOURS = 64
_MARKDOWN_CHARACTERS = 240_000  # and one figure more; the server keeps the newest of each key twice
_SECONDS_BETWEEN_UPDATES = 1.0


def show_results(sections: Sequence[ShownSection], report: Path | UPath) -> None:
    """Create three artifacts in Prefect's UI: a table of results, a text with figures, and the report's findings.

    There is one of each, whatever the run made, as an artifact takes the server some 30 ms. Their keys contain the
    flow's name, so that the history of a key is that of one flow.

    Args:
        sections: Sections of this run's experiments, at least one; of several, only the first figure of each, as far as
            there is room.
        report: The report's file.
    """
    rows = _all_columns(sections[0]) if len(sections) == 1 else [row for section in sections for row in _rows(section)]
    titles = "; ".join(section.title for section in sections)
    artifacts = [
        TableArtifact(key=_key("results"), table=rows, description=f"{titles}. Medians [95 % intervals over members]."),
        MarkdownArtifact(key=_key("figures"), markdown=_markdown(sections), description=titles),
        MarkdownArtifact(key=_key("report"), markdown=_in_short(sections, report), description=f"In short: {titles}"),
    ]
    with _by_the_way():
        asyncio.run(_create(artifacts))


@contextmanager
def _by_the_way() -> Iterator[None]:
    """Log that the server refused, and go on: if it is gone for good, that ends the run elsewhere."""
    try:
        yield
    except (HTTPError, OSError) as error:
        logger.warning("Prefect's UI does not show all of this run: %s", error)


def _key(kind: str) -> str:
    return f"{flow_run.flow_name}-{kind}"


def _in_short(sections: Sequence[ShownSection], report: Path | UPath) -> str:
    """Return what the report finds, and where it lies."""
    lines = []
    for section in sections:
        lines += [f"## {_plain(section.title)}", *map(_plain, (*section.summary, *section.details))]
    return "\n\n".join([*lines, f"All of it, with figures and tables: `{report}`"])


async def _create(artifacts: Sequence[Artifact]) -> None:
    async with get_client() as client:
        await asyncio.gather(*(artifact.acreate(client) for artifact in artifacts))


def report_lost(task_run_id: UUID, reason: str) -> None:
    """Mark a task run as Crashed because its worker process is gone; otherwise it would stay running for ever.

    Nothing happens if Prefect does not know the task run: it never began.

    Args:
        task_run_id: The task run.
        reason: Message of the state.
    """
    with get_client(sync_client=True) as client, suppress(HTTPStatusError):
        client.set_task_run_state(task_run_id, Crashed(message=reason), force=True)


def _all_columns(section: ShownSection) -> list[dict[str, str]]:
    """Return a table with the test accuracy soon after what tells its rows apart: narrow screens cut off the rest."""
    table = section.named_rows()
    names = list(table[0])
    order = [*names[: section.n_keys], *(name for name in names if name == "test accuracy")]
    return [{name: row[name] for name in dict.fromkeys([*order, *names])} for row in table]


def _rows(section: ShownSection) -> list[dict[str, str]]:
    """Return rows with columns that tables of different experiments have in common."""
    table = section.named_rows()
    names = list(table[0])
    varying = [name for name in names[: section.n_keys] if len({row[name] for row in table}) > 1]
    named_by = varying or names[: section.n_keys]
    return [
        {
            "experiment": section.name,
            "configuration": ", ".join(f"{name} {row[name]}" for name in named_by),
            "test accuracy": row.get("test accuracy", ""),
            "more": "; ".join(f"{name} {row[name]}" for name in names[section.n_keys :] if name != "test accuracy"),
        }
        for row in table
    ]


def _markdown(sections: Sequence[ShownSection]) -> str:
    """Return what the sections say, with figures as long as there is room; of several sections small ones."""
    from mlp_core.report.poster import thumbnail

    several = len(sections) > 1
    lines, size = [], 0
    for section in sections:
        lines += [f"## {_plain(section.title)}", _plain(" ".join(section.summary))]
        for figure in section.figures[:1] if several else section.figures:
            if size < _MARKDOWN_CHARACTERS:
                address = thumbnail(figure.png) if several else _address(figure.png)
                lines += [f"![{_plain(figure.alt)}]({address})", _plain(figure.caption)]
                size += len(lines[-2])
            else:
                lines.append(f"*{figure.name}: in the report*")
    return "\n\n".join(lines)


def _plain(text: str) -> str:
    r"""Return text that Markdown shows as it stands, whatever names of classes or folders are in it.

    Example:
        >>> print(_plain("a [link](to)"))
        a \[link\]\(to\)
    """
    return re.sub(r"([\\`*_{}\[\]()<>#!|~&])", r"\\\1", text)


def _address(png: bytes) -> str:
    """Return a figure in fewer pixels and colours as the address of an image; the UI shows no other."""
    from PIL import Image

    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        few = image.convert("RGB").reduce(2).quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(small, "png")
    return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}"


def _describe_progress(n_done: int, n_known: int) -> str:
    return f"{n_done} of {n_known} trainings have ended"


class Progress:
    """Progress display of a run in Prefect's UI: how many of its trainings have ended, updated at most once a second.

    The update follows a second after a training ended: at that very moment the next tasks ask for slots, and of two
    that write to SQLite at once one may have to wait two seconds.

    Args:
        context: The run's context.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._lock, self._showing = threading.Lock(), threading.Lock()
        self._known: set[UUID] = set()
        self._n_done = 0
        self._artifact: UUID | None = None
        self._waiting: threading.Timer | None = None

    def expect(self, futures: Iterable[PrefectFuture[Any]]) -> None:
        """Add trainings to the total; those that are known already count once.

        Args:
            futures: The training tasks.
        """
        new = {future.task_run_id: future for future in futures if future.task_run_id not in self._known}
        self._known |= set(new)
        if new and self._artifact is None:
            with _by_the_way():
                self._artifact = self._create(len(self._known))
        for future in new.values():
            future.add_done_callback(self._count)

    def _count(self, _future: PrefectFuture[Any]) -> None:
        with self._lock:
            self._n_done += 1
            if self._waiting is None:
                self._waiting = threading.Timer(_SECONDS_BETWEEN_UPDATES, self._show_by_the_way)
                self._waiting.daemon = True
                self._waiting.start()

    def _create(self, n_known: int) -> UUID:
        text = _describe_progress(0, n_known)
        artifact = create_progress_artifact(0.0, _key("progress"), text, _sync=True)  # type: ignore[call-arg] # of `async_dispatch`
        return cast(UUID, artifact)

    def _show_by_the_way(self) -> None:
        with self._lock:
            self._waiting = None
        if self._context.is_stopped:
            return
        with suppress(HTTPError, OSError):  # a server that is gone ends the run elsewhere
            self._show()

    def _show(self) -> None:
        if self._artifact is None:
            return
        with self._showing, get_client(sync_client=True) as client:
            n_done, n_known = self._n_done, len(self._known)
            text = _describe_progress(n_done, n_known)
            client.update_artifact(self._artifact, ArtifactUpdate(data=100 * n_done / n_known, description=text))

    def end(self) -> None:
        """Update the display a last time, at once."""
        with self._lock:
            if self._waiting is not None:
                self._waiting.cancel()
        with _by_the_way():
            self._show()
