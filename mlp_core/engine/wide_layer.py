"""A first layer of many inputs in compiled code, on a batch that all members see.

Networks of images spend most of their time here. A library's product takes each matrix apart first, so that it can read
it in its own order, for every member again. Here the batch is turned once for all members, weights are read where they
lie, and a step changes them tile by tile, so that no whole gradient is written.

A number depends on its member alone: sums over the inputs go from the first to the last, sums over a batch from its
first example to its last (see `mlp_core.engine.vectors`).

A tile is `TALL_ROWS` units by `TALL_COLUMNS` numbers, see `mlp_core.engine.tiles`. Where the units or the inputs are no
multiple of it, the last tile begins earlier: what it shares with the one before it is computed twice. Rows of weights
and of examples are filled up to whole vectors, as `mlp_core.engine.networks.aligned_rows` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mlp_core.engine.compilation import program
from mlp_core.engine.compiled import adam_change, adam_factors
from mlp_core.engine.tiles import (
    TALL_COLUMNS,
    TALL_ROWS,
    add_tall_products,
    gather_rows,
    load_tile,
    prefetch_tile,
    store_tile,
    zeros,
)
from mlp_core.engine.vectors import LANES, fma, load, store

_TILE = TALL_ROWS * TALL_COLUMNS
_INPUTS = 128
"""Inputs of a batch that stay in the first cache while all units are multiplied with them."""
_PANEL = 1024
"""Inputs whose weights a member changes before it goes on to its next units."""
GRADIENT, SGD, ADAM = range(3)
"""What becomes of a gradient: it is written, or a step is taken."""


@program
def turn(rows: Any, row_step: int, n_inputs: int, numbers: Any, columns: Any) -> None:
    """Write the batch input by input, as many numbers for each as there are `numbers`.

    Returns nothing: it changes `columns`.

    Args:
        rows: The examples, one after the other, flat.
        row_step: How far apart two of them begin.
        n_inputs: Inputs of an example, at least 16.
        numbers: Which example stands in which column, uint32, a multiple of 16.
        columns: `[inputs, columns]`, flat.
    """
    width = len(numbers)
    for first in range(0, n_inputs, LANES):
        start = min(first, n_inputs - LANES)
        for column in range(0, width, LANES):
            gather_rows(columns, start * width + column, width, rows, row_step, start, numbers, column)


@program
def multiply(
    weights: Any, steps: Any, n_members: int, n_units: int, n_inputs: int, columns: Any, width: int, sums: Any,
    out: Any, n_columns: int,
) -> None:  # fmt: skip
    """Write each member's pre-activations: sums over the inputs of weight times input.

    Returns nothing: it changes `out` and `sums`.

    Args:
        weights: The members' weights, flat.
        steps: How far apart two members' weights begin, two units' weights, two members' pre-activations, int64 `[3]`.
        n_members: Number of members.
        n_units: Units of the layer, at least `TALL_ROWS`.
        n_inputs: Inputs of the layer, the constant for the bias included.
        columns: The batch as `turn` writes it.
        width: Numbers of each of its inputs, a multiple of `TALL_COLUMNS`.
        sums: Memory for `n_units` + `TALL_ROWS` rows of `width` numbers.
        out: The pre-activations, a row of `n_columns` for each unit of a member, flat.
        n_columns: Examples of the batch, at most `width`.
    """
    member_step, row_step, out_step = steps[0], steps[1], steps[2]
    for member in range(n_members):
        for first in range(0, n_inputs, _INPUTS):
            end = min(first + _INPUTS, n_inputs)
            for column in range(0, width, TALL_COLUMNS):
                for row in range(0, n_units, TALL_ROWS):
                    unit = min(row, n_units - TALL_ROWS)
                    tile = load_tile(sums, row * width + column, width) if first else zeros(sums)
                    weight = member * member_step + unit * row_step + first
                    if column == 0:
                        for ahead in range(0, end - first, TALL_COLUMNS):
                            prefetch_tile(weights, weight + TALL_ROWS * row_step + ahead, row_step)
                    for place in range(first * width + column, end * width + column, width):
                        tile = add_tall_products(tile, weights, weight, row_step, columns, place)
                        weight += 1
                    store_tile(sums, row * width + column, width, tile)
        n_whole = n_units // TALL_ROWS * TALL_ROWS
        for unit in range(n_units):
            place = (unit if unit < n_whole else n_whole + unit - n_units + TALL_ROWS) * width
            at = member * out_step + unit * n_columns
            for column in range(n_columns):
                out[at + column] = sums[place + column]


@program
def descend(
    weights: Any, steps: Any, n_members: int, n_units: int, n_inputs: int, deltas: Any, n_examples: int, rows: Any,
    row_step: int, kind: int, rate: float, decay: float, moments: Any, others: Any, powers: Any, space: Any,
) -> None:  # fmt: skip
    """Write the gradient of each member's weights, sums over the batch of delta times input, or take a step.

    Returns nothing: it changes `weights`, the moments, `powers` and `space`.

    Args:
        weights: The members' weights, flat, or where their gradient is written.
        steps: How far apart two members' weights begin, two units' weights, two members' deltas, int64 `[3]`.
        n_members: Number of members.
        n_units: Units of the layer, at least `TALL_ROWS`.
        n_inputs: Inputs of the layer, the constant for the bias included; at least 32.
        deltas: Gradients with respect to the pre-activations, a row of `n_examples` for each unit of a member, flat.
        n_examples: Examples of the batch.
        rows: The batch, example by example, flat.
        row_step: How far apart two examples begin.
        kind: What becomes of the gradient, see `GRADIENT`.
        rate: Learning rate.
        decay: Decoupled weight decay of Adam.
        moments: Adam's running means of the gradient, laid out like the weights; anything for the others.
        others: Those of its square.
        powers: Adam's two decay rates to the power of the steps taken so far, `[2]`; 1 at the start.
        space: Memory for a tile.
    """
    member_step, weight_step, delta_step = steps[0], steps[1], steps[2]
    factors, end = adam_factors(rate, decay, powers), -(-n_inputs // LANES) * LANES
    for member in range(n_members):
        for panel in range(0, n_inputs, _PANEL):
            for row in range(0, n_units, TALL_ROWS):
                unit = min(row, n_units - TALL_ROWS)
                delta = member * delta_step + unit * n_examples
                weight = member * member_step + unit * weight_step
                for column in range(panel, min(panel + _PANEL, end), TALL_COLUMNS):
                    start = min(column, end - TALL_COLUMNS)
                    prefetch_tile(weights, weight + start + TALL_COLUMNS, weight_step)
                    if kind == ADAM:
                        prefetch_tile(moments, weight + start + TALL_COLUMNS, weight_step)
                        prefetch_tile(others, weight + start + TALL_COLUMNS, weight_step)
                    tile = zeros(weights)
                    for example in range(n_examples):
                        at = example * row_step + start
                        tile = add_tall_products(tile, deltas, delta + example, n_examples, rows, at)
                    store_tile(space, 0, TALL_COLUMNS, tile)
                    # Beyond a row's inputs its memory holds anything
                    for lane in range(n_inputs - start, TALL_COLUMNS):
                        for tile_row in range(TALL_ROWS):
                            space[tile_row * TALL_COLUMNS + lane] = 0.0
                    for tile_row in range(row - unit, TALL_ROWS):
                        for lane in range(column - start, TALL_COLUMNS, LANES):
                            gradient = load(space, tile_row * TALL_COLUMNS + lane)
                            at = weight + tile_row * weight_step + start + lane
                            if kind == ADAM:
                                adam_change(weights, moments, others, at, gradient, factors)
                            elif kind == SGD:
                                store(weights, at, fma(gradient, 0.0 - rate, load(weights, at)))
                            else:
                                store(weights, at, gradient)


class WideLayer:
    """A first layer of many inputs, of all members, for batches of one size that they share; see `training.reads_rows`.

    Args:
        layer: The members' weights, bias last, `[members, units, inputs]`: views of one memory.
        pre_activations: Where the pre-activations are written, `[members, units, examples]`.
        deltas: Where the gradients with respect to them will lie, of that shape.
    """

    def __init__(self, layer: Tensor, pre_activations: Tensor, deltas: Tensor) -> None:
        self._n_members, self._n_units, self._n_inputs = layer.shape
        self._n_examples = deltas.shape[2]
        self._weights, self._out, self._deltas = flat(layer), flat(pre_activations), flat(deltas)
        self._steps = np.array([*layer.stride()[:2], pre_activations.stride(0)])
        self._delta_steps = np.array([*layer.stride()[:2], deltas.stride(0)])
        width = -(-self._n_examples // TALL_COLUMNS) * TALL_COLUMNS
        self._numbers = np.minimum(np.arange(width), self._n_examples - 1).astype(np.uint32)
        lengths = self._n_inputs * width, (self._n_units + TALL_ROWS) * width, _TILE
        self._columns, self._sums, self._space = (np.empty(length, self._weights.dtype) for length in lengths)

    def multiply(self, inputs: Tensor) -> None:
        """Write the pre-activations of a batch `[inputs, examples]`."""
        turn(flat(inputs.mT), inputs.stride(1), self._n_inputs, self._numbers, self._columns)
        multiply(
            self._weights, self._steps, self._n_members, self._n_units, self._n_inputs, self._columns,
            len(self._numbers), self._sums, self._out, self._n_examples,
        )  # fmt: skip

    def descent(
        self,
        kind: int,
        target: Tensor,
        rate: float = 0.0,
        decay: float = 0.0,
        moments: Sequence[Tensor] = (),
        powers: NDArray[np.float64] | None = None,
    ) -> Callable[[Tensor], object]:
        """Return a function that writes the gradient of a batch `[examples, inputs]`, or takes a step.

        Args:
            kind: Which of both, see `GRADIENT`.
            target: The weights, or what the gradient is written to, laid out like them.
            rate: Learning rate.
            decay: Decoupled weight decay of Adam.
            moments: Adam's running means of the gradient and of its square, laid out like the weights.
            powers: Adam's decay rates to the power of the steps taken so far, 1 at the start; each step changes them.
        """
        changed = flat(target)
        means, squares = (flat(moment) for moment in moments) if moments else (changed, changed)
        powers = np.ones(2) if powers is None else powers

        def descend_by(rows: Tensor) -> None:
            descend(
                changed, self._delta_steps, self._n_members, self._n_units, self._n_inputs, self._deltas,
                self._n_examples, flat(rows), rows.stride(0), kind, rate, decay, means, squares, powers, self._space,
            )  # fmt: skip

        return descend_by


def flat(tensor: Tensor) -> NDArray[Any]:
    """Return the memory of a tensor on the CPU from its first number to its last, whatever lies between two rows."""
    length = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    numbers: NDArray[Any] = tensor.as_strided((length,), (1,)).numpy()
    return numbers
