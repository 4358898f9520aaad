"""What can be read from a drawn figure."""

from __future__ import annotations

from typing import Any


def texts(figure: Any) -> str:
    """Return every text of a figure, joined."""
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def png_width(png: bytes) -> int:
    """Return the width that a PNG file gives for itself, in pixels."""
    return int.from_bytes(png[16:20], "big")
