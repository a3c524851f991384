"""The file format of networks: safetensors, with the structure as JSON in the metadata."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from fiberscope.errors import InputError, shown
from fiberscope.files import atomic_path
from fiberscope.network.network import Network
from fiberscope.network.serialization import parts_of, smallest

METADATA = "fiberscope.network"
"""The one metadata entry; several would be written in an order that changes from run to run."""

VERSION = 2
"""Raised when older readers could misread a file."""

SUFFIX = ".safetensors"


def save_network(network: Network, path: str | os.PathLike[str]) -> None:
    """Write ``network``; the file appears whole or not at all.

    Tensors are named ``<stage number>.<map number>.weight`` and so on. They are stored in float32 (whole
    numbers in int32) where that loses nothing, and in float64 otherwise.

    Raises:
        InputError: the name does not end in ``.safetensors``.
        ResultsError: the file cannot be written.
    """
    if not isinstance(path, str | os.PathLike) or Path(path).suffix != SUFFIX:  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = f"write a name such as 'model{SUFFIX}'"
        raise InputError("path", expected=f"a name ending in {SUFFIX}", got=shown(path), hint=hint)
    data = network_bytes(network)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def network_bytes(network: Network) -> bytes:
    """What the file holds."""
    tensors: dict[str, NDArray[np.generic]] = {}
    for number, stage in enumerate(network.stages):
        for name, array in parts_of(stage)[1].items():
            tensors[f"{number}.{name}"] = np.ascontiguousarray(smallest(array))
    description = {"version": VERSION, **network.structure(), "notes": list(network.notes)}
    description["agreement"] = None if network.agreement is None else asdict(network.agreement)
    if network.output:
        description["output"] = network.output
    return save(tensors, metadata={METADATA: json.dumps(description)})


__all__ = ["METADATA", "SUFFIX", "VERSION", "network_bytes", "save_network"]
