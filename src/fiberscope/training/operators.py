"""What torch's functions are to one of their arguments: affine maps, activations, or something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Linear: TypeAlias = Callable[[Tensor], Tensor]
"""A linear map of one argument."""

Call: TypeAlias = tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any]]
"""A function of torch with its arguments."""

MOVED = frozenset({"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous", "clone"})
"""Functions that keep all numbers of a sample, in their order: behind them alone, an activation makes no layer."""

_MOVES = frozenset(
    {
        *("permute", "transpose", "movedim", "swapaxes", "__getitem__", "chunk", "split", "unbind"),
        *("pixel_shuffle", "pixel_unshuffle", "flip", "roll", "narrow", "select", "index_select"),
    }
)
"""Functions that move numbers, or leave some out."""

_MEANS = frozenset(f"{kind}avg_pool{k}d" for kind in ("", "adaptive_") for k in (1, 2, 3)) | {"mean", "sum"}
"""Other functions that are linear in their first argument whatever the others are."""

_NEGATIVES = frozenset({"neg", "__neg__", "negative"})

_CONVOLUTIONS = frozenset({f"conv{kind}{k}d" for kind in ("", "_transpose") for k in (1, 2, 3)})

_SUMS = {
    **dict.fromkeys(("add", "__add__", "__radd__", "add_", "__iadd__"), 1.0),
    **dict.fromkeys(("sub", "__sub__", "sub_", "__isub__", "subtract"), -1.0),
}
"""Functions that add two arguments, and the sign of the second."""
_SCALED = frozenset({"mul", "multiply", "__mul__", "__rmul__", "mul_", "__imul__"})
_DIVIDED = frozenset({"div", "divide", "true_divide", "__truediv__", "div_", "__itruediv__"})
_PRODUCTS = frozenset({"matmul", "__matmul__", "mm"})

DROPOUTS = frozenset(
    {
        *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"),
        *("feature_alpha_dropout", "dropout_", "alpha_dropout_"),
    }
)


@dataclass(frozen=True, eq=False)
class Filters:
    """The weights of a Linear or a convolution: one row each of ``weight.flatten(1)`` for every output channel.

    Attributes:
        weight: (outputs, inputs) or (channels, channels / groups, *kernel).
        groups: of a convolution.
    """

    weight: Tensor
    groups: int = 1


@dataclass(frozen=True, eq=False)
class AffineStep:
    """An affine operator.

    Attributes:
        linear: its linear part, of its tracked arguments in their order.
        squared: the same with all coefficients squared; None where numbers are added up without weights.
        filters: its weights where it is a Linear or a convolution.
        scale: its factors, one per channel, where it is a batch norm.
    """

    linear: Callable[..., Any]
    squared: Callable[..., Any] | None = None
    filters: Filters | None = None
    scale: Tensor | None = None


def affine_step(call: Call, is_tracked: Callable[[Any], bool], output: Any) -> AffineStep | None:
    """An operator as an affine one; None where it is none, or not known to be one."""
    func, args, kwargs = call
    name = func.__name__
    where = [position for position, each in enumerate(args) if is_tracked(each)]
    if name in ("cat", "concat", "concatenate", "stack"):
        return _joined(func, args, kwargs, is_tracked)
    if name in _SUMS and where:
        return _sum(_SUMS[name] * float(kwargs.get("alpha", 1)), where)
    if name == "rsub" and where == [0]:
        return _of_one(torch.neg, _same)
    if len(where) != 1:
        return None
    if name in _SCALED:
        return _scaled(args[1 - where[0]])
    if name in _PRODUCTS:
        return _product(args, where[0])
    if name == "addmm" and where == [1]:
        return _of_one(lambda v: v @ args[2])
    return _of_first(call, output) if where == [0] else None


def _of_first(call: Call, output: Any) -> AffineStep | None:
    """Of the operators that are affine in their first argument."""
    func, (_, *others), kwargs = call
    name = func.__name__
    if name in MOVED:
        return _moved(output)
    if name == "linear":
        weight = _argument(others, kwargs, 0, "weight")
        return _of_one(
            lambda v: functional.linear(v, weight), lambda v: functional.linear(v, weight.square()), Filters(weight)
        )
    if name in _CONVOLUTIONS:
        return _convolution(func, others, kwargs)
    if name == "batch_norm":
        return _normalised(others, kwargs, output.ndim)
    if name in _DIVIDED:
        return _scaled(1.0 / others[0])
    if name == "pad":
        size, mode = _argument(others, kwargs, 0, "pad"), _argument(others, kwargs, 1, "mode", "constant")
        return _moving(lambda v: functional.pad(v, size, mode))
    if name in _NEGATIVES:
        return _of_one(torch.neg, _same)
    if name in _MOVES:
        return _moving(lambda v: func(v, *others, **kwargs))
    return _of_one(lambda v: func(v, *others, **kwargs)) if name in _MEANS else None


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], position: int, name: str, default: Any = None) -> Any:
    return args[position] if position < len(args) else kwargs.get(name, default)


def _of_one(linear: Linear, squared: Linear | None = None, filters: Filters | None = None) -> AffineStep:
    return AffineStep(linear, squared, filters)


def _same(v: Tensor) -> Tensor:
    return v


def _moving(move: Linear) -> AffineStep:
    return _of_one(move, move)


def _scaled(factor: Any) -> AffineStep:
    return _of_one(lambda v: v * factor, lambda v: v * factor**2)


def _joined(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], is_tracked: Any) -> AffineStep:
    parts = args[0] if args else kwargs["tensors"]
    others = {name: value for name, value in kwargs.items() if name != "tensors"}

    def linear(*values: Tensor) -> Tensor:
        left = iter(values)
        size = len(values[0])
        given = [next(left) if is_tracked(each) else torch.zeros_like(each[:1]).expand(size, *each.shape[1:]) for each
                 in parts]  # fmt: skip
        return func(given, *args[1:], **others)

    return _moving(linear)


def _sum(sign: float, where: Sequence[int]) -> AffineStep:
    if len(where) == 2:

        def added(a: Tensor, b: Tensor) -> Tensor:
            return a + sign * b

        return AffineStep(added)
    return _scaled(sign if where[0] == 1 else 1.0)  # the other is a constant


def _product(args: Sequence[Any], where: int) -> AffineStep:
    other = args[1 - where]
    return _of_one((lambda v: v @ other) if where == 0 else (lambda v: other @ v))


def _moved(output: Any) -> AffineStep | None:
    """Of a reshaping: samples stay what they are, however many there are."""
    if not isinstance(output, Tensor) or output.ndim == 0:
        return None
    shape = output.shape[1:]
    return _moving(lambda v: v.reshape(len(v), *shape))


def _convolution(func: Callable[..., Any], others: Sequence[Any], kwargs: Mapping[str, Any]) -> AffineStep:
    weight = _argument(others, kwargs, 0, "weight")
    rest, named = others[2:], {name: value for name, value in kwargs.items() if name not in ("weight", "bias")}

    def with_weight(weight: Tensor) -> Linear:
        return lambda v: func(v, weight, None, *rest, **named)

    rows = None if "transpose" in func.__name__ else Filters(weight, int(_argument(rest, named, 3, "groups", 1)))
    return _of_one(with_weight(weight), with_weight(weight.square()), rows)


def _normalised(others: Sequence[Any], kwargs: Mapping[str, Any], dimensions: int) -> AffineStep | None:
    """Of a batch norm that uses its running statistics."""
    variance = _argument(others, kwargs, 1, "running_var")
    if variance is None:
        return None
    weight, eps = _argument(others, kwargs, 2, "weight"), _argument(others, kwargs, 6, "eps", 1e-5)
    scale = (variance + eps).rsqrt() * (1.0 if weight is None else weight)
    scaled = _scaled(scale.reshape(-1, *[1] * (dimensions - 2)))
    return AffineStep(scaled.linear, scaled.squared, scale=scale)


# ---- activations

_MONOTONE = frozenset(
    {
        *("leaky_relu", "leaky_relu_", "prelu", "rrelu", "elu", "elu_", "celu", "selu", "softplus", "logsigmoid"),
        *("tanh", "tanh_", "sigmoid", "sigmoid_", "softsign", "hardsigmoid", "tanhshrink"),
    }
)

_CUT: dict[str, tuple[float, float]] = {"relu": (0.0, inf), "relu_": (0.0, inf), "relu6": (0.0, 6.0)}


def cut_of(call: Call) -> tuple[float, float] | None:
    """Below and above which numbers an activation cuts off: 0 and inf for a ReLU, the ends of a clip.

    Returns:
        -inf and inf for a strictly monotone activation; None where the function is no activation that makes a layer.
    """
    func, (_, *others), kwargs = call
    name = func.__name__
    if name in _CUT:
        return _CUT[name]
    if name in _MONOTONE:
        return -inf, inf
    if name in ("hardtanh", "hardtanh_"):
        return float(_argument(others, kwargs, 0, "min_val", -1.0)), float(_argument(others, kwargs, 1, "max_val", 1.0))
    if name in ("clamp_min", "clamp_min_"):
        return _ends(_argument(others, kwargs, 0, "min"), None)
    if name in ("clamp", "clamp_", "clip", "clip_"):
        return _ends(_argument(others, kwargs, 0, "min"), _argument(others, kwargs, 1, "max"))
    return None


def _ends(low: Any, high: Any) -> tuple[float, float] | None:
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        return None
    return -inf if low is None else float(low), inf if high is None else float(high)


__all__ = ["DROPOUTS", "MOVED", "AffineStep", "Call", "Filters", "affine_step", "cut_of"]
