"""Recovering an input from the features of a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fiberscope.checker.curves import Curves
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.reading import LayerRows
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Box, Domain, Polyhedron, as_polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.extent_search import SMALL
from fiberscope.preimages.interval import Interval
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.preimage import preimage
from fiberscope.recovery.attack import guesses
from fiberscope.recovery.ball import search_ball
from fiberscope.recovery.duals import Duals, Rows, free_duals
from fiberscope.recovery.feature_precision import to_precision
from fiberscope.recovery.grid import Grid
from fiberscope.recovery.other_input import other_input
from fiberscope.recovery.proof import (
    ROUNDS_OTHERWISE,
    Proof,
    Proved,
    asked_of,
    chain_to,
    curves_to,
    near_outputs,
    prove,
    reach_of,
    stages_of,
)
from fiberscope.recovery.question import Known, Subject, features_of
from fiberscope.recovery.recovery import Recovery, Scope, distance_from, on_grid
from fiberscope.recovery.tightening import Tightened, tighten

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from fiberscope.network.layer import Layer
    from fiberscope.network.network import Network
    from fiberscope.preimages.precision import Precision

UNIT_BOX = Box(0, 1)
TELLS = 0.5
"""Bounds on the whole domain are claimed rather than those in a ball if they leave so much of a median coordinate."""

NARROWER = 0.99
"""Bounds that leave more than this share of every coordinate say nothing."""

NARROW = 2.0**-5
"""Bounds for nothing are the last ones if they leave so little of a median coordinate."""

DETERMINED = 0.5
"""Of a large layer's dimensions: where features and the domain's sides determine fewer around the guess, how far inputs
reach hangs on the far sides of the domain, and no search pays. Without a limit of the caller none is begun unless they
determine all, and bounds for nothing say nothing: it takes a hundred times as long as a verdict."""

LARGE = "with seconds= bounds on all inputs of the domain are searched for, which takes longer than the guess"
WIDE = "with seconds= the input is bounded more tightly, which takes some fifty times as long"
TIME_IS_OVER = "more seconds would bound the input more tightly"
NO_BALL = "no ball around the guess was found on which the network is proved to tell inputs apart"
NO_INPUT = "no input of the domain has these features"
NO_VALUE = "no value of the grid lies within what is proved of a coordinate"
NO_RANK = "the outputs that tell their number do not determine the input by themselves, and no enclosure is at hand"


def recover(
    net_or_layer: Network | Layer,
    features: Tensor | ArrayLike,
    layer: int = 0,
    within: Tensor | ArrayLike | str | Precision = 0.0,
    domain: Domain | None = UNIT_BOX,
    grid: ArrayLike | None = None,
    *,
    seconds: float | int | None = None,
) -> Recovery | list[Recovery]:
    """Compute the input back from the features of a layer, and prove how near it is.

    The guess minimises ``|F(x) - y|`` over the domain. Around it, ``|x' - x| <= |beta| / kappa`` for every input x' of
    a ball whose features are the given ones: kappa is the modulus of the network on the ball, beta what the features
    leave open (``fiberscope.checker.modulus``). For a layer of the input itself the ball is the whole domain.

    Args:
        net_or_layer: a network, or a layer alone.
        features: the output of the layer, in any shape with as many numbers; or N of them, the samples in front.
        layer: the number of the ReLU layer of a network.
        within: by how much each output may differ from the features: a number or (m,), in the outputs' units. Or a
            ``Precision``, or its name: "float32" and "float16" for what a runtime may be off at any input of the
            domain, which must be bounded; "int8" for features that are codes times their step: then those of the
            result are the middles of cells.
        domain: where inputs lie; None for all of R^n.
        grid: the step of the grid that inputs lie on, such as 1/255 for the float32 values k/255, or a list of values;
            None for none.
        seconds: a budget for all samples together; past it guesses stay guesses. With None, what takes far longer than
            a guess is not begun: bounds on the whole domain through several large layers.

    Returns:
        The recovery; of N features a list.

    Raises:
        InputError: features of another size, no such layer, a negative precision, or a grid without bounds.
        ModelError: the network has no layer.

    Source: sections 9 and 10 of the theory.
    """
    subject = Subject.of(net_or_layer, layer)
    given_features, is_batch = features_of(subject, features)
    Y, slack = to_precision(subject, given_features, within, domain)
    box = as_polyhedron(domain, subject.inputs)
    if grid is not None:
        Grid.of(grid, box.low, box.high)
    until = Budget.of(seconds).until
    found, met = guesses(subject, Y, domain, slack, until)
    curves, chain = _read(subject)
    known = [Known(y, size, domain, curves) for y, size in zip(Y, slack, strict=True)]
    given = net_or_layer if subject.network is None else subject.network
    out: list[Recovery] = []
    for k, each in enumerate(known):
        guess = replace(_guess(given, subject, each, found.x[k], grid), residual=float(found.residual[k]))
        out.append(_proved(guess, subject, each, bool(met[k]), chain, until))
    return out if is_batch else out[0]


def _read(subject: Subject) -> tuple[Curves, tuple[LayerRows, ...] | str]:
    """What the layer's units compute, and the layers up to it, or why they are no chain, as the checker reads them."""
    try:
        curves = curves_to(subject)
    except NotProvedError as failure:
        return Curves.unknown(np.zeros(subject.features_of.outputs, dtype=np.bool_)), str(failure)
    try:
        return curves, chain_to(subject)
    except NotProvedError as failure:
        return curves, str(failure)


def _guess(given: Any, subject: Subject, known: Known, x: FloatArray, grid: Any) -> Recovery:
    """A recovery that claims nothing."""
    shape, box = subject.input_shape, known.box(subject.inputs)
    low, high = box.low.reshape(shape), box.high.reshape(shape)
    return Recovery(
        given, subject.layer, known.y, known.within, known.domain, grid, x.reshape(shape), low, high,
        Scope.NONE, 0.0, inf, False, False, 0.0, None,
    )  # fmt: skip


def _proved(
    out: Recovery, subject: Subject, known: Known, met: bool, chain: tuple[LayerRows, ...] | str, until: float
) -> Recovery:
    """The same with all that is found to be provable around the guess."""
    x = out.x.ravel()
    if known.is_given_by_nothing:
        found = _Found(Proof(), "a unit never gives what is known of it: its activation ends before")
    elif subject.single is None:
        found = _Found(*_through_layers(subject, known, x, chain, until))
    else:
        assert not isinstance(chain, str), "a layer of clips alone is a chain"
        found = _of_layer(subject, subject.single, known, x, met, chain, until)
    read, out = None if isinstance(chain, str) else chain, replace(out, proof=found.proof, reason=found.reason)
    if read is not None or found.proof.steps:
        out = _claimed(out, known, found.proved or prove(subject, known, found.proof, read))
    if out.scope is Scope.NONE and not out.contradiction and subject.single is None:
        return _beside(out, subject, known, x, until)
    return out


def _beside(out: Recovery, subject: Subject, known: Known, x: FloatArray, until: float) -> Recovery:
    """The same with another input that has the features, if one is found."""
    other = None if perf_counter() > until else other_input(subject, known, x, until)
    if other is None:
        return out
    found = f"an input {float(np.linalg.norm(other - x)):.2g} away from the guess has the same features"
    return replace(
        out, other=other.reshape(out.x.shape), reason="; ".join(each for each in (found, out.reason) if each)
    )


class _Found(NamedTuple):
    """What proves something, what a person should know of it, and what it proves where that is known already."""

    proof: Proof
    reason: str
    proved: Proved | None = None


def _through_layers(
    subject: Subject, known: Known, x: FloatArray, chain: tuple[LayerRows, ...] | str, until: float
) -> tuple[Proof, str]:
    """What proves something about features of a deep layer: everywhere in the domain, or in a ball around the guess."""
    box = known.box(len(x))
    ball, reason = None, f"nothing is proved around the guess: {chain}"
    if not isinstance(chain, str):
        found = search_ball(chain, x, known.low, known.high, reach_of(box.low, box.high, x), until)
        ball, reason = (None, NO_BALL) if found is None else (found[0], "")

    def covered(low: FloatArray, high: FloatArray) -> bool:
        return ball is not None and ball.radius >= reach_of(low, high, x)

    everywhere = _everywhere(subject, known, box, x, until, covered)
    if everywhere is None:
        return Proof(ball), reason
    low, high = everywhere.low, everywhere.high
    told = TIME_IS_OVER if everywhere.ended else LARGE if everywhere.large else ""
    reason = "; ".join(each for each in (reason, told) if each)
    if not everywhere.contradiction and (high - low >= NARROWER * (box.high - box.low)).all():
        return Proof(ball), reason
    if everywhere.contradiction:
        return Proof(steps=everywhere.steps), everywhere.contradiction
    if covered(low, high):
        return Proof(ball, steps=everywhere.steps), told
    if np.median(high - low) <= TELLS * np.median(box.high - box.low) or ball is None:
        return Proof(steps=everywhere.steps), told or reason
    return Proof(ball, steps=everywhere.steps), told


def _everywhere(
    subject: Subject,
    known: Known,
    box: Polyhedron,
    x: FloatArray,
    until: float,
    covered: Callable[[FloatArray, FloatArray], bool],
) -> Tightened | None:
    """Bounds on all inputs of a bounded domain; None where there is nothing to ask."""
    if subject.network is None or not (np.isfinite(box.low) & np.isfinite(box.high)).all():
        return None
    asked = asked_of(subject.network, subject.layer, known)
    try:
        return tighten(stages_of(subject.network), box.low, box.high, asked, Budget.of(_left(until)), x, covered)
    except NotProvedError:
        return None


def _of_layer(
    subject: Subject,
    layer: ReLULayer,
    known: Known,
    x: FloatArray,
    met: bool,
    chain: tuple[LayerRows, ...],
    until: float,
) -> _Found:
    """What proves something about the features of one affine map of the input."""
    box = known.box(len(x))
    found = search_ball(chain, x, known.low, known.high, reach_of(box.low, box.high, x), until)
    ball = None if found is None else found[0]
    if not met:
        left = _left(until)
        half = None if left is None else 0.5 * left  # bounds need the rest
        verdict = preimage(layer, y=Interval(known.low, known.high), domain=known.domain, seconds=half)
        if verdict.kind == Kind.EMPTY:
            return _Found(Proof(None, verdict), verdict.reason)
    if ball is not None:
        return _Found(Proof(ball), "")
    if perf_counter() > until:
        return _Found(Proof(), TIME_IS_OVER)
    free = free_duals(layer, known, x)
    if free is None:
        return _searched(layer, known, x, until)
    found = _Found(Proof(duals=free), "", prove(subject, known, Proof(duals=free), chain))
    if _narrow(found.proved, box):
        return found
    if perf_counter() > until:
        return found._replace(reason=TIME_IS_OVER)
    if until == inf and layer.inputs * layer.outputs > SMALL and _says_something(found.proved, box):
        return found._replace(reason=WIDE)
    return _nearer(subject, known, found, _searched(layer, known, x, until))


def _narrow(proved: Proved | None, box: Polyhedron) -> bool:
    assert proved is not None, "it was evaluated"
    return bool(np.median(proved.high - proved.low) <= NARROW * np.median(box.high - box.low))


def _says_something(proved: Proved | None, box: Polyhedron) -> bool:
    assert proved is not None, "it was evaluated"
    return bool((proved.high - proved.low < NARROWER * (box.high - box.low)).any())


def _searched(layer: ReLULayer, known: Known, x: FloatArray, until: float) -> _Found:
    """Multipliers that are searched for, where the features tell enough for that."""
    box = known.box(len(x))
    determined, least = Rows.beside(layer, known, box, x).determined, 1.0 if until == inf else DETERMINED
    if layer.inputs * layer.outputs > SMALL and determined < least * len(x) and box.is_box_bounded:
        reason = f"the features determine at most {determined} of {len(x)} dimensions around the guess"
        more = "; with seconds= bounds are searched for all the same"
        return _Found(Proof(), reason + more if determined >= DETERMINED * len(x) else reason)
    near = near_outputs(layer, known, x)
    if near is None and box.is_box_bounded:  # a unit that is known on one side is known to no precision at x
        asked = preimage(layer, y=Interval(known.low, known.high), domain=known.domain, seconds=_left(until))
        near = None if asked.kind in (Kind.UNDECIDED, Kind.EMPTY) else asked
    if near is None:
        return _Found(Proof(), NO_RANK)
    enclosure = near.enclosure(seconds=_left(until))
    duals = Duals(x, enclosure.multipliers)
    return _Found(Proof(preimage=None if box.is_box_bounded else near, duals=duals), enclosure.reason)


def _nearer(subject: Subject, known: Known, one: _Found, other: _Found) -> _Found:
    """Of each bound the multipliers that prove more."""
    first, second = one.proof.duals, other.proof.duals
    if first is None or second is None or one.proved is None:
        return one
    proved = prove(subject, known, other.proof)
    better = proved.low > one.proved.low, proved.high < one.proved.high
    pairs = zip(better, first.multipliers, second.multipliers, strict=True)
    low, high = (np.where(places[:, None], theirs, ours) for places, ours, theirs in pairs)
    return _Found(Proof(duals=Duals(first.anchor, (low, high))), other.reason)


def _left(until: float) -> float | None:
    """The seconds that are left; None for no limit."""
    return None if until == inf else max(until - perf_counter(), 1e-3)


def _claimed(out: Recovery, known: Known, proved: Proved) -> Recovery:
    """The claims that follow from what is proved."""
    counted = None if out.grid is None else on_grid(out.grid, known, proved)
    if proved.empty or (counted is not None and counted.empty):
        how = (out.reason or NO_INPUT) if proved.empty else NO_VALUE
        far = f"the nearest output found differs by {out.residual:.3g} more than the precision allows"
        return replace(out, contradiction=True, reason=f"{how}; {far}" if out.residual > 0 else how)
    x, shape, given = np.array(out.x).ravel(), out.x.shape, out.proof
    if proved.radius == inf and (proved.center is not None or given.duals is not None or given.steps):
        scope = Scope.DOMAIN
    elif proved.center is not None:
        scope = Scope.BALL
    else:
        return out
    proved = _widened(proved, known)
    only = counted.only if scope is Scope.DOMAIN and counted is not None else None
    x = x if only is None else only
    return replace(
        out, x=x.reshape(shape), low=proved.low.reshape(shape), high=proved.high.reshape(shape), scope=scope,
        radius=proved.radius, distance=distance_from(x, proved), exact=only is not None,
    )  # fmt: skip


def _widened(proved: Proved, known: Known) -> Proved:
    """The same, a little less: another processor rounds otherwise; the domain ends where it does."""
    box = known.box(len(proved.low))
    slack = ROUNDS_OTHERWISE * np.maximum(np.abs(proved.low), np.abs(proved.high)) + proved.slack
    slack = np.where(np.isfinite(slack), slack, 0.0)
    low, high = np.maximum(proved.low - slack, box.low), np.minimum(proved.high + slack, box.high)
    return replace(proved, low=low, high=high)


__all__ = ["recover"]
