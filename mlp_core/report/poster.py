"""The poster: the report's first screen, a card for each question with its figure, its answer and how sure it is."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from mlp_core.report.section import Section

if TYPE_CHECKING:
    from mlp_core.report.page import ShownSection

_WIDTH_PIXELS = 560  # twice what a card has
_COLOURS = 64


@dataclass(frozen=True)
class Verdicts:
    """How many of the claims that a card's figures show have a verdict.

    Attributes:
        symbol: The verdict's sign.
        kind: Of the verdict, which gives its colour.
        text: The verdict, and how many if there are several.
    """

    symbol: str
    kind: str
    text: str


@dataclass(frozen=True)
class Card:
    """A card of the poster.

    Attributes:
        question: In a few words.
        section: Name of the section that answers it.
        answer: Its first sentence.
        figure: Name of its first figure; empty if there is none.
        thumbnail: The figure, small, as the address of an image.
        alt: In its place for who cannot see it.
        verdicts: On the claims that the section's figures show.
        members: How many there are per configuration.
    """

    question: str
    section: str
    answer: str
    figure: str
    thumbnail: str
    alt: str
    verdicts: list[Verdicts]
    members: str


def poster(
    shown_sections: Sequence[ShownSection], sections: Sequence[Section], claims: Mapping[str, Any] | None
) -> list[Card]:
    """Return the cards of those sections that have a question for the poster.

    Args:
        shown_sections: What the report shows.
        sections: Of all experiments.
        claims: What the report says of the claims, if there are any.
    """
    questions = {section.name: section.poster for section in sections if section.poster}
    last = {questions[section.name]: section for section in shown_sections if section.name in questions}
    return [_card(question, section, claims["rows"] if claims else []) for question, section in last.items()]


def _card(question: str, section: ShownSection, claims: Sequence[Mapping[str, Any]]) -> Card:
    names = {figure.name for figure in section.figures}
    own = [row for row in claims if row["figure"] and row["figure"][0] in names]
    counts = Counter((row["symbol"], row["kind"], row["verdict"]) for row in own)
    first = section.figures[0] if section.figures else None
    return Card(
        question,
        section.name,
        section.summary[0],
        first.name if first else "",
        thumbnail(first.png) if first else "",
        first.alt if first else "",
        [
            Verdicts(symbol, kind, f"{n} {verdict}" if n > 1 else str(verdict))
            for (symbol, kind, verdict), n in sorted(counts.items(), key=lambda item: str(item[0][1]), reverse=True)
        ],
        f"n = {section.n_members}" if section.n_members else "",
    )


def thumbnail(png: bytes) -> str:
    """Return a figure, small and in few colours, as the address of an image that needs no file."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        height = max(1, round(image.height * _WIDTH_PIXELS / image.width))
        small = image.convert("RGB").resize((_WIDTH_PIXELS, height), Image.Resampling.LANCZOS)
        few = small.quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(buffer, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
