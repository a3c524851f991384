"""The file format of networks: safetensors, with the structure as JSON in the metadata."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from fiberscope.errors import InputError
from fiberscope.files import atomic_path
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network

METADATA = "fiberscope.network"
"""The one metadata entry; several would be written in an order that changes from run to run."""

VERSION = 1
"""Raised when older readers could misread a file."""

SUFFIX = ".safetensors"


def save_network(network: Network, path: str | os.PathLike[str]) -> None:
    """Write ``network``; the file appears whole or not at all.

    Tensors are named ``<stage number>.weight`` and ``<stage number>.bias``. They are stored in float32 where that loses
    nothing, and in float64 otherwise.

    Raises:
        InputError: the name does not end in ``.safetensors``.
        ResultsError: the file cannot be written.
    """
    if Path(path).suffix != SUFFIX:
        raise InputError("path", expected=f"a name ending in {SUFFIX}", got=str(path), hint="add the suffix")
    tensors: dict[str, NDArray[np.generic]] = {}
    for number, stage in enumerate(network.stages):
        if stage.affine is not None:
            tensors[f"{number}.weight"] = _smallest(stage.affine.rows())
            tensors[f"{number}.bias"] = _smallest(stage.affine.bias)
    description = {"version": VERSION, **network.structure(), "notes": list(network.notes)}
    data = save(tensors, metadata={METADATA: json.dumps(description)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _smallest(array: FloatArray) -> NDArray[np.generic]:
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    return single if np.array_equal(single.astype(np.float64), array) else np.ascontiguousarray(array)


__all__ = ["METADATA", "SUFFIX", "VERSION", "save_network"]
