"""All inputs of a box with given features, of tiny networks with whole numbers: region by region, in whole numbers.

Within one choice of the pieces of all units the inputs with the features are a polytope of the box, and so the hull of
its vertices. These are found by solving every n of its constraints with Cramer's rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.network import Network

Forms = NDArray[np.object_]
"""Affine functions of the input, one per row: coefficients, and the constant last."""


def has_another(network: Network, x: NDArray[Any], layer: int, low: int, high: int) -> bool:
    """Whether another input of the box has exactly the features of x."""
    n, stage = network.inputs, network.placed_layers[layer].stage
    box = np.concatenate(
        [np.hstack([np.eye(n), np.full((n, 1), -high)]), np.hstack([-np.eye(n), np.full((n, 1), low)])]
    )
    start: Forms = np.hstack([np.eye(n), np.zeros((n, 1))]).astype(int).astype(object)
    point = whole(x)
    goal = {-1: point}
    for number in network.needed_for(stage):
        goal[number] = _at(network, number, [goal[source] for source in network.sources(number)])
    constraints = box.astype(int).astype(object)
    for vertices in _pieces(network, list(network.needed_for(stage)), {-1: start}, constraints, goal[stage]):
        if any((row[:-1] != point * row[-1]).any() for row in vertices):
            return True
    return False


def whole(x: NDArray[Any]) -> NDArray[np.object_]:
    """Whole numbers of any length."""
    values = np.asarray(x)
    assert (values == np.round(values)).all()
    return np.array([int(value) for value in values.ravel()], dtype=object)


def _at(network: Network, number: int, before: list[Any]) -> Any:
    """What a stage gives for whole numbers."""
    stage = network.stages[number]
    match stage.activation:
        case None:
            return sum(whole_rows(a) @ v + whole(a.bias) for a, v in zip(stage.maps, before, strict=True))
        case Pointwise() as activation:
            low, high = activation.cut
            return np.array([min(max(v, low), high) for v in before[0]], dtype=object)
        case Maximum() as activation:
            return np.array(
                [max(before[0][i] for i in row if i >= 0) for row in activation.index.tolist()], dtype=object
            )


def whole_rows(affine: Any) -> NDArray[np.object_]:
    rows = affine.rows()
    return whole(rows).reshape(rows.shape)


def _pieces(
    network: Network, needed: list[int], known: dict[int, Forms], constraints: Forms, goal: Any
) -> Iterator[Any]:
    """The vertices of every piece that has points: rows of numerators, with their denominator last."""
    number, *later = needed
    stage, before = network.stages[number], [known[source] for source in network.sources(number)]
    if stage.activation is None:
        total = 0
        for affine, forms in zip(stage.maps, before, strict=True):
            part = whole_rows(affine) @ forms
            part[:, -1] += whole(affine.bias)
            total = total + part
        yield from _pieces(network, later, known | {number: total}, constraints, goal)
        return
    (forms,) = before
    if not later:
        found = vertices_of(np.concatenate([constraints, *_equal(forms, stage.activation, goal)]))
        if len(found):
            yield found
        return
    for chosen, bounds in _choices(stage.activation, forms, constraints):
        yield from _pieces(network, later, known | {number: chosen}, bounds, goal)


def _equal(forms: Forms, activation: Pointwise, goal: Any) -> Iterator[Forms]:
    """What the features say of the last pre-activations."""
    low, high = activation.cut
    for form, value in zip(forms, goal, strict=True):
        shifted = form.copy()
        shifted[-1] -= int(value)
        if value < high:
            yield shifted[None]
        if value > low:
            yield -shifted[None]


def _choices(activation: Any, forms: Forms, constraints: Forms) -> Iterator[tuple[Forms, Forms]]:
    """Every choice of pieces that leaves a point, unit by unit: what the activation gives, and the constraints."""
    units = activation.index.tolist() if isinstance(activation, Maximum) else range(len(forms))
    partial = [([], constraints)]
    for unit in units:
        partial = [
            ([*chosen, piece], np.concatenate([bounds, more]))
            for chosen, bounds in partial
            for piece, more in _of_unit(activation, forms, unit)
            if len(vertices_of(np.concatenate([bounds, more])))
        ]
    for chosen, bounds in partial:
        yield np.stack(chosen), bounds


def _of_unit(activation: Any, forms: Forms, unit: Any) -> Iterator[tuple[Forms, Forms]]:
    if isinstance(activation, Maximum):
        window = [i for i in unit if i >= 0]
        for winner in window:
            others = [forms[i] - forms[winner] for i in window if i != winner]
            yield forms[winner], np.array(others, dtype=object).reshape(-1, forms.shape[1])
        return
    form, (low, high) = forms[unit], activation.cut
    constant = np.zeros_like(form)
    one = np.array([0] * (len(form) - 1) + [1], dtype=object)
    inside = []
    if low > -np.inf:
        yield constant + one * int(low), (form - one * int(low))[None]
        inside.append(one * int(low) - form)
    if high < np.inf:
        yield constant + one * int(high), (one * int(high) - form)[None]
        inside.append(form - one * int(high))
    yield form, np.array(inside, dtype=object).reshape(-1, len(form))


def vertices_of(constraints: Forms) -> Forms:
    """The vertices of ``{x : a x + b <= 0}``, bounded: numerators, and their positive denominator."""
    n = constraints.shape[1] - 1
    rows = np.array(list(dict.fromkeys(map(tuple, constraints.tolist()))), dtype=object)
    index = np.array(list(combinations(range(len(rows)), n)))
    chosen = rows[index]
    det = _determinant(chosen[:, :, :n])
    regular = det != 0
    chosen, det = chosen[regular], det[regular]
    columns = []
    for j in range(n):
        replaced = chosen[:, :, :n].copy()
        replaced[:, :, j] = -chosen[:, :, n]
        columns.append(_determinant(replaced))
    sign = np.where(det < 0, -1, 1)
    points = np.stack([*(column * sign for column in columns), det * sign], axis=1)
    feasible = (rows @ points.T <= 0).all(axis=0)
    return points[feasible]


def _determinant(matrices: Any) -> Any:
    """Of (N, n, n) matrices of whole numbers."""
    n = matrices.shape[1]
    if n == 1:
        return matrices[:, 0, 0]
    total = 0
    for j in range(n):
        minor = np.delete(matrices[:, 1:], j, axis=2)
        total = total + (-1) ** j * matrices[:, 0, j] * _determinant(minor)
    return total
