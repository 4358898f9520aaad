"""The page as a whole: what it is of, its first screen, sentences for none, one and two, another run next to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from mlp_core.artifacts.results import read_results
from mlp_core.artifacts.storage import Artifact, Provenance, write_table
from mlp_core.errors import InputError
from mlp_core.experiments.depth_sweep.figures import member_maps_figure
from mlp_core.experiments.depth_sweep.measures import evenly_spread
from mlp_core.experiments.depth_sweep.member_maps import MemberMaps
from mlp_core.experiments.sections import all_sections
from mlp_core.report.accuracy_section import ConfigurationAccuracy, best_in_short
from mlp_core.report.against import side_by_side
from mlp_core.report.page import ReportContent, read_report_content, render_report, report_sections
from mlp_core.report.png import LARGEST_SVG_BYTES, figure_files, figure_png
from mlp_core.statistics.intervals import median_interval
from tasks.run_record import RECORD, note_run


def depth_table(*accuracies: list[float], activation: str = "relu") -> pd.DataFrame:
    """Return a depth sweep: a list of test accuracies for each depth."""
    parts = [
        pd.DataFrame(
            {"activation": activation, "depth": depth, "width": 8, "parameters": 100, "member": range(len(row))}
        ).assign(seed=range(len(row)), epochs=5, status="ok", learned=True, train_accuracy=row, test_accuracy=row)
        for depth, row in enumerate(accuracies, 1)
    ]
    return pd.concat(parts, ignore_index=True)


def written(folder: Path, table: pd.DataFrame, **settings: Any) -> Path:
    """Write a folder with a depth sweep and its figure."""
    units = dict.fromkeys(table.columns, "1")
    provenance = Provenance({"seed": 1, "seeds": 8, **settings}, "c0de", units=units)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    write_table(folder, "results/depth_sweep.parquet", arrow, provenance)
    (folder / "figures").mkdir()
    (folder / "figures/depth_sweep.png").write_bytes(figure_png(Figure(figsize=(1, 1))))
    return folder


def page_of(content: ReportContent, **more: Any) -> str:
    page = render_report(content, all_sections(), usual_seeds=8, **more)
    return re.sub(r"\s+", " ", page.replace("\u00a0", " "))


def accuracies_of(*rows: list[float]) -> list[ConfigurationAccuracy]:
    def accuracy_of(depth: int, row: list[float]) -> ConfigurationAccuracy:
        values = pd.Series(row, range(len(row)), dtype=float)
        interval = median_interval(values.to_numpy())
        return ConfigurationAccuracy({"depth": depth}, interval, interval, interval, values, values, None)

    return [accuracy_of(depth, row) for depth, row in enumerate(rows, 1)]


NONE = float("nan")
RISING = [0.50, 0.52, 0.54, 0.56, 0.58, 0.60, 0.62, 0.64]


@pytest.mark.parametrize(
    ("rows", "sentences"),
    [
        ([[NONE], [NONE]], ["No network finished its training."]),
        ([[0.5]], ["Depth 1 gets 50 % of the test examples right."]),
        ([[0.5, 0.7]], ["Depth 1 gets 60 % of the test examples right, the median of 2 networks."]),
        (
            [[0.5], [0.7]],
            [
                "Depth 2 does best here: it gets 70 % of the test examples right.",
                "One seed cannot tell which depth is best.",
            ],
        ),
        (
            [[0.5, 0.5], [0.7, 0.7]],
            [
                "Depth 2 does best here: it gets 70 % of the test examples right, the median of 2 networks.",
                "2 seeds cannot tell which depth is best.",
            ],
        ),
        (
            [[0.5], [NONE]],
            ["Depth 1 does best: it gets 50 % of the test examples right.", "At no other depth did a network finish."],
        ),
        (
            [RISING, [accuracy + 0.1 for accuracy in RISING]],
            [
                "Depth 2 does best: it gets 67 % of the test examples right, the median of 8 networks.",
                "Seed by seed it beats every other depth.",
            ],
        ),
        (
            [RISING, RISING[::-1]],
            [
                "Depth 1 does best: it gets 57 % of the test examples right, the median of 8 networks.",
                "These seeds do not settle which depth is best.",
            ],
        ),
    ],
)
def test_the_short_answer_is_a_sentence_for_none_one_and_more(rows: list[list[float]], sentences: list[str]) -> None:
    """Two sentences at most, whatever finished."""
    assert best_in_short("depth", accuracies_of(*rows)) == sentences


def test_the_page_begins_with_what_it_is_of(tmp_path: Path) -> None:
    """Command, time, commit, machine, versions and members stand before everything else."""
    written(tmp_path, depth_table([0.5] * 8))
    artifact = Artifact.of(tmp_path, tmp_path / "results/depth_sweep.parquet")
    note_run(tmp_path, [artifact], "depth_sweep", {"run": {"seeds": 64}})
    first = pq.read_table(tmp_path / RECORD)
    head = page_of(read_report_content(tmp_path, all_sections())).split("</header>")[0]
    assert "<dd>deep-mlp depth-sweep --seeds 64</dd>" in head
    assert re.search(r"<time>20\d\d-\d\d-\d\d \d\d:\d\d UTC</time>", head)
    assert re.search(r"torch \d", head)
    assert "8 per configuration" in head
    note_run(tmp_path, [artifact], "tutorial", {})  # which finds it in the cache
    assert pq.read_table(tmp_path / RECORD).equals(first)


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_the_page_promises_what_its_seeds_can_hold(tmp_path: Path, n_seeds: int) -> None:
    """One network says nothing of chance; two do not say it well, but they are not one."""
    content = read_report_content(written(tmp_path, depth_table([0.5] * n_seeds), seeds=n_seeds), all_sections())
    head = page_of(content).split("</header>")[0]
    assert ("Here many networks answer" in head) is (n_seeds > 1)
    assert ("So does this report" in head) is (n_seeds == 1)


def test_a_folder_without_a_record_says_so(tmp_path: Path) -> None:
    """One of an earlier version."""
    head = page_of(read_report_content(written(tmp_path, depth_table([0.5])), all_sections())).split("</header>")[0]
    assert "<dt>command</dt><dd>not recorded</dd>" in head


def test_every_anchor_is_there_and_every_part_leads_back(tmp_path: Path) -> None:
    """The table of contents, the poster and the links to the top."""
    page = page_of(read_report_content(written(tmp_path, depth_table(RISING)), all_sections()))
    anchors, names = re.findall(r'href="#([^"]+)"', page), re.findall(r' id="([^"]+)"', page)
    assert set(anchors) <= set(names)
    assert len(names) == len(set(names))
    parts = page.count('class="part"')
    assert parts == page.count("to the top</a>") >= 4
    assert (
        '<h3><a href="#depth_sweep">Wide or deep?</a></h3> <a href="#figure-depth_sweep"><img class="thumbnail"' in page
    )


def test_numbers_are_folded_and_floats_short(tmp_path: Path) -> None:
    """The settings are no longer a list of sixteen digits, name seeds once, and have hyphens as the command has."""
    folder = written(tmp_path, depth_table(RISING), gains=[0.42222222222222217, -0.5])
    page = page_of(read_report_content(folder, all_sections()))
    settings = page.split("<summary>Settings</summary>")[1].split("</details>")[0]
    assert "<dd>0.422222, -0.5</dd>" in settings
    assert settings.count("<dt>seeds</dt>") == 1


def test_a_small_drawing_is_shown_as_svg_and_a_large_one_as_png(tmp_path: Path) -> None:
    """It stays sharp where that costs little."""
    figure = figure_files(Figure, (1, 1))
    assert figure.keys() == {"png", "svg"}
    assert figure["svg"] == figure_files(Figure, (1, 1))["svg"]
    folder = written(tmp_path, depth_table(RISING))
    (folder / "figures/depth_sweep.svg").write_bytes(figure["svg"])
    assert 'src="data:image/svg+xml;base64,' in page_of(read_report_content(folder, all_sections()))

    def large() -> Figure:
        drawn = Figure(figsize=(1, 1))
        n = LARGEST_SVG_BYTES // 30
        drawn.subplots().scatter(np.arange(n), np.arange(n), s=1)
        return drawn

    assert figure_files(large).keys() == {"png"}


def both(first: Path, second: Path) -> str:
    content = read_report_content(first, all_sections())
    sections = [
        report_sections(read_report_content(folder, all_sections()), all_sections()) for folder in (first, second)
    ]
    other = side_by_side("../other", read_results(second), read_results(first), *sections)
    return page_of(content, against=other).split('<section id="against"')[1].split("</section>")[0]


def test_another_run_stands_next_to_this_one_pair_by_pair(tmp_path: Path) -> None:
    """The settings that differ, both figures, and the median of the differences of equal seeds."""
    higher = [accuracy + 0.1 + 0.01 * place for place, accuracy in enumerate(RISING)]
    folders = (
        written(tmp_path / "a", depth_table(RISING, RISING), activation="relu"),
        written(tmp_path / "b", depth_table(higher, RISING[::-1], activation="tanh"), activation="tanh"),
    )
    text = both(*folders)
    assert "activation tanh → relu" in text
    assert text.count("<img ") == 2
    assert (
        "Of 2 configurations with pairs of equal seeds none is better here, one is worse and one is undecided." in text
    )
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", text)
    assert cells[0] == "depth 1"
    assert cells[1:3] == ["57.0 % [50.0 to 64.0]", "70.5 % [60.0 to 81.0]"]
    assert cells[3:5] == ["\u221213.5 [\u221217.0 to \u221210.0], n = 8", "worse"]


def test_equal_runs_are_told_as_equal(tmp_path: Path) -> None:
    """More seeds beside fewer: those that both have are the same networks, so that nothing is undecided."""
    folders = written(tmp_path / "a", depth_table(RISING)), written(tmp_path / "b", depth_table(RISING))
    text = both(*folders)
    assert "none is better here, none is worse, none is undecided and one is equal in every pair." in text
    assert re.findall(r"<td[^>]*>([^<]*)</td>", text)[3:5] == ["+0.0, n = 8", "equal in every pair"]


def test_runs_of_other_root_seeds_are_no_pairs(tmp_path: Path) -> None:
    """Nothing is subtracted that does not belong together."""
    folders = (
        written(tmp_path / "a", depth_table(RISING), seed=1),
        written(tmp_path / "b", depth_table(RISING), seed=2),
    )
    text = both(*folders)
    assert "The root seeds differ" in text
    assert "No configuration has pairs" in text


def test_a_folder_with_nothing_in_common_is_refused(tmp_path: Path) -> None:
    """In one sentence with the way out."""
    first = written(tmp_path / "a", depth_table(RISING))
    second = written(tmp_path / "b", depth_table(RISING))
    (second / "results/depth_sweep.parquet").rename(second / "results/polynomial.parquet")
    sections = report_sections(read_report_content(first, all_sections()), all_sections())
    with pytest.raises(InputError, match=r"^against must name a folder .*polynomial.*run the same command in both\.$"):
        side_by_side("b", read_results(second), read_results(first), sections, [])


@pytest.mark.parametrize(("n", "diverged"), [(0, 2), (1, 0), (2, 1), (8, 0), (64, 0)])
def test_every_member_has_a_map(n: int, diverged: int) -> None:
    """The best, the median and the worst are named, who diverged is counted."""
    accuracies = np.linspace(0.9, 0.5, n)
    median = float(np.median(accuracies)) if n else NONE
    middle = tuple(sorted({(n - 1) // 2, n // 2})) if n else ()
    classes = np.zeros((n, 6, 6), np.uint8)
    row = MemberMaps("3 hidden layers, 6 wide", classes, accuracies, median, middle, n, diverged)
    figure = member_maps_figure([row], np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1]))
    words = [text.get_text() for text in figure.findobj(Text)]
    assert sum(len(axes.images) for axes in figure.axes) == n
    named = next(text for text in words if text.startswith("3 hidden layers"))
    assert ("no member finished" in named) is (n == 0)
    assert ("best 90.0 %, median 70.0 %, worst 50.0 %" in named) is (n > 1)
    frames = sum(isinstance(patch, Rectangle) for axes in figure.axes for patch in axes.patches)
    assert frames == (2 if n > 2 else 0)
    assert (f"{diverged} diverged" in named) is (diverged > 0 and n > 0)


def test_of_very_many_members_the_outermost_and_the_middle_are_shown() -> None:
    """Evenly spread over the ranks."""
    places = evenly_spread(1000, 64)
    assert len(set(places.tolist())) == 64
    assert {0, 499, 500, 999} <= set(places.tolist())
