"""Tables and figures that several experiments make in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlp_core.experiments.interface import Figure, Setup, Table
from mlp_core.settings import Settings

_MEASURES = "mlp_core.experiments.measures"


def result_table(name: str, setup: Setup, models: Sequence[Any], *settings: Settings, **more: Any) -> Table:
    """Describe the result table of an experiment that measures only accuracies: a row per member.

    Args:
        name: The table is `results/NAME`.
        setup: What the experiment gets from the run.
        models: The trained configurations.
        settings: Groups of settings for the table's metadata.
        more: Single values for the metadata.
    """
    table_settings = setup.table_settings(*settings, **more)
    return Table(f"results/{name}", f"{_MEASURES}:result_table", (models,), table_settings, f"summarize {name}")


def loss_figure(name: str, models: Sequence[Any]) -> Figure:
    """Describe the figure `NAME_loss`: train loss against epoch for each configuration."""
    draw = "mlp_core.report.loss_curves:loss_curves_figure"
    return Figure(f"{name}_loss", draw, (models,), prepare=f"{_MEASURES}:loss_history")


def decision_map(models: Sequence[Any], data: Any, kind: str) -> Table:
    """Describe the table with the decision map of the best member of some configurations.

    Args:
        models: The trained configurations.
        data: The points they were trained on.
        kind: Kind of the models in words, for the map's title.
    """
    return Table(
        "tables/decision_map", f"{_MEASURES}:decision_map", (models, data, kind), title=f"map decisions {kind}"
    )


def map_figure(maps: Sequence[Table], data: Any, name: str = "decision_maps", panel: int | None = None) -> Figure:
    """Describe the figure of decision maps side by side.

    Args:
        maps: Descriptions of the maps' tables, in the order of the panels.
        data: The points that the models were trained on.
        name: Name of the figure.
        panel: Place of these maps in a figure that several experiments draw into; None for a figure of its own.
    """
    draw = "mlp_core.report.decision_maps:decision_maps_figure"
    return Figure(name, draw, (*maps, data), prepare=f"{_MEASURES}:map_panels", panel=panel)
