"""Claims about outputs of strictly monotone units, as claims about what these units receive.

That ``g(z)`` of a continuous, strictly increasing g lies in [u, v] says that z lies in ``g^-1([u, v])``, which is what
an output of a unit that computes z itself would say. So a claim is rewritten, with ends that ``inverses`` bounds. The
preimage S lies between two others: the largest, with ends rounded outwards, and the smallest, rounded inwards.

- **At an input**, with an output known up to eps, x lies strictly inside both sides of such a unit. So kind and
  dimension depend on which sides there are, and not on where they lie: all three sets have the same.
- **At an output**, if the largest and the smallest have the claimed kind and dimension, so has S: dimensions and
  recession cones grow with the set. If the largest is empty, so is S.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TypeVar

import numpy as np
from flint import arb

from fiberscope.checker import exact, inverses
from fiberscope.checker.curves import Curves
from fiberscope.checker.inverses import precisely
from fiberscope.checker.matrices import (
    FloatArray,
    IntArray,
    NotProvedError,
    product_error,
    relative_error,
    row_norms_above,
)
from fiberscope.checker.radius import measure
from fiberscope.checker.system import System
from fiberscope.checker.verdicts import Claim, prove

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Received:
    """A claim about what units receive.

    Attributes:
        largest: about a preimage that holds the one that is meant; None where it is that of no input.
        smallest: about one that it holds, which may be that of no input; the same object where no end was rounded.
        to_prove: those claims that prove it, the largest first.
    """

    largest: Claim | None
    smallest: Claim | None
    to_prove: tuple[Claim, ...]


class Products:
    """``A x + b`` of a layer."""

    def __init__(self, system: System) -> None:
        self.system = system

    @cached_property
    def norms(self) -> FloatArray:
        """(m,) upper bounds on the lengths of the rows."""
        return row_norms_above(self.system.weight)

    def at(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(m,) as float64 gives it, and bounds on the errors; NaN or infinite where it does not."""
        weight, bias, terms = self.system.weight, self.system.bias, len(x) + 1
        with np.errstate(all="ignore"):
            error = product_error(self.norms, row_norms_above(x[None])[0], terms) + relative_error(terms) * np.abs(bias)
            return np.asarray(weight @ x) + bias, error

    def exactly(self, i: int, x: FloatArray) -> arb:
        """A ball around one of them."""
        (product,) = exact.products(self.system.weight[[i]], x)
        return inverses.ball(Fraction(product) + Fraction(float(self.system.bias[i])))


def prove_outputs(
    system: System,
    curves: Curves,
    claims: Sequence[Claim],
    centers: Sequence[FloatArray] | None = None,
    *,
    rational: bool = False,
) -> list[tuple[str, float]]:
    """Why claims about outputs are not proved, empty where they are; and how far preimages reach from centers.

    Args:
        system: the layer and its domain; strictly monotone units as what they receive.
        curves: what its units compute.
        claims: any number of them.
        centers: (n,) for each claim, as for ``measure``; None where no bounds are asked for, which are inf then.
        rational: ``exact`` of ``prove``.
    """
    layer = Products(system)
    received = [on_received(layer, curves, claim) for claim in claims]
    asked = [(k, part) for k, each in enumerate(received) if isinstance(each, Received) for part in each.to_prove]
    plain = [part for _, part in asked]
    if centers is None:
        found = [(reason, np.inf) for reason in prove(system, plain, exact=rational)]
    else:
        found = measure(system, plain, [centers[k] for k, _ in asked], exact=rational)
    out = [("" if isinstance(each, Received) else each, np.inf) for each in received]
    for (k, _), (reason, size) in zip(reversed(asked), reversed(found), strict=True):  # the largest is the last
        out[k] = out[k][0] or reason, size
    return [(reason, np.inf if reason else size) for reason, size in out]


def on_received(layer: Products, curves: Curves, claim: Claim) -> Received | str:
    """A claim as one about what units receive; or why it is none.

    Args:
        layer: what units receive.
        curves: what its units compute.
        claim: about their outputs.
    """
    return _or_reason(lambda: _rewritten(layer, curves, claim))


def ends(curves: Curves, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray] | str:
    """(m,) what units receive that give numbers in ``[low, high]``, rounded outwards; (inf, -inf) at most for none.

    Of clips the numbers themselves.
    """
    units = np.flatnonzero(curves.monotone)

    def rounded() -> tuple[FloatArray, FloatArray]:
        curves.check(units)
        least, most = np.array(low), np.array(high)
        with precisely():
            for i, unit in curves.units(units):
                least[i] = inverses.inverse(unit, float(low[i]), 0.0)[0]
                most[i] = inverses.inverse(unit, float(high[i]), 0.0)[1]
        return least, most

    return _or_reason(rounded)


def _or_reason(proof: Callable[[], Result]) -> Result | str:
    try:
        return proof()
    except NotProvedError as failure:
        return str(failure)
    except Exception as error:  # a claim's numbers may be anything
        return f"the claim is malformed: {type(error).__name__}"


def _rewritten(layer: Products, curves: Curves, claim: Claim) -> Received:
    within, m = claim.within, len(layer.system.bias)
    if curves.curve.shape != (m,) or within.shape != (2, m):
        raise NotProvedError("the units' activations, or precisions of all of them, are not given")
    units = np.flatnonzero(curves.monotone)
    if len(units) and claim.x is not None:
        units = units[(within[:, units] > 0).any(axis=0)]
    if not len(units):
        return Received(claim, claim, (claim,))
    curves.check(units)
    return _at_output(curves, claim, units) if claim.x is None else _at_input(layer, curves, claim, claim.x, units)


def _at_input(layer: Products, curves: Curves, claim: Claim, x: FloatArray, units: IntArray) -> Received:
    eps = claim.within
    if not (eps[:, units] > 0).all():
        raise NotProvedError("a precision must be 0 on both sides, or on neither")
    wide, narrow = np.array(eps), np.array(eps)
    z, error = layer.at(x)
    with precisely():
        for i, unit in curves.units(units):
            here = arb(float(z[i]), float(error[i]))
            for side, sign in ((0, -1), (1, 1)):
                if eps[side, i] < np.inf:
                    by = float(eps[side, i])
                    try:
                        narrow[side, i], wide[side, i] = inverses.moved(unit, here, by, sign)
                    except NotProvedError:  # the ball does not tell
                        narrow[side, i], wide[side, i] = inverses.moved(unit, layer.exactly(i, x), by, sign)
            if not narrow[:, i].all():
                narrow[:, i] = 0.0
    largest = replace(claim, within=wide)
    return Received(largest, replace(claim, within=narrow), (largest,))


def _at_output(curves: Curves, claim: Claim, units: IntArray) -> Received:
    output, within = claim.output, claim.within
    if output is None or output.shape != within.shape:
        raise NotProvedError("an output has two sides, and so has its precision for each unit")
    if not (output[0] <= output[1]).all() or not (within >= 0).all():
        raise NotProvedError("the output lies in no interval")
    known, wide, narrow = (np.array(part) for part in (within, output, output))
    known[:, units] = 0.0
    with precisely():
        for i, unit in curves.units(units):
            wide[0, i], narrow[0, i] = inverses.inverse(unit, float(output[0, i]), -float(within[0, i]))
            narrow[1, i], wide[1, i] = inverses.inverse(unit, float(output[1, i]), float(within[1, i]))
    if (np.isposinf(wide[0]) | np.isneginf(wide[1])).any():
        if claim.kind != "empty" or claim.dimensions != (-1, -1):
            raise NotProvedError("the output is that of no input")
        return Received(None, None, ())
    largest, smallest = (replace(claim, output=part, within=known) for part in (wide, narrow))
    if np.array_equal(wide, narrow):
        return Received(largest, largest, (largest,))
    return Received(largest, smallest, (largest,) if claim.kind == "empty" else (largest, smallest))


__all__ = ["Received", "ends", "on_received", "prove_outputs"]
