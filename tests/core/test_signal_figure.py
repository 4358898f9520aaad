"""The figure of signals shows what its table says."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from drawn import count_bar_ends, texts

from mlp_core.report.signal_figure import signal_figure
from mlp_core.theory.predictions import predicted_signals
from mlp_core.theory.weight_scales import xavier_scale


def signal_table(members=4, relative_gains=(0.7, 1.0, 1.5), layers=6):
    """Return measurements a little around the prediction, more so the further the member is from the middle."""
    parts = []
    for inputs in ("gaussian", "images"):
        for relative in relative_gains:
            predicted = predicted_signals(xavier_scale([50] * (layers + 1), 1.4 * relative), "tanh", 0.3, (1, 1), 0.5)
            for member in range(members):
                factor = 1 + 0.1 * (member - (members - 1) / 2)
                columns = {
                    "activation": "tanh",
                    "distribution": "normal",
                    "inputs": inputs,
                    "relative_gain": relative,
                    "gain": 1.4 * relative,
                    "layer": range(1, layers + 1),
                    "member": member,
                    "status": "ok",
                }
                for name in ("mean_square", "correlation", "gradient_mean_square"):
                    values = getattr(predicted, name)
                    columns[name] = 1 - factor * (1 - values) if name == "correlation" else factor * values
                    columns[f"predicted_{name}"] = values
                parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


@cache
def usual_figure():
    """Return the figure of the table as it is; nobody changes it."""
    return signal_figure(signal_table())


def test_signals_are_dots_on_lines():
    """Each dot is the members' mean with its standard error, each line the prediction; of correlations 1 minus them."""
    table = signal_table()
    panels = usual_figure().axes
    assert len(panels) == 6
    assert all(axes.get_yscale() == "log" for axes in panels)
    for row, name in enumerate(("mean_square", "correlation", "gradient_mean_square")):
        rows = table[(table["inputs"] == "images") & (table["relative_gain"] == 0.7)]
        values = rows.pivot(index="layer", columns="member", values=name).to_numpy()
        predicted = rows.groupby("layer")[f"predicted_{name}"].first().to_numpy()
        if name == "correlation":
            values, predicted = 1 - values, 1 - predicted
        axes = panels[2 * row + 1]
        np.testing.assert_allclose(axes.lines[0].get_ydata(), predicted)
        line, _, (bars,) = axes.containers[0].lines
        np.testing.assert_allclose(line.get_ydata(), values.mean(1))
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        errors = values.std(1, ddof=1) / np.sqrt(values.shape[1])
        np.testing.assert_allclose(ends, np.stack([values.mean(1) - errors, values.mean(1) + errors], 1))


def test_signals_name_gains_and_n():
    """The legend says which gain is ordered, critical and chaotic; the title how many members a dot has."""
    text = texts(usual_figure())
    for expected in (
        "gain 0.98, order",
        "gain 1.4, critical",
        "gain 2.1, chaos",
        "n = 4 per dot",
        "mean ± standard error",
    ):
        assert expected in text


def test_one_network_has_no_standard_error():
    """A single member gets dots without bars, and the title says so."""
    figure = signal_figure(signal_table(members=1, relative_gains=(1.0,)))
    assert "one network each; lines" in texts(figure)
    assert count_bar_ends(figure) == 0


def test_dead_networks_are_left_out():
    """A correlation that is not there is a dot of the others; where there are none, the dot is missing."""
    table = signal_table()
    table.loc[(table["member"] == 0) & (table["layer"] > 3), ["correlation", "status"]] = [np.nan, "dead"]
    table.loc[table["layer"] == 6, "correlation"] = np.nan
    line = signal_figure(table).axes[2].containers[0].lines[0]
    assert np.isfinite(line.get_ydata()).tolist() == [True] * 5 + [False]


@pytest.mark.parametrize(("growth", "labels"), [(1.0, {"0.5", "1", "2"}), (1e3, {"$\\mathdefault{10^{0}}$"})])
def test_lengths_have_labels_on_their_axis(growth, labels):
    """Lengths that hardly differ are labelled at 1, 2 and 5, those that differ by decades at powers of ten."""
    table = signal_table(members=2)
    table["mean_square"] *= growth ** (table["layer"] / 3)
    figure = signal_figure(table)
    axes = figure.axes[0]
    low, high = axes.get_ylim()
    visible = {label.get_text() for label in axes.get_yticklabels() if low <= label.get_position()[1] <= high}
    assert labels <= visible


def test_one_layer_has_its_tick_and_no_other():
    """There is no layer 0.98."""
    figure = signal_figure(signal_table(layers=1))
    low, high = figure.axes[-1].get_xlim()
    assert [tick for tick in figure.axes[-1].get_xticks() if low < tick < high] == [1]
