"""Sixteen numbers at a time in compiled code: what numba lacks to say how a loop is computed, sum by sum.

A compiler that may choose how wide it computes also chooses the order of every sum, and so its last digits. Here the
source chooses: a `Vector` is sixteen numbers, each operation is one of IEEE 754, rounded once, `fma` is fused, and
`total` and `totals` add eight numbers in one order. The compiler may only cut a vector into the registers that a
processor has, which changes no number. Whatever processor the code is compiled for, these are the same bits.

For functions that numba compiles; outside of them nothing here can be called.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import lower_builtin, models, register_model

LANES = 16
intrinsic: Callable[[Any], Any] = numba_intrinsic
_BITS = {types.float32: (32, 23, 127), types.float64: (64, 52, 1023)}
"""Of a number: its bits, those of its mantissa, and the bias of its exponent."""


class Vector(types.Type):
    """Numba's type of a vector: `lanes` numbers (sixteen, or eight for a half), or as many results of a comparison."""

    def __init__(self, dtype: Any, lanes: int = LANES) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(f"Vector({dtype}, {lanes})")


_LLVM = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.boolean: ir.IntType(1)}


def _vector(kind: Vector) -> ir.VectorType:
    return ir.VectorType(_LLVM[kind.dtype], kind.lanes)


def shuffled(builder: Any, a: Any, b: Any, places: Any) -> Any:
    """Return the numbers at some places of two vectors, the second one's counted after the first one's."""
    places = [*places]
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _vector(vector))


def repeated(builder: Any, number: Any, lanes: int) -> Any:
    """Return many times a number."""
    kind = ir.VectorType(number.type, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return shuffled(builder, first, first, [0] * lanes)


def _as_vector(context: Any, builder: Any, value: Any, kind: Any, vector: Vector) -> Any:
    if isinstance(kind, Vector):
        return value
    return repeated(builder, context.cast(builder, value, kind, vector.dtype), vector.lanes)


def element(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Return the address of an element; unlike in Python, no negative index counts from the end."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def loaded(context: Any, builder: Any, lanes: int, array_type: Any, array: Any, index: Any) -> Any:
    """Return the numbers of an array from an index on, as many as `lanes`."""
    kind = _vector(Vector(array_type.dtype, lanes))
    address = element(context, builder, array_type, array, index)
    return builder.load(builder.bitcast(address, kind.as_pointer()), align=array_type.dtype.bitwidth // 8)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return the vector of the sixteen numbers of an array from an index on; no bounds are checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return loaded(context, builder, LANES, signature.args[0], *arguments)

    return Vector(array.dtype)(array, types.intp), generate


@intrinsic
def load_pair(typing: Any, array: Any, index: Any, other: Any) -> Any:
    """Return a vector of eight numbers of an array from `index` on, then eight from `other` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, *indices = arguments
        first, second = (loaded(context, builder, LANES // 2, signature.args[0], array, at) for at in indices)
        return shuffled(builder, first, second, range(LANES))

    return Vector(array.dtype)(array, types.intp, types.intp), generate


@intrinsic
def lower(typing: Any, vector: Any) -> Any:
    """Return the first half of a vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return shuffled(builder, arguments[0], arguments[0], range(vector.lanes // 2))

    return Vector(vector.dtype, vector.lanes // 2)(vector), generate


@intrinsic
def upper(typing: Any, vector: Any) -> Any:
    """Return the second half of a vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return shuffled(builder, arguments[0], arguments[0], range(vector.lanes // 2, vector.lanes))

    return Vector(vector.dtype, vector.lanes // 2)(vector), generate


@intrinsic
def gather(typing: Any, array: Any, step: Any, offset: Any, numbers: Any, index: Any) -> Any:
    """Return a vector of sixteen numbers of `array` at places that are computed from sixteen integers.

    Its lane k is `array[step * numbers[index + k] + offset]`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, step, offset, numbers, index = arguments
        result = ir.Constant(_vector(signature.return_type), ir.Undefined)
        for lane in range(LANES):
            at = builder.add(index, ir.Constant(index.type, lane))
            number = builder.load(element(context, builder, signature.args[3], numbers, at))
            place = builder.add(builder.mul(builder.zext(number, step.type), step), offset)
            value = builder.load(element(context, builder, signature.args[0], array, place))
            result = builder.insert_element(result, value, ir.Constant(ir.IntType(32), lane))
        return result

    return Vector(array.dtype)(array, types.intp, types.intp, numbers, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write the numbers of a vector into an array of their type, from an index on."""
    if array.dtype != vector.dtype:
        return None  # numba then says that the types do not fit

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type, _, vector_type = signature.args
        address = element(context, builder, array_type, *arguments[:2])
        address = builder.bitcast(address, _vector(vector_type).as_pointer())
        builder.store(arguments[2], address, align=vector_type.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def spread(typing: Any, array: Any, index: Any) -> Any:
    """Return a vector whose sixteen numbers are all `array[index]`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return repeated(builder, builder.load(element(context, builder, signature.args[0], *arguments)), LANES)

    return Vector(array.dtype)(array, types.intp), generate


@intrinsic
def constant(typing: Any, like: Any, number: Any) -> Any:
    """Return a vector whose sixteen numbers are all `number`, of the number type of `like`, an array or a vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _as_vector(context, builder, arguments[1], signature.args[1], signature.return_type)

    return Vector(like.dtype)(like, number), generate


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c for each lane, rounded once; a is a vector, b and c are vectors or numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.return_type
        a, b, c = (_as_vector(context, builder, *pair, kind) for pair in zip(arguments, signature.args, strict=True))
        return called(builder, "fma", a, b, c)

    return a(a, b, c), generate


@intrinsic
def square_root(typing: Any, vector: Any) -> Any:
    """Return the square roots of a vector's numbers."""
    return vector(vector), lambda context, builder, signature, arguments: called(builder, "sqrt", *arguments)


@intrinsic
def nearest_whole(typing: Any, vector: Any) -> Any:
    """Round each number of a vector to the nearest integer, halves to the even one; the type stays."""
    return vector(vector), lambda context, builder, signature, arguments: called(builder, "rint", *arguments)


@intrinsic
def absolute(typing: Any, vector: Any) -> Any:
    """Return the absolute values of a vector's numbers."""
    return vector(vector), lambda context, builder, signature, arguments: called(builder, "fabs", *arguments)


def called(builder: Any, name: str, *vectors: Any) -> Any:
    """Call one of LLVM's functions of vectors; llvmlite does not know how their names go."""
    kind = vectors[0].type
    suffix = {ir.FloatType(): "f32", ir.DoubleType(): "f64"}[kind.element]
    function_type = ir.FunctionType(kind, [kind] * len(vectors))
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.v{kind.count}{suffix}")
    return builder.call(function, vectors)


@intrinsic
def select(typing: Any, condition: Any, yes: Any, no: Any) -> Any:
    """Return, lane by lane, `yes` where the condition holds and `no` elsewhere; one of the two may be a number."""
    kind = yes if isinstance(yes, Vector) else no

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        answers = (_as_vector(context, builder, arguments[i], signature.args[i], kind) for i in (1, 2))
        return builder.select(arguments[0], *answers)

    return kind(condition, yes, no), generate


@intrinsic
def total(typing: Any, vector: Any) -> Any:
    """Return the sum of a vector of eight numbers, by lanes: ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (numbers,) = arguments
        for half in (4, 2, 1):
            low, high = (shuffled(builder, numbers, numbers, range(start, start + half)) for start in (0, half))
            numbers = builder.fadd(low, high)
        return builder.extract_element(numbers, ir.Constant(ir.IntType(32), 0))

    return vector.dtype(vector), generate if vector.lanes == 8 else None


@intrinsic
def totals(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return a vector of eight sums: of the first halves of a, b, c and d, then of their second halves.

    Each sum equals `total` of that half bit for bit; eight at once take a third of the instructions.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def added(a: Any, b: Any, places: list[int], distance: int) -> Any:
            others = [place + distance for place in places]
            return builder.fadd(shuffled(builder, a, b, places), shuffled(builder, a, b, others))

        # The halves of a and of b, each as four sums of two numbers; the same of c and d
        places = [start + lane for start in (0, 8, 16, 24) for lane in range(4)]
        a, b, c, d = arguments
        ab, cd = added(a, b, places, 4), added(c, d, places, 4)
        # Each as two sums of four: of a, c, then of their second halves, then of b, d, and theirs
        places = [start + lane for four in (0, 4, 8, 12) for start in (four, LANES + four) for lane in range(2)]
        twos = added(ab, cd, places, 2)
        places = [2 * half for half in (0, 4, 1, 5, 2, 6, 3, 7)]
        return added(twos, twos, places, 1)

    return Vector(a.dtype, LANES // 2)(a, b, c, d), generate


@intrinsic
def power_of_two(typing: Any, exponents: Any) -> Any:
    """Return 2^n for each number n of a vector; each n must be an integer for which 2^n is a normal number."""
    bits, mantissa, bias = _BITS[exponents.dtype]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, integers = arguments[0].type, ir.VectorType(ir.IntType(bits), exponents.lanes)
        # Beyond this number the mantissa's last bit counts ones; the shift leaves them alone
        shifted = builder.fadd(arguments[0], ir.Constant(kind, [1.5 * 2.0**mantissa] * exponents.lanes))
        whole = builder.shl(builder.bitcast(shifted, integers), ir.Constant(integers, [mantissa] * exponents.lanes))
        return builder.bitcast(builder.add(whole, ir.Constant(integers, [bias << mantissa] * exponents.lanes)), kind)

    return exponents(exponents), generate


@intrinsic
def exponent(typing: Any, vector: Any) -> Any:
    """Return the exponents e of a vector's numbers, written as m 2^e with 1 <= m < 2; for normal positive numbers."""
    bits, mantissa, bias = _BITS[vector.dtype]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = ir.VectorType(ir.IntType(bits), vector.lanes)
        whole = builder.lshr(builder.bitcast(arguments[0], integers), ir.Constant(integers, [mantissa] * vector.lanes))
        return builder.sitofp(builder.sub(whole, ir.Constant(integers, [bias] * vector.lanes)), arguments[0].type)

    return vector(vector), generate


@intrinsic
def mantissa(typing: Any, vector: Any) -> Any:
    """Return the mantissas m of a vector's numbers, written as m 2^e with 1 <= m < 2; for normal positive numbers."""
    bits, digits, bias = _BITS[vector.dtype]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = ir.VectorType(ir.IntType(bits), vector.lanes)
        fraction = builder.and_(
            builder.bitcast(arguments[0], integers), ir.Constant(integers, [(1 << digits) - 1] * vector.lanes)
        )
        whole = builder.or_(fraction, ir.Constant(integers, [bias << digits] * vector.lanes))
        return builder.bitcast(whole, arguments[0].type)

    return vector(vector), generate


class _Operation(AbstractTemplate):  # type: ignore[misc]
    """Of two vectors, or of a vector and a number that is the same for all."""

    def generic(self, args: Any, kws: Any) -> Any:
        """Return the signature for some types, None where they have no vector."""
        vectors = [kind for kind in args if isinstance(kind, Vector)]
        if len(args) != 2 or not vectors or not all(isinstance(kind, Vector | types.Number) for kind in args):
            return None
        result = Vector(types.boolean, vectors[0].lanes) if self.key in _COMPARISONS else vectors[0]
        return result(*args)


_COMPARISONS = (operator.lt, operator.le, operator.gt, operator.eq)


def _known(operation: Any, generate: Callable[[Any, Any, Any], Any]) -> Any:
    """Let numba make an operation of two vectors, or of a vector and a number, by a function of LLVM's builder."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = next(kind for kind in signature.args if isinstance(kind, Vector))
        pairs = zip(arguments, signature.args, strict=True)
        return generate(builder, *(_as_vector(context, builder, *pair, kind) for pair in pairs))

    for kinds in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(operation, *kinds)(lower)
    return infer_global(operation)(type(f"_{operation.__name__}", (_Operation,), {}))


_OPERATIONS = [
    _known(operator.add, lambda builder, a, b: builder.fadd(a, b)),
    _known(operator.sub, lambda builder, a, b: builder.fsub(a, b)),
    _known(operator.mul, lambda builder, a, b: builder.fmul(a, b)),
    _known(operator.truediv, lambda builder, a, b: builder.fdiv(a, b)),
    _known(operator.lt, lambda builder, a, b: builder.fcmp_ordered("<", a, b)),
    _known(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b)),
    _known(operator.eq, lambda builder, a, b: builder.fcmp_ordered("==", a, b)),
    _known(operator.le, lambda builder, a, b: builder.fcmp_ordered("<=", a, b)),
]
