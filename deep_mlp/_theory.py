"""What mean-field theory says of an activation."""

from __future__ import annotations

from dataclasses import dataclass

from mlp_core.activations import canonical_activation
from mlp_core.errors import InputError
from mlp_core.theory import gains, phases
from mlp_core.theory.phases import CriticalPoint, PhasePoint


@dataclass(frozen=True)
class Theory:
    """Mean-field theory of wide networks of one activation.

    Attributes:
        activation: Canonical name.
    """

    activation: str

    def critical_point(self, sigma_b: float = 0.0) -> CriticalPoint:
        """Return where order turns into chaos for a standard deviation of the biases.

        Example:
            >>> round(theory("relu").critical_point().sigma_w ** 2, 6)
            2.0
        """
        return phases.critical_point(self.activation, sigma_b)

    def phase_point(self, sigma_w: float, sigma_b: float = 0.0) -> PhasePoint:
        """Return fixed points and depth scales at a standard deviation of weights times sqrt(fan_in)."""
        return phases.phase_point(self.activation, sigma_w, sigma_b)

    def forward_gain(self) -> float:
        """Return the Xavier gain that keeps a signal's second moment."""
        return gains.forward_gain(self.activation)

    def backward_gain(self) -> float:
        """Return the Xavier gain that keeps a gradient's mean square."""
        return gains.backward_gain(self.activation)


def theory(activation: str) -> Theory:
    """Return the theory of an activation.

    Args:
        activation: relu, tanh, sigmoid, gelu, erf, selu or leaky_relu(SLOPE).

    Raises:
        InputError: If there is no such activation.

    Example:
        >>> theory("tanh").critical_point(sigma_b=0.05).sigma_w > 1
        True
    """
    try:
        return Theory(canonical_activation(activation))
    except ValueError as error:
        message = f"activation {error}, got {activation!r}."
        raise InputError(message) from None
