"""Proving verdicts: from a system, an input or an output, and a certificate that nobody vouches for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.checker.arithmetic import Arithmetic, Float, Rational
from fiberscope.checker.certificates import Certificate, Reader
from fiberscope.checker.conditions import Conditions
from fiberscope.checker.matrices import FloatArray, NotProvedError, flushes_subnormal_numbers, scaled_exactly
from fiberscope.checker.system import Rows, System, sides_of

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
                for k, reason in zip(some, found if len(found) == len(some) else found * len(some), strict=True):
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
        least, most = _bounds(claim)
        lowest, highest = DIMENSIONS[claim.kind]
        fits = least <= most and lowest <= least and (claim.dimension is None or most <= highest)
        return "" if fits else f"a preimage of kind {claim.kind} cannot have dimension {claim.dimension}"

    def _certificate(self, data: bytes) -> Certificate:
        if data not in self.certificates:
            self.certificates[data] = self.reader.read(data)
        return self.certificates[data]

    def _rows(self, certificate: Certificate) -> tuple[Rows, dict[object, object]]:
        scaling = certificate.scaling
        key = b"" if scaling is None else b"".join(part.tobytes() for part in scaling)
        if key not in self.rows:
            self.rows[key], self.known[key] = Rows(self.system.scaled(scaling), self.arithmetic), {}
        return self.rows[key], self.known[key]

    def _at_inputs(self, claims: list[Claim]) -> list[str]:
        certificate = self._certificate(claims[0].certificate)
        if certificate.kind == "empty":
            return ["a preimage given by an input holds it"] * len(claims)
        rows, known = self._rows(certificate)
        inputs, within = np.stack([c.x for c in claims if c.x is not None]), claims[0].within
        if certificate.scaling is not None:
            by_row, by_column = certificate.scaling
            inputs, within = scaled_exactly(inputs, -by_column), scaled_exactly(within, -by_row[: rows.m])
        tangent, recession, inside = rows.cones_at(inputs, within)
        proof = Conditions(rows, certificate.scaled(rows.m, rows.n), known).at_inputs(tangent, recession)
        return [
            proof.failure(i, claim.kind, *_bounds(claim)) if inside[i] else "x lies outside the domain"
            for i, claim in enumerate(claims)
        ]

    def _at_output(self, claim: Claim) -> str:
        certificate, within = self._certificate(claim.certificate), claim.within
        rows, known = self._rows(certificate)
        low, high = claim.output_low, claim.output_high
        assert low is not None
        assert high is not None
        if certificate.scaling is not None:
            low, high, within = (scaled_exactly(v, -certificate.scaling[0][: rows.m]) for v in (low, high, within))
        sides = sides_of(rows, low, high, within)
        conditions = Conditions(rows, certificate.scaled(rows.m, rows.n), known)
        if claim.kind == "empty":
            return conditions.contradiction(sides)
        if sides.contradiction:
            return "the output is that of no input"
        return conditions.at_output(sides).failure(0, claim.kind, *_bounds(claim))


def _bounds(claim: Claim) -> tuple[int, int]:
    if claim.dimension is not None:
        return claim.dimension, claim.dimension
    return DIMENSIONS[claim.kind] if claim.dimension_bounds is None else claim.dimension_bounds


def _attempt(proof: Callable[[], Any]) -> list[str]:
    """What a proof says; garbage in a certificate may fail anywhere, and must never look like a proof or a crash."""
    try:
        with np.errstate(all="ignore"):
            return proof()
    except NotProvedError as failure:
        return [str(failure)]
    except Exception as error:
        return [f"the certificate is malformed: {type(error).__name__}: {error}"]
