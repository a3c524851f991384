"""Objects that people have where a network, a layer or a file is asked for, and what makes the right thing of them.

They are known by the names of their classes, so that none of the libraries that they come from is imported.
"""

from __future__ import annotations

import os
from typing import Any

_SOURCES: tuple[tuple[str, str, str], ...] = (
    ("fiberscope", "Network", "a network is what fiberscope.load gives; pass it on as it is"),
    ("fiberscope", "ReLULayer", "pass the network that the layer belongs to"),
    ("fiberscope", "RegionLayer", "pass the network that the layer belongs to"),
    ("torch", "ExportedProgram", "pass it to fiberscope.from_torch"),
    ("keras", "Model", "pass it to fiberscope.from_keras(model)"),  # before torch: Keras's models may be modules, too
    ("keras", "Layer", "put it into a keras.Sequential, and pass that to fiberscope.from_keras"),
    ("torch", "Module", "pass it to fiberscope.from_torch(module, input_shape=...)"),
    (
        "onnx",
        "ModelProto",
        "write it with onnx.save(model, 'model.onnx'), and read it with fiberscope.load('model.onnx')",
    ),
    (
        "onnxruntime",
        "InferenceSession",
        "pass the path of the file that the session was made of to fiberscope.load",
    ),
)
"""The package a class comes from, its name or that of a class it derives from, and what to do; the first that fits."""


def what_to_do(value: Any) -> str:
    """How to make a network of an object; empty where nothing is known about its class."""
    if isinstance(value, type):
        return "pass an object, not its class"
    if isinstance(value, str | os.PathLike):
        return "read the file first, with fiberscope.load(path)"
    if isinstance(value, dict):
        return (
            "weights alone are no network: load them into their module, with load_state_dict, and pass that to "
            "fiberscope.from_torch"
        )
    bases = {(base.__module__.partition(".")[0], base.__name__) for base in type(value).__mro__}
    return next((advice for package, name, advice in _SOURCES if (package, name) in bases), "")


def is_of_keras(value: Any) -> bool:
    """Whether an object is a model or a layer of Keras."""
    return any(base.__module__.partition(".")[0] == "keras" for base in type(value).__mro__)


__all__ = ["is_of_keras", "what_to_do"]
