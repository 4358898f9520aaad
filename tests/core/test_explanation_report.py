"""Sections that look for reasons: their sentences follow from the numbers, and change with them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlp_core.report.explanation_report import EXPLANATION, FEATURES, GENERALIZATION
from mlp_core.report.findings import Study
from mlp_core.report.page import ReportContent, render_report

MEMBERS = 12
STARTS = ("pytorch", "xavier", "xavier at the theoretical gain")


def said(study: Study, table: pd.DataFrame, **settings: Any) -> str:
    """Return all sentences of a section."""
    found = study.find(table, settings)
    assert all(len(row) == len(found.header) for row in found.rows)
    return " ".join([*found.summary, *found.reasons]).replace("\u00a0", " ")


def intervention(activation: str, start: str, decline: float, *, epochs: int = 100, failed: int = 0) -> pd.DataFrame:
    """Return rows of depths 1, 3 and 5: 0.7, 0.9 and less by a decline, members a little apart; some never learned."""
    parts = []
    for depth, accuracy in ((1, 0.7), (3, 0.9), (5, 0.9 - decline)):
        spread = 0.002 * (np.arange(MEMBERS) - (MEMBERS - 1) / 2)
        lost = (np.arange(MEMBERS) < failed) & (depth == 5)
        parts.append(
            pd.DataFrame(
                {
                    "activation": activation,
                    "initialization": start,
                    "depth": depth,
                    "width": 9 - depth,
                    "member": range(MEMBERS),
                    "seed": range(100, 100 + MEMBERS),
                    "epochs": epochs,
                    "test_accuracy": np.where(lost, 0.25, accuracy + spread * (1 if depth == 3 else -1)),
                    "status": "ok",
                    "dead_share": 0.3 if activation == "relu" else np.nan,
                    "dead_layers": np.where(lost, 1.0, 0.0) if activation == "relu" else np.nan,
                    "first_gradient_mean_square": 10.0**-depth,
                    "learned": ~lost,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def explained(declines: dict[tuple[str, str], float], **base: Any) -> pd.DataFrame:
    """Return the table of interventions with these declines; the first one may have more arguments."""
    parts = [
        intervention(activation, start, decline, **(base if place == 0 else {}))
        for place, ((activation, start), decline) in enumerate(declines.items())
    ]
    return pd.concat(parts, ignore_index=True)


BASE = ("relu", "pytorch")


def test_a_decline_that_a_better_start_takes_away_is_the_starts() -> None:
    """With 20 points lost by default and 1 with tanh and a better start, the verdict names the start."""
    table = explained({BASE: 0.2, ("relu", STARTS[2]): 0.12, ("tanh", "pytorch"): 0.1, ("tanh", STARTS[2]): 0.01})
    text = said(EXPLANATION, table)
    assert "falls from 90.0 % at depth 3 to 70.0 % at depth 5, in the median of the seeds by 20.0 points (" in text
    assert (
        "more than half of the decline goes with another start or activation: with tanh from Xavier's weights at the"
        in text
    )
    assert "(the best of 3 tried, corrected for that)" in text
    assert "this does not tell depth from width" in text
    assert "With another start alone the decline is 12.0 points" in text
    assert "8.0 points" in text.split("With another start alone")[1]
    assert "With another activation alone it is 10.0 points" in text


def test_a_decline_that_stays_is_depths_own() -> None:
    """If no intervention takes away half of it, the verdict is the other one."""
    text = said(EXPLANATION, explained({BASE: 0.2, ("relu", STARTS[2]): 0.19, ("tanh", STARTS[2]): 0.18}))
    assert "No start or activation tried takes away half of the decline in most seeds: with tanh" in text


def test_a_decline_in_between_is_not_settled() -> None:
    """Where the interval of the best intervention holds half of the decline, nothing is decided."""
    text = said(EXPLANATION, explained({BASE: 0.2, ("tanh", STARTS[2]): 0.1}))
    assert "these members do not settle" in text


def test_without_a_decline_there_is_nothing_to_explain() -> None:
    """If the deepest network is best, or no worse than chance would have it, the section says so and no more."""
    assert "the deepest network, 5 layers, is the best" in said(EXPLANATION, explained({BASE: -0.05}))
    noise = explained({BASE: 0.0001, ("tanh", STARTS[2]): 0.0})
    assert "do not show that it falls" in said(EXPLANATION, noise)
    assert "of the decline" not in said(EXPLANATION, noise)


@pytest.mark.parametrize(
    ("decline", "verdict"),
    [
        (0.18, "slow learning is not what carries it"),
        (0.02, "most of it was slow learning"),
        (0.1, "do not tell how much of it was slow learning"),
    ],
)
def test_longer_training_says_whether_learning_was_slow(decline: float, verdict: str) -> None:
    """What is left after more epochs decides."""
    table = pd.concat([explained({BASE: 0.2}), intervention(*BASE, decline, epochs=200)])
    text = said(EXPLANATION, table)
    assert f"After 200 epochs instead of 100 the decline is {100 * decline:.1f} points" in text
    assert verdict in text


def test_members_that_never_learned_are_counted_with_their_dead_layers() -> None:
    """Failures, their dead layers and the decline without them stand in one sentence."""
    text = said(EXPLANATION, explained({BASE: 0.2}, failed=3))
    assert "Of 12 members of depth 5 3 never learned, 3 of them with all 4 units of a layer dead before" in text
    assert "which is the width's doing" in text
    assert "among the seeds whose deepest network learned the decline is 20.6 points" in text
    assert "All 12 members of depth 5 learned something" in said(EXPLANATION, explained({BASE: 0.2}))


def test_a_small_gradient_is_acquitted_only_by_members_that_learn_with_it() -> None:
    """An activation with as small a gradient and no failures is a counterexample; one that fails too is none."""
    table = explained({BASE: 0.2, ("gelu", "pytorch"): 0.1}, failed=8)
    assert "relu 1/10,000 (8 of 12 never learned), gelu 1/10,000 (0 of 12" in said(EXPLANATION, table)
    assert "a small gradient alone does not keep them from it" in said(EXPLANATION, table)
    assert "a small gradient alone" not in said(EXPLANATION, explained({BASE: 0.2, ("gelu", "pytorch"): 0.1}))
    larger = table.assign(
        first_gradient_mean_square=np.where(table["activation"] == "gelu", 1.0, table["first_gradient_mean_square"])
    )
    assert "a small gradient alone" not in said(EXPLANATION, larger)


def test_a_single_seed_or_failed_members_make_no_interval() -> None:
    """One member per configuration gives no verdict, and members that diverged no number."""
    table = explained({BASE: 0.2, ("tanh", STARTS[2]): 0.01})
    assert "do not show that it falls" in said(EXPLANATION, table[table["member"] == 0])
    diverged = table.assign(status="diverged", test_accuracy=np.nan, learned=False)
    assert "nan" not in " ".join(cell for row in EXPLANATION.find(diverged, {}).rows for cell in row)


def scattered(decline: float, spread: float, start: str) -> pd.DataFrame:
    """Return an intervention whose members' declines scatter evenly by so much around their mean."""
    rows = intervention("relu", start, decline)
    deepest = rows["depth"] == 5
    steps = np.linspace(-spread, spread, MEMBERS)
    rows.loc[deepest, "test_accuracy"] = (rows.loc[rows["depth"] == 3, "test_accuracy"] - decline).to_numpy() + steps
    return rows


def test_the_best_of_many_starts_needs_more_than_one_alone() -> None:
    """A start that would settle it alone does not when it is the best of five: chance had five tries."""
    base, start = intervention(*BASE, 0.2), scattered(0.06, 0.045, STARTS[1])  # 10 of 12 seeds lose less than half
    alone = pd.concat([base, start], ignore_index=True)
    assert "In most seeds more than half of the decline goes with" in said(EXPLANATION, alone)
    others = [intervention(activation, "pytorch", 0.19) for activation in ("tanh", "gelu", "erf", "selu")]
    text = said(EXPLANATION, pd.concat([alone, *others], ignore_index=True))
    assert "these members do not settle" in text
    assert "with relu from Xavier's weights at gain 1 the decline is 6.0 points" in text


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
    text = said(GENERALIZATION, generalized(0.0), arms=4)
    assert (
        "beyond the last training point at radius 1.37, for 6.0 % (5.5 to 6.5, n = 6), where guessing gives 25 %"
        in text
    )
    assert "give or take 15 %, reach there at depth 3: 0.0 %" in text
    assert "less than guessing" in text
    assert "So is the answer of the nearest training point, 0.0 %" in text
    assert "polynomial, degree 50 3.0; perceptron, depth 3 0.0" in text


def test_a_perceptron_above_chance_is_not_called_worse_than_guessing() -> None:
    """The explanation of failure is said of failures only, the nearest neighbour's too."""
    right = generalized(0.0)
    right.loc[right["model"] == "nearest neighbour", "outside_accuracy"] = 0.9
    assert "less than guessing" in said(GENERALIZATION, right, arms=4)
    assert "nearest training point" not in said(GENERALIZATION, right, arms=4)
    assert "less than guessing" not in said(GENERALIZATION, generalized(0.5), arms=4)


def test_what_tuning_makes_of_wide_and_deep_is_said() -> None:
    """The tuned rows have rows and a sentence of their own, and are not taken for what the tutorial trained."""
    tuned = generalized(0.0).iloc[:-1].assign(training="tuned", learning_rate=0.01)
    tuned.loc[tuned["model"] == "polynomial", "test_accuracy"] = 0.95
    table = pd.concat([generalized(0.0), tuned], ignore_index=True)
    text = said(GENERALIZATION, table, arms=4)
    assert "reaches 70.0 %, n = 6, no interval as the settings have it and 95.0 %, n = 6, no interval with" in text
    assert "the perceptron, depth 3, tuned (rate 0.01), 95.0 %" in text
    assert text.count("depth 3: 0.0 %") == 1
    names = [row[0] for row in GENERALIZATION.find(table, {"arms": 4}).rows]
    assert "polynomial, degree 50, tuned (rate 0.01)" in names


def test_perceptrons_of_another_size_are_not_called_equal() -> None:
    """Without one of about as many parameters there is no comparison."""
    assert "give or take" not in said(GENERALIZATION, generalized(0.0, parameters=102), arms=4)
    diverged = generalized(0.0).assign(status="diverged")
    assert said(GENERALIZATION, diverged) == "Of no polynomial there is an accuracy outside the training region."


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
    faces = [units(kind, ratio, 0.9, depth=None) for kind, ratio in (("template", 0.3), ("photograph", 0.35))]
    return [units("random", 0.4, 0.02), units("gabor", 0.09, 0.03, depth=None), *faces]


def test_extent_stands_between_filters_and_whole_faces() -> None:
    """The sentence gives the ends of the scale with the units, and units as local as a filter are counted."""
    text = said(FEATURES, pd.concat([units("trained", 0.32, 0.2), *scale()], ignore_index=True))
    assert "0.322 at depth 3; that of edge filters is 0.092, of templates of whole faces 0.302" in text
    assert "of single photographs 0.352, and of the units before training 0.402" in text
    assert "0 of 15 units are as local as the widest edge filter" in text
    assert "is 0.200 at depth 3, against 0.020 before training" in text
    local = said(FEATURES, pd.concat([units("trained", 0.0915, 0.2), *scale()], ignore_index=True))
    assert "9 of 15 units are as local as the widest edge filter" in local


def test_members_that_diverged_have_no_numbers() -> None:
    """Where nobody finished the tables say none, and the sentences say why."""
    missing = ["test_accuracy", "inside_accuracy", "rim_accuracy", "outside_accuracy", "islands", "island_area"]
    failed = generalized(0.0).assign(status="diverged", **dict.fromkeys([*missing, "border_islands"], np.nan))
    cells = GENERALIZATION.find(failed, {}).rows[0]
    assert cells[3:] == ["none"] * 6
    measures = ["extent", "participation_ratio", "class_cosine", "spatial_frequency"]
    trained = units("trained", 0.4, 0.2).assign(**dict.fromkeys(measures, np.nan))
    table = pd.concat([trained, *scale()])
    assert said(FEATURES, table) == "No trained unit has finite weights: the members diverged."
    assert FEATURES.find(table, {}).rows[0][2:] == ["none"] * 4


def test_the_report_holds_the_sections() -> None:
    """Each study is a section of the page, with its table; one that lacks a column is refused by name."""
    tables = {
        "explain": explained({BASE: 0.2, ("tanh", STARTS[2]): 0.01}),
        "generalization": generalized(0.0),
        "features": pd.concat([units("trained", 0.4, 0.2), *scale()]),
    }
    page = render_report(ReportContent(tables, {}, {}, {}))
    for name in tables:
        assert f'<section id="{name}"' in page
    assert not re.search(r"\bnan\b", page)
    with pytest.raises(ValueError, match=r"columns learned missing; run `deep-mlp depth-sweep --explain` again"):
        render_report(ReportContent({"explain": tables["explain"].drop(columns="learned")}, {}, {}, {}))
