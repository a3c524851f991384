"""Operations of ``keras.ops`` in a model, such as the sum that ``x + y`` adds to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any, TypeAlias, cast

import numpy as np

from fiberscope.network.activations import PointwiseKind
from fiberscope.network.arrays import FloatArray
from fiberscope.network.building import NetworkBuilder
from fiberscope.readers.keras import merging as merging
from fiberscope.readers.keras.activations import FUNCTIONS, Nonlinearity, applied, clip, leaky
from fiberscope.readers.keras.graph import Call
from fiberscope.readers.keras.indexing import taken
from fiberscope.readers.keras.library import keras_library
from fiberscope.readers.keras.pooling import means
from fiberscope.readers.keras.scaling import scaled
from fiberscope.readers.keras.tensor import Tensor

Handler: TypeAlias = Callable[[NetworkBuilder, Call, Sequence[Tensor]], Tensor]

NUMPY, NN = "keras.src.ops.numpy", "keras.src.ops.nn"
"""The modules of Keras whose operations are supported."""

FREE_BATCH = (None, -1)
"""How a shape leaves the number of samples open."""


@dataclass(frozen=True)
class Supported:
    """How an operation is converted.

    Attributes:
        convert: adds it to the network.
        refuse: why this call of it is not supported; empty if it is.
    """

    convert: Handler
    refuse: Callable[[Call], str] = lambda call: ""


# ---- arithmetic


def operands(call: Call, tensors: Sequence[Tensor]) -> list[Tensor | FloatArray]:
    """The arguments of a call: tensors, and constants as Keras rounds them."""
    waiting = iter(tensors)
    is_tensor = keras_library().utils.is_keras_tensor
    return [
        next(waiting) if is_tensor(argument) else call.constant("constant", argument)
        for argument in call.node.arguments.args
    ]


def _add(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    match operands(call, tensors):
        case [Tensor() as left, Tensor() as right]:
            return merging.add(builder, call, [left, right])
        case [Tensor() as tensor, np.ndarray() as constant] | [np.ndarray() as constant, Tensor() as tensor]:
            return scaled(builder, call.name, tensor, 1.0, constant)
        case _:
            raise AssertionError("one of two operands is a tensor")


def _subtract(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    match operands(call, tensors):
        case [Tensor() as left, Tensor() as right]:
            return merging.subtract(builder, call, [left, right])
        case [Tensor() as tensor, np.ndarray() as constant]:
            return scaled(builder, call.name, tensor, 1.0, -constant)
        case [np.ndarray() as constant, Tensor() as tensor]:
            return scaled(builder, call.name, tensor, -1.0, constant)
        case _:
            raise AssertionError("one of two operands is a tensor")


def _multiply(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    (constant,) = (operand for operand in operands(call, tensors) if isinstance(operand, np.ndarray))
    return scaled(builder, call.name, tensors[0], constant)


def _divide(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    _, constant = operands(call, tensors)
    assert isinstance(constant, np.ndarray), "other divisors are refused before"
    return scaled(builder, call.name, tensors[0], 1.0 / constant)


def _negative(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    return scaled(builder, call.name, tensors[0], -1.0)


def _maximum(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    if len(tensors) == 1:
        return applied(builder, call.name, tensors[0], clip(float(_constant(call)), inf))
    return merging.maximum(builder, call, tensors)


def _minimum(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    if len(tensors) == 1:
        return applied(builder, call.name, tensors[0], clip(-inf, float(_constant(call))))
    return merging.minimum(builder, call, tensors)


def _constant(call: Call) -> FloatArray:
    """The operand that is no tensor, as Keras rounds it."""
    is_tensor = keras_library().utils.is_keras_tensor
    (operand,) = (argument for argument in call.node.arguments.args if not is_tensor(argument))
    return call.constant("constant", operand)


def _clip(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    return applied(builder, call.name, tensors[0], clip(*_bounds(call)))


def _bounds(call: Call) -> tuple[float, float]:
    bounds = (call.operation.x_min, call.operation.x_max)
    low, high = (float(bound if np.isinf(bound) else call.constant("bound", bound)) for bound in bounds)
    return low, high


def _clips_to_numbers(call: Call) -> str:
    if any(bound is None or np.shape(bound) for bound in (call.operation.x_min, call.operation.x_max)):
        return "its bounds are not one number each"
    low, high = _bounds(call)
    return "" if low <= high else f"its bounds {low:g} and {high:g} are not in order"


def _shapes_fit(call: Call) -> str:
    """Operands are broadcast as for one sample, so that the samples must stay the first axis of each."""
    ranks = {len(tensor.shape) for tensor in call.node.input_tensors}
    if len(ranks) > 1:
        return "its operands have different numbers of axes"
    (rank,) = ranks
    for argument in call.node.arguments.args:
        shape: tuple[int, ...] = () if keras_library().utils.is_keras_tensor(argument) else np.shape(argument)
        if len(shape) > rank or (len(shape) == rank and shape[:1] != (1,)):
            return "its constant has a number for every sample"
    return ""


def _one_constant(call: Call) -> str:
    return _shapes_fit(call) if len(call.sources) == 1 else "both operands depend on the input"


def _constant_divisor(call: Call) -> str:
    is_tensor = keras_library().utils.is_keras_tensor
    divided, divisor = call.node.arguments.args
    if not is_tensor(divided) or is_tensor(divisor):
        return "the divisor depends on the input"
    return _shapes_fit(call)


def _tensors_or_number(call: Call) -> str:
    if len(call.sources) == 1 and np.shape(_constant(call)):
        return "one operand is a constant tensor"
    return _shapes_fit(call)


# ---- moving


def _reshape(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    return Tensor(tensors[0].value, tensors[0].index.reshape(1, *call.operation.newshape[1:]))


def _keeps_samples(call: Call) -> str:
    _, *sizes = call.node.input_tensors[0].shape
    samples, *shape = call.operation.newshape
    known = None not in sizes and -1 not in shape
    if samples not in FREE_BATCH or (known and prod(shape) != prod(sizes)) or (samples == -1 and not known):
        return f"it reshapes to {tuple(call.operation.newshape)}, which need not keep the samples apart"
    return ""


def _transpose(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    return Tensor(tensors[0].value, tensors[0].index.transpose(call.operation.axes))


def _samples_first(call: Call) -> str:
    axes = call.operation.axes
    return "" if axes is not None and axes[0] == 0 else "it moves the axis of the samples"


def _other_axes(call: Call) -> str:
    """Whether an operation along axes leaves the samples alone."""
    rank = len(call.node.outputs[0].shape if call.class_name == "ExpandDims" else call.node.input_tensors[0].shape)
    if any(axis is None or axis % rank == 0 for axis in _axes(call)):
        return "it works along the axis of the samples"
    return ""


def _axes(call: Call) -> list[Any]:
    axes = call.operation.axis
    return list(cast("Sequence[Any]", axes)) if isinstance(axes, list | tuple) else [axes]


def _expand(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    return Tensor(tensors[0].value, np.expand_dims(tensors[0].index, call.operation.axis))


def _squeeze(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    return Tensor(tensors[0].value, np.squeeze(tensors[0].index, call.operation.axis))


def _get_item(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    return taken(builder, call, tensors[0], tensors[0].index[_key(call)])


def _key(call: Call) -> tuple[Any, ...]:
    key = call.node.arguments.args[1]
    return tuple(cast("Sequence[Any]", key)) if isinstance(key, list | tuple) else (key,)


def _plain_slices(call: Call) -> str:
    first, *others = _key(call)
    plain = all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in others)
    return "" if first == slice(None) and plain else "it selects among the samples, or not by numbers and slices"


# ---- sums


def _mean(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Means or sums along axes."""
    (tensor,) = tensors
    along = sorted(int(axis) % tensor.index.ndim for axis in _axes(call))
    found = np.moveaxis(tensor.index, along, range(-len(along), 0))
    kept = found.shape[: -len(along)]
    found = found.reshape(*kept, -1)
    weights = np.ones(found.shape) if call.class_name == "Sum" else None
    out = means(builder, call, tensor, found, weights)
    if call.operation.keepdims:
        return Tensor(out.value, np.expand_dims(out.index, along))
    return out


# ---- activations


def _function(what: Nonlinearity | Callable[[Any], Nonlinearity]) -> Supported:
    def convert(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
        return applied(builder, call.name, tensors[0], what(call.operation) if callable(what) else what)

    return Supported(convert)


HEAD_OPERATIONS = ("Softmax", "LogSoftmax")
"""Operations that are left off at the end of a model."""

OPERATIONS: dict[tuple[str, str], Supported] = {
    (NUMPY, "Add"): Supported(_add, _shapes_fit),
    (NUMPY, "Subtract"): Supported(_subtract, _shapes_fit),
    (NUMPY, "Multiply"): Supported(_multiply, _one_constant),
    (NUMPY, "Divide"): Supported(_divide, _constant_divisor),
    (NUMPY, "TrueDivide"): Supported(_divide, _constant_divisor),
    (NUMPY, "Negative"): Supported(_negative),
    (NUMPY, "Maximum"): Supported(_maximum, _tensors_or_number),
    (NUMPY, "Minimum"): Supported(_minimum, _tensors_or_number),
    (NUMPY, "Clip"): Supported(_clip, _clips_to_numbers),
    (NUMPY, "Concatenate"): Supported(merging.concatenate, _other_axes),
    (NUMPY, "Reshape"): Supported(_reshape, _keeps_samples),
    (NUMPY, "Transpose"): Supported(_transpose, _samples_first),
    (NUMPY, "ExpandDims"): Supported(_expand, _other_axes),
    (NUMPY, "Squeeze"): Supported(_squeeze, _other_axes),
    (NUMPY, "GetItem"): Supported(_get_item, _plain_slices),
    (NUMPY, "Mean"): Supported(_mean, _other_axes),
    (NUMPY, "Sum"): Supported(_mean, _other_axes),
    (NUMPY, "Tanh"): _function(FUNCTIONS["tanh"]),
    (NN, "Relu"): _function(FUNCTIONS["relu"]),
    (NN, "Relu6"): _function(FUNCTIONS["relu6"]),
    (NN, "LeakyRelu"): _function(lambda operation: leaky(operation.negative_slope)),
    (NN, "Elu"): _function(lambda operation: Nonlinearity(PointwiseKind.ELU, float(operation.alpha))),
    (NN, "Celu"): _function(
        lambda operation: Nonlinearity(PointwiseKind.ELU, float(operation.alpha), float(operation.alpha))
    ),
    (NN, "Selu"): _function(FUNCTIONS["selu"]),
    (NN, "Softplus"): _function(FUNCTIONS["softplus"]),
    (NN, "LogSigmoid"): _function(FUNCTIONS["log_sigmoid"]),
    (NN, "Sigmoid"): _function(FUNCTIONS["sigmoid"]),
    (NN, "HardSigmoid"): _function(FUNCTIONS["hard_sigmoid"]),
    (NN, "HardTanh"): _function(FUNCTIONS["hard_tanh"]),
}
"""The supported operations, by Keras's module and class."""


def operation_of(operation: Any) -> Supported | None:
    """How an operation is converted; None if it is not supported."""
    return OPERATIONS.get((type(operation).__module__, type(operation).__name__))


def is_head_operation(operation: Any) -> bool:
    """Whether an operation is a softmax."""
    return type(operation).__module__ == NN and type(operation).__name__ in HEAD_OPERATIONS


__all__ = ["HEAD_OPERATIONS", "NN", "NUMPY", "OPERATIONS", "Supported", "is_head_operation", "operation_of"]
