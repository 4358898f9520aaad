"""Several rows of a matrix product at a time in compiled code: as many sums as the processor's registers hold.

A sum that stays in a register from its first product to its last waits for its own last addition alone, so that many
side by side keep a processor busy. How many there are changes no number: the order within each of them is the same.

For functions that numba compiles; outside of them nothing here can be called.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.types.containers import UniTuple

from mlp_core.engine.compilation import N_SUMS
from mlp_core.engine.vectors import LANES, Vector, called, element, intrinsic, loaded, repeated, shuffled

N_ROWS = N_SUMS // 2
"""Rows of a tile, which is two vectors wide in `add_products`, and four sums in `add_pairs`."""
TALL_ROWS = 8 if N_SUMS == 16 else 4
"""Rows of a tile of `add_tall_products`: of few sums each is one vector wide, so that less is read for a product."""
TALL_COLUMNS = N_SUMS // TALL_ROWS * LANES
"""Numbers that such a tile is wide."""


def _tile(array: Any) -> Any:
    return UniTuple(Vector(array.dtype), N_SUMS)


def _number(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _added(builder: Any, tile: Any, number: int, a: Any, b: Any) -> Any:
    """Return a tile with a * b added to one of its sums."""
    return builder.insert_value(tile, called(builder, "fma", a, b, builder.extract_value(tile, number)), number)


@intrinsic
def zeros(typing: Any, like: Any) -> Any:
    """Return a tile of sums that are all 0, of the number type of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return _tile(like)(like), generate


def _vectors(builder: Any, index: Any, step: Any) -> Any:
    """Yield the number of each vector of a tall tile and the place where it begins, its rows `step` numbers apart."""
    for number in range(N_SUMS):
        row, part = divmod(number, TALL_COLUMNS // LANES)
        yield number, builder.add(index, builder.add(builder.mul(step, _number(row)), _number(part * LANES)))


@intrinsic
def load_tile(typing: Any, array: Any, index: Any, step: Any) -> Any:
    """Return a tall tile, whose rows lie from `index` on, `step` numbers apart."""
    kind = _tile(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, step = arguments
        tile = ir.Constant(context.get_value_type(kind), ir.Undefined)
        for number, place in _vectors(builder, index, step):
            numbers = loaded(context, builder, LANES, signature.args[0], array, place)
            tile = builder.insert_value(tile, numbers, number)
        return tile

    return kind(array, types.intp, types.intp), generate


@intrinsic
def store_tile(typing: Any, array: Any, index: Any, step: Any, tile: Any) -> Any:
    """Write a tall tile's rows from `index` on, `step` numbers apart."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, step, tile = arguments
        kind = context.get_value_type(signature.args[3].dtype)
        for number, place in _vectors(builder, index, step):
            address = builder.bitcast(element(context, builder, signature.args[0], array, place), kind.as_pointer())
            builder.store(builder.extract_value(tile, number), address, align=signature.args[0].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, tile), generate


@intrinsic
def prefetch_tile(typing: Any, array: Any, index: Any, step: Any) -> Any:
    """Ask for the memory of a tall tile before it is needed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, step = arguments
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        for _, place in _vectors(builder, index, step):
            address = builder.bitcast(element(context, builder, signature.args[0], array, place), byte)
            builder.call(function, [address, *(ir.Constant(word, value) for value in (0, 3, 1))])  # to read, and keep
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


def _product_adder(n_rows: int) -> Any:
    n_parts = N_SUMS // n_rows

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, weights, weight, step, array, index = arguments
        _, weights_type, _, _, array_type, _ = signature.args
        parts = [
            loaded(context, builder, LANES, array_type, array, builder.add(index, _number(part * LANES)))
            for part in range(n_parts)
        ]
        for row in range(n_rows):
            place = builder.add(weight, builder.mul(step, _number(row)))
            factor = repeated(builder, builder.load(element(context, builder, weights_type, weights, place)), LANES)
            for part, numbers in enumerate(parts):
                tile = _added(builder, tile, n_parts * row + part, factor, numbers)
        return tile

    return generate


@intrinsic
def add_products(typing: Any, tile: Any, weights: Any, weight: Any, step: Any, array: Any, index: Any) -> Any:
    """Return a tile with a product added to each sum: of a row's weight, and one of 32 numbers from `index` on.

    The weight of row r is `weights[weight + r * step]`.
    """
    return tile(tile, weights, types.intp, types.intp, array, types.intp), _product_adder(N_ROWS)


@intrinsic
def add_tall_products(typing: Any, tile: Any, weights: Any, weight: Any, step: Any, array: Any, index: Any) -> Any:
    """Return a tall tile, `TALL_ROWS` by `TALL_COLUMNS`, with a product added to each sum, as `add_products`."""
    return tile(tile, weights, types.intp, types.intp, array, types.intp), _product_adder(TALL_ROWS)


@intrinsic
def add_pairs(typing: Any, tile: Any, array: Any, pairs: Any, columns: Any, step: Any) -> Any:
    """Return a tile with sixteen products added for each row and each of four columns, to eight sums apart.

    A vector of the tile has eight sums of a row and eight of the next. Of two rows, eight numbers of each lie side by
    side from `pairs` on, of the next two from `pairs + 2 * step` on; those of the columns from `columns + c * step` on.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, array, pairs, columns, step = arguments

        def read(lanes: int, start: Any, n_steps: int, offset: int) -> Any:
            place = builder.add(start, builder.add(builder.mul(step, _number(n_steps)), _number(offset)))
            return loaded(context, builder, lanes, signature.args[1], array, place)

        for eight in range(2):
            rows = [read(LANES, pairs, row, eight * LANES) for row in range(0, N_ROWS, 2)]
            for column in range(4):
                half = read(LANES // 2, columns, column, eight * LANES // 2)
                twice = shuffled(builder, half, half, [*range(LANES // 2)] * 2)
                for pair, numbers in enumerate(rows):
                    tile = _added(builder, tile, 4 * pair + column, numbers, twice)
        return tile

    return tile(tile, array, types.intp, types.intp, types.intp), generate


@intrinsic
def row_totals(typing: Any, tile: Any) -> Any:
    """Return the totals of a tile of `add_pairs`, a vector of four columns for each row.

    Each equals `mlp_core.engine.vectors.total` of its eight sums bit for bit.
    """
    kind = UniTuple(Vector(tile.dtype.dtype, 4), N_ROWS)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        result = ir.Constant(context.get_value_type(kind), ir.Undefined)
        for first in range(0, N_ROWS, 4):
            n_rows = min(4, N_ROWS)
            numbers = range(2 * first, 2 * first + 2 * n_rows)
            together = _row_totals(builder, [builder.extract_value(arguments[0], number) for number in numbers], n_rows)
            for row in range(n_rows):
                four = shuffled(builder, together, together, range(4 * row, 4 * row + 4))
                result = builder.insert_value(result, four, first + row)
        return result

    return kind(tile), generate


def _row_totals(builder: Any, sums: list[Any], n_rows: int) -> Any:
    """Return the totals of two or four rows, of each row those of its four columns."""

    def added(a: Any, b: Any, places: list[int], distance: int) -> Any:
        others = [place + distance for place in places]
        return builder.fadd(shuffled(builder, a, b, places), shuffled(builder, a, b, others))

    rows, n = range(n_rows), 4 * n_rows
    # Each column's: of each row four sums of two numbers; then of two columns, two sums of four each
    places = [8 * row + lane for row in rows for lane in range(4)]
    a, b, c, d = (added(sums[column], sums[column - 4], places, 4) for column in range(4))
    places = [start + 4 * row + lane for row in rows for start in (0, n) for lane in range(2)]
    ab, cd = added(a, b, places, 2), added(c, d, places, 2)
    places = [start + 4 * row + lane for row in rows for start in (0, n) for lane in (0, 2)]
    return added(ab, cd, places, 1)


@intrinsic
def put(typing: Any, array: Any, index: Any, step: Any, n_rows: Any, n_columns: Any, vectors: Any) -> Any:
    """Write a tile's rows into an array, `step` numbers apart, without what is beyond `n_rows` and `n_columns`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, step, n_rows, n_columns, vectors = arguments
        array_type, vector = signature.args[0], signature.args[5].dtype
        kind = context.get_value_type(vector)

        def address(row: int, column: int) -> Any:
            place = builder.add(index, builder.add(builder.mul(step, _number(row)), _number(column)))
            return element(context, builder, array_type, array, place)

        def store(row: int, column: int, numbers: Any) -> None:
            place = builder.bitcast(address(row, column), kind.as_pointer())
            builder.store(numbers, place, align=vector.dtype.bitwidth // 8)

        per_row = len(signature.args[5]) // N_ROWS
        for row in range(N_ROWS):
            with builder.if_then(builder.icmp_signed("<", _number(row), n_rows)):
                for part in range(per_row):
                    first, numbers = part * vector.lanes, builder.extract_value(vectors, row * per_row + part)
                    whole = builder.icmp_signed("<=", _number(first + vector.lanes), n_columns)
                    with builder.if_else(whole) as (then, otherwise):
                        with then:
                            store(row, first, numbers)
                        with otherwise:
                            for lane in range(vector.lanes - 1):
                                with builder.if_then(builder.icmp_signed("<", _number(first + lane), n_columns)):
                                    number = builder.extract_element(numbers, ir.Constant(ir.IntType(32), lane))
                                    builder.store(number, address(row, first + lane))
        return context.get_dummy_value()

    integers = [types.intp] * 4
    return types.void(array, *integers, vectors), generate


@intrinsic
def gather_rows(
    typing: Any, out: Any, at: Any, width: Any, array: Any, step: Any, offset: Any, numbers: Any, index: Any
) -> Any:
    """Write sixteen rows of sixteen numbers, `width` apart, with what lies in sixteen columns of an array.

    Lane k of row r is `array[step * numbers[index + k] + offset + r]`: what `gather` gives for each row, for a fourth
    of the time, since the numbers of a column are read together.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, at, width, array, step, offset, numbers, index = arguments
        out_type, _, _, array_type, _, _, numbers_type, _ = signature.args
        rows = []
        for lane in range(LANES):
            place = element(context, builder, numbers_type, numbers, builder.add(index, _number(lane)))
            start = builder.add(builder.mul(builder.zext(builder.load(place), step.type), step), offset)
            rows.append(loaded(context, builder, LANES, array_type, array, start))
        for distance in (8, 4, 2, 1):  # a row and the one so far below change places of half their numbers
            stays = [lane & distance == 0 for lane in range(LANES)]
            upper = [lane if stay else LANES + lane - distance for lane, stay in enumerate(stays)]
            lower = [lane + distance if stay else LANES + lane for lane, stay in enumerate(stays)]
            for row in (row for row, stay in enumerate(stays) if stay):
                a, b = rows[row], rows[row + distance]
                rows[row], rows[row + distance] = shuffled(builder, a, b, upper), shuffled(builder, a, b, lower)
        for row, vector in enumerate(rows):
            place = element(context, builder, out_type, out, builder.add(at, builder.mul(width, _number(row))))
            kind = context.get_value_type(Vector(array_type.dtype))
            builder.store(vector, builder.bitcast(place, kind.as_pointer()), align=array_type.dtype.bitwidth // 8)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(out, integer, integer, array, integer, integer, numbers, integer), generate
