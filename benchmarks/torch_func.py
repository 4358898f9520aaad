"""The way of `torch.func`: `vmap` of `grad` of `functional_call` over stacked parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from benchmarks.tutorial_style import network
from benchmarks.work import Outcome, Work, load
from mlp_core.engine.members import member_seed


def train(work: Work, members: Sequence[int]) -> Outcome:
    """Train all members of a configuration at once with `torch.func`, and return their test accuracies."""
    data = load(work)
    (config,) = work.configs
    shared = config.batches == "shared_order"
    networks: list[nn.Module] = []
    for member in members:
        torch.manual_seed(member_seed(config, member))
        networks.append(network(config))
    model = networks[0]
    parameters, _ = stack_module_state(networks)

    def loss(member_parameters: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, member_parameters, inputs), labels)

    gradients = vmap(grad(loss), in_dims=(0, None, None) if shared else 0)
    optimizer = torch.optim.Adam(parameters.values(), lr=config.learning_rate, fused=True)
    n_orders = 1 if shared else len(members)
    for _ in range(config.epochs):
        orders = torch.stack([torch.randperm(len(data.train_labels)) for _ in range(n_orders)])
        for chosen in orders.split(config.batch_size, 1):
            rows = chosen[0] if shared else chosen
            step = gradients(parameters, data.train_inputs[rows], data.train_labels[rows])
            for name, parameter in parameters.items():
                parameter.grad = step[name]
            optimizer.step()

    def accuracies(inputs: Tensor, labels: Tensor) -> list[float]:
        logits = vmap(lambda member: functional_call(model, member, inputs))(parameters)
        return (logits.argmax(2) == labels).double().mean(1).tolist()

    with torch.no_grad():
        accuracies(data.train_inputs, data.train_labels)
        return Outcome(accuracies(data.test_inputs, data.test_labels))
