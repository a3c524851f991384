"""Everything that is not a question about a layer is refused at the door, with what was expected and what came."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fiberscope as fs

NAN, INF = math.nan, math.inf
LAYER = fs.ReLULayer([[1.0, 2.0], [3.0, 4.0], [-1.0, 0.5]], [0.0, 1.0, -1.0])
X = [1.0, 1.0]


class _Opaque:
    """Something that is not an array at all."""


BAD: dict[str, Callable[[], Any]] = {
    "weight of one axis": lambda: fs.ReLULayer([1.0, 2.0], [0.0]),
    "weight of three axes": lambda: fs.ReLULayer(np.ones((2, 2, 2)), [0.0, 0.0]),
    "weight without rows": lambda: fs.ReLULayer(np.zeros((0, 2)), np.zeros(0)),
    "weight without columns": lambda: fs.ReLULayer(np.zeros((2, 0)), np.zeros(2)),
    "weight with NaN": lambda: fs.ReLULayer([[1.0, NAN]], [0.0]),
    "weight with an infinity": lambda: fs.ReLULayer([[1.0, -INF]], [0.0]),
    "weight of complex numbers": lambda: fs.ReLULayer([[1.0 + 1j, 2.0]], [0.0]),
    "weight of strings": lambda: fs.ReLULayer([["a", "b"]], [0.0]),
    "weight of objects": lambda: fs.ReLULayer(np.array([[None, _Opaque()]], dtype=object), [0.0]),
    "weight that is ragged": lambda: fs.ReLULayer([[1.0, 2.0], [3.0]], [0.0, 0.0]),
    "weight that is no array": lambda: fs.ReLULayer(_Opaque(), [0.0]),
    "weight of integers that float64 rounds": lambda: fs.ReLULayer([[2**53 + 1, 0]], [0]),
    "weight None": lambda: fs.ReLULayer(None, [0.0]),
    "bias of the wrong length": lambda: fs.ReLULayer(np.eye(2), [0.0]),
    "bias of two axes": lambda: fs.ReLULayer(np.eye(2), np.zeros((2, 1))),
    "bias with NaN": lambda: fs.ReLULayer(np.eye(2), [0.0, NAN]),
    "bias of integers that float64 rounds": lambda: fs.ReLULayer(np.eye(1), np.array([2**60 + 1])),
    "neither x nor y": lambda: fs.preimage(LAYER),
    "both x and y": lambda: fs.preimage(LAYER, x=X, y=LAYER(X)),
    "x too short": lambda: fs.preimage(LAYER, x=[1.0]),
    "x too long": lambda: fs.preimage(LAYER, x=[1.0, 2.0, 3.0]),
    "x of two axes": lambda: fs.preimage(LAYER, x=[X]),
    "x a scalar": lambda: fs.preimage(LAYER, x=1.0),
    "x empty": lambda: fs.preimage(LAYER, x=[]),
    "x with NaN": lambda: fs.preimage(LAYER, x=[1.0, NAN]),
    "x with an infinity": lambda: fs.preimage(LAYER, x=[1.0, INF]),
    "x complex": lambda: fs.preimage(LAYER, x=[1.0, 1j]),
    "x of strings": lambda: fs.preimage(LAYER, x=["1", "2"]),
    "x of objects": lambda: fs.preimage(LAYER, x=np.array([_Opaque(), 1], dtype=object)),
    "x of integers that float64 rounds": lambda: fs.preimage(LAYER, x=np.array([2**53 + 1, 0])),
    "y too short": lambda: fs.preimage(LAYER, y=[1.0, 2.0]),
    "y with NaN": lambda: fs.preimage(LAYER, y=[1.0, NAN, 0.0]),
    "y with an infinity": lambda: fs.preimage(LAYER, y=[1.0, INF, 0.0]),
    "y of the batch": lambda: fs.preimage(LAYER, y=np.zeros((2, 3))),
    "x below the box": lambda: fs.preimage(LAYER, x=[-0.5, 0.5], domain=fs.Box(0, 1)),
    "x above the box by one rounding": lambda: fs.preimage(LAYER, x=[1 + 2.0**-52, 0.5], domain=fs.Box(0, 1)),
    "x outside the orthant": lambda: fs.preimage(LAYER, x=[-5e-324, 0.5], domain=fs.NonNegative()),
    "x outside a half-space": lambda: fs.preimage(LAYER, x=[1.0, 1.0], domain=fs.HalfSpaces([[1, 1]], [1])),
    "x outside a half-space by less than a rounding": lambda: fs.preimage(
        LAYER, x=[0.1, 0.2], domain=fs.HalfSpaces([[1, 1]], [0.3])
    ),
    "x outside one part of an intersection": lambda: fs.preimage(
        LAYER, x=[2.0, 0.5], domain=fs.NonNegative() & fs.Box(0, 1)
    ),
    "box with low above high": lambda: fs.Box(1, 0),
    "box with low above high somewhere": lambda: fs.Box([0, 2], [1, 1]),
    "box with NaN": lambda: fs.Box(NAN, 1),
    "box that starts at infinity": lambda: fs.Box(INF, INF),
    "box of two lengths": lambda: fs.Box([0, 0], [1, 1, 1]),
    "box of matrices": lambda: fs.Box(np.zeros((2, 2)), 1),
    "box of another dimension": lambda: fs.preimage(LAYER, x=X, domain=fs.Box([0, 0, 0], [1, 1, 1])),
    "box of strings": lambda: fs.Box("a", "b"),
    "half-spaces of another dimension": lambda: fs.preimage(LAYER, x=X, domain=fs.HalfSpaces([[1, 1, 1]], [9])),
    "half-spaces with NaN": lambda: fs.HalfSpaces([[1, NAN]], [1]),
    "half-spaces with an infinite bound": lambda: fs.HalfSpaces([[1, 1]], [INF]),
    "half-spaces with too many bounds": lambda: fs.HalfSpaces([[1, 1]], [1, 2]),
    "half-spaces without rows": lambda: fs.HalfSpaces(np.zeros((0, 2)), np.zeros(0)),
    "intersection of two dimensions": lambda: fs.preimage(LAYER, x=X, domain=fs.Box([0, 0], [1, 1]) & fs.Box([0], [1])),
    "classify no samples": lambda: fs.classify(LAYER, np.zeros((0, 2))),
    "classify samples too long": lambda: fs.classify(LAYER, np.zeros((4, 3))),
    "classify three axes": lambda: fs.classify(LAYER, np.zeros((4, 2, 1))),
    "classify with NaN": lambda: fs.classify(LAYER, [[1.0, 2.0], [NAN, 0.0]]),
    "classify outside the domain": lambda: fs.classify(LAYER, [[1.0, 2.0], [-1.0, 0.0]], domain=fs.NonNegative()),
    "omnidirectional of a vector": lambda: fs.omnidirectional([1.0, 2.0]),
    "omnidirectional with NaN": lambda: fs.omnidirectional([[1.0, NAN]]),
    "omnidirectional of nothing": lambda: fs.omnidirectional(np.zeros((0, 3))),
    "omnidirectional with b and no p": lambda: fs.omnidirectional([[1.0, 2.0]], [1.0]),
    "omnidirectional with p and no b": lambda: fs.omnidirectional([[1.0, 2.0]], p=[1.0, 2.0]),
    "omnidirectional with p too long": lambda: fs.omnidirectional([[1.0, 2.0]], [1.0], [1.0, 2.0, 3.0]),
    "omnidirectional with b too long": lambda: fs.omnidirectional([[1.0, 2.0]], [1.0, 2.0], [1.0, 2.0]),
    "unique_solution at no solution": lambda: fs.unique_solution([[1.0]], [0.0], [1.0]),
    "unique_solution of other shapes": lambda: fs.unique_solution([[1.0]], [0.0, 0.0], [1.0]),
    "unique_solution with NaN": lambda: fs.unique_solution([[1.0]], [0.0], [NAN]),
    "algorithm1 with y too short": lambda: fs.algorithm1(np.eye(2), np.zeros(2), [1.0]),
    "algorithm1 with NaN": lambda: fs.algorithm1(np.eye(2), [0.0, NAN], [1.0, 0.0]),
    "contains a vector too long": lambda: fs.preimage(LAYER, x=X).contains([1.0, 2.0, 3.0]),
    "contains NaN": lambda: fs.preimage(LAYER, x=X).contains([NAN, 1.0]),
    "width of a vector too short": lambda: fs.preimage(LAYER, x=X).width([1.0]),
    "width of a zero direction": lambda: fs.preimage(LAYER, x=X).width([0.0, 0.0]),
    "width with NaN": lambda: fs.preimage(LAYER, x=X).width([NAN, 1.0]),
    "sample a negative count": lambda: fs.preimage(LAYER, x=X).sample(-1, 0),
}


WRONG_TYPES: dict[str, Callable[[], Any]] = {
    "layer that is no layer": lambda: fs.preimage(np.eye(2), x=[1.0, 1.0]),
    "domain that is no domain": lambda: fs.preimage(LAYER, x=X, domain=(0, 1)),
    "domain that is a class": lambda: fs.preimage(LAYER, x=X, domain=fs.NonNegative),
    "intersection with something else": lambda: fs.preimage(LAYER, x=X, domain=fs.NonNegative() & 3),
    "classify something that is no layer": lambda: fs.classify("layer", [X]),
    "half-spaces given to nothing": lambda: fs.preimage(None, x=X, domain=fs.HalfSpaces([[1, 1]], [9])),
}
"""What the annotations forbid: the tests' own type checking would stop it first, so it is tried without."""


@pytest.mark.parametrize("name", BAD)
def test_is_refused_with_what_was_expected_and_what_came(name: str) -> None:
    with pytest.raises(fs.InputError) as caught:
        BAD[name]()
    assert _says_what_was_expected(caught.value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", WRONG_TYPES)
def test_wrong_types_are_refused_too(name: str) -> None:
    with pytest.raises(fs.InputError) as caught:
        WRONG_TYPES[name]()
    assert _says_what_was_expected(caught.value)


def _says_what_was_expected(error: fs.InputError) -> bool:
    told = f"{error.what}: expected {error.expected}, got {error.got}"
    return bool(error.what and error.expected and error.got) and str(error).startswith(told)


def test_what_can_be_taken_exactly_is_taken() -> None:
    """Lists, integers, booleans, float16 and float32 are exact in float64; the layer does not follow later changes."""
    for weight in ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], np.int8), np.array([[1, 2], [3, 4]], np.float16)):
        layer = fs.ReLULayer(weight, [True, False])
        assert layer.weight.dtype == np.float64
        assert fs.preimage(layer, x=np.array([1, 1], np.float32)).kind == fs.Kind.SINGLETON
    source = np.eye(2)
    layer = fs.ReLULayer(source, np.zeros(2))
    source[0, 0] = 7
    assert layer.weight[0, 0] == 1


def test_the_bound_of_a_domain_belongs_to_it() -> None:
    assert fs.preimage(LAYER, x=[0.0, 1.0], domain=fs.Box(0, 1)).kind != fs.Kind.EMPTY
    assert fs.preimage(LAYER, x=[0.0, -0.0], domain=fs.NonNegative()).kind != fs.Kind.EMPTY
