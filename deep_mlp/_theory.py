"""What mean-field theory says of an activation."""

from __future__ import annotations

from dataclasses import dataclass

from mlp_core.activations import canonical_activation
from mlp_core.errors import InputError
from mlp_core.theory import gains, phases
from mlp_core.theory.phases import CriticalPoint, PhasePoint


@dataclass(frozen=True)
class Theory:
    """Mean-field theory of wide random networks with one activation: critical point, fixed points and gains.

    Attributes:
        activation: Canonical name, such as `relu` or `leaky_relu(0.1)`.
    """

    activation: str

    def critical_point(self, sigma_b: float = 0.0) -> CriticalPoint:
        """Return the critical point between order and chaos: its `sigma_w` and more, see `CriticalPoint`.

        Args:
            sigma_b: Standard deviation of a bias, at least 0.

        Example:
            >>> round(theory("relu").critical_point().sigma_w ** 2, 6)
            2.0
        """
        return phases.critical_point(self.activation, sigma_b)

    def phase_point(self, sigma_w: float, sigma_b: float = 0.0) -> PhasePoint:
        """Return fixed points, slopes and depth scales of networks with these weights and biases, see `PhasePoint`.

        Args:
            sigma_w: Standard deviation of a weight times sqrt(fan_in), above 0.
            sigma_b: Standard deviation of a bias, at least 0.
        """
        return phases.phase_point(self.activation, sigma_w, sigma_b)

    def forward_gain(self) -> float:
        """Return the Xavier gain that keeps the mean square of pre-activations at 1 from layer to layer."""
        return gains.forward_gain(self.activation)

    def backward_gain(self) -> float:
        """Return the Xavier gain that keeps a gradient's mean square the same from layer to layer."""
        return gains.backward_gain(self.activation)


def theory(activation: str) -> Theory:
    """Return the mean-field theory of wide random networks with an activation.

    Nothing is trained or drawn: its methods compute numbers.

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
