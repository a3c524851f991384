"""Models in float16 and bfloat16: their numbers are exact in float32, in which such a model is run for comparison."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper

from fiberscope.readers.onnx.file import NARROW, array_of

_DTYPES: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}


def narrow_casts(nodes: Iterable[NodeProto]) -> dict[str, int]:
    """Results of casts to float16 or bfloat16, and which of the two."""
    return {
        node.output[0]: attribute.i
        for node in nodes
        if node.op_type == "Cast" and node.output
        for attribute in node.attribute
        if attribute.name == "to" and attribute.i in NARROW
    }


def narrow_types(nodes: Iterable[NodeProto], tensors: Iterable[TensorProto], more: Iterable[int]) -> tuple[str, ...]:
    """The names of the types among float16 and bfloat16 that appear anywhere."""
    kinds = {tensor.data_type for tensor in tensors} | set(more)
    kinds.update(attribute.t.data_type for node in nodes for attribute in node.attribute)
    return tuple(dtype.name for kind, dtype in _DTYPES.items() if kind in kinds)


def widened(node: NodeProto) -> NodeProto:
    """The operation with float32 in place of float16 and bfloat16."""
    out = NodeProto()
    out.CopyFrom(node)
    for attribute in out.attribute:
        if attribute.t.data_type in NARROW:
            name = attribute.t.name
            attribute.t.CopyFrom(numpy_helper.from_array(array_of(attribute.t, None), name))
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in NARROW:
            attribute.i = TensorProto.FLOAT
    return out


def is_rounded(array: NDArray[np.generic], kind: int) -> bool:
    """Whether numbers change when they are cast to float16 or bfloat16."""
    with np.errstate(over="ignore"):
        return not np.array_equal(array.astype(_DTYPES[kind]).astype(array.dtype), array, equal_nan=True)


__all__ = ["is_rounded", "narrow_casts", "narrow_types", "widened"]
