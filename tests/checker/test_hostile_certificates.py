"""Certificates made by someone who knows the checker: none of these may prove anything false, hang, or raise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import fiberscope as fs
from fiberscope.checker.matrices import norm_above, norm_below
from fiberscope.network.domains import Polyhedron
from fiberscope.preimages.certificate import Certificate, Direction, Face, Multipliers, Rational
from fiberscope.preimages.verify import verify_in_float, verify_many

Kind = fs.Kind
CONTRADICTION = fs.ReLULayer([[1.0], [1.0]])  # y = (1, 0) asks for x = 1 and x <= 0


def claim(layer: object, certificate: object, *, x: object = None, y: object = None, **more: object) -> SimpleNamespace:
    """What ``verify`` reads of a preimage, with anything in it."""
    x, y = (None if v is None else np.asarray(v, dtype=np.float64) for v in (x, y))
    said = {"kind": Kind.SINGLETON, "dimension": 0, "domain": None} | more
    return SimpleNamespace(layer=layer, certificate=certificate, x=x, y=y, **said)


def away(held: Any, values: Any, sigma: float = 0.0) -> dict[str, Face]:
    """The parts of a certificate that a direction fills."""
    face = Face(None, Direction(np.asarray(held), values, sigma))
    return {"tangent": face, "recession": face}


def at(point: Any) -> Face:
    """A point that nothing holds."""
    return Face(None, Direction(np.zeros(0, dtype=np.int64), point))


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
    for sigma in (0.0, 2.0 ** (exponent - 1)):
        parts = away([0, 1], np.array([np.sqrt(0.51) * 2.0**-537]), sigma)
        certificate = Certificate(Kind.UNBOUNDED, 1, **parts)
        assert_refused(claim(layer, certificate, x=[0.0], kind=Kind.UNBOUNDED, dimension=1))


@pytest.mark.parametrize("form", [np.array, csr_array])
@pytest.mark.parametrize("size", [2.0**20, 2.0**400])
def test_a_residual_that_overflows_is_not_a_residual_of_zero(form: Any, size: float) -> None:
    # rows too large to be scaled: every product is inf - inf = NaN, which is not above 0 either
    rows = 2.0**1010 * np.array([[1.0, -2.0], [-2.0, 1.0], [2.0, -1.0], [-1.0, 2.0]])
    layer = fs.ReLULayer(form(rows), [-1.0] * 4)
    assert fs.preimage(layer, x=[0.0, 0.0]).kind == Kind.BOUNDED
    for sigma in (0.0, 1.0, 2.0**1000):
        certificate = Certificate(Kind.UNBOUNDED, 2, **away(np.arange(4), np.array([size, size]), sigma))
        assert_refused(claim(layer, certificate, x=[0.0, 0.0], kind=Kind.UNBOUNDED, dimension=2))


class _Converts(int):
    """Compares as one number and converts to another."""

    def __int__(self) -> int:
        return -1

    def __le__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return True


class _EqualsEveryClass(type):
    def __eq__(cls, other: object) -> bool:
        return True

    def __hash__(cls) -> int:
        return hash(int)


class _PassesAsInt(int, metaclass=_EqualsEveryClass):
    """Compares as one number and converts to another, and its class compares equal to ``int``."""

    def __int__(self) -> int:
        return -1


class _Changes(Rational):
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


ODD_RATIONALS = [
    *(Rational((-1,), _Converts(1)), Rational((_Converts(1),), 1), _Changes()),
    *(Rational((-1,), _PassesAsInt(1)), Rational((_PassesAsInt(1),), 1)),
]


@pytest.mark.parametrize("point", ODD_RATIONALS)
def test_rational_numbers_that_are_not_what_they_seem(point: Rational) -> None:
    assert fs.preimage(CONTRADICTION, y=[1.0, 0.0]).kind == Kind.EMPTY
    assert_refused(claim(CONTRADICTION, Certificate(Kind.SINGLETON, 0, tangent=at(point)), y=[1.0, 0.0]))


def test_a_rational_number_too_long_to_multiply() -> None:
    point = Rational((1 << 100_000_000,), 1)
    assert_refused(claim(CONTRADICTION, Certificate(Kind.SINGLETON, 0, tangent=at(point)), y=[1.0, 0.0]))


def test_a_certificate_that_changes_the_question() -> None:
    y = np.array([1.0, 0.0])

    class Evil:
        kind, dimension, recession = Kind.SINGLETON, 0, None
        basis = zero = counted = relations = scaling = None

        @property
        def tangent(self) -> Face:
            y[:] = 0
            return at(np.array([0.0]))

        def to_bytes(self) -> bytes:
            y[:] = 0
            return Certificate(Kind.SINGLETON, 0, tangent=at(np.array([0.0]))).to_bytes()

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

    assert_refused(claim(Layer(), Certificate(Kind.SINGLETON, 0), x=[1.0]))


@pytest.mark.parametrize(
    ("low", "high"), [((0.0,), (1.0,)), ((np.inf, np.inf), (np.inf, np.inf)), ((np.nan, 0), (1, 1))]
)
def test_a_domain_that_is_ill_formed(low: tuple[float, ...], high: tuple[float, ...]) -> None:
    class Odd:
        def polyhedron(self, n: int) -> Polyhedron:
            return Polyhedron(np.array(low), np.array(high), np.zeros((0, n)), np.zeros(0))

    layer = fs.ReLULayer([[0.0, 0.0]], [-1.0])
    certificate = Certificate(Kind.BOUNDED, 2, tangent=at(np.zeros(2)))
    assert_refused(claim(layer, certificate, x=[0.5, 0.5], kind=Kind.BOUNDED, dimension=2, domain=Odd()))


SQUARE = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
HALF_STRIP = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
DOWNWARDS = Certificate(Kind.UNBOUNDED, 2, **away([0, 1], np.array([0.0, -1.0])))


def layer_with(weight: Any) -> SimpleNamespace:
    """A square around 0, or what somebody says that it is; only the half strip is unbounded downwards."""
    units = {"low": np.zeros(4), "high": np.full(4, np.inf), "injective": np.zeros(4, np.bool_)}
    return SimpleNamespace(weight=weight, bias=np.full(4, -1.0), **units)


def assert_refused_of_the_square(weight: Any, domain: Any = None) -> None:
    said = {"kind": Kind.UNBOUNDED, "dimension": 2}
    assert fs.verify(claim(layer_with(HALF_STRIP), DOWNWARDS, x=[0.0, 0.0], **said))
    assert_refused(claim(layer_with(weight), DOWNWARDS, x=[0.0, 0.0], domain=domain, **said))


class _AnswersForItself(np.ndarray):
    """An array that is multiplied, indexed and written out as another."""

    def __getitem__(self, key: Any) -> Any:
        return HALF_STRIP[key]

    def __matmul__(self, other: Any) -> Any:
        return HALF_STRIP @ other

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **more: Any) -> Any:
        return getattr(ufunc, method)(*(HALF_STRIP if v is self else v for v in inputs), **more)


def test_an_array_that_answers_for_itself() -> None:
    assert_refused_of_the_square(SQUARE.view(_AnswersForItself))


def test_sparse_rows_with_methods_of_their_own() -> None:
    weight = csr_array(SQUARE)
    for name, method in {"toarray": lambda *_: HALF_STRIP, "tocsr": lambda *_, **__: csr_array(HALF_STRIP)}.items():
        setattr(weight, name, method)
    assert_refused_of_the_square(weight)
    weight = csr_array(SQUARE)
    weight.data = weight.data.view(_AnswersForItself)
    assert_refused_of_the_square(weight)


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_a_domain_that_changes_the_layer(form: Any) -> None:
    weight = form(SQUARE)

    class Evil:
        def polyhedron(self, n: int) -> Polyhedron:
            if form is csr_array:
                weight.indices[0] = 10**6  # tested before, this would be read far outside
            else:
                weight[0, 0] = np.nan
            return Polyhedron(np.full(n, -np.inf), np.full(n, np.inf), np.zeros((0, n)), np.zeros(0))

    assert_refused_of_the_square(weight, Evil())


def test_a_domain_that_is_another_at_each_look() -> None:
    class Odd:
        looks = 0
        low, G, h = np.full(2, -np.inf), np.zeros((0, 2)), np.zeros(0)
        is_box_bounded = True

        @property
        def high(self) -> np.ndarray:
            Odd.looks += 1
            return np.full(2, np.inf if Odd.looks % 2 else 1.0)

    layer = fs.ReLULayer([[1.0, 0.0]], [-1.0])
    certificate = Certificate(Kind.BOUNDED, 2, tangent=at(np.zeros(2)))
    domain = SimpleNamespace(polyhedron=lambda n: Odd())
    assert_refused(claim(layer, certificate, x=[0.0, 0.0], kind=Kind.BOUNDED, dimension=2, domain=domain))


def test_a_certificate_whose_parts_change_the_layer() -> None:
    """All of a claim is fetched before anything is proved, and what is proved is true of the layer as it is then."""

    class Rows:
        def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
            weight[3] = 0
            return np.array([0, 1])

    class Evil(Direction):
        def __init__(self) -> None:
            pass

        @property
        def held(self) -> np.ndarray:  # type: ignore[override]
            weight[3] = 0
            return np.array([0, 1])

        values, sigma, basis = np.array([0.0, -1.0]), 0.0, None  # type: ignore[assignment]

    direction = Direction(np.array([0, 1]), np.array([0.0, -1.0]))
    object.__setattr__(direction, "held", Rows())
    for part in (Evil(), direction):
        weight = SQUARE.copy()
        certificate = Certificate(Kind.UNBOUNDED, 2, recession=Face(None, part))
        said = claim(layer_with(weight), certificate, x=[0.0, 0.0], kind=Kind.UNBOUNDED, dimension=2)
        for proved in (verify_many([said])[0], verify_in_float(said), fs.verify(said), fs.verify(said, exact=True)):
            assert not proved or np.array_equal(weight, HALF_STRIP)


class _SaysThatItIsAnArray:
    """Passes ``isinstance``, and acts when numpy asks it for its numbers."""

    def __init__(self, numbers: np.ndarray, act: Callable[[], None]) -> None:
        self._numbers, self._act = numbers, act

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return np.ndarray

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        self._act()
        return self._numbers


class _ActsWhenViewed(np.ndarray):
    """An array that acts when numpy makes another one of it, or is asked for its numbers."""

    act: Callable[[], None] = staticmethod(lambda: None)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        _ActsWhenViewed.act()
        return np.asarray([0])

    def __array_finalize__(self, other: Any) -> None:
        _ActsWhenViewed.act()


def acting_rows(spoofed: bool, rows: np.ndarray, act: Callable[[], None]) -> Any:
    if spoofed:
        return _SaysThatItIsAnArray(rows, act)
    acting = rows.view(_ActsWhenViewed)
    _ActsWhenViewed.act = staticmethod(act)
    return acting


@pytest.mark.parametrize("spoofed", [True, False])
def test_rows_that_change_the_layer_when_they_are_read(spoofed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a layer of rank two, whose preimages are lines; with the identity they would be points."""
    monkeypatch.setattr(_ActsWhenViewed, "act", staticmethod(lambda: None))
    layer = fs.ReLULayer([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    acts: list[bool] = []

    def act() -> None:
        acts.append(True)
        layer.weight.flags.writeable = True
        layer.weight[:] = np.eye(3)

    multipliers = Multipliers(np.array([0]), np.array([1.0]))
    object.__setattr__(multipliers, "rows", acting_rows(spoofed, np.array([0]), act))
    said = claim(layer, Certificate(Kind.SINGLETON, 0, tangent=Face(multipliers)), x=np.ones(3))
    for proved in (verify_many([said])[0], verify_in_float(said), fs.verify(said), fs.verify(said, exact=True)):
        assert not proved or (acts and np.array_equal(layer.weight, np.eye(3))), "true of the layer as it is"


@pytest.mark.parametrize("spoofed", [True, False])
def test_rows_that_change_another_certificate_when_they_are_read(
    spoofed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that proves nothing becomes another one after it was read."""
    monkeypatch.setattr(_ActsWhenViewed, "act", staticmethod(lambda: None))
    layer = fs.ReLULayer(np.eye(3)[:2])
    lie = Certificate(Kind.SINGLETON, 0, tangent=Face(Multipliers(np.array([0]), np.array([1.0]))))
    direction = Direction(np.array([0, 1]), np.array([0.0, 0.0, 1.0]))
    act = functools.partial(object.__setattr__, lie, "tangent", None)
    object.__setattr__(direction, "held", acting_rows(spoofed, np.array([0, 1]), act))
    acting = Certificate(Kind.UNBOUNDED, 1, Face(None, direction), Face(None, direction))
    claims = [
        claim(layer, lie, x=[1.0, 1.0, 0.0]),
        claim(layer, acting, x=[1.0, 1.0, 0.0], kind=Kind.UNBOUNDED, dimension=1),
    ]
    for order in (claims, claims[::-1]):
        proved = dict(zip([id(c) for c in order], verify_many(order).tolist(), strict=True))
        assert not proved[id(claims[0])], "its preimage is a line"
