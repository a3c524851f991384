"""Loading a network from a file, by the file's format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fiberscope.errors import InputError, ModelError
from fiberscope.network.network import Network
from fiberscope.readers.archives import TORCH_SCRIPT, archive_of
from fiberscope.readers.wrong_files import PICKLED, check_kind

READ_FORMATS = ".onnx, .pt2 (torch.export), .keras, .h5, and .safetensors (written by Network.save)"
"""The formats that ``load`` reads, in words."""

_WITH_NAMED_OUTPUTS = (".onnx",)


def load(
    path: str | os.PathLike[str],
    *,
    trust: bool = False,
    input_shape: int | Sequence[int] | None = None,
    output: str | None = None,
) -> Network:
    """Read a network from a file, and compare it with what the model's own library computes.

    Nothing in the file is executed, unless its format can hold code and ``trust`` is set.

    Args:
        path: an ONNX file; a program of ``torch.export``; a Keras model; or a file written by ``Network.save``.
        trust: whether formats that can run code when they are loaded (.pt2, .h5, .keras with code of its own) are
            accepted. Only for files whose origin you trust as much as a program that you run.
        input_shape: the shape of one sample, where the file leaves it open.
        output: the name of the output to take, where an ONNX model has several. Not needed where all others are labels.

    Returns:
        The network, evaluated in float64; its ``agreement`` says how well it agrees with the original.

    Raises:
        ModelError: there is no such file, its format is not read or not trusted, it is damaged, holds operators that
            are not supported (all of them named), has several outputs and none is chosen, or the converted network
            differs from the original.
        InputError: ``output`` for a format whose outputs have no names.
    """
    file = Path(path)
    try:
        got = "" if file.is_file() else "a folder" if file.is_dir() else "nothing of that name"
    except OSError as error:  # the folder that it is in may not be searched
        got = error.strerror or str(error)
    if got:
        raise ModelError(f"{file}: expected a model file, got {got}")
    suffix = file.suffix.lower()
    check_kind(file, suffix)
    if output is not None and suffix not in _WITH_NAMED_OUTPUTS:
        raise InputError(
            "output", expected=f"none for {file.name}: only the outputs of ONNX models have names", got=repr(output),
            hint="leave it out",
        )  # fmt: skip
    match suffix:
        case ".safetensors":
            from fiberscope.readers.safetensors import load_safetensors

            return load_safetensors(file)
        case ".onnx":
            from fiberscope.readers.onnx import load_onnx

            return load_onnx(file, input_shape=input_shape, output=output)
        case ".pt2":
            from fiberscope.readers.torch.exported import load_pt2
            from fiberscope.readers.torch.reader import checked_shape

            return load_pt2(file, trust=trust, input_shape=None if input_shape is None else checked_shape(input_shape))
        case ".keras" | ".h5" | ".hdf5":
            from fiberscope.readers.keras import load_keras

            return load_keras(file, trust=trust)
        case _ if suffix in PICKLED and archive_of(file) != TORCH_SCRIPT:
            raise ModelError(
                f"{file}: a pickled module can run any code when it is loaded, so it is not read; load it in torch "
                "yourself if you trust it, and pass the module (not its weights alone: these go into the module by "
                "load_state_dict) to fiberscope.from_torch or to torch.export",
                unsupported=(suffix,),
            )
        case _ if suffix in PICKLED:
            raise ModelError(f"{file}: expected one of the formats {READ_FORMATS}, got {TORCH_SCRIPT}")
        case _:
            raise ModelError(
                f"{file}: expected one of the formats {READ_FORMATS}, got {suffix or 'a name without suffix'}; "
                "build the model in torch, pass it to fiberscope.from_torch, and save the result",
                unsupported=(suffix,),
            )


__all__ = ["READ_FORMATS", "load"]
