"""A small network from its first step to its last in compiled code, one member after the other.

All that a member touches stays in the first cache, nothing is Python's, and no lock is held: many threads train as many
members. A number depends on its member alone, and its bits on the order of operations that stands here: sums over a
layer's inputs go from the first to the last, sums over a batch are eight sums of every eighth example (see
`mlp_core.engine.vectors`), the loss of an epoch is added up in float64.

The rows of a layer lie one after the other, a number for each example of a batch, filled up to whole blocks. The inputs
of a layer are followed by a row of ones, whose weights are the biases. Products compute two rows of outputs at a time,
gradients also four of inputs: what goes beyond the last row is computed and left.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlp_core.activations import SELU_ALPHA, SELU_SCALE
from mlp_core.engine.compilation import part, program
from mlp_core.engine.elementary import error_function, exponential, hyperbolic_tangent, logarithm
from mlp_core.engine.tiles import N_ROWS, add_pairs, add_products, gather_rows, put, row_totals, zeros
from mlp_core.engine.vectors import (
    LANES,
    absolute,
    constant,
    fma,
    gather,
    load,
    load_pair,
    lower,
    select,
    square_root,
    store,
    total,
    upper,
)

BLOCK = 32
"""Examples that a product computes at a time."""
RELU, TANH, SIGMOID, GELU, ERF, SELU, LEAKY_RELU = range(7)
N_INPUTS, N_OUTPUTS, WEIGHTS, SIGNAL, RESULT, DELTA = range(6)
"""Of a layer, in the table `layers`: its sizes, and where its weights, inputs, pre-activations and deltas begin.

Pre-activations may lie where the activations, the next layer's inputs, will: only `NEEDS_PRE_ACTIVATION` need both. The
deltas of the last layer, gradients with respect to its results, take the place of these.
"""
NEEDS_PRE_ACTIVATION = (GELU, ERF)
"""Activations whose derivative is not a function of their result."""

_ONE: Any = np.int64(1)
"""For a literal 1 as an argument numba would compile a function again."""
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # of Adam, as torch.optim.Adam has them
_HALF_ROOT, _DENSITY, _ERF_SLOPE = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi), 2 / math.sqrt(math.pi)


@part
def _multiply(
    work: Any, out: int, n_out: int, weights: Any, first: int, out_step: int, in_step: int, signal: int, n_in: int,
    width: int,
) -> None:  # fmt: skip
    """Write rows of outputs: each the sum over the inputs of weight times row."""
    for row in range(0, n_out, N_ROWS):
        for column in range(0, width, BLOCK):
            sums = zeros(work)
            weight, at = first + row * out_step, signal + column
            for _ in range(n_in):
                sums = add_products(sums, weights, weight, out_step, work, at)
                weight += in_step
                at += width
            put(work, out + row * width + column, width, n_out - row, BLOCK, sums)


@part
def _weigh(
    work: Any, delta: int, n_out: int, signal: int, n_in: int, gradient: Any, first: int, pairs: int, width: int
) -> None:  # fmt: skip
    """Write the gradient of a layer's weights: sums over the batch of delta times input."""
    for row in range(0, n_out, N_ROWS):
        for start in range(delta + row * width, delta + (row + N_ROWS) * width, 2 * width):
            at = pairs + start - delta - row * width
            for column in range(start, start + width, LANES // 2):
                store(work, at, load_pair(work, column, column + width))
                at += LANES
        for column in range(0, n_in, 4):
            sums = zeros(work)
            up, at = pairs, signal + column * width
            for _ in range(0, width, LANES):
                sums = add_pairs(sums, work, up, at, width)
                up += 2 * LANES
                at += LANES
            put(gradient, first + row * n_in + column, n_in, n_out - row, n_in - column, row_totals(sums))


@part
def _sigmoid(z: Any) -> Any:
    e = exponential(0.0 - absolute(z))
    return select(z < 0.0, e, 1.0) / (1.0 + e)


@part
def _gaussian(z: Any) -> Any:
    return exponential(0.0 - z * z)


@part
def _curve(kind: int, z: Any) -> Any:
    """Return the activations of pre-activations."""
    if kind == TANH:
        return hyperbolic_tangent(z)
    if kind == SIGMOID:
        return _sigmoid(z)
    if kind == ERF:
        return error_function(z)
    if kind == GELU:
        return (error_function(z * _HALF_ROOT) + 1.0) * z * 0.5
    return select(z > 0.0, z, (exponential(select(z > 0.0, 0.0, z)) - 1.0) * SELU_ALPHA) * SELU_SCALE


@part
def _slope(kind: int, z: Any, h: Any) -> Any:
    """Return the derivative of the activations h with respect to the pre-activations z."""
    if kind == TANH:
        return 1.0 - h * h
    if kind == SIGMOID:
        return h * (1.0 - h)
    if kind == ERF:
        return _gaussian(z) * _ERF_SLOPE
    if kind == GELU:
        scaled = z * _HALF_ROOT
        return (error_function(scaled) + 1.0) * 0.5 + z * _gaussian(scaled) * _DENSITY
    return select(h > 0.0, SELU_SCALE, h + SELU_SCALE * SELU_ALPHA)


@part
def _activate(kind: int, leak: float, work: Any, results: int, signals: int, n: int) -> None:
    """Write the activations of a layer; the short ones in loops of their own, since to ask which would take as long."""
    if kind == RELU:
        for at in range(0, n, LANES):
            z = load(work, results + at)
            store(work, signals + at, select(z < 0.0, 0.0, z))
    elif kind == LEAKY_RELU:
        for at in range(0, n, LANES):
            z = load(work, results + at)
            store(work, signals + at, select(z < 0.0, z * leak, z))
    else:
        for at in range(0, n, LANES):
            store(work, signals + at, _curve(kind, load(work, results + at)))


@part
def _deactivate(kind: int, leak: float, work: Any, results: int, signals: int, deltas: int, n: int) -> None:
    """Turn the gradient of a layer's activations into that of its pre-activations."""
    if kind in (RELU, LEAKY_RELU):
        # A product: to choose between two numbers, one of which is loaded, took four times as long
        for at in range(0, n, LANES):
            slope = select(load(work, signals + at) > 0.0, constant(work, 1.0), leak)
            store(work, deltas + at, load(work, deltas + at) * slope)
    else:
        for at in range(0, n, LANES):
            slope = _slope(kind, load(work, results + at), load(work, signals + at))
            store(work, deltas + at, load(work, deltas + at) * slope)


@part
def _forward(parameters: Any, layers: Any, kind: int, leak: float, work: Any, width: int) -> None:
    """Compute the logits of a batch, and all on the way to them."""
    last = len(layers) - 1
    for index in range(last + 1):
        layer = layers[index]
        n_in, n_out, result = layer[N_INPUTS] + 1, layer[N_OUTPUTS], layer[RESULT]
        _multiply(work, result, n_out, parameters, layer[WEIGHTS], n_in, _ONE, layer[SIGNAL], n_in, width)
        if index < last:
            _activate(kind, leak, work, result, layers[index + 1, SIGNAL], n_out * width)


@part
def cross_entropy(work: Any, logits: Any, n_classes: int, labels: int, shares: int, width: int) -> Any:
    """Return the mean cross-entropy of a batch; write its gradient with respect to the logits in their place."""
    losses = lower(constant(work, 0.0))
    end = n_classes * width
    for column in range(0, width, LANES):
        largest = load(work, logits + column)
        for at in range(logits + column + width, logits + end, width):
            logit = load(work, at)
            largest = select(logit > largest, logit, largest)
        label, share = load(work, labels + column), load(work, shares + column)
        normalizer = wanted = constant(work, 0.0)
        for row in range(n_classes):
            at = logits + row * width + column
            logit = load(work, at) - largest
            wanted = select(label == row, logit, wanted)
            power = exponential(logit)
            store(work, at, power)
            normalizer = normalizer + power
        loss = logarithm(normalizer) - wanted
        losses = fma(upper(loss), upper(share), fma(lower(loss), lower(share), losses))
        factor = share / normalizer
        for row in range(n_classes):
            at = logits + row * width + column
            probability = load(work, at) * factor
            store(work, at, select(label == row, probability - share, probability))
    return total(losses)


@part
def _backward(
    parameters: Any, layers: Any, kind: int, leak: float, work: Any, width: int, gradient: Any
) -> None:  # fmt: skip
    """Write the gradient of all parameters from that of the logits."""
    pairs = len(work) - (N_ROWS + 2) * width
    for index in range(len(layers) - 1, -1, -1):
        layer = layers[index]
        n_in, n_out, signal, delta = layer[N_INPUTS], layer[N_OUTPUTS], layer[SIGNAL], layer[DELTA]
        _weigh(work, delta, n_out, signal, n_in + 1, gradient, layer[WEIGHTS], pairs, width)
        if index > 0:
            before, result = layers[index - 1, DELTA], layers[index - 1, RESULT]
            _multiply(work, before, n_in, parameters, layer[WEIGHTS], _ONE, n_in + 1, delta, n_out, width)
            _deactivate(kind, leak, work, result, signal, before, n_in * width)


@part
def adam_factors(rate: float, decay: float, powers: Any) -> Any:
    """Begin a step of Adam: return its size, the factor of the root, and what decay leaves of the parameters."""
    powers[0] *= _BETA1
    powers[1] *= _BETA2
    return rate / (1.0 - powers[0]), 1.0 / math.sqrt(1.0 - powers[1]), 1.0 - rate * decay


@part
def adam_change(parameters: Any, first: Any, second: Any, at: int, g: Any, factors: Any) -> None:
    """Take a step of Adam for sixteen parameters, whose gradient is `g` and whose moments have the same places."""
    step, root, kept = factors
    m, v = load(first, at), load(second, at)
    m = fma(g - m, 1.0 - _BETA1, m)
    v = fma(g * g, 1.0 - _BETA2, v * _BETA2)
    store(first, at, m)
    store(second, at, v)
    denominator = fma(square_root(v), root, _EPSILON)
    store(parameters, at, load(parameters, at) * kept - (m * step) / denominator)


@part
def adam_step(parameters: Any, gradient: Any, moments: Any, rate: float, decay: float, powers: Any) -> None:
    """Take a step of Adam with decoupled weight decay."""
    factors = adam_factors(rate, decay, powers)
    for at in range(0, len(gradient), LANES):
        adam_change(parameters, moments[0], moments[1], at, load(gradient, at), factors)


@part
def sgd_step(parameters: Any, gradient: Any, rate: float, decay: float) -> None:
    """Take a step of stochastic gradient descent with decoupled weight decay."""
    kept = 1.0 - rate * decay
    for at in range(0, len(gradient), LANES):
        store(parameters, at, fma(load(gradient, at), 0.0 - rate, load(parameters, at) * kept))


@part
def _gather_batch(
    work: Any, signal: int, n_inputs: int, examples: Any, orders: Any, first: int, size: int, class_weights: Any,
    width: int,
) -> None:  # fmt: skip
    """Write the inputs, labels and weights of a batch, whose examples' numbers stand in `orders` from `first` on."""
    label_row, share_row = len(work) - 2 * width, len(work) - width
    n_together = n_inputs - n_inputs % LANES
    for column in range(0, size, LANES):
        at = first + column
        for row in range(0, n_together, LANES):
            gather_rows(work, signal + row * width + column, width, examples, n_inputs + 1, row, orders, at)
        for row in range(n_together, n_inputs):
            store(work, signal + row * width + column, gather(examples, n_inputs + 1, row, orders, at))
        store(work, label_row + column, gather(examples, n_inputs + 1, n_inputs, orders, at))
        store(work, share_row + column, constant(work, 1.0 / size))
    if len(class_weights):
        for column in range(size):
            work[share_row + column] *= class_weights[int(work[label_row + column])]
    for column in range(size, width):  # what fills up the rows counts nothing
        for row in range(n_inputs):
            work[signal + row * width + column] = 0.0
        work[share_row + column] = 0.0


@program
def train(
    parameters: Any, moments: Any, powers: Any, layers: Any, kind: int, leak: float, is_adam: bool, rate: float,
    decay: float, class_weights: Any, examples: Any, orders: Any, batch_size: int, n_batches: int, first: int, end: int,
    work: Any, gradient: Any, losses: Any, validation: Any, n_right: Any,
) -> None:  # fmt: skip
    """Train one small network (one member) for the steps `first` .. `end` - 1 of some epochs, in place.

    Returns nothing: it changes `parameters`, `moments`, `powers`, `losses` and `n_right`; all else is memory.

    Args:
        parameters: The member's weights and biases, one layer after the other, padded with zeros, see `packed`.
        moments: Adam's running means of the gradient and of its square, each laid out like the parameters.
        powers: Adam's two decay rates to the power of the steps taken so far, `[2]`, float64; `[1, 1]` at the start.
        layers: A row per layer, see `N_INPUTS`.
        kind: Number of the activation, see `RELU`.
        leak: Slope of the leaky ReLU below 0; 0 for the others.
        is_adam: Whether to step as Adam does, else as SGD.
        rate: Learning rate.
        decay: Weight decay, decoupled from the gradient; with 0 the bits are those of no decay.
        class_weights: Factor on the loss of an example of each class, `[classes]`; empty if all count alike.
        examples: `[n, features + 1]`, flat; the last number of an example is its class.
        orders: Order of the examples in each epoch, uint32 `[epochs, n]`, flat, and fifteen numbers more.
        batch_size: Examples of a step; the last step of an epoch may have fewer.
        n_batches: Steps of an epoch.
        first: The first step to take; step 0 is the first one of the first epoch in `orders`.
        end: The step after the last.
        work: Memory for a batch, laid out as `layers` says; its last rows are for deltas side by side (`N_ROWS` rows),
            labels and example weights.
        gradient: Memory for as many numbers, without those that pad; all 0 before the first step.
        losses: Sum of the losses of each epoch's examples, float64 `[epochs]`; these steps are added to it.
        validation: Examples to classify after each epoch, of whose arguments `classify` has five: `layers`, `inputs`,
            the classes, `work` and `width`. A constant as width would compile all of `classify` once more.
        n_right: How many of these are classified correctly, int64 `[epochs]`.
    """
    n_inputs, n_classes = layers[0, N_INPUTS], layers[-1, N_OUTPUTS]
    signal, logits = layers[0, SIGNAL], layers[-1, RESULT]
    width = -(-batch_size // BLOCK) * BLOCK
    label_row, share_row = len(work) - 2 * width, len(work) - width
    n_examples = len(examples) // (n_inputs + 1)
    for step in range(first, end):
        epoch = step // n_batches
        start = (step - epoch * n_batches) * batch_size
        size = min(batch_size, n_examples - start)
        at = epoch * n_examples + start
        _gather_batch(work, signal, n_inputs, examples, orders, at, size, class_weights, width)
        _forward(parameters, layers, kind, leak, work, width)
        losses[epoch] += size * cross_entropy(work, logits, n_classes, label_row, share_row, width)
        _backward(parameters, layers, kind, leak, work, width, gradient)
        if is_adam:
            adam_step(parameters, gradient, moments, rate, decay, powers)
        else:
            sgd_step(parameters, gradient, rate, decay)
        if step + 1 == (epoch + 1) * n_batches:
            layers_of_block, inputs, wanted, space, width_of_block = validation
            n_right[epoch] = _count_right(
                parameters, layers_of_block, kind, leak, inputs, wanted, space, width_of_block
            )


@part
def _answer(
    parameters: Any, layers: Any, kind: int, leak: float, inputs: Any, start: int, work: Any, width: int
) -> None:  # fmt: skip
    """Write the most probable class of each example of a block in the place of its first logit, see `classify`."""
    n_inputs, signal, logits = layers[0, N_INPUTS], layers[0, SIGNAL], layers[-1, RESULT]
    for at in range(0, n_inputs * width, LANES):
        store(work, signal + at, load(inputs, start * n_inputs + at))
    _forward(parameters, layers, kind, leak, work, width)
    for column in range(0, width, LANES):
        largest = load(work, logits + column)
        best = constant(work, 0.0)
        for row in range(1, layers[-1, N_OUTPUTS]):
            logit = load(work, logits + row * width + column)
            larger = select(logit <= largest, constant(work, 0.0), 1.0)
            larger = select(largest == largest, larger, 0.0)
            best, largest = select(larger > 0.0, row, best), select(larger > 0.0, logit, largest)
        store(work, logits + column, best)


@part
def _count_right(
    parameters: Any, layers: Any, kind: int, leak: float, inputs: Any, labels: Any, work: Any, width: int
) -> int:  # fmt: skip
    """Return how many examples a network classifies correctly; see `classify`."""
    n_right, logits = 0, layers[-1, RESULT]
    for start in range(0, len(labels), width):
        _answer(parameters, layers, kind, leak, inputs, start, work, width)
        for column in range(min(width, len(labels) - start)):
            n_right += labels[start + column] == work[logits + column]
    return n_right


@program
def classify(
    parameters: Any, layers: Any, kind: int, leak: float, inputs: Any, work: Any, width: int, classes: Any
) -> None:
    """Write the most probable class of each example, by one small network, into `classes`.

    Of equally large logits the first class is taken; a NaN counts as larger than any number, as in `argmax`.

    Args:
        parameters: The network's weights and biases, see `train`.
        layers: A row per layer, see `N_INPUTS`.
        kind: Number of the activation, see `RELU`.
        leak: Slope of the leaky ReLU below 0; 0 for the others.
        inputs: `[blocks, features, width]`, flat: as many blocks as the examples fill, the last one filled up.
        work: Scratch memory for `width` examples, laid out as `layers` says.
        width: Examples computed at a time, a multiple of `BLOCK`.
        classes: Integers `[n]`, where the numbers of the classes are written.
    """
    for start in range(0, len(classes), width):
        _answer(parameters, layers, kind, leak, inputs, start, work, width)
        for column in range(min(width, len(classes) - start)):
            classes[start + column] = work[layers[-1, RESULT] + column]
