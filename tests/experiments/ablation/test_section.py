"""The section on the ablation: its sentences follow from the numbers, and change with them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from section_text import section_text

from mlp_core.errors import InputError
from mlp_core.experiments.ablation.claims import CLAIMS
from mlp_core.experiments.ablation.section import SECTION
from mlp_core.experiments.depth_sweep.section import SECTION as DEPTH_SWEEP
from mlp_core.report.page import ReportContent, render_report

MEMBERS = 12


STARTS = ("pytorch", "xavier", "xavier at the theoretical gain")


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
    text = section_text(SECTION, table)
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
    text = section_text(SECTION, explained({BASE: 0.2, ("relu", STARTS[2]): 0.19, ("tanh", STARTS[2]): 0.18}))
    assert "No start or activation tried takes away half of the decline in most seeds: with tanh" in text


def test_a_decline_in_between_is_not_settled() -> None:
    """Where the interval of the best intervention holds half of the decline, nothing is decided."""
    text = section_text(SECTION, explained({BASE: 0.2, ("tanh", STARTS[2]): 0.1}))
    assert "these members do not settle" in text


def test_without_a_decline_there_is_nothing_to_explain() -> None:
    """If the deepest network is best, or no worse than chance would have it, the section says so and no more."""
    assert "the deepest network, 5 layers, is the best" in section_text(SECTION, explained({BASE: -0.05}))
    noise = explained({BASE: 0.0001, ("tanh", STARTS[2]): 0.0})
    assert "do not show that it falls" in section_text(SECTION, noise)
    assert "of the decline" not in section_text(SECTION, noise)


@pytest.mark.parametrize(
    ("n_seeds", "status", "sentence"),
    [
        (1, "ok", "One seed does not show that accuracy falls from depth 3 to depth 5."),
        (2, "ok", "2 seeds do not show that accuracy falls from depth 3 to depth 5."),
        (2, "diverged", "No seed finished at depths 1 and 5: no decline to explain."),
    ],
)
def test_the_short_answer_counts_none_one_and_two_seeds(n_seeds: int, status: str, sentence: str) -> None:
    """In one plain sentence, without an interval."""
    table = explained({BASE: 0.2}).query("member < @n_seeds").assign(status=status)
    assert SECTION.content(table, {}).summary == [sentence]


def test_the_best_depth_is_the_posters() -> None:
    """Where one network failed the highest mean is elsewhere: all cards name the depth of the highest median."""
    table = explained({BASE: 0.2, ("tanh", STARTS[2]): 0.01})
    lost = (table["depth"] == 3) & (table["member"].isin([0, 1, 2, 3, 4])) & (table["activation"] == BASE[0])
    table.loc[lost, "test_accuracy"] = 0.25
    base = table[table["activation"] == BASE[0]]
    assert base.groupby("depth")["test_accuracy"].mean().idxmax() == 1
    assert "from depth 3 to depth 5" in SECTION.content(table, {}).summary[0]
    assert "decline, 3 to 5" in SECTION.content(table, {}).header
    swept = base.assign(parameters=100, train_accuracy=0.9)
    assert DEPTH_SWEEP.content(swept, {}).summary[0].startswith("Depth 3 does best")
    measures = [claim.measure for claim in CLAIMS[0].claims(pa.Table.from_pandas(table), {"epochs": 100})]
    assert len(measures) == 1
    assert "from depth 3, the one of highest median, to depth 5" in measures[0]


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
    text = section_text(SECTION, table)
    assert f"After 200 epochs instead of 100 the decline is {100 * decline:.1f} points" in text
    assert verdict in text


def test_members_that_never_learned_are_counted_with_their_dead_layers() -> None:
    """Failures, their dead layers and the decline without them stand in one sentence."""
    text = section_text(SECTION, explained({BASE: 0.2}, failed=3))
    assert "3 of 12 members of depth 5 never learned, 3 of them with all 4 units of a layer dead before" in text
    assert "which is the width's doing" in text
    assert "among the seeds whose deepest network learned the decline is 20.6 points" in text
    assert "At depth 5 every member learned something" in section_text(SECTION, explained({BASE: 0.2}))


def test_a_small_gradient_is_acquitted_only_by_members_that_learn_with_it() -> None:
    """An activation with as small a gradient and no failures is a counterexample; one that fails too is none."""
    table = explained({BASE: 0.2, ("gelu", "pytorch"): 0.1}, failed=8)
    assert "relu 1/10,000 (8 of 12 never learned), gelu 1/10,000 (0 of 12" in section_text(SECTION, table)
    assert "a small gradient alone does not keep them from it" in section_text(SECTION, table)
    assert "a small gradient alone" not in section_text(SECTION, explained({BASE: 0.2, ("gelu", "pytorch"): 0.1}))
    larger = table.assign(
        first_gradient_mean_square=np.where(table["activation"] == "gelu", 1.0, table["first_gradient_mean_square"])
    )
    assert "a small gradient alone" not in section_text(SECTION, larger)


def test_a_single_seed_or_failed_members_make_no_interval() -> None:
    """One member per configuration gives no verdict, and members that diverged no number."""
    table = explained({BASE: 0.2, ("tanh", STARTS[2]): 0.01})
    assert "do not show that it falls" in section_text(SECTION, table[table["member"] == 0])
    diverged = table.assign(status="diverged", test_accuracy=np.nan, learned=False)
    assert "nan" not in " ".join(cell for row in SECTION.content(diverged, {}).rows for cell in row)


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
    assert "In most seeds more than half of the decline goes with" in section_text(SECTION, alone)
    others = [intervention(activation, "pytorch", 0.19) for activation in ("tanh", "gelu", "erf", "selu")]
    text = section_text(SECTION, pd.concat([alone, *others], ignore_index=True))
    assert "these members do not settle" in text
    assert "with relu from Xavier's weights at gain 1 the decline is 6.0 points" in text


def test_the_report_holds_the_section() -> None:
    """With its table and without a number that is none."""
    page = render_report(
        ReportContent({SECTION.name: explained({BASE: 0.2, ("tanh", STARTS[2]): 0.01})}, {}, {}, {}),
        [SECTION],
        usual_seeds=8,
    )
    assert f'<section id="{SECTION.name}"' in page
    assert not re.search(r"\bnan\b", page)


def test_a_missing_column_is_named() -> None:
    """With the command that makes the table anew."""
    table = explained({BASE: 0.2}).drop(columns="learned")
    with pytest.raises(InputError, match=r"columns learned missing; run `deep-mlp depth-sweep --ablation` again"):
        render_report(ReportContent({SECTION.name: table}, {}, {}, {}), [SECTION], usual_seeds=8)
