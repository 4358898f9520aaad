"""Activations: one name each, and an entry in every table that computes with them."""

import pytest

from mlp_core.activations import ACTIVATION_FAMILIES, activation_family
from mlp_core.engine.networks import activation
from mlp_core.errors import InputError
from mlp_core.settings import Settings
from mlp_core.theory.activation_functions import activation_function
from mlp_core.theory.gains import TABULATED_ACTIVATIONS, gain_table


def test_every_activation_is_in_every_table(activation_name):
    """What is offered can be trained, has a theory and a line on PyTorch's gain."""
    assert activation(activation_name).forward
    assert activation_function(activation_name).derivative
    [row] = gain_table([activation_name])
    assert row.activation == activation_name


def test_the_report_shows_the_gains_of_every_activation():
    """One of each family."""
    assert sorted(activation_family(name)[0] for name in TABULATED_ACTIVATIONS) == sorted(ACTIVATION_FAMILIES)


def every_model(model=Settings):
    for child in model.__subclasses__():
        yield child
        yield from every_model(child)


def test_every_help_names_every_activation():
    """A setting that takes an activation lists all of them."""
    helps = [
        field.description
        for model in every_model()
        for name, field in model.model_fields.items()
        if name in ("activation", "activations")
    ]
    assert len(helps) > 5
    for text in helps:
        assert all(family in text for family in ACTIVATION_FAMILIES), text


@pytest.mark.parametrize("name", ["swish", "ReLU()", "leaky_relu", "LeakyReLU(0.1)", "leaky_relu(0.10)", " relu", ""])
def test_only_canonical_names_have_a_family(name):
    """The error lists the choices; nothing is guessed."""
    with pytest.raises(InputError, match=r"activation must be one of relu, .*leaky_relu\(SLOPE\), got"):
        activation_family(name)


@pytest.mark.parametrize("slope", ["1", "1.5", "-0.1", "nan", "inf", "x"])
def test_slopes_out_of_range_have_no_family(slope):
    """The error gives the range; no table is asked."""
    with pytest.raises(
        InputError, match=r"activation must have a slope of at least 0 and below 1, .*, got 'leaky_relu"
    ):
        activation_family(f"leaky_relu({slope})")
