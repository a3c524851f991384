"""Running a module and noting its layers: affine maps with an activation behind them, in the order they are run in.

Nothing is attached to the module: while it runs, torch hands its own functions to the recording (a
``TorchFunctionMode``), so that functions count like modules, a module that is used twice counts twice, and nothing
stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from fiberscope.errors import InputError
from fiberscope.readers.torch.given import uncompiled
from fiberscope.scalars import as_position
from fiberscope.training.operators import DROPOUTS, MOVED, AffineStep, Call, affine_step, cut_of
from fiberscope.training.slopes import Cut, SoftSlopes


@dataclass(frozen=True, eq=False)
class RecordedLayer:
    """One layer ``activation(A h + b)`` as a module ran it on a batch.

    Attributes:
        source: (N, *shape) what it received.
        values: (N, *shape) ``A h + b``, before the activation.
        steps: the affine operators between the two, in order, each with the numbers of what it takes.
        first: the number of the source.
        last: the number of the values.
        activation: the function, with its other arguments.
        cut: below and above which numbers the activation cuts off.
    """

    source: Tensor
    values: Tensor
    steps: tuple[tuple[int, tuple[int, ...], AffineStep], ...]
    first: int
    last: int
    activation: Callable[[Tensor], Tensor]
    cut: Cut

    def linear(self, V: Tensor, *, squared: bool = False) -> Tensor:
        """A, or the matrix of its squared entries, applied to each of K inputs in the shape of the source."""
        values = {self.first: V}
        for number, sources, step in self.steps:
            apply = step.squared if squared else step.linear
            assert apply is not None, "asked for only where every step has one"
            values[number] = apply(*(values[source] for source in sources))
        return values[self.last]


_A_LAYER = "a layer: an affine map with a ReLU, a clip or a strictly monotone activation behind it"

BRANCHES = "branches with activations of their own meet in it"
"""Why a layer is counted but not recorded."""


def recorded_layers(module: nn.Module, x: Tensor) -> list[RecordedLayer | str]:
    """Run a module as in evaluation mode, in its own precision, and note its layers.

    Dropout is left out, and batch norm uses its running statistics; buffers are copied, so that the module stays as it
    is.

    Args:
        module: the module.
        x: (N, ...) a batch.

    Returns:
        The layers as ``Network.relu_layers`` counts them; a reason in the place of one that is no affine map of one
        activation.

    Raises:
        InputError: the module does not run on x.
    """
    inner = unwrapped(module)
    return _recorded(inner, _as_taken(inner, x).clone()).layers


def _as_taken(inner: nn.Module, x: Tensor) -> Tensor:
    """Where the module is, and in its precision."""
    like = next((each for each in inner.parameters() if each.is_floating_point()), torch.empty(0))
    return x.detach().to(device=like.device if like.numel() else x.device, dtype=like.dtype)


def _recorded(inner: nn.Module, given: Tensor, slopes: SoftSlopes | None = None) -> _Recording:
    recording = _Recording(given, slopes)
    buffers = {name: buffer.detach().clone() for name, buffer in inner.named_buffers()}
    try:
        with recording:
            torch.func.functional_call(inner, buffers, (given,))
    except Exception as error:  # whatever torch or the module's own code raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        got = f"shape {tuple(given.shape)} ({reason})"
        raise InputError("x", expected="a batch that the module takes", got=got) from error
    return recording


@dataclass(frozen=True, eq=False)
class LayerOutputs:
    """What the layers of a module give for a batch, as functions of it that have derivatives.

    Attributes:
        start: (N, *shape) the batch, as the module takes it.
        outputs: of each layer.
        values: of each layer, before its activation.
        cuts: of each layer, below and above which numbers it cuts off.
    """

    start: Tensor
    outputs: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    cuts: tuple[Cut, ...]

    @staticmethod
    def of(module: nn.Module, x: Tensor, slopes: SoftSlopes | None = None) -> LayerOutputs:
        """Run a module as in evaluation mode.

        Args:
            module: the module.
            x: (N, ...) a batch.
            slopes: of layers that cut off, in place of their own.

        Raises:
            InputError: the module does not run on x, or samples are mixed on the way.
        """
        inner = unwrapped(module)
        start = _as_taken(inner, x).clone().requires_grad_()
        recording = _recorded(inner, start.clone(), slopes)  # which may be changed in place
        if recording.mixes:
            expected = "a module in which each sample has an output of its own"
            raise InputError("module", expected=expected, got="a batch norm without running statistics")
        outputs = tuple(activation(values) for values, activation, _ in recording.activated)
        values = tuple(values for values, _, _ in recording.activated)
        return LayerOutputs(start, outputs, values, tuple(cut for _, _, cut in recording.activated))


def unwrapped(module: nn.Module) -> nn.Module:
    """The module itself, without what compiles it or runs it on several devices."""
    wrapped: Any = uncompiled(module)
    if isinstance(wrapped, nn.DataParallel | nn.parallel.DistributedDataParallel):
        wrapped = cast(Any, wrapped).module
    return module if wrapped is module else unwrapped(cast(nn.Module, wrapped))


class _Recording(TorchFunctionMode):
    """Follows a batch through functions: what is an affine function of what."""

    def __init__(self, x: Tensor, slopes: SoftSlopes | None) -> None:
        super().__init__()
        self._slopes = slopes
        self.layers: list[RecordedLayer | str] = []
        self.activated: list[tuple[Tensor, Callable[[Tensor], Tensor], Cut]] = []  # with its cut
        self.mixes = False
        self._numbers: dict[int, int] = {}
        self._tensors: list[Tensor] = []  # numbers stay theirs as long as they live
        self._origins: list[frozenset[int]] = []
        self._has_weights: list[bool] = []
        self._steps: dict[int, tuple[tuple[int, ...], AffineStep]] = {}
        self._samples = len(x)
        self._begin(x)

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run a function, and note what it was to the batch."""
        call = _as_evaluated(func, list(args), dict(kwargs or {}))
        func, args, kwargs = call
        self.mixes = self.mixes or _mixes_samples(func, args, kwargs)
        if func.__name__ in DROPOUTS and args and self._is_tracked(args[0]):
            return args[0]
        sources = tuple(self._number(each) for each in _tensors_of((*args, *kwargs.values())) if self._is_tracked(each))
        if not sources:
            return func(*args, **kwargs)
        cut = cut_of(call) if self._is_tracked(args[0] if args else None) else None
        if cut is not None:
            return self._activated(call, cut)
        output = func(*args, **kwargs)
        self._affine_or_not(call, sources, output)
        return output

    def _activated(self, call: Call, cut: Cut) -> Tensor:
        func, args, kwargs = call
        number, values = self._number(args[0]), _kept(args[0], func.__name__, kwargs)
        activation = _out_of_place(call)
        if self._has_weights[number]:
            activation = activation if self._slopes is None else self._slopes.instead(activation, cut)
            self.activated.append((values, activation, cut))
            first, *more = self._origins[number]
            steps = () if more else self._between(first, number)
            layer = RecordedLayer(self._tensors[first], values, steps, first, number, activation, cut)
            self.layers.append(BRANCHES if more else layer)
        output = activation(values)
        if values is not args[0]:
            output = args[0].copy_(output)
        self._begin(output)
        return output

    def _affine_or_not(self, call: Call, sources: tuple[int, ...], output: Any) -> None:
        step = affine_step(call, self._is_tracked, output)
        several = isinstance(output, tuple | list)
        outputs: list[Any] = list(cast(Sequence[Any], output)) if several else [output]
        for position, each in enumerate(outputs):
            if not isinstance(each, Tensor) or not each.is_floating_point():
                continue
            if step is None or each.ndim == 0 or len(each) != self._samples:
                self._begin(each)
                continue
            part = AffineStep(_item(step, position)) if several else step
            number = self._new(each)
            self._steps[number] = (sources, part)
            self._origins.append(frozenset[int]().union(*(self._origins[source] for source in sources)))
            moved = call[0].__name__ in MOVED
            self._has_weights.append(not moved or any(self._has_weights[source] for source in sources))

    def _between(self, first: int, last: int) -> tuple[tuple[int, tuple[int, ...], AffineStep], ...]:
        """The steps from one number to another."""
        needed: set[int] = set()
        waiting = [last]
        while waiting:
            number = waiting.pop()
            if number != first and number not in needed:
                needed.add(number)
                waiting.extend(self._steps[number][0])
        return tuple((number, *self._steps[number]) for number in sorted(needed))

    def _begin(self, tensor: Tensor) -> None:
        """A tensor that later ones are functions of."""
        number = self._new(tensor)
        self._origins.append(frozenset({number}))
        self._has_weights.append(False)

    def _new(self, tensor: Tensor) -> int:
        number = len(self._tensors)
        self._tensors.append(tensor)
        self._numbers[id(tensor)] = number
        return number

    def _is_tracked(self, value: Any) -> bool:
        return isinstance(value, Tensor) and id(value) in self._numbers

    def _number(self, tensor: Tensor) -> int:
        return self._numbers[id(tensor)]


def _mixes_samples(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a function takes statistics of the whole batch, as a batch norm does that keeps none."""
    return getattr(func, "__name__", "") == "batch_norm" and (args[1:2] or [kwargs.get("running_mean")])[0] is None


def _as_evaluated(func: Any, args: list[Any], kwargs: dict[str, Any]) -> Call:
    """A call as in evaluation mode, where it is one that training changes."""
    name = getattr(func, "__name__", "")
    position = {"batch_norm": 5, "rrelu": 3}.get(name)
    if position is None or _mixes_samples(func, args, kwargs):
        return func, args, kwargs
    if position < len(args):
        args[position] = False
    else:
        kwargs["training"] = False
    return func, args, kwargs


def _out_of_place(call: Call) -> Callable[[Tensor], Tensor]:
    """An activation as a function of its values alone, which it leaves as they are."""
    func, (_, *others), kwargs = call
    kept = {name: value for name, value in kwargs.items() if name != "inplace"}
    name = func.__name__.removesuffix("_")
    out = func if name == func.__name__ else getattr(torch, name, None) or getattr(functional, name)
    return lambda z: out(z, *others, **kept)


def _kept(tensor: Any, name: str, kwargs: Mapping[str, Any]) -> Any:
    """What an activation is given, as it was before one that changes it in place."""
    in_place = bool(kwargs.get("inplace")) or name.endswith("_")
    return tensor.clone() if in_place else tensor


def _item(step: AffineStep, position: int) -> Callable[..., Any]:
    return lambda *values: step.linear(*values)[position]


def _tensors_of(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors_of(cast(Sequence[Any], value))


def chosen_numbers(found: LayerOutputs, layers: Sequence[int] | None) -> list[int]:
    """Of the layers that are asked for; without a choice, all.

    Raises:
        InputError: there is no layer, or none of a number.
    """
    if not found.outputs:
        raise InputError("module", expected=_A_LAYER, got="a module without one")
    numbers = range(len(found.outputs)) if layers is None else layers
    return [as_position(number, len(found.outputs), "layers") for number in numbers]


def chosen_layers(found: Sequence[RecordedLayer | str], layers: Sequence[int] | None) -> list[RecordedLayer]:
    """The layers that are asked for; without a choice, all that are affine maps of one activation.

    Raises:
        InputError: there is no layer, none of a number, or one in which branches meet is asked for.
    """
    if not found:
        raise InputError("module", expected=_A_LAYER, got="a module without one")
    if layers is None:
        usable = [each for each in found if isinstance(each, RecordedLayer)]
        if not usable:
            raise InputError("module", expected=_A_LAYER, got=f"a module of whose layers each is none, as {BRANCHES}")
        return usable
    chosen: list[RecordedLayer] = []
    for index in layers:
        layer = found[as_position(index, len(found), "layers")]
        if isinstance(layer, str):
            raise InputError("layers", expected="layers of one affine map", got=f"layer {index}: {layer}")
        chosen.append(layer)
    return chosen


__all__ = ["LayerOutputs", "RecordedLayer", "chosen_layers", "chosen_numbers", "recorded_layers", "unwrapped"]
