"""The data's page: names from somebody's file are shown as they are, never obeyed."""

import json
import re

import pyarrow as pa
from drawn import texts

from mlp_core.data.settings import DataSource
from mlp_core.data.tables import described, table_examples
from mlp_core.engine.tables import split_of
from mlp_core.experiments.data.figures import data_figure
from mlp_core.experiments.data.measures import columns_table, projected
from mlp_core.experiments.data.section import SECTION
from mlp_core.report.page import ReportContent, render_report

MARKUP, FORMULA = "<script>alert(1)</script>", "$\\frac{a}{"


def examples_of(columns, **source):
    """Return what the page is made from, as a task reads it."""
    examples = table_examples(pa.table(columns), DataSource(data="mine.csv", **source), 2021)
    data = examples.data
    inputs = [*data.train_inputs.tolist(), *data.test_inputs.tolist()]
    rows = {
        "features": pa.array(inputs, pa.list_(pa.float32(), len(inputs[0]))),
        "label": [*data.train_labels.tolist(), *data.test_labels.tolist()],
        "split": ["train"] * len(data.train_labels) + ["test"] * len(data.test_labels),
    }
    table = pa.table(rows).replace_schema_metadata({"settings": json.dumps(described(examples))})
    return split_of(table.to_batches())


def test_markup_and_formulas_in_names_are_text():
    """In the page and in the figure."""
    columns = {MARKUP: [1.5, 2.5, 0.5] * 10, "colour": [FORMULA, MARKUP] * 15, "kind": [MARKUP] * 15 + [FORMULA] * 15}
    data = examples_of(columns)
    figure = data_figure(*projected(data))
    figure.canvas.draw()
    assert FORMULA in texts(figure)
    table = columns_table(data)
    settings = {"data": MARKUP, "data_remarks": MARKUP, "seeds": 8}
    page = render_report(ReportContent({"data": table.to_pandas()}, {}, {"data": settings}, {}), [SECTION], 8)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 5


def test_the_page_counts_rows_inputs_and_columns():
    """Each column with what became of it, each class with its rows."""
    columns = {
        "size": [1.5, 2.5, 0.5] * 10,
        "age": ["old"] * 30,
        "colour": ["a", "b"] * 15,
        "kind": ["x"] * 10 + ["y"] * 20,
    }
    table = columns_table(examples_of(columns, ignore="colour")).to_pandas()
    findings = SECTION.content(table, {})
    assert findings.summary[0] == "30 rows of 2 classes, 24 to train on and 6 to test on; 1 input."
    assert findings.details == [
        "Columns: 1 standardised, 1 constant, 1 ignored. Constant and ignored columns are left out."
    ]
    assert findings.rows == [["x", "8", "2", "33.3 %"], ["y", "16", "4", "66.7 %"]]
    assert [(row[0], row[1]) for row in findings.extra_tables[0].rows] == [
        ("size", "standardised"),
        ("age", "constant"),
        ("colour", "ignored"),
        ("kind", "target"),
    ]
    assert re.fullmatch(r"mean [\d.]+, standard deviation [\d.]+", findings.extra_tables[0].rows[0][4])
