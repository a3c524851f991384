"""Loading a network from a file, by the file's format."""

from __future__ import annotations

import os
from pathlib import Path

from fiberscope.errors import ModelError
from fiberscope.network.network import Network

READ_FORMATS = ".safetensors (written by Network.save)"
"""The formats that ``load`` reads, in words."""


def load(path: str | os.PathLike[str]) -> Network:
    """Read a network from a file; nothing in the file is executed.

    Args:
        path: a ``.safetensors`` file written by ``Network.save``.

    Returns:
        The network, evaluated in float64.

    Raises:
        ModelError: there is no such file, its format is not read, or it is damaged; says which formats are read.
    """
    file = Path(path)
    if not file.is_file():
        raise ModelError(
            f"{file}: expected a model file, got {'a folder' if file.is_dir() else 'nothing of that name'}"
        )
    match file.suffix.lower():
        case ".safetensors":
            from fiberscope.readers.safetensors import load_safetensors

            return load_safetensors(file)
        case suffix:
            raise ModelError(
                f"{file}: expected one of the formats {READ_FORMATS}, got {suffix or 'a name without suffix'}; "
                "build the model in torch, pass it to fiberscope.from_torch, and save the result",
                unsupported=(suffix,),
            )


__all__ = ["READ_FORMATS", "load"]
