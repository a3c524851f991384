"""The input of a graph of ONNX: which of its axes counts the samples, and how large the others are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from onnx import TensorProto, ValueInfoProto

from fiberscope.errors import ModelError
from fiberscope.readers.onnx.file import NARROW, type_name

_TYPES: dict[int, str] = {
    int(TensorProto.FLOAT): "float32",
    int(TensorProto.DOUBLE): "float64",
    **dict.fromkeys(map(int, NARROW), "float32"),
}

LARGEST_INPUT = 2**24
"""Numbers of one sample; some twenty copies of it are compared."""


@dataclass(frozen=True)
class ModelInput:
    """The input of a model.

    Attributes:
        name: its name.
        shape: its shape for one sample, the sample axis included (of length one where the model has one).
        sample_axis: whether the first axis counts the samples.
        type: its type in the file, as ONNX numbers them.
        dtype: the type to run the model with, float32 or float64.
        batch: how many samples the model takes at a time.
        notes: what a reader of results must know about it.
    """

    name: str
    shape: tuple[int, ...]
    sample_axis: bool
    type: int
    dtype: str
    batch: int = 1
    notes: tuple[str, ...] = ()


def inputs_of(
    inputs: Sequence[ValueInfoProto], given: tuple[int, ...] | None, *, counts_samples: bool
) -> tuple[ModelInput, ...]:
    """The ways to read the one input, the likeliest first.

    There is one, except where the first axis has a fixed size of more than one: it may count samples, or belong to the
    one sample there is.

    Args:
        inputs: the inputs of the graph that are no initializers.
        given: the shape of one sample, where the file leaves it open.
        counts_samples: whether there are operators for which the first axis counts samples.

    Raises:
        ModelError: no input or several, one that is not of floating-point numbers, or open or unfitting sizes.
    """
    if len(inputs) != 1:
        names = ", ".join(repr(value.name) for value in inputs)
        raise ModelError(
            f"expected one input, got {len(inputs)} ({names or 'none'}); make all but one of them initializers, or cut "
            "the model with onnx.utils.extract_model"
        )
    (value,) = inputs
    kind, sizes = _type(value), _sizes(value)
    if sizes is None or (len(sizes) > 1 and sizes[0] in (None, 1)):
        shape = _filled(value.name, None if sizes is None else sizes[1:], given)
        return _small_enough([ModelInput(value.name, (1, *shape), True, kind, _TYPES[kind])])
    readings: list[ModelInput] = []
    batch = sizes[0] if len(sizes) > 1 else None
    if batch and (counts_samples if given is None else not _fits(sizes, given)):
        shape = _filled(value.name, sizes[1:], given)
        note = (
            f"input {value.name!r} has a fixed first axis of {batch}, which is read as that of the samples: one has "
            f"the shape {shape}; input_shape={(batch, *shape)} reads all {batch} as one sample"
        )
        readings.append(ModelInput(value.name, (1, *shape), True, kind, _TYPES[kind], batch, (note,)))
    if not readings or given is None:
        shape = _filled(value.name, sizes, given)
        note = f"input {value.name!r} has a fixed first axis of {batch}: the whole tensor {shape} is one sample"
        notes = (note,) if len(shape) > 1 else ()
        readings.append(ModelInput(value.name, shape, False, kind, _TYPES[kind], notes=notes))
    return _small_enough(readings)


def _type(value: ValueInfoProto) -> int:
    """The type of the numbers, as ONNX numbers them."""
    kind = int(value.type.tensor_type.elem_type)
    if kind not in _TYPES:
        is_tensor = value.type.WhichOneof("value") in ("tensor_type", None)
        name = type_name(kind) if is_tensor else value.type.WhichOneof("value")
        raise ModelError(f"input {value.name!r}: expected a tensor of floating-point numbers, got {name}")
    return kind


def _small_enough(readings: Sequence[ModelInput]) -> tuple[ModelInput, ...]:
    small = tuple(reading for reading in readings if prod(reading.shape) <= LARGEST_INPUT)
    if not small:
        name, shape = readings[0].name, readings[0].shape
        raise ModelError(f"input {name!r}: expected at most {LARGEST_INPUT} numbers, got the shape {shape}")
    return small


def _fits(sizes: tuple[int | None, ...], given: tuple[int, ...]) -> bool:
    return len(sizes) == len(given) and all(size in (None, want) for size, want in zip(sizes, given, strict=True))


def _sizes(value: ValueInfoProto) -> tuple[int | None, ...] | None:
    """The sizes in the file, None for open ones (some write -1); None if not even their number is known."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in dims)


def _filled(name: str, sizes: tuple[int | None, ...] | None, given: tuple[int, ...] | None) -> tuple[int, ...]:
    if given is None:
        if sizes is None or None in sizes:
            raise ModelError(
                f"input {name!r}: the file leaves the shape of a sample open, {_words(sizes)}; pass it as input_shape "
                "(fiberscope inspect --input-shape; an audit takes it from the data)",
                needs_shape=True,
            )
        shape = tuple(size for size in sizes if size is not None)
    else:
        if not (sizes is None or _fits(sizes, given)):
            batch = len(given) > 1 and _fits(sizes, given[1:])
            hint = f"; leave out the axis that counts samples: input_shape={given[1:]}" if batch else ""
            raise ModelError(f"input {name!r}: expected an input_shape that fits {_words(sizes)}, got {given}{hint}")
        shape = given
    if min(shape, default=1) < 1:
        raise ModelError(f"input {name!r}: expected positive sizes, got {shape}")
    return shape


def _words(sizes: tuple[int | None, ...] | None) -> str:
    if sizes is None:
        return "no shape"
    inner = ", ".join("?" if size is None else str(size) for size in sizes)
    return f"({inner},)" if len(sizes) == 1 else f"({inner})"


__all__ = ["ModelInput", "inputs_of"]
