"""Whether a converted network computes what the original does, and where it first does not.

Each stage is compared on its own: it gets what the *original* computed before it, so that differences do not add up
from stage to stage, and what is allowed is what rounding explains: ``y = A x + b`` summed in any order in arithmetic of
unit roundoff u is within ``gamma_k (|A| |x| + |b|)`` of its exact value, with k the number of terms and
``gamma_k = k u / (1 - k u)`` (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fiberscope.errors import ModelError
from fiberscope.network.activations import Pointwise, PointwiseKind
from fiberscope.network.affine import AffineMap, Dense
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.network.original import UNIT_ROUNDOFF, Agreement, Run
from fiberscope.network.stage import INPUT, Stage

SLACK = 4.0
"""Times the bound on rounding: originals also round folded constants, and sum in several steps."""

EXTRA_TERMS = 8
"""Terms that are added to the number of terms of a sum, for the same reason."""

FUNCTION_UNITS = 64.0
"""Units of roundoff that an activation other than a ReLU, such as tanh, may be off: libraries differ by a few."""

SAMPLES, SAMPLES_IF_LARGE = 3, 1
"""Random inputs of each of three distributions."""

BATCH_NUMBERS = 2**23
"""Numbers that all stages together may give at a time."""

LARGE = 5_000_000
"""Networks of more parameters, or wider stages, are compared on fewer inputs."""

VERY_LARGE = 2**21
"""Networks whose stages give more numbers are compared on two inputs, a normal one and one of zeros and ones: an input
of VGG-16 at 224 x 224 takes seconds."""

WIDE = 2**20
"""Stages of more outputs, or weights of more numbers, have the sizes of their terms summed in float32."""

LARGEST_SINGLE = 1e30
"""Values up to which that is tried: sums of terms must not overflow float32."""


def comparison_inputs(network: Network, dtype: str, seed: int = 0) -> FloatArray:
    """Random and boundary inputs (N, *input_shape): normal, uniform, black and white; all zero, all one.

    All are numbers that ``dtype`` holds exactly.
    """
    rng = np.random.default_rng(seed)
    widest = max(stage.outputs for stage in network.stages)
    count = SAMPLES if network.parameters + widest < LARGE else SAMPLES_IF_LARGE
    shape = (count, *network.input_shape)
    if sum(stage.outputs for stage in network.stages) > VERY_LARGE:
        parts = [rng.standard_normal(shape), rng.integers(0, 2, size=shape).astype(np.float64)]
        return np.concatenate(parts).astype(dtype).astype(np.float64)
    parts = [
        rng.standard_normal(shape),
        rng.uniform(size=shape),
        rng.integers(0, 2, size=shape).astype(np.float64),
        np.zeros((1, *network.input_shape)),
        np.ones((1, *network.input_shape)),
    ]
    return np.concatenate(parts).astype(dtype).astype(np.float64)


def check_agreement(network: Network, original: Run, *, name: str, dtype: str) -> Agreement:
    """Compare a converted network with the original, stage by stage.

    Args:
        network: the converted network; the ``origin`` of its stages names values of the original.
        original: runs the original.
        name: what the original is, for messages.
        dtype: the arithmetic that the original computes in, float32 or float64.

    Returns:
        How well they agree.

    Raises:
        ModelError: a difference beyond rounding; says at which stage it first appears.
    """
    X = comparison_inputs(network, dtype)
    # of a large network, what all stages give for all inputs would not fit into memory
    batch = max(1, BATCH_NUMBERS // sum(stage.outputs for stage in network.stages))
    found = [
        _compared(network, X[start : start + batch], original, name, UNIT_ROUNDOFF[dtype])
        for start in range(0, len(X), batch)
    ]
    worst = max(found, key=lambda agreement: agreement.units)
    return replace(worst, inputs=len(X))


def _compared(network: Network, X: FloatArray, original: Run, name: str, roundoff: float) -> Agreement:
    theirs = original(X)
    if network.stages[-1].origin not in theirs:
        raise ModelError(
            f"the converted network cannot be compared with {name}: its output is not among what that gives"
        )
    waiting = Counter(source for number in range(len(network.stages)) for source in network.sources(number))
    values: dict[int, Tensor] = {INPUT: torch.tensor(X.reshape(len(X), -1))}
    bounds: dict[int, Tensor | None] = {INPUT: None}
    worst, place, places = 0.0, "", 0
    for number, stage in enumerate(network.stages):
        sources = network.sources(number)
        ours = stage.apply(*(values[source] for source in sources))
        unit, allowed = _rounding(stage, [(values[s], bounds[s]) for s in sources], ours, roundoff)
        waiting.subtract(sources)
        for source in {source for source in sources if not waiting[source]}:
            del values[source], bounds[source]
        if not stage.origin or stage.origin not in theirs:
            values[number], bounds[number] = ours, allowed
            continue
        known = _known(theirs[stage.origin], ours, stage, name)
        difference = (known - ours).abs()
        if not bool((difference <= allowed).all()):  # NaN is no agreement either
            raise ModelError(_difference(name, stage, difference, allowed))
        units = float(torch.where(difference > 0, difference / unit, 0.0).max())
        places += 1
        if units > worst or not place:
            worst, place = max(units, worst), stage.name
        values[number], bounds[number] = known, None
    return Agreement(name, len(X), places, worst, place)


def _known(value: NDArray[Any], ours: Tensor, stage: Stage, name: str) -> Tensor:
    """What the original gives, in the shape of what the converted network gives."""
    known = torch.tensor(np.asarray(value, dtype=np.float64).reshape(len(ours), -1))
    if known.shape != ours.shape:
        raise ModelError(
            f"the converted network differs from {name}: at {stage.name!r} it gives {ours.shape[1]} numbers per "
            f"sample, {name} gives {known.shape[1]}; please report this model"
        )
    return known


def _rounding(
    stage: Stage, inputs: list[tuple[Tensor, Tensor | None]], ours: Tensor, roundoff: float
) -> tuple[Tensor, Tensor]:
    """The unit of rounding of every output, and the difference that rounding explains: a multiple of it.

    Inputs come with what rounding may have changed in them; None for nothing.
    """
    smallest = torch.finfo(torch.float32).tiny  # below it rounding is absolute
    if stage.activation is not None:
        ((values, bound),) = inputs
        exact = not isinstance(stage.activation, Pointwise) or stage.activation.function in (
            PointwiseKind.RELU, PointwiseKind.CLIP
        )  # fmt: skip
        largest = values.new_zeros(len(values), 1) if bound is None else bound.amax(dim=1, keepdim=True)
        carried = _steepness(stage) * largest.expand_as(ours)
        own = roundoff * (ours.abs() + values.abs().amax(dim=1, keepdim=True) + 1.0) + smallest
        allowed = carried + (0.0 if exact else FUNCTION_UNITS) * own
        return own + carried / FUNCTION_UNITS, allowed
    size, carried, terms = torch.zeros_like(ours), torch.zeros_like(ours), len(inputs)
    for affine, (values, bound) in zip(stage.maps, inputs, strict=True):
        size = size + _sizes(affine, values) + affine.bias.abs()
        if bound is not None:
            carried = carried + _sizes(affine, bound)
        terms += affine.terms
    # constants that were folded into one may cancel: where it is small, what it was made of is about as large as others
    folded = EXTRA_TERMS * roundoff * size.amax() / (terms + EXTRA_TERMS)
    multiple = SLACK * (terms + EXTRA_TERMS)
    unit = roundoff * size + folded + carried * (1.0 + roundoff) / multiple + smallest
    return unit, multiple * unit


def _sizes(affine: AffineMap, values: Tensor) -> Tensor:
    """``|A| |x|`` for each row x; of large maps in float32, rounded up."""
    if max(affine.outputs, affine.parameters) <= WIDE or float(values.abs().max()) > LARGEST_SINGLE:
        return affine.absolute().linear(values.abs())
    single = values.abs().float()
    if isinstance(affine, Dense):  # block by block: a copy of all weights would double what a network takes
        rows = max(1, WIDE // affine.inputs)
        sums = torch.cat([single @ part.abs().float().T for part in affine.weight.split(rows)], dim=1)
    else:
        sums = affine.absolute().linear(single)
    out = sums.double() * (1.0 + 2.0 * affine.terms * UNIT_ROUNDOFF["float32"])
    return out if bool(out.isfinite().all()) else affine.absolute().linear(values.abs())


def _steepness(stage: Stage) -> float:
    """A bound on how fast an activation changes: 1, except for steep negative parts."""
    activation = stage.activation
    if not isinstance(activation, Pointwise):
        return 1.0
    slopes = [1.0, abs(activation.alpha) / activation.beta if activation.function is PointwiseKind.ELU else 1.0]
    if activation.slope is not None:
        slopes.append(float(activation.slope.abs().max()))
    return max(slopes)


def _difference(name: str, stage: Stage, difference: Tensor, allowed: Tensor) -> str:
    excess = torch.nan_to_num(difference / allowed, nan=torch.inf)
    sample, entry = divmod(int(excess.argmax()), difference.shape[1])
    return (
        f"the converted network differs from {name}; the first difference is at {stage.name!r} (output {entry}): "
        f"expected agreement within {float(allowed[sample, entry]):.1g}, which is what rounding explains, got a "
        f"difference of {float(difference[sample, entry]):.3g}; if the model has hooks or code that changes values, "
        "remove them, otherwise please report this model"
    )


__all__ = ["check_agreement", "comparison_inputs"]
