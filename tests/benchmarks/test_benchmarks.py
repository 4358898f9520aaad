"""The benchmark's arithmetic, and that its peer does our work; no time is compared here."""

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from pages import WITHOUT_BROWSER
from torch.autograd.profiler import profile

from benchmarks.measure import CORES, GRID_SEARCH, OURS, TUTORIAL, Bench, Run
from benchmarks.play import AFTER, ANSWER, BEFORE, DROPPED, FIRST_MAP, MOST_SECONDS, TABS, measure_play
from benchmarks.report import Results
from benchmarks.whole import EMPTY_FLOW, FLOORS, PROGRAM, SWEEP, WHAT_IF, first_line
from benchmarks.work import Work, draw_images, forward_flops, gain_configs, images_configs, training_flops


@pytest.mark.parametrize("sizes", [(2, 14, 4), (3, 5, 7, 2), (1325, 4)])
def test_flops_are_those_that_pytorch_counts(sizes):
    """The formula gives the FLOPs of the forward and backward matrix products."""
    layers = [torch.nn.Linear(n_inputs, n_outputs, bias=False) for n_inputs, n_outputs in pairwise(sizes)]
    # `torch.utils.flop_counter` would import a second of modules
    with profile(record_shapes=True, with_flops=True) as forward:
        outputs = torch.nn.Sequential(*layers)(torch.ones(8, sizes[0]))
    with profile(record_shapes=True, with_flops=True) as backward:
        outputs.sum().backward()
    counted = [sum(event.flops or 0 for event in part.function_events) for part in (forward, backward)]
    assert [8 * forward_flops(sizes), 8 * training_flops(sizes)] == [counted[0], sum(counted)]


def test_a_peer_leaves_no_idle_process():
    """What a measured command started ends with the measurement, however long it would stay by itself."""
    started = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])"
    command = f"{started}; print('0.5', flush=True); import time; time.sleep(1000)"
    assert float(first_line([sys.executable, "-c", command])) == 0.5


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


def test_the_playground_has_a_table_of_its_own():
    """Medians, what they must not exceed, and memory before and after; without these runs there is none."""

    def run(work, repetition, seconds, peak_mb=0.0):
        return Run("play", work, PROGRAM, repetition, seconds, peak_mb=peak_mb)

    works = {FIRST_MAP: 0.3, ANSWER: 0.5, DROPPED: 0.01, TABS: 4.0}
    runs = [
        run(work, repetition, (1 + repetition) * seconds) for work, seconds in works.items() for repetition in (0, 1)
    ]
    lines = Results([*runs, run(BEFORE, 0, 0.0, 300.4), run(AFTER, 0, 60.0, 301.2)], {})._play_lines()
    assert lines[2] == f"| {FIRST_MAP} | 2 | **0.45** (0.3 to 0.6) | 0.2 (missed) |"
    assert lines[3] == f"| {ANSWER} | 2 | **0.75** (0.5 to 1) | 1.5 |"
    assert lines[5] == f"| {TABS} | 2 | **6** (4 to 8) |  |"
    assert lines[-1] == "Memory of `deep-mlp play` before 1,000 changes of a setting: 300 MB; after: 301 MB."
    assert Results([], {})._play_lines() == []


@pytest.mark.slow
@pytest.mark.skipif(WITHOUT_BROWSER, reason="no Chromium with its driver to measure in")
def test_the_playground_is_measured_through_a_browser(monkeypatch):
    """A few changes instead of a thousand; every number of the table is there."""
    for name, few in {"_CHANGES": 1, "_TABS": 2, "_MEMORY_CHANGES": 10}.items():
        monkeypatch.setattr(f"benchmarks.play.{name}", few)
    with Bench() as bench:
        measure_play(bench, 0)
        for threads in {1, CORES}:
            bench.keep(
                f"limit {threads}", Run("limit", "product", "matrix product", 0, 1.0, threads=threads, gflop=1.0)
            )
        runs = {run.work: run for run in bench.runs.values() if run.row == "play"}
        assert runs.keys() == {*MOST_SECONDS, TABS, BEFORE, AFTER}
        assert 0 < runs[FIRST_MAP].seconds <= runs[ANSWER].seconds
        assert min(runs[BEFORE].peak_mb, runs[AFTER].peak_mb) > 50
        assert min(run.seconds for run in runs.values()) > 0
        assert f"| {DROPPED} | 1 | **" in Results(bench.runs.values(), {}).markdown(1, {})


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


@pytest.fixture(scope="module")
def image_files(tmp_path_factory):
    """Give 600 training and 300 test images."""
    return draw_images(tmp_path_factory.mktemp("images") / "faces", n_train_per_class=200, n_test_per_class=100)


@pytest.mark.slow
@pytest.mark.parametrize(("plans", "learning_rate"), [(images_configs, 0.003), (gain_configs, 0.03)])
def test_the_tutorials_style_learns_what_we_learn(bench, image_files, plans, learning_rate):
    """From the same images both reach an accuracy well above chance, which is a third."""
    plan = replace(plans(3)[0], epochs=4, gains=(1.4,), learning_rate=learning_rate)
    work = Work("images", "few", (plan,), 1, image_files)
    for method in (OURS, TUTORIAL):
        assert 0.45 < bench.run(work, method, 0).accuracy <= 1


def test_the_readme_says_what_was_measured():
    """Every row of its tables is one of the benchmark's own, with the same numbers, or the same line."""
    root = Path(__file__).parents[2]
    section = (root / "docs/how-fast.md").read_text()
    lines = (root / "benchmarks/RESULTS.md").read_text().splitlines()
    quoted = [line for line in section.splitlines() if "**" in line and line not in lines]
    rows = [line.strip("| ").split(" | ") for line in quoted]
    measured = [
        [f"{cells[0]}: {cells[1]}", *cells[2:6]]
        for cells in (line.strip("| ").split(" | ") for line in lines)
        if len(cells) > 6
    ]
    assert len(rows) > 10
    assert [row for row in rows if row not in measured] == []
