"""The network and the data that somebody names, or has in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fiberscope.errors import InputError, ModelError, shown

if TYPE_CHECKING:
    from fiberscope.audits.job import Options
    from fiberscope.audits.subject import Subject
    from fiberscope.data.datasets import DataSet
    from fiberscope.network.network import Network

_MODELS = "a path, a torch module, a Keras model or a fiberscope.Network"


def given_subject(
    model: Any,
    data: Any,
    options: Options,
    *,
    trust: bool = False,
    output: str | None = None,
    input_shape: int | Sequence[int] | None = None,
) -> Subject:
    """Read both and fit the data to the network.

    Args:
        model: a path, or a model in memory.
        data: a name or a path, samples, or samples and labels.
        options: how many samples are asked for.
        trust: whether formats that can run code are loaded.
        output: the name of the output to take, where an ONNX model has several.
        input_shape: the shape of one sample, where the model leaves it open; by default that of the samples.

    Raises:
        InputError: neither is one, or they do not fit.
        ModelError: the model cannot be read.
    """
    from fiberscope.audits.job import build_subject
    from fiberscope.readers.files import load

    if not isinstance(model, str | os.PathLike) and output is not None:
        raise InputError("--output", expected="none for a model in memory, which has one", got=shown(output))
    path = cast("str | os.PathLike[str]", model) if isinstance(model, str | os.PathLike) else None
    network = None if path is None else _read(path, trust, output, input_shape)
    samples = given_data(data)
    shape = samples.x.shape[1:] if input_shape is None else input_shape
    if network is None:
        network = (
            _converted(model, shape) if path is None else load(path, trust=trust, output=output, input_shape=shape)
        )
    return build_subject(
        network,
        samples.x,
        samples.y,
        options,
        model_name=_name(cast(Any, model), network),
        data_name=samples.name,
        data_description=samples.description,
        classes=samples.classes,
    )


def _read(
    model: str | os.PathLike[str], trust: bool, output: str | None, input_shape: int | Sequence[int] | None
) -> Network | None:
    """The network of a file; None where the file leaves the shape of a sample open, and nobody says it."""
    from fiberscope.readers.files import load

    try:
        return load(model, trust=trust, output=output, input_shape=input_shape)
    except ModelError as error:
        if not error.needs_shape:
            raise
        return None


def _converted(model: Any, input_shape: int | Sequence[int]) -> Network:
    """A model in memory as a network."""
    from torch import nn
    from torch.export import ExportedProgram

    from fiberscope.network.foreign import is_of_keras
    from fiberscope.network.network import Network

    if isinstance(model, Network):
        return model
    if is_of_keras(model):
        from fiberscope.readers.keras import from_keras

        return from_keras(model)
    if isinstance(model, nn.Module | ExportedProgram):
        from fiberscope.readers.torch import from_torch

        return from_torch(model, None if isinstance(model, ExportedProgram) else input_shape)
    raise InputError("model", expected=_MODELS, got=shown(model))


def _name(model: Any, network: Network) -> str:
    """What the network is called: a file by its name, a model in memory by its class."""
    if isinstance(model, str | os.PathLike):
        return Path(cast("str | os.PathLike[str]", model)).name
    return f"a network of {len(network.relu_layers)} ReLU layers" if model is network else type(model).__name__


def given_data(data: Any) -> DataSet:
    """Samples by name or path, as a data set, as an array (N, ...), or as a pair of samples and labels (N,).

    Arrays are taken as they are: integers are not divided by anything.

    Raises:
        InputError: no such data, or no numbers.
    """
    from fiberscope.audits.subject import first_samples
    from fiberscope.data.datasets import DataSet, load_data
    from fiberscope.network.arrays import as_float64

    if isinstance(data, str | os.PathLike):
        return load_data(cast("str | os.PathLike[str]", data))
    if isinstance(data, DataSet):
        return data
    pair: tuple[Any, ...] = cast("tuple[Any, ...]", data) if isinstance(data, tuple) else (data, None)
    if len(pair) != 2:
        raise InputError("data", expected="samples, or a pair (x, y)", got=shown(cast(Any, data)))
    x, y = (None if each is None else _array(each) for each in pair)
    as_float64(x, "data")
    inputs, labels = first_samples(x, y, None)
    words = f"{len(inputs):,} samples of {' x '.join(map(str, inputs.shape[1:]))} numbers, given in memory"
    return DataSet("samples in memory", inputs, labels, words)


def _array(value: Any) -> Any:
    """An array; a tensor is brought to the CPU."""
    import numpy as np

    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


__all__ = ["given_data", "given_subject"]
