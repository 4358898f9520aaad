"""Columns that the result tables of several experiments have, with their units."""

from __future__ import annotations

from mlp_core.engine.architecture import parameter_count
from mlp_core.engine.configs import Column, TrainConfig


def activation_column(config: TrainConfig) -> Column:
    """Return the table column `activation`: the name of the configuration's activation."""
    return Column("activation", config.activation, "name")


def shape_columns(config: TrainConfig) -> tuple[Column, Column]:
    """Return the table columns `depth` and `width` of a configuration whose hidden layers are equally wide."""
    hidden = config.layer_sizes[1:-1]
    return Column("depth", len(hidden), "hidden layers"), Column("width", hidden[0], "units per hidden layer")


def parameters_column(config: TrainConfig) -> Column:
    """Return the table column `parameters`: the number of trainable parameters of one network."""
    return Column("parameters", parameter_count(config.layer_sizes), "trainable parameters")
