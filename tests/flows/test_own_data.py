"""A run on data of the user's own, from the file to the report."""

import json

import pyarrow.parquet as pq
import pytest

from mlp_core.data.preprocessing import Preprocessing
from mlp_core.data.settings import DataSource, Spirals
from mlp_core.data.tables import bundled_table


@pytest.fixture
def wine(tmp_path):
    """Write a table as a spreadsheet would, and return its path."""
    import pyarrow.csv

    table = bundled_table("wine")
    path = tmp_path / "wine.csv"
    pyarrow.csv.write_csv(table, path)
    return path


def test_a_table_is_trained_on_and_shown(run, wine, tmp_path):
    """What was learned lies with its rows; no claim of the tutorial is made; a file that was moved trains nothing."""
    source = DataSource(data=str(wine), split_seed=3)
    ended = run("depth_sweep", tmp_path / "artifacts", source=source, spirals=Spirals(), own_figures=True)
    assert ended.state.is_completed()
    folder = tmp_path / "artifacts"
    (rows,) = folder.glob("tables/rows-*.parquet")
    settings = json.loads(pq.read_schema(rows).metadata[b"settings"])
    assert len(Preprocessing.from_json(settings["preprocessing"]).inputs) == 13
    accuracies = pq.read_table(folder / "results/depth_sweep.parquet")
    shown_settings = json.loads(accuracies.schema.metadata[b"settings"])
    assert (
        shown_settings["data"],
        shown_settings["inputs"],
        shown_settings["classes"],
        shown_settings["split_seed"],
    ) == ("wine.csv", 13, 3, 3)
    assert pq.read_metadata(folder / "results/claims.parquet").num_rows == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Width against depth (here: wine.csv)" in page
    assert "The data (here: wine.csv)" in page
    moved = wine.rename(tmp_path / "same.csv")
    again = run("depth_sweep", folder, source=source.model_copy(update={"data": str(moved)}), spirals=Spirals())
    assert again.state.is_completed()
    assert not [name for name in again.tasks.get("Completed", []) if name.startswith(("train ", "read table"))]


@pytest.mark.thorough
def test_points_of_another_shape_are_trained_on(run, tmp_path):
    """Polynomial features of moons, with a map of what the model answers."""
    assert run("polynomial", tmp_path, source=DataSource(data="moons"), own_figures=True).state.is_completed()
    assert {path.stem for path in tmp_path.glob("figures/*")} == {"data", "decision_maps", "polynomial_loss"}
    assert list(tmp_path.glob("tables/moons-*.parquet"))
