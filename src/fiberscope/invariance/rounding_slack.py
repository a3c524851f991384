"""How much room an inequality needs so that the model's own arithmetic decides it alike.

A unit at -1e-12 is inactive in exact arithmetic and may be active in float32. Rounding errors of a sum of k terms are
about ``sqrt(k) u`` times the sum of the absolute values (N. J. Higham and T. Mary, A new approach to probabilistic
rounding error analysis, SIAM J. Sci. Comput. 41 (2019)): an estimate to choose inputs by, no part of any proof.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.invariance.feature_region import FeatureRegion
from fiberscope.invariance.linear_pieces import Conditions
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.original import UNIT_ROUNDOFF
from fiberscope.network.rows import dense
from fiberscope.network.stage import INPUT

SHARE = 0.5
"""Of what a feature may differ by, what room for rounding may take at most."""

LIKELY = 8.0
"""Times the typical rounding error."""


def wanted_room(
    region: FeatureRegion, polyhedron: Polyhedron, x: Float64[FloatArray, " n"], arithmetic: str
) -> Float64[FloatArray, " q"]:
    """The room that each inequality of the region, and each half-space of the domain, needs at inputs of the size of x.

    What features may differ by is said of exact numbers: there only what float64 rounds needs room, and no more than
    half of what they may differ by.

    Args:
        region: the region.
        polyhedron: the domain.
        x: an input of the region; pixels count with their largest size in the domain, where it has bounds.
        arithmetic: what the model computes in, float32 or float64.
    """
    roundoff = UNIT_ROUNDOFF[arithmetic]
    size = np.maximum(np.abs(polyhedron.low), np.abs(polyhedron.high))
    size = np.where(np.isfinite(size), size, np.abs(x))
    errors = _errors(region, torch.tensor(x), torch.tensor(size), roundoff)
    parts = [_of_conditions(part, errors[source]) for source, part in region.inequalities]
    widths = region.features.widths.numpy()
    precise = parts[-1] * (UNIT_ROUNDOFF["float64"] / roundoff)
    parts[-1] = np.where(widths > 0, np.minimum(precise, SHARE * widths), parts[-1])
    reach = np.abs(dense(polyhedron.G)) @ size
    return np.concatenate([*parts, LIKELY * roundoff * (reach + np.abs(polyhedron.h))])


def _errors(region: FeatureRegion, x: Tensor, size: Tensor, roundoff: float) -> dict[int, Tensor]:
    """The likely rounding error of what every stage gives."""
    network, local = region.network, region.local
    wanted = {source for source, _ in region.inequalities}
    needed = network.needed_for(*(wanted - {INPUT})) if wanted - {INPUT} else ()
    values = dict(local.values(x[None], needed)) if needed else {}
    sizes = {INPUT: size[None], **{number: value.abs() for number, value in values.items()}}
    errors = {INPUT: roundoff * size[None]}

    def error(number: int, inputs: list[Tensor]) -> Tensor:
        if network.stages[number].activation is not None:
            (affine,) = local.maps[number]
            return affine.absolute().linear(inputs[0])
        total = torch.zeros_like(sizes[number])
        for affine, source, before in zip(local.maps[number], network.sources(number), inputs, strict=True):
            magnitude, terms = affine.absolute(), math.sqrt(affine.terms)
            total += terms * roundoff * magnitude.apply(sizes[source]) + magnitude.linear(before) / terms
        return total

    errors.update(network.walk(errors[INPUT], needed, error))
    return errors


def _of_conditions(part: Conditions, errors: Tensor) -> FloatArray:
    padded = torch.cat([errors, errors.new_zeros(1, 1)], dim=1)[0]
    return LIKELY * (padded[part.first] + padded[part.second]).numpy()


__all__ = ["wanted_room"]
