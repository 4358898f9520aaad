"""The section on features: its sentences follow from the numbers, and change with them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from section_text import section_text

from mlp_core.experiments.first_layer.section import SECTION
from mlp_core.report.page import ReportContent, render_report


def units(kind: str, ratio: float, cosine: float, depth: int | None = 3) -> pd.DataFrame:
    """Return 5 units of each of 3 members, or 5 filters."""
    members = [0, 1, 2] if depth else [None]
    rows = [
        {
            "kind": kind,
            "depth": depth,
            "member": member,
            "seed": member,
            "unit": unit,
            "extent": ratio + 0.001 * unit,
            "participation_ratio": 0.5,
            "class_cosine": cosine,
            "spatial_frequency": 5.0,
        }
        for member in members
        for unit in range(5)
    ]
    return pd.DataFrame(rows)


def scale() -> list[pd.DataFrame]:
    """Return what units are measured against."""
    faces = [units(kind, ratio, 0.9, depth=None) for kind, ratio in (("template", 0.3), ("image", 0.35))]
    return [units("random", 0.4, 0.02), units("gabor", 0.09, 0.03, depth=None), *faces]


def test_extent_stands_between_filters_and_whole_faces() -> None:
    """The sentence gives the ends of the scale with the units, and units as local as a filter are counted."""
    text = section_text(SECTION, pd.concat([units("trained", 0.32, 0.2), *scale()], ignore_index=True))
    assert "0.322 at depth 3; that of edge filters is 0.092, of templates of whole faces 0.302" in text
    assert "of single images 0.352, and of the units before training 0.402" in text
    assert "0 of 15 units are as local as the widest edge filter" in text
    assert "is 0.200 at depth 3, against 0.020 before training" in text
    local = section_text(SECTION, pd.concat([units("trained", 0.0915, 0.2), *scale()], ignore_index=True))
    assert "9 of 15 units are as local as the widest edge filter" in local


def test_members_that_diverged_have_no_numbers() -> None:
    """Where nobody finished the table says none, and a sentence says why."""
    measures = ["extent", "participation_ratio", "class_cosine", "spatial_frequency"]
    trained = units("trained", 0.4, 0.2).assign(**dict.fromkeys(measures, np.nan))
    table = pd.concat([trained, *scale()])
    assert section_text(SECTION, table) == "No trained unit has finite weights: the members diverged."
    assert SECTION.content(table, {}).rows[0][2:] == ["none"] * 4


def test_the_report_holds_the_section() -> None:
    """With its table and without a number that is none."""
    page = render_report(
        ReportContent({SECTION.name: pd.concat([units("trained", 0.4, 0.2), *scale()])}, {}, {}, {}),
        [SECTION],
        usual_seeds=8,
    )
    assert f'<section id="{SECTION.name}"' in page
    assert not re.search(r"\bnan\b", page)
