"""Sections that hold theory against measurement: their sentences follow from the numbers, and change with them."""

import re

import numpy as np
import pandas as pd
import pytest

from mlp_core.experiments.phase.diagram import SCALES, predicted_scales
from mlp_core.experiments.phase.experiment import Phase
from mlp_core.report.page import ReportContent, render_report
from mlp_core.report.theory_report import PHASE, SIGNALS

GAINS, DEPTHS = (0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0), (2, 4, 8, 16, 32, 64)


def said(study, table, **settings):
    """Return all sentences of a section."""
    found = study.find(table, settings)
    assert all(len(row) == len(found.header) for row in found.rows)
    return " ".join([*found.summary, *found.reasons]).replace("\u00a0", " ")


def phase_table(limits, test_accuracy=0.5):
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


def signal_table(bias=1.0, members=5):
    """Return measurements that lie off the prediction by a factor, and scatter by 1 % around it."""
    rows = [
        {
            "activation": "tanh",
            "distribution": "normal",
            "inputs": inputs,
            "relative_gain": relative,
            "gain": 1.4 * relative,
            "layer": layer,
            "member": member,
            "seed": member,
            "mean_square": bias * (1 + 0.01 * (member - 2)),
            "correlation": 1 - 0.5 * bias * (1 + 0.01 * (member - 2)),
            "gradient_mean_square": (bias * relative * (1 + 0.01 * (member - 2))) ** (4 - layer),
            "predicted_mean_square": 1.0,
            "predicted_correlation": 0.5,
            "predicted_gradient_mean_square": relative ** (4 - layer),
            "status": "ok",
        }
        for inputs in ("gaussian", "photographs")
        for relative in (0.5, 1.0, 2.0)
        for member in range(members)
        for layer in range(1, 5)
    ]
    return pd.DataFrame(rows)


def test_depths_that_follow_the_gradient_are_said_to():
    """Where chaos stops earlier than six correlation scales, the gains are named and the other scale is preferred."""
    scales = predicted_scales("tanh", 64, np.array(GAINS))
    text = said(PHASE, phase_table(SCALES * scales.gradient), classes=3)
    assert text.startswith(
        "tanh networks of width 64 can be trained to at least 64 hidden layers at gain 1.2, to 4 layers at"
    )
    assert "at gain 0.6 and 8 layers at gain 3" in text
    assert "theory puts the line between order and chaos at 1.16" in text
    assert "6 gradient scales are within one step of the grid's depths at 7 of 7 gains." in text
    assert re.search(r"with a rank correlation of 0\.\d\d, and 6 gradient scales with 0\.9[5-9]", text)
    assert "do not settle which scale fits better" in text


def test_depths_that_do_not_follow_are_named():
    """A gain that is trainable far below or above its predicted depth is listed with the steps it is off."""
    scales = predicted_scales("tanh", 64, np.array(GAINS))
    limits = SCALES * scales.gradient
    limits[0], limits[3] = 32, 8
    text = said(PHASE, phase_table(limits), classes=3)
    assert "6 gradient scales are within one step of the grid's depths at 5 of 7 gains: at 1.2" in text
    assert "at 1.2 the measured depth lies 3 steps below; at 0.6 the measured depth lies 3 steps above." in text


def test_the_best_and_the_worst_of_the_trainable_are_told_apart():
    """A cell that is trained by heart is named with its train accuracy."""
    table = phase_table([4] * 7)
    table.loc[(table["gain"] == 3) & (table["depth"] == 4), "test_accuracy"] = 0.35
    table.loc[(table["gain"] == 1) & (table["depth"] == 2), "test_accuracy"] = 0.6
    text = said(PHASE, table, classes=3)
    assert (
        "from 60.0 % (2 layers, gain 1) down to 35.0 % (4 layers, gain 3), where mean train accuracy is 95.0 %" in text
    )


def test_the_table_has_a_row_for_each_gain():
    """Deepest trainable depth and both predictions, with none where nothing was trained."""
    table = phase_table([4, 16, 64, 64, 0, 16, 8])
    table.loc[table["gain"] == 1.5, ["train_accuracy", "test_accuracy", "status"]] = [np.nan, np.nan, "diverged"]
    found = PHASE.find(table, {"classes": 3, "examples": 512})
    assert [row[:3] for row in found.rows[:2]] == [["0.6", "order", "4"], ["0.8", "order", "16"]]
    scales = predicted_scales("tanh", 64, np.array([1.5]))
    predicted = [f"{SCALES * scales.correlation[0]:.1f}", f"{SCALES * scales.gradient[0]:.1f}"]
    assert found.rows[4] == ["1.5", "chaos", "none", *predicted, "", "", "12"]
    assert "on 512 training examples" in found.note


@pytest.mark.parametrize(
    ("status", "sentence"), [("ok", "No cell of the grid did better than chance."), ("diverged", "No member finished.")]
)
def test_nothing_learned_is_said(status, sentence):
    """A grid without a trainable cell has one sentence and no ranking."""
    table = phase_table([0] * 7).assign(status=status, train_accuracy=0.3 if status == "ok" else np.nan)
    assert said(PHASE, table, classes=3) == sentence


def test_agreement_is_counted():
    """On the prediction all are within three standard errors and 5 %; 10 % off, and scattering less, none is."""
    assert "Of 18 numbers in the table 18 lie within three standard errors of the theory and 18 within 5 %" in said(
        SIGNALS, signal_table()
    )
    text = said(SIGNALS, signal_table(bias=1.1))
    assert "Of 18 numbers in the table 0 lie within three standard errors of the theory and 0 within 5 %" in text


def test_the_gradients_factor_is_that_of_a_layer():
    """Gradients that double in each layer on the way back have the factor 2, measured and predicted."""
    text = said(SIGNALS, signal_table())
    assert "0.5 at gain 0.7 (order, theory 0.5); 1 at gain 1.4 (critical, theory 1); 2 at gain 2.8 (chaos" in text


def test_one_member_is_not_compared():
    """Without an interval nothing is said to agree."""
    text = said(SIGNALS, signal_table(members=1))
    assert "standard errors" not in text


def test_gains_stand_beside_pytorchs():
    """The second table has a row for each activation offered, with a word where PyTorch's gain differs."""
    (gains,) = SIGNALS.find(signal_table(), {}).further
    rows = {row[0]: row[1:] for row in gains.rows}
    assert rows["tanh"][:3] == ["1.593", "1.467", "1.667"]
    assert "above both" in rows["tanh"][3]
    assert rows["gelu"][2] == "none"
    assert set(rows) == {"relu", "leaky_relu(0.1)", "tanh", "sigmoid", "gelu", "erf", "selu"}


def test_both_sections_are_in_the_page():
    """The page holds both tables of the signals and the diagram's, each with its papers."""
    tables = {"signals": signal_table(), "phase": phase_table([4, 16, 64, 64, 32, 16, 8])}
    page = render_report(ReportContent(tables, {}, {"phase": {"classes": 3}}, {}))
    for name in tables:
        section = page.split(f'<section id="{name}"')[1].split("</section>")[0]
        assert "1606.05340" in section
        assert "1611.01232" in section
    assert page.count("torch.nn.init.calculate_gain") == 1
    assert "Gains that theory asks for" in page.split('<section id="signals"')[1].split("</section>")[0]


def test_a_smaller_run_says_so():
    """The notes name what the commands do by default, unless this run did as much."""
    assert "deep-mlp phase trains 15 gains by 11 depths." in PHASE.find(phase_table([4] * 7), {}).note
    assert SIGNALS.find(signal_table(), {"width": 300}).note.endswith("300 wide; deep-mlp signals takes 500.")
    assert "deep-mlp" not in SIGNALS.find(signal_table(), {"width": 500}).note
    gains, depths = Phase().gains, Phase().depths
    table = phase_table([4] * 7)
    rows = [table.iloc[[0]].assign(gain=gain, depth=depth) for gain in gains for depth in depths]
    assert "deep-mlp" not in PHASE.find(pd.concat(rows), {}).note
    wide = [table.iloc[[0]].assign(gain=gain, depth=depth) for gain in (*gains, 2 * max(gains)) for depth in depths[:2]]
    assert "deep-mlp phase trains 15 gains by 11 depths." in PHASE.find(pd.concat(wide), {}).note


def test_a_critical_gain_without_a_resting_length_is_said():
    """gelu without biases has a critical gain at which no length stays; tanh's is one to rest at."""
    text = said(SIGNALS, signal_table().assign(activation="gelu"), sigma_b=0.0)
    assert "At the critical gain a length of 0 would keep its gradients, but lengths near it move away." in text
    assert "move away" not in said(SIGNALS, signal_table(), sigma_b=0.3)
