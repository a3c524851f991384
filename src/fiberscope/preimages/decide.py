"""Deciding one preimage: float64 first, then proof, then the exact method, then "undecided" with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fiberscope.errors import InputError, MemoryLimitError
from fiberscope.memory import check_matrix
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.layer import Layer, check_layer, flat_input, local_form, other_local_form
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense
from fiberscope.preimages.balance import Balance
from fiberscope.preimages.budget import NO_LIMIT, Budget, TooLargeError
from fiberscope.preimages.candidate import Candidate, Inconsistent, NegativeOutput
from fiberscope.preimages.certificate import Certificate
from fiberscope.preimages.counting import undetermined
from fiberscope.preimages.decide_exactly import MAX_DIMENSION, certify_exactly, exact_proof_seconds
from fiberscope.preimages.decide_large import decide_large
from fiberscope.preimages.dense import RESOLVED, numerical_rank
from fiberscope.preimages.dependencies import find_dependencies
from fiberscope.preimages.elaborate import elaborate
from fiberscope.preimages.exact_lift import lifted
from fiberscope.preimages.given_output import checked_output
from fiberscope.preimages.interval import Interval
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.margin import margin
from fiberscope.preimages.modular import modular_rank, modular_seconds
from fiberscope.preimages.narrowed import Narrowed, narrowed
from fiberscope.preimages.output_distance import describe_empty, describe_impossible
from fiberscope.preimages.precision import Precision, within_at
from fiberscope.preimages.projection import MAX_ENTRIES, contradiction_by_projection, contradiction_by_rank
from fiberscope.preimages.rounded import rounded
from fiberscope.preimages.sides import as_known, impossible_units, outputs_between
from fiberscope.preimages.suggestion import candidate_at, candidate_at_output, candidate_of_noise
from fiberscope.preimages.system import NO_ROWS, MixedSystem, build_at_input, build_at_output, check_inside
from fiberscope.preimages.verdict import Verdict
from fiberscope.preimages.verify import verify, verify_in_float
from fiberscope.preimages.window import fixed_outside, window_of

NOTHING_PROVED = Certificate(Kind.UNDECIDED, None)


@dataclass(frozen=True, eq=False)
class _Question:
    """What is asked, and the system in which it is decided.

    Attributes:
        open: the preimage, undecided.
        system: in scaled rows and coordinates.
        balance: what scaled them.
        as_given: the system as it was asked.
    """

    open: Verdict
    system: MixedSystem
    balance: Balance
    as_given: MixedSystem


def decide(
    layer: Layer,
    x: Any,
    y: Any,
    domain: Domain | None,
    within: Any = 0.0,
    window: Any = None,
    seconds: float | int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Verdict:
    """Validate the arguments, then decide; see ``preimage``."""
    check_layer(layer)
    if (x is None) == (y is None):
        got = "both" if x is not None else "neither"
        hint = "x is an input whose output is meant, y an output; write x=... or y=..."
        raise InputError("preimage", expected="exactly one of x and y", got=got, hint=hint)
    budget = Budget.of(seconds, progress)
    if window is not None:
        if x is None:
            hint = "outside the window inputs stay as they are at x: give x instead of y"
            raise InputError("window", expected="an input x beside it", got="an output y", hint=hint)
        domain = fixed_outside(layer, domain, flat_input(layer, x), window_of(layer, window))
    if x is None or not goes_by_products(layer, domain, within):
        check_memory(layer)
    if x is not None:
        point = flat_input(layer, x)
        return decide_at_input(layer, domain, point, budget, within_at(layer, point, within))
    output, precision = checked_output(layer, y, within)
    assert isinstance(layer, ReLULayer), "another layer has no output of its own"
    return _decide_at_output(layer, domain, output, precision, budget)


def goes_by_products(layer: Layer, domain: Domain | None, within: Any = 0.0) -> bool:
    """Whether inputs of a layer are decided without its rows being written out: no half-spaces, no named precision."""
    if not layer.is_large or isinstance(within, str | Precision):
        return False
    return not len(as_polyhedron(domain, layer.inputs).h)


def check_memory(layer: Layer) -> None:
    """Refuse a layer whose rows cannot be told apart within the memory, before they are written out.

    Raises:
        MemoryLimitError: a Gram matrix of its rows, or of its columns, is too large.
    """
    size = min(layer.inputs, layer.outputs)
    check_matrix(f"preimages of a layer of {layer.inputs} inputs and {layer.outputs} outputs", size, size)


def decide_at_input(
    layer: Layer, domain: Domain | None, x: FloatArray, budget: Budget = NO_LIMIT, within: FloatArray | None = None
) -> Verdict:
    """Decide the preimage of the output at x, known up to ``within`` (2, m); the arguments are valid already.

    Around x, a layer in which branches meet is one affine map on the linear region of x: the answer is about that. What
    one form of a layer, its rows written out or products with its convolutions, leaves open is asked in the other form:
    the kind, or the dimension, which takes a rank that products do not give.
    """
    found = _decided(*local_form(layer, domain, x), budget, within)
    is_open = found.kind is Kind.UNDECIDED
    if budget.is_over or not (is_open or (layer.is_large and found.dimension is None)):
        return found
    other = other_local_form(layer, domain, x)
    if other is None:
        return found
    try:
        second = _decided(*other, budget, within)
    except MemoryLimitError:
        return found
    more = second.kind is not Kind.UNDECIDED if is_open else second.dimension is not None
    return second if more else found


def _decided(
    layer: ReLULayer, domain: Domain | None, x: FloatArray, budget: Budget, within: FloatArray | None
) -> Verdict:
    """Decide in the form that the layer is in."""
    polyhedron = as_polyhedron(domain, layer.inputs)
    precision = np.zeros((2, layer.outputs))
    if within is not None:  # coordinates that are defined by others are known exactly
        precision[:, layer.outputs - within.shape[-1] :] = within
    known = as_known(precision)
    question = Verdict(layer, domain, x, None, Kind.UNDECIDED, None, 0.0, NOTHING_PROVED, within=known)
    if budget.is_over:
        check_inside(polyhedron, x)
        return replace(question, reason=f"the budget of {budget.seconds:g} seconds was spent on other samples")
    if goes_by_products(layer, domain):
        narrow = narrowed(question)
        return decide_large(question, polyhedron, budget) if narrow is None else _widened(question, narrow, budget)
    as_given = replace(build_at_input(layer, polyhedron, x, precision), budget=budget)
    # numbers near the ends of float64 overflow here; what is found is proved or dropped
    with np.errstate(all="ignore"):
        balance = Balance.of(layer, polyhedron)
        asked = _Question(question, balance.system(as_given), balance, as_given)
        return _prove(asked, candidate_at(asked.system, None))


def decide_narrow(narrow: Narrowed, budget: Budget = NO_LIMIT) -> Verdict:
    """Decide a narrow question on its own."""
    asked = narrow.question
    assert asked.x is not None, "large layers are asked about inputs"
    within = np.broadcast_to(np.asarray(asked.within, dtype=np.float64), (2, asked.layer.outputs))
    return decide_at_input(asked.layer, asked.domain, asked.x, budget, within)


def _widened(question: Verdict, narrow: Narrowed, budget: Budget) -> Verdict:
    """The answer of the narrow question, proved about the wide one."""
    found = decide_narrow(narrow, budget)
    said = {name: getattr(found, name) for name in ("kind", "dimension", "margin", "reason", "dimension_bounds")}
    answer = replace(question, **said, certificate=narrow.certificate(found.certificate))
    if found.kind == Kind.UNDECIDED:
        return answer
    check = verify(answer)
    if check:
        return answer
    return replace(question, reason=f"the certificate of the window was not proved: {check.reason}")


def _decide_at_output(
    layer: ReLULayer, domain: Domain | None, y: FloatArray | Interval, within: FloatArray, budget: Budget
) -> Verdict:
    polyhedron = as_polyhedron(domain, layer.inputs)
    low, high = (y.low, y.high) if isinstance(y, Interval) else (y, y)
    outputs, known = outputs_between(layer, low, high, within), as_known(np.stack([within, within]))
    question = Verdict(layer, domain, None, y, Kind.UNDECIDED, None, 0.0, NOTHING_PROVED, within=known)
    as_given = replace(build_at_output(layer, polyhedron, outputs), budget=budget)
    impossible = np.flatnonzero(impossible_units(layer, outputs))
    if len(impossible):
        unit, reason = describe_impossible(layer, outputs, impossible)
        empty = replace(question, kind=Kind.EMPTY, dimension=-1, margin=1.0, reason=reason)
        candidate = Candidate(Kind.EMPTY, -1, infeasible=NegativeOutput(unit))
        return replace(empty, certificate=elaborate(empty, candidate, as_given))
    with np.errstate(all="ignore"):
        balance = Balance.of(layer, polyhedron)
        balance = balance if balance.suits(outputs) else Balance.nothing(layer, polyhedron)
        asked = _Question(question, balance.system(as_given), balance, as_given)
        answer = _empty(asked)
        return _prove(asked, candidate_at_output(asked.system)) if answer is None else answer


def _empty(asked: _Question) -> Verdict | None:
    """The proof that y is no output, where rows of P contradict each other or the nearest output is clearly another."""
    for find in (contradiction_by_rank, contradiction_by_projection):
        try:
            candidate = find(asked.system)
        except (TooLargeError, MemoryLimitError):
            return None
        if candidate is not None:
            answer = _answer(asked, candidate)
            if verify_in_float(answer) or _is_proved_exactly(asked.system, answer, candidate):
                return answer
    return None


def _prove(asked: _Question, candidate: Candidate | str) -> Verdict:
    """Prove the candidate; where that fails, decide exactly; where that is too large, say so."""
    system = asked.system
    guess = None if isinstance(candidate, str) else _answer(asked, candidate)
    if guess is not None and verify_in_float(guess):
        return guess
    if guess is not None and not isinstance(candidate, str):
        candidate = _with_dependencies(asked, candidate)
        related = guess if candidate.dependencies is None else _answer(asked, candidate)
        if related is not guess and verify_in_float(related):
            return related
        exact = _lifted(asked, candidate)
        if exact is not None and exact.kind is not Kind.UNDECIDED:
            return exact
        if _is_proved_exactly(system, guess, candidate):
            return guess
    noise = _lifted_noise(asked)
    if noise is not None and noise.kind is not Kind.UNDECIDED:
        return noise
    try:
        rational = certify_exactly(system)
    except (TooLargeError, MemoryLimitError) as limit:
        found = candidate if isinstance(candidate, str) else "the float proof did not close"
        reason = f"{found}; and the exact method stopped: {limit}{_near_dependence(system)}"
        return _kind_alone(asked, guess) or replace(
            asked.open, margin=0.0 if guess is None else guess.margin, reason=reason
        )
    return _in_rational_numbers(asked, rational)


def _in_rational_numbers(asked: _Question, rational: Candidate, *, in_floats: bool = True) -> Verdict:
    """What exact vectors prove: in floats near them where that may close, else in rational numbers; or undecided."""
    exact = _answer(asked, rational)
    if in_floats:
        light = replace(exact, certificate=elaborate(exact, asked.balance.undone(rounded(rational)), asked.as_given))
        if verify_in_float(light):
            return light
    check = verify(exact, exact=True)
    if check:
        return exact
    return replace(asked.open, reason=f"the exact certificate was not proved: {check.reason}")


def _kind_alone(asked: _Question, guess: Verdict | None) -> Verdict | None:
    """The kind and bounds on the dimension, where these can be proved although the dimension cannot."""
    if asked.system.budget.is_over:
        return None
    claims = [] if guess is None or guess.kind in (Kind.EMPTY, Kind.SINGLETON) else [_without_dimension(asked, guess)]
    claims += [] if asked.open.x is None else _counted(asked)
    for claim in claims:
        if verify_in_float(claim):
            return claim
    return None


def _without_dimension(asked: _Question, guess: Verdict) -> Verdict:
    """The guess, of whose dimension only what the number of rows says is claimed."""
    face = guess.certificate.tangent
    implicit = NO_ROWS if face is None or face.multipliers is None else face.multipliers.rows
    equal = asked.system.live(asked.system.positive)
    coordinates = _fixed_coordinates(asked.as_given)
    rows = np.union1d(np.concatenate([equal, asked.open.layer.outputs + coordinates]), implicit)
    n = asked.system.layer.inputs
    return _bounded_by(guess, guess.certificate, max(1, n - len(rows)), n - len(coordinates))


def _counted(asked: _Question) -> Iterator[Verdict]:
    """What follows from fewer rows than the coordinates that they read: more than one point, or a line."""
    system, n = asked.system, asked.system.layer.inputs
    most = n - len(_fixed_coordinates(asked.as_given))
    far = system.at_infinity
    cones = [(Kind.UNBOUNDED, np.concatenate([far.positive, far.inequalities]))]
    if system.domain.is_box_bounded:
        cones = [(Kind.BOUNDED, np.concatenate([system.positive, system.tight]))]
    for kind, numbers in cones:
        coordinate, _ = system.coordinates(numbers)
        free = np.setdiff1d(np.arange(n), coordinate)
        inside, least = undetermined(system.rows(numbers[coordinate < 0]), free)
        if least:
            answer = replace(asked.open, kind=kind, margin=0.0)
            yield _bounded_by(answer, Certificate(kind, None, counted=inside), least, most)


def _fixed_coordinates(system: MixedSystem) -> IntArray:
    return np.flatnonzero(system.domain.low == system.domain.high)


def _bounded_by(answer: Verdict, certificate: Certificate, least: int, most: int) -> Verdict:
    reason = f"the dimension is too large a rank to prove: it lies in {least} to {most}"
    return replace(
        answer,
        dimension=None,
        dimension_bounds=(least, most),
        certificate=replace(certificate, dimension=None),
        reason=reason,
    )


def _with_dependencies(asked: _Question, candidate: Candidate) -> Candidate:
    """The candidate with relations between rows of the layer, where there are any that ranks may depend on."""
    found = None if candidate.kind is Kind.EMPTY else find_dependencies(asked.open.layer.weight)
    return candidate if found is None else replace(candidate, dependencies=found)


def _lifted(asked: _Question, candidate: Candidate) -> Verdict | None:
    """The answer with vectors in rational numbers, where rows depend on each other and that is in reach."""
    if candidate.kind is Kind.EMPTY or candidate.point is not None or asked.system.layer.inputs > MAX_DIMENSION:
        return None
    try:
        exact = lifted(asked.system, candidate)
    except (TooLargeError, MemoryLimitError):
        return None
    # vectors near those that did not do close no proof of the same claim
    same = exact is not None and exact.dimension == candidate.dimension
    return None if exact is None else _in_rational_numbers(asked, exact, in_floats=not same)


def _lifted_noise(asked: _Question) -> Verdict | None:
    """The answer where rows depend on each other but for their roundings, if that is so and in reach."""
    if asked.open.x is None:
        return None
    try:
        candidate = candidate_of_noise(asked.system)
    except (TooLargeError, MemoryLimitError):
        return None
    return None if candidate is None else _lifted(asked, candidate)


def _near_dependence(system: MixedSystem) -> str:
    """What makes a system hard, where it is that: rows that depend on each other but for their rounding."""
    P, n = system.positive, system.layer.inputs
    left = system.budget.left()
    if not 0 < len(P) * n <= MAX_ENTRIES or (left is not None and modular_seconds(len(P), n) > left):
        return ""
    rows = dense(system.rows(P))
    exact, seen = modular_rank(rows), numerical_rank(rows, RESOLVED)
    if exact <= seen:
        return ""
    return (
        f". The {len(P)} positive rows have rank {exact}, but rank {seen} up to rounding, as products of smaller "
        "matrices have: what is asked hangs on the last digits of the weights"
    )


def _is_proved_exactly(system: MixedSystem, answer: Verdict, candidate: Candidate) -> bool:
    """Whether an answer is proved by rational numbers, where that is in reach."""
    if isinstance(candidate.infeasible, Inconsistent):  # a rank modulo a prime
        return bool(verify(answer, exact=True))
    if system.layer.inputs > MAX_DIMENSION:
        return False
    try:
        system.budget.check_exact(exact_proof_seconds(system, candidate), "an exact proof")
    except TooLargeError:
        return False
    return bool(verify(answer, exact=True))


def _answer(asked: _Question, candidate: Candidate) -> Verdict:
    """The verdict of a candidate about the scaled system."""
    as_asked = asked.balance.undone(candidate)
    answer = replace(
        asked.open,
        kind=candidate.kind,
        dimension=candidate.dimension,
        margin=margin(asked.system, candidate),
        reason=describe_empty(asked.as_given, as_asked) if candidate.kind is Kind.EMPTY else "",
    )
    return replace(answer, certificate=elaborate(answer, as_asked, asked.as_given))


__all__ = ["check_memory", "decide", "decide_at_input", "decide_narrow"]
