"""What deciding says about a preimage, and what proves it: data alone, which all that decides and measures shares."""

from __future__ import annotations

from dataclasses import dataclass

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages.certificate import Certificate, Vector
from fiberscope.preimages.interval import Interval
from fiberscope.preimages.kind import Kind

NO_POINTS = "look at its kind and reason before asking for points"


@dataclass(frozen=True, eq=False, repr=False)
class Verdict:
    """A question, what was decided, and its certificate; ``Preimage`` explains the fields. Undecided, it is open."""

    layer: ReLULayer
    domain: Domain | None
    x: FloatArray | None
    y: FloatArray | Interval | None
    kind: Kind
    dimension: int | None
    margin: float
    certificate: Certificate
    reason: str = ""
    within: FloatArray | float = 0.0
    dimension_bounds: tuple[int, int] | None = None


def check_not_empty(verdict: Verdict, what: str) -> None:
    """Refuse to look for points where there are none, or none is known.

    Raises:
        InputError: the preimage is empty or undecided.
    """
    if verdict.kind in (Kind.EMPTY, Kind.UNDECIDED):
        raise InputError(what, expected="a preimage with points", got=f"one of kind {verdict.kind!s}", hint=NO_POINTS)


def point(verdict: Verdict) -> FloatArray:
    """A point (n,) of the preimage in float64: that whose output is meant, or the one that is proved.

    Raises:
        InputError: the preimage is empty or undecided.
    """
    check_not_empty(verdict, "point")
    if verdict.x is not None:
        return verdict.x.copy()
    from fiberscope.preimages.rounded import as_floats  # this brings what decides, which checking must not

    return as_floats(certified_point(verdict)).copy()


def certified_point(verdict: Verdict) -> Vector:
    """The point of a preimage given by its output that its certificate proves to be one."""
    face = verdict.certificate.tangent
    assert face is not None, "the certificate of what is not empty has a point"
    assert face.direction is not None, "the certificate of what is not empty has a point"
    return face.direction.values


__all__ = ["NO_POINTS", "Verdict", "certified_point", "check_not_empty", "point"]
