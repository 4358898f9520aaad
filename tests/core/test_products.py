"""Matrix products member by member, and what they rest on: a number's value does not depend on where it stands."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from mlp_core.activations import ACTIVATION_NAMES
from mlp_core.engine.networks import Ensemble, activation
from mlp_core.engine.products import member_matrices, multiply, product
from mlp_core.engine.training import train

SIZES = st.integers(1, 40)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("factor", [None, -0.5])
@pytest.mark.parametrize("sizes", [(2, 3, 5), (1, 1, 1), (7, 33, 17), (128, 600, 64)], ids=str)  # the last is large
def test_a_product_is_that_of_each_member(sizes, factor, is_shared):
    """Small or large, shared or not, written or added, it is the product of the member's own matrices."""
    n_rows, n_summed, n_columns = sizes
    left = numbers(3, n_rows, n_summed)
    right = numbers(*(() if is_shared else (3,)), n_summed, n_columns, seed=1)
    out = member_matrices(left, 3, n_rows, n_columns).fill_(1)
    product(left, right.shape, out, factor)(right)
    exact = left.double() @ right.double()
    expected = exact if factor is None else 1 + factor * exact
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-4)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(SIZES, st.integers(1, 700), st.integers(1, 300), st.booleans(), st.integers(2, 9))
def test_a_product_has_the_same_bits_in_any_company(n_rows, n_summed, n_columns, is_shared, n_members):
    """Alone or last of many, whatever the shapes."""
    left = numbers(n_members, n_rows, n_summed)
    right = numbers(*(() if is_shared else (n_members,)), n_summed, n_columns, seed=1)
    together = multiply(left, right)
    alone = multiply(left[-1:].clone(), right if is_shared else right[-1:].clone())
    assert torch.equal(together[-1], alone[0])


def test_members_begin_on_a_cache_line_and_do_not_touch():
    """So that element-wise functions run over each member alone, from the same place of a cache line."""
    for n_rows, n_columns in ((1, 1), (4, 4), (3, 7), (6, 128)):
        matrices = member_matrices(torch.empty(0), 3, n_rows, n_columns)
        assert matrices.data_ptr() % 64 == 0
        assert matrices.stride(0) % 16 == 0
        assert matrices.stride(0) > n_rows * n_columns


@pytest.mark.parametrize("name", [name.replace("SLOPE", "0.1") for name in ACTIVATION_NAMES])
def test_an_activation_has_the_same_bits_in_any_company(name):
    """Forward and backward, at every length: no member's numbers depend on how many others there are."""
    transfer = activation(name)
    for n_columns in (*range(1, 70), 100, 127, 128):
        together, alone = (member_matrices(torch.empty(0), n_members, 3, n_columns) for n_members in (5, 1))
        together.copy_(3 * numbers(5, 3, n_columns))
        alone.copy_(together[2:3])
        results = []
        for z in (together, alone):
            out = member_matrices(z, len(z), 4, n_columns)[:, :-1]
            transfer.forward(z, out)
            gradient = member_matrices(z, *z.shape).fill_(0.3)
            transfer.backward(gradient, z if transfer.saves_input else out)
            results.append((out, gradient))
        (out, gradient), (out_alone, gradient_alone) = results
        assert torch.equal(out[2], out_alone[0])
        assert torch.equal(gradient[2], gradient_alone[0])


@pytest.mark.parametrize("length", [*range(1, 70), 100, 127, 128, 500])
def test_exponential_and_softmax_do_not_depend_on_the_place(length):
    """The loss runs over all members' classes at once: a number's value must be the same wherever it stands."""
    together = numbers(7, 3, length)
    logarithms, alone = torch.log_softmax(together, 1), torch.log_softmax(together[3:4].clone(), 1)
    assert torch.equal(logarithms[3], alone[0])
    assert np.array_equal(np.exp(logarithms.numpy())[3], np.exp(alone.numpy())[0])
    assert torch.equal(logarithms.sum((1, 2))[3], alone.sum((1, 2))[0])


class Shapes(TorchDispatchMode):
    """Collects the shapes of all operands of matrix products."""

    def __init__(self):
        super().__init__()
        self.collected = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket._qualified_op_name.removeprefix("aten::") in ("mm", "bmm", "addmm_", "baddbmm_"):
            shapes = tuple(tuple(part.shape) for part in args if isinstance(part, torch.Tensor))
            self.collected.append((str(function), shapes))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_large_layers_are_multiplied_one_member_at_a_time(optimizer):
    """On a processor each member is a call of its own: seven make seven times the calls of one, of the same shapes."""
    from mlp_core.engine.batches import shared_epochs

    calls = {}
    inputs, labels = numbers(90, 700), torch.arange(90) % 3
    for n_members in (1, 7):
        streams = [torch.Generator().manual_seed(seed) for seed in range(n_members)]
        epochs = shared_epochs(inputs, labels, streams[0], n_classes=3, n_epochs=1, batch_size=64)
        with Shapes() as shapes:
            train(Ensemble([700, 128, 128, 3], "relu", streams), epochs, optimizer=optimizer, learning_rate=0.01)
        calls[n_members] = shapes.collected
    assert calls[1]
    assert sorted(calls[7]) == sorted(7 * calls[1])
