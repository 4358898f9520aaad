"""The notebook: its text and its file are one, without results, and it runs."""

import re
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.fixture
def notebook():
    return jupytext.read(NOTEBOOKS / "deep_mlps.ipynb")


def test_the_text_and_the_file_are_one(notebook):
    text = jupytext.read(NOTEBOOKS / "deep_mlps.py")
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in text.cells
    ], "run make notebooks/deep_mlps.ipynb"


def test_it_holds_no_results(notebook):
    """They are made anew, by who opens it and by `make docs`."""
    assert [cell.outputs for cell in notebook.cells if cell.cell_type == "code" and cell.outputs] == []


@pytest.mark.slow
def test_it_runs_without_a_network_or_prefect(notebook, tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # whoever asks there is refused
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert "prefect" not in str([cell.source for cell in notebook.cells if cell.cell_type == "code"])
    # the last expression of a cell is shown: what matplotlib returns says nothing to a reader
    outputs = [
        output.data.get("text/plain", "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    assert [text for text in outputs if re.search(r"Text\(|np\.float64|<matplotlib|<function", text)] == []
