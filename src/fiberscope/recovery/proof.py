"""What a recovery proves, from its proof and what is known alone: read by the checker, evaluated with rounding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fiberscope.checker import enclosures, relaxation
from fiberscope.checker.anchored import Question
from fiberscope.checker.curves import Curves
from fiberscope.checker.matrices import (
    ROUNDING,
    NotProvedError,
    norm_above,
    product_error,
    relative_error,
    row_norms_above,
)
from fiberscope.checker.modulus import chain_of, near
from fiberscope.checker.reading import LayerRows
from fiberscope.checker.relaxation import Step
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages.certificate import Certificate
from fiberscope.preimages.enclosure import MARGIN, reach_from
from fiberscope.preimages.interval import Interval
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.preimage import Preimage
from fiberscope.preimages.verification import curves_of, stored
from fiberscope.preimages.verify import in_numbers
from fiberscope.recovery.ball import Ball
from fiberscope.recovery.duals import Duals
from fiberscope.recovery.question import Known, Subject

ROUNDS_OTHERWISE = 2.0**-40
"""A share by which more is claimed than was found: other processors round otherwise."""


@dataclass(frozen=True, eq=False)
class Proof:
    """What a recovery is proved by; any part may be missing.

    Attributes:
        ball: the ball around the guess.
        preimage: a verdict about a layer that is one affine map of the input: that no input has the features, or around
            the anchor of the duals, how far those that have them are.
        duals: what bounds the coordinates of all inputs of such a layer.
        steps: what bounds all inputs of the domain through several layers.
    """

    ball: Ball | None = None
    preimage: Preimage | None = None
    duals: Duals | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, eq=False)
class Proved:
    """What follows.

    Attributes:
        low: (n,) bounds of inputs with the features.
        high: (n,)
        center: (n,) or None.
        distance: how far from the center these inputs are; inf where nothing is proved.
        radius: in which ball around the center that holds; inf for the whole domain.
        empty: whether no input of the domain has the features.
        slack: (n,) by how much less should be claimed: other processors round otherwise.
    """

    low: FloatArray
    high: FloatArray
    center: FloatArray | None
    distance: float
    radius: float
    empty: bool
    slack: FloatArray


def chain_to(subject: Subject) -> tuple[LayerRows, ...]:
    """The layers up to the features as the checker reads them; NotProvedError where they are no chain.

    Strictly monotone units of the last one stand there as what they receive.
    """
    if subject.network is None:
        layer = subject.single
        if layer is None:
            raise NotProvedError("the layer is one only around a sample")
        return (LayerRows(layer.weight, layer.bias, layer.low, layer.high, Curves.unknown(layer.injective)),)
    return as_received(chain_of(stored(subject.network), subject.layer))


def as_received(chain: tuple[LayerRows, ...]) -> tuple[LayerRows, ...]:
    """A chain with strictly monotone units of the last layer as what they receive: equal where their outputs are."""
    *before, last = chain
    return (*before, replace(last, curves=Curves.unknown(np.zeros(len(last.bias), dtype=np.bool_))))


def curves_to(subject: Subject) -> Curves:
    """What the units compute whose outputs the features are; NotProvedError where the checker cannot read it."""
    if subject.network is not None:
        return stored(subject.network).layers[subject.layer].curves
    layer: Any = subject.features_of
    return curves_of(layer.injective, getattr(layer, "monotone", None))


def reach_of(low: FloatArray, high: FloatArray, center: FloatArray) -> float:
    """How far points of a box are from a point, at most; inf where it has no bounds."""
    with np.errstate(all="ignore"):
        far = np.maximum(np.abs(high - center), np.abs(center - low)) * (1.0 + 2.0**-50)
    return norm_above(far) if np.isfinite(far).all() else np.inf


def prove(subject: Subject, known: Known, proof: Proof, chain: tuple[LayerRows, ...] | None = None) -> Proved:
    """What a proof proves.

    Raises:
        NotProvedError: a part of it proves nothing.
    """
    box = known.box(subject.inputs)
    box_low, box_high = low, high = _stepwise(subject, known, proof.steps, box.low.copy(), box.high.copy())
    center, distance, radius = None, np.inf, np.inf
    empty = _is_empty(subject, known, proof.preimage)
    if chain is None and (proof.ball is not None or not proof.steps):
        chain = chain_to(subject)
    if chain is not None:
        empty |= bool(((known.high < chain[-1].low) | (known.low > chain[-1].high)).any()) or known.is_given_by_nothing
    if proof.ball is not None:
        assert chain is not None, "it was read for the ball"
        center, radius = np.array(proof.ball.center, dtype=np.float64), float(proof.ball.radius)
        found = near(chain, center, radius, known.low, known.high, int(proof.ball.rounds))
        distance = found.distance
        low = np.maximum(low, np.nextafter(center - found.widths, -np.inf))
        high = np.minimum(high, np.nextafter(center + found.widths, np.inf))
        if radius >= reach_of(box_low, box_high, center):
            radius = np.inf
    slack = np.zeros(len(low))
    if proof.duals is not None:
        below, above, slack = _weighed(subject, known, proof.duals, proof.preimage)
        low, high = np.maximum(low, below), np.minimum(high, above)
    empty |= radius == np.inf and bool((low > high).any())
    return Proved(low, high, center, distance, radius, empty, slack)


def stages_of(network: Network) -> relaxation.Network:
    """A network as the checker reads it; NotProvedError where it cannot."""
    known = stored(network)
    return known.inputs, known.stages


def asked_of(network: Network, layer: int, known: Known) -> relaxation.Known:
    """What is known of the outputs, and of which stage."""
    return relaxation.Known(network.placed_layers[layer].stage, *known.outputs)


def _stepwise(
    subject: Subject, known: Known, steps: tuple[Step, ...], low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The box that steps leave of the domain's; one with low above high where they leave nothing."""
    if not steps:
        return low, high
    if subject.network is None or not (np.isfinite(low) & np.isfinite(high)).all():
        raise NotProvedError("steps through several layers begin with a network and a bounded domain")
    asked = asked_of(subject.network, subject.layer, known)
    found = relaxation.replayed(stages_of(subject.network), low, high, asked, steps)
    return (high + 1.0, low - 1.0) if found is None else found


def near_outputs(layer: ReLULayer, known: Known, x: FloatArray) -> Preimage | None:
    """The inputs whose outputs are as near to those at x as all that have the features: a question that has an answer.

    An output within e of y is within ``e + |F(x) - y|`` of that at x. None where it has no bound, or for no answer.
    """
    from fiberscope.preimages.preimage import preimage

    within = _farthest(layer, known, x) * (1.0 + ROUNDS_OTHERWISE)
    if not np.isfinite(within).all():
        return None
    found = preimage(layer, x=x, domain=known.domain, within=within)
    return None if found.kind in (Kind.UNDECIDED, Kind.EMPTY) else found


def _farthest(layer: ReLULayer, known: Known, x: FloatArray) -> FloatArray:
    """(m,) bounds on how far outputs that the features allow are from those at x."""
    z = np.asarray(layer.weight @ x) + layer.bias
    error = product_error(row_norms_above(layer.weight), norm_above(x), len(x) + 1)
    error = error + relative_error(len(x) + 1) * np.abs(layer.bias)
    at = np.clip(z, layer.low, layer.high)
    return (np.maximum(np.abs(known.high - at), np.abs(known.low - at)) + error) * ROUNDING


def _of(subject: Subject, known: Known, preimage: Any) -> Preimage:
    """The same verdict about what is known here, whatever it was about."""
    layer = subject.single
    if type(preimage) is not Preimage or layer is None:
        raise NotProvedError("this is no verdict about a layer of the input")
    if preimage.x is None:
        return replace(preimage, layer=layer, domain=known.domain, y=Interval(known.low, known.high), within=0.0)
    x = np.array(preimage.x, dtype=np.float64)
    if not (_farthest(layer, known, x) <= np.asarray(preimage.within)).all():
        raise NotProvedError("the verdict is about fewer outputs than the features allow")
    return replace(preimage, layer=layer, domain=known.domain, x=x)


def _is_empty(subject: Subject, known: Known, preimage: Any) -> bool:
    from fiberscope.preimages.verify import verify

    if preimage is None or preimage.kind != Kind.EMPTY or preimage.x is not None:
        return False
    if not verify(_of(subject, known, preimage)):
        raise NotProvedError("the verdict that no input has the features is not proved")
    return True


def _weighed(subject: Subject, known: Known, duals: Duals, preimage: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(n,) bounds of all coordinates that multipliers prove by weak duality, and a margin for their rounding."""
    layer, anchor = subject.single, np.array(duals.anchor, dtype=np.float64)
    if layer is None:
        raise NotProvedError("this is no layer of the input")
    reach = np.inf
    if preimage is None:
        nothing = Certificate(Kind.UNDECIDED, None)
        about = Preimage(layer, known.domain, None, Interval(known.low, known.high), Kind.UNDECIDED, None, 0.0, nothing)
    else:
        about = _of(subject, known, preimage)
        if about.x is None or not np.array_equal(about.x, anchor):
            raise NotProvedError("the verdict is not about the point beside which multipliers are evaluated")
        reach = reach_from(about)
    asked = in_numbers(about)
    if isinstance(asked, str):
        raise NotProvedError(asked)
    exact = np.zeros(layer.outputs)
    question = Question(None, np.array(known.low), np.array(known.high), exact, anchor, reach)
    first, second = (np.array(part) for part in duals.multipliers)
    directions = np.eye(subject.inputs)
    found = enclosures.bounds(asked[0], question, directions, (first, second))
    low, high = enclosures.ends(asked[0], question, directions, found)
    return low, high, MARGIN * np.maximum(*found.error)


__all__ = [
    "ROUNDS_OTHERWISE",
    "Proof",
    "Proved",
    "as_received",
    "asked_of",
    "chain_to",
    "near_outputs",
    "prove",
    "reach_of",
    "stages_of",
]
