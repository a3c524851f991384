"""Convolutions that are not written out, against their written rows, and false claims about them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.matrices import NotProvedError, row_norms_above
from fiberscope.checker.verdicts import System, prove
from fiberscope.checker.windows import seen
from fiberscope.network.convolution import Convolution as Map
from plain_claims import certificate, claim, direction, multipliers

SHAPES = {
    "padding": ((3, 2, 3, 3), (2, 5, 6), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "stride and groups": ((4, 2, 3, 2), (4, 6, 5), (2, 1), ((0, 1), (1, 0)), (1, 1), 2),
    "dilation": ((2, 1, 2, 2), (2, 6, 6), (1, 2), ((1, 0), (0, 0)), (2, 3), 2),
    "a line": ((3, 2, 4), (2, 9), (3,), ((2, 2),), (1,), 1),
    "three axes": ((2, 1, 2, 2, 2), (1, 3, 4, 3), (1, 1, 2), ((0, 0), (1, 1), (0, 0)), (1, 1, 1), 1),
    "padding alone": ((2, 1, 1, 1), (1, 3, 3), (1, 1), ((2, 2), (0, 0)), (1, 1), 1),
}


def pair(name: str, seed: int = 0) -> tuple[Convolution, np.ndarray]:
    """A convolution with zeros among its weights, and the matrix that the network writes out."""
    shape, inputs, stride, padding, dilation, groups = SHAPES[name]
    rng = np.random.default_rng(seed)
    weight = np.where(rng.uniform(size=shape) < 0.2, 0.0, rng.normal(size=shape))
    weight[-1] = 0.0
    written = Map(weight, inputs, None, stride, padding, dilation, groups).rows().toarray()
    return Convolution(weight, inputs, stride, padding, dilation, groups), written


@pytest.mark.parametrize("name", list(SHAPES))
def test_products_and_lengths_are_those_of_the_written_rows(name: str):
    conv, A = pair(name)
    conv.check()
    rng = np.random.default_rng(1)
    x, w, columns = rng.normal(size=A.shape[1]), rng.normal(size=A.shape[0]), rng.uniform(size=A.shape[1]) < 0.3
    assert conv.shape == A.shape
    np.testing.assert_allclose(conv @ x, A @ x, atol=1e-12)
    np.testing.assert_allclose(conv @ np.stack([x, 2 * x], axis=1), A @ np.stack([x, 2 * x], axis=1), atol=1e-12)
    np.testing.assert_allclose(conv.across(w), A.T @ w, atol=1e-12)
    numbers = rng.permutation(A.shape[0])[: A.shape[0] // 2]
    np.testing.assert_array_equal(conv[numbers].toarray(), A[numbers])
    np.testing.assert_array_equal(conv.reads(columns), A[:, columns].any(axis=1))
    np.testing.assert_array_equal(conv.is_read(), A.any(axis=0))
    norms = row_norms_above(conv)
    exact = [sum((Fraction(v) ** 2 for v in row), Fraction(0)) for row in A.tolist()]
    assert all(Fraction(float(norm)) ** 2 >= square for norm, square in zip(norms, exact, strict=True))
    assert ((norms == 0) == ~A.any(axis=1)).all()
    assert (conv.squares_across() * (1 + 1e-12) >= np.square(A).sum(axis=0)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"stride": (1,)},
        {"stride": (0, 1)},
        {"groups": 3},
        {"padding": ((-1, 0), (0, 0))},
        {"input_shape": (2, 0, 6)},
        {"input_shape": (2, 5.0, 6)},
        {"dilation": (9, 9)},
        {"weight": np.zeros((3, 2, 3))},
        {"weight": np.full((3, 2, 3, 3), np.nan)},
        {"weight": np.zeros((3, 1, 3, 3)), "groups": 2},
        {"weight": np.zeros((3, 2, 3, 3), dtype=np.float32)},
        {"padding": ((1,), (1,))},
        {"dilation": (1, 4)},
        {"stride": (1.0, 1)},
        {"padding": ((1, True), (1, 1))},
    ],
    ids=lambda change: f"{next(iter(change))} {list(change.values())[-1]}"[:40].replace("\n", " "),
)
def test_what_is_no_convolution_is_refused(change: dict[str, object]):
    conv, _ = pair("padding")
    with pytest.raises(NotProvedError):
        replace(conv, **change).check()


def system(conv: Convolution, bias: float, low: float, high: float) -> System:
    """A layer of ReLUs of a convolution on a box."""
    m, n = conv.shape
    return System(
        conv, np.full(m, bias), np.zeros(m), np.full(m, np.inf),
        np.full(n, low), np.full(n, high), np.zeros((0, n)), np.zeros(0),
    )  # fmt: skip


def row_of(weights: list[float]) -> Convolution:
    """``sum_c w_c x_c``, one unit for one place of as many channels."""
    return Convolution(np.array(weights).reshape(1, -1, 1), (len(weights), 1), (1,), ((0, 0),), (1,), 1)


def proved(
    conv: Convolution, kind: str, *, low: float = 0.0, high: float = np.inf, x: list[float], **said: object
) -> bool:
    """Whether a claim about a unit that is off is proved."""
    bounds = (1, conv.shape[1])
    written = certificate(kind, None, **said)  # type: ignore[arg-type]
    about = claim(kind, None, written, m=conv.shape[0], x=x, bounds=bounds)
    return prove(system(conv, -1.0, low, high), [about]) == [""]


def test_multipliers_prove_that_a_convolution_in_an_orthant_is_bounded_and_only_with_the_right_signs():
    both = {"recession": (multipliers([0, 1, 2], [1.0, 0.0, 0.0]), None), "basis": [], "counted": [0]}
    assert proved(row_of([1.0, 2.0]), "bounded", x=[0.1, 0.1], **both)
    assert not proved(row_of([1.0, -2.0]), "bounded", x=[0.1, 0.1], **both)
    assert not proved(row_of([1.0, 0.0]), "bounded", x=[0.1, 0.1], **both)
    negative = {"recession": (multipliers([0, 1, 2], [-1.0, 0.0, 0.0]), None), "basis": [], "counted": [0]}
    assert not proved(row_of([-1.0, -2.0]), "bounded", x=[0.1, 0.1], **negative)
    unnamed = {"recession": (multipliers([0, 1], [1.0, 0.0]), None), "basis": [], "counted": [0]}
    assert not proved(row_of([1.0, 2.0]), "bounded", x=[0.1, 0.1], **unnamed)


def test_a_ray_of_a_convolution_is_proved_and_a_false_one_is_not():
    ray = {"recession": (None, direction([1], [0.0, 1.0])), "basis": []}
    assert proved(row_of([1.0, -2.0]), "unbounded", x=[0.1, 0.1], **ray)
    assert not proved(row_of([1.0, 2.0]), "unbounded", x=[0.1, 0.1], **ray)
    assert not proved(row_of([1.0, -2.0]), "unbounded", x=[0.1, 0.1], high=5.0, **ray)


def test_a_second_point_needs_a_direction_of_the_cone_at_x():
    """On [0, 5] at x = 0 and beside the unit's kink: up is allowed, down is not, and where x_1 = 5 it is not either."""
    for x, step, is_point in (([0.0, 0.0], 1.0, True), ([0.0, 0.0], -1.0, False), ([0.0, 5.0], 1.0, False)):
        inside = {"tangent": (None, direction([1], [0.0, step])), "basis": []}
        conv = row_of([1.0, 0.0625])
        assert proved(conv, "bounded", x=x, high=5.0, **inside) == is_point


def test_units_that_read_fixed_coordinates_alone_say_nothing_about_inputs():
    conv, A = pair("padding")
    m, n = conv.shape
    free = np.zeros(n, dtype=np.bool_)
    free[[3, 4]] = True
    x = np.random.default_rng(2).normal(size=n)
    whole = replace(system(conv, 0.1, 0.0, 0.0), box_low=np.where(free, -np.inf, x), box_high=np.where(free, np.inf, x))
    left, units = seen(whole)
    np.testing.assert_array_equal(units, np.flatnonzero(A[:, free].any(axis=1)))
    np.testing.assert_array_equal(left.weight.toarray(), A[units])
    assert left.shape == (len(units), n, 0)
    assert m > len(units) > 0
    same, none = seen(replace(whole, box_low=np.full(n, -1.0), box_high=np.full(n, 1.0)))
    assert same.shape[0] == m
    assert none is None
