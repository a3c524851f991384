"""Reading networks from Keras 3 models and files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fiberscope.errors import ModelError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.network.original import Original
from fiberscope.readers.comparison import check_agreement
from fiberscope.readers.keras.conversion import converted
from fiberscope.readers.keras.file import opened
from fiberscope.readers.keras.full_precision import full_precision
from fiberscope.readers.keras.original import ARITHMETIC, original_values


def from_keras(model: Any) -> Network:
    """Convert a Keras 3 model, as it computes at inference.

    The model is a ``keras.Sequential`` or a ``keras.Model(inputs, outputs)`` with one input and one output; models in
    it, and layers that are called several times, are taken apart. Supported are dense layers, convolutions of all
    kinds, pooling, batch normalisation, the common activations, residual sums, concatenations, and what moves numbers;
    dropout and augmentation pass their input on. A softmax at the end is left off. The model is not changed, and every
    layer is compared with what Keras computes. Of a model that computes in half precision (``mixed_float16``), the
    stored numbers are taken, and compared with Keras in float32.

    Args:
        model: the model, with the shape of its input fixed.

    Returns:
        The network in float64. It takes inputs as the model does; between layers, images have their channels first.
        Its ``notes`` tell what was folded or left off, its ``agreement`` how well it agrees with Keras.

    Raises:
        ModelError: Keras is not installed, the model has no graph, several inputs or outputs or an input of open shape,
            layers that are not supported (all of them named), weights that are not finite, or the converted network
            differs from the model.
    """
    full = full_precision(model)
    result = converted(full.graph)

    def original(X: FloatArray) -> dict[str, NDArray[Any]]:
        return dict(original_values(full.model, full.graph, result, X))

    agreement = check_agreement(result.network, original, name="Keras", dtype=ARITHMETIC)
    notes = (*result.network.notes, *filter(None, [full.note]))
    originals = (Original("Keras", ARITHMETIC, original),)
    return replace(result.network, notes=notes, agreement=agreement, originals=originals)


def load_keras(path: Path, *, trust: bool) -> Network:
    """Read a network from a file that ``model.save`` of Keras wrote.

    A ``.keras`` file is inspected first, and opened only if it holds nothing but layers and settings of Keras itself
    that are supported; nothing in it is executed.

    Args:
        path: a ``.keras`` file, or with ``trust`` an ``.h5`` file.
        trust: whether files that can run code are opened as well.

    Returns:
        The network, as ``from_keras`` gives it.

    Raises:
        ModelError: the file is damaged, holds code or classes of its own without ``trust``, holds layers that are not
            supported (all of them named), or what ``from_keras`` raises.
    """
    model, note = opened(path, trust=trust)
    try:
        network = from_keras(model)
    except ModelError as error:
        raise ModelError(f"{path}: {error}", unsupported=error.unsupported) from error
    return replace(network, notes=(*network.notes, note)) if note else network


__all__ = ["from_keras", "load_keras"]
