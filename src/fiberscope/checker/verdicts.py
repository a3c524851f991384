"""Proving verdicts: from a system, an input or an output, and a certificate that nobody vouches for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, TypeAlias, TypeVar

import numpy as np

from fiberscope.checker.certificates import Reader, Scaling
from fiberscope.checker.conditions import Conditions
from fiberscope.checker.matrices import FloatArray, NotProvedError, flushes_subnormal_numbers, is_vector, scaled_exactly
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

    def scaled(self, scaling: Scaling) -> Claim:
        """The same claim in scaled rows and coordinates."""
        if not (scaling.rows.any() or scaling.columns.any()):
            return self
        units = -scaling.rows[: self.within.shape[-1]]
        low, high, within = (
            None if side is None else scaled_exactly(side, units)
            for side in (self.output_low, self.output_high, self.within)
        )
        x = None if self.x is None else scaled_exactly(self.x, -scaling.columns)
        return replace(self, x=x, output_low=low, output_high=high, within=within)


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
    if flushes_subnormal_numbers():
        return ["this thread flushes subnormal numbers to zero, so no error bound holds"] * len(claims)
    if failures := _attempt(lambda: system.check() or []):
        return failures * len(claims)
    return _Proving(system, exact, also).reasons(claims)


class _Proving:
    """Claims about one system."""

    def __init__(self, system: System, rational: bool, also: Also | None) -> None:
        self.system, self.rational, self.also, self.reader = system, rational, also, Reader(*system.shape)
        self.conditions: dict[bytes, Conditions] = {}
        self.scaled: dict[bytes, tuple[Rows, dict[object, Any]]] = {}

    def reasons(self, claims: Sequence[Claim]) -> list[str]:
        """Why each claim is not proved."""
        out = [_attempt(lambda claim=claim: [self._misread(claim)])[0] for claim in claims]
        together: dict[Rows, dict[bytes, list[int]]] = {}
        for k, claim in enumerate(claims):
            if not out[k] and claim.x is not None:
                rows = self.conditions[claim.certificate].rows
                together.setdefault(rows, {}).setdefault(claim.certificate, []).append(k)
            elif not out[k]:
                out[k] = _attempt(lambda k=k, claim=claim: [self._at_output(k, claim)])[0]
        for rows, alike in together.items():
            shared = [self.conditions[data].certificate for data in alike]
            _attempt(lambda rows=rows, shared=shared: [rows.share(shared)])
            members = [k for some in alike.values() for k in some]
            for start in range(0, len(members), BLOCK):
                some = members[start : start + BLOCK]
                for k, reason in zip(some, _each(self._at_inputs, [(k, claims[k]) for k in some]), strict=True):
                    out[k] = reason
        return out

    def _misread(self, claim: Claim) -> str:
        """Why a claim contradicts itself or its certificate; empty if it does not."""
        m, n, _ = self.system.shape
        x, low, high, within = claim.x, claim.output_low, claim.output_high, claim.within
        apart = within.shape == (2, m) and x is not None
        slack = [(side, m, False) for side in within] if apart else [(within, m, True)]
        for values, length, finite in ((x, n, True), (low, m, False), (high, m, False), *slack):
            if values is not None and not is_vector(values, length, finite=finite):
                return f"an input, an output or a precision is not made of {length} float64 numbers, or of NaN"
        if (x is None) != (low is not None) or (low is None) != (high is None) or (within < 0).any():
            return "exactly one of an input and an output must be given, and a precision that is not negative"
        if low is not None and high is not None and not ((low <= high) & (low < np.inf) & (high > -np.inf)).all():
            return "the output lies in no interval"
        if claim.kind not in DIMENSIONS:
            return f"the kind is {claim.kind[:20]}: nothing is claimed that can be proved"
        if apart and ((within == 0).any(axis=0) != (within == 0).all(axis=0)).any():
            return "a precision must be 0 on both sides, or on neither"
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

    def _at_inputs(self, asked: Sequence[tuple[int, Claim]]) -> list[str]:
        """About inputs in one scaling: their cones are found together."""
        first = self._conditions(asked[0][1].certificate)
        claims = [claim.scaled(first.certificate.scaling) for _, claim in asked]
        X = np.stack([c.x for c in claims if c.x is not None])
        within = np.stack([np.broadcast_to(c.within, (2, first.rows.m)) for c in claims])
        here = first.rows.cones_at(X, within)
        out: list[str] = []

        def proved(places: Sequence[int]) -> list[str]:
            conditions, there = self._conditions(claims[places[0]].certificate), here[places]
            proof = conditions.at_inputs(there.tangent, there.recession)
            reasons = [
                proof.failure(i, claims[k].kind, *claims[k].bounds) if there.inside[i] else "x lies outside the domain"
                for i, k in enumerate(places)
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
        assert claim.output_low is not None, "a claim has an input or an output"
        assert claim.output_high is not None, "both sides are given"
        sides = sides_of(conditions.rows, claim.output_low, claim.output_high, claim.within)
        if claim.kind == "empty":
            return conditions.contradiction(sides)
        if sides.contradiction:
            return "the output is that of no input"
        reason = conditions.at_output(sides).failure(0, claim.kind, *claim.bounds)
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
