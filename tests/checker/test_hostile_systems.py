"""Systems that are not what they seem: no claim about them is proved, true or false."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from fiberscope.checker.dyadic import Whole, Work
from fiberscope.checker.feature_domain import Domain
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.verdicts import System, prove
from plain_claims import certificate, claim, direction, proved
from plain_claims import system as written

A = np.array([[0.0, 0.0], [1.0, 1.0]])


def changed(**parts: Any) -> Any:
    """The sparse rows of A with other parts, which scipy does not look at again."""
    matrix = sparse.csr_array(A)
    for name, value in parts.items():
        setattr(matrix, name, value)
    return matrix


MATRICES = {
    "columns": sparse.csc_array(A),
    "blocks": sparse.bsr_array(A),
    "diagonals": sparse.dia_array(A),
    "places": sparse.coo_array(A),
    "numbers in two columns": changed(data=np.ones((2, 2))),
    "rows that go back, unsigned": changed(indptr=np.array([0, 5, 2], dtype=np.uint64)),
    "one place twice": changed(indices=np.array([1, 1], dtype=np.int32)),
    "in another order": changed(indices=np.array([1, 0], dtype=np.int32)),
    "a place below 0": changed(indices=np.array([-1, 1], dtype=np.int32)),
    "a place beyond": changed(indices=np.array([0, 2], dtype=np.int32)),
    "a row too few": changed(indptr=np.array([0, 2], dtype=np.int32)),
    "an end beyond": changed(indptr=np.array([0, 0, 3], dtype=np.int32)),
    "single precision": sparse.csr_array(A.astype(np.float32)),
    "half precision": A.astype(np.float16),
    "long doubles": A.astype(np.longdouble),
    "whole numbers": A.astype(np.int64),
    "other bytes": A.astype(">f8"),
    "objects": A.astype(object),
    "a line": A[1],
    "no number": np.where(A == 1, np.nan, 0.0),
    "infinity": np.where(A == 1, np.inf, 0.0),
    "no columns": A[:, :0],
}


def unbounded(about: System) -> list[tuple[bool, bool]]:
    """What is proved of a direction that each coordinate, or their difference, seems to be: one of them is true."""
    ways = (([0], [1.0, 0.0]), ([0], [0.0, 1.0]), ([0, 1], [1.0, -1.0]), ([], [1.0, 0.0]))
    said = [certificate("unbounded", recession=(None, direction(*way)), basis=[]) for way in ways]
    return [proved(about, claim("unbounded", None, each, x=[2.0, 3.0], m=2, bounds=(1, 2))) for each in said]


def test_of_rows_as_they_should_be_the_true_direction_is_proved():
    for matrix in (A, sparse.csr_array(A)):
        about = replace(written(A, [0.0, -1.0]), weight=matrix)
        assert unbounded(about) == [(False, False), (False, False), (True, True), (False, False)]


@pytest.mark.parametrize("name", list(MATRICES))
def test_a_matrix_of_another_form_is_refused(name: str):
    about = replace(written(A, [0.0, -1.0]), weight=MATRICES[name])
    assert unbounded(about) == [(False, False)] * 4


@pytest.mark.parametrize("name", ["bias", "low", "high", "box_low", "box_high"])
@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.astype(np.float32),
        lambda v: v.astype(object),
        lambda v: v[:, None],
        lambda v: v[:1],
        lambda v: np.where(v == v[0], np.nan, v),
    ],
    ids=["single precision", "objects", "a column", "one of them", "no number"],
)
def test_sides_of_another_form_are_refused(name: str, change: Any):
    about = written(A, [0.0, -1.0])
    assert unbounded(replace(about, **{name: change(getattr(about, name))})) == [(False, False)] * 4


@pytest.mark.parametrize(
    ("name", "value"), [("box_low", np.inf), ("box_high", -np.inf), ("low", np.inf), ("high", -np.inf)]
)
def test_bounds_that_no_number_meets_are_refused(name: str, value: float):
    assert unbounded(replace(written(A, [0.0, -1.0]), **{name: np.full(2, value)})) == [(False, False)] * 4


def test_numbers_of_any_length_prove_what_they_say():
    """Text of whole numbers is limited to some thousand digits; certificates are not."""
    about = written([[1.0, -1.0]], [1.0])
    for numerators, denominator in (([10**6000] * 2, 1), ([1, 1], 10**6000)):
        way = direction([0], (numerators, denominator))
        for value, right in ((way, True), (direction([0], ([10**6000, 1], 1)), False)):
            said = claim("unbounded", 1, certificate("unbounded", 1, recession=(None, value)), x=[1.0, 1.0], m=1)
            assert (prove(about, [said], exact=True) == [""]) is right


@pytest.mark.parametrize("place", [0, 1], ids=["source", "example"])
@pytest.mark.parametrize("value", [-0.25, 1.25])
def test_no_point_outside_of_a_box_lies_in_it(place: int, value: float):
    domain = Domain(np.zeros(2), np.ones(2), np.zeros((0, 2)), np.zeros(0), np.zeros(2, dtype=np.bool_))
    points = np.full((2, 2), 0.5)
    points[1, place] = value
    with pytest.raises(NotProvedError, match="outside of the domain"):
        domain.check(Whole.of(points), 1, Work())


@pytest.mark.parametrize(("name", "value"), [("low", np.inf), ("high", -np.inf), ("low", np.nan), ("high", np.nan)])
def test_no_point_lies_in_a_domain_with_a_bound_that_no_number_meets(name: str, value: float):
    domain = Domain(np.zeros(2), np.ones(2), np.zeros((0, 2)), np.zeros(0), np.zeros(2, dtype=np.bool_))
    points = Whole.of(np.full((2, 2), 0.5))
    domain.check(points, 1, Work())
    with pytest.raises(NotProvedError, match="no number meets"):
        replace(domain, **{name: np.array([0.25, value])}).check(points, 1, Work())
