"""What can be read from a drawn figure, and how runs share the figures that they draw."""

from __future__ import annotations

from hashlib import sha256
from multiprocessing.reduction import ForkingPickler
from typing import Any

from tasks.helper_process import run_in_helper


def texts(figure: Any) -> str:
    """Return every text of a figure, joined."""
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


class DrawnOnce:
    """Stands for `run_in_helper` where figures are drawn: one of equal data is drawn once in a worker of the tests.

    Many tiny runs have the same figures, and drawing is much of their work.
    """

    def __init__(self):
        self._known = {}

    def __call__(self, function, *arguments, checkpoint):
        """Return the PNG that was drawn of equal arguments, or draw it in the helper process."""
        checkpoint()
        digest = sha256(ForkingPickler.dumps((function, arguments))).digest()
        if digest not in self._known:
            self._known[digest] = run_in_helper(function, *arguments, checkpoint=checkpoint)
        return self._known[digest]
