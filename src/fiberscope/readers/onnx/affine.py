"""Operators of ONNX that are affine: products with constant matrices, sums, factors, batch normalisation."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.network.building import Value, batch_norm_scaling
from fiberscope.readers.onnx.operation import LARGEST_TABLE, Array, Operation, Result, Unsupported, check_size
from fiberscope.readers.onnx.versions import ML
from fiberscope.readers.onnx.windows import is_power_of_two, reduced

Numbers = NDArray[np.float64]


# ---- products with matrices


def _matmul(op: Operation) -> Result:
    if isinstance(op.given(0), Value):
        return _times_constant(op, op.name, op.value(0), op.numbers(1))
    return _constant_times(op, op.name, op.numbers(0), op.value(1))


def _times_constant(op: Operation, name: str, value: Value, matrix: Numbers, bias: Numbers | None = None) -> Value:
    """``value @ matrix + bias``, as numpy multiplies: value (..., i, k), matrix (..., k, j), bias (j,)."""
    if matrix.ndim == 1:
        out = _times_constant(op, name, value, matrix[:, None])
        return op.builder.reshape(out, out.shape[:-1])
    if matrix.ndim == 2:
        rows = value.size // max(1, matrix.shape[0])
        if rows > 1:
            check_size((rows, *matrix.shape), LARGEST_TABLE)  # the matrix is written out once per row
        return op.builder.dense(name, value, matrix.T, bias)
    rows = value.positions if len(value.shape) > 1 else value.positions[None, :]
    out = _general_product(op, name, value, rows[..., :, None, :], np.swapaxes(matrix, -1, -2)[..., None, :, :])
    return out if len(value.shape) > 1 else op.builder.reshape(out, (*out.shape[:-2], out.shape[-1]))


def _constant_times(op: Operation, name: str, matrix: Numbers, value: Value) -> Value:
    """``matrix @ value``, as numpy multiplies: matrix (..., i, k), value (..., k, j)."""
    if matrix.ndim == 1:
        out = _constant_times(op, name, matrix[None, :], value)  # (..., 1, j), or (1,) for a vector
        return op.builder.reshape(out, () if len(value.shape) == 1 else (*out.shape[:-2], out.shape[-1]))
    is_vector = len(value.shape) == 1
    if matrix.ndim == 2 and value.size == matrix.shape[1] and (is_vector or value.shape[-1] == 1):
        out = op.builder.dense(name, op.builder.reshape(value, (value.size,)), matrix)
        return out if is_vector else op.builder.reshape(out, (*value.shape[:-2], matrix.shape[0], 1))
    columns = value.positions[None, :] if is_vector else np.swapaxes(value.positions, -1, -2)
    out = _general_product(op, name, value, columns[..., None, :, :], matrix[..., :, None, :])
    return op.builder.reshape(out, out.shape[:-1]) if is_vector else out


def _general_product(op: Operation, name: str, value: Value, index: Array, weights: Numbers) -> Value:
    """Sums over the last axis of ``index``, broadcast against ``weights``."""
    if index.shape[-1] != weights.shape[-1]:
        raise Unsupported(f"it multiplies {index.shape[-1]} with {weights.shape[-1]} numbers")
    shape = np.broadcast_shapes(index.shape, weights.shape)
    check_size(shape, LARGEST_TABLE)
    return op.builder.weighted_sums(name, value, np.broadcast_to(index, shape), np.broadcast_to(weights, shape))


def _gemm(op: Operation) -> Result:
    alpha, beta = op.number("alpha", 1.0), op.number("beta", 1.0)
    left, right = (_oriented(op, i, name) for i, name in enumerate(("transA", "transB")))
    third = op.given(2) if op.has(2) else None
    shift = _scaled_constant(op, beta, op.numbers(2)) if isinstance(third, np.ndarray) else None
    name = op.part("product") if isinstance(third, Value) else op.name
    if isinstance(left, Value) and not isinstance(right, Value):
        if alpha == 1.0 and not isinstance(third, Value) and (shift is None or shift.size == prod(shift.shape[-1:])):
            bias = None if shift is None else np.broadcast_to(shift.reshape(-1), (right.shape[1],))
            return _times_constant(op, op.name, left, right, bias)
        product = _times_constant(op, name, left, right)
    elif isinstance(right, Value) and not isinstance(left, Value):
        product = _constant_times(op, name, left, right)
    else:
        raise Unsupported("it multiplies two tensors that depend on the network's input, or none")
    if isinstance(third, Value):
        scaled = op.builder.scaled(op.part("addend"), third, beta)
        return op.builder.add(op.name, (op.builder.scaled(op.part("scaled"), product, alpha), scaled))
    return op.builder.scaled(op.part("scaled"), product, alpha, 0.0 if shift is None else shift)


def _oriented(op: Operation, position: int, flag: str) -> Value | Numbers:
    """A factor of a Gemm, transposed if the flag says so."""
    transposed = bool(op.integer(flag, 0))
    if not isinstance(value := op.given(position), Value):
        matrix = op.numbers(position)
        return matrix.T if transposed else matrix
    return op.taken(value, value.positions.T, op.part("transposed")) if transposed else value


def _scaled_constant(op: Operation, factor: float, constant: Numbers) -> Numbers:
    if not is_power_of_two(factor) and constant.any():
        op.note("its constants are multiplied by a factor, and rounded to float64")
    return np.asarray(constant * factor)


# ---- sums and factors


def _operands(op: Operation) -> tuple[Value | Array, Value | Array]:
    """Both operands; old operators say at which axis of the first the second begins."""
    first, second = op.given(0), op.given(1)
    if op.opset < 7 and "axis" in op.attributes:
        behind = len(first.shape) - op.integer("axis", 0) - len(second.shape)
        shape = (*second.shape, *[1] * behind)
        second = op.builder.reshape(second, shape) if isinstance(second, Value) else second.reshape(shape)
    return first, second


def _constant_of(op: Operation, position: int, operand: Value | Array) -> Numbers | None:
    """An operand's numbers in its shape; None if it is no constant."""
    return None if isinstance(operand, Value) else op.numbers(position).reshape(operand.shape)


def _add(op: Operation) -> Result:
    return _sum(op, list(_operands(op)))


def _sum_of_all(op: Operation) -> Result:
    return _sum(op, [op.given(i) for i in range(len(op.inputs))])


def _mean_of_all(op: Operation) -> Result:
    total = _sum(op, [op.given(i) for i in range(len(op.inputs))])
    return op.builder.scaled(op.part("mean"), total, _reciprocal(op, np.array(len(op.inputs), dtype=np.float64)))


def _sum(op: Operation, operands: list[Value | Array]) -> Value:
    check_size(np.broadcast_shapes(*(operand.shape for operand in operands)))
    values = [operand for operand in operands if isinstance(operand, Value)]
    constants = [c for i, v in enumerate(operands) if (c := _constant_of(op, i, v)) is not None]
    total = values[0] if len(values) == 1 else op.builder.add(op.name, values)
    name = op.name if len(values) == 1 else op.part("constant")
    return op.builder.scaled(name, total, 1.0, sum(constants[1:], constants[0])) if constants else total


def _sub(op: Operation) -> Result:
    first, second = _operands(op)
    check_size(np.broadcast_shapes(first.shape, second.shape))
    if isinstance(second, Value):
        if isinstance(first, Value):
            return op.builder.add(op.name, (first, op.builder.scaled(op.part("negative"), second, -1.0)))
        return op.builder.scaled(op.name, second, -1.0, op.numbers(0))
    assert isinstance(first, Value), "one of the operands depends on the input"
    return op.builder.scaled(op.name, first, 1.0, -op.numbers(1).reshape(second.shape))


def _neg(op: Operation) -> Result:
    return op.builder.scaled(op.name, op.value(), -1.0)


def _mul(op: Operation) -> Result:
    operands = _operands(op)
    check_size(np.broadcast_shapes(*(operand.shape for operand in operands)))
    for value, constant in ((0, 1), (1, 0)):
        factor = _constant_of(op, constant, operands[constant])
        other = operands[value]
        if factor is not None and isinstance(other, Value):
            return op.builder.scaled(op.name, other, factor)
    raise Unsupported("it multiplies two tensors that depend on the network's input")


def _div(op: Operation) -> Result:
    value, second = _operands(op)
    divisor = _constant_of(op, 1, second)
    if divisor is None or not isinstance(value, Value):
        raise Unsupported("it divides by a tensor that depends on the network's input")
    check_size(np.broadcast_shapes(value.shape, divisor.shape))
    return op.builder.scaled(op.name, value, _reciprocal(op, divisor))


def _reciprocal(op: Operation, divisor: Numbers) -> Numbers:
    if not divisor.all():
        raise Unsupported("it divides by zero")
    if not is_power_of_two(divisor):
        op.note("it divides by constants; their reciprocals are rounded to float64")
    return np.asarray(1.0 / divisor)


def _batch_normalization(op: Operation) -> Result:
    value, (scale, shift, mean, variance) = op.value(), (op.numbers(i) for i in range(1, 5))
    if op.integer("training_mode", 0) or (op.opset < 7 and not op.integer("is_test", 0)):
        raise Unsupported("it is in training mode; export the model in evaluation mode")
    per_channel = bool(op.integer("spatial", 1))
    shape = (value.shape[1], *[1] * (len(value.shape) - 2)) if per_channel else value.shape[1:]
    epsilon = op.number("epsilon", 1e-5)
    if not (variance + epsilon > 0).all():
        raise Unsupported("a variance is not positive")
    factor, constant = batch_norm_scaling(mean, variance, epsilon, scale, shift)
    op.builder.note(
        "batch normalisations are written as factors and constants, rounded to float64; verdicts are about the rounded "
        "numbers"
    )
    return op.builder.scaled(op.name, value, factor.reshape(shape), constant.reshape(shape))


def _scaler(op: Operation) -> Result:
    """``(x - offset) * scale``, feature by feature."""
    value = op.value()
    offset, scale = (_numbers(op, name) for name in ("offset", "scale"))
    features = value.shape[-1] if 1 <= len(value.shape) <= 2 else 1
    if not {offset.size, scale.size} <= {1, features} or offset.size != scale.size:
        raise Unsupported(f"{offset.size} offsets and {scale.size} scales for a tensor of shape {value.shape}")
    centred = op.builder.scaled(op.part("offset"), value, 1.0, -offset)
    return op.builder.scaled(op.name, centred, scale)


def _numbers(op: Operation, attribute: str) -> Numbers:
    """An attribute that is a list of finite numbers."""
    given: Any = op.attributes.get(attribute, [])
    numbers = np.asarray(given, dtype=np.float64)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise Unsupported(f"its attribute {attribute} is no list of finite numbers")
    return numbers


# ---- sums over axes


def _reduce_sum(op: Operation) -> Result:
    value = op.value()
    index = reduced(op, value)
    return value if index is None else op.builder.weighted_sums(op.name, value, index, np.ones(index.shape))


def _reduce_mean(op: Operation) -> Result:
    value = op.value()
    index = reduced(op, value)
    if index is None:
        return value
    weight = _reciprocal(op, np.array(index.shape[-1], dtype=np.float64))
    return op.builder.weighted_sums(op.name, value, index, np.broadcast_to(weight, index.shape))


AFFINE: dict[str, Callable[[Operation], Result]] = {
    "Add": _add,
    "BatchNormalization": _batch_normalization,
    "Div": _div,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Mean": _mean_of_all,
    "Mul": _mul,
    "Neg": _neg,
    "ReduceMean": _reduce_mean,
    "ReduceSum": _reduce_sum,
    "Sub": _sub,
    "Sum": _sum_of_all,
    f"{ML}.Scaler": _scaler,
}
"""Affine operators that do not run windows over a grid, for inputs that depend on the network's."""

__all__ = ["AFFINE"]
