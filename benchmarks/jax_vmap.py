"""JAX's way: an epoch is one compiled `scan` over its steps, with `vmap` over the members.

Two ways to write it: as one would, with the batch first and orders from `jax.random.permutation`, and tuned for this
work: with features first, as the project has them, and orders from NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.work import Outcome, Work, load
from mlp_core.engine.members import member_seed

Parameters = list[tuple[jax.Array, jax.Array]]
State = tuple[Parameters, Parameters, Parameters, jax.Array]  # weights and biases, two moments, steps done


def train(work: Work, members: Sequence[int], *, tuned: bool, compiled: bool = True) -> Outcome:
    """Train all members of a configuration at once with JAX, and return their test accuracies.

    Args:
        work: One configuration.
        members: Numbers of the members.
        tuned: Whether to use the version tuned for this work instead of the usual one; see the module.
        compiled: Whether to reuse what an earlier call has compiled.
    """
    if not compiled:
        jax.clear_caches()
    data = load(work)
    (config,) = work.configs
    n_members, n_examples = len(members), len(data.train_labels)
    inputs, labels = jnp.asarray(data.train_inputs.numpy()), jnp.asarray(data.train_labels.numpy())
    random = np.random.default_rng(member_seed(config, members[0]))
    n_orders = 1 if config.batches == "shared_order" else n_members
    keys = jax.random.split(jax.random.key(random.integers(2**32)), n_orders)

    def uniform(n_inputs: int, *shape: int) -> jax.Array:
        return jnp.asarray(random.uniform(-(n_inputs**-0.5), n_inputs**-0.5, (n_members, *shape)).astype(np.float32))

    parameters = [
        (
            uniform(n_in, *((n_out, n_in) if tuned else (n_in, n_out))),
            uniform(n_in, *((n_out, 1) if tuned else (n_out,))),
        )
        for n_in, n_out in pairwise(config.layer_sizes)
    ]
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = parameters, zeros, zeros, jnp.zeros(n_members)
    in_order = np.broadcast_to(np.arange(n_examples, dtype=np.int32), (n_orders, n_examples))
    settings = {"batch_size": config.batch_size, "learning_rate": config.learning_rate, "tuned": tuned}
    for number in range(config.epochs):
        orders = random.permuted(in_order, axis=1) if tuned else keys
        state = _epoch(state, orders, inputs, labels, number, **settings)
    _accuracy(state[0], inputs, labels, tuned=tuned).block_until_ready()
    test_inputs, test_labels = jnp.asarray(data.test_inputs.numpy()), jnp.asarray(data.test_labels.numpy())
    accuracies = _accuracy(state[0], test_inputs, test_labels, tuned=tuned)
    return Outcome(np.asarray(accuracies).tolist())


def _logits(parameters: Parameters, inputs: jax.Array, tuned: bool) -> jax.Array:
    """Return `[batch, classes]`, or the transpose if tuned, for `[batch, features]`."""
    signal = inputs.T if tuned else inputs
    for layer, (weight, bias) in enumerate(parameters):
        signal = jax.nn.relu(signal) if layer else signal
        signal = (weight @ signal if tuned else signal @ weight) + bias
    return signal


def _loss(parameters: Parameters, inputs: jax.Array, labels: jax.Array, tuned: bool) -> jax.Array:
    class_axis = 0 if tuned else 1
    log_probabilities = jax.nn.log_softmax(_logits(parameters, inputs, tuned), axis=class_axis)
    wanted = jax.nn.one_hot(labels, log_probabilities.shape[class_axis], axis=class_axis)
    return -(log_probabilities * wanted).sum() / len(labels)


@partial(jax.jit, static_argnames=("batch_size", "learning_rate", "tuned"))
def _epoch(
    state: State,
    orders: Any,
    inputs: jax.Array,
    labels: jax.Array,
    number: int,
    *,
    batch_size: int,
    learning_rate: float,
    tuned: bool,
) -> State:
    """Return the state after an epoch; `orders` are permutations if tuned, else keys to draw them from."""

    def step(state: State, chosen: jax.Array) -> tuple[State, jax.Array]:
        parameters, first, second, n_steps = state
        loss, gradient = jax.value_and_grad(_loss)(parameters, inputs[chosen], labels[chosen], tuned)
        n_steps += 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        rate, scale = learning_rate / (1 - 0.9**n_steps), 1 / (1 - 0.999**n_steps)
        parameters = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v * scale) + 1e-8), parameters, first, second
        )
        return (parameters, first, second, n_steps), loss

    def epoch(state: State, order: jax.Array) -> tuple[State, jax.Array]:
        if not tuned:
            order = jax.random.permutation(jax.random.fold_in(order, number), len(labels))
        return jax.lax.scan(step, state, order.reshape(-1, batch_size))

    if len(orders) == 1:  # one order for all members
        return jax.vmap(epoch, in_axes=(0, None))(state, orders[0])[0]
    return jax.vmap(epoch)(state, orders)[0]


@partial(jax.jit, static_argnames="tuned")
def _accuracy(parameters: Parameters, inputs: jax.Array, labels: jax.Array, *, tuned: bool) -> jax.Array:
    def accuracy(member: Parameters) -> jax.Array:
        return (_logits(member, inputs, tuned).argmax(0 if tuned else 1) == labels).mean()

    return jax.vmap(accuracy)(parameters)
