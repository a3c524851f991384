"""The door to the checker: what is no claim is refused, what is one never raises, and nothing is asked twice."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import fiberscope as fs
from fiberscope.preimages import candidate as found
from fiberscope.preimages.candidate import Candidate
from fiberscope.preimages.elaborate import elaborate
from fiberscope.preimages.geometry import system_of
from fiberscope.preimages.interval import Interval
from fiberscope.preimages.preimage import Preimage
from fiberscope.preimages.verify import verify, verify_in_float, verify_many

Kind = fs.Kind
ROWS = np.array([[1.0, 0.25], [-0.5, 1.0], [-0.5, -1.0]])

pytestmark = pytest.mark.usefixtures("unchecked")  # parts of claims are missing on purpose


def singleton(form: Any = np.array) -> Preimage:
    """The point 0, which three rows around it leave."""
    question = Preimage(
        fs.ReLULayer(form(ROWS)), None, np.zeros(2), None, Kind.SINGLETON, 0, 1.0, fs.Certificate(Kind.SINGLETON, 0)
    )
    weights = np.linalg.svd(ROWS.T)[2][2]
    implicit = found.Multipliers(np.arange(3), weights * np.sign(weights[0]))
    return replace(
        question, certificate=elaborate(question, Candidate(Kind.SINGLETON, 0, implicit=implicit), system_of(question))
    )


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_a_claim_is_proved_in_both_arithmetics(form: Any) -> None:
    p = singleton(form)
    assert verify(p).method == "float"
    assert verify(p)
    assert verify_many([p, p]).tolist() == [True, True]


@pytest.mark.parametrize(
    "thing", [None, 3, "text", [1, 2], np.zeros(3), fs.ReLULayer(ROWS), fs.Certificate(Kind.EMPTY, -1)]
)
def test_what_is_no_claim(thing: Any) -> None:
    with pytest.raises(fs.InputError, match="a preimage, which has a verdict to prove"):
        verify(thing)
    assert not verify_in_float(thing)
    assert verify_many([thing]).tolist() == [False]


@pytest.mark.parametrize("exact", ["no", 1, None])
def test_exact_is_true_or_false(exact: Any) -> None:
    with pytest.raises(fs.InputError, match="True or False"):
        verify(singleton(), exact=exact)


class Trap:
    """Fails whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class Sub(np.ndarray[Any, Any]):
    """Says that it is equal to everything, and nothing of its own shape."""

    def __eq__(self, other: object) -> Any:
        return True

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError

    def __array_function__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError


class Whole(int):
    """A number that is another one when it is looked at."""

    def __index__(self) -> int:
        return 0


class OtherCertificate(fs.Certificate):
    """Could say something else at every look."""


PARTS: dict[str, Any] = {
    "layer": [
        None,
        Trap(),
        SimpleNamespace(weight=ROWS),
        SimpleNamespace(weight=ROWS[0], bias=0, low=0, high=0, injective=0),
    ],
    "domain": [3, Trap(), fs.Box],
    "x": [
        [0.0, 0.0],
        np.zeros(3),
        np.zeros(2, dtype=np.float32),
        np.array([0.0, np.nan]),
        np.array([1.0, 0.0]),
        None,
        Trap(),
    ],
    "y": [np.zeros(3), "y", Interval(0, 1)],
    "kind": ["none", None, Kind.UNDECIDED, Kind.EMPTY, Trap(), 3],
    "dimension": [1, -1, 0.0, "0", None, Whole(0), Trap(), 10**400],
    "certificate": [None, Trap(), OtherCertificate(Kind.SINGLETON, 0), fs.Certificate(Kind.SINGLETON, 0), b"bytes"],
    "within": [None, 0.5, -1.0, np.nan, np.zeros(2), "a", Trap(), np.array([0.0, 0.5, 0.0])],
    "dimension_bounds": [(0,), "bounds", (0, 0.5), Trap()],
}
HOSTILE = [(name, value) for name, values in PARTS.items() for value in values]


@pytest.mark.parametrize(
    ("name", "value"), HOSTILE, ids=lambda part: part if isinstance(part, str) else type(part).__name__
)
def test_wrong_parts_are_not_proved(name: str, value: Any) -> None:
    p = singleton()
    names = ("layer", "domain", "x", "y", "kind", "dimension", "certificate", "within", "dimension_bounds")
    claim = SimpleNamespace(**{part: getattr(p, part) for part in names} | {name: value})
    for verification in (verify(claim), verify(claim, exact=True), verify_in_float(claim)):
        assert not verification
        assert verification.reason
    assert verify_many([claim, p]).tolist() == [False, True]


@pytest.mark.parametrize("within", [None, "a", np.array([None])], ids=["None", "text", "objects"])
def test_a_within_that_is_no_number_is_named(within: Any) -> None:
    assert verify(replace(singleton(), within=within)).reason == "within is no array of numbers"


def test_arrays_of_any_class_are_numbers() -> None:
    p = singleton()
    layer = SimpleNamespace(
        weight=ROWS.view(Sub),
        bias=np.zeros(3).view(Sub),
        low=p.layer.low,
        high=p.layer.high,
        injective=p.layer.injective,
    )
    assert verify(SimpleNamespace(**vars(p) | {"layer": layer, "x": p.x.view(Sub)}))


def test_parts_of_a_certificate_that_are_none() -> None:
    p = singleton()
    multipliers = p.certificate.tangent.multipliers
    values = multipliers.values
    broken = [
        replace(multipliers, values=values[:-1]),
        replace(multipliers, values=values.astype(np.complex128)),
        replace(multipliers, values=values * np.nan),
        replace(multipliers, values=list(values)),
        replace(multipliers, values=-values),
        replace(multipliers, rows=multipliers.rows.astype(np.float64)),
        replace(multipliers, rows=multipliers.rows + 10**6),
        replace(multipliers, rows=multipliers.rows - 1),
        replace(multipliers, rows=multipliers.rows * 0),
        replace(multipliers, sigma=-1.0),
        replace(multipliers, sigma=np.nan),
        replace(multipliers, sigma=1e9),
        replace(multipliers, sigma=Trap()),
        replace(multipliers, values=fs.Rational((1, 2), 0)),
        replace(multipliers, values=fs.Rational(("1",), 1)),
        Trap(),
        3,
    ]
    claims = [replace(p, certificate=replace(p.certificate, tangent=fs.Face(multipliers=part))) for part in broken]
    claims += [
        replace(p, certificate=replace(p.certificate, **{n: Trap()}))
        for n in ("tangent", "basis", "relations", "scaling")
    ]
    assert [bool(verify(claim)) for claim in claims] == [False] * len(claims)
    assert verify_many([*claims, p]).tolist() == [False] * len(claims) + [True]
    single = replace(multipliers, values=values.astype(np.float32))  # the format has these, too
    assert verify(replace(p, certificate=replace(p.certificate, tangent=fs.Face(multipliers=single))))


def test_a_claim_that_changes_at_each_look() -> None:
    p = singleton()

    class Changing(SimpleNamespace):
        looks = 0

        @property
        def certificate(self) -> fs.Certificate:
            Changing.looks += 1
            return p.certificate

    said = {name: value for name, value in vars(p).items() if name != "certificate"}
    assert verify(Changing(**said))
    assert Changing.looks == 1
    assert not verify(Changing(**said | {"kind": Kind.BOUNDED, "dimension": 1}))


def test_inputs_may_be_changed_afterwards() -> None:
    p = singleton()
    x = np.zeros(2)
    claims = [replace(p, x=x), replace(p, x=np.zeros(2))]
    assert verify_many(claims).all()
    x[0] = 1.0
    assert verify_many(claims).tolist() == [False, True]
