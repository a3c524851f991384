"""Validation at the door: whatever the caller passes becomes a checked, read-only float64 array."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import InputError, shown

if TYPE_CHECKING:
    from torch import Tensor

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]
else:  # what jaxtyping can put a shape on: Float64[FloatArray, "m n"] is checked while tests run
    FloatArray = IntArray = BoolArray = np.ndarray


def as_float64(
    value: Any, what: str, *, shape: tuple[int | None, ...] | None = None, finite: bool = True
) -> FloatArray:
    """Convert ``value`` to a read-only float64 array without changing any number.

    Args:
        value: anything ``np.asarray`` takes, or a torch tensor (detached, moved to the CPU).
        what: the argument's name, for the error message.
        shape: the expected shape; None stands for any length of at least one.
        finite: whether NaN and infinities are refused.

    Raises:
        InputError: wrong shape, empty, not numeric, not finite, or not exactly representable in float64.
    """
    source = _numeric(value, what)
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.array(source, dtype=np.float64)
        # float16 and float32 are parts of float64; weights may take gigabytes, which are not copied to be compared
        lossless = (source.dtype.kind == "f" and source.dtype.itemsize <= array.itemsize) or bool(
            np.array_equal(array.astype(source.dtype), source, equal_nan=True)
        )
    if not lossless:
        raise InputError(
            what,
            expected="numbers that float64 holds exactly",
            got=f"{source.dtype.name} values that would be rounded",
            hint="round them yourself, so that the verdict is about known numbers",
        )
    if shape is not None:
        _check_shape(array, what, shape)
    if array.size == 0:
        got = f"an empty array of shape {array.shape}"
        raise InputError(what, expected="at least one number", got=got, hint="look at where it was cut or filtered")
    if finite and not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(
            what,
            expected="finite numbers",
            got=f"{array[index]} at index {index}",
            hint="remove NaN and infinite entries",
        )
    array.setflags(write=False)
    return array


def as_tensor(value: Any, what: str, *, shape: tuple[int | None, ...] | None = None) -> Tensor:
    """Copy ``value`` into a float64 tensor of torch without changing any number.

    Raises:
        InputError: as ``as_float64``.
    """
    import torch

    device = value.device if hasattr(value, "detach") else "cpu"
    array = as_float64(value, what, shape=shape)
    array.setflags(write=True)  # it is a copy of its own already
    return torch.from_numpy(array).to(device)


def _numeric(value: Any, what: str) -> NDArray[Any]:
    """The caller's numbers in their own type."""
    try:
        if hasattr(value, "detach"):  # a torch tensor, recognised without importing torch
            tensor = value.detach().cpu()
            value = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
        source: NDArray[Any] = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:  # torch raises the last two
        raise _no_array(value, what) from error
    if source.dtype.kind not in "biuf":
        raise InputError(what, expected="real numbers", got=_words(value, source), hint=_advice(source))
    return source


def _no_array(value: Any, what: str) -> InputError:
    """What to say where numpy makes no array of what came."""
    if isinstance(value, list | tuple):
        got, hint = "lists of different lengths, or something else in them", "give every row as many numbers"
    else:
        got, hint = shown(value), "pass an array whose numbers are in memory"
    return InputError(what, expected="a rectangular array of numbers", got=got, hint=hint)


def _words(value: Any, source: NDArray[Any]) -> str:
    """What came instead of numbers."""
    if source.dtype.kind in "US":
        return shown(value) if source.ndim == 0 else "text"
    if source.dtype.kind == "c":
        return "complex numbers"
    if source.ndim == 0:
        return shown(value)
    inside = next((each for each in source.flat if not isinstance(each, int | float)), None)
    return "integers beyond 64 bits" if source.size and inside is None and None not in source else _held(inside)


def _held(inside: Any) -> str:
    return f"an array that holds {shown(inside)}"


def _advice(source: NDArray[Any]) -> str:
    if source.dtype.kind in "US":
        return "convert it to numbers"
    if source.dtype.kind == "c":
        return "take the real part, or real and imaginary part as numbers of their own"
    return "pass an array of floats"


def _check_shape(array: FloatArray, what: str, shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise InputError(
            what, expected=f"shape {in_words(shape)}", got=f"shape {array.shape}", hint=_reshaped(array.shape, shape)
        )


def in_words(shape: tuple[int | None, ...]) -> str:
    """A shape as a message shows it; None stands for any length."""
    return "(" + ", ".join("any" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"


def _reshaped(have: tuple[int, ...], want: tuple[int | None, ...]) -> str:
    """What makes the right shape of another one, where nothing but axes is wrong."""
    if len(want) == len(have) - 1 and all(n in (None, m) for n, m in zip(want, have[1:], strict=True)):
        return "take one of them, such as the first, [0]" if have[0] > 1 else "leave the first axis out: [0]"
    if len(want) == len(have) + 1 and all(n in (None, m) for n, m in zip(want[1:], have, strict=True)):
        return "add an axis in front: [None]"
    known = [n for n in want if n is not None]
    if len(known) == len(want) and math.prod(known) == math.prod(have):
        return f"reshape it to {in_words(want)}"
    return ""


def as_shape(value: Any, what: str) -> tuple[int, ...]:
    """The shape of one sample: a whole number, or several.

    Raises:
        InputError: something else; a size in front that is open, as that of a batch, is named.
    """
    given: tuple[Any, ...] = (value,) if isinstance(value, str) or not hasattr(value, "__iter__") else tuple(value)
    sizes = tuple(_size(each) for each in given)
    if sizes and None not in sizes:
        return tuple(size for size in sizes if size is not None)
    hint = "it is the shape of one sample"
    if len(sizes) > 1 and given[0] in (None, -1) and None not in sizes[1:]:
        hint = f"leave out the axis that counts samples: {what}={shown(sizes[1:])}"
    elif isinstance(value, str) and value.strip().isdigit():
        hint = f"leave the quotes out: {what}={value.strip()}"
    raise InputError(what, expected="positive integers, such as 784 or (1, 28, 28)", got=shown(value), hint=hint)


def _size(value: Any) -> int | None:
    whole = np.asarray(value).dtype.kind in "iu" and np.ndim(value) == 0
    return int(value) if whole and value > 0 else None


__all__ = ["BoolArray", "FloatArray", "IntArray", "as_float64", "as_shape", "as_tensor", "in_words"]
