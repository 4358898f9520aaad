"""Tables and figures that several experiments make in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlp_core.experiments.interface import Figure, Setup, Table
from mlp_core.settings import Settings

_MEASURES = "mlp_core.experiments.measures"


def result_table(name: str, setup: Setup, models: Sequence[Any], *settings: Settings, **more: Any) -> Table:
    """Return the table of what all members reached."""
    table_settings = setup.table_settings(*settings, **more)
    return Table(f"results/{name}", f"{_MEASURES}:result_table", (models,), table_settings, f"summarize {name}")


def loss_figure(name: str, models: Sequence[Any]) -> Figure:
    """Return the figure of loss curves."""
    draw = "mlp_core.report.loss_curves:loss_curves_figure"
    return Figure(f"{name}_loss", draw, (models,), prepare=f"{_MEASURES}:loss_history")


def decision_map(models: Sequence[Any], data: Any, kind: str) -> Table:
    """Return the table of what the best member answers everywhere."""
    return Table(
        "tables/decision_map", f"{_MEASURES}:decision_map", (models, data, kind), title=f"map decisions {kind}"
    )


def map_figure(maps: Sequence[Table], data: Any, name: str = "decision_maps", panel: int | None = None) -> Figure:
    """Return the figure of decision maps side by side."""
    draw = "mlp_core.report.decision_maps:decision_maps_figure"
    return Figure(name, draw, (*maps, data), prepare=f"{_MEASURES}:map_panels", panel=panel)
