"""What each torch module and function that a chain may contain computes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  torch's own name for it

from fiberscope.errors import InputError, ModelError
from fiberscope.network.arrays import FloatArray, as_float64


class OperationKind(StrEnum):
    """The operations of a chain, as far as they differ for its conversion."""

    LINEAR = "linear"
    SCALING = "scaling"
    RELU = "relu"
    FLATTEN = "flatten"
    IDENTITY = "identity"
    HEAD = "head"


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of a chain.

    Attributes:
        name: what the model calls it.
        kind: which operation it is.
        weight: (m, n) for LINEAR, (n,) factors for SCALING.
        bias: (m,) or (n,) for these two.
        size: for FLATTEN, the number of values per sample if the model states one.
        head: for HEAD, ``softmax`` or ``log_softmax``.
    """

    name: str
    kind: OperationKind
    weight: FloatArray | None = None
    bias: FloatArray | None = None
    size: int | None = None
    head: str = ""


_INACTIVE = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip
"""Modules that pass their input on in evaluation mode."""

RELU_FUNCTIONS: tuple[Any, ...] = (F.relu, F.relu_, torch.relu, torch.relu_)
DROPOUT_FUNCTIONS: tuple[Any, ...] = (F.dropout, F.alpha_dropout, F.feature_alpha_dropout)
HEAD_FUNCTIONS: dict[Any, str] = {
    F.softmax: "softmax",
    torch.softmax: "softmax",
    F.log_softmax: "log_softmax",
    torch.log_softmax: "log_softmax",
}
LAST_AXIS = (1, -1)
"""The axis of the classes in a batch of flat outputs."""


def operation_of_module(name: str, module: nn.Module) -> Operation | None:
    """The operation that a module of torch computes in evaluation mode; None if it is not supported.

    Raises:
        ModelError: the module's numbers are not finite, or it has none yet.
    """
    if isinstance(module, nn.Linear):
        return linear(name, module.weight, module.bias)
    if isinstance(module, nn.BatchNorm1d):
        return _batch_norm(name, module)
    if isinstance(module, nn.ReLU):
        return Operation(name, OperationKind.RELU)
    if isinstance(module, _INACTIVE):
        return Operation(name, OperationKind.IDENTITY)
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
        return Operation(name, OperationKind.FLATTEN)
    if isinstance(module, nn.Softmax | nn.LogSoftmax) and module.dim in LAST_AXIS:
        head = "softmax" if isinstance(module, nn.Softmax) else "log_softmax"
        return Operation(name, OperationKind.HEAD, head=head)
    return None


def linear(name: str, weight: torch.Tensor, bias: torch.Tensor | None) -> Operation:
    """``A x + b`` with A and b as the module stores them."""
    A = numbers(name, "weight", weight)
    b = as_float64([0.0] * A.shape[0], "bias") if bias is None else numbers(name, "bias", bias)
    return Operation(name, OperationKind.LINEAR, A, b)


def _batch_norm(name: str, module: nn.BatchNorm1d) -> Operation | None:
    """``gamma (x - mean) / sqrt(var + eps) + beta`` as factors and constants, rounded to float64."""
    if module.running_mean is None or module.running_var is None:
        return None  # it uses the statistics of the batch even in evaluation mode: not a function of the sample
    mean = numbers(name, "running_mean", module.running_mean)
    variance = numbers(name, "running_var", module.running_var)
    factor = 1.0 / (variance + module.eps) ** 0.5
    constant = -mean * factor
    if module.affine:
        gamma, beta = numbers(name, "weight", module.weight), numbers(name, "bias", module.bias)
        factor, constant = factor * gamma, constant * gamma + beta
    return Operation(name, OperationKind.SCALING, factor, constant)


def numbers(name: str, attribute: str, tensor: torch.Tensor) -> FloatArray:
    """A parameter's values in float64.

    Raises:
        ModelError: they are not finite real numbers, or not there (a lazy or meta module).
    """
    full_name = f"{name}.{attribute}"
    if nn.parameter.is_lazy(tensor) or tensor.is_meta:
        raise ModelError(
            f"{full_name} has no values yet; run the module once, or load its weights, before converting it"
        )
    try:
        return as_float64(tensor, full_name)
    except InputError as error:
        raise ModelError(f"the module cannot be converted: {error}") from error


__all__ = [
    "DROPOUT_FUNCTIONS",
    "HEAD_FUNCTIONS",
    "LAST_AXIS",
    "RELU_FUNCTIONS",
    "Operation",
    "OperationKind",
    "linear",
    "numbers",
    "operation_of_module",
]
