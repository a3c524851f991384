"""Bounds of what every stage gives, for all inputs of a domain that have given features, by interval arithmetic."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.errors import InputError, ModelError
from fiberscope.invariance.across_regions import Problem
from fiberscope.network.activations import Activation, Maximum, Pointwise
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.rows import dense
from fiberscope.network.stage import INPUT
from fiberscope.preimages.linear_program import LinearProgram, Solver, Status

WIDER = 1e-7
"""By how much bounds are widened, relative to the terms that they consist of, or to what HiGHS counts as size one: far
more than rounding and the tolerance of HiGHS."""


class Interval(NamedTuple):
    """Lower and upper bounds of what a stage gives."""

    low: Float64[FloatArray, " m"]
    high: Float64[FloatArray, " m"]


Bounds = dict[int, Interval]
"""By the number of the stage; -1 for the network's input."""


def needed_stages(problem: Problem) -> tuple[int, ...]:
    """The stages that the features depend on, in order."""
    source = problem.features.source
    return problem.network.needed_for(source) if source != INPUT else ()


def box_of(domain: Polyhedron) -> Interval:
    """The smallest box around a domain.

    Raises:
        InputError: the domain is not bounded.
    """
    low, high = domain.low.copy(), domain.high.copy()
    none = np.full(len(domain.h), -np.inf)
    for ends, sign in ((low, -1.0), (high, 1.0)):
        for pixel in np.flatnonzero(~np.isfinite(ends)).tolist():
            objective = np.zeros(len(low))
            objective[pixel] = sign
            solver = Solver(LinearProgram(objective, dense(domain.G), none, domain.h, domain.low, domain.high))
            if solver.run() is not Status.OPTIMAL:
                raise InputError(
                    "domain",
                    expected="a bounded one, as a mixed-integer program needs",
                    got=f"no {'lower' if sign < 0 else 'upper'} bound for input {pixel}",
                    hint="pass a domain such as Box(0, 1)",
                )
            end = float(solver.point[pixel])
            ends[pixel] = end + sign * WIDER * max(float(np.ldexp(1.0, solver.columns[pixel])), abs(end))
    return Interval(low, high)


def interval_bounds(problem: Problem, known: Bounds) -> Bounds:
    """Bounds of all stages by interval arithmetic, the tighter of what it gives and of what is known."""
    network, bounds = problem.network, dict[int, Interval]()
    bounds[INPUT] = known[INPUT]
    for number in needed_stages(problem):
        stage, sources = network.stages[number], network.sources(number)
        if stage.activation is None:
            low, high, size = np.zeros((3, stage.outputs))
            for affine, source in zip(stage.maps, sources, strict=True):
                middle, reach = _middle(bounds[source])
                centre, radius = affine.apply(middle)[0].numpy(), affine.absolute().linear(reach)[0].numpy()
                low, high = low + centre - radius, high + centre + radius
                size = size + affine.absolute().apply(middle.abs() + reach)[0].numpy()
            found = Interval(low - WIDER * size, high + WIDER * size)
        else:
            found = _activated(stage.activation, bounds[sources[0]])
        if number in known:
            found = Interval(np.maximum(found.low, known[number].low), np.minimum(found.high, known[number].high))
        bounds[number] = found
    return _with_features(problem, bounds)


def _middle(bounds: Interval) -> tuple[Tensor, Tensor]:
    return torch.tensor((bounds.low + bounds.high) / 2)[None], torch.tensor((bounds.high - bounds.low) / 2)[None]


def _activated(activation: Activation, bounds: Interval) -> Interval:
    """Bounds of what an activation gives, from those of what it receives."""
    points = [bounds.low, bounds.high]
    if isinstance(activation, Maximum):
        low, high = (activation.apply(torch.tensor(point)[None])[0].numpy() for point in points)
        return Interval(low, high)
    assert isinstance(activation, Pointwise), "activations are pointwise or maxima"
    kinks = activation.kinks()
    if kinks is None:
        raise ModelError(
            f"{activation.kind} is smooth, and a mixed-integer program is piecewise linear; ask for a layer before it"
        )
    points += [np.clip(kink, bounds.low, bounds.high) for kink in kinks]  # extremes are at ends or kinks
    values = np.stack([activation.apply(torch.tensor(point)[None])[0].numpy() for point in points])
    return Interval(values.min(axis=0), values.max(axis=0))


def _with_features(problem: Problem, bounds: Bounds) -> Bounds:
    """The coordinates that the features determine have their values."""
    source, fixed = problem.features.source, problem.features.fixed.numpy()
    low, high = bounds[source].low.copy(), bounds[source].high.copy()
    low[fixed] = high[fixed] = problem.features.z.numpy()
    return bounds | {source: Interval(low, high)}


__all__ = ["Bounds", "Interval", "box_of", "interval_bounds", "needed_stages"]
