"""Signals predicted layer by layer, where they stay, fade and explode."""

import math

import numpy as np
import pytest

from mlp_core.theory.gains import forward_gain
from mlp_core.theory.maps import chi, correlation_map, length_map
from mlp_core.theory.predictions import predicted_signals
from mlp_core.theory.weight_scales import mean_field_scale, xavier_scale


def test_theory_of_xavier_layer_by_layer():
    """One gain is another sigma_w^2 in each layer of 3072-128-64-32-3, and again another on the way back."""
    gain = forward_gain("leaky_relu(0.1)")
    scale = xavier_scale([3072, 128, 64, 32, 3], gain)
    assert (scale.forward / gain**2).round(2).tolist() == [1.92, 1.33, 1.33, 1.83]
    assert scale.forward + scale.backward == pytest.approx([2 * gain**2] * 4)
    predicted = predicted_signals(scale, "leaky_relu(0.1)", 0.0, (1.0, 1.0), 0.5)
    half = (1 + 0.1**2) / 2
    assert predicted.mean_square == pytest.approx(np.cumprod(scale.forward * [1, half, half, half]))
    assert predicted.gradient_mean_square[::-1] == pytest.approx(np.cumprod([1, *(scale.backward[:0:-1] * half)]))


def test_prediction_of_unequal_inputs():
    """Each input follows its own length map, and their correlation the map of both lengths."""
    scale, sigma_b = mean_field_scale([50, 50, 50], sigma_w=1.5), 0.3
    predicted = predicted_signals(scale, "tanh", sigma_b, (0.5, 3.0), 0.4)
    q, q_other = 2.25 * 0.5 + 0.09, 2.25 * 3.0 + 0.09
    c = (2.25 * 0.4 * math.sqrt(1.5) + 0.09) / math.sqrt(q * q_other)
    assert predicted.mean_square == pytest.approx([q, length_map(q, "tanh", 1.5, sigma_b)])
    assert predicted.correlation == pytest.approx([c, correlation_map(c, q, "tanh", 1.5, sigma_b, q_other)])
    assert predicted.gradient_mean_square == pytest.approx([chi(q, "tanh", 1.5), 1.0])


@pytest.mark.thorough
def test_equal_inputs_are_predicted_to_stay_equal():
    """Rounding never carries a correlation of 1 over the edge, however deep."""
    scale = mean_field_scale([10] * 40, sigma_w=2.0)
    for name in ("relu", "tanh", "selu"):
        predicted = predicted_signals(scale, name, 0.0, (1.1, 0.7), 1.0 if name == "tanh" else 1.0 + 1e-15)
        assert predicted.correlation[0] == 1
        assert abs(predicted.correlation).max() <= 1


def test_signals_that_fade_keep_their_correlation():
    """Where tanh without biases lets lengths fall below what floats can hold, correlations stay, and nothing breaks."""
    predicted = predicted_signals(mean_field_scale([10] * 201, sigma_w=0.1), "tanh", 0.0, (1.0, 2.0), 0.4)
    assert predicted.mean_square[-1] == 0
    assert predicted.mean_square[150] == pytest.approx(1e-302, rel=0.1, abs=0)
    assert predicted.correlation[[20, 100, 199]] == pytest.approx(predicted.correlation[10], abs=1e-10)


def test_signals_that_explode_are_infinite():
    """A gain of a million in sixty layers of relu: beyond what floats can hold there is no warning, and no number."""
    predicted = predicted_signals(xavier_scale([10] * 61, 1e6), "relu", 0.3, (1.0, 2.0), 0.4)
    assert predicted.mean_square[10] == pytest.approx(1e132 / 2**10, rel=1e-6)
    assert predicted.mean_square[-1] == math.inf
    assert math.isnan(predicted.correlation[-1])
    assert predicted.gradient_mean_square[[0, -1]].tolist() == [math.inf, 1.0]
