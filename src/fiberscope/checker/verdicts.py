"""Proving verdicts: from a system, an input or an output, and a certificate that nobody vouches for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from fiberscope.checker.arithmetic import Arithmetic, Float, Rational
from fiberscope.checker.certificates import Certificate, Reader
from fiberscope.checker.conditions import Conditions
from fiberscope.checker.matrices import (
    ROUNDING,
    FloatArray,
    IntArray,
    NotProvedError,
    flushes_subnormal_numbers,
    norm_above,
    scaled_exactly,
)
from fiberscope.checker.radius import gaps
from fiberscope.checker.system import Rows, Sides, System, sides_of

BLOCK = 1024
"""Samples whose signs are settled at once."""
DIMENSIONS = {"empty": (-1, -1), "singleton": (0, 0), "bounded": (1, 2**62), "unbounded": (1, 2**62)}
"""What each kind says of the dimension."""


Asked = TypeVar("Asked")


@dataclass(frozen=True, eq=False)
class Claim:
    """The preimage of an output, given by an input or itself, has this kind and this dimension.

    Attributes:
        x: (n,) the input, or None.
        output_low: (m,) where the output lies, or None.
        output_high: (m,)
        within: (m,) by how much it may differ from the output at x, or from these; beside x also (2, m), by how much
            below and above, inf for no side.
        kind: empty, singleton, bounded or unbounded.
        dimension: the dimension, or None.
        dimension_bounds: bounds on it, where it is None; None for any.
        certificate: a block of bytes, as ``docs/certificates.md`` specifies it.
    """

    x: FloatArray | None
    output_low: FloatArray | None
    output_high: FloatArray | None
    within: FloatArray
    kind: str
    dimension: int | None
    dimension_bounds: tuple[int, int] | None
    certificate: bytes

    @property
    def bounds(self) -> tuple[int, int]:
        """What is claimed of the dimension."""
        if self.dimension is not None:
            return self.dimension, self.dimension
        return DIMENSIONS[self.kind] if self.dimension_bounds is None else self.dimension_bounds

    def scaled(self, scaling: tuple[IntArray, IntArray] | None) -> Claim:
        """The same claim in scaled rows and coordinates."""
        if scaling is None:
            return self
        by_unit, by_column = -scaling[0][: self.within.shape[-1]], -scaling[1]
        low, high, within = (
            None if side is None else scaled_exactly(side, by_unit)
            for side in (self.output_low, self.output_high, self.within)
        )
        x = None if self.x is None else scaled_exactly(self.x, by_column)
        return replace(self, x=x, output_low=low, output_high=high, within=within)


def prove(system: System, claims: Sequence[Claim], *, exact: bool = False) -> list[str]:
    """Why each claim about a system is not proved; empty where it is.

    Args:
        system: the layer and its domain.
        claims: any number of them; those that share a certificate, or parts of one, are proved together.
        exact: use rational arithmetic only; else float64 with rigorous error bounds only.
    """
    arithmetic = Rational() if exact else Float()
    if flushes_subnormal_numbers():
        return ["this thread flushes subnormal numbers to zero, so no error bound holds"] * len(claims)
    whole = _attempt(lambda: system.check() or [""])
    if whole != [""]:
        return whole * len(claims)
    return _Proving(system, arithmetic).reasons(claims)


def radii(system: System, claims: Sequence[Claim], centers: Sequence[FloatArray]) -> list[float]:
    """Proved bounds on the distance of every point of a preimage from a point (n,): x itself, or one beside an output.

    inf where a claim is not proved, or its certificate gives no bound.
    """
    out, left = [np.inf] * len(claims), list(range(len(claims)))
    for arithmetic in (Float(), Rational()):
        proving = _Proving(system, arithmetic)
        reasons = dict(zip(left, proving.reasons([claims[k] for k in left]), strict=True))
        for k in [k for k in left if not reasons[k]]:
            found = _attempt(lambda k=k, proving=proving: [proving.radius(claims[k], centers[k])])[0]
            out[k] = found if isinstance(found, float) and found >= 0.0 else np.inf
        left = [k for k in left if reasons[k]]
    return out


class _Proving:
    """Claims about one system."""

    def __init__(self, system: System, arithmetic: Arithmetic) -> None:
        self.system, self.arithmetic = system, arithmetic
        self.reader = Reader(*system.shape)
        self.certificates: dict[bytes, Certificate] = {}
        self.rows: dict[bytes, Rows] = {}
        self.known: dict[bytes, dict[object, object]] = {}

    def reasons(self, claims: Sequence[Claim]) -> list[str]:
        """Why each claim is not proved."""
        out = [""] * len(claims)
        together: dict[tuple[bytes, bytes], dict[bytes, list[int]]] = {}
        for k, claim in enumerate(claims):
            out[k] = _attempt(lambda claim=claim: [self._misread(claim)])[0]
            if not out[k] and claim.x is not None:
                alike = together.setdefault((self._units(claim), claim.within.tobytes()), {})
                alike.setdefault(claim.certificate, []).append(k)
            elif not out[k]:
                out[k] = _attempt(lambda claim=claim: [self._at_output(claim)])[0]
        for by_certificate in together.values():
            members = [k for some in by_certificate.values() for k in some]
            for start in range(0, len(members), BLOCK):
                some = members[start : start + BLOCK]
                for k, reason in zip(some, _each(self._at_inputs, [claims[k] for k in some]), strict=True):
                    out[k] = reason
        return out

    def _misread(self, claim: Claim) -> str:
        """Why a claim contradicts itself or its certificate; empty if it does not."""
        m, n, _ = self.system.shape
        x, low, high, within = claim.x, claim.output_low, claim.output_high, claim.within
        apart = within.ndim == 2 and x is not None
        if apart and within.shape == (2, m) and ((within == 0) != (within == 0).all(axis=0)).any():
            return "a precision must be 0 on both sides, or on neither"
        slack = [(side, m, False) for side in within] if apart and len(within) == 2 else [(within, m, True)]
        for values, length, finite in ((x, n, True), (low, m, False), (high, m, False), *slack):
            if values is not None and (values.dtype != np.float64 or values.shape != (length,)):
                return f"an input, an output or a precision is not made of {length} float64 numbers"
            if values is not None and not (np.isfinite(values) if finite else ~np.isnan(values)).all():
                return "an input, an output or a precision holds NaN or infinite numbers"
        if (x is None) != (low is not None) or (low is None) != (high is None) or (within < 0).any():
            return "exactly one of an input and an output must be given, and a precision that is not negative"
        if low is not None and high is not None and not ((low <= high) & (low < np.inf) & (high > -np.inf)).all():
            return "the output lies in no interval"
        if claim.kind not in DIMENSIONS:
            return f"the kind is {claim.kind[:20]}: nothing is claimed that can be proved"
        certificate = self._certificate(claim.certificate)
        if certificate.kind != claim.kind:
            return f"the certificate is about kind {certificate.kind}, the verdict says {claim.kind}"
        if certificate.dimension not in (None, claim.dimension):
            return f"the certificate is about dimension {certificate.dimension}, the verdict says {claim.dimension}"
        least, most = claim.bounds
        lowest, highest = DIMENSIONS[claim.kind]
        open_above = claim.dimension is None and claim.kind != "empty"
        fits = lowest <= least <= most and (open_above or most <= highest)
        return "" if fits else f"a preimage of kind {claim.kind} cannot have dimension {claim.dimension}"

    def _certificate(self, data: bytes) -> Certificate:
        if data not in self.certificates:
            self.certificates[data] = self.reader.read(data)
        return self.certificates[data]

    def _units(self, claim: Claim) -> bytes:
        scaling = self._certificate(claim.certificate).scaling
        return b"" if scaling is None else b"".join(part.tobytes() for part in scaling)

    def _rows(self, claim: Claim) -> Rows:
        key = self._units(claim)
        if key not in self.rows:
            scaling = self._certificate(claim.certificate).scaling
            self.rows[key], self.known[key] = Rows(self.system.scaled(scaling), self.arithmetic), {}
        return self.rows[key]

    def _conditions(self, claim: Claim) -> Conditions:
        rows, certificate = self._rows(claim), self._certificate(claim.certificate)
        return Conditions(rows, certificate.scaled(rows.m, rows.n), self.known[self._units(claim)])

    def _at_inputs(self, claims: Sequence[Claim]) -> list[str]:
        """About inputs in one scaling, with outputs known to one precision: their cones are found together."""
        scaling = self._certificate(claims[0].certificate).scaling
        scaled = [claim.scaled(scaling) for claim in claims]
        X = np.stack([c.x for c in scaled if c.x is not None])
        tangent, recession, inside = self._rows(claims[0]).cones_at(X, scaled[0].within)

        def proved(places: Sequence[int]) -> list[str]:
            if claims[places[0]].kind == "empty":
                return ["a preimage given by an input holds it"] * len(places)
            proof = self._conditions(claims[places[0]]).at_inputs(tangent[places], recession[places])
            return [
                proof.failure(i, claims[k].kind, *claims[k].bounds) if inside[k] else "x lies outside the domain"
                for i, k in enumerate(places)
            ]

        alike: dict[bytes, list[int]] = {}
        for k, claim in enumerate(claims):
            alike.setdefault(claim.certificate, []).append(k)
        found = {
            k: reason for places in alike.values() for k, reason in zip(places, _each(proved, places), strict=True)
        }
        return [found[k] for k in range(len(claims))]

    def _at_output(self, claim: Claim) -> str:
        rows, conditions = self._rows(claim), self._conditions(claim)
        sides = _sides(rows, claim.scaled(self._certificate(claim.certificate).scaling))
        if claim.kind == "empty":
            return conditions.contradiction(sides)
        if sides.contradiction:
            return "the output is that of no input"
        return conditions.at_output(sides).failure(0, claim.kind, *claim.bounds)

    def radius(self, claim: Claim, center: FloatArray) -> float:
        """A bound on the distance from a center, of a claim that is proved."""
        certificate = self._certificate(claim.certificate)
        rows, conditions = self._rows(claim), self._conditions(claim)
        asked = claim.scaled(certificate.scaling)
        units = np.zeros(rows.n, dtype=np.int64) if certificate.scaling is None else certificate.scaling[1]
        beside, lengths = scaled_exactly(center, -units), np.ldexp(1.0, units)
        if not ((lengths > 0) & (lengths < np.inf)).all():
            return np.inf
        if asked.x is not None:
            elsewhere = bool((beside != asked.x).any())  # products may vanish, and are not 0
            apart = norm_above((beside - asked.x) * lengths) * ROUNDING if elsewhere else 0.0
            if claim.kind == "singleton":
                return apart
            recession = rows.cones_at(asked.x[None], asked.within)[1]
            around = conditions.radius(gaps(rows, asked.x, None, asked.within, recession), recession, lengths)
            return (apart + around) * ROUNDING
        sides = _sides(rows, asked)
        if claim.kind == "singleton":
            return conditions.distance(beside, lengths, sides)
        recession, output = sides.cones(rows.nonzero)[1], (asked.output_low, asked.output_high)
        return conditions.radius(gaps(rows, beside, output, asked.within, recession), recession, lengths)


def _sides(rows: Rows, claim: Claim) -> Sides:
    assert claim.output_low is not None, "a claim has an input or an output"
    assert claim.output_high is not None, "both sides are given"
    return sides_of(rows, claim.output_low, claim.output_high, claim.within)


def _each(prove: Callable[[Sequence[Asked]], list[str]], asked: Sequence[Asked]) -> list[str]:
    """What proofs say about many that are tried together; what fails for one of them says nothing of the others."""
    found = _attempt(lambda: prove(asked))
    return found if len(found) == len(asked) else [_attempt(lambda one=one: prove([one]))[0] for one in asked]


def _attempt(proof: Callable[[], Any]) -> list[Any]:
    """What a proof finds, or why it fails; garbage may fail anywhere, and must never look like a proof or a crash."""
    try:
        with np.errstate(all="ignore"):
            return proof()
    except NotProvedError as failure:
        return [str(failure)]
    except Exception as error:
        return [f"the certificate is malformed: {type(error).__name__}: {error}"]
