"""Proving verdicts: from a system, an input or an output, and a certificate that nobody vouches for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from fiberscope.checker.certificates import Certificate, Reader, Scaling
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
from fiberscope.checker.system import AtInputs, Rows, Sides, System, sides_of

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

    def scaled(self, scaling: Scaling) -> Claim:
        """The same claim in scaled rows and coordinates."""
        if not (scaling.rows.any() or scaling.columns.any()):
            return self
        units = -scaling.rows[: len(self.within)]
        low, high, within = (
            None if side is None else scaled_exactly(side, units)
            for side in (self.output_low, self.output_high, self.within)
        )
        x = None if self.x is None else scaled_exactly(self.x, -scaling.columns)
        return replace(self, x=x, output_low=low, output_high=high, within=within)


@dataclass(frozen=True)
class Finding:
    """What is proved of a claim.

    Attributes:
        reason: why it is not proved; empty where it is.
        radius: if it is, a bound on the distance of every point of the preimage from a center that was given; inf where
            there is none.
    """

    reason: str
    radius: float = np.inf


def prove(system: System, claims: Sequence[Claim], *, exact: bool = False) -> list[str]:
    """Why each claim about a system is not proved; empty where it is. See ``measure``."""
    return [found.reason for found in measure(system, claims, [None] * len(claims), exact=exact)]


def measure(
    system: System, claims: Sequence[Claim], centers: Sequence[FloatArray | None], *, exact: bool = False
) -> list[Finding]:
    """Prove claims about a system, and how large their preimages are at most.

    Args:
        system: the layer and its domain.
        claims: any number of them; those that share a certificate, or parts of one, are proved together.
        centers: (n,) each: x itself where a claim is about an input, else any point; None where no size is asked for.
        exact: use rational arithmetic only; else float64 with rigorous error bounds only.
    """
    if flushes_subnormal_numbers():
        return [Finding("this thread flushes subnormal numbers to zero, so no error bound holds")] * len(claims)
    if failures := _attempt(lambda: system.check() or []):
        return failures * len(claims)
    return _Proving(system, exact).findings(claims, centers)


def radii(system: System, claims: Sequence[Claim], centers: Sequence[FloatArray]) -> list[float]:
    """Proved bounds on the distance of every point of a preimage from a point, by floats or else by rational numbers.

    inf where a claim is not proved, or its certificate gives no bound.
    """
    found = measure(system, claims, centers)
    left = [k for k, finding in enumerate(found) if finding.reason]
    again = measure(system, [claims[k] for k in left], [centers[k] for k in left], exact=True) if left else []
    return [finding.radius for finding in ({**dict(enumerate(found)), **dict(zip(left, again, strict=True))}).values()]


class _Proving:
    """Claims about one system."""

    def __init__(self, system: System, rational: bool) -> None:
        self.system, self.rational, self.reader = system, rational, Reader(*system.shape)
        self.conditions: dict[bytes, Conditions] = {}
        self.scaled: dict[bytes, tuple[Rows, dict[object, object]]] = {}

    def findings(self, claims: Sequence[Claim], centers: Sequence[FloatArray | None]) -> list[Finding]:
        """What is proved of each."""
        out = [_attempt(lambda claim=claim: [Finding(self._misread(claim))])[0] for claim in claims]
        together: dict[Rows, dict[bytes, list[int]]] = {}
        for k, (claim, center) in enumerate(zip(claims, centers, strict=True)):
            if not out[k].reason and claim.x is not None:
                rows = self.conditions[claim.certificate].rows
                together.setdefault(rows, {}).setdefault(claim.certificate, []).append(k)
            elif not out[k].reason:
                out[k] = _attempt(lambda claim=claim, center=center: [self._at_output(claim, center)])[0]
        for rows, by_certificate in together.items():
            rows.share(_independent([self.conditions[data].certificate for data in by_certificate]))
            members = [k for some in by_certificate.values() for k in some]
            for start in range(0, len(members), BLOCK):
                some = members[start : start + BLOCK]
                found = _each(self._at_inputs, [(claims[k], centers[k]) for k in some])
                for k, finding in zip(some, found, strict=True):
                    out[k] = finding
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
            return f"the kind is {claim.kind[:20]}: nothing is claimed that can be proved"
        if (claim.within[self.system.monotone] > 0).any():
            return "outputs of strictly monotone activations must be known exactly"
        certificate = self._conditions(claim.certificate).certificate
        if certificate.kind != claim.kind:
            return f"the certificate is about kind {certificate.kind}, the verdict says {claim.kind}"
        if certificate.dimension not in (None, claim.dimension):
            return f"the certificate is about dimension {certificate.dimension}, the verdict says {claim.dimension}"
        least, most = claim.bounds
        lowest, highest = DIMENSIONS[claim.kind]
        open_above = claim.dimension is None and claim.kind != "empty"
        fits = lowest <= least <= most and (open_above or most <= highest)
        return "" if fits else f"a preimage of kind {claim.kind} cannot have dimension {claim.dimension}"

    def _conditions(self, data: bytes) -> Conditions:
        if data not in self.conditions:
            certificate = self.reader.read(data)
            key = certificate.scaling.rows.tobytes() + certificate.scaling.columns.tobytes()
            if key not in self.scaled:
                self.scaled[key] = Rows(self.system.scaled(certificate.scaling), rational=self.rational), {}
            rows, known = self.scaled[key]
            self.conditions[data] = Conditions(rows, certificate, known)
        return self.conditions[data]

    def _at_inputs(self, asked: Sequence[tuple[Claim, FloatArray | None]]) -> list[Finding]:
        """About inputs in one scaling: their cones are found together."""
        scaling = self._conditions(asked[0][0].certificate).certificate.scaling
        claims = [claim.scaled(scaling) for claim, _ in asked]
        X, within = np.stack([c.x for c in claims if c.x is not None]), np.stack([c.within for c in claims])
        here = self._conditions(claims[0].certificate).rows.cones_at(X, within)
        out: dict[int, Finding] = {}

        def proved(places: Sequence[int]) -> list[Finding]:
            conditions, there = self._conditions(claims[places[0]].certificate), here[places]
            proof = conditions.at_inputs(there.tangent, there.recession)
            reasons = [proof.failure(i, claims[k].kind, *claims[k].bounds) for i, k in enumerate(places)]
            return [
                _sized(reason, conditions, claims[k], asked[k][1], lambda i=i: there[[i]])
                if there.inside[i]
                else Finding("x lies outside the domain")
                for (i, k), reason in zip(enumerate(places), reasons, strict=True)
            ]

        alike: dict[bytes, list[int]] = {}
        for k, claim in enumerate(claims):
            alike.setdefault(claim.certificate, []).append(k)
        for places in alike.values():
            out |= dict(zip(places, _each(proved, places), strict=True))
        return [out[k] for k in range(len(claims))]

    def _at_output(self, claim: Claim, center: FloatArray | None) -> Finding:
        conditions = self._conditions(claim.certificate)
        claim = claim.scaled(conditions.certificate.scaling)
        assert claim.output_low is not None, "a claim has an input or an output"
        assert claim.output_high is not None, "both sides are given"
        sides = sides_of(conditions.rows, claim.output_low, claim.output_high, claim.within)
        if claim.kind == "empty":
            return Finding(conditions.contradiction(sides))
        if sides.contradiction:
            return Finding("the output is that of no input")
        reason = conditions.at_output(sides).failure(0, claim.kind, *claim.bounds)
        return _sized(reason, conditions, claim, center, lambda: sides)


def _independent(certificates: Sequence[Certificate]) -> list[IntArray]:
    """Rows that directions are said to be held by independently, on all columns; each such set once."""
    directions = [face.direction for c in certificates for face in (c.tangent, c.recession) if face.direction]
    sets = [part.held if part.basis is None else part.basis for part in directions if part.sigma > 0]
    return list({numbers.tobytes(): numbers for numbers in sets}.values())


def _sized(
    reason: str, conditions: Conditions, claim: Claim, center: FloatArray | None, known: Callable[[], AtInputs | Sides]
) -> Finding:
    """The finding about a claim, in scaled numbers; if it is proved, and a center given, with a radius."""
    if reason or center is None or claim.kind not in ("singleton", "bounded"):
        return Finding(reason)
    found = _attempt(lambda: [Finding("", _radius(conditions, claim, known(), center))])[0]
    return found if not found.reason and found.radius >= 0.0 else Finding("")


def _radius(conditions: Conditions, claim: Claim, known: AtInputs | Sides, center: FloatArray) -> float:
    """A bound on the distance from a center, of a claim that is proved."""
    rows, units = conditions.rows, conditions.certificate.scaling.columns
    beside, lengths = scaled_exactly(center, -units), np.ldexp(1.0, units)
    if not ((lengths > 0) & (lengths < np.inf)).all():
        return np.inf
    apart, output = 0.0, None
    if isinstance(known, Sides):
        if claim.kind == "singleton":
            return conditions.distance(beside, lengths, known)
        x, products, recession = beside, rows.stack @ beside, known.cones(rows.nonzero)[1]
        output = claim.output_low, claim.output_high
    else:
        x, products, recession = claim.x, known.products[0], known.recession
        if (beside != x).any():  # products may vanish, and are not 0
            apart = norm_above((beside - x) * lengths) * ROUNDING
        if claim.kind == "singleton":
            return apart
    around = conditions.radius(gaps(rows, x, products, output, claim.within, recession), recession, lengths)
    return (apart + around) * ROUNDING


def _each(prove: Callable[[Sequence[Asked]], list[Finding]], asked: Sequence[Asked]) -> list[Finding]:
    """What proofs say about many that are tried together; what fails for one of them says nothing of the others."""
    found = _attempt(lambda: prove(asked))
    return found if len(found) == len(asked) else [_attempt(lambda one=one: prove([one]))[0] for one in asked]


def _attempt(proof: Callable[[], list[Finding]]) -> list[Finding]:
    """What a proof finds, or why it fails; garbage may fail anywhere, and must never look like a proof or a crash."""
    try:
        with np.errstate(all="ignore"):
            return proof()
    except NotProvedError as failure:
        return [Finding(str(failure))]
    except Exception as error:
        return [Finding(f"the certificate is malformed: {type(error).__name__}: {error}")]
