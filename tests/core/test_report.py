"""The report says what the tables say, escapes what data brings and needs nothing but itself."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

from mlp_core.errors import InputError
from mlp_core.experiments.sections import all_sections
from mlp_core.report.page import ReportContent, read_report_content, render_report
from mlp_core.report.png import figure_png

_SHARED = {"status": "ok", "learned": True, "seed": [11, 12, 13], "member": [0, 1, 2]}
SPREAD = (0.68, 0.70, 0.71, 0.72, 0.73, 0.74, 0.76, 0.77)


def _depth(
    shallow: Sequence[float] = (0.70, 0.71, 0.72), deep: Sequence[float] = (0.90, 0.91, 0.92), **changes: Any
) -> pd.DataFrame:
    rows = []
    for depth, width, parameters, accuracies in ((1, 14, 102, shallow), (3, 6, 130, deep)):
        rows.append(
            pd.DataFrame(
                {
                    "activation": "relu",
                    "depth": depth,
                    "width": width,
                    "parameters": parameters,
                    "epochs": 100,
                    "train_accuracy": accuracies,
                    "test_accuracy": accuracies,
                    "status": "ok",
                    "learned": np.array(accuracies) >= 0.3,
                    "seed": range(11, 11 + len(accuracies)),
                    "member": range(len(accuracies)),
                }
            )
        )
    return pd.concat(rows, ignore_index=True).assign(**changes)


def _images() -> pd.DataFrame:
    accuracies = [0.57, 0.58, 0.59]
    return pd.DataFrame(
        {
            "activation": "relu",
            "hidden_widths": "64-64-64",
            "parameters": 205187,
            "epochs": 30,
            "train_accuracy": accuracies,
            "test_accuracy": accuracies,
            **_SHARED,
        }
    )


def _gain() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "activation": "leaky_relu(0.1)",
            "distribution": "normal",
            "gain": [0.1, 1.4, 3.0],
            "theoretical_gain": 1.407,
            "epochs": 1,
            "seed": 11,
            "train_accuracy": [0.33, 0.55, None],
            "test_accuracy": [0.33, 0.52, None],
            "status": ["ok", "ok", "diverged"],
            "learned": [False, True, False],
        }
    )


def _page(tables: dict[str, pd.DataFrame], **parts: Any) -> str:
    content = {"figures": {}, "settings": {}, "provenance": {}, **parts}
    return render_report(ReportContent(tables, **content), all_sections(), usual_seeds=8).replace("\u00a0", " ")


def _cells(page: str) -> list[str]:
    return re.findall(r"<td[^>]*>([^<]*)</td>", page)


class _Tags(HTMLParser):
    """Collects tags with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a tag."""
        self.found.append((tag, dict(attrs)))


def _tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(page)
    return parser.found


def _depths(*rows: list[float]) -> pd.DataFrame:
    """Return a depth table of given test accuracies, a list for each depth, members of equal place with equal seeds."""
    part = {"activation": "relu", "width": 8, "parameters": 100, "epochs": 5, "train_accuracy": 0.5, "status": "ok"}
    parts = [
        pd.DataFrame({**part, "depth": depth, "test_accuracy": row, "seed": range(len(row)), "member": range(len(row))})
        for depth, row in enumerate(rows, 1)
    ]
    return pd.concat(parts, ignore_index=True).assign(learned=True)


def test_summary_has_medians_and_intervals() -> None:
    """The sentence is made from the numbers, with n and the interval at every median."""
    page = _page({"depth_sweep": _depth(SPREAD, (0.25, *(np.array(SPREAD[1:]) + 0.2)))})
    assert (
        "Best depth by median test accuracy: 3, 92.5 %, 95 % interval 25.0 to 97.0, n = 8; "
        "depth 1: 72.5 % (68.0 to 77.0, n = 8)."
    ) in page


def test_who_is_best_is_settled_in_pairs_not_by_overlapping_intervals() -> None:
    """Two depths whose intervals overlap widely are told apart by eight seeds that all say the same."""
    accuracies = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85]
    higher = [accuracy + 0.02 for accuracy in accuracies]
    page = _page({"depth_sweep": _depths(accuracies, higher)})
    assert "depth 1 is beaten (sign tests, corrected for one comparison each): depth 2 is the best." in page
    page = _page({"depth_sweep": _depths(accuracies, higher[::-1])})
    assert "these members do not settle which depth is best" in page


def test_three_seeds_settle_nothing() -> None:
    """Too few seeds are told how many it takes."""
    assert "3 seeds are too few to tell 2 configurations apart" in _page({"depth_sweep": _depth()})


def test_drawn_faces_are_named_in_titles_and_captions() -> None:
    """A section on drawn faces says so where it begins and under each figure; one on images does not."""
    figures = {"images_first_layer": figure_png(Figure(figsize=(1, 1)))}
    drawn = _page({"images": _images()}, settings={"images": {"images": "synthetic"}}, figures=figures)
    assert '<h2 id="images-title">Classifying images (here: drawn faces)</h2>' in drawn
    assert "so that brightness compares. On drawn faces.</figcaption>" in drawn
    real = _page({"images": _images()}, settings={"images": {"images": "animal-faces"}}, figures=figures)
    assert "drawn faces" not in real
    assert "A real data set" not in drawn + real


def test_who_never_learned_is_counted_with_an_interval() -> None:
    """One of eight that fails hardly moves the median, and stands in a column of its own; no mean stands anywhere."""
    page = _page({"depth_sweep": _depth(SPREAD, (0.25, *(np.array(SPREAD[1:]) + 0.2)))})
    assert "1 of 8 [0.3 to 52.7 %]" in _cells(page)
    assert "0 of 8 [0.0 to 36.9 %]" in _cells(page)
    assert "92.5 % [25.0 to 97.0]" in _cells(page)
    assert "84.7 %" not in page


def test_members_that_do_not_differ_have_no_interval() -> None:
    """Eight networks at chance do not prove that all networks are: no interval without width."""
    page = _page({"depth_sweep": _depth(SPREAD, (0.25,) * 8)})
    assert "25.0 %" in _cells(page)
    assert "25.0 to 25.0]" not in page
    assert "8 of 8 [63.1 to 100.0 %]" in _cells(page)


def test_tutorial_values_stand_beside_ours_and_are_named_one_seed() -> None:
    """Under the tutorial's own settings its single draw is a column, with its place among the members."""
    page = _page({"depth_sweep": _depth()})
    assert '<th scope="col">tutorial, one seed, 2021</th>' in page
    assert "81.5 % at depth 1 (3 of 3 members reached less), 89.9 % at depth 3 (0 of 3" in page


@pytest.mark.parametrize("changes", [{"epochs": 5}, {"activation": "tanh"}, {"width": 8}])
def test_tutorial_values_are_left_out_of_other_settings(changes: dict[str, Any]) -> None:
    """Nothing is compared with a tutorial that did something else."""
    assert '<th scope="col">tutorial' not in _page({"depth_sweep": _depth(**changes)})


def test_members_that_diverged_are_counted() -> None:
    """A configuration without a finished member has a count and no invented number."""
    page = _page({"gain_sweep": _gain()})
    assert "Of 3 members 1 diverged: the table counts them, medians leave them out." in page
    assert "1 of 1" in _cells(page)
    assert "none finished" in page
    assert not re.search(r"\bnan\b", page)


def test_one_member_or_equal_ones_have_no_range() -> None:
    """A range needs two ends."""
    cells = [_cells(_page({"depth_sweep": _depths(row)})) for row in ([0.5], [0.5, 0.5], [0.5, 0.6])]
    assert [row[-1].replace("\u00a0", " ") for row in cells] == ["one member", "all 50.0 %", "50.0 to 60.0 %"]


def test_experiment_in_which_all_members_diverged_is_reported() -> None:
    """Total failure is a result: the report says that no member finished."""
    failed = {"status": "diverged", "learned": False, "train_accuracy": None, "test_accuracy": None}
    tables = {"depth_sweep": _depth(), "images": _images(), "gain_sweep": _gain()}
    page = _page({name: table.assign(**failed) for name, table in tables.items()})
    assert page.count("o member finished") >= 3
    assert not re.search(r"\bnan\b", page)


def test_single_members_have_no_interval() -> None:
    """One member per gain gives medians without an interval, and no comparison."""
    page = _page({"gain_sweep": _gain()})
    assert "Best gain by median test accuracy: 1.4, 52.0 %, n = 1, no interval" in page
    assert "seeds are too few" not in page
    single_page, page = (_page({"images": _images().head(n)}) for n in (1, 3))
    assert "Train minus test: 0.0 percentage points" in single_page
    assert "Train minus test, median of the members: 0.0 percentage points" in page


def test_experiments_that_did_not_run_are_listed_with_their_command() -> None:
    """A partial run gives a report of what there is, and says what is missing and how to get it."""
    page = _page({"depth_sweep": _depth()})
    assert "not run yet: <code>deep-mlp gain-sweep</code>" in page
    assert "Why is there a best depth? not run yet: <code>deep-mlp depth-sweep --ablation</code>" in page
    assert 'id="gain_sweep"' not in page


def test_names_from_the_data_are_escaped() -> None:
    """A class, an activation or a file called like a tag stays text."""
    page = _page(
        {"depth_sweep": _depth(activation="<script>alert(1)</script>")},
        settings={"depth_sweep": {"class_names": ["<script>", "cat & dog"], "<b>": 1}},
        provenance={"depth_sweep": {"machine": "<img src=x>", "inputs": {"<script>.parquet": "ab"}}},
    )
    tags = [tag for tag, _ in _tags(page)]
    assert not {"script", "b", "img"} & set(tags)
    assert "&lt;script&gt;, cat &amp; dog" in page


def test_page_needs_no_script_and_no_other_file() -> None:
    """Everything that a browser loads by itself is inside the page."""
    png = figure_png(Figure(figsize=(1, 1)))
    tables = {"depth_sweep": _depth(), "images": _images(), "gain_sweep": _gain()}
    page = _page(tables, figures={"depth_sweep": png, "images_first_layer": png, "unknown": png})
    tags = _tags(page)
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert len(images) == 4  # each in its section and small on the poster
    assert all(str(image["src"]).startswith("data:image/png;base64,") and image["alt"] for image in images)
    assert not [tag for tag, _ in tags if tag in {"script", "iframe", "object"}]
    assert [attributes["href"] for tag, attributes in tags if tag == "link"] == ["data:,"]
    assert not re.search(r"url\(|@import", page)


def test_tutorial_material_is_linked_beside_its_results() -> None:
    """Slides, videos and papers are where their results are."""
    page = _page({"depth_sweep": _depth(), "images": _images(), "gain_sweep": _gain()})
    for identifier in (
        *(
            "ed65b",
            "g8JuGrNk9ag",
            "BV19f4y157vG",
            "3g_OJ6dYE8E",
            "BV1FL411n7SH",
            "ou35QzsKsdc",
            "BV1CP4y1s712",
        ),
        *(
            "2sEPw4sSfSw",
            "BV1Kb4y1r76G",
            "W0V2kwHSuUI",
            "BV1Qq4y1H7Px",
            "glorot10a",
            "d2l.ai",
            "deeplearning.ai",
        ),
        *("Arash Ash", "Surya Ganguli", "CC BY 4.0", "BSD 3-Clause"),
    ):
        assert identifier in page
    gains = page.split('<section id="gain_sweep"')[1].split("</section>")[0]
    assert "glorot10a" in gains
    assert "W0V2kwHSuUI" in gains


def test_shared_provenance_is_said_once_and_differences_apart() -> None:
    """What all tables share stands once; a table made by other code shows its own digest."""
    provenance = {
        "depth_sweep": {"code": "aaa1", "machine": "two cores"},
        "images": {"code": "bbb2", "machine": "two cores"},
    }
    page = _page({"depth_sweep": _depth(), "images": _images()}, provenance=provenance)
    facts, rest = page.split("</header>")
    assert "<dd>two cores</dd>" in facts
    assert [rest.count(text) for text in ("two cores", "aaa1", "bbb2")] == [1, 1, 1]


def test_report_without_a_known_table_is_the_users_error() -> None:
    """A report of nothing names the tables that it could show."""
    with pytest.raises(InputError, match=r"at least one of depth_sweep, .*, got \['other'\]"):
        _page({"other": _depth()})


def test_missing_column_is_named() -> None:
    """A table of another shape is refused with the column that it lacks."""
    with pytest.raises(InputError, match="columns width missing; run `deep-mlp depth-sweep` again"):
        _page({"depth_sweep": _depth().drop(columns="width")})


def _write(artifacts: Path) -> None:
    (artifacts / "results").mkdir(parents=True)
    (artifacts / "figures").mkdir()
    metadata = {
        b"settings": json.dumps({"root_seed": 2021, "optimizer": {"name": "adam"}}).encode(),
        b"code": b"c0de",
        b"inputs": json.dumps({"data/spirals.parquet": "d1ge57"}).encode(),
        b"versions": json.dumps({"torch": "2.14.1"}).encode(),
        b"machine": b"a processor, 2 cores",
    }
    table = pa.Table.from_pandas(_depth(), preserve_index=False).replace_schema_metadata(metadata)
    pq.write_table(table, artifacts / "results" / "depth_sweep.parquet")
    (artifacts / "figures" / "depth_sweep.png").write_bytes(figure_png(Figure(figsize=(1, 1))))


def test_artifact_folder_becomes_the_same_page_every_time(tmp_path: Path) -> None:
    """Settings, digests, versions and machine come from the files' metadata, and the bytes repeat."""
    _write(tmp_path)
    content = read_report_content(tmp_path, all_sections())
    page, again = (
        render_report(content, all_sections(), usual_seeds=8)
        for content in (content, read_report_content(tmp_path, all_sections()))
    )
    assert page == again
    for expected in ("c0de", "data/spirals.parquet", "d1ge57", "2.14.1", "a processor, 2 cores", "adam"):
        assert expected in page
    assert content.settings["depth_sweep"]["root_seed"] == 2021


def test_folder_without_results_says_what_to_run(tmp_path: Path) -> None:
    """An empty folder is answered with a command."""
    with pytest.raises(InputError, match="run an experiment such as `deep-mlp depth-sweep` first"):
        read_report_content(tmp_path, all_sections())


def test_damaged_result_is_named(tmp_path: Path) -> None:
    """A file that is no Parquet is refused by its name."""
    _write(tmp_path)
    (tmp_path / "results" / "images.parquet").write_bytes(b"half a file")
    with pytest.raises(InputError, match=r"images\.parquet must be a Parquet file of results"):
        read_report_content(tmp_path, all_sections())
