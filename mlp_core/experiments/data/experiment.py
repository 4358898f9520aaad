"""The data themselves: what a run of another command would train on, and an image of it. Nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlp_core.data.settings import DataSource
from mlp_core.experiments.interface import Experiment, Figure, Setup, Table

_MEASURES = "mlp_core.experiments.data.measures"


def _outputs(setup: Setup, models: Sequence[Any], data: Any) -> Iterator[Table | Figure]:
    settings = setup.table_settings()
    yield Table("results/data", f"{_MEASURES}:columns_table", (data,), settings, "describe the data")
    draw = "mlp_core.experiments.data.figures:data_figure"
    yield Figure("data", draw, (data,), prepare=f"{_MEASURES}:projected")


EXPERIMENT = Experiment(
    name="data",
    help="What there is to train on, and an image of it: what became of each column of a table, before any training.",
    settings=DataSource,
    parameter="source",
    run_name="",
    data=("spirals", "tables"),
    outputs=_outputs,
    smallest=DataSource(),
    section="mlp_core.experiments.data.section",
)
