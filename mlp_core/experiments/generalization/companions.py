"""The fair comparison of wide with deep: models with standardised inputs and tuned learning rates.

As the tutorial trains them, all models have one learning rate, and a polynomial's features reach over twenty powers of
ten. Their companions tell what that costs.
"""

from __future__ import annotations

AS_SET, TUNED = "as set", "tuned"
"""How a model was trained: as the settings say, or with standardised inputs and a tuned learning rate."""
TUNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Learning rates to choose from on validation examples."""
# Widths are whole numbers: no network has just the polynomial's number of parameters
_EQUAL_SIZE = 0.15


def alike_in_size(parameters: float, others: float) -> bool:
    """Return whether two numbers of parameters differ by less than 15 % of the second."""
    return abs(parameters / others - 1) < _EQUAL_SIZE
