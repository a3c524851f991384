"""Operators of ONNX that are activations: pointwise ones, and maxima and minima."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from fiberscope.network.activations import PointwiseKind
from fiberscope.network.building import Value
from fiberscope.readers.onnx.operation import Operation, Result, Unsupported, check_size
from fiberscope.readers.onnx.windows import reduced

LARGEST_FLOAT = float(np.finfo(np.float32).max)
"""Bounds of a clip that large are none: exporters write them where there is no bound."""


def _relu(op: Operation) -> Result:
    return op.builder.relu(op.name, op.value())


def _leaky_relu(op: Operation) -> Result:
    slope = op.number("alpha", 0.01)
    return op.builder.pointwise(op.name, op.value(), PointwiseKind.LEAKY_RELU, slope=slope)


def _prelu(op: Operation) -> Result:
    value, slope = op.value(), op.numbers(1)
    if op.opset < 7 and slope.size > 1:  # one slope per channel
        slope = slope.reshape(-1, *[1] * (len(value.shape) - 2))
    return op.builder.pointwise(op.name, value, PointwiseKind.LEAKY_RELU, slope=slope)


def _elu(op: Operation) -> Result:
    return op.builder.pointwise(op.name, op.value(), PointwiseKind.ELU, alpha=op.number("alpha", 1.0))


def _celu(op: Operation) -> Result:
    alpha = op.number("alpha", 1.0)
    return op.builder.pointwise(op.name, op.value(), PointwiseKind.ELU, alpha=alpha, beta=alpha)


def _selu(op: Operation) -> Result:
    alpha, gamma = op.number("alpha", 1.67326319217681884765625), op.number("gamma", 1.05070102214813232421875)
    elu = op.builder.pointwise(op.part("elu"), op.value(), PointwiseKind.ELU, alpha=alpha)
    return op.builder.scaled(op.name, elu, gamma)


def _softplus(op: Operation) -> Result:
    return op.builder.pointwise(op.name, op.value(), PointwiseKind.SOFTPLUS)


def _tanh(op: Operation) -> Result:
    return op.builder.pointwise(op.name, op.value(), PointwiseKind.TANH)


def _sigmoid(op: Operation) -> Result:
    return op.builder.pointwise(op.name, op.value(), PointwiseKind.SIGMOID)


def _hard_sigmoid(op: Operation) -> Result:
    line = op.builder.scaled(op.part("line"), op.value(), op.number("alpha", 0.2), op.number("beta", 0.5))
    return op.builder.clip(op.name, line, 0.0, 1.0)


def _clip(op: Operation) -> Result:
    value = op.value()
    low, high = op.number_at(1, "min", -LARGEST_FLOAT), op.number_at(2, "max", LARGEST_FLOAT)
    if not low <= high:
        raise Unsupported(f"its bounds {low} and {high} are not in order")
    return op.builder.clip(
        op.name, value, low if low > -LARGEST_FLOAT else -np.inf, high if high < LARGEST_FLOAT else np.inf
    )


def _at_least(op: Operation, value: Value, bound: NDArray[np.float64]) -> Value:
    """``max(x, c)``; with bounds that differ, ``ReLU(x - c) + c``, which the layer before it can be judged with."""
    shape = np.broadcast_shapes(value.shape, bound.shape)
    check_size(shape)
    if (bound == bound.flat[0]).all() and shape == value.shape:
        return op.builder.clip(op.name, value, float(bound.flat[0]), np.inf)
    excess = op.builder.scaled(op.part("minus bound"), value, 1.0, -bound)
    return op.builder.scaled(op.part("plus bound"), op.builder.relu(op.name, excess), 1.0, bound)


def _at_most(op: Operation, value: Value, bound: NDArray[np.float64]) -> Value:
    """``min(x, c)``; with bounds that differ, ``c - ReLU(c - x)``."""
    shape = np.broadcast_shapes(value.shape, bound.shape)
    check_size(shape)
    if (bound == bound.flat[0]).all() and shape == value.shape:
        return op.builder.clip(op.name, value, -np.inf, float(bound.flat[0]))
    shortfall = op.builder.scaled(op.part("below bound"), value, -1.0, bound)
    return op.builder.scaled(op.part("from bound"), op.builder.relu(op.name, shortfall), -1.0, bound)


def _max(op: Operation) -> Result:
    return _extreme(op, 1.0)


def _min(op: Operation) -> Result:
    return _extreme(op, -1.0)


def _extreme(op: Operation, sign: float) -> Value:
    """The maximum (sign 1) or minimum (sign -1) of several tensors, of which some may be constants."""
    operands = [op.given(i) for i in range(len(op.inputs))]
    values = [operand for operand in operands if isinstance(operand, Value)]
    constants = [op.numbers(i) for i, operand in enumerate(operands) if not isinstance(operand, Value)]
    if len(values) == 1:
        if not constants:
            return values[0]
        if sign > 0:
            return _at_least(op, values[0], reduce(np.maximum, constants))
        return _at_most(op, values[0], reduce(np.minimum, constants))
    shape = np.broadcast_shapes(*(operand.shape for operand in operands))
    check_size((len(operands), *shape))
    parts: list[Value] = []
    for i, operand in enumerate(operands):
        whole = operand if isinstance(operand, Value) else op.as_value(operand, values[0], op.part(f"constant {i}"))
        repeated = op.taken(whole, np.broadcast_to(whole.positions, shape), op.part(f"operand {i}"))
        parts.append(op.builder.reshape(repeated, (1, *shape)))
    return _maximum(op, op.builder.concatenate(op.part("operands"), parts, 0), sign)


def _maximum(op: Operation, stacked: Value, sign: float) -> Value:
    """The maximum, or minimum, along the first axis."""
    index = np.moveaxis(stacked.positions, 0, -1)
    if sign > 0:
        return op.builder.maximum(op.name, stacked, index)
    negative = op.builder.scaled(op.part("negative"), stacked, -1.0)
    return op.builder.scaled(op.name, op.builder.maximum(op.part("maximum"), negative, index), -1.0)


def _abs(op: Operation) -> Result:
    """``|x| = max(x, -x)``."""
    value = op.value()
    negative = op.builder.scaled(op.part("negative"), value, -1.0)
    both = [op.builder.reshape(part, (1, *value.shape)) for part in (value, negative)]
    return _maximum(op, op.builder.concatenate(op.part("both signs"), both, 0), 1.0)


def _reduce_max(op: Operation) -> Result:
    value = op.value()
    index = reduced(op, value)
    return value if index is None else op.builder.maximum(op.name, value, index)


def _reduce_min(op: Operation) -> Result:
    value = op.value()
    index = reduced(op, value)
    if index is None:
        return value
    negative = op.builder.scaled(op.part("negative"), value, -1.0)
    return op.builder.scaled(op.name, op.builder.maximum(op.part("maximum"), negative, index), -1.0)


ACTIVATIONS: dict[str, Callable[[Operation], Result]] = {
    "Abs": _abs,
    "Celu": _celu,
    "Clip": _clip,
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _leaky_relu,
    "Max": _max,
    "Min": _min,
    "PRelu": _prelu,
    "ReduceMax": _reduce_max,
    "ReduceMin": _reduce_min,
    "Relu": _relu,
    "Selu": _selu,
    "Sigmoid": _sigmoid,
    "Softplus": _softplus,
    "Tanh": _tanh,
}
"""Activations, for inputs that depend on the network's."""

__all__ = ["ACTIVATIONS"]
