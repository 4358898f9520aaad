"""The section on the phase diagram: its sentences follow from the numbers, and change with them."""

import re

import numpy as np
import pandas as pd
import pytest
from section_text import section_text

from mlp_core.experiments.phase_diagram.diagram import SCALES, predicted_scales
from mlp_core.experiments.phase_diagram.experiment import PhaseDiagramSettings
from mlp_core.experiments.phase_diagram.section import SECTION
from mlp_core.report.page import ReportContent, render_report
from tasks.stages import TUTORIAL, flow_parameters, stages_of

GAINS, DEPTHS = (0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0), (2, 4, 8, 16, 32, 64)


def phase_diagram_table(limits, test_accuracy=0.5):
    """Return two members per cell that learn at each gain up to a depth."""
    rows = [
        {
            "activation": "tanh",
            "depth": depth,
            "width": 64,
            "parameters": 1000,
            "gain": gain,
            "sigma_w": gain,
            "member": member,
            "seed": 100 + member,
            "epochs": 40,
            "train_accuracy": 0.95 if depth <= limit else 0.34,
            "test_accuracy": test_accuracy if depth <= limit else 0.33,
            "final_train_loss": 0.1,
            "status": "ok",
        }
        for gain, limit in zip(GAINS, limits, strict=True)
        for depth in DEPTHS
        for member in range(2)
    ]
    return pd.DataFrame(rows)


def test_depths_that_follow_the_gradient_are_said_to():
    """Where chaos stops earlier than six correlation scales, the gains are named and the other scale is preferred."""
    scales = predicted_scales("tanh", 64, np.array(GAINS))
    text = section_text(SECTION, phase_diagram_table(SCALES * scales.gradient), classes=3)
    assert text.startswith("The deepest networks that train have at least 64 layers, at gain 1.2. Theory puts the edge")
    assert "tanh networks of width 64 can be trained to at least 64 hidden layers at gain 1.2, to 4 layers at" in text
    assert "at gain 0.6 and 8 layers at gain 3" in text
    assert "theory puts the line between order and chaos at 1.16" in text
    assert "6 gradient scales are within one step of the grid's depths at 7 of 7 gains." in text
    assert re.search(r"with a rank correlation of 0\.\d\d, and 6 gradient scales with 0\.9[5-9]", text)
    assert "cannot settle which scale fits better" in text


def test_depths_that_do_not_follow_are_named():
    """A gain that is trainable far below or above its predicted depth is listed with the steps it is off."""
    scales = predicted_scales("tanh", 64, np.array(GAINS))
    limits = SCALES * scales.gradient
    limits[0], limits[3] = 32, 8
    text = section_text(SECTION, phase_diagram_table(limits), classes=3)
    assert "6 gradient scales are within one step of the grid's depths at 5 of 7 gains: at 1.2" in text
    table = phase_diagram_table(limits)
    assert "at 1 of 1 gain" in section_text(SECTION, table[table["gain"] == GAINS[2]], classes=3)
    assert "at 1.2 the measured depth lies 3 steps below; at 0.6 the measured depth lies 3 steps above." in text


def test_the_best_and_the_worst_of_the_trainable_are_told_apart():
    """A cell that is trained by heart is named with its train accuracy."""
    table = phase_diagram_table([4] * 7)
    table.loc[(table["gain"] == 3) & (table["depth"] == 4), "test_accuracy"] = 0.35
    table.loc[(table["gain"] == 1) & (table["depth"] == 2), "test_accuracy"] = 0.6
    text = section_text(SECTION, table, classes=3)
    assert (
        "from 60.0 % (2 layers, gain 1) down to 35.0 % (4 layers, gain 3), where median train accuracy is 95.0 %"
        in text
    )


@pytest.mark.parametrize(
    ("n_members", "n_apart", "sentence"),
    [
        (1, 0, "No cell has two members that finished: how far chance moves a cell is not seen here."),
        (2, 0, "Members of one cell do not differ in train accuracy."),
        (2, 1, "median of 42 cells, at most 61.0 (64 layers, gain 0.6); in one of them some train and others do not."),
        (2, 2, "median of 42 cells, at most 61.0 (64 layers, gain 0.6); in 2 of them some train and others do not."),
    ],
)
def test_how_far_members_of_a_cell_lie_apart_is_said(n_members, n_apart, sentence):
    """With cells of one member, and none, one or two cells in which only some train."""
    table = phase_diagram_table([4] * 7)
    first = (table["depth"] == 64) & (table["member"] == 1) & table["gain"].isin(GAINS[:n_apart])
    table.loc[first, "train_accuracy"] = 0.95
    text = section_text(SECTION, table[table["member"] < n_members], classes=3)
    assert sentence in text
    note = SECTION.content(table[table["member"] < n_members], {}).note
    assert ("1 member per cell" if n_members == 1 else "2 members per cell") in note
    # the first sentence is the poster's, which has no note; the value of one network is no median
    alone, median = ("; one network was trained in each cell." in text, "median t" in text or "median t" in note)
    assert (alone, median) == ((True, False) if n_members == 1 else (False, True))


def test_the_table_has_a_row_for_each_gain():
    """Deepest trainable depth and both predictions, with none where nothing was trained."""
    table = phase_diagram_table([4, 16, 64, 64, 0, 16, 8])
    table.loc[table["gain"] == 1.5, ["train_accuracy", "test_accuracy", "status"]] = [np.nan, np.nan, "diverged"]
    content = SECTION.content(table, {"classes": 3, "examples": 512})
    assert [row[:3] for row in content.rows[:2]] == [["0.6", "order", "4"], ["0.8", "order", "16"]]
    scales = predicted_scales("tanh", 64, np.array([1.5]))
    predicted = [f"{SCALES * scales.correlation[0]:.1f}", f"{SCALES * scales.gradient[0]:.1f}"]
    assert content.rows[4] == ["1.5", "chaos", "none", *predicted, "", "", "12"]
    assert "on 512 training examples" in content.note


@pytest.mark.parametrize(
    ("status", "sentence"), [("ok", "No cell of the grid did better than chance."), ("diverged", "No member finished.")]
)
def test_nothing_learned_is_said(status, sentence):
    """A grid without a trainable cell has one sentence and no ranking."""
    table = phase_diagram_table([0] * 7).assign(status=status, train_accuracy=0.3 if status == "ok" else np.nan)
    assert section_text(SECTION, table, classes=3) == sentence


def test_the_section_is_in_the_page():
    """The page holds the diagram's table, with its papers."""
    tables = {"phase_diagram": phase_diagram_table([4, 16, 64, 64, 32, 16, 8])}
    page = render_report(ReportContent(tables, {}, {"phase_diagram": {"classes": 3}}, {}), [SECTION], usual_seeds=8)
    section = page.split('<section id="phase_diagram"')[1].split("</section>")[0]
    assert "1606.05340" in section
    assert "1611.01232" in section


def test_a_smaller_run_says_so():
    """The note names what the command does by default, unless this run did as much."""
    assert (
        "deep-mlp phase-diagram trains 15 gains by 11 depths." in SECTION.content(phase_diagram_table([4] * 7), {}).note
    )
    gains, depths = PhaseDiagramSettings().gains, PhaseDiagramSettings().depths
    table = phase_diagram_table([4] * 7)
    rows = [table.iloc[[0]].assign(gain=gain, depth=depth) for gain in gains for depth in depths]
    assert "deep-mlp" not in SECTION.content(pd.concat(rows), {}).note
    wide = [table.iloc[[0]].assign(gain=gain, depth=depth) for gain in (*gains, 2 * max(gains)) for depth in depths[:2]]
    assert "deep-mlp phase-diagram trains 15 gains by 11 depths." in SECTION.content(pd.concat(wide), {}).note


@pytest.mark.parametrize(("seeds", "members"), [(2, 1), (8, 1), (63, 1), (64, 2), (256, 8)])
def test_a_tutorial_of_many_seeds_has_several_members_a_cell(seeds, members):
    """One for each 32 seeds of the run, and never none; its own command has as many as it is asked for."""
    for flow, expected in ((TUTORIAL, members), ("phase_diagram", seeds)):
        parameters = flow_parameters(flow)
        parameters["run"] = parameters["run"].model_copy(update={"seeds": seeds})
        (stage,) = (stage for stage in stages_of(flow, parameters) if stage.experiment.name == "phase_diagram")
        assert stage.setup.n_seeds == expected
