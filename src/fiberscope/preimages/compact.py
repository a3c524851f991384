"""Arrays of certificates as bytes: short ones as they are, long ones in the form that takes least.

Nothing is lost: numbers that float32 does not hold stay float64. What the forms mean is said in
``docs/certificates.md``.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONG = 2**14
"""Numbers up to which an array is stored as it is, in eight bytes each."""

LONGEST = 2**31
"""What is said to have more numbers is not read: memory would be reserved for them."""


def packed(array: NDArray[Any]) -> tuple[str, bytes]:
    """The form and the bytes of a vector of float64 or int64 numbers."""
    if array.ndim != 1 or len(array) <= LONG:
        return plain(array)
    return _integers(array) if array.dtype == np.int64 else _floats(array)


def plain(array: NDArray[Any]) -> tuple[str, bytes]:
    """The form and the bytes of numbers as they are, float32 and int32 in eight bytes each."""
    wide = {"<f4": np.dtype("<f8"), "<i4": np.dtype("<i8")}.get(array.dtype.str, array.dtype)
    return wide.str, array.astype(wide).tobytes()


def block(header: dict[str, Any], arrays: dict[str, NDArray[Any]], *, compact: bool) -> bytes:
    """The length of a JSON header, the header, which says what the arrays are, and the arrays."""
    arrays = dict(sorted(arrays.items()))  # the header names them in this order
    written = {name: (packed if compact else plain)(array) for name, array in arrays.items()}
    layout = {name: [form, [len(arrays[name])]] for name, (form, _) in written.items()}
    said = json.dumps({**header, "arrays": layout}, sort_keys=True).encode()
    return b"".join([len(said).to_bytes(8, "little"), said, *(data for _, data in written.values())])


NO_BLOCK = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, OverflowError)
"""What reading raises of bytes that are no such block."""


def opened(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]], int]:
    """The header of a block, its arrays in eight bytes a number, and where they end."""
    start = 8 + int.from_bytes(data[:8], "little")
    header, arrays = json.loads(data[8:start]), dict[str, NDArray[Any]]()
    for name, (form, (count,)) in header["arrays"].items():
        arrays[name], start = unpacked(form, count, data, start)
    return header, arrays, start


def expanded(data: bytes) -> bytes:
    """The same certificate with all arrays as they are, in eight bytes a number; what is no certificate stays so."""
    try:
        header, arrays, end = opened(data)
    except (*NO_BLOCK, MemoryError):
        return data
    if all(form in ("<f8", "<i8") for form, _ in header["arrays"].values()):
        return data
    return block(header, arrays, compact=False) + data[end:]


def _integers(array: NDArray[Any]) -> tuple[str, bytes]:
    low, high = int(array.min()), int(array.max())
    if low >= 0 and high < 32 * len(array) and (np.diff(array) > 0).all():
        bits = np.zeros(high + 1, dtype=np.bool_)
        bits[array] = True
        stored = np.packbits(bits, bitorder="little")
        return "set", len(stored).to_bytes(8, "little") + stored.tobytes()
    if low >= -(2**31) and high < 2**31:
        return "<i4", array.astype("<i4").tobytes()
    return plain(array)


def _floats(array: NDArray[Any]) -> tuple[str, bytes]:
    places = np.flatnonzero((array != 0) | np.signbit(array))
    if 16 * len(places) < 4 * len(array):
        count = len(places).to_bytes(8, "little")
        return "sparse", count + places.astype("<i8").tobytes() + array[places].astype("<f8").tobytes()
    with np.errstate(over="ignore"):
        single = array.astype("<f4")
    return ("<f4", single.tobytes()) if np.array_equal(single, array) else plain(array)


def unpacked(form: str, count: int, data: bytes, start: int) -> tuple[NDArray[Any], int]:
    """A vector of ``count`` numbers that begins at a byte, and where the next one does.

    Raises:
        ValueError: there is no such form, or other bytes than it has.
    """
    if form in ("<f8", "<i8", "<f4", "<i4"):
        stored = np.frombuffer(data, dtype=form, count=count, offset=start)
        wide = stored if stored.itemsize == 8 else stored.astype(np.float64 if form == "<f4" else np.int64)
        return wide, start + stored.nbytes
    if not 0 <= count <= LONGEST:
        raise ValueError(f"an array of {count} numbers")
    length, start = int.from_bytes(data[start : start + 8], "little"), start + 8
    if form == "set":
        bits = np.frombuffer(data, dtype=np.uint8, count=length, offset=start)
        numbers = np.flatnonzero(np.unpackbits(bits, bitorder="little")).astype(np.int64)
        if len(numbers) != count:
            raise ValueError(f"{len(numbers)} members of a set of {count}")
        return numbers, start + length
    if form != "sparse":
        raise ValueError(f"array type {form!r}")
    places = np.frombuffer(data, dtype="<i8", count=length, offset=start)
    values = np.frombuffer(data, dtype="<f8", count=length, offset=start + 8 * length)
    out = np.zeros(count)
    out[places] = values
    return out, start + 16 * length


__all__ = ["NO_BLOCK", "block", "expanded", "opened", "packed", "unpacked"]
