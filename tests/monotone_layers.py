"""Layers of strictly monotone units, and what they compute by mpmath."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import torch

import fiberscope as fs
from fiberscope.network.monotone import Curve, Monotone

Array = np.ndarray[Any, Any]

MODULES: dict[str, Callable[[], torch.nn.Module]] = {
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "leaky_relu": lambda: torch.nn.LeakyReLU(0.125),
    "steep_leaky_relu": lambda: torch.nn.LeakyReLU(2.5),
    "elu": lambda: torch.nn.ELU(1.5),
    "softplus": lambda: torch.nn.Softplus(beta=2.0, threshold=80.0),
}
CURVES = {
    "tanh": (Curve.TANH, 1.0, 1.0),
    "sigmoid": (Curve.SIGMOID, 1.0, 1.0),
    "leaky_relu": (Curve.LEAKY_RELU, 0.125, 1.0),
    "steep_leaky_relu": (Curve.LEAKY_RELU, 2.5, 1.0),
    "elu": (Curve.ELU, 1.5, 1.0),
    "softplus": (Curve.SOFTPLUS, 1.0, 2.0),
}
"""The same by their numbers."""


def layer_of(name: str, weight: Any, bias: Any = None) -> fs.ReLULayer:
    """All units of one kind."""
    curve, alpha, beta = CURVES[name]
    ones = np.ones(len(weight), dtype=np.bool_)
    return fs.ReLULayer(weight, bias, ones, monotone=Monotone(np.full(len(weight), curve), alpha, beta))


def value(name: str, z: Any) -> Any:
    """The activation, in mpmath's precision."""
    _, alpha, beta = CURVES[name]
    match name:
        case "tanh":
            return mpmath.tanh(z)
        case "sigmoid":
            return 1 / (1 + mpmath.exp(-z))
        case "elu":
            return z if z > 0 else alpha * mpmath.expm1(z / beta)
        case "softplus":
            return mpmath.log1p(mpmath.exp(beta * z)) / beta
        case _:
            return z if z > 0 else z * alpha


def inverse(name: str, y: Any) -> Any:
    """Its inverse; -inf and inf at the ends of the range and beyond."""
    _, alpha, beta = CURVES[name]
    least = {"tanh": -1, "sigmoid": 0, "elu": -alpha, "softplus": 0}.get(name, -mpmath.inf)
    most = {"tanh": 1, "sigmoid": 1}.get(name, mpmath.inf)
    if y <= least or y >= most:
        return -mpmath.inf if y <= least else mpmath.inf
    match name:
        case "tanh":
            return mpmath.atanh(y)
        case "sigmoid":
            return mpmath.log(y / (1 - y))
        case "elu":
            return y if y > 0 else beta * mpmath.log1p(y / alpha)
        case "softplus":
            return mpmath.log(mpmath.expm1(beta * y)) / beta
        case _:
            return y if y > 0 else y / alpha


def outputs(name: str, Z: Array) -> Array:
    """The activation of an array, in float64 as numpy computes it: good to some roundings."""
    _, alpha, beta = CURVES[name]
    with np.errstate(all="ignore"):
        match name:
            case "tanh":
                return np.tanh(Z)
            case "sigmoid":
                return 1.0 / (1.0 + np.exp(-Z))
            case "elu":
                return np.where(Z > 0, Z, alpha * np.expm1(np.minimum(Z, 0.0) / beta))
            case "softplus":
                return np.logaddexp(beta * Z, 0.0) / beta
            case _:
                return np.where(Z > 0, Z, alpha * Z)
