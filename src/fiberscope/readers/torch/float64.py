"""Running torch code in float64, whatever precision its numbers are stored in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

SOFTPLUS_THRESHOLD = 20.0
"""Where torch replaces softplus by the identity unless told otherwise: beyond it both are equal in float32."""

SOFTPLUS_ERROR = math.log1p(math.exp(-SOFTPLUS_THRESHOLD))
"""The difference that this makes at most, for ``beta = 1``."""


class InFloat64(TorchDispatchMode):
    """While it is active every operation of torch takes and gives float64 instead of other floating-point numbers.

    Parameters are to be passed as float64; this mode takes care of what else a model contains: constants that are no
    parameters, tensors that are made on the way, and casts. Softplus is evaluated as such, without the threshold above
    which torch replaces it by the identity.

    Args:
        on_cpu: whether tensors that are made on the way lie on the CPU, whatever the code says.
    """

    def __init__(self, *, on_cpu: bool = False) -> None:
        super().__init__()
        self._on_cpu = on_cpu

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operation on wider numbers."""
        if func is torch.ops.aten.t.default and _is_large(args[0]):
            return func(*args)  # a view, of what is widened where it is multiplied
        if func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default) and not kwargs and _is_large(args[-1]):
            return _product_by_columns(*map(self._widened, args[:-1]), right=args[-1])
        arguments = [self._widened(item) for item in args]
        named = {key: self._widened(item) for key, item in (kwargs or {}).items()}
        if func is torch.ops.aten.softplus.default:
            return _softplus(*arguments, **named)
        return self._widened(func(*arguments, **named))

    def _widened(self, item: Any) -> Any:
        match item:
            case Tensor():
                return item.double() if item.is_floating_point() and item.dtype != torch.float64 else item
            case torch.dtype():
                return torch.float64 if item.is_floating_point else item
            case torch.device():
                return torch.device("cpu") if self._on_cpu else item
            case list() | tuple():
                items = [self._widened(part) for part in cast("Sequence[Any]", item)]
                return items if isinstance(item, list) else tuple(items)
            case _:
                return item


def _softplus(x: Tensor, beta: float = 1.0, threshold: float = SOFTPLUS_THRESHOLD) -> Tensor:
    del threshold
    return torch.logaddexp(x * beta, torch.zeros_like(x)) / beta


LARGE = 2**20
"""Numbers of a tensor beyond which no wide copy of it is kept."""


def _is_large(item: Any) -> bool:
    return isinstance(item, Tensor) and item.dtype == torch.float32 and item.numel() > LARGE


def _product_by_columns(*given: Tensor, right: Tensor) -> Tensor:
    """``added + left @ right``, of which ``added`` may be left out: a wide copy of ``right`` is made part by part."""
    *added, left = given
    product, width = left.new_empty(len(left), right.shape[1]), max(1, LARGE // right.shape[0])
    for start in range(0, right.shape[1], width):
        product[:, start : start + width] = left @ right[:, start : start + width].double()
    return product.add_(added[0]) if added else product


def stand_in(tensor: Tensor, device: torch.device | str | None = None) -> Tensor:
    """What is passed in place of a tensor of a model while ``InFloat64`` is active: a copy in float64.

    A large one of float32 stays as it is: every operation takes a wide copy of it, for as long as it runs, and products
    with matrices of parts of it, so that nothing writes into the tensor itself, and a large model is not there twice.
    """
    here = device is None or torch.device(device).type == tensor.device.type
    return tensor.detach() if _is_large(tensor) and here else in_float64(tensor, device)


def in_float64(tensor: Tensor, device: torch.device | str | None = None) -> Tensor:
    """A copy that shares no memory with the original, floating-point numbers in float64."""
    copy = tensor.detach().clone()
    return copy.to(device=device, dtype=torch.float64 if copy.is_floating_point() else copy.dtype)


__all__ = ["SOFTPLUS_ERROR", "SOFTPLUS_THRESHOLD", "InFloat64", "in_float64", "stand_in"]
