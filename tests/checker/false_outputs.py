"""False claims about outputs, given, known to a precision or to an interval, and claims that contradict themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from lies import UP_DOWN, Lie, one

from plain_claims import certificate, claim, direction, floats, multipliers, relations, system


def of_outputs() -> Iterator[Lie]:
    """Outputs that are said to have no preimage, or a point that is none."""
    zero = multipliers([0, 1], [1.0, 1.0])
    yield one("sides that sum to 0", system(UP_DOWN), "empty", None, tangent=(zero, None), y=[0.0, 0.0])
    yield one("nothing that contradicts", system(UP_DOWN), "empty", None, y=[0.0, 0.0])
    yield one("an input", system(UP_DOWN), "empty", None, tangent=(zero, None), x=[0.0])
    tops = system([[1.0], [1.0]], [2.0, 0.0], high=1.0)
    apart = multipliers([0, 1], [1.0, -1.0])
    yield one("an upper side that is missing", tops, "empty", None, tangent=(apart, None), y=[1.0, 1.0])
    yield one(
        "a lower side that is missing",
        system([[1.0], [1.0]], [2.0, 0.0]),
        "empty",
        None,
        tangent=(apart, None),
        y=[0.0, 0.0],
    )
    two, off = system([[1.0], [1.0]]), direction([], [1.0])
    yield one("a point that is none", two, "singleton", None, bounds=(-1, 0), tangent=(None, off), y=[1.0, 2.0])
    far = multipliers([0, 1], [-1.0, 1e-3], 5e-11)
    yield one(
        "a sign that is not certain",
        system([[1.0], [1000.0]], [0.0, -5000.0]),
        "empty",
        None,
        tangent=(far, None),
        y=[1.0, 0.0],
    )
    close = 1.0 + 2.0**-20
    yield one(
        "a residual of equations",
        system([[1.0], [close]]),
        "empty",
        None,
        tangent=(multipliers([0, 1], [1.0, -1.0], 1.0), None),
        y=[1.0, close],
    )
    third = system([[1.0], [close], [1.0]], [0.0, 0.0, -5.0])
    unsigned = multipliers([0, 1, 2], [1.0, -1.0, 0.0], 1.7)
    yield one("a weight of 0 up to a residual", third, "empty", None, tangent=(unsigned, None), y=[1.0, close, 0.0])
    absorbed = multipliers([0, 1], [1.0, 0.0])
    yield one("a bound that is missing", system([[1.0]], [1.0]), "empty", None, tangent=(absorbed, None), y=[0.0])
    yield one(
        "a bound that is on the other side",
        system([[1.0]], [1.0], box=(-np.inf, 0.0)),
        "empty",
        None,
        tangent=(absorbed, None),
        y=[0.0],
    )
    v, place = floats([[0.1], [0.2], [-0.3]]), 2.0**50
    tenths = system(v, -v[:, 0] * place, box=(place, place))
    yield one(
        "weights that rounding makes",
        tenths,
        "empty",
        None,
        tangent=(multipliers([0, 1, 2, 3], [1.0, 1.0, 1.0, 0.0]), None),
        y=[0.0, 0.0, 0.0],
    )
    mirrored = system(-v, -v[:, 0] * place, box=(-place, -place))
    weights = multipliers([0, 1, 2, 3], [1.0, 1.0, 1.0, 0.0])
    yield one("weights that rounding makes, mirrored", mirrored, "empty", None, tangent=(weights, None), y=[0.0] * 3)
    ranks = multipliers([0, 1], None)
    yield one(
        "rows that are no equations",
        system([[1.0], [1.0]], [0.0, -1.0]),
        "empty",
        None,
        tangent=(ranks, None),
        y=[0.0, 0.0],
    )
    yield one(
        "a coordinate among equations", system([[2.0]], box=(1.0, 1.0)), "empty", None, tangent=(ranks, None), y=[2.0]
    )
    yield one("equations that agree", system([[1.0], [2.0]]), "empty", None, tangent=(ranks, None), y=[1.0, 2.0])
    yield one(
        "dependent equations that agree",
        system([[1.0, 0.0], [2.0, 0.0]]),
        "empty",
        None,
        tangent=(ranks, None),
        y=[1.0, 2.0],
    )
    # points of outputs
    beyond = system([[1.0]], box=(-9.0, 1.0 - 2.0**-31))
    near = direction([0], [1.0 - 2.0**-30], 0.9)
    yield one("a bound within a correction", beyond, "singleton", 0, tangent=(None, near), y=[1.0])
    eps = 2.0**-30
    equation = system([[1.0], [1.0]], [0.0, -1.0 + eps / 2], box=(-9.0, 9.0))
    yield one(
        "a point within its residual",
        equation,
        "singleton",
        0,
        tangent=(None, direction([0], [1.0 - eps], 0.9)),
        y=[1.0, 0.0],
    )
    clashing = system([[1.0], [1.0]])
    apart_by_rounding = {"tangent": (None, direction([0, 1], [1.0], 0.9)), "basis": [0], "y": [1.0, 1.0 + 2.0**-40]}
    yield one("more equations than coordinates", clashing, "singleton", 0, **apart_by_rounding)
    yield one(
        "equations that disagree",
        clashing,
        "singleton",
        0,
        tangent=(None, direction([0, 1], [1.0], 0.5, [0])),
        relations=relations(([1, 0], [1.0, -1.0])),
        y=[1.0, 2.0],
    )
    yield one(
        "equations that disagree, of no sigma",
        clashing,
        "singleton",
        0,
        tangent=(None, direction([0, 1], [1.0])),
        y=[1.0, 2.0],
    )
    yield one(
        "inequalities that hold a point",
        system([[1.0], [-1.0]], [1.0, 0.0]),
        "singleton",
        0,
        tangent=(multipliers([0, 1], [1.0, 1.0]), direction([0, 1], [0.0], 0.5, [0])),
        relations=relations(([1, 0], [1.0, 1.0])),
        y=[0.0, 0.0],
    )
    zeros = system([[0.0], [1.0]])
    yield one(
        "a zero row off its side", zeros, "singleton", 0, tangent=(None, direction([0, 1], [1.0], 0.5)), y=[1.0, 1.0]
    )
    yield one(
        "a zero row above its side",
        system([[0.0], [1.0]], [1.0, 0.0]),
        "singleton",
        0,
        tangent=(None, direction([1], [1.0], 0.5)),
        y=[0.0, 1.0],
    )
    yield one(
        "a coordinate held off its bounds",
        system([[0.0]], box=(1.0, 1.0)),
        "singleton",
        0,
        tangent=(None, direction([1], [0.0])),
        y=[0.0],
    )
    yield one(
        "a coordinate beyond its bound",
        system([[1.0]], box=(-np.inf, 0.0)),
        "singleton",
        0,
        tangent=(None, direction([0, 1], [1.0])),
        y=[1.0],
    )
    yield one(
        "a coordinate below its bound",
        system([[-1.0]], box=(0.0, np.inf)),
        "singleton",
        0,
        tangent=(None, direction([0, 1], [-1.0])),
        y=[1.0],
    )
    endless = system([[1.0], [1.0]], low=[-np.inf, 0.0])
    yield one(
        "what nothing cuts off, as something that is cut off",
        endless,
        "unbounded",
        1,
        recession=(None, direction([], [-1.0])),
        tangent=(None, direction([], [-1.0])),
        y=[0.0, 0.0],
    )
    impossible = system([[1.0]])
    yield one(
        "an output of no input",
        impossible,
        "unbounded",
        1,
        tangent=(None, direction([], [-2.0])),
        recession=(None, direction([], [-1.0])),
        y=[-1.0],
    )


def of_precisions() -> Iterator[Lie]:
    """Outputs at an input that are known up to something."""
    rank = certificate("singleton", 0)
    claims = [claim("singleton", 0, rank, x=[2.0], m=1, within=within) for within in (0.0, 5.0)]
    yield Lie("an output that is less well known than another", system([[1.0]]), tuple(claims), (1,))
    up, down = multipliers([0, 1], [1.0, 1.0]), multipliers([0, 1], [-1.0, -1.0])
    for name, low, high, weights in (("low", 0.0, np.inf, up), ("high", -1.0, 0.0, down)):
        clip = system(UP_DOWN, low=low, high=high)
        yield one(f"a kink near by, {name}", clip, "singleton", 0, tangent=(weights, None), x=[0.0], within=0.5)
    for name, x, weights in (("over", 10.0, [-1.0, 1.0]), ("under", -10.0, [1.0, -1.0])):
        clip = system([[1.0]], high=1.0, box=(-np.inf, 20.0) if x > 0 else (-20.0, np.inf))
        ends = (multipliers([0, 1], weights), None)
        yield one(f"a precision {name} the whole clip", clip, "bounded", 1, recession=ends, x=[x], within=2.0)
    held = {"recession": (multipliers([0], [1.0], 0.5), None), "x": [2.0]}
    both, ends = {"tangent": (multipliers([0, 1], [1.0, 1.0], 1.0), None)}, system(UP_DOWN, [0.0, 2.0])
    yield one("a precision that reaches a kink", ends, "singleton", 0, **both, x=[1.0], within=1.0)
    both = {"tangent": (multipliers([0, 1], [-1.0, -1.0], 1.0), None)}
    ends = system(UP_DOWN, [0.0, 2.0], low=-5.0, high=2.0)
    yield one("a precision that reaches an upper kink", ends, "singleton", 0, **both, x=[1.0], within=1.0)
    for name, within in (("below", [[np.inf], [1.0]]), ("above", [[1.0], [np.inf]])):
        yield one(f"no end {name}", system([[1.0]]), "bounded", 1, within=within, **held)
    corner, apart = system(UP_DOWN, [0.0, 4.0]), [[0.0, 0.0], [1.0, 1.0]]
    yield one("ends at the output itself", corner, "bounded", 1, within=apart, **held)


def of_sides() -> Iterator[Lie]:
    """Where an output that is known to an interval has no side, and where it has one."""
    never = multipliers([0, 1], [1.0, 1.0]), None
    yield one(
        "an end at infinity",
        system(UP_DOWN, [0.0, 1.0]),
        "empty",
        -1,
        tangent=never,
        y=([1.0, 0.0], [np.inf, 0.0]),
    )
    yield one(
        "a side that rounding hides",
        system([[1.0]], low=1.0, box=(-np.inf, 5.0)),
        "unbounded",
        1,
        tangent=(None, direction([], [3.0])),
        recession=(None, direction([], [-1.0])),
        y=([1.0 + 2.0**-52], [4.0]),
        within=2.0**-53 + 2.0**-60,
    )


def of_statements() -> Iterator[Lie]:
    """Claims that contradict themselves, their certificate, or what a claim is."""
    between, point = system(UP_DOWN, [-1.0, -1.0], box=(-9.0, 9.0)), system([[1.0]])
    honest = certificate("bounded", 1)
    for name, kind, dimension, bounds in (
        *(("another kind", "singleton", 0, None), ("another dimension", "bounded", 2, None)),
        *(("no kind", "full", 1, None), ("bounds upside down", "bounded", None, (2, 1))),
        *(("too low", "bounded", None, (-5, 0)), ("a point of a dimension", "singleton", 1, None)),
    ):
        yield Lie(name, between, (claim(kind, dimension, honest, x=[0.0], m=2, bounds=bounds),))
    yield Lie("of two dimensions", between, (claim("bounded", 1, certificate("bounded", 2), x=[0.0], m=2),))
    yield Lie("empty of a dimension", point, (claim("empty", None, certificate("empty"), y=[-1.0], bounds=(1, 1)),))
    yield Lie("empty of dimension 0", point, (claim("empty", 0, certificate("empty"), y=[-1.0]),))
    single = certificate("singleton", 0)
    for name, asked in (
        *(("x and y", {"x": [1.0], "y": [2.0]}), ("neither", {"m": 1}), ("no number", {"x": [np.nan], "m": 1})),
        *(("infinite", {"x": [np.inf], "m": 1}), ("negative", {"x": [1.0], "m": 1, "within": -1.0})),
        *(("long", {"x": [1.0, 2.0], "m": 1}), ("NaN within", {"x": [1.0], "m": 1, "within": np.nan})),
        *(("endless", {"x": [1.0], "m": 1, "within": np.inf}), ("a matrix", {"x": [[1.0]], "m": 1})),
    ):
        yield Lie(f"an input: {name}", point, (claim("singleton", 0, single, **asked),))
    place = certificate("singleton", 0, tangent=(None, direction([0], [1.0])))
    for low, high in (([2.0], [1.0]), ([np.inf], [np.inf]), ([np.nan], [1.0]), ([1.0, 1.0], [1.0, 1.0])):
        said = claim("singleton", 0, place, y=(low, high), m=1)
        yield Lie(f"an output: {low} {high}", point, (said,))
    nothing = certificate("empty")
    yield Lie("an interval upside down", point, (claim("empty", None, nothing, y=([2.0], [-1.0])),))
    yield Lie("minus infinity", point, (claim("empty", None, nothing, y=([-np.inf], [-np.inf])),))
    yield Lie("a negative precision", point, (claim("empty", None, nothing, y=[0.0], within=-1.0),))
