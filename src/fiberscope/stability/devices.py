"""The devices that products may be computed on."""

from __future__ import annotations

from typing import Any

import torch

from fiberscope.errors import InputError, shown


def checked_device(device: Any) -> torch.device:
    """A device of torch that computes in float64 here; None is the CPU.

    Raises:
        InputError: torch knows no such device, or this machine or torch has none that computes so.
    """
    try:
        known = torch.device("cpu" if device is None else device)
        usable = torch.ones(1, dtype=torch.float64, device=known).item() == 1.0
    except (RuntimeError, AssertionError, TypeError, ValueError, NotImplementedError):  # torch raises what it likes
        usable, known = False, torch.device("cpu")
    if not usable:
        raise InputError(
            "device",
            expected=f"one that torch can compute on here in float64: {', '.join(_usable())}",
            got=repr(str(device)) if isinstance(device, torch.device) else shown(device),
            hint="leave it out for the CPU; a GPU needs a torch that is built for it, and its driver",
        )
    return known


def _usable() -> list[str]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ["'cpu'", *(f"'cuda:{number}'" for number in range(count))]


__all__ = ["checked_device"]
