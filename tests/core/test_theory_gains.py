"""Gains against closed forms, against another sum and against PyTorch's."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from mlp_core.activations import ACTIVATION_NAMES
from mlp_core.theory.gains import backward_gain, forward_gain, gain_table
from mlp_core.theory.maps import chi, length_map
from mlp_core.theory.phases import phase_point


def test_gains_keep_second_moments(activation_name):
    """At the forward gain a signal of length 1 keeps it, at the backward gain a gradient does."""
    [row] = gain_table([activation_name])
    assert length_map(1.0, activation_name, row.forward, 0.0) == pytest.approx(1.0, rel=1e-9)
    assert chi(1.0, activation_name, row.backward) == pytest.approx(1.0, rel=1e-12)
    assert row.forward == forward_gain(activation_name)
    assert row.backward == backward_gain(activation_name)


def test_gains_of_pytorch(activation_name):
    """The table's values are PyTorch's, and where it has none PyTorch has none."""
    [row] = gain_table([activation_name])
    kind, _, slope = activation_name.partition("(")
    parameter = float(slope.rstrip(")")) if slope else None
    if row.pytorch is None:
        with pytest.raises(ValueError, match="Unsupported nonlinearity"):
            torch.nn.init.calculate_gain(kind)
    else:
        assert row.pytorch == pytest.approx(torch.nn.init.calculate_gain(kind, parameter), rel=1e-12)


def test_remarks_on_pytorchs_gains_hold():
    """What the table says of tanh's 5/3, of sigmoid's 1 and of selu's 3/4 is what the theory gives there."""
    rows = {row.activation: row for row in gain_table(["relu", "tanh", "sigmoid", "selu", "leaky_relu(0.1)", "erf"])}
    for name in ("relu", "leaky_relu(0.1)"):
        assert rows[name].forward == pytest.approx(rows[name].backward)
        assert rows[name].forward == pytest.approx(rows[name].pytorch)
    assert rows["tanh"].pytorch > max(rows["tanh"].forward, rows["tanh"].backward)
    for name in ("sigmoid", "selu"):
        assert rows[name].pytorch < min(rows[name].forward, rows[name].backward)
    assert rows["erf"].backward < rows["erf"].forward
    tanh, sigmoid, selu = (phase_point(name, rows[name].pytorch, 0.0) for name in ("tanh", "sigmoid", "selu"))
    assert "q* = 1.18" in rows["tanh"].remark
    assert "1.21" in rows["tanh"].remark
    assert (round(tanh.q.value, 2), round(tanh.chi_1, 2)) == (1.18, 1.21)
    assert "1/18" in rows["sigmoid"].remark
    assert round(1 / sigmoid.chi_1) == 18
    assert "q* = 0.023" in rows["selu"].remark
    assert (round(selu.q.value, 3), round(selu.chi_1, 2)) == (0.023, 1.0)


def expectation(function):
    """Return E[f(z)^2] for z standard normal, by Gauss and Hermite."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    return float(weights @ np.array([function(z) ** 2 for z in nodes]) / math.sqrt(2 * math.pi))


CLOSED_FORMS = {
    "relu": 1 / 2,
    "leaky_relu(0.0)": 1 / 2,
    "leaky_relu(0.1)": (1 + 0.1**2) / 2,
    "leaky_relu(0.5)": (1 + 0.5**2) / 2,
    "erf": 2 / math.pi * math.asin(2 / 3),
    "gelu": 1 / 3 + 1 / (2 * math.pi * math.sqrt(3)),
    "selu": 1.0,  # its constants were made for this
    "tanh": expectation(math.tanh),
    "sigmoid": expectation(lambda z: 1 / (1 + math.exp(-z))),
}


@pytest.mark.parametrize(("activation", "moment"), CLOSED_FORMS.items())
def test_forward_gains_keep_the_second_moment(activation, moment):
    """gain^2 E[f(z)^2] is 1 for every activation, by closed form or, for two of them, by another quadrature."""
    assert forward_gain(activation) ** 2 * moment == pytest.approx(1, rel=1e-9)


def test_every_activation_offered_has_a_forward_gain():
    """The table above leaves none out."""
    assert {name.split("(")[0] for name in ACTIVATION_NAMES} == {name.split("(")[0] for name in CLOSED_FORMS}


@pytest.mark.parametrize(
    ("activation", "arguments"),
    [("relu", ["relu"]), ("leaky_relu(0.1)", ["leaky_relu", 0.1]), ("leaky_relu(0.01)", ["leaky_relu"])],
)
def test_gains_of_the_relu_family_are_pytorchs(activation, arguments):
    """Here PyTorch's `calculate_gain` follows the same rule; its tanh 5/3 and selu 3/4 are rules of thumb."""
    assert forward_gain(activation) == pytest.approx(nn.init.calculate_gain(*arguments), rel=1e-12)


def test_small_slopes_have_a_forward_gain():
    """A slope that Python writes with an exponent is a slope too."""
    assert forward_gain("leaky_relu(1e-05)") == pytest.approx(math.sqrt(2), rel=1e-9)
