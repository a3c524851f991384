"""False claims that hold only up to rounding, and numbers or bytes that are none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from lies import UP_DOWN, Lie, one
from scipy.sparse import csc_array, csr_array

from plain_claims import certificate, claim, direction, floats, multipliers, scaling, system


def of_residuals() -> Iterator[Lie]:
    """What float64 leaves: more than a certificate says, or singular values that are smaller."""
    wide = system([[1.0, 1.0]])
    yield one(
        "more columns than rows", wide, "singleton", 0, tangent=(multipliers([0], [1.0], 0.5), None), x=[1.0, 1.0]
    )
    nearly = system([[1.0, 0.0], [-1.0, 2.0**-10]])
    for sigma in (0.0, 1.0):
        weights = multipliers([0, 1], [1.0, 1.0], sigma)
        yield one(f"nearly parallel rows, {sigma}", nearly, "singleton", 0, tangent=(weights, None), x=[0.0, 0.0])
    small_step = 2.0**-10
    turning = system([[1.0, 1.0], [small_step / 2 - 1.0, small_step - 1.0]], box=([0.0, -np.inf], np.inf))
    absorbing = multipliers([0, 1, 2], [1.0, 1.0, 0.0], 1.0)
    yield one("a weight that a correction turns", turning, "singleton", 0, tangent=(absorbing, None), x=[0.0, 0.0])
    small = multipliers([0, 1], [1e-3, 1e-3], 1.4)
    yield one("weights within their residual", system([[1.0], [1.0]]), "singleton", 0, tangent=(small, None), x=[0.0])
    # x_2 = 0 up to a residual, and two rows that only that residual leaves open
    corner = system([[0.0, 1.0], [1.0, 1.0], [-1.0, 1.0]], [1.0, 0.0, 0.0], box=(-9.0, 9.0))
    for sigma in (0.0, 0.5, 100.0):
        off = direction([0], [0.0, -(2.0**-30)], sigma)
        yield one(f"off an equation, {sigma}", corner, "bounded", 1, tangent=(None, off), x=[0.0, 0.0])
        yield one(
            f"off an equation exactly, {sigma}",
            corner,
            "bounded",
            1,
            tangent=(None, direction([0], ([0, -1], 2**30), sigma)),
            x=[0.0, 0.0],
        )
    basis = direction([0], [0.0, -1.0], 0.5, [])
    yield one("no basis", corner, "bounded", 1, tangent=(None, basis), x=[0.0, 0.0])
    other = direction([0], [0.0, -1.0], 0.5, [1])
    yield one(
        "a basis that is not held",
        system([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [-1.0, 1.0]], [1.0, -9.0, 0.0, 0.0], box=(-9.0, 9.0)),
        "bounded",
        1,
        tangent=(None, other),
        x=[0.0, 0.0],
    )
    many = system(
        [[0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, 0.0]], [1.0, 1.0, 0.0, 0.0, 1.0], box=(-9.0, 9.0)
    )
    full = direction([0, 1, 4], [-(2.0**-40), -(2.0**-30)], 0.5)
    yield one("more rows than columns", many, "bounded", 1, tangent=(None, full), basis=[0], x=[0.0, 0.0])


def of_corrections() -> Iterator[Lie]:
    """Directions that are exact only after a correction, which undoes what they seem to show."""
    e = 2.0**-30
    equal = system([[1.0, -1.0]], [1.0], box=([0.0, -9.0], [9.0, 0.0]))
    apart = direction([0], [e, -e], 1.4)
    yield one("coordinates within a correction", equal, "bounded", 1, tangent=(None, apart), x=[0.0, 0.0])
    leaning = system([[1.0, 2.0**-10], [-1.0, 0.0], [0.0, -1.0]], [1.0, -1.0, -1.0])
    yield one(
        "a row on what a correction moves",
        leaning,
        "unbounded",
        1,
        recession=(None, direction([0], [0.0, 1.0], 0.9)),
        x=[0.0, 0.0],
    )
    pinched = system([[1.0]])
    tiny = direction([0], [1e-300], 0.5)
    yield one("a direction within its correction", pinched, "unbounded", 1, recession=(None, tiny), x=[5.0], within=1.0)
    tenths = system([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [0.1, 0.2, -0.3], [0.0, 0.0, -1.0]], [1.0, 1.0, -1.0, -1.0])
    ones = direction([0, 1], [1.0, 1.0, 1.0])
    yield one("a row that rounding hides", tenths, "unbounded", 1, recession=(None, ones), x=[0.0, 0.0, 0.0])
    chain, last = np.eye(5)[:4] - np.eye(5, k=1)[:4], -np.eye(5)[4:]
    big = 1e16  # in one of these orders of terms, 1 vanishes beside it
    for row in ([big, 1.0, -big, 0.0, -0.5], [big, -big, 1.0, 0.0, -0.5], [0.0, 1.0, -big, big, -0.5]):
        steep = system([*chain, *last, row], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0], box=(-9.0, 9.0))
        part = direction([0, 1, 2, 3], np.ones(5))
        yield one(f"a row that rounding turns, {row}", steep, "bounded", 1, tangent=(None, part), x=np.zeros(5))
    e = 1e-20
    hidden = system(
        [[1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 1.0, -1.0]], [1.0, 1.0], box=([0.0, -9.0, -9.0, -9.0], [9.0, 0.0, 9.0, 9.0])
    )
    part = direction([0, 1], [e, -e, 1.0, 1.0], 0.5)
    yield one("a residual that rounding hides", hidden, "bounded", 2, tangent=(None, part), x=np.zeros(4))


def of_reading() -> Iterator[Lie]:
    """Numbers that name a row twice, or another than they seem to; sizes that are none."""
    ray = system([[1.0]])
    twice = multipliers([0, 0], [-1.0, 1.0])
    yield one("a row that is named twice", ray, "singleton", 0, tangent=(twice, None), x=[0.0])
    behind = multipliers([0, -3, 2], [-1.0, 1.0, 0.0])
    corner = system([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    yield one("a row that is counted from the end", corner, "singleton", 0, tangent=(behind, None), x=[0.0, 1.0])
    held = system([[0.0, 1.0], [1.0, 1.0], [-1.0, 1.0]], [1.0, 0.0, 0.0], box=(-9.0, 9.0))
    for number in (-1.0, np.nan):
        off = direction([0], [0.0, -(2.0**-30)], number)
        yield one(f"a size of {number}", held, "bounded", 1, tangent=(None, off), x=[0.0, 0.0])
    moved = direction([3], [0.0, -1.0], 0.0)
    right = direction([], [1.0])
    half = system([[-1.0]], [-1.0], G=[[1.0]], h=[1.0])
    units = {"scaling": scaling([0], [0]), "recession": (None, right), "x": [0.0]}
    yield one("units for the layer only", half, "unbounded", 1, **units)
    apart = multipliers([0, 1], [-1.0, 1.0])  # of x = 2, which the output would be without its units, and x <= 1.5
    inside = system([[2.0]], box=(0.0, 1.5))
    yield one("an output without units", inside, "empty", -1, tangent=(apart, None), scaling=scaling([1], [0]), y=[2.0])
    beside = system([[1.0], [-1.0]], high=[5.0, np.inf], box=(0.0, 9.0))
    up = direction([], [1.0])
    yield one("a unit below its end, beside one without", beside, "bounded", 1, tangent=(None, up), x=[1.0])
    yield one("units for no coordinate", system([[0.0]]), "singleton", 0, scaling=scaling([0], []), x=[0.0])
    pinned = system([[1.0, 1.0], [-1.0, 1.0]], box=([-9.0, 0.0], [9.0, 0.0]))
    yield one("a pinned coordinate that moves", pinned, "bounded", 1, tangent=(None, moved), x=[0.0, 0.0])
    beyond = system([[0.0]], [-1.0], G=[[1.0]], h=[0.0])
    yield one("an input beyond a half-space, where it would be known", beyond, "singleton", 0, x=[1.0])
    # d_1 <= (1 - 2^-50) d_2, d_1 >= d_2 >= 0: only 0, which floats cannot tell from a ray along (1, 1)
    thin = system([[1.0, 2.0**-50 - 1.0], [-1.0, 1.0], [0.0, -1.0]], [-5.0] * 3)
    diagonal = direction([], ([2**60, 2**60], 1))
    away = {"recession": (None, diagonal), "bounds": (1, 2), "x": [1.0, 1.0]}
    yield one("rational numbers that floats add up", thin, "unbounded", None, **away)


def of_numbers() -> Iterator[Lie]:
    """Arrays that are not made of finite float64 numbers, and sparse rows that store a place more than once."""
    left, right = _both_ways()
    down, up = (certificate("unbounded", 1, recession=(None, part), tangent=(None, part)) for part in (left, right))
    ray = system([[1.0]], [-(2.0**53)])
    said = replace(claim("unbounded", 1, down, x=[0.0], m=1), x=np.array([2**53 + 1]))
    yield Lie("an input of integers that float64 rounds", ray, (said,))
    whole = replace(ray, weight=np.array([[2**53 + 1]]))
    yield Lie("a weight of integers that float64 rounds", whole, (claim("unbounded", 1, down, x=[1.0], m=1),))
    yield Lie("an input at infinity", system([[1.0]]), (claim("unbounded", 1, down, x=[np.inf], m=1),))
    for name, written in (("down", down), ("up", up)):
        endless = system([[np.inf]], [-1.0])
        yield Lie(f"a weight of infinity, {name}", endless, (claim("unbounded", 1, written, x=[0.0], m=1),))
    ends = multipliers([0, 1], [1.0, 1.0], 1.0)
    between = {"recession": (ends, None), "x": [-5.0]}
    yield one("one bias for two units", replace(system(UP_DOWN), bias=floats([-1.0])), "bounded", 1, **between)
    endless = replace(system([[1.0]]), bias=floats([-np.inf]))
    yield Lie("an infinite bias", endless, (claim("unbounded", 1, down, x=[0.0], m=1),))
    beside = replace(system(UP_DOWN), bias=np.array([-(2**53) - 1, 2**53]))
    yield one("a bias of integers that float64 rounds", beside, "singleton", 0, tangent=(ends, None), x=[2.0**53])
    step = replace(system([[-1.0]], [2.0**53], G=[[1.0]], h=[0.0]), h=np.array([2**53 + 1]))
    sides = multipliers([0, 2], [1.0, 1.0], 1.0)
    yield one("a half-space of integers that float64 rounds", step, "singleton", 0, tangent=(sides, None), x=[2.0**53])
    # nine times the same place: the row is 9 there, and as long as 3
    data, places = np.ones(21), [1, 0, *[1] * 9, 0, *[1] * 9]
    data[11] = -1.0
    stored = csr_array((data, np.array(places), np.array([0, 1, 11, 21])), shape=(3, 2))
    corner = replace(system([[0.0, 1.0]] * 3, [1.0, 0.0, 0.0], box=(-9.0, 9.0)), weight=stored, G=csr_array((0, 2)))
    off = direction([0], [0.0, -(2.0**-30)], 0.9)
    yield one("a place that is stored nine times", corner, "bounded", 1, tangent=(None, off), x=[0.0, 0.0])
    # x_1 is read by the first unit; of these columns, taken for rows, by the second, which is constant
    columns = csc_array(floats([[0.0, 1.0], [0.0, 0.0]]))
    turned = replace(system([[0.0, 0.0]] * 2, [1.0, 5.0], high=[np.inf, 0.0]), weight=columns, G=csr_array((0, 2)))
    away = direction([], [1.0, 0.0])
    yield one("columns taken for rows", turned, "unbounded", 2, recession=(None, away), x=[0.0, 0.0])
    free = system([[0.0]], [-1.0])
    yield Lie(
        "a bound that is no number",
        replace(free, box_high=floats([np.nan])),
        (claim("unbounded", 1, up, x=[0.0], m=1),),
    )
    pinned = replace(free, box_low=np.array([2**53 + 1]), box_high=np.array([2**53 + 1]))
    yield one("bounds of integers that float64 rounds", pinned, "singleton", 0, x=[2.0**53])
    short = replace(system([[0.0, 0.0]], [-1.0]), box_high=floats([1.0]))
    diagonal = direction([], [-1.0, -1.0])
    yield one("one bound for two coordinates", short, "unbounded", 2, recession=(None, diagonal), x=[0.0, 0.0])
    yield one("outputs that no number is", system([[1.0]], low=np.inf), "unbounded", 1, recession=(None, left), x=[0.0])


def _both_ways() -> tuple[Any, Any]:
    return direction([], [-1.0]), direction([], [1.0])
