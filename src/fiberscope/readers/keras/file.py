"""Opening the files that Keras writes, without running code that they may hold."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from math import prod
from pathlib import Path
from typing import Any

from fiberscope.errors import ModelError
from fiberscope.readers.keras.archive import Contents, contents_of, is_without_model, version_in
from fiberscope.readers.keras.config import named_in
from fiberscope.readers.keras.library import backend_name, keras_library

HOW_TO_TRUST = (
    "open it only if you trust it as much as a program that you run: trust=True, or --trust-model on the command line"
)

TRUSTED = "the file was opened with trust: code in it may have run"
"""The note on networks from files that may have run code."""

CAUSE = "Exception encountered: "
"""What stands before the cause in an error of Keras."""

SPARE = 2**20
"""Numbers that a model may have beyond those stored: states of random generators, counts."""


def opened(path: Path, *, trust: bool) -> tuple[Any, str]:
    """The model in a file, and what a reader of results must know about how it was opened; empty if nothing.

    Raises:
        ModelError: damaged, not trusted, or with layers that are not supported.
    """
    if path.suffix.lower() in (".h5", ".hdf5"):
        if not trust:
            raise ModelError(
                f"{path}: this format of older Keras can run code when it is loaded, so it is not opened"
                f"{_written(path)}; save the model as .keras, or {HOW_TO_TRUST}",
                unsupported=(path.suffix,),
            )
        return _loaded(path, safe=False), TRUSTED
    contents = contents_of(path)
    named = named_in(contents.config)
    if named.foreign or contents.extra:
        if not trust:
            found = ", ".join((*named.foreign, *contents.extra, *named.unsupported))
            raise ModelError(
                f"{path}: the file holds code, or objects and files that are no layers of Keras 3: {found}"
                f"{_written(path)}; {HOW_TO_TRUST}",
                unsupported=(*named.foreign, *contents.extra, *named.unsupported),
            )
        return _loaded(path, safe=False), TRUSTED
    if named.unsupported:
        raise ModelError(
            f"{path}: the model contains layers that are not supported: {', '.join(named.unsupported)}; replace them, "
            "or cut the model before them with keras.Model(model.inputs, layer.output)",
            unsupported=named.unsupported,
        )
    _check_size(path, contents)
    return _loaded(path, safe=True), ""


def _check_size(path: Path, contents: Contents) -> None:
    """Build the model without memory for its weights, and count them: a short description can ask for any number."""
    keras = keras_library()
    if backend_name() != "torch":
        return  # other backends have no such device
    try:
        config = copy.deepcopy({**contents.config, "compile_config": None})  # Keras changes it
        with keras.device("meta"):
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        needed = {id(variable): prod(variable.shape) for variable in model.variables}
    except Exception as error:  # whatever Keras raises for descriptions that do not fit
        raise ModelError(
            f"{path}: Keras {keras.__version__} cannot build the model that the file describes ({_short(error)}); "
            f"{_how_to_convert(path)}"
        ) from error
    if sum(needed.values()) > contents.weights + SPARE:
        raise ModelError(
            f"{path}: the file describes a model of {sum(needed.values()):,} numbers, but holds {contents.weights:,}; "
            "expected a file that Keras 3 wrote with model.save(...)"
        )


def _loaded(path: Path, *, safe: bool) -> Any:
    keras = keras_library()
    try:
        with keras.device("cpu") if backend_name() == "torch" else nullcontext():
            return keras.saving.load_model(str(path), compile=False, safe_mode=safe)
    except Exception as error:  # whatever Keras, h5py or code in a trusted file raise
        raise ModelError(
            f"{path}: Keras {keras.__version__} cannot load the file ({_short(error)}); {_how_to_convert(path)}"
        ) from error


def _written(path: Path) -> str:
    version = version_in(path)
    return f"; it was written by Keras {version}" if version else ""


def _how_to_convert(path: Path) -> str:
    """What to do with a file that Keras 3 cannot load."""
    version = version_in(path)
    if is_without_model(path):
        return (
            "it holds weights without the model; build the model, load them into it, and write it with model.save(...)"
        )
    if version and version.partition(".")[0] != "3":
        return (
            f"it was written by Keras {version}: load it with that version (tf_keras, or TensorFlow before 2.16) and "
            "write it as ONNX (tf2onnx), or build the model in Keras 3 and give it the weights (model.set_weights)"
        )
    return f"expected one that Keras wrote with model.save(...){_written(path)}"


def _short(error: Exception) -> str:
    """One line of an error: Keras puts whole descriptions of models into its messages, and the cause at their end."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    causes = [line.removeprefix(CAUSE) for line in lines if line.startswith(CAUSE)]
    return (causes[-1] if causes else lines[0])[:300]


__all__ = ["opened"]
