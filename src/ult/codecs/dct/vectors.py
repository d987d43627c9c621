"""Vector instructions of eight lanes and bit counts, which LLVM has and Numba does not generate from loops.

The results are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, types

# Callers pass what the compiled function takes; the declared types have the typing context before it.
intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = extending.intrinsic
LANES = 8
_ZEROS = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)


class _Emit:
    """Writes the instructions of one call."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        self.builder = builder
        arrays = [i for i, kind in enumerate(signature.args) if isinstance(kind, types.Array)]
        self.data = {i: context.make_array(signature.args[i])(context, builder, args[i]).data for i in arrays}

    def place(self, array: int, at: Any, beyond: int) -> Any:
        """Return the address of item `at + beyond` of an array."""
        return self.builder.gep(self.data[array], [self.builder.add(at, ir.Constant(at.type, beyond))])

    def eight(self, place: Any) -> Any:
        """Return the address `place` as that of a vector of eight."""
        return self.builder.bitcast(place, ir.VectorType(place.type.pointee, LANES).as_pointer())

    def load(self, place: Any) -> Any:
        """Return the eight numbers at `place`."""
        return self.builder.load(self.eight(place), align=2)

    def spread(self, one: Any) -> Any:
        """Return a vector of eight times the same number."""
        undefined = ir.Constant(ir.VectorType(one.type, LANES), ir.Undefined)
        first = self.builder.insert_element(undefined, one, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(first, undefined, _ZEROS)

    def add_product(self, total: Any, one: Any, other: Any) -> Any:
        """Return `total + one * other`; a fused instruction may round it once instead of twice."""
        product = self.builder.fmul(one, other, flags=("contract",))
        return self.builder.fadd(total, product, flags=("contract",))


def make_times(n: int, pitch: int) -> Callable[..., None]:
    """Return a function that sets out[to : to + 8] to the product of rows[at : at + n] and matrix[:n * 8], float32.

    It does so for eight rows of `rows` and `out`, which lie `pitch` items apart, so that the matrix is read only once.
    """

    @intrinsic
    def times(_: Any, rows: Any, at: Any, matrix: Any, out: Any, to: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            emit = _Emit(context, builder, signature, args)
            totals = [ir.Constant(ir.VectorType(ir.FloatType(), LANES), [0.0] * LANES)] * 8
            for x in range(n):
                row = emit.load(emit.place(2, ir.Constant(args[1].type, 0), LANES * x))
                for u in range(8):
                    factor = emit.spread(builder.load(emit.place(0, args[1], u * pitch + x)))
                    totals[u] = emit.add_product(totals[u], factor, row)
            for u in range(8):
                builder.store(totals[u], emit.eight(emit.place(3, args[4], u * pitch)), align=4)
            return context.get_dummy_value()

        return types.void(rows, at, matrix, out, to), generate

    return times


def _add(n: int) -> Callable[..., None]:
    """Return a function that adds value * matrix[start : start + n] to rows[at : at + n], float64."""

    @intrinsic
    def add(_: Any, rows: Any, at: Any, matrix: Any, start: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            emit = _Emit(context, builder, signature, args)
            factor = emit.spread(args[4])
            for x in range(0, n, LANES):
                place = emit.place(0, args[1], x)
                total = emit.add_product(emit.load(place), factor, emit.load(emit.place(2, args[3], x)))
                builder.store(total, emit.eight(place), align=4)
            return context.get_dummy_value()

        return types.void(rows, at, matrix, start, types.float64), generate

    return add


add8, add16 = _add(8), _add(16)


@intrinsic
def replace8(_: Any, source: Any, at: Any, target: Any, to: Any) -> Any:
    """Copy source[at : at + 8] to target[to : to + 8]; return whether the target changed."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit = _Emit(context, builder, signature, args)
        place = emit.place(2, args[3], 0)
        new, old = emit.load(emit.place(0, args[1], 0)), emit.load(place)
        builder.store(new, emit.eight(place), align=2)
        bits = ir.IntType(LANES * context.get_value_type(source.dtype).width)
        return builder.icmp_unsigned("!=", builder.bitcast(new, bits), builder.bitcast(old, bits))

    return types.boolean(source, at, target, to), generate


@intrinsic
def move8(_: Any, source: Any, at: Any, target: Any, to: Any) -> Any:
    """Copy source[at : at + 8] to target[to : to + 8]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit = _Emit(context, builder, signature, args)
        builder.store(emit.load(emit.place(0, args[1], 0)), emit.eight(emit.place(2, args[3], 0)), align=4)
        return context.get_dummy_value()

    return types.void(source, at, target, to), generate


@intrinsic
def pointer(_: Any, address: Any) -> Any:
    """Return `address` as a pointer to bytes, as `numba.carray` takes it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint8)(types.uintp), generate


@intrinsic
def lowest(_: Any, bits: Any) -> Any:
    """Return the position of the lowest set bit of `bits`, uint64, which is not 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@intrinsic
def ones(_: Any, bits: Any) -> Any:
    """Return the number of set bits of `bits`, uint64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate
