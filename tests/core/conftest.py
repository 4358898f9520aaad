"""What the core's tests share: one thread, and plain PyTorch networks to compare with."""

from itertools import pairwise

import pytest
import torch
from cases import every_activation
from torch import nn


@pytest.fixture(autouse=True)
def one_thread():
    """Compute on one thread, as the tasks do: with more, sums are taken in another order."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


class Erf(nn.Module):
    """The one activation that PyTorch has no module for."""

    def forward(self, inputs):
        return torch.erf(inputs)


MODULES = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "erf": Erf,
    "selu": nn.SELU,
    "leaky_relu": nn.LeakyReLU,
}


@pytest.fixture(params=every_activation())
def activation_name(request):
    """Give each activation in turn."""
    return request.param


@pytest.fixture(scope="session")
def plain_activation():
    """Give a function that makes PyTorch's own module of a canonical name."""

    def make(name):
        kind, _, argument = name.partition("(")
        return MODULES[kind](*[float(argument.rstrip(")"))] if argument else [])

    return make


@pytest.fixture(scope="session")
def plain_network(plain_activation):
    """Give a function that makes a plain `Sequential` with the parameters of one member."""

    def make(ensemble, name, member):
        modules = []
        for n_inputs, n_outputs in pairwise(ensemble.layer_sizes):
            modules += [nn.Linear(n_inputs, n_outputs), plain_activation(name)]
        network = nn.Sequential(*modules[:-1])
        network.load_state_dict({key: value[member] for key, value in ensemble.state().items()})
        return network

    return make
