"""Reading networks from the ``.safetensors`` files that ``Network.save`` writes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from fiberscope.errors import FiberscopeError, ModelError
from fiberscope.network.network import Network
from fiberscope.network.original import Agreement
from fiberscope.network.serialization import METADATA, VERSION, stage_from
from fiberscope.network.stage import Stage

_FOREIGN = (
    "expected a file written by Network.save of fiberscope; to read weights alone, build the module in torch, "
    "load them into it, and pass the module to fiberscope.from_torch"
)


def load_safetensors(path: str | os.PathLike[str]) -> Network:
    """Read a network; nothing in the file is executed.

    Raises:
        ModelError: the file is missing, truncated, damaged, or was not written by ``Network.save``.
    """
    name = str(Path(path))
    try:
        with Path(path).open("rb"):  # safetensors takes whatever it cannot open for missing
            pass
    except OSError as error:
        raise ModelError(f"{name}: cannot read it: {error.strerror}") from error
    try:
        opened: Any = safe_open(name, framework="numpy")  # safetensors does not say what this is
        with opened as file:
            metadata: dict[str, str] = dict(file.metadata() or {})
            tensors: dict[str, Any] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  not a dict
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{name}: {error}; {_FOREIGN}") from error
    if METADATA not in metadata:
        raise ModelError(f"{name}: a safetensors file without the description of a network; {_FOREIGN}")
    try:
        return _network(json.loads(metadata[METADATA]), tensors)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError, FiberscopeError) as error:
        raise ModelError(f"{name}: the description of the network is damaged ({error}); {_FOREIGN}") from error


def _network(structure: dict[str, Any], tensors: dict[str, Any]) -> Network:
    if structure["version"] != VERSION:
        raise ModelError(f"expected version {VERSION} of the format, got {structure['version']}")
    stages: list[Stage] = []
    for number, entry in enumerate(structure["stages"]):
        prefix = f"{number}."
        arrays = {key.removeprefix(prefix): array for key, array in tensors.items() if key.startswith(prefix)}
        sources, shape = (tuple(int(n) for n in entry[key]) for key in ("sources", "shape"))
        stages.append(stage_from(str(entry["name"]), sources, shape, entry["parts"], arrays))
    agreement = None if structure["agreement"] is None else Agreement(**structure["agreement"])
    input_shape, notes = (tuple(structure[key]) for key in ("input_shape", "notes"))
    network = Network(
        tuple(stages), tuple(map(int, input_shape)), tuple(map(str, notes)), agreement,
        output=str(structure.get("output", "")),
    )  # fmt: skip
    if network.structure() != {key: structure[key] for key in ("input_shape", "stages")}:
        raise ModelError("its sizes are not those of the stored tensors")
    return network


__all__ = ["load_safetensors"]
