"""What is no claim at all is refused; what is one, however wrong it is, is not proved."""

from __future__ import annotations

from inspect import getattr_static
from typing import Any

from fiberscope.errors import InputError, shown

_PARTS = ("layer", "domain", "x", "y", "kind", "dimension", "certificate")
_MISSING = object()


def check_claim(value: Any) -> None:
    """InputError unless an object has the parts of a claim, whatever they are."""
    if _is_claim(value):
        return
    raise InputError(
        "verify", expected="a preimage, which has a verdict to prove", got=shown(value), hint=_advice(value)
    )


def _is_claim(value: Any) -> bool:
    return all(_has(value, part) for part in _PARTS)


def _has(value: Any, part: str) -> bool:
    if getattr_static(value, part, _MISSING) is not _MISSING:
        return True  # also one that fails when it is asked for: that is a claim that is not proved
    try:
        return hasattr(value, part)
    except Exception:  # code of the object's own
        return True


def _advice(value: Any) -> str:
    """What to verify instead."""
    if isinstance(value, list | tuple):
        return "verify one after the other: [fiberscope.verify(p) for p in preimages]"
    if callable(getattr_static(value, "verify", None)) and not isinstance(value, type):
        return "what it claims, it proves itself: call its own verify()"
    parts: dict[str, Any] = {} if isinstance(value, type) else getattr(value, "__dict__", {})
    for name, part in parts.items():
        if _is_claim(part):
            return f"its verdict is a preimage: verify its {name}"
    if hasattr(value, "relu_layers"):
        return "ask about one of its layers first: fiberscope.preimage(network.relu_layers[0], x=...)"
    return "fiberscope.preimage(layer, x=...) gives one; a folder of results is for the command fiberscope verify DIR"


__all__ = ["check_claim"]
