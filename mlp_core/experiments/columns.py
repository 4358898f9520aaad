"""Columns that the result tables of several experiments have, with their units."""

from __future__ import annotations

from mlp_core.engine.architecture import parameter_count
from mlp_core.engine.configs import Column, TrainConfig


def activation_column(config: TrainConfig) -> Column:
    """Return the column of the activation."""
    return Column("activation", config.activation, "name")


def shape_columns(config: TrainConfig) -> tuple[Column, Column]:
    """Return the columns of depth and width of equal hidden layers."""
    hidden = config.layer_sizes[1:-1]
    return Column("depth", len(hidden), "hidden layers"), Column("width", hidden[0], "units per hidden layer")


def parameters_column(config: TrainConfig) -> Column:
    """Return the column of the number of trainable parameters."""
    return Column("parameters", parameter_count(config.layer_sizes), "trainable parameters")
