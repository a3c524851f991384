"""Deciding one preimage: float64 first, then proof, then the exact method, then "undecided" with its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fiberscope.errors import InputError, MemoryLimitError
from fiberscope.memory import check_matrix
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain, Polyhedron, written_out
from fiberscope.network.layer import Layer, around, check_layer, flat_input, flat_output
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense
from fiberscope.preimage.balance import Balance
from fiberscope.preimage.budget import NO_LIMIT, Budget, TooLargeError
from fiberscope.preimage.candidate import BoundedDomain, Candidate, Direction, Inconsistent, NegativeOutput
from fiberscope.preimage.checker import verify
from fiberscope.preimage.checker.verify import verify_in_float
from fiberscope.preimage.decide_exactly import MAX_DIMENSION, certify_exactly, exact_proof_seconds
from fiberscope.preimage.dense import numerical_rank
from fiberscope.preimage.dependencies import find_dependencies
from fiberscope.preimage.face import NO_ROWS, Face, find_face, find_recession
from fiberscope.preimage.interior_point import find_point
from fiberscope.preimage.kind import Kind
from fiberscope.preimage.margin import margin
from fiberscope.preimage.modular import modular_rank
from fiberscope.preimage.output_distance import describe_empty
from fiberscope.preimage.preimage import Preimage
from fiberscope.preimage.projection import MAX_ENTRIES, contradiction_by_projection, contradiction_by_rank
from fiberscope.preimage.reduction import RESOLVED
from fiberscope.preimage.rounded import rounded
from fiberscope.preimage.system import MixedSystem, build_at_input, build_at_output, check_inside

NOTHING_PROVED = Candidate(Kind.UNDECIDED, None)


def decide(layer: Layer, x: Any, y: Any, domain: Domain | None, seconds: float | int | None = None) -> Preimage:
    """Validate the arguments, then decide; see ``preimage``."""
    check_layer(layer)
    if (x is None) == (y is None):
        got = "both" if x is not None else "neither"
        hint = "x is an input whose output is meant, y an output; write x=... or y=..."
        raise InputError("preimage", expected="exactly one of x and y", got=got, hint=hint)
    check_memory(layer)
    if x is not None:
        return decide_at_input(layer, domain, flat_input(layer, x), Budget.of(seconds))
    if isinstance(layer, RegionLayer) or layer.injective.any():
        raise InputError(
            "y",
            expected="an output of ReLUs of one affine map",
            got="a layer that is one only around a sample, or has other activations",
            hint="give x instead",
        )
    polyhedron = written_out(domain, layer.inputs)
    return _decide_at_output(layer, domain, polyhedron, flat_output(layer, y, "y"), Budget.of(seconds))


def check_memory(layer: Layer) -> None:
    """Refuse a layer whose rows cannot be told apart within the memory, before they are written out.

    Raises:
        MemoryLimitError: a Gram matrix of its rows, or of its columns, is too large.
    """
    size = min(layer.inputs, layer.outputs)
    check_matrix(f"preimages of a layer of {layer.inputs} inputs and {layer.outputs} outputs", size, size)


def decide_at_input(layer: Layer, domain: Domain | None, x: FloatArray, budget: Budget = NO_LIMIT) -> Preimage:
    """Decide the preimage of the output at x; the arguments are valid already.

    Around x, a layer in which branches meet is one affine map on the linear region of x: the answer is about that.
    """
    layer, domain, x = around(layer, domain, x)
    polyhedron = written_out(domain, layer.inputs)
    open_question = Preimage(layer, domain, x, None, Kind.UNDECIDED, None, 0.0, NOTHING_PROVED)
    if budget.is_over:
        check_inside(polyhedron, x)
        return replace(open_question, reason=f"the budget of {budget.seconds:g} seconds was spent on other samples")
    system = replace(build_at_input(layer, polyhedron, x), budget=budget)
    # numbers near the ends of float64 overflow here; what is found is proved or dropped
    with np.errstate(all="ignore"):
        balance = Balance.of(layer, polyhedron)
        system = balance.system(system)
        return _prove(system, balance, open_question, _candidate(system, point=None))


def _decide_at_output(
    layer: ReLULayer, domain: Domain | None, polyhedron: Polyhedron, y: FloatArray, budget: Budget
) -> Preimage:
    open_question = Preimage(layer, domain, None, y, Kind.UNDECIDED, None, 0.0, NOTHING_PROVED)
    if (y < 0).any():
        certificate = Candidate(Kind.EMPTY, -1, infeasible=NegativeOutput(int(np.argmin(y))))
        return replace(
            open_question,
            kind=Kind.EMPTY,
            dimension=-1,
            margin=1.0,
            certificate=certificate,
            reason=_negative(y),
        )
    with np.errstate(all="ignore"):
        as_given = replace(build_at_output(layer, polyhedron, y), budget=budget)
        balance = Balance.of(layer, polyhedron)
        balance = balance if balance.suits(y) else Balance.nothing(layer, polyhedron)
        system = balance.system(as_given)
        answer = _empty(system, balance, open_question)
        if answer is None:
            answer = _prove(system, balance, open_question, _candidate_at_output(system))
        if answer.kind == Kind.EMPTY:
            return replace(answer, reason=describe_empty(as_given, answer.certificate))
        return answer


def _empty(system: MixedSystem, balance: Balance, question: Preimage) -> Preimage | None:
    """The proof that y is no output, where rows of P contradict each other or the nearest output is clearly another."""
    for find in (contradiction_by_rank, contradiction_by_projection):
        try:
            certificate = find(system)
        except (TooLargeError, MemoryLimitError):
            return None
        if certificate is not None:
            answer = _answer(system, balance, question, certificate)
            if _is_proved(system, answer):
                return answer
    return None


def _candidate_at_output(system: MixedSystem) -> Candidate | str:
    try:
        point = find_point(system)
    except (TooLargeError, MemoryLimitError) as limit:
        return str(limit)
    return "no point was found" if point is None else _candidate(system, point)


def _negative(y: FloatArray) -> str:
    unit, count = int(np.argmin(y)), int((y < 0).sum())
    others = f", and {count - 1} more below 0" if count > 1 else ""
    return f"a ReLU gives no negative number, but y is {y[unit]} at unit {unit}{others}; y is what follows the ReLU"


def _candidate(system: MixedSystem, point: FloatArray | None) -> Candidate | str:
    """The certificate that float64 suggests, or why there is none; nothing is proved yet."""
    try:
        system.budget.check("the question was read")
        return _suggestion(system, point)
    except (TooLargeError, MemoryLimitError) as limit:
        return str(limit)


def _suggestion(system: MixedSystem, point: FloatArray | None) -> Candidate:
    bounded = system.domain.is_box_bounded
    cone = None if bounded else find_recession(system)
    tangent = _tangent_face(system, cone)
    n = system.layer.inputs
    if tangent.rank == n:
        return Candidate(Kind.SINGLETON, 0, point, tangent.multipliers)
    interior = tangent.as_direction() if len(tangent.implicit) < len(system.tight) else None
    common = (n - tangent.rank, point, tangent.multipliers, interior)
    if cone is None:
        return Candidate(Kind.BOUNDED, *common, recession=BoundedDomain())
    if cone.spans:
        return Candidate(Kind.BOUNDED, *common, recession=cone.multipliers)
    assert cone.direction is not None
    return Candidate(Kind.UNBOUNDED, *common, recession=Direction(cone.held, cone.direction))


def _tangent_face(system: MixedSystem, cone: Face | None) -> Face:
    """The face of the feasible-direction cone T.

    Where the recession cone C has a strict direction or no row is tight, C's answer serves.
    """
    if cone is not None and not len(cone.implicit) and not cone.spans:
        return cone
    n = system.layer.inputs
    rank = None if cone is None else cone.equality_rank
    if rank is None and not len(system.tight) and system.is_sparse:
        rank = numerical_rank(system.rows(system.positive), RESOLVED)
    if rank is not None and (not len(system.tight) or rank == n):
        return Face(system.positive, NO_ROWS, None, None, rank, rank, spans=rank == n)
    return find_face(system, system.positive, system.tight)


def _prove(system: MixedSystem, balance: Balance, question: Preimage, candidate: Candidate | str) -> Preimage:
    """Prove the candidate; where that fails, decide exactly; where that is too large, say so."""
    guess = None if isinstance(candidate, str) else _answer(system, balance, question, candidate)
    if guess is not None and verify_in_float(guess):
        return guess
    related = None if guess is None else _with_dependencies(guess)
    if related is not None and verify_in_float(related):
        return related
    if guess is not None and _is_proved_exactly(system, guess):
        return guess
    try:
        rational = certify_exactly(system)
    except (TooLargeError, MemoryLimitError) as limit:
        found = candidate if isinstance(candidate, str) else "the float proof did not close"
        reason = f"{found}; and the exact method stopped: {limit}{_near_dependence(system)}"
        return replace(question, margin=0.0 if guess is None else guess.margin, reason=reason)
    exact = _answer(system, balance, question, rational)
    light = replace(exact, certificate=balance.undone(rounded(rational)))
    if verify_in_float(light):
        return light
    check = verify(exact, exact=True)
    if check:
        return exact
    return replace(question, reason=f"the exact certificate was not proved: {check.reason}")


def _with_dependencies(answer: Preimage) -> Preimage | None:
    """The answer with relations between rows of the layer, where there are any that ranks may depend on."""
    found = None if answer.certificate.kind == Kind.EMPTY else find_dependencies(answer.layer.weight)
    return None if found is None else replace(answer, certificate=replace(answer.certificate, dependencies=found))


def _near_dependence(system: MixedSystem) -> str:
    """What makes a system hard, where it is that: rows that depend on each other but for their rounding."""
    P, n = system.positive, system.layer.inputs
    if not 0 < len(P) * n <= MAX_ENTRIES or system.budget.is_over:
        return ""
    rows = dense(system.rows(P))
    exact, seen = modular_rank(rows), numerical_rank(rows, RESOLVED)
    if exact <= seen:
        return ""
    return (
        f". The {len(P)} positive rows have rank {exact}, but rank {seen} up to rounding, as products of smaller "
        "matrices have: what is asked hangs on the last digits of the weights"
    )


def _is_proved(system: MixedSystem, answer: Preimage) -> bool:
    """Whether an answer is proved, by rational numbers where that is in reach."""
    return bool(verify_in_float(answer)) or _is_proved_exactly(system, answer)


def _is_proved_exactly(system: MixedSystem, answer: Preimage) -> bool:
    certificate = answer.certificate
    if isinstance(certificate.infeasible, Inconsistent):  # a rank modulo a prime
        return bool(verify(answer, exact=True))
    if system.layer.inputs > MAX_DIMENSION:
        return False
    try:
        system.budget.check_exact(exact_proof_seconds(system, certificate), "an exact proof")
    except TooLargeError:
        return False
    return bool(verify(answer, exact=True))


def _answer(system: MixedSystem, balance: Balance, question: Preimage, certificate: Candidate) -> Preimage:
    """The verdict of a certificate about the scaled system."""
    return replace(
        question,
        kind=certificate.kind,
        dimension=certificate.dimension,
        margin=margin(system, certificate),
        certificate=balance.undone(certificate),
    )
