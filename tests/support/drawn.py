"""What can be read from a drawn figure."""

from __future__ import annotations

from typing import Any


def texts(figure: Any) -> str:
    """Return every text of a figure, joined."""
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))
