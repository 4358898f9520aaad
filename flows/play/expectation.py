"""What theory says of a question before anything is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from flows.play.question import Asked
from mlp_core.theory.phases import critical_point, phase_point

REACH = 6
"""Networks deeper than so many depth scales were found not to train (Schoenholz et al. 2017, section 5)."""
_NEAR = 0.025
Regime = Literal["ordered", "critical", "chaotic"]


@dataclass(frozen=True)
class Expectation:
    """What mean-field theory, which is exact for infinitely wide layers, predicts for a network's hidden layers.

    Attributes:
        chi_1: Factor by which the squared distance of two almost equal inputs changes in each layer.
        phase: `ordered` if chi_1 is below 1, `chaotic` above, `critical` within 2.5 % of 1.
        depth_scale: Layers over which the correlation of two inputs comes nearer to its fixed point by the factor e
            (xi_c); None if it is infinite or does not exist.
        sigma_w: Standard deviation of a weight times sqrt(fan_in).
        sigma_b: Standard deviation of a bias.
        critical_gain: Xavier's gain at which the phase changes; None if there is none.
        sentence: The prediction in words.
    """

    chi_1: float
    phase: Regime
    depth_scale: float | None
    sigma_w: float
    sigma_b: float
    critical_gain: float | None
    sentence: str


def expectation(asks: Asked) -> Expectation:
    """Return what mean-field theory predicts for the hidden layers of a question before training.

    PyTorch's weights and biases are uniform in `+-1/sqrt(fan_in)`, so `sigma_w^2 = 1/3` and `sigma_b^2 = 1/(3 width)`.
    Xavier's weights between layers of equal width have `sigma_w = gain`; the biases are PyTorch's.

    Args:
        asks: The validated question: which network, with which start.

    Example:
        >>> from flows.play.question import asked
        >>> expectation(asked({})).phase, expectation(asked({"start": "xavier_normal", "gain": 2})).phase
        ('ordered', 'chaotic')
        >>> print(expectation(asked({"layers": 12})).sentence)
        Order: in every layer two inputs become more alike. What tells them apart fades by e every 0.6 layers; 12 \
hidden layers are more than 6 times that: in theory hard to train.
    """
    question = asks.question
    sigma_w = question.gain if question.start != "pytorch" else 1 / math.sqrt(3)
    sigma_b = 1 / math.sqrt(3 * asks.hidden_width)
    point = phase_point(question.activation, sigma_w, sigma_b)
    edge = critical_point(question.activation, sigma_b)
    phase: Regime = "critical" if abs(point.chi_1 - 1) <= _NEAR else "ordered" if point.chi_1 < 1 else "chaotic"
    scale = point.xi_c if math.isfinite(point.xi_c) else None
    gain = edge.sigma_w if edge.converged and math.isfinite(edge.sigma_w) else None
    sentence = _sentence(phase, scale, question.layers)
    return Expectation(point.chi_1, phase, scale, sigma_w, sigma_b, gain, sentence)


def _sentence(phase: Regime, scale: float | None, n_layers: int) -> str:
    if phase == "critical":
        return (
            "Edge of chaos: two inputs neither merge nor part quickly, so signals and gradients go far. "
            "Theory sees no limit to the depth here."
        )
    layers = "1 hidden layer is" if n_layers == 1 else f"{n_layers} hidden layers are"
    if phase == "ordered":
        begin = "Order: in every layer two inputs become more alike. "
        if scale is None:
            return begin + "They do so slowly."
        what = "What tells them apart fades by e every"
    else:
        begin = "Chaos: in every layer two like inputs move further apart, and gradients grow. "
        if scale is None:
            return begin + "Signals grow without bound."
        what = "Likeness is forgotten by e every"
    every = f"{begin}{what} {scale:.1f} layers; {layers} "
    if n_layers > REACH * scale:
        return f"{every}more than {REACH} times that: in theory hard to train."
    return f"{every}within {REACH} times that: in theory they train."
