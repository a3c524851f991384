"""What is passed to ``from_torch`` in place of a module that can be converted, and what to do instead."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from fiberscope.errors import InputError, ModelError, shown
from fiberscope.network.foreign import is_of_keras, what_to_do

_EXPECTED = "a torch.nn.Module or a program of torch.export"

_FROM_PYTHON = (
    "which torch.export does not take; pass the Python module that it was scripted or traced from, with its weights"
)

_WRAPPERS: tuple[type, ...] = (nn.DataParallel, nn.parallel.DistributedDataParallel)

_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def check_module(given: Any) -> None:
    """Refuse what is no module, or none that can be exported, with what to do instead.

    Raises:
        InputError: no module.
        ModelError: a module of TorchScript, one that is wrapped, or one without a forward of one tensor.
    """
    if isinstance(given, torch.jit.ScriptFunction):
        raise ModelError(f"the function is TorchScript (torch.jit), {_FROM_PYTHON}")
    if not isinstance(given, nn.Module) or is_of_keras(given):
        raise InputError("module", expected=_EXPECTED, got=shown(given), hint=_instead(given))
    wrapper = next((kind.__name__ for kind in _WRAPPERS if isinstance(given, kind)), "")
    if wrapper:
        raise ModelError(f"{wrapper} only runs another module on several devices; pass that: model.module")
    _check_is_python(given)
    _check_forward(given)


def uncompiled(module: nn.Module) -> nn.Module:
    """The module that ``torch.compile`` was given, which computes the same; any other module itself."""
    original = getattr(module, "_orig_mod", None) if type(module).__name__ == "OptimizedModule" else None
    return original if isinstance(original, nn.Module) else module


def _parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    yield from module.named_modules()


def _check_is_python(module: nn.Module) -> None:
    for name, part in _parts(module):
        if isinstance(part, torch.jit.ScriptModule):
            raise ModelError(f"{repr(name) if name else 'the module'} is TorchScript (torch.jit), {_FROM_PYTHON}")


def _check_forward(module: nn.Module) -> None:
    kind = type(module).__name__
    if isinstance(module, _CONTAINERS) or getattr(module.forward, "__func__", None) is nn.Module.forward:
        raise ModelError(f"{kind} has no forward, so that it computes nothing; put its parts into an nn.Sequential")
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):  # of a forward that is no function
        return
    if not any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in parameters):
        named = ", ".join(f"{p.name}=" for p in parameters)
        raise ModelError(
            f"{kind}.forward takes no input{f' but by name ({named})' if named else ''}; expected one tensor: wrap it "
            "in a module whose forward takes one, and passes it on"
        )
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(needed) > 1:
        raise ModelError(
            f"{kind}.forward takes {len(needed)} inputs ({', '.join(needed)}); expected one tensor: wrap it in a "
            "module whose forward takes the one that you ask about, and holds the others"
        )


def _instead(given: Any) -> str:
    """What to do with something that is no module; empty where nobody knows."""
    match given:
        case type():
            return "pass an instance: build the module, and load its weights"
        case list() | tuple():
            return "put modules into an nn.Sequential"
        case _ if isinstance(given, Tensor) or type(given).__module__ == "numpy":
            return "for one layer, use fiberscope.ReLULayer(weight, bias)"
        case _:
            return what_to_do(given) or ("write it as the forward of a module" if callable(given) else "")


# ---- what a module returns


def check_output(outputs: Any) -> None:
    """Refuse a module that returns something else than one tensor.

    Raises:
        ModelError: says what it returns.
    """
    if isinstance(outputs, Tensor):
        return
    names = ", ".join(_entries(outputs))
    got = "nothing" if outputs is None else type(outputs).__name__ + (f" (its parts: {names})" if names else "")
    raise ModelError(
        f"expected a module that returns one tensor, got one that returns {got}; wrap it in a module whose forward "
        "returns the tensor that you ask about"
    )


def _entries(outputs: Any) -> list[str]:
    """How the parts of an output are reached."""
    if isinstance(outputs, Mapping):
        return [f"[{key!r}]" for key in cast("Mapping[Any, Any]", outputs)]
    if isinstance(outputs, tuple | list):
        names = cast("Sequence[str]", getattr(cast(Any, outputs), "_fields", ()))
        return [f".{name}" for name in names] or [f"[{i}]" for i in range(len(cast("Sequence[Any]", outputs)))]
    return [f".{field.name}" for field in fields(outputs)] if is_dataclass(outputs) else []


__all__ = ["check_module", "check_output", "uncompiled"]
