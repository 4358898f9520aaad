"""Orders that compiled code draws, against PyTorch's own, draw for draw."""

import numpy as np
import pytest
import torch

from mlp_core.engine.orders import draw_orders, order_state


@pytest.mark.parametrize("n", [1, 2, 3, 624, 625, 626, 3200, 100_003])
@pytest.mark.parametrize("n_before", [0, 1, 7, 625])
@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_orders_are_those_that_pytorch_draws(seed, n_before, n):
    """One after the other, also where the generator's 624 numbers end within an order or with it."""
    generator = torch.Generator().manual_seed(seed)
    torch.randperm(n_before, generator=generator)
    orders, state = np.empty((3, n), np.uint32), order_state(generator)
    draw_orders(state, orders[:1])
    draw_orders(state, orders[1:])
    assert orders.tolist() == [torch.randperm(n, generator=generator).tolist() for _ in range(3)]
