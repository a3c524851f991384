"""Certificates made by someone who knows the checkers: none of these may prove anything false, hang, or raise."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network.domains import Polyhedron
from fiberscope.preimage.checker.rounding import norm_above, norm_below
from fiberscope.preimage.checker.verify import verify_in_float

Kind = fs.Kind
CONTRADICTION = fs.ReLULayer([[1.0], [1.0]])  # y = (1, 0) asks for x = 1 and x <= 0


def claim(layer: object, certificate: object, *, x: object = None, y: object = None, **more: object) -> SimpleNamespace:
    """What ``verify`` reads of a preimage, with anything in it."""
    x, y = (None if v is None else np.asarray(v, dtype=np.float64) for v in (x, y))
    said = {"kind": Kind.SINGLETON, "dimension": 0, "domain": None} | more
    return SimpleNamespace(layer=layer, certificate=certificate, x=x, y=y, **said)


def assert_refused(preimage: object) -> None:
    assert not verify_in_float(preimage)
    assert not fs.verify(preimage)
    assert not fs.verify(preimage, exact=True)


@pytest.mark.parametrize("exponent", [-600, -537, -530, -300, 0, 400])
def test_norm_bounds_hold_where_squares_are_subnormal(exponent: int) -> None:
    for mantissa in (0.51, 0.6, 0.75, 0.99):
        v = np.array([np.sqrt(mantissa) * 2.0**exponent, 2.0**exponent])
        exact = sum(Fraction(entry) ** 2 for entry in v.tolist())
        assert Fraction(norm_below(v)) ** 2 <= exact <= Fraction(norm_above(v)) ** 2


@pytest.mark.parametrize("exponent", [500, 505, 510])
def test_a_direction_too_small_to_be_measured(exponent: int) -> None:
    layer = fs.ReLULayer([[2.0**exponent], [-(2.0**exponent)]], [-1.0, -1.0])
    direction = fs.Direction(np.array([0, 1]), np.array([np.sqrt(0.51) * 2.0**-537]))
    certificate = fs.Certificate(Kind.UNBOUNDED, 1, recession=direction)
    assert_refused(claim(layer, certificate, x=[0.0], kind=Kind.UNBOUNDED, dimension=1))


class _Converts(int):
    """Compares as one number and converts to another."""

    def __int__(self) -> int:
        return -1

    def __le__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return True


class _Changes(fs.Rational):
    """Gives another denominator at each look."""

    looks = 0

    def __init__(self) -> None:
        pass

    @property
    def numerators(self) -> tuple[int, ...]:  # type: ignore[override]
        return (0,)

    @property
    def denominator(self) -> int:  # type: ignore[override]
        _Changes.looks += 1
        return 1 if _Changes.looks % 3 else 0


@pytest.mark.parametrize("point", [fs.Rational((-1,), _Converts(1)), fs.Rational((_Converts(1),), 1), _Changes()])
def test_rational_numbers_that_are_not_what_they_seem(point: fs.Rational) -> None:
    assert fs.preimage(CONTRADICTION, y=[1.0, 0.0]).kind == Kind.EMPTY
    assert_refused(claim(CONTRADICTION, fs.Certificate(Kind.SINGLETON, 0, point=point), y=[1.0, 0.0]))


def test_a_rational_number_too_long_to_multiply() -> None:
    point = fs.Rational((1 << 100_000_000,), 1)
    assert_refused(claim(CONTRADICTION, fs.Certificate(Kind.SINGLETON, 0, point=point), y=[1.0, 0.0]))


def test_a_certificate_that_changes_the_question() -> None:
    y = np.array([1.0, 0.0])

    class Evil:
        kind, dimension, implicit, interior, recession, infeasible = Kind.SINGLETON, 0, None, None, None, None

        @property
        def point(self) -> np.ndarray:
            y[:] = 0
            return np.array([0.0])

    assert_refused(claim(CONTRADICTION, Evil(), y=y))


class _LiesAboutEquality(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("bounded")


@pytest.mark.parametrize("kind", [_LiesAboutEquality("unbounded"), _LiesAboutEquality("singleton"), 3, None])
def test_a_kind_that_equals_everything(kind: object) -> None:
    genuine = fs.preimage(fs.ReLULayer([[1.0], [-1.0]], [-1.0, -1.0]), x=[0.0])
    assert genuine.kind == Kind.BOUNDED
    assert_refused(claim(genuine.layer, genuine.certificate, x=[0.0], kind=kind, dimension=1))


def test_an_error_that_cannot_be_printed() -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    class Layer:
        @property
        def weight(self) -> np.ndarray:
            raise Unprintable

    assert_refused(claim(Layer(), fs.Certificate(Kind.SINGLETON, 0), x=[1.0]))


@pytest.mark.parametrize(
    ("low", "high"), [((0.0,), (1.0,)), ((np.inf, np.inf), (np.inf, np.inf)), ((np.nan, 0), (1, 1))]
)
def test_a_domain_that_is_ill_formed(low: tuple[float, ...], high: tuple[float, ...]) -> None:
    class Odd:
        def polyhedron(self, n: int) -> Polyhedron:
            return Polyhedron(np.array(low), np.array(high), np.zeros((0, n)), np.zeros(0))

    layer = fs.ReLULayer([[0.0, 0.0]], [-1.0])
    certificate = fs.Certificate(Kind.BOUNDED, 2, recession=fs.BoundedDomain())
    assert_refused(claim(layer, certificate, x=[0.5, 0.5], kind=Kind.BOUNDED, dimension=2, domain=Odd()))
