"""What each operator of torch means as stages of a network: one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from fiberscope.network.building import head_note
from fiberscope.readers.torch.activations import ACTIVATIONS, is_random
from fiberscope.readers.torch.affine import AFFINE
from fiberscope.readers.torch.call import Call, Operator, Result, operator_name
from fiberscope.readers.torch.indexing import MOVES
from fiberscope.readers.torch.pooling import POOLING

SUPPORTED = (
    "affine maps (linear, convolution and its transpose, batch norm, average pooling, sums, products with constants), "
    "moving numbers (reshaping, slicing, concatenation, padding), ReLU and its relatives (leaky, parametric, ELU, "
    "SELU, CELU, softplus, tanh, sigmoid, clamping, absolute value), maxima, and a softmax at the end"
)
"""What is supported, in words."""

SHAPE_ONLY = (
    "copy", "empty_like", "fill", "full_like", "new_empty", "new_full", "new_ones", "new_zeros", "ones_like",
    "sym_numel", "sym_size", "zero", "zeros_like",
)  # fmt: skip
"""Operators that look at nothing but the shape of their first argument."""


def _passed_on(call: Call) -> Result:
    return call.value


def _cast(call: Call) -> Result:
    """A cast changes nothing here: the network is evaluated in float64."""
    dtype = call.get("dtype")
    if isinstance(dtype, torch.dtype) and dtype.itemsize < torch.float32.itemsize:
        call.builder.note(f"{call.name}: rounding to {dtype} is left out")
    return call.value


def _casts_to_others(node: fx.Node, arguments: Mapping[str, Any]) -> str:
    dtype = arguments.get("dtype")
    return f"to {dtype}" if isinstance(dtype, torch.dtype) and not dtype.is_floating_point else ""


def _head(call: Call) -> Result:
    head = "log_softmax" if "log" in str(call.target) else "softmax"
    call.builder.note(head_note(call.name, head))
    return call.value


def _is_in_between(node: fx.Node, arguments: Mapping[str, Any]) -> str:
    shape, dim = node.meta["val"].shape, int(arguments["dim"])
    if len(shape) > 1 and dim % len(shape) == 0:
        return "it is over the axis of the samples"
    return "" if _leads_only_out(node) else "it is supported only at the end"


def _leads_only_out(node: fx.Node) -> bool:
    """Whether nothing happens to a value any more."""
    return all(
        user.op == "output" or (operator_name(user.target) in _INERT and _leads_only_out(user)) for user in node.users
    )


_INERT = ("alias", "clone", "contiguous", "detach", "_to_copy", "to", "view", "reshape", "flatten", "squeeze")
"""Operators that may follow a softmax at the end."""

_INACTIVE = Operator(_passed_on, varying=("self", "input"), refusal=is_random, moves=True)
_CAST = Operator(_cast, refusal=_casts_to_others, moves=True)
_HEAD = Operator(_head, refusal=_is_in_between, is_head=True)

OPERATORS: dict[str, Operator] = {
    **MOVES,
    **POOLING,
    **AFFINE,
    **ACTIVATIONS,
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"), _INACTIVE),
    **dict.fromkeys(("alias", "clone", "contiguous", "detach", "lift_fresh", "lift_fresh_copy", "positive"), _INACTIVE),
    **dict.fromkeys(("to", "_to_copy"), _CAST),
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), _HEAD),
}
"""Operators that are supported, by name."""


def is_known(target: Any) -> bool:
    """Whether this is an operator of the tables, rather than another function of the same name."""
    return str(getattr(target, "namespace", "")) == "aten" and (
        operator_name(target) in OPERATORS or operator_name(target) in SHAPE_ONLY
    )


__all__ = ["OPERATORS", "SHAPE_ONLY", "SUPPORTED", "is_known"]
