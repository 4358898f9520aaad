"""The section on signals: its sentences follow from the numbers, and change with them."""

import pandas as pd
from section_text import section_text

from mlp_core.experiments.signal_propagation.section import SECTION
from mlp_core.report.page import ReportContent, render_report


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
        for inputs in ("gaussian", "images")
        for relative in (0.5, 1.0, 2.0)
        for member in range(members)
        for layer in range(1, 5)
    ]
    return pd.DataFrame(rows)


def test_agreement_is_counted():
    """On the prediction all are within three standard errors and 5 %; 10 % off, and scattering less, none is."""
    assert (
        "Of 18 numbers in the table 18 lie within three standard errors of the theory and 18 within 5 %"
        in section_text(SECTION, signal_table())
    )
    text = section_text(SECTION, signal_table(bias=1.1))
    assert "Of 18 numbers in the table 0 lie within three standard errors of the theory and 0 within 5 %" in text


def test_the_gradients_factor_is_that_of_a_layer():
    """Gradients that double in each layer on the way back have the factor 2, measured and predicted."""
    text = section_text(SECTION, signal_table())
    assert "0.5 at gain 0.7 (order, theory 0.5); 1 at gain 1.4 (critical, theory 1); 2 at gain 2.8 (chaos" in text


def test_one_member_is_not_compared():
    """Without an interval nothing is said to agree."""
    text = section_text(SECTION, signal_table(members=1))
    assert "standard errors" not in text


def test_gains_stand_beside_pytorchs():
    """The second table has a row for each activation offered, with a word where PyTorch's gain differs."""
    (gains,) = SECTION.content(signal_table(), {}).extra_tables
    rows = {row[0]: row[1:] for row in gains.rows}
    assert rows["tanh"][:3] == ["1.593", "1.467", "1.667"]
    assert "above both" in rows["tanh"][3]
    assert rows["gelu"][2] == "none"
    assert set(rows) == {"relu", "leaky_relu(0.1)", "tanh", "sigmoid", "gelu", "erf", "selu"}


def test_the_section_is_in_the_page():
    """The page holds both tables of the signals, with their papers."""
    page = render_report(ReportContent({"signal_propagation": signal_table()}, {}, {}, {}), [SECTION], usual_seeds=8)
    section = page.split('<section id="signal_propagation"')[1].split("</section>")[0]
    assert "1606.05340" in section
    assert "1611.01232" in section
    assert page.count("torch.nn.init.calculate_gain") == 1
    assert "Gains that theory asks for" in section


def test_a_smaller_run_says_so():
    """The note names what the command does by default, unless this run did as much."""
    assert SECTION.content(signal_table(), {"width": 300}).note.endswith(
        "300 wide; deep-mlp signal-propagation takes 500."
    )
    assert "deep-mlp" not in SECTION.content(signal_table(), {"width": 500}).note


def test_a_critical_gain_without_a_resting_length_is_said():
    """gelu without biases has a critical gain at which no length stays; tanh's is one to rest at."""
    text = section_text(SECTION, signal_table().assign(activation="gelu"), sigma_b=0.0)
    assert "At the critical gain a length of 0 would keep its gradients, but lengths near it move away." in text
    assert "move away" not in section_text(SECTION, signal_table(), sigma_b=0.3)
