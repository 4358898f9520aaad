"""What the report says of a sweep whose best configuration, price and causes are known."""

import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from drawn import texts

from mlp_core.experiments.sweep.analysis import sweep_results
from mlp_core.experiments.sweep.figures import (
    accuracy_figure,
    effects_figure,
    pairs_figure,
    scales_figure,
    variance_figure,
)
from mlp_core.experiments.sweep.section import SECTION

DEPTHS, RATES = (1, 2, 16), (0.001, 0.01)
SETTINGS = {
    "seed": 2021,
    "class_names": ["a", "b", "c", "d"],
    "levels": {"learning_rate": list(RATES), "depth": list(DEPTHS), "width": [8]},
    "yardsticks": {
        "majority class": {"train": 0.3, "validation": 0.3, "test": 0.3},
        "logistic regression": {"train": 0.9, "validation": 0.85, "test": 0.84},
    },
}


def table(reached, n=8, lost=()):
    """Return a result table: mean validation and test accuracy by depth and rate; members that diverged by number."""
    rows = []
    for number, (depth, rate) in enumerate(product(DEPTHS, RATES)):
        validation, test = reached[number]
        for seed in range(n):
            is_lost = (number, seed) in lost
            noise = np.sin(7 * number + 3 * seed) / 1000
            rows.append(
                {
                    "depth": depth, "width": 8, "activation": "tanh", "start": "theory", "learning_rate": rate,
                    "parameters": 100 * depth, "member": seed, "seed": 1000 + seed, "epochs": 30,
                    "status": "diverged" if is_lost else "ok", "learned": test > 0.35 and not is_lost,
                    "train_accuracy": np.nan if is_lost else test, "train_seconds": 0.01 * depth,
                    "validation_accuracy": np.nan if is_lost else validation + noise,
                    "test_accuracy": np.nan if is_lost else test + noise,
                    "theory_gain": 1.59, "xi_c": 2.0 if depth < 16 else 2.5,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


#           depth 1                    depth 2                     depth 16
REACHED = ((0.80, 0.79), (0.90, 0.87), (0.93, 0.90), (0.925, 0.901), (0.25, 0.25), (0.30, 0.30))


def findings(reached=REACHED, **options):
    return SECTION.content(table(reached, **options), SETTINGS)


def test_validation_chooses_and_test_reports():
    """The price is what validation promised too much; who is best on test examples does not matter."""
    content = findings()
    assert content.summary[0] == (
        "Chosen on validation examples (depth 2, learning rate 0.001): mean validation accuracy 93.0 %, mean test "
        "accuracy 90.0 %, n = 8; the price of having chosen among 6 is +3.0 points."
    )
    assert content.rows[0][:3] == ["2", "0.001", "1"]


def test_the_set_of_the_best_is_said():
    """A tenth of a point is not told apart, three points are."""
    content = findings()
    assert content.summary[1].startswith(
        "In pairs of equal seeds 2 of 6 configurations cannot be told from the chosen one"
    )
    assert [row[-1] for row in content.rows] == ["yes", "yes", "no", "no", "no", "no"]


def test_few_seeds_tell_nothing_apart():
    """And that is said."""
    assert findings(n=4).summary[1] == "4 seeds are too few to tell configurations apart: it takes 5."


@pytest.mark.parametrize(("test", "verdict"), [(0.9, "is more than"), (0.8, "is less than")])
def test_a_network_is_worth_it_or_not(test, verdict):
    """Compared with the best yardstick by validation, on test examples."""
    reached = [(validation, test) for validation, _ in REACHED]
    assert verdict in findings(tuple(reached)).details[0]
    assert "logistic regression: 84.0 %" in findings(tuple(reached)).details[0]


def test_few_seeds_do_not_say_whether_a_network_is_worth_it():
    """The median of five has no interval, so that five networks that are all better say nothing yet."""
    reached = [(validation, 0.9) for validation, _ in REACHED]
    assert "n = 5, no interval) cannot be told from that of" in findings(tuple(reached), n=5).details[0]
    assert "n = 6) is more than that of" in findings(tuple(reached), n=6).details[0]


def test_depth_explains_most_of_the_variance():
    """More than the rate, and seeds next to nothing."""
    content = findings()
    assert content.details[1].startswith("Of the variance of test accuracies depth 9")
    (shares,) = [table for table in content.extra_tables if table.title.startswith("What explains")]
    assert shares.rows[0][0] == "depth"
    assert sum(float(row[1].removesuffix(" %")) for row in shares.rows) == pytest.approx(100, abs=1)


def test_networks_beyond_six_scales_are_counted_with_their_failures():
    """16 layers of 2.5 each are beyond, and all 16 members failed there."""
    content = findings()
    assert content.details[2].startswith("2 configurations are deeper than 6 depth scales of their start: 16 of 16 [")
    assert content.details[3].startswith("4 configurations are not as deep: 0 of 32 [")


@pytest.mark.parametrize(
    ("n_beyond", "sentences"),
    [
        (0, ["No configuration is deeper than 6 depth scales of its start; 16 of 48"]),
        (1, ["One configuration is deeper than 6 depth scales", "5 configurations are not as deep"]),
    ],
)
def test_none_and_one_beyond_are_counted_as_words(n_beyond, sentences):
    """A sentence stands by itself where none is."""
    rows = table(REACHED)
    beyond = (rows["depth"] == 16) & (rows["learning_rate"] == 0.01) & (n_beyond > 0)
    details = SECTION.content(rows.assign(xi_c=np.where(beyond, 2.0, 100.0)), SETTINGS).details
    assert [re.split(" of their|:| \\[", text)[0] for text in details[2:]] == sentences


def test_a_member_that_diverges_counts_as_one_that_guesses():
    """The best of few that finish is not chosen before one whose members all do."""
    content = findings(lost=tuple((2, seed) for seed in range(4)))
    assert content.rows[0][:2] == ["2", "0.01"]
    lost = sweep_results(table(REACHED, lost=((2, 0),)), SETTINGS)
    assert lost.test[2, 0] == 0.25


def test_the_front_is_the_best_for_each_size():
    """A larger network that reaches less is not on it."""
    (front,) = [table for table in findings().extra_tables if table.title == "Best for their size"]
    assert [row[0] for row in front.rows] == ["100", "200"]


def test_every_figure_has_the_yardsticks_and_no_markup():
    """Lines at 84 %; a name that looks like mathematics is shown as it is."""
    rows = table(REACHED)
    for draw in (accuracy_figure, effects_figure, scales_figure):
        figure = draw(rows, SETTINGS)
        lines = [line.get_ydata()[0] for axes in figure.axes for line in axes.lines if len(line.get_ydata()) == 2]
        assert any(abs(height - 84.0) < 1e-9 for height in lines)
    for draw in (variance_figure, pairs_figure):
        assert draw(rows, SETTINGS).axes


def test_a_yardstick_far_below_does_not_press_the_others_together():
    """The legend has it, the axis begins near the lowest configuration; sizes are plain numbers."""
    reached = [(0.9, 0.9 - 0.01 * number) for number in range(6)]
    figure = accuracy_figure(table(reached), SETTINGS)
    assert "majority class 30.0 %, below" in texts(figure)
    assert {"200", "500", "1,000"} <= set(texts(figure).split("\n"))
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert 75 < low < 84 < 90 < high
        assert not any(abs(line.get_ydata()[0] - 30) < 1e-9 for line in axes.lines)
    assert figure.axes[1].get_xlabel() == "processor time of a training (ms), log scale"
    longer = accuracy_figure(table(reached).assign(train_seconds=2.0), SETTINGS)
    assert longer.axes[1].get_xlabel() == "processor time of a training (s), log scale"


def test_seeds_explain_no_more_than_everything():
    """What is taken off for chance may leave the settings less than nothing; words go from 0 to 100 %."""
    rows = table([(0.5, 0.5)] * 6)
    rows["test_accuracy"] = 0.5 + 0.1 * np.random.default_rng(3).normal(size=len(rows))
    results = sweep_results(rows, SETTINGS)
    assert results.shares.shares["seeds"].estimate > 1
    (sentence,) = [text for text in SECTION.content(rows, SETTINGS).details if "variance" in text]
    assert "100 % to seeds" in sentence


def test_each_class_has_its_accuracy_with_interval():
    """And says so where there is none."""
    known = {"class": "<b>cat</b>", "examples": 40, "n": 8, "median": 0.9, "low": 0.85, "high": 0.95}
    lost = {"class": "dog", "examples": 12, "n": 0, "median": None, "low": None, "high": None}
    content = SECTION.content(table(REACHED), {**SETTINGS, "class_accuracies": [known, lost]})
    (by_class,) = [table for table in content.extra_tables if table.title == "Accuracy per class"]
    rows = [[cell.replace("\u00a0", " ") for cell in row] for row in by_class.rows]
    assert rows == [["<b>cat</b>", "40", "8", "90.0 % [85.0 to 95.0]"], ["dog", "12", "0", "none"]]
