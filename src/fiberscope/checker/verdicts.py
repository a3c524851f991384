"""Proving verdicts: from a system, an input or an output, and a certificate that nobody vouches for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, TypeAlias, TypeVar

import numpy as np

from fiberscope.checker import matrices
from fiberscope.checker.certificates import Reader, Scaling
from fiberscope.checker.conditions import Conditions
from fiberscope.checker.matrices import FloatArray, NotProvedError, are_floats, scaled_exactly
from fiberscope.checker.system import AtInputs, Rows, Sides, System, sides_of

BLOCK = 1024
"""Samples whose signs are settled at once."""

Asked = TypeVar("Asked")


@dataclass(frozen=True, eq=False)
class Claim:
    """The preimage of an output, given by an input or itself, has this kind and this dimension.

    Attributes:
        x: (n,) the input, or None.
        output: (2, m) between which numbers the output lies, or None.
        within: (2, m) by how much it may lie below and above the output at x, or these; 0 on both sides or on neither;
            beside x inf for no side.
        kind: empty, singleton, bounded or unbounded.
        dimensions: bounds on the dimension; -1 of the empty set.
        certificate: a block of bytes, as ``docs/certificates.md`` specifies it.
    """

    x: FloatArray | None
    output: FloatArray | None
    within: FloatArray
    kind: str
    dimensions: tuple[int, int]
    certificate: bytes

    def scaled(self, scaling: Scaling) -> Claim:
        """The same claim in scaled rows and coordinates."""
        if not (scaling.rows.any() or scaling.columns.any()):
            return self
        units = -scaling.rows[: self.within.shape[1]]
        x = None if self.x is None else scaled_exactly(self.x, -scaling.columns)
        output = None if self.output is None else scaled_exactly(self.output, units)
        return replace(self, x=x, output=output, within=scaled_exactly(self.within, units))


Also: TypeAlias = Callable[[int, Conditions, Claim, Callable[[], AtInputs | Sides]], None]
"""Takes the place of a claim that is proved, its conditions, itself in scaled numbers, and what is known of it."""


def prove(system: System, claims: Sequence[Claim], *, exact: bool = False, also: Also | None = None) -> list[str]:
    """Why each claim about a system is not proved; empty where it is.

    Args:
        system: the layer and its domain.
        claims: any number of them; those that share a certificate, or parts of one, are proved together.
        exact: use rational arithmetic only; else float64 with rigorous error bounds only.
        also: is told of every claim that is proved.
    """
    if matrices.flushes_subnormal_numbers():
        return ["this thread flushes subnormal numbers to zero, so no error bound holds"] * len(claims)
    if failures := _attempt(lambda: system.check() or []):
        return failures * len(claims)
    return _Proving(system, exact, also).reasons(claims)


class _Proving:
    """Claims about one system."""

    def __init__(self, system: System, rational: bool, also: Also | None) -> None:
        self.system, self.rational, self.also, self.reader = system, rational, also, Reader(*system.shape)
        self.conditions: dict[bytes, Conditions] = {}
        self.scaled: dict[bytes, Rows] = {}

    def reasons(self, claims: Sequence[Claim]) -> list[str]:
        """Why each claim is not proved."""
        out = [_attempt(lambda claim=claim: [self._misread(claim)])[0] for claim in claims]
        together: dict[Rows, list[int]] = {}
        for k in sorted(range(len(claims)), key=lambda k: claims[k].certificate):
            if not out[k] and claims[k].x is not None:
                together.setdefault(self.conditions[claims[k].certificate].rows, []).append(k)
            elif not out[k]:
                out[k] = _attempt(lambda k=k: [self._at_output(k, claims[k])])[0]
        for members in together.values():
            for start in range(0, len(members), BLOCK):
                some = members[start : start + BLOCK]
                for k, reason in zip(some, _each(self._at_inputs, [(k, claims[k]) for k in some]), strict=True):
                    out[k] = reason
        return out

    def _misread(self, claim: Claim) -> str:
        """Why a claim contradicts itself or its certificate; empty if it does not."""
        (m, n, _), x, output, within = self.system.shape, claim.x, claim.output, claim.within
        for values, shape, finite in ((x, (n,), True), (output, (2, m), False), (within, (2, m), x is None)):
            if values is not None and not are_floats(values, *shape, finite=finite):
                return f"an input, an output or a precision is not made of {shape[-1]} float64 numbers, or of NaN"
        if (x is None) == (output is None) or not (within >= 0).all():
            return "exactly one of an input and an output must be given, and a precision that is not negative"
        if output is not None and not ((output[0] <= output[1]) & (output[0] < np.inf) & (output[1] > -np.inf)).all():
            return "the output lies in no interval"
        if within.any() and ((within == 0).any(axis=0) != (within == 0).all(axis=0)).any():
            return "a precision must be 0 on both sides, or on neither"
        certificate = self._conditions(claim.certificate).certificate
        if certificate.kind != claim.kind:
            return f"the certificate is about kind {certificate.kind}, the verdict says {claim.kind}"
        if certificate.dimension is not None and claim.dimensions != (certificate.dimension, certificate.dimension):
            return f"the certificate is about dimension {certificate.dimension}, the verdict says {claim.dimensions}"
        return ""

    def _conditions(self, data: bytes) -> Conditions:
        if data not in self.conditions:
            certificate = self.reader.read(data)
            key = certificate.scaling.rows.tobytes() + certificate.scaling.columns.tobytes()
            if key not in self.scaled:
                self.scaled[key] = Rows(self.system.scaled(certificate.scaling), rational=self.rational)
            self.conditions[data] = Conditions(self.scaled[key], certificate)
        return self.conditions[data]

    def _at_inputs(self, asked: Sequence[tuple[int, Claim]]) -> list[str]:
        """About inputs in one scaling: their cones are found together."""
        first = self._conditions(asked[0][1].certificate)
        claims = [claim.scaled(first.certificate.scaling) for _, claim in asked]
        X = np.stack([c.x for c in claims if c.x is not None])
        here = first.rows.cones_at(X, np.stack([c.within for c in claims]))
        out: list[str] = []

        def proved(places: Sequence[int]) -> list[str]:
            conditions, there = self._conditions(claims[places[0]].certificate), here[places[0] : places[-1] + 1]
            proof = conditions.at_inputs(there.tangent, there.recession)
            reasons = [
                proof.failure(i, claim.kind, *claim.dimensions) if there.inside[i] else "x lies outside the domain"
                for i, claim in enumerate(claims[k] for k in places)
            ]
            for i, k in enumerate(places):
                if self.also is not None and not reasons[i]:
                    self.also(asked[k][0], conditions, claims[k], lambda i=i: there[[i]])
            return reasons

        for _, alike in groupby(range(len(claims)), lambda k: claims[k].certificate):
            out += _each(proved, list(alike))
        return out

    def _at_output(self, k: int, claim: Claim) -> str:
        conditions = self._conditions(claim.certificate)
        claim = claim.scaled(conditions.certificate.scaling)
        assert claim.output is not None, "a claim has an input or an output"
        sides = sides_of(conditions.rows, claim.output, claim.within)
        if claim.kind == "empty":
            return conditions.contradiction(sides) if claim.dimensions == (-1, -1) else "the empty set has dimension -1"
        if sides.contradiction:
            return "the output is that of no input"
        reason = conditions.at_output(sides).failure(0, claim.kind, *claim.dimensions)
        if self.also is not None and not reason:
            self.also(k, conditions, claim, lambda: sides)
        return reason


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
        return [f"the certificate is malformed: a part of it cannot be read ({type(error).__name__})"]
