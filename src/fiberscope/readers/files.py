"""Loading a network from a file, by the file's format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from fiberscope.errors import InputError, ModelError, shown
from fiberscope.network.arrays import as_shape
from fiberscope.network.foreign import what_to_do
from fiberscope.network.network import Network
from fiberscope.readers.archives import TORCH_SCRIPT, archive_of
from fiberscope.readers.wrong_files import PICKLED, check_kind
from fiberscope.scalars import as_flag

READ_FORMATS = ".onnx, .pt2 (torch.export), .keras, .h5, and .safetensors (written by Network.save)"
"""The formats that ``load`` reads, in words."""

_WITH_NAMED_OUTPUTS = (".onnx",)

_SUFFIXES = (".onnx", ".pt2", ".keras", ".h5", ".hdf5", ".safetensors")


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
        InputError: a model in memory instead of a path, or ``input_shape`` is no shape.
        ModelError: there is no such file, its format is not read or not trusted, it is damaged, holds operators that
            are not supported (all of them named), has several outputs and none is chosen, or the converted network
            differs from the original.
        InputError: ``output`` for a format whose outputs have no names.
    """
    file, trust = _model_file(path), as_flag(trust, "trust")
    shape = None if input_shape is None else as_shape(input_shape, "input_shape")
    suffix = file.suffix.lower()
    check_kind(file, suffix)
    if output is not None and suffix not in _WITH_NAMED_OUTPUTS:
        expected = f"none for {file.name}: only the outputs of ONNX models have names"
        raise InputError("output", expected=expected, got=shown(output), hint="leave it out")
    match suffix:
        case ".safetensors":
            from fiberscope.readers.safetensors import load_safetensors

            return load_safetensors(file)
        case ".onnx":
            from fiberscope.readers.onnx import load_onnx

            return load_onnx(file, input_shape=shape, output=output)
        case ".pt2":
            from fiberscope.readers.torch.exported import load_pt2

            return load_pt2(file, trust=trust, input_shape=shape)
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


def _model_file(path: Any) -> Path:
    """The path of a file that is there.

    Raises:
        InputError: no path, but a model in memory, say.
        ModelError: there is no such file.
    """
    if not isinstance(path, str | os.PathLike) or path == "":
        hint = "" if isinstance(path, str) else what_to_do(path)
        raise InputError(
            "path", expected="the path of a model file", got=shown(cast(Any, path)), hint=hint or "name a file"
        )
    file = Path(cast("str | os.PathLike[str]", path))
    try:
        got = "" if file.is_file() else "a folder" if file.is_dir() else "nothing of that name"
        hint = _file_meant(file) if got else ""
    except OSError as error:  # the folder that it is in may not be searched
        got, hint = error.strerror or str(error), ""
    if got:
        raise ModelError(f"{file}: expected a model file, got {got}{hint}")
    return file


def _file_meant(file: Path) -> str:
    """Files with which a folder, or a name that is not there, may be confused."""
    if file.is_dir():
        found = sorted(each.name for each in file.iterdir() if each.suffix.lower() in _SUFFIXES)
        return f"; name a file in it, such as {found[0]}" if found else "; name a file"
    beside = [each.name for each in file.parent.iterdir() if each.is_file()] if file.parent.is_dir() else []
    near = get_close_matches(file.name, beside, n=1)
    return f"; did you mean {near[0]}?" if near else "; look at the spelling, and at the folder that it is in"


__all__ = ["READ_FORMATS", "load"]
