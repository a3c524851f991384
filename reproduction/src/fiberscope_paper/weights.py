"""Weights alone, as torch modules store them: read into an architecture that is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from fiberscope.errors import ModelError
from fiberscope.network.network import Network
from fiberscope.network.serialization import METADATA, SUFFIX
from fiberscope.readers.torch import from_torch


def is_weights_alone(path: Path) -> bool:
    """Whether a file is a safetensors file without the description of a network."""
    if path.suffix.lower() != SUFFIX or not path.is_file():
        return False
    try:
        opened: Any = safe_open(str(path), framework="pt")
        with opened as file:
            return METADATA not in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False  # whoever loads it says what is wrong


def load_weights(path: Path, architecture: Callable[[], nn.Sequential]) -> Network:
    """Read ``PREFIX.weight`` and ``PREFIX.bias`` of each layer, in the order of the numbers in their names.

    Raises:
        ModelError: other tensors than the architecture has.
    """
    tensors = _tensors(path)
    prefixes = sorted({name.rpartition(".")[0] for name in tensors}, key=_order)
    with torch.random.fork_rng(devices=[]):  # making the modules draws global random numbers
        module = architecture()
    layers = [part for part in module if isinstance(part, nn.Linear | nn.Conv2d)]
    expected = [(name, tuple(value.shape)) for part in layers for name, value in part.named_parameters()]
    have = [(name, tuple(tensors[f"{p}.{name}"].shape)) for p in prefixes for name in ("weight", "bias")
            if f"{p}.{name}" in tensors]  # fmt: skip
    if expected != have or len(have) != len(tensors):
        shapes = ", ".join(str(shape) for _, shape in expected)
        raise ModelError(f"{path}: expected the weights and biases of the figure's network, of shapes {shapes}; got "
                         f"{', '.join(f'{name} {tuple(t.shape)}' for name, t in tensors.items())}")  # fmt: skip
    for part, prefix in zip(layers, prefixes, strict=True):
        part.load_state_dict({name: tensors[f"{prefix}.{name}"] for name in ("weight", "bias")})
    return from_torch(module.eval())


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    opened: Any = safe_open(str(path), framework="pt")
    with opened as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict


def _order(prefix: str) -> tuple[tuple[int, str], ...]:
    """By the numbers in dotted names, so that 10 comes after 9."""
    return tuple((int(part), "") if part.isdigit() else (0, part) for part in prefix.split("."))


__all__ = ["is_weights_alone", "load_weights"]
