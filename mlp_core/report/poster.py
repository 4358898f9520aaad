"""The poster: the report's first screen, a card for each question with its figure, its answer and how sure it is."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from PIL import Image

from mlp_core.report.section import Section

if TYPE_CHECKING:
    from mlp_core.report.page import ShownSection

_WIDTH_PIXELS = 560  # twice what a card has
_COLOURS = 64
_KEPT_THUMBNAILS = 32  # the report and Prefect's UI show the same ones


@dataclass(frozen=True)
class Verdicts:
    """A verdict on a card of the poster, with the number of the card's claims that have it.

    Attributes:
        symbol: Sign of the verdict, such as a check mark.
        kind: `yes`, `no` or `open`, which decides the colour.
        text: The verdict in words, after the number of claims if that is above 1.
    """

    symbol: str
    kind: str
    text: str


@dataclass(frozen=True)
class Card:
    """A card on the first screen of the report: a question, its answer, a small figure and the verdicts.

    Attributes:
        question: The question in a few words.
        section: Name of the section that answers it.
        answer: First sentence of the section's summary.
        figure: Name of the section's first figure; empty if there is none.
        thumbnail: The figure, small, as a data URL; empty if there is none.
        alt: Text for readers who cannot see the figure.
        verdicts: Verdicts on the claims that the section's figures show.
        members: Text such as `n = 8`, members per configuration; empty if that is not recorded.
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
    """Return the cards for the report's first screen: one per `poster` question of the sections in the report.

    If several sections have the same question, the last one answers it.

    Args:
        shown_sections: The sections that the report shows.
        sections: The sections of all experiments, which have the questions.
        claims: The result of `describe_claims`; None if there are no claims.
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
        f"n\u00a0=\u00a0{section.n_members}" if section.n_members else "",
    )


@lru_cache(_KEPT_THUMBNAILS)
def thumbnail(png: bytes) -> str:
    """Return a PNG reduced to a width of about 560 pixels and to 64 colours, as a data URL for an HTML `img`.

    It is reduced by a whole number, so that 1,800 pixels become 600; a narrower one stays as wide as it is.
    """
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        # resize() takes twelve times as long
        small = image.convert("RGB").reduce(max(1, round(image.width / _WIDTH_PIXELS)))
        few = small.quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(buffer, "png")  # optimize=True takes five times as long and saves 4 in 100 bytes
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
