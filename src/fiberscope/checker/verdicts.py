"""Proving verdicts: from a system, an input or an output, and a certificate that nobody vouches for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

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


@dataclass(frozen=True, eq=False)
class Claim:
    """The preimage of an output, given by an input or itself, has this kind and this dimension.

    Attributes:
        x: (n,) the input, or None.
        output_low: (m,) where the output lies, or None.
        output_high: (m,)
        within: (m,) by how much it may differ from the output at x, or from these.
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
        by_unit, by_column = -scaling[0][: len(self.within)], -scaling[1]
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
        together: dict[tuple[bytes, bytes], list[int]] = {}
        for k, claim in enumerate(claims):
            out[k] = _attempt(lambda claim=claim: [self._misread(claim)])[0]
            if not out[k] and claim.x is not None:
                together.setdefault((claim.certificate, claim.within.tobytes()), []).append(k)
            elif not out[k]:
                out[k] = _attempt(lambda claim=claim: [self._at_output(claim)])[0]
        for members in together.values():
            for start in range(0, len(members), BLOCK):
                some = members[start : start + BLOCK]
                found = _attempt(lambda some=some: self._at_inputs([claims[k] for k in some]))
                if len(found) < len(some):  # what fails for one sample says nothing of the others
                    found = [_attempt(lambda k=k: self._at_inputs([claims[k]]))[0] for k in some]
                for k, reason in zip(some, found, strict=True):
                    out[k] = reason
        return out

    def _misread(self, claim: Claim) -> str:
        """Why a claim contradicts itself or its certificate; empty if it does not."""
        m, n, _ = self.system.shape
        x, low, high = claim.x, claim.output_low, claim.output_high
        for values, length, finite in ((x, n, True), (low, m, False), (high, m, False), (claim.within, m, True)):
            if values is not None and (values.dtype != np.float64 or values.shape != (length,)):
                return f"an input, an output or a precision is not made of {length} float64 numbers"
            if values is not None and not (np.isfinite(values) if finite else ~np.isnan(values)).all():
                return "an input, an output or a precision holds NaN or infinite numbers"
        if (x is None) != (low is not None) or (low is None) != (high is None) or (claim.within < 0).any():
            return "exactly one of an input and an output must be given, and a precision that is not negative"
        if low is not None and high is not None and not ((low <= high) & (low < np.inf) & (high > -np.inf)).all():
            return "the output lies in no interval"
        if claim.kind not in DIMENSIONS:
            return "the kind is none that can be proved"
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

    def _conditions(self, certificate: Certificate) -> tuple[Rows, Conditions]:
        scaling = certificate.scaling
        key = b"" if scaling is None else b"".join(part.tobytes() for part in scaling)
        if key not in self.rows:
            self.rows[key], self.known[key] = Rows(self.system.scaled(scaling), self.arithmetic), {}
        rows = self.rows[key]
        return rows, Conditions(rows, certificate.scaled(rows.m, rows.n), self.known[key])

    def _at_inputs(self, claims: list[Claim]) -> list[str]:
        certificate = self._certificate(claims[0].certificate)
        if certificate.kind == "empty":
            return ["a preimage given by an input holds it"] * len(claims)
        rows, conditions = self._conditions(certificate)
        scaled = [claim.scaled(certificate.scaling) for claim in claims]
        tangent, recession, inside = rows.cones_at(np.stack([c.x for c in scaled if c.x is not None]), scaled[0].within)
        proof = conditions.at_inputs(tangent, recession)
        return [
            proof.failure(i, claim.kind, *claim.bounds) if inside[i] else "x lies outside the domain"
            for i, claim in enumerate(claims)
        ]

    def _at_output(self, claim: Claim) -> str:
        certificate = self._certificate(claim.certificate)
        rows, conditions = self._conditions(certificate)
        sides = _sides(rows, claim.scaled(certificate.scaling))
        if claim.kind == "empty":
            return conditions.contradiction(sides)
        if sides.contradiction:
            return "the output is that of no input"
        return conditions.at_output(sides).failure(0, claim.kind, *claim.bounds)

    def radius(self, claim: Claim, center: FloatArray) -> float:
        """A bound on the distance from a center, of a claim that is proved."""
        certificate = self._certificate(claim.certificate)
        rows, conditions = self._conditions(certificate)
        asked = claim.scaled(certificate.scaling)
        units = np.zeros(rows.n, dtype=np.int64) if certificate.scaling is None else certificate.scaling[1]
        beside, lengths = scaled_exactly(center, -units), np.ldexp(1.0, units)
        if not ((lengths > 0) & (lengths < np.inf)).all():
            return np.inf
        if asked.x is not None:
            apart = norm_above((beside - asked.x) * lengths) * ROUNDING
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


def _attempt(proof: Callable[[], Any]) -> list[str]:
    """What a proof says; garbage in a certificate may fail anywhere, and must never look like a proof or a crash."""
    try:
        with np.errstate(all="ignore"):
            return proof()
    except NotProvedError as failure:
        return [str(failure)]
    except Exception as error:
        return [f"the certificate is malformed: {type(error).__name__}: {error}"]
