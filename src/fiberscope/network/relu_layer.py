"""One layer y = clip(A x + b), a ReLU unless said otherwise, with A dense or sparse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray, as_float64
from fiberscope.network.monotone import Monotone
from fiberscope.network.rows import Rows, checked_rows
from fiberscope.showing.shown import Shown, told

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

MAX_WRITTEN = 2**24
"""Entries of a convolution's matrix that is written out: sparse rows of it take some 300 megabytes."""
MAX_FACTORED = 2**12
"""Rows, or columns, of a matrix that is not factored any more: it would take minutes."""


class ReLULayer(Shown):
    """The layer ``y = clip(A x + b, low, high)``: a ReLU with low = 0 and high = inf, a ReLU6 with high = 6.

    Args:
        weight: A, shape (m, n), finite: an array, or a sparse matrix of scipy; every entry is taken as the exact number
            that it stores.
        bias: b, shape (m,); None for zeros.
        injective: (m,) neurons whose activation is strictly monotone instead of a ReLU (a leaky ReLU, tanh, ...): they
            tell all inputs apart, so that their rows are equalities whatever their sign; None for none.
        definitions: how many rows at the beginning are no neurons but define coordinates of the input by others (see
            ``fiberscope.network.region_layer``); these must be injective.
        low: the smallest output, a number or (m,); -inf for none. Of injective units it says nothing.
        high: the largest output, a number or (m,); inf for none.
        monotone: which functions the injective units are; None where that is not known. Outputs of leaky ReLUs, tanh
            and sigmoids that are known to a precision, or to intervals, can then be asked about.

    Attributes:
        operator: the map as a convolution, if it is one.
        device: where many samples are decided at once: the device of the tensor that A was given as, else the CPU. The
            numbers themselves are kept as arrays; proofs are always checked on the CPU.

    Raises:
        InputError: wrong shapes, empty, NaN or infinite entries, or low > high somewhere.
    """

    __slots__ = (
        "_bias",
        "_by_products",
        "_input_shape",
        "_output_shape",
        "_source",
        "_weight",
        "definitions",
        "device",
        "high",
        "injective",
        "low",
        "monotone",
        "operator",
        "outputs",
    )

    def __init__(
        self,
        weight: Rows | Tensor | ArrayLike,
        bias: Tensor | ArrayLike | None = None,
        injective: ArrayLike | None = None,
        definitions: int = 0,
        *,
        low: Tensor | ArrayLike = 0.0,
        high: Tensor | ArrayLike = np.inf,
        monotone: Monotone | None = None,
    ) -> None:
        self._weight: Rows | None = checked_rows(weight, "weight")
        self.device: str = str(getattr(weight, "device", "cpu")) if hasattr(weight, "detach") else "cpu"
        self.outputs: int = self._weight.shape[0]
        self._bias = as_float64(np.zeros(self.outputs) if bias is None else bias, "bias", shape=(self.outputs,))
        self._input_shape: tuple[int, ...] = (self._weight.shape[1],)
        self._output_shape: tuple[int, ...] = (self.outputs,)
        self._source: Callable[[], tuple[Rows, FloatArray]] | None = None
        self.injective: BoolArray = _checked_mask(injective, self.outputs)
        self.low, self.high = _checked_clip(low, high, self.injective)
        self.monotone: Monotone | None = monotone
        self.operator: Any = None
        self._by_products: bool = False
        self.definitions: int = definitions
        if not 0 <= definitions <= self.outputs or not self.injective[:definitions].all():
            raise InputError("definitions", expected="a number of injective rows", got=str(definitions))

    @classmethod
    def of_map(
        cls,
        write_out: Callable[[], tuple[Rows, FloatArray]],
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        injective: BoolArray,
        device: str = "cpu",
        *,
        low: Any = 0.0,
        high: Any = np.inf,
        operator: Any = None,
        definitions: int = 0,
        monotone: Monotone | None = None,
    ) -> ReLULayer:
        """A layer whose numbers are written out when they are first asked for, and then kept.

        Args:
            write_out: gives A and b.
            input_shape: the shape in which the model passes the layer's input; n is its product.
            output_shape: the shape in which the model gives the layer's output; m is its product.
            injective: (m,) as above.
            device: as above.
            low: as above.
            high: as above.
            operator: the same numbers as a convolution, if they are one, or as blocks of some.
            definitions: as above.
            monotone: as above.
        """
        layer = object.__new__(cls)
        layer._weight, layer.definitions, layer.device, layer._by_products = None, definitions, device, False
        layer._source, layer._input_shape, layer._output_shape = write_out, input_shape, output_shape
        layer.outputs, layer.injective, layer.operator = prod(output_shape), injective, operator
        layer.low, layer.high = _checked_clip(low, high, injective)
        layer.monotone = monotone
        return layer

    @property
    def is_large(self) -> bool:
        """Whether it is judged by products with its convolution alone: its matrix would take too long to work with."""
        operator = self.operator
        if operator is None or operator.kind == "blocks":
            return operator is not None
        if any(side < 0 for pair in operator.padding for side in pair):
            return False
        return (
            self._by_products
            or (self._weight is None and self.outputs * (operator.terms - 1) > MAX_WRITTEN)
            or min(self.inputs, self.outputs) >= MAX_FACTORED
        )

    def by_products(self) -> ReLULayer | None:
        """The same layer, judged by products with its convolution whatever its size; None of one without any."""
        if self.operator is None:
            return None
        shapes = self._input_shape, self._output_shape
        twin = ReLULayer.of_map(
            lambda: (self.weight, self.bias), *shapes, self.injective, self.device,
            low=self.low, high=self.high, operator=self.operator, definitions=self.definitions,
        )  # fmt: skip
        twin._by_products = True
        return twin if twin.is_large else None

    def written(self) -> ReLULayer | None:
        """The same layer with its rows written out; None where they are too many, or too many to be factored."""
        operator = self.operator
        if operator is None or self.outputs * (operator.terms - 1) > 2 * MAX_WRITTEN:
            return None
        if min(self.inputs, self.outputs) > 2 * MAX_FACTORED:
            return None
        low, high = self.low, self.high
        return ReLULayer(self.weight, self.bias, self.injective, self.definitions, low=low, high=high)

    @property
    def constants(self) -> FloatArray:
        """The constant part b, (m,), for which nothing is written out that is known as a convolution."""
        if self.operator is not None and self._weight is None:
            return self.operator.bias.cpu().numpy()
        return self.bias

    def _write_out(self) -> None:
        assert self._source is not None, "a layer has its numbers or knows where to get them"
        weight, bias = self._source()
        self._bias = as_float64(bias, "bias", shape=(self.outputs,))
        self._weight = weight

    @property
    def weight(self) -> Rows:
        """A, shape (m, n): an array, or compressed sparse rows."""
        if self._weight is None:
            self._write_out()
        assert self._weight is not None
        return self._weight

    @property
    def bias(self) -> FloatArray:
        """The constant part b, shape (m,)."""
        if self._weight is None:
            self._write_out()
        return self._bias

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return prod(self._input_shape)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape in which the model passes the layer's input, without the sample axis; (n,) for a layer alone."""
        return self._input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape in which the model gives the layer's output, without the sample axis; (m,) for a layer alone."""
        return self._output_shape

    @property
    def is_relu(self) -> bool:
        """Whether every unit is a ReLU: neither another clip nor strictly monotone."""
        return not self.injective.any() and not self.low.any() and bool(np.isposinf(self.high).all())

    def __call__(self, X: Tensor | ArrayLike) -> FloatArray:
        """Evaluate in float64: X (n,) or (N, n) -> (m,) or (N, m).

        Raises:
            InputError: another shape, or a layer whose activation is not a clip everywhere.
        """
        if self.injective.any():
            raise InputError(
                "layer", expected="a layer of ReLUs or clips", got="others", hint="evaluate the network instead"
            )
        inputs = as_float64(X, "x")
        if self.is_large:
            return self._applied(inputs)
        if inputs.shape in ((self.inputs,), self.input_shape):
            return np.clip(self.weight @ inputs.reshape(self.inputs) + self.bias, self.low, self.high)
        if inputs.shape[1:] not in ((self.inputs,), self.input_shape):
            raise InputError("x", expected=f"shape ({self.inputs},) or (N, {self.inputs})", got=f"shape {inputs.shape}")
        flat = inputs.reshape(inputs.shape[0], self.inputs)
        return np.clip((self.weight @ flat.T).T + self.bias, self.low, self.high)

    def _line(self) -> str:
        return f"{self.inputs} -> {self.outputs}"

    def _facts(self) -> Mapping[str, str]:
        shapes = {"input_shape": told(self.input_shape), "output_shape": told(self.output_shape)}
        if self.injective.all():
            return shapes | {"units": "strictly monotone"}
        clip = self.low[~self.injective], self.high[~self.injective]
        return shapes | {"units": "ReLU" if self.is_relu else f"from {clip[0].min():.4g} to {clip[1].max():.4g}"}

    def _applied(self, inputs: FloatArray) -> FloatArray:
        """Evaluate by the convolution."""
        import torch

        assert self.operator is not None, "a large layer is one"
        alone = inputs.shape in ((self.inputs,), self.input_shape)
        if not alone and inputs.shape[1:] not in ((self.inputs,), self.input_shape):
            raise InputError("x", expected=f"shape ({self.inputs},) or (N, {self.inputs})", got=f"shape {inputs.shape}")
        flat = torch.from_numpy(np.ascontiguousarray(inputs.reshape(-1, self.inputs)))
        out = np.clip(self.operator.apply(flat).numpy(), self.low, self.high)
        return out[0] if alone else out


def _checked_mask(injective: Any, outputs: int) -> BoolArray:
    mask = np.zeros(outputs, dtype=np.bool_) if injective is None else np.array(injective)
    if mask.shape != (outputs,) or mask.dtype != np.bool_:
        raise InputError("injective", expected=f"{outputs} truth values", got=f"{mask.dtype} of shape {mask.shape}")
    mask.setflags(write=False)
    return mask


def _checked_clip(low: Any, high: Any, injective: BoolArray) -> tuple[FloatArray, FloatArray]:
    """(m,) the ends of clips; of injective units, which have none, -inf and inf."""
    outputs, given = len(injective), list[FloatArray]()
    for name, bound in (("low", low), ("high", high)):
        array = as_float64(bound, name, finite=False)
        if array.shape not in ((), (outputs,)):
            raise InputError(name, expected=f"a number, or {outputs} of them", got=f"shape {array.shape}")
        given.append(array)
    wrong = ~((given[0] <= given[1]) & (given[0] < np.inf) & (given[1] > -np.inf))  # before m numbers are made of one
    below, above = (np.broadcast_to(array, (outputs,)) for array in given)
    if wrong.any():
        unit = int(np.argmax(wrong))
        raise InputError(
            "low and high",
            expected="low <= high in every unit, low below inf and high above -inf",
            got=f"low = {below[unit]:g} and high = {above[unit]:g} at unit {unit}",
        )
    if not injective.any():
        return below, above
    return np.where(injective, -np.inf, below), np.where(injective, np.inf, above)


__all__ = ["ReLULayer"]
