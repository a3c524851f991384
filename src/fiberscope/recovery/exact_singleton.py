"""Whether a layer has a single input for the *exact* activation that it receives, of which only bounds are known.

Let h be the exact activation, which no float64 need hold, and P, I what is certain there. P: the units that are
strictly between the ends of their clip at every point of the bounds, and those that are strictly monotone. I: the
coordinates that are exactly at a bound of the domain, because the unit that gives them is certainly off or saturated,
and the units that are exactly at an end of their clip, because nothing was rounded. Every h' of the domain with the
output of h satisfies ``A_P (h' - h) = 0``, and moves off what is in I to one side only: ``h' - h`` lies in

    T(P, I) = { d : A_P d = 0,  d_j >= 0 at lower bounds in I,  d_j <= 0 at upper bounds in I,  likewise of units },

which depends on P and I alone. So ``T(P, I) = {0}`` proves that h is the only input, wherever within its bounds it
lies, and a singleton at *any* point whose rows and tight bounds are among P and I proves that. That is

- the stored activation, rounded as it is, if all its positive rows are in P and all that is tight there is in I (by
  monotonicity: more rows and bounds make T smaller); or else
- a *surrogate*: the layer of the rows P alone, all of them equations, with the bounds of I alone, at any point that has
  these bounds. Its tangent cone is T(P, I), and its certificate is proved by ``fiberscope.verify``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Box
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.sides import sides_at_inputs


@dataclass(frozen=True, eq=False)
class Certain:
    """What is certain of a layer at the exact activations of N samples.

    Attributes:
        rows: (N, m) P: units whose pre-activation every input with the same output shares.
        tight: (N, m) units whose pre-activation is exactly an end of their clip.
        at_low: (N, n) coordinates that are exactly at the domain's lower bound.
        at_high: (N, n) likewise at the upper one.
    """

    rows: Bool[BoolArray, "N m"]
    tight: Bool[BoolArray, "N m"]
    at_low: Bool[BoolArray, "N n"]
    at_high: Bool[BoolArray, "N n"]

    def of(self, samples: BoolArray | IntArray) -> Certain:
        """Those of some of the samples."""
        return Certain(*(getattr(self, part.name)[samples] for part in fields(self)))


def carries_over(
    layer: ReLULayer, H: Float64[FloatArray, "N n"], bounds: tuple[float, float], certain: Certain
) -> Bool[BoolArray, " N"]:
    """Where a singleton at the stored activations H is one at the exact ones, on the box of the bounds."""
    sides = sides_at_inputs(layer, H, np.zeros(layer.outputs))
    tight = sides.tight_upper | sides.tight_lower
    low, high = bounds
    known = (sides.equal <= certain.rows).all(axis=1) & (tight <= (certain.rows | certain.tight)).all(axis=1)
    at_bounds = ((low == H) <= certain.at_low) & ((high == H) <= certain.at_high)
    return np.asarray(known & at_bounds.all(axis=1))


def surrogate_is_singleton(
    layer: ReLULayer, h: Float64[FloatArray, " n"], bounds: tuple[float, float], certain: Certain, budget: Budget
) -> bool:
    """Whether T(P, I) = {0} is proved, of one sample; h is any point near the exact activation."""
    (rows,), (at_low,), (at_high,) = certain.rows, certain.at_low, certain.at_high  # T is larger without tight units
    from fiberscope.preimages.decide import (
        decide_at_input,  # these load solvers, which checking stored results must not
    )
    from fiberscope.preimages.verify import verify

    if not rows.any():
        return bool((at_low & at_high).all())
    held = np.flatnonzero(rows)
    alone = ReLULayer(layer.weight[held], None, np.ones(len(held), dtype=np.bool_))
    low, high = bounds
    point = np.where(at_low, low, np.where(at_high, high, h))
    domain = Box(np.where(at_low, low, -np.inf), np.where(at_high, high, np.inf))
    found = decide_at_input(alone, domain, point, budget)
    return found.kind is Kind.SINGLETON and bool(verify(found))


__all__ = ["Certain", "carries_over", "surrogate_is_singleton"]
