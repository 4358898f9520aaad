"""What can be read from a drawn figure, and how runs share the figures that they draw."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tasks.helper_process import run_in_helper


def texts(figure: Any, *, drawn: bool = True) -> str:
    """Return every text of a figure, joined; those of ticks are there once it is drawn."""
    if drawn:
        figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


class DrawnOnce:
    """Stands for `run_in_helper` where figures are drawn: one of equal data is drawn once for all workers of the tests.

    Many tiny runs have the same figures, and drawing is much of their work.
    """

    def __init__(self, folder: Path) -> None:
        """Keep the files of each figure in a folder that the workers share."""
        self._folder = folder

    def __call__(self, function, *arguments, checkpoint):
        """Return the files that were drawn of equal arguments, or draw them in the helper process."""
        checkpoint()
        drawn = self._folder / sha256(ForkingPickler.dumps((function, arguments))).hexdigest()
        if not drawn.exists():
            partial = Path(mkdtemp(dir=self._folder))
            for ending, content in run_in_helper(function, *arguments, checkpoint=checkpoint).items():
                (partial / ending).write_bytes(content)
            with suppress(OSError):  # another worker was quicker
                partial.rename(drawn)
        return {file.name: file.read_bytes() for file in sorted(drawn.iterdir())}
