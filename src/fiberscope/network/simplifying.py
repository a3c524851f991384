"""Turning a model's operations into stages: what only moves or scales numbers joins the affine map beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fiberscope.network.activations import Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import AffineMap, Dense
from fiberscope.network.combination import Composition, composed
from fiberscope.network.convolution import Convolution, Transposed
from fiberscope.network.stage import INPUT, Stage
from fiberscope.network.structured import Diagonal, Rearrangement


def simplified(
    stages: list[Stage], output: int, shape: tuple[int, ...], origin: str
) -> tuple[tuple[Stage, ...], tuple[str, ...]]:
    """The stages that the output needs, simplified and numbered anew; and notes on numbers that were folded.

    Args:
        stages: one per operation, each after its sources. The list is emptied: numbers that were folded would otherwise
            be kept beside what they were folded into, which of large networks takes gigabytes.
        output: the stage whose output is the network's.
        shape: the shape of the output for one sample.
        origin: what the model calls the output; empty to keep what the last stage is called.
    """
    work = _Simplification(stages, output)
    stages.clear()
    work.join_concatenated_clips()
    work.pull_clips_before_maxima()
    work.drop_identities()
    work.join_backward()
    work.join_forward()
    return work.finished(shape, origin), tuple(work.notes)


class _Simplification:
    """Stages under their original numbers, while they are joined. Numbers keep their order: sources come first."""

    def __init__(self, stages: Sequence[Stage], output: int) -> None:
        self.stages: dict[int, Stage] = {}
        self.notes: list[str] = []
        self.output = output
        needed = {output}
        for number in range(output, -1, -1):
            if number in needed:
                self.stages[number] = stages[number]
                needed.update(self.sources(number))
        self.stages = dict(sorted(self.stages.items()))

    def sources(self, number: int) -> tuple[int, ...]:
        sources = self.stages[number].sources
        assert sources is not None, "a builder states all sources"
        return sources

    def users(self, number: int) -> list[int]:
        """The stages that take a stage's output; the network's own output counts as number -2."""
        users = [user for user in self.stages for source in self.sources(user) if source == number]
        return [*users, -2] if number == self.output else users

    def replace_source(self, old: int, new: int) -> None:
        for number, stage in self.stages.items():
            sources = self.sources(number)
            if old in sources:
                renamed = tuple(new if source == old else source for source in sources)
                self.stages[number] = replace(stage, sources=renamed)
        if self.output == old:
            self.output = new

    def is_affine(self, number: int) -> bool:
        return number != INPUT and self.stages[number].activation is None

    # ---- activations

    def join_concatenated_clips(self) -> None:
        """``concat(ReLU(a), ReLU(b))`` is ``ReLU(concat(a, b))``: a concatenated ReLU [cReLU] is one layer.

        The same holds of a clip, if all have the same bounds.
        """
        for number, stage in list(self.stages.items()):
            sources = self.sources(number)
            clips = [self._clip(source) if self.users(source) == [number] else None for source in sources]
            if len(sources) < 2 or clips[0] is None or not _is_concatenation(stage):
                continue
            if any(clip is None or not _same_clip(clip, clips[0]) for clip in clips):
                continue
            before = tuple(self.sources(source)[0] for source in sources)
            last = sources[-1]
            for source in sources:
                del self.stages[source]
            # the number of the last ReLU lies behind all that it takes and before the concatenation
            self.stages[last] = replace(stage, sources=before, origin="")
            activation = replace(clips[0], size=stage.outputs)
            self.stages[number] = replace(stage, maps=(), activation=activation, sources=(last,))
            self.stages = dict(sorted(self.stages.items()))

    def pull_clips_before_maxima(self) -> None:
        """``ReLU(max(a, b))`` is ``max(ReLU(a), ReLU(b))``: the ReLU then belongs to the affine map before.

        The same holds of a clip.
        """
        for number in list(self.stages):
            stage, source, clip = self.stages[number], self.sources(number)[0], self._clip(number)
            if clip is None or source == INPUT or self.users(source) != [number]:
                continue
            before = self.stages[source]
            if not isinstance(before.activation, Maximum):
                continue
            inner = self.sources(source)[0]
            size = before.activation.inputs
            inner_shape = self.stages[inner].shape if inner != INPUT else (size,)
            activation = replace(clip, size=size)
            self.stages[source] = replace(stage, activation=activation, sources=(inner,), shape=inner_shape, origin="")
            self.stages[number] = replace(before, sources=(source,), origin=stage.origin)

    def _clip(self, number: int) -> Pointwise | None:
        """The activation of a stage that is a ReLU or a clip; None of another stage."""
        activation = None if number == INPUT else self.stages[number].activation
        if isinstance(activation, Pointwise) and activation.function in (PointwiseKind.RELU, PointwiseKind.CLIP):
            return activation
        return None

    # ---- affine maps

    def drop_identities(self) -> None:
        """Leave out stages that move nothing."""
        for number, stage in list(self.stages.items()):
            sources = self.sources(number)
            if len(sources) == 1 and _is_identity(stage) and not (sources[0] == INPUT and number == self.output):
                if sources[0] != INPUT and not self.stages[sources[0]].origin:
                    self.stages[sources[0]] = replace(self.stages[sources[0]], origin=stage.origin)
                self.replace_source(number, sources[0])
                del self.stages[number]

    def join_backward(self) -> None:
        """Join what scales or moves numbers to the affine map before it.

        Movements stay where they are if an affine map follows: they belong to that.
        """
        for number in list(self.stages):
            while self._joined_to_source(number):
                pass

    def _joined_to_source(self, number: int) -> bool:
        """Whether a light map could be joined to the stage before it; then it has."""
        stage = self.stages[number]
        if not self.is_affine(number) or len(self.sources(number)) != 1 or not _is_light(stage.maps[0]):
            return False
        source = self.sources(number)[0]
        if not self.is_affine(source) or self.users(source) != [number]:
            return False
        affine_follows = any(user >= 0 and self.is_affine(user) for user in self.users(number))
        before = self.stages[source]
        if all(_is_light(affine) for affine in before.maps) and len(before.maps) == 1:
            joined = replace(stage, maps=(composed(before.maps[0], stage.maps[0]),))
        elif isinstance(stage.maps[0], Diagonal) or not affine_follows:
            joined = replace(before, maps=self._followed(before, stage), shape=stage.shape, origin=stage.origin)
        else:
            return False
        self.stages[number] = replace(joined, sources=self.sources(source))
        del self.stages[source]
        return True

    def _followed(self, before: Stage, stage: Stage) -> tuple[AffineMap, ...]:
        """The maps of a stage with a light map behind them; its constant counts once."""
        light = stage.maps[0]
        first = _folded(before.maps[0], light)
        if isinstance(light, Diagonal) and _folding_rounds(before, light):
            self.notes.append(
                f"{stage.name}: its constants are folded into {before.name!r}; folding rounds to float64, "
                "and verdicts are about the folded numbers"
            )
        return (first, *(_folded(affine, _without_constant(light)) for affine in before.maps[1:]))

    def join_forward(self) -> None:
        """Join what scales or moves numbers to every affine map that takes them."""
        for number in list(self.stages):
            if not self.is_affine(number):
                continue
            stage = self.stages[number]
            maps, sources = list(stage.maps), list(self.sources(number))
            for i, source in enumerate(sources):
                if self.is_affine(source) and len(self.sources(source)) == 1 and _is_light(self.stages[source].maps[0]):
                    maps[i] = composed(self.stages[source].maps[0], maps[i])
                    sources[i] = self.sources(source)[0]
            self.stages[number] = replace(stage, maps=tuple(maps), sources=tuple(sources))
        for number in reversed(list(self.stages)):
            if not self.users(number):
                del self.stages[number]

    def finished(self, shape: tuple[int, ...], origin: str) -> tuple[Stage, ...]:
        """The stages, numbered from 0 without gaps; the last gives the network's output, by this shape and name."""
        new = {INPUT: INPUT} | {old: number for number, old in enumerate(self.stages)}
        out = [
            replace(stage, sources=tuple(new[source] for source in self.sources(old)))
            for old, stage in self.stages.items()
        ]
        out[-1] = replace(out[-1], shape=shape, origin=origin or out[-1].origin)
        return tuple(out)


def _same_clip(left: Pointwise, right: Pointwise) -> bool:
    return left.function is right.function and left.cut == right.cut


def _is_identity(stage: Stage) -> bool:
    return len(stage.maps) == 1 and isinstance(stage.maps[0], Rearrangement) and stage.maps[0].is_identity


def _is_light(affine: AffineMap) -> bool:
    return all(factor.light for factor in affine.factors) if isinstance(affine, Composition) else affine.light


def _is_concatenation(stage: Stage) -> bool:
    """Whether every output is one input of one source, unchanged."""
    if stage.activation is not None or not all(isinstance(affine, Rearrangement) for affine in stage.maps):
        return False
    taken = torch.zeros(stage.outputs, dtype=torch.int64)
    for affine in stage.maps:
        if isinstance(affine, Rearrangement):
            taken += affine.index >= 0
    constant = any(bool(affine.bias.any()) for affine in stage.maps)
    return bool((taken == 1).all()) and not constant


def _without_constant(light: AffineMap) -> AffineMap:
    match light:
        case Diagonal():
            return Diagonal(light.factor)
        case Rearrangement():
            return Rearrangement(light.index, light.inputs)
        case Composition():
            return Composition(tuple(_without_constant(factor) for factor in light.factors))
        case _:
            raise AssertionError("only light maps are taken apart")


def _folded(affine: AffineMap, light: AffineMap) -> AffineMap:
    """A map with a light one behind it, as one map of its own sort where that is possible."""
    if isinstance(affine, Composition) and isinstance(light, Diagonal):
        return composed(*affine.factors[:-1], _folded(affine.factors[-1], light))
    if not isinstance(light, Diagonal):
        return composed(affine, light)
    factor, bias = light.factor, affine.bias * light.factor + light.bias
    match affine:
        case Dense():
            return Dense(affine.weight * factor[:, None], bias)
        case Convolution() | Transposed():
            by_channel = factor.reshape(affine.output_shape[0], -1)
            if bool((by_channel == by_channel[:, :1]).all()):
                return _scaled_channels(affine, by_channel[:, 0], bias)
            return composed(affine, light)
        case _:
            return composed(affine, light)


def _scaled_channels(affine: Convolution | Transposed, factor: Tensor, bias: Tensor) -> AffineMap:
    """A convolution with its output channels scaled, and another constant part."""
    if isinstance(affine, Convolution):
        weight = affine.weight * factor.reshape(-1, *[1] * (affine.weight.ndim - 1))
        return replace(affine, weight=weight, bias=bias)
    forward = affine.forward
    outputs, width, *kernel = forward.weight.shape
    blocks = forward.weight.reshape(forward.groups, outputs // forward.groups, width, -1)
    scaled = blocks * factor.reshape(forward.groups, 1, width, 1)
    return Transposed(replace(forward, weight=scaled.reshape(outputs, width, *kernel), bias=None), bias)


def _folding_rounds(before: Stage, light: Diagonal) -> bool:
    """Whether folding may round: factors that are no powers of two, or two constants that are added."""
    powers = bool((torch.frexp(light.factor.abs()).mantissa == 0.5).all())
    both = any(bool(((affine.bias != 0) & (light.bias != 0)).any()) for affine in before.maps)
    return not powers or both


__all__ = ["simplified"]
