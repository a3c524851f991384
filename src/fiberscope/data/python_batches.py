"""CIFAR-10's Python version, whose files are pickles, read without letting them run any code."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import InputError

WHAT = "a batch of CIFAR-10's Python version: a pickled dictionary with data (N, 3072) of bytes and N labels below 10"

PIXELS = 3 * 32 * 32


class _ByteArray:
    """Stands in for a numpy array while it is unpickled: takes the state, and is an array only when asked."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)

    def array(self) -> NDArray[np.uint8]:
        """The bytes in their shape; ValueError if the state is not that of a C-ordered array of bytes."""
        _, shape, kind, in_columns, data = self.state
        if not isinstance(kind, _Type) or kind.code != "u1" or in_columns or not isinstance(data, bytes | str):
            raise ValueError("an array that does not consist of bytes in C order")
        stored = data if isinstance(data, bytes) else data.encode("latin-1")
        return np.frombuffer(stored, np.uint8).reshape(shape)


class _Type:
    """Stands in for a numpy type."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else code

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like, which a byte does not have."""


def _empty(*_: Any) -> _ByteArray:
    """Stands in for numpy's function that makes the array to be filled."""
    return _ByteArray()


def _encode(text: Any, encoding: Any) -> bytes:
    """Newer Pythons write bytes for older ones as text and this call."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("a text in an encoding other than latin1")
    return text.encode("latin-1")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty,
    ("numpy._core.multiarray", "_reconstruct"): _empty,
    ("numpy", "ndarray"): _ByteArray,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
}
"""All names that such a file may mention, and what they are here: nothing of numpy or Python itself is called."""


class _Restricted(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _STAND_INS[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which data do not need") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for an object outside of the file")


def read_cifar10_python(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels (N,) of a batch of CIFAR-10's Python version; nothing in it is executed.

    Raises:
        InputError: the file cannot be read, is no such batch, or asks for anything but an array.
    """
    try:
        with path.open("rb") as file:
            batch: Any = _Restricted(file, encoding="latin1").load()
        return _images_and_labels(batch)
    except InputError:
        raise
    except Exception as error:  # a hostile pickle can raise anything
        got = f"a file that cannot be read so: {error or type(error).__name__}"
        raise InputError(str(path), expected=WHAT, got=got, hint="get the file again") from error


def _images_and_labels(batch: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if not isinstance(batch, dict):
        raise TypeError("it is no dictionary")
    entries = {
        key.decode("latin-1") if isinstance(key, bytes) else key: value
        for key, value in cast("dict[Any, Any]", batch).items()
    }
    data, labels = entries["data"], np.asarray(entries["labels"])
    pixels = data.array() if isinstance(data, _ByteArray) else None
    if pixels is None or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise ValueError("data is no array of 3072 bytes per image")
    if labels.dtype.kind not in "iu" or labels.shape != pixels.shape[:1] or ((labels < 0) | (labels > 9)).any():
        raise ValueError("labels are not one number below 10 per image")
    return pixels.reshape(-1, 3, 32, 32), labels.astype(np.int64)


__all__ = ["read_cifar10_python"]
