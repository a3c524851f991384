"""What the description of a Keras model may name: only classes of Keras itself that compute what is asked of them.

Keras builds whatever its ``config.json`` describes: layers, initialisers, optimisers, and through some of them code.
Here every object that is named must be on a list before Keras sees the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from fiberscope.readers.keras.activations import FUNCTIONS, HEADS
from fiberscope.readers.keras.layers import LAYERS
from fiberscope.readers.keras.operations import HEAD_OPERATIONS, NN, OPERATIONS

DATA = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__")
"""Names that stand for plain data."""

MODELS = {("keras.src.models.functional", "Functional"), ("keras", "Functional"), ("keras", "Sequential")}
"""Models that are graphs of layers."""

SETTINGS = {
    "keras": ("DTypePolicy",),
    "keras.dtype_policies": ("DTypePolicy",),
    "keras.initializers": (
        "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "IdentityInitializer",
        "LecunNormal", "LecunUniform", "Ones", "Orthogonal", "OrthogonalInitializer", "RandomNormal", "RandomUniform",
        "TruncatedNormal", "VarianceScaling", "Zeros",
    ),
    "keras.regularizers": ("L1", "L1L2", "L2", "OrthogonalRegularizer"),
    "keras.constraints": ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"),
    "keras.optimizers": (
        "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "Nadam", "RMSprop",
        "SGD",
    ),
    "keras.optimizers.schedules": (
        "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "PiecewiseConstantDecay",
        "PolynomialDecay",
    ),
    "keras.losses": (
        "BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy", "CategoricalFocalCrossentropy",
        "CategoricalHinge", "CosineSimilarity", "Hinge", "Huber", "KLDivergence", "LogCosh", "MeanAbsoluteError",
        "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson",
        "SparseCategoricalCrossentropy", "SquaredHinge",
    ),
    "keras.metrics": (
        "AUC", "Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "F1Score", "Mean", "MeanAbsoluteError",
        "MeanSquaredError", "Precision", "Recall", "RootMeanSquaredError", "SparseCategoricalAccuracy",
        "SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy",
    ),
}  # fmt: skip
"""Settings of layers and models, by their module in Keras."""

BACKEND_OPTIMIZERS = re.compile(r"keras\.src\.backend\.\w+\.optimizers\.\w+")
"""Modules in which Keras keeps the optimisers of each backend."""

RUNS_CODE = ("Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer")
"""Layers of Keras that run code, or load it."""


@dataclass(frozen=True)
class Named:
    """What a description names that is not on the lists.

    Attributes:
        foreign: objects that are no part of Keras, or run code: with the names of the layers that they are in.
        unsupported: layers and operations of Keras that are not supported.
    """

    foreign: tuple[str, ...]
    unsupported: tuple[str, ...]


def named_in(config: dict[str, Any]) -> Named:
    """Look through a model's description for every object that it names.

    The settings for training at its top are not looked at, because they are not loaded.
    """
    foreign: list[str] = []
    unsupported: list[str] = []
    for entry in _entries({key: value for key, value in config.items() if key != "compile_config"}):
        module, name = entry.get("module"), entry.get("class_name")
        label = _label(entry)
        if _is_listed(entry):
            continue
        is_layer = module == "keras.layers" or str(module).startswith("keras.src.ops.")
        own_name = isinstance(name, str) and entry.get("registered_name") in (None, name)
        (unsupported if is_layer and own_name and name not in RUNS_CODE else foreign).append(label)
    return Named(tuple(dict.fromkeys(foreign)), tuple(dict.fromkeys(unsupported)))


def _entries(node: Any) -> Iterator[dict[str, Any]]:
    """Every object that names a class, at any depth; without recursion, because a file may nest deeply."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            entry = cast("dict[str, Any]", node)
            if "class_name" in entry:
                yield entry
            waiting.extend(reversed(list(entry.values())))
        elif isinstance(node, list):
            waiting.extend(reversed(cast("list[Any]", node)))


def _is_listed(entry: dict[str, Any]) -> bool:
    module, name, registered = (entry.get(key) for key in ("module", "class_name", "registered_name"))
    if not isinstance(name, str):
        return False
    if name in DATA:
        return True
    if name == "function":
        function = entry.get("config")
        return (
            module in ("builtins", "keras.activations")
            and registered in (None, "function", function)
            and function in (*FUNCTIONS, *HEADS)
        )
    if not isinstance(module, str) or registered not in (None, name):
        return False
    if BACKEND_OPTIMIZERS.fullmatch(module):
        return name in SETTINGS["keras.optimizers"]
    if module == "keras.layers":
        return name in (*LAYERS, "InputLayer", "Softmax")
    operations = (*OPERATIONS, *((NN, head) for head in HEAD_OPERATIONS))
    return (module, name) in MODELS or (module, name) in operations or name in SETTINGS.get(module, ())


def _label(entry: dict[str, Any]) -> str:
    """The name of a layer and its class, as far as the description tells."""
    config = entry.get("config")
    inner = cast("dict[str, Any]", config).get("name") if isinstance(config, dict) else config
    name = entry.get("name", inner)
    known = (None, "function", entry.get("class_name"))
    registered = "" if entry.get("registered_name") in known else f" registered as {entry['registered_name']}"
    kind = f"{entry.get('class_name')}{registered}"
    module = entry.get("module")
    if module not in (None, "keras.layers"):
        kind = f"{module}.{kind}"
    return f"{name} ({kind})" if isinstance(name, str) else kind


__all__ = ["Named", "named_in"]
