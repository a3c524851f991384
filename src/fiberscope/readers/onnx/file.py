"""Reading ONNX files that may be damaged or hostile: sizes are checked first, and only the model's folder is read."""

from __future__ import annotations

from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from fiberscope.errors import ModelError
from fiberscope.readers.wrong_files import kind_of

Array = NDArray[Any]

LARGEST_FILE = 2**31 - 1
"""Bytes that a file of protocol buffers may have: the format's own limit."""

NARROW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
"""Types whose numbers are held in float32, which changes none of them."""


def read_model(path: Path) -> ModelProto:
    """Parse a file without looking at any other.

    Raises:
        ModelError: the file cannot be read, is larger than the format allows, or is no ONNX model.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ModelError("expected at most 2 GiB, which is the limit of the format; store weights as external data")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror or error}); check the path and its permissions") from error
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"expected an ONNX model, got a truncated or damaged file ({error})") from error
    if not model.HasField("graph"):
        raise ModelError("expected an ONNX model, got a file without a graph; it may be truncated")
    return model


def array_of(tensor: TensorProto, folder: Path | None) -> Array:
    """The numbers of a tensor; float16 and bfloat16 as float32.

    Args:
        tensor: a tensor of the model.
        folder: where its external data may lie; None where external data are not accepted.

    Raises:
        ModelError: sizes that do not fit the data, an unknown type, or external data that may not or cannot be read.
    """
    shape = tuple(tensor.dims)
    try:
        if min(shape, default=0) < 0:
            raise ModelError(f"tensor {tensor.name!r}: expected a shape of sizes that are not negative, got {shape}")
        if tensor.data_location == TensorProto.EXTERNAL:
            array = _external(tensor, shape, folder)
        else:
            array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError, OSError) as error:
        raise ModelError(
            f"tensor {tensor.name!r}: expected numbers for the shape {shape}, got damaged data ({error})"
        ) from error
    if array.shape != shape:
        raise ModelError(f"tensor {tensor.name!r}: expected numbers for the shape {shape}, got {array.shape}")
    return array.astype(np.float32) if tensor.data_type in NARROW else array


def type_name(kind: int) -> str:
    """What ONNX calls a type of tensors."""
    names = {number: name for name, number in TensorProto.DataType.items()}
    return names.get(kind, f"type {kind}")


def _external(tensor: TensorProto, shape: tuple[int, ...], folder: Path | None) -> Array:
    """The numbers of a tensor that lie in a file of their own."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if folder is None:
        raise ModelError(f"tensor {tensor.name!r}: external data are accepted for initializers only")
    path = _inside(entries.get("location", ""), folder, tensor.name)
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    offset, needed, available = int(entries.get("offset", 0)), prod(shape) * kind.itemsize, path.stat().st_size
    length = int(entries.get("length", needed))
    fits = kind.kind != "O" and 0 <= offset <= available - needed and length == needed
    found = kind_of(path)
    if found is not None and (found.is_pointer or not fits):  # numbers may begin like anything but a pointer
        raise ModelError(f"tensor {tensor.name!r}: expected numbers in {path.name}, got {found.what}; {found.hint}")
    if not fits:
        raise ModelError(
            f"tensor {tensor.name!r}: expected {needed} bytes for the shape {shape}, got {length} bytes from "
            f"{offset} on in {path.name}, which has {available} bytes"
        )
    little = kind.newbyteorder("<") if kind.kind in "iuf" else kind
    return np.fromfile(path, dtype=little, count=prod(shape), offset=offset).reshape(shape).astype(kind, copy=False)


def _inside(location: str, folder: Path, name: str) -> Path:
    """The file with external data, which must lie in the model's folder whatever links lead to it.

    Raises:
        ModelError: it lies elsewhere, or is no file.
    """
    parts = {*PurePosixPath(location).parts, *PureWindowsPath(location).parts}
    absolute = PurePosixPath(location).is_absolute() or bool(PureWindowsPath(location).anchor)
    root = folder.resolve()
    path = (root / location).resolve() if location and not absolute and "\0" not in location else root
    if ".." in parts or absolute or not path.is_relative_to(root):
        raise ModelError(
            f"tensor {name!r}: expected external data inside the model's folder, got {location!r}; files elsewhere are "
            "not read"
        )
    if not path.is_file():
        raise ModelError(
            f"tensor {name!r}: its external data {location!r} are no file in the model's folder; the model was written "
            "as several files: copy this one there as well"
        )
    return path


__all__ = ["LARGEST_FILE", "NARROW", "array_of", "read_model", "type_name"]
