"""Section of the report on the data: rows, classes, and what became of each column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mlp_core.report.section import ExtraTable, ReportFigure, Section, SectionContent
from mlp_core.statistics.wording import count

_MOST_ROWS = 20
_MOST_LETTERS = 120


def _content(table: pd.DataFrame, settings: Mapping[str, Any]) -> SectionContent:
    columns, classes = (table[table["item"] == item] for item in ("column", "class"))
    n_train, n_test = (int(classes[name].sum()) for name in ("train_rows", "test_rows"))
    n_inputs = int(columns["inputs"].sum())
    counts = classes["train_rows"] + classes["test_rows"]
    largest = int(counts.max())
    uses = columns["use"].value_counts()
    used = [f"{uses[use]} {use}" for use in ("standardised", "one-hot", "constant", "ignored") if uses.get(use)]
    summary = [
        f"{n_train + n_test:,} rows of {len(classes)} classes, {n_train:,} to train on and {n_test:,} to test on; "
        f"{n_inputs:,} input{'s' * (n_inputs != 1)}.",
        f"The largest class holds {100 * largest / (n_train + n_test):.1f} % of the rows: whoever always answers it is "
        "right so often.",
    ]
    details = []
    if used:
        constant = " Constant and ignored columns are left out." if {"constant", "ignored"} & set(uses.index) else ""
        details.append(f"Columns: {', '.join(used)}.{constant}")
    more = len(columns) - _MOST_ROWS
    further = ExtraTable(
        "Columns",
        ["column", "use", "inputs", "missing", "values"],
        [
            [_short(name), use, str(int(inputs)), str(int(missing)), _short(values)]
            for name, use, inputs, missing, values in columns[["name", "use", "inputs", "missing", "values"]]
            .head(_MOST_ROWS)
            .itertuples(index=False)
        ],
        "Standardised: minus the mean of the training rows, divided by their standard deviation. One-hot: an input of "
        "0 or 1 for each level of the training rows; any other value, and a missing one, has none."
        + (
            f" {count(more, 'more column')} {'is' if more == 1 else 'are'} in results/data.parquet." if more > 0 else ""
        ),
    )
    return SectionContent(
        summary,
        details,
        ["class", "to train on", "to test on", "share"],
        1,
        [
            [_short(name), f"{int(train):,}", f"{int(test):,}", f"{100 * (train + test) / (n_train + n_test):.1f} %"]
            for name, train, test in classes[["name", "train_rows", "test_rows"]].itertuples(index=False)
        ],
        "Rows of each class.",
        (further,),
    )


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"


SECTION = Section(
    name="data",
    command="deep-mlp data",
    title="The data",
    question="What is there to train on, what became of each column, and do the classes lie apart?",
    columns=("item", "name", "use", "inputs", "missing", "train_rows", "test_rows", "values"),
    figures=(
        ReportFigure(
            "data",
            "Every example a dot in the colour of its class: the two coordinates of points, or the first two principal "
            "components of a table's inputs.",
            "Scatter of the examples by class, those to train on as dots and those to test on as rings.",
        ),
    ),
    links=(),
    content=_content,
)
