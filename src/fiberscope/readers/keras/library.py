"""Finding Keras, and the backend that it computes with."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from fiberscope.errors import ModelError

BACKEND = "KERAS_BACKEND"
"""The environment variable from which Keras takes its backend when it is imported."""


def keras_library() -> Any:
    """The module ``keras``; its backend is torch, unless the environment or an earlier import chose another one.

    Raises:
        ModelError: Keras or its backend is not installed.
    """
    if "keras" not in sys.modules:
        os.environ.setdefault(BACKEND, "torch")  # fiberscope needs torch itself; Keras would look for tensorflow
    try:
        keras = import_module("keras")
        version = str(keras.__version__)
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"Keras models need Keras 3, which cannot be imported ({error}); install it: pip install fiberscope[keras]"
        ) from error
    if version.split(".")[0] != "3":
        raise ModelError(
            f"expected Keras 3, got version {version}; install it: pip install --upgrade fiberscope[keras]"
        )
    return keras


def h5py_library() -> Any:
    """The module ``h5py``, which Keras reads weights with.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return import_module("h5py")
    except ImportError as error:
        raise ModelError(
            f"files of Keras need h5py, which cannot be imported ({error}); install it: pip install fiberscope[keras]"
        ) from error


def backend_name() -> str:
    """The backend of Keras: torch, tensorflow, jax, ..."""
    return str(keras_library().config.backend())


__all__ = ["backend_name", "h5py_library", "keras_library"]
