"""Operators that are affine maps: products with matrices, convolutions, normalisation, arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from fiberscope.network.arrays import FloatArray
from fiberscope.network.building import NetworkBuilder, Value, batch_norm_scaling
from fiberscope.readers.torch.call import Call, Operator, Result, as_array, numbers, taken

# ---- products with matrices


def dense(
    builder: NetworkBuilder, name: str, value: Value, weight: Tensor | FloatArray, bias: FloatArray | None
) -> Value:
    """``x W^T + b`` along the last axis: weight (outputs, inputs), an array or a tensor; bias (outputs,).

    Several rows are the places of a grid, and the product a convolution with a kernel of size one: like that the matrix
    is stored once.
    """
    *lead, last = value.shape
    rows = prod(lead)
    if rows == 1 or last != weight.shape[1]:
        return builder.dense(name, value, as_array(weight), bias)
    grid = taken(builder, f"{name} (channels first)", value, value.positions.reshape(rows, last).T[None])
    product = builder.convolution(name, grid, numbers(weight)[:, :, None], bias)
    back = product.positions[0].T.reshape(*lead, weight.shape[0])
    return taken(builder, f"{name} (channels last)", product, back)


def _matmul(call: Call, left: Any, right: Any, bias: FloatArray | None = None) -> Value:
    """``left @ right`` as numpy defines it, one of them constant; a bias along the last axis only if that is right."""
    if isinstance(left, Value):
        matrix = numbers(right)
        if matrix.ndim == 1:
            product = dense(call.builder, call.name, left, matrix[None], bias)
            return call.builder.reshape(product, product.shape[:-1])
        if matrix.ndim == 2 or prod(matrix.shape[:-2]) == 1:
            product = dense(call.builder, call.name, left, matrix.reshape(matrix.shape[-2:]).T, bias)
            lead = np.broadcast_shapes(left.shape[:-2], matrix.shape[:-2])
            return call.builder.reshape(product, (*lead, *left.shape[-2:-1], matrix.shape[-1]))
        return _batched(call, left, matrix)
    matrix = numbers(left)
    back = matrix if matrix.ndim == 1 else np.swapaxes(matrix, -1, -2)
    if len(right.shape) == 1:
        return _matmul(call, right, back)
    product = _matmul(call, _transposed(call, right, "turned"), back)
    return product if matrix.ndim == 1 else _transposed(call, product, "turned back")


def _transposed(call: Call, value: Value, what: str) -> Value:
    return taken(call.builder, f"{call.name} ({what})", value, np.swapaxes(value.positions, -1, -2))


def _batched(call: Call, value: Value, matrices: FloatArray) -> Value:
    """Products with a matrix per batch entry: value (..., n, k), matrices (..., k, m)."""
    positions = value.positions[None] if len(value.shape) == 1 else value.positions
    index, weights = positions[..., :, None, :], np.swapaxes(matrices, -1, -2)[..., None, :, :]
    shape = np.broadcast_shapes(index.shape, weights.shape)
    product = call.builder.weighted_sums(
        call.name, value, np.broadcast_to(index, shape), np.broadcast_to(weights, shape)
    )
    return product if len(value.shape) > 1 else call.builder.reshape(product, (*shape[:-3], shape[-2]))


def _linear(call: Call) -> Result:
    bias = call["bias"]
    weight = call["weight"]
    weight = weight[None] if weight.ndim == 1 else weight
    return dense(call.builder, call.name, call["input"], weight, None if bias is None else numbers(bias).reshape(-1))


def _product(call: Call) -> Result:
    left, right = list(call.arguments.values())[:2]
    return _matmul(call, left, right)


def _added_product(call: Call) -> Result:
    """``beta * self + alpha * (left @ right)``: addmm, baddbmm, addmv."""
    added, left, right = list(call.arguments.values())[:3]
    alpha, beta = float(call.get("alpha", 1.0)), float(call.get("beta", 1.0))
    if isinstance(left, Value) == isinstance(right, Value):  # only what is added depends on the input
        constant = alpha * numbers(torch.matmul(left, right))
        return call.builder.scaled(call.name, added, beta, constant)
    left, right = (item if isinstance(item, Value) else torch.tensor(alpha * numbers(item)) for item in (left, right))
    if isinstance(added, Value):
        inner = replace(call, name=f"{call.name} (product)")
        return _sum_of(call, _scaled(call, added, beta, "added"), _matmul(inner, left, right))
    constant = beta * numbers(added)
    if isinstance(left, Value) and len(right.shape) == 2 and prod(constant.shape) == right.shape[1]:
        return _matmul(call, left, right, constant.ravel())
    return call.builder.scaled(f"{call.name} (constant)", _matmul(call, left, right), 1.0, constant)


# ---- convolutions and normalisation


def _convolution(call: Call) -> Result:
    value, weight = call["input"], numbers(call["weight"])
    axes = weight.ndim - 2
    batched = value if len(value.shape) == weight.ndim else call.builder.reshape(value, (1, *value.shape))
    convolve = _transposed_convolution if _is_transposed(call) else _plain_convolution
    out = convolve(call, batched, weight, axes)
    return out if batched is value else call.builder.reshape(out, out.shape[1:])


def _is_transposed(call: Call) -> bool:
    return bool(call.get("transposed", default="transpose" in str(call.target)))


def _plain_convolution(call: Call, value: Value, weight: FloatArray, axes: int) -> Value:
    dilation = call.per_axis("dilation", axes)
    if call["padding"] == "valid":
        padding = [(0, 0)] * axes
    elif call["padding"] == "same":
        total = [step * (taps - 1) for step, taps in zip(dilation, weight.shape[2:], strict=True)]
        padding = [(both // 2, both - both // 2) for both in total]
    else:
        padding = [(side, side) for side in call.per_axis("padding", axes)]
    return call.builder.convolution(
        call.name, value, weight, _bias(call), stride=call.per_axis("stride", axes), padding=padding,
        dilation=dilation, groups=int(call["groups"]),
    )  # fmt: skip


def _transposed_convolution(call: Call, value: Value, weight: FloatArray, axes: int) -> Value:
    stride, padding, more, dilation = (
        call.per_axis(name, axes) for name in ("stride", "padding", "output_padding", "dilation")
    )
    spans = [gap * (taps - 1) + 1 for taps, gap in zip(weight.shape[2:], dilation, strict=True)]
    grid = [
        (size - 1) * step + span - 2 * pad + add
        for size, step, span, pad, add in zip(value.shape[2:], stride, spans, padding, more, strict=True)
    ]
    # what output padding adds lies behind all that the kernel reaches: the convolution back does not look at it
    sides = [(pad, pad - add) for pad, add in zip(padding, more, strict=True)]
    return call.builder.transposed_convolution(
        call.name, value, weight, _bias(call), output_grid=grid, stride=stride, padding=sides, dilation=dilation,
        groups=int(call["groups"]),
    )  # fmt: skip


def _bias(call: Call) -> FloatArray | None:
    return None if call["bias"] is None else numbers(call["bias"])


def _batch_norm(call: Call) -> Value:
    """``gamma (x - mean) / sqrt(var + eps) + beta`` as factors and constants, rounded to float64."""
    value = call["input"]
    with np.errstate(divide="ignore", invalid="ignore"):  # a bad variance is refused as a factor that is not finite
        gamma, beta = (None if call[part] is None else numbers(call[part]) for part in ("weight", "bias"))
        statistics = numbers(call["running_mean"]), numbers(call["running_var"])
        factor, shift = batch_norm_scaling(*statistics, float(call["eps"]), gamma, beta)
    per_channel = (-1, *[1] * (len(value.shape) - 2))
    return call.builder.scaled(call.name, value, factor.reshape(per_channel), shift.reshape(per_channel))


def _uses_batch(node: fx.Node, arguments: Mapping[str, Any]) -> str:
    if arguments.get("running_mean") is None or arguments.get("training"):
        return "it uses the statistics of its input"
    return ""


# ---- arithmetic


def _scaled(call: Call, value: Value, factor: float, what: str) -> Value:
    return value if factor == 1.0 else call.builder.scaled(f"{call.name} ({what})", value, factor)


def _sum_of(call: Call, left: Any, right: Any) -> Value:
    """The sum of two tensors, at least one of which depends on the input."""
    if isinstance(left, Value) and isinstance(right, Value):
        return call.builder.add(call.name, [left, right])
    value, constant = (left, right) if isinstance(left, Value) else (right, left)
    return call.builder.scaled(call.name, value, 1.0, numbers(constant))


def _weighted_sum(call: Call, left: float, right: float) -> Result:
    """``left * self + right * other``."""
    factors, terms = (left, right), (call["self"], call["other"])
    if not all(isinstance(term, Value) for term in terms):
        (value, factor), (constant, other) = sorted(
            zip(terms, factors, strict=True), key=lambda pair: not isinstance(pair[0], Value)
        )
        return call.builder.scaled(call.name, value, factor, other * numbers(constant))
    return _sum_of(call, *(_scaled(call, *pair, "scaled") for pair in zip(terms, factors, strict=True)))


def _times(call: Call) -> Result:
    value, factor = call["self"], call["other"]
    if not isinstance(value, Value):
        value, factor = factor, value
    return call.builder.scaled(call.name, value, numbers(factor))


def _divided(call: Call) -> Result:
    with np.errstate(divide="ignore"):  # refused as a factor that is not finite
        return call.builder.scaled(call.name, call["self"], 1.0 / numbers(call["other"]))


def _rounds(node: fx.Node, arguments: Mapping[str, Any]) -> str:
    return "it rounds" if arguments.get("rounding_mode") else ""


_AXES = (1, 2, 3)
_BOTH = ("self", "other")


def _alpha(call: Call) -> float:
    return float(call.get("alpha", 1.0))


_CONVOLUTION = Operator(_convolution, varying=("input",))
_PRODUCT = Operator(_product, varying=("self", "other", "mat2", "vec", "tensor"))
_FACTORS = ("mat1", "mat2", "batch1", "batch2", "mat", "vec")
_ADDED_PRODUCT = Operator(_added_product, varying=("self", *_FACTORS), exclusive=_FACTORS)
_SUM = Operator(lambda call: _weighted_sum(call, 1.0, _alpha(call)), varying=_BOTH, exclusive=())
_DIFFERENCE = Operator(lambda call: _weighted_sum(call, 1.0, -_alpha(call)), varying=_BOTH, exclusive=())
_REVERSED = Operator(lambda call: _weighted_sum(call, -_alpha(call), 1.0), varying=_BOTH, exclusive=())
_NORM = Operator(_batch_norm, varying=("input",), refusal=_uses_batch)
_NORM_WITH_STATISTICS = Operator(lambda call: (_batch_norm(call), None, None), varying=("input",), refusal=_uses_batch)

AFFINE: dict[str, Operator] = {
    **dict.fromkeys((f"conv{n}d" for n in _AXES), _CONVOLUTION),
    **dict.fromkeys((f"conv_transpose{n}d" for n in _AXES), _CONVOLUTION),
    "convolution": _CONVOLUTION,
    "linear": Operator(_linear, varying=("input",)),
    **dict.fromkeys(("mm", "bmm", "matmul", "mv", "dot"), _PRODUCT),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _ADDED_PRODUCT),
    "batch_norm": _NORM,
    **dict.fromkeys(
        ("_native_batch_norm_legit_no_training", "_native_batch_norm_legit", "native_batch_norm"), _NORM_WITH_STATISTICS
    ),
    "add": _SUM,
    **dict.fromkeys(("sub", "subtract"), _DIFFERENCE),
    "rsub": _REVERSED,
    **dict.fromkeys(("mul", "multiply"), Operator(_times, varying=_BOTH)),
    **dict.fromkeys(("div", "divide", "true_divide"), Operator(_divided, refusal=_rounds)),
    "neg": Operator(lambda call: call.builder.scaled(call.name, call.value, -1.0)),
}
"""Affine operators, by name."""

__all__ = ["AFFINE", "dense"]
