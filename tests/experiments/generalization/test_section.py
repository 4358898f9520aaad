"""The section on generalization: its sentences follow from the numbers, and change with them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from section_text import section_text

from mlp_core.experiments.generalization.section import SECTION
from mlp_core.report.page import ReportContent, render_report


def model_rows(model: str, inside: float, outside: float, **columns: Any) -> pd.DataFrame:
    """Return six members of a model."""
    spread = 0.002 * np.arange(6) - 0.0035
    return pd.DataFrame(
        {
            "model": model,
            "status": "ok",
            "test_accuracy": inside,
            "training": "as set",
            "learning_rate": 0.001,
            "inside_accuracy": inside + spread,
            "rim_accuracy": 0.4,
            "outside_accuracy": outside + spread * (outside > 0),
            "islands": 1.0 if model == "polynomial" else 0.0,
            "island_area": 0.5,
            "border_islands": 2.0 if model == "polynomial" else 0.0,
            "border_island_area": 0.25,
            "training_radius": 1.37,
            **columns,
        }
    )


def generalized(network_outside: float, parameters: int = 5310) -> pd.DataFrame:
    """Return a polynomial, a perceptron and the nearest neighbour."""
    return pd.concat(
        [
            model_rows("polynomial", 0.7, 0.0585, degree=50, parameters=5304),
            model_rows("mlp", 0.95, network_outside, depth=3, parameters=parameters),
            model_rows("nearest neighbour", 0.98, 0.0).head(1),
        ],
        ignore_index=True,
    )


def test_polynomial_and_perceptron_are_compared_outside() -> None:
    """The sentences give both accuracies outside, chance, and the islands of each."""
    text = section_text(SECTION, generalized(0.0), arms=4)
    assert (
        "beyond the last training point at radius 1.37, for 6.0 % (5.5 to 6.5, n = 6), where guessing gives 25 %"
        in text
    )
    assert "give or take 15 %, reach there at depth 3: 0.0 %" in text
    assert "less than guessing" in text
    assert "So is the answer of the nearest training point, 0.0 %" in text
    assert "polynomial, degree 50: 3.0; perceptron, depth 3: 0.0" in text


def test_a_perceptron_above_chance_is_not_called_worse_than_guessing() -> None:
    """The explanation of failure is said of failures only, the nearest neighbour's too."""
    right = generalized(0.0)
    right.loc[right["model"] == "nearest neighbour", "outside_accuracy"] = 0.9
    assert "less than guessing" in section_text(SECTION, right, arms=4)
    assert "nearest training point" not in section_text(SECTION, right, arms=4)
    assert "less than guessing" not in section_text(SECTION, generalized(0.5), arms=4)


def test_what_tuning_makes_of_wide_and_deep_is_said() -> None:
    """The tuned rows have rows and a sentence of their own, and are not taken for what the tutorial trained."""
    tuned = generalized(0.0).iloc[:-1].assign(training="tuned", learning_rate=0.01)
    tuned.loc[tuned["model"] == "polynomial", "test_accuracy"] = 0.95
    table = pd.concat([generalized(0.0), tuned], ignore_index=True)
    text = section_text(SECTION, table, arms=4)
    assert "reaches 70.0 %, n = 6, no interval as the settings have it and 95.0 %, n = 6, no interval with" in text
    assert "the perceptron, depth 3, tuned (rate 0.01), 95.0 %" in text
    assert text.count("depth 3: 0.0 %") == 1
    names = [row[0] for row in SECTION.content(table, {"arms": 4}).rows]
    assert "polynomial, degree 50, tuned (rate 0.01)" in names


def test_perceptrons_of_another_size_are_not_called_equal() -> None:
    """Without one of about as many parameters there is no comparison."""
    assert "give or take" not in section_text(SECTION, generalized(0.0, parameters=102), arms=4)
    diverged = generalized(0.0).assign(status="diverged")
    assert section_text(SECTION, diverged) == "Of no polynomial there is an accuracy outside the training region."


def test_members_that_diverged_have_no_numbers() -> None:
    """Where nobody finished the table says none."""
    missing = ["test_accuracy", "inside_accuracy", "rim_accuracy", "outside_accuracy", "islands", "island_area"]
    failed = generalized(0.0).assign(status="diverged", **dict.fromkeys([*missing, "border_islands"], np.nan))
    assert SECTION.content(failed, {}).rows[0][3:] == ["none"] * 6


def test_the_report_holds_the_section() -> None:
    """With its table and without a number that is none."""
    page = render_report(ReportContent({SECTION.name: generalized(0.0)}, {}, {}, {}), [SECTION], usual_seeds=8)
    assert f'<section id="{SECTION.name}"' in page
    assert not re.search(r"\bnan\b", page)
