"""Reading ONNX models."""

from __future__ import annotations

from pathlib import Path

from fiberscope.errors import ModelError
from fiberscope.network.network import Network


def load_onnx(path: Path, *, input_shape: tuple[int, ...] | None = None, output: str | None = None) -> Network:
    """Read a network from an ONNX file, and compare it with what onnxruntime computes.

    The first axis of the input counts the samples if its size is open or 1, or if the model agrees with that on whole
    batches; otherwise the whole input is one sample. A softmax at the end is left off, and the network's notes say so.

    Args:
        path: the file; weights that are stored outside of it are read from its folder only.
        input_shape: the shape of one sample, where the file leaves it open.
        output: the name of the output to take, where there are several; not needed where all others are labels.

    Returns:
        The network in float64, with its original and its agreement with that.

    Raises:
        ModelError: a damaged file, several inputs or outputs, operators that are not supported (all of them named), or
            a converted network that differs from the original.
    """
    try:
        from fiberscope.readers.onnx.file import read_model
        from fiberscope.readers.onnx.graph import graph_of
        from fiberscope.readers.onnx.original import network_of
    except ImportError as error:
        raise ModelError(
            f"{path}: reading ONNX needs packages that are not here ({error}); pip install onnx onnxruntime"
        ) from error
    try:
        return network_of(graph_of(read_model(path), path.parent, input_shape, output))
    except ModelError as error:
        raise ModelError(f"{path}: {error}", unsupported=error.unsupported, needs_shape=error.needs_shape) from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: it holds names that are no text; the file is damaged ({error})") from error
    except RecursionError as error:
        raise ModelError(f"{path}: its operations, or their attributes, are nested too deeply") from error


__all__ = ["load_onnx"]
