"""Eight numbers at a time in compiled code: what numba lacks to say how a loop is computed, sum by sum.

A compiler that may choose how wide it computes also chooses the order of every sum, and so its last digits. Here the
source chooses: a `Vector` is eight numbers in a register, each operation is one of IEEE 754, rounded once, `fma` is
fused, and `total` adds in one order. Whatever processor the code is compiled for, these are the same bits.

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

LANES = 8
intrinsic: Callable[[Any], Any] = numba_intrinsic
_BITS = {types.float32: (32, 23, 127), types.float64: (64, 52, 1023)}
"""Of a number: its bits, those of its mantissa, and the bias of its exponent."""


class Vector(types.Type):
    """The type of eight numbers, or of eight answers of a comparison."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(f"Vector({dtype})")


_LLVM = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.boolean: ir.IntType(1)}


def _vector(dtype: Any) -> ir.VectorType:
    return ir.VectorType(_LLVM[dtype], LANES)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _vector(vector.dtype))


def _spread(builder: Any, number: Any) -> Any:
    """Return eight times a number."""
    kind = ir.VectorType(number.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    nowhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, first, nowhere)


def _as_vector(context: Any, builder: Any, value: Any, kind: Any, vector: Vector) -> Any:
    if isinstance(kind, Vector):
        return value
    return _spread(builder, context.cast(builder, value, kind, vector.dtype))


def _element(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Return the address of an element; unlike in Python, no negative index counts from the end."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return the eight numbers of an array that begin at an index."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.return_type.dtype
        address = _element(context, builder, signature.args[0], *arguments)
        return builder.load(builder.bitcast(address, _vector(kind).as_pointer()), align=kind.bitwidth // 8)

    return Vector(array.dtype)(array, types.intp), generate


@intrinsic
def gather(typing: Any, array: Any, step: Any, offset: Any, numbers: Any, index: Any) -> Any:
    """Return the numbers of an array at `step` times each of eight integers, which begin at an index, plus `offset`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, step, offset, numbers, index = arguments
        kind = signature.return_type.dtype
        result = ir.Constant(_vector(kind), ir.Undefined)
        for lane in range(LANES):
            at = builder.add(index, ir.Constant(index.type, lane))
            number = builder.load(_element(context, builder, signature.args[3], numbers, at))
            place = builder.add(builder.mul(builder.zext(number, step.type), step), offset)
            value = builder.load(_element(context, builder, signature.args[0], array, place))
            result = builder.insert_element(result, value, ir.Constant(ir.IntType(32), lane))
        return result

    return Vector(array.dtype)(array, types.intp, types.intp, numbers, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write eight numbers into an array of their type, from an index on."""
    if array.dtype != vector.dtype:
        return None  # numba then says that the types do not fit

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type, _, vector_type = signature.args
        address = _element(context, builder, array_type, *arguments[:2])
        address = builder.bitcast(address, _vector(vector_type.dtype).as_pointer())
        builder.store(arguments[2], address, align=vector_type.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def spread(typing: Any, array: Any, index: Any) -> Any:
    """Return eight times the number of an array at an index."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, builder.load(_element(context, builder, signature.args[0], *arguments)))

    return Vector(array.dtype)(array, types.intp), generate


@intrinsic
def constant(typing: Any, like: Any, number: Any) -> Any:
    """Return eight times a number, of the type that an array or a vector holds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _as_vector(context, builder, arguments[1], signature.args[1], signature.return_type)

    return Vector(like.dtype)(like, number), generate


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once; b and c may each be one number for all."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.return_type
        a, b, c = (_as_vector(context, builder, *pair, kind) for pair in zip(arguments, signature.args, strict=True))
        return _call(builder, "fma", a, b, c)

    return a(a, b, c), generate


@intrinsic
def square_root(typing: Any, vector: Any) -> Any:
    """Return the square roots of eight numbers."""
    return vector(vector), lambda context, builder, signature, arguments: _call(builder, "sqrt", *arguments)


@intrinsic
def nearest_whole(typing: Any, vector: Any) -> Any:
    """Return the whole numbers nearest to eight numbers, of two equally near ones the even one."""
    return vector(vector), lambda context, builder, signature, arguments: _call(builder, "rint", *arguments)


@intrinsic
def absolute(typing: Any, vector: Any) -> Any:
    """Return the sizes of eight numbers."""
    return vector(vector), lambda context, builder, signature, arguments: _call(builder, "fabs", *arguments)


def _call(builder: Any, name: str, *vectors: Any) -> Any:
    """Call one of LLVM's functions of vectors; llvmlite does not know how their names go."""
    kind = vectors[0].type
    suffix = {ir.FloatType(): "f32", ir.DoubleType(): "f64"}[kind.element]
    function_type = ir.FunctionType(kind, [kind] * len(vectors))
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.v{LANES}{suffix}")
    return builder.call(function, vectors)


@intrinsic
def select(typing: Any, condition: Any, yes: Any, no: Any) -> Any:
    """Return lane by lane `yes` where the condition holds, else `no`; one of the two may be one number for all."""
    kind = yes if isinstance(yes, Vector) else no

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        answers = (_as_vector(context, builder, arguments[i], signature.args[i], kind) for i in (1, 2))
        return builder.select(arguments[0], *answers)

    return kind(condition, yes, no), generate


@intrinsic
def total(typing: Any, vector: Any) -> Any:
    """Return the sum of eight numbers: ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (numbers,) = arguments
        for half in (4, 2, 1):
            low, high = (
                ir.Constant(ir.VectorType(ir.IntType(32), half), [*range(start, start + half)]) for start in (0, half)
            )
            low, high = (builder.shuffle_vector(numbers, numbers, places) for places in (low, high))
            numbers = builder.fadd(low, high)
        return builder.extract_element(numbers, ir.Constant(ir.IntType(32), 0))

    return vector.dtype(vector), generate


@intrinsic
def power_of_two(typing: Any, exponents: Any) -> Any:
    """Return 2 to the power of eight whole numbers, none so large or small that the power is not normal."""
    bits, mantissa, bias = _BITS[exponents.dtype]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, integers = arguments[0].type, ir.VectorType(ir.IntType(bits), LANES)
        # Beyond this number the mantissa's last bit counts ones; the shift leaves them alone
        shifted = builder.fadd(arguments[0], ir.Constant(kind, [1.5 * 2.0**mantissa] * LANES))
        whole = builder.shl(builder.bitcast(shifted, integers), ir.Constant(integers, [mantissa] * LANES))
        return builder.bitcast(builder.add(whole, ir.Constant(integers, [bias << mantissa] * LANES)), kind)

    return exponents(exponents), generate


@intrinsic
def exponent(typing: Any, vector: Any) -> Any:
    """Return the whole numbers e of eight normal numbers m 2^e, 1 <= m < 2."""
    bits, mantissa, bias = _BITS[vector.dtype]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = ir.VectorType(ir.IntType(bits), LANES)
        whole = builder.lshr(builder.bitcast(arguments[0], integers), ir.Constant(integers, [mantissa] * LANES))
        return builder.sitofp(builder.sub(whole, ir.Constant(integers, [bias] * LANES)), arguments[0].type)

    return vector(vector), generate


@intrinsic
def mantissa(typing: Any, vector: Any) -> Any:
    """Return the numbers m of eight normal numbers m 2^e, 1 <= m < 2."""
    bits, digits, bias = _BITS[vector.dtype]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = ir.VectorType(ir.IntType(bits), LANES)
        fraction = builder.and_(
            builder.bitcast(arguments[0], integers), ir.Constant(integers, [(1 << digits) - 1] * LANES)
        )
        whole = builder.or_(fraction, ir.Constant(integers, [bias << digits] * LANES))
        return builder.bitcast(whole, arguments[0].type)

    return vector(vector), generate


class _Operation(AbstractTemplate):  # type: ignore[misc]
    """Of two vectors, or of a vector and a number that is the same for all."""

    def generic(self, args: Any, kws: Any) -> Any:
        """Return the signature for some types, None where they have no vector."""
        vectors = [kind for kind in args if isinstance(kind, Vector)]
        if len(args) != 2 or not vectors or not all(isinstance(kind, Vector | types.Number) for kind in args):
            return None
        result = Vector(types.boolean) if self.key in _COMPARISONS else vectors[0]
        return result(*args)


_COMPARISONS = (operator.lt, operator.le, operator.gt, operator.eq)


@infer_global(operator.add)
class _Add(_Operation):
    pass


@infer_global(operator.sub)
class _Subtract(_Operation):
    pass


@infer_global(operator.mul)
class _Multiply(_Operation):
    pass


@infer_global(operator.truediv)
class _Divide(_Operation):
    pass


@infer_global(operator.lt)
class _Less(_Operation):
    pass


@infer_global(operator.gt)
class _Greater(_Operation):
    pass


@infer_global(operator.eq)
class _Equal(_Operation):
    pass


@infer_global(operator.le)
class _AtMost(_Operation):
    pass


def _lowered(operation: Any, generate: Callable[[Any, Any, Any], Any]) -> Any:
    """Let numba make an operation of two vectors, or of a vector and a number, by a function of LLVM's builder."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = next(kind for kind in signature.args if isinstance(kind, Vector))
        pairs = zip(arguments, signature.args, strict=True)
        return generate(builder, *(_as_vector(context, builder, *pair, kind) for pair in pairs))

    for kinds in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(operation, *kinds)(lower)
    return lower


_OPERATIONS = [
    _lowered(operator.add, lambda builder, a, b: builder.fadd(a, b)),
    _lowered(operator.sub, lambda builder, a, b: builder.fsub(a, b)),
    _lowered(operator.mul, lambda builder, a, b: builder.fmul(a, b)),
    _lowered(operator.truediv, lambda builder, a, b: builder.fdiv(a, b)),
    _lowered(operator.lt, lambda builder, a, b: builder.fcmp_ordered("<", a, b)),
    _lowered(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b)),
    _lowered(operator.eq, lambda builder, a, b: builder.fcmp_ordered("==", a, b)),
    _lowered(operator.le, lambda builder, a, b: builder.fcmp_ordered("<=", a, b)),
]
