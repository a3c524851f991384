"""Validation at the door: whatever the caller passes becomes a checked, read-only float64 array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import InputError

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
        lossless = source.dtype == np.float64 or bool(
            np.array_equal(array.astype(source.dtype), source, equal_nan=True)
        )
    if not lossless:
        raise InputError(
            what,
            expected="numbers that float64 holds exactly",
            got=f"{source.dtype} values that would be rounded",
            hint="round them yourself, so that the verdict is about known numbers",
        )
    if shape is not None:
        _check_shape(array, what, shape)
    if array.size == 0:
        raise InputError(what, expected="at least one number", got=f"an empty array of shape {array.shape}")
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
    return torch.tensor(as_float64(value, what, shape=shape), dtype=torch.float64, device=device)


def _numeric(value: Any, what: str) -> NDArray[Any]:
    if hasattr(value, "detach"):  # a torch tensor, recognised without importing torch
        tensor = value.detach().cpu()
        value = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    try:
        source = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(
            what, expected="a rectangular array of numbers", got=type(value).__name__, hint=str(error)
        ) from error
    if source.dtype.kind not in "biuf":
        raise InputError(what, expected="real numbers", got=f"an array of type {source.dtype}")
    return source


def _check_shape(array: FloatArray, what: str, shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        expected = (
            "(" + ", ".join("any" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
        )
        raise InputError(what, expected=f"shape {expected}", got=f"shape {array.shape}")
