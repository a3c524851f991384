"""What a recovery proves, from its proof and what is known alone: read by the checker, evaluated with rounding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fiberscope.checker.matrices import NotProvedError, norm_above
from fiberscope.checker.modulus import chain_of, near
from fiberscope.checker.reading import LayerRows, read_network
from fiberscope.errors import ModelError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.saving import network_bytes
from fiberscope.preimage.kind import Kind
from fiberscope.preimage.preimage import Preimage
from fiberscope.recovery.ball import Ball
from fiberscope.recovery.question import Known, Subject


@dataclass(frozen=True, eq=False)
class Proof:
    """What a recovery is proved by; any part may be missing.

    Attributes:
        ball: the ball around the guess.
        preimage: the verdict about the features, of a layer that is one affine map of the input.
        enclosure: certified bounds of the coordinates over that preimage.
    """

    ball: Ball | None = None
    preimage: Preimage | None = None
    enclosure: Any = None


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
    """

    low: FloatArray
    high: FloatArray
    center: FloatArray | None
    distance: float
    radius: float
    empty: bool


def chain_to(subject: Subject) -> tuple[LayerRows, ...]:
    """The layers up to the features as the checker reads them; NotProvedError where they are no chain of clips."""
    if subject.network is None:
        layer = subject.single
        if layer is None:
            raise NotProvedError("the layer has other activations than clips")
        return (LayerRows(layer.weight, layer.bias, layer.low, layer.high, layer.injective),)
    try:
        return chain_of(read_network(network_bytes(subject.network)), subject.layer)
    except ModelError as error:
        raise NotProvedError(str(error)) from error


def reach_of(known: Known, center: FloatArray) -> float:
    """How far inputs of the domain are from a point, at most; inf where they have no bounds."""
    box = known.box(len(center))
    with np.errstate(all="ignore"):
        far = np.maximum(np.abs(box.high - center), np.abs(center - box.low))
    return norm_above(far) if np.isfinite(far).all() else np.inf


def prove(subject: Subject, known: Known, proof: Proof, chain: tuple[LayerRows, ...] | None = None) -> Proved:
    """What a proof proves.

    Raises:
        NotProvedError: a part of it proves nothing.
    """
    chain = chain_to(subject) if chain is None else chain
    box = known.box(subject.inputs)
    low, high = box.low.copy(), box.high.copy()
    center, distance, radius = None, np.inf, np.inf
    empty = bool(((known.high < chain[-1].low) | (known.low > chain[-1].high)).any()) or _is_empty(
        subject, known, proof.preimage
    )
    if proof.ball is not None:
        center, radius = np.array(proof.ball.center, dtype=np.float64), float(proof.ball.radius)
        found = near(chain, center, radius, known.low, known.high, int(proof.ball.rounds))
        distance = found.distance
        low = np.maximum(low, np.nextafter(center - found.widths, -np.inf))
        high = np.minimum(high, np.nextafter(center + found.widths, np.inf))
        if radius >= reach_of(known, center):
            radius = np.inf
    if proof.enclosure is not None:
        inner = _enclosed(subject, known, proof)
        low, high = np.maximum(low, inner[0]), np.minimum(high, inner[1])
    if center is None and proof.enclosure is None:
        distance = np.inf
    return Proved(low, high, center, distance, radius, empty or (radius == np.inf and bool((low > high).any())))


def _of(subject: Subject, known: Known, preimage: Any) -> Preimage:
    """The same verdict about what is known here, whatever it was about."""
    if type(preimage) is not Preimage or not isinstance(subject.single, ReLULayer):
        raise NotProvedError("this is no verdict about a layer of the input")
    return replace(
        preimage, layer=subject.single, domain=known.domain, x=None, y=known.y,
        within=known.within if known.within.any() else 0.0,
    )  # fmt: skip


def _is_empty(subject: Subject, known: Known, preimage: Any) -> bool:
    from fiberscope.preimage.verify import verify

    if preimage is None or preimage.kind != Kind.EMPTY:
        return False
    if not verify(_of(subject, known, preimage)):
        raise NotProvedError("the verdict that no input has the features is not proved")
    return True


def _enclosed(subject: Subject, known: Known, proof: Proof) -> tuple[FloatArray, FloatArray]:
    """(n,) bounds of all coordinates that an enclosure proves."""
    about = _of(subject, known, proof.preimage)
    enclosure = replace(proof.enclosure, preimage=about, directions=np.eye(subject.inputs))
    if not enclosure.verify():
        raise NotProvedError("the enclosure is not proved")
    return enclosure.low, enclosure.high


__all__ = ["Proof", "Proved", "chain_to", "prove", "reach_of"]
