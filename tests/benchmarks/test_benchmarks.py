"""The benchmark's arithmetic, and that its peer does our work; no time is compared here."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import GRID_SEARCH, OURS, TUTORIAL, Bench, Run
from benchmarks.report import Results
from benchmarks.whole import EMPTY_FLOW, FLOORS, PROGRAM, SWEEP, WHAT_IF
from benchmarks.work import Work, draw_images, forward_flops, gain_configs, images_configs, training_flops


@pytest.mark.parametrize("sizes", [(2, 14, 4), (3, 5, 7, 2), (1325, 4)])
def test_flops_are_those_that_pytorch_counts(sizes):
    """The formula gives the FLOPs of the forward and backward matrix products."""
    layers = [torch.nn.Linear(n_inputs, n_outputs, bias=False) for n_inputs, n_outputs in pairwise(sizes)]
    with FlopCounterMode(display=False) as forward:
        outputs = torch.nn.Sequential(*layers)(torch.ones(8, sizes[0]))
    with FlopCounterMode(display=False) as backward:
        outputs.sum().backward()
    assert 8 * forward_flops(sizes) == forward.get_total_flops()
    assert 8 * training_flops(sizes) == forward.get_total_flops() + backward.get_total_flops()


def test_a_method_without_ensembles_trains_single_models():
    """Its part of a sweep in one plan is a plan for each gain."""
    first, second, *_ = gain_configs(3)
    work = Work("gains", "two", (replace(first, gains=first.gains + second.gains),), n_members=4)
    assert work.n_models == 8
    assert work.alone().configs == (first, replace(first, gains=second.gains))
    assert replace(work, n_alone=1).alone().n_models == 1


def test_ratio_pairs_runs_of_a_repetition_and_counts_models():
    """Seconds are compared per model, repetition by repetition."""

    def run(method, repetition, seconds, models, accuracy=0.5):
        return Run("many", "net", method, repetition, seconds, models=models, members=models, accuracy=accuracy)

    runs = [run(OURS, 0, 10.0, 10), run(TUTORIAL, 0, 2.0, 1), run(OURS, 1, 20.0, 10), run(TUTORIAL, 1, 8.0, 1)]
    (ratio,) = Results(runs, {("many", "net", TUTORIAL): 3.5}).ratios()
    assert (ratio.values, ratio.median, ratio.floor) == ([2.0, 4.0], 3.0, 3.5)


def test_other_accuracies_are_noted():
    """Equal means pass and far ones are marked, however few models one side has."""
    accuracies = {OURS: (0.90, 0.91, 0.89, 0.90, 0.90), TUTORIAL: (0.93, 0.88, 0.90, 0.91, 0.86)}

    def table(shift):
        runs = [
            Run("small", "net", method, repetition, 1.0, gflop=1.0, accuracy=value + shift * (method == TUTORIAL))
            for method, values in accuracies.items()
            for repetition, value in enumerate(values)
        ]
        limits = [Run("limit", "product", "torch", 0, 1.0, threads=threads, gflop=1.0) for threads in range(1, 65)]
        return Results([*runs, *limits], {}).markdown(5, {})

    assert "differs" not in table(0.0)
    assert "differs" in table(-0.1)


def test_a_sweep_has_a_row_and_a_what_if_a_line():
    """A network of the grid search against one of the sweep's; what a run takes beyond an empty one."""
    runs = [
        Run("sweep", SWEEP, PROGRAM, 0, 100.0, models=8000, members=8, epochs=30, peak_mb=1200.0),
        Run("sweep", SWEEP, GRID_SEARCH, 0, 20.0, models=50, epochs=30),
        Run("what-if", WHAT_IF, EMPTY_FLOW, 0, 2.0),
        Run("what-if", WHAT_IF, PROGRAM, 0, 4.5),
        *(Run("limit", "product", "torch", 0, 1.0, threads=threads, gflop=1.0) for threads in range(1, 65)),
    ]
    results = Results(runs, FLOORS)
    (ratio,) = results.ratios()
    assert (ratio.method, ratio.values, ratio.floor) == (GRID_SEARCH, [32.0], 30)
    text = results.markdown(1, {})
    assert "The whole sweep: 100 s, peak memory 1200 MB." in text
    assert text.count("4.5 s; an empty flow run 2.0 s, so 2.5 s more.") == 1


@pytest.fixture(scope="module")
def bench():
    """Give the benchmark's processes: this one may hold what does not bear that the tutorial's loaders fork it."""
    with Bench() as bench:
        yield bench


@pytest.mark.parametrize(("plans", "learning_rate"), [(images_configs, 0.003), (gain_configs, 0.03)])
def test_the_tutorials_style_learns_what_we_learn(bench, plans, learning_rate, tmp_path):
    """From the same images both reach an accuracy well above chance, which is a third."""
    image_files = draw_images(tmp_path / "faces", n_train_per_class=200, n_test_per_class=100)
    plan = replace(plans(3)[0], epochs=4, gains=(1.4,), learning_rate=learning_rate)
    work = Work("images", "few", (plan,), 1, image_files)
    for method in (OURS, TUTORIAL):
        assert 0.45 < bench.run(work, method, 0).accuracy <= 1


def test_the_readme_says_what_was_measured():
    """Every row of its table is one of the benchmark's own table, with the same numbers."""
    root = Path(__file__).parents[2]
    section = (root / "docs/how-fast.md").read_text()
    quoted = [line.strip("| ").split(" | ") for line in section.splitlines() if "**" in line]
    lines = [line.strip("| ").split(" | ") for line in (root / "benchmarks/RESULTS.md").read_text().splitlines()]
    measured = [[f"{cells[0]}: {cells[1]}", *cells[2:6]] for cells in lines if len(cells) > 6]
    assert len(quoted) > 10
    assert [row for row in quoted if row not in measured] == []
