"""Operations of ONNX on constants alone: computed once, while the model is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import NodeProto, helper
from onnx.reference import ReferenceEvaluator

from fiberscope.readers.onnx.file import array_of, type_name
from fiberscope.readers.onnx.indexing import MOVES, concatenated, pad_value, padded
from fiberscope.readers.onnx.operation import LARGEST_CONSTANT, Array, Operation, Unsupported, check_size
from fiberscope.readers.onnx.precision import is_rounded

MOST_PRODUCTS = 2**34
"""Products of numbers that multiplying two constant matrices may take."""

_NO_LARGER = (
    "Abs", "Ceil", "Clip", "Cos", "CumSum", "DequantizeLinear", "Erf", "Exp", "Floor", "HardSigmoid", "Identity",
    "IsInf", "IsNaN", "LeakyRelu", "Log", "Neg", "Not", "QuantizeLinear", "Reciprocal", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu",
    "Round", "Shape", "Sigmoid", "Sign", "Sin", "Size", "Softplus", "Sqrt", "Tan", "Tanh",
)  # fmt: skip
"""Operators whose result is no larger than what they take."""

_BROADCASTING = (
    "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod",
    "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
)  # fmt: skip
"""Operators whose result has the shape that numpy broadcasts theirs to."""


def _constant(op: Operation) -> tuple[Array, ...]:
    ((name, value),) = op.attributes.items()
    match name:
        case "value":
            return (array_of(value, None),)
        case "value_float" | "value_floats":
            return (np.array(value, dtype=np.float32),)
        case "value_int" | "value_ints":
            return (np.array(value, dtype=np.int64),)
        case _:
            raise Unsupported(f"its constant is given as {name}")


def _constant_of_shape(op: Operation) -> tuple[Array, ...]:
    shape = op.integers_at(0, "") or ()
    check_size(shape, LARGEST_CONSTANT)
    value = array_of(op.attributes["value"], None) if "value" in op.attributes else np.zeros(1, dtype=np.float32)
    return (np.broadcast_to(value.reshape(()), shape),)


def _range(op: Operation) -> tuple[Array, ...]:
    start, limit, delta = (op.constant(i).reshape(()) for i in range(3))
    count = np.ceil((limit.astype(np.float64) - start) / delta)
    if not 0 <= count <= LARGEST_CONSTANT:
        raise Unsupported(f"it counts from {start} to {limit} by {delta}")
    return (start + delta * np.arange(int(count), dtype=start.dtype),)


def _cast(op: Operation) -> tuple[Array, ...]:
    kind = helper.tensor_dtype_to_np_dtype(op.integer("to", 0))
    if kind.kind not in "iufb":
        raise Unsupported(f"it casts a constant to {kind}")
    with np.errstate(invalid="ignore", over="ignore"):
        return (op.constant(0).astype(kind),)


def _matmul(op: Operation) -> tuple[Array, ...]:
    left, right = op.constant(0), op.constant(1)
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    ends = (*left.shape[-2:-1], *(right.shape[-1:] if right.ndim > 1 else ()))
    check_size((*lead, *ends), LARGEST_CONSTANT)
    check_size((*lead, *ends, left.shape[-1]), MOST_PRODUCTS)
    return (np.asarray(np.matmul(left, right)),)


def _concat(op: Operation) -> tuple[Array, ...]:
    return (concatenated([op.constant(i) for i in range(len(op.inputs))], op.integer("axis", 1)),)


def _pad(op: Operation) -> tuple[Array, ...]:
    return (padded(op, op.constant(0), pad_value(op)),)


_OWN: dict[str, Callable[[Operation], tuple[Array, ...]]] = {
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "MatMul": _matmul,
    "Pad": _pad,
    "Range": _range,
}

_FIRST_EVALUATED = {"DequantizeLinear": 19, "QuantizeLinear": 19}
"""The first version of an operator that onnx's evaluator knows; it does what earlier ones do where they can be used."""

FOLDABLE = frozenset((*_OWN, *MOVES, *_NO_LARGER, *_BROADCASTING))
"""The operators that are computed on constants."""


def folded(op: Operation, node: NodeProto, narrow: int | None) -> tuple[Array, ...]:
    """The results of an operation whose inputs are all constant, in the model's own precision.

    Args:
        op: the operation, with constant inputs.
        node: the same as the graph states it.
        narrow: the type among float16 and bfloat16 that it casts to; None if it does not.

    Raises:
        Unsupported: results that are too large, sizes that do not fit, or numbers that a cast would round.
    """
    if narrow is not None and is_rounded(op.constant(0), narrow):
        raise Unsupported(f"it rounds constants to {type_name(narrow)}; store the rounded numbers")
    if op.type in _OWN:
        return _OWN[op.type](op)
    if op.type in MOVES:
        return MOVES[op.type](op, op.constant(0))
    if op.type in _BROADCASTING:
        check_size(np.broadcast_shapes(*(op.constant(i).shape for i in range(len(op.inputs)))), LARGEST_CONSTANT)
    return _evaluated(op, node)


def _evaluated(op: Operation, node: NodeProto) -> tuple[Array, ...]:
    """What onnx's own evaluator computes."""
    feeds = {name: op.constant(i) for i, name in enumerate(op.names) if name}
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([node], "constants", inputs, outputs)
    version = max(op.opset, _FIRST_EVALUATED.get(op.type, 0))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
    try:
        evaluator: Any = ReferenceEvaluator(model)
        with np.errstate(all="ignore"):
            return tuple(np.asarray(array) for array in evaluator.run(None, feeds))
    except Exception as error:  # the evaluator raises errors of any type
        raise Unsupported(f"it cannot be computed on constants ({error})") from error


__all__ = ["FOLDABLE", "folded"]
