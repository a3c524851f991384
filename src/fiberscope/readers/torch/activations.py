"""Operators that are activations, or made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import fx

from fiberscope.network.activations import PointwiseKind
from fiberscope.network.arrays import FloatArray
from fiberscope.network.building import Value
from fiberscope.readers.torch.call import Call, Operator, Result, numbers, taken
from fiberscope.readers.torch.float64 import SOFTPLUS_ERROR, SOFTPLUS_THRESHOLD
from fiberscope.readers.torch.pooling import extremum, maximum

_BELOW, _ABOVE = np.array(-np.inf), np.array(np.inf)

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _above(call: Call, value: Value, low: FloatArray) -> Value:
    """``max(x, low)`` with bounds that differ: a ReLU between two shifts."""
    shifted = call.builder.scaled(f"{call.name} (shifted)", value, 1.0, -low)
    return call.builder.scaled(f"{call.name} (shifted back)", call.builder.relu(call.name, shifted), 1.0, low)


def _below(call: Call, value: Value, high: FloatArray) -> Value:
    """``min(x, high)`` with bounds that differ: ``high - ReLU(high - x)``."""
    shifted = call.builder.scaled(f"{call.name} (mirrored)", value, -1.0, high)
    return call.builder.scaled(f"{call.name} (mirrored back)", call.builder.relu(call.name, shifted), -1.0, high)


def _clamped(call: Call, low: Any, high: Any) -> Result:
    """``min(max(x, low), high)``, each bound a number, an array or None."""
    bounds = [unbounded if bound is None else numbers(bound) for bound, unbounded in ((low, _BELOW), (high, _ABOVE))]
    ends = [np.unique(bound) for bound in bounds]
    if all(len(end) == 1 for end in ends) and ends[0][0] <= ends[1][0]:
        return _clipped(call, float(ends[0][0]), float(ends[1][0]), np.broadcast_shapes(*(b.shape for b in bounds)))
    value = call.value if low is None else _above(call, call.value, bounds[0])
    return value if high is None else _below(replace(call, name=f"{call.name} (high)"), value, bounds[1])


def _clipped(call: Call, low: float, high: float, shape: tuple[int, ...]) -> Result:
    """A clip with the same bounds everywhere, broadcast to a shape."""
    value = call.value
    repeated = np.broadcast_to(value.positions, np.broadcast_shapes(value.shape, shape))
    value = taken(call.builder, f"{call.name} (repeated)", value, repeated)
    return call.builder.clip(call.name, value, low, high)


def _extremum(call: Call, sign: float) -> Result:
    """Maximum or minimum: over axes, or of two tensors, one of which may be constant."""
    if "other" not in call.arguments:
        return extremum(call, sign=sign)
    left, right = call["self"], call["other"]
    if isinstance(left, Value) and isinstance(right, Value):
        shape = np.broadcast_shapes(left.shape, right.shape)
        flat = [call.builder.reshape(value, (value.size,)) for value in (left, right)]
        joined = call.builder.concatenate(f"{call.name} (joined)", flat, 0)
        places = (left.positions, right.positions + left.size)
        index = np.stack([np.broadcast_to(place, shape) for place in places], axis=-1)
        return maximum(call, index, value=joined, sign=sign)
    constant = numbers(right if isinstance(left, Value) else left)
    return _clamped(call, constant, None) if sign > 0 else _clamped(call, None, constant)


def _absolute(call: Call) -> Result:
    """``|x| = ReLU(x) + ReLU(-x)``: one layer with every row twice, and a sum."""
    value = call.value
    twice = call.builder.take(f"{call.name} (twice)", value, np.stack([value.positions] * 2))
    signs = np.array([1.0, -1.0]).reshape(2, *[1] * len(value.shape))
    both = call.builder.scaled(f"{call.name} (both signs)", twice, signs)
    positive = call.builder.relu(call.name, both)
    index = np.moveaxis(positive.positions, 0, -1)
    return call.builder.weighted_sums(f"{call.name} (sum)", positive, index, np.ones(index.shape))


def _leaky(call: Call, slope: Any) -> Result:
    return call.builder.pointwise(call.name, call.value, PointwiseKind.LEAKY_RELU, slope=slope)


def _prelu(call: Call) -> Result:
    slope, axes = numbers(call["weight"]).ravel(), len(call.value.shape)
    return _leaky(call, slope.reshape(-1, *[1] * (axes - 2)) if len(slope) > 1 and axes > 1 else slope)


def _elu(call: Call, alpha: float, beta: float = 1.0, scale: float = 1.0) -> Result:
    name = call.name if scale == 1.0 else f"{call.name} (unscaled)"
    value = call.builder.pointwise(name, call.value, PointwiseKind.ELU, alpha=alpha, beta=beta)
    return value if scale == 1.0 else call.builder.scaled(call.name, value, scale)


def _softplus(call: Call) -> Result:
    beta = float(call.get("beta", 1.0))
    call.builder.note(
        f"{call.name}: torch replaces softplus by the identity for large inputs; the network computes softplus itself, "
        f"which differs by at most {SOFTPLUS_ERROR / beta:.1g}"
    )
    return call.builder.pointwise(call.name, call.value, PointwiseKind.SOFTPLUS, beta=beta)


def _replaces_early(node: fx.Node, arguments: Mapping[str, Any]) -> str:
    if float(arguments["threshold"]) < SOFTPLUS_THRESHOLD:
        return f"its threshold is below {SOFTPLUS_THRESHOLD:g}, so that it jumps"
    return ""


def _log_sigmoid(call: Call) -> Value:
    """``log(sigmoid(x)) = -softplus(-x)``."""
    negated = call.builder.scaled(f"{call.name} (negated)", call.value, -1.0)
    value = call.builder.pointwise(call.name, negated, PointwiseKind.SOFTPLUS)
    return call.builder.scaled(f"{call.name} (negated back)", value, -1.0)


def _hard_sigmoid(call: Call) -> Result:
    ramp = call.builder.scaled(f"{call.name} (ramp)", call.value, 1.0 / 6.0, 0.5)
    return call.builder.clip(call.name, ramp, 0.0, 1.0)


def _pointwise(function: PointwiseKind) -> Operator:
    return Operator(lambda call: call.builder.pointwise(call.name, call.value, function))


def _jumps(node: fx.Node, arguments: Mapping[str, Any]) -> str:
    return "" if arguments["threshold"] == arguments["value"] else "it jumps"


def is_random(node: fx.Node, arguments: Mapping[str, Any]) -> str:
    """Refuse what draws random numbers."""
    return "it is random" if arguments.get("train") or arguments.get("training") else ""


_BOTH = ("self", "other")

ACTIVATIONS: dict[str, Operator] = {
    "relu": _pointwise(PointwiseKind.RELU),
    "tanh": _pointwise(PointwiseKind.TANH),
    "sigmoid": _pointwise(PointwiseKind.SIGMOID),
    "abs": Operator(_absolute),
    **dict.fromkeys(("max", "maximum"), Operator(lambda call: _extremum(call, 1.0), varying=_BOTH, exclusive=())),
    **dict.fromkeys(("min", "minimum"), Operator(lambda call: _extremum(call, -1.0), varying=_BOTH, exclusive=())),
    "leaky_relu": Operator(lambda call: _leaky(call, float(call["negative_slope"]))),
    "rrelu": Operator(lambda call: _leaky(call, (call["lower"] + call["upper"]) / 2), refusal=is_random),
    "prelu": Operator(_prelu),
    "_prelu_kernel": Operator(lambda call: _leaky(call, numbers(call["weight"]))),
    "elu": Operator(lambda call: _elu(call, float(call["alpha"]), 1.0 / call["input_scale"], float(call["scale"]))),
    "selu": Operator(lambda call: _elu(call, _SELU_ALPHA, scale=_SELU_SCALE)),
    "celu": Operator(lambda call: _elu(call, float(call["alpha"]), float(call["alpha"]))),
    "softplus": Operator(_softplus, refusal=_replaces_early),
    "log_sigmoid": Operator(_log_sigmoid),
    "log_sigmoid_forward": Operator(lambda call: (_log_sigmoid(call), None)),
    "hardsigmoid": Operator(_hard_sigmoid),
    "hardtanh": Operator(lambda call: _clamped(call, call["min_val"], call["max_val"])),
    "relu6": Operator(lambda call: _clamped(call, 0.0, 6.0)),
    **dict.fromkeys(("clamp", "clip"), Operator(lambda call: _clamped(call, call["min"], call["max"]))),
    "clamp_min": Operator(lambda call: _clamped(call, call["min"], None)),
    "clamp_max": Operator(lambda call: _clamped(call, None, call["max"])),
    "threshold": Operator(lambda call: _clamped(call, call["threshold"], None), refusal=_jumps),
}
"""Activations, by name."""

__all__ = ["ACTIVATIONS", "is_random"]
