"""Rows in tiles that are proved to be independent, against singular values of the rows written out."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from fiberscope.checker import independence, matrices
from fiberscope.checker.blocks import Block, Blocks
from fiberscope.checker.certificates import Independence
from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.independence import correction
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.system import Rows, System
from fiberscope.checker.tiles import Columns, Gram, Tile

GRID, CHANNELS = 4, 2


def rows_of(scale: float = 1.0, seed: int = 0) -> Rows:
    """``[W, -1; S, F D]``: a residual block of small convolutions, S the identity, D what is on."""
    rng = np.random.default_rng(seed)
    shape = (CHANNELS, GRID, GRID)
    n = CHANNELS * GRID * GRID
    W, F = (
        Convolution(scale * rng.normal(size=(CHANNELS, CHANNELS, 3, 3)), shape, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
        for _ in range(2)
    )
    on = sparse.csr_array(sparse.diags_array((np.arange(n) % 2).astype(np.float64)))
    on.eliminate_zeros()
    identity, minus = (sparse.csr_array(sparse.diags_array(np.full(n, sign))) for sign in (1.0, -1.0))
    parts = (Block(0, 0, W, None), Block(0, 1, minus, None), Block(1, 0, identity, None), Block(1, 1, F, on))
    ends = np.full(2 * n, np.inf)
    none = sparse.csr_array((0, 2 * n))
    blocks = Blocks(parts, (n, n), (n, n))
    system = System(blocks, np.zeros(2 * n), np.zeros(2 * n), ends, -ends, ends, none, np.zeros(0))
    return Rows(system, rational=False)


def starts(count: int, size: int) -> np.ndarray:
    """Cells of some size."""
    return np.unique(np.append(np.arange(0, count, size), count)).astype(np.int64)


def ways(size: int = 5) -> dict[str, tuple[np.ndarray, Independence]]:
    """Rows, and how they are eliminated: definitions, or the shortcut, or nothing."""
    n = CHANNELS * GRID * GRID
    every, active = np.arange(n), n + np.arange(0, n, 3)
    held = np.concatenate([every, active])
    own, rest = active - n, np.setdiff1d(every, active - n)
    off, on = every[::2], every[1::2]

    def of(
        alone: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], rows: np.ndarray, columns: np.ndarray
    ) -> Independence:
        every_row, every_column = (
            np.concatenate([alone, pairs[0], rows]),
            np.concatenate([n + alone, pairs[1], columns]),
        )
        cells = (starts(len(part), size) for part in (pairs[0], rows, columns))
        return Independence(every_row, every_column, len(alone), len(alone) + len(pairs[0]), *cells)

    none = every[:0]
    return {
        "definitions": (held, of(none, (every, n + every), active, every)),
        "shortcut": (held, of(off, (active, own), on, np.concatenate([n + on, rest]))),
        "rows as they are": (active, of(none, (none, none), active, np.arange(2 * n))),
        "fewer columns": (held, of(off, (active, own), on, np.concatenate([n + on, rest])[3:])),
    }


def left(rows: Rows, part: Independence) -> np.ndarray:
    """What elimination leaves, written out."""
    A = rows.stack[np.arange(rows.m)].toarray()
    a, k = part.alone, part.paired
    r, c = part.rows, part.columns
    P, Q = A[np.ix_(r[a:k], c[a:k])], A[np.ix_(r[a:k], c[k:])]
    R, T = A[np.ix_(r[k:], c[a:k])], A[np.ix_(r[k:], c[k:])]
    return T - R @ np.linalg.solve(P, Q) if k > a else T


@pytest.mark.parametrize("size", [1, 5, 100])
@pytest.mark.parametrize("name", list(ways()))
def test_singular_values_of_what_is_left_are_told_from_smaller_and_larger_ones(name: str, size: int):
    rows, moved = rows_of(), np.ones(rows_of().n, dtype=np.bool_)
    held, part = ways(size)[name]
    smallest = float(np.linalg.svd(left(rows, part), compute_uv=False)[-1])
    assert smallest > 0.01
    v = np.zeros(rows.n)
    assert correction(rows, v, held, moved, part, 0.99 * smallest) < 1e-100
    with pytest.raises(NotProvedError, match="as independent"):
        correction(rows, v, held, moved, part, 1.01 * smallest)


@pytest.mark.parametrize("name", list(ways()))
def test_a_vector_that_vanishes_is_as_near_as_is_said(name: str):
    rows, rng = rows_of(), np.random.default_rng(1)
    held, part = ways()[name]
    moved = np.ones(rows.n, dtype=np.bool_)
    B = rows.stack[held].toarray()[:, part.columns]
    v = 1e-3 * rng.normal(size=rows.n)
    smallest = float(np.linalg.svd(left(rows, part), compute_uv=False)[-1])
    nearest = float(np.linalg.norm(np.linalg.pinv(B) @ (rows.stack[held] @ v)))
    bound = correction(rows, v, held, moved, part, 0.9 * smallest)
    assert nearest <= bound < np.inf
    with pytest.raises(NotProvedError, match="those that are held"):
        correction(rows, v, held, np.arange(rows.n) != part.columns[-1], part, 0.9 * smallest)
    with pytest.raises(NotProvedError, match="those that are held"):
        correction(rows, v, held[:-1], moved, part, 0.9 * smallest)


def test_what_is_no_elimination_is_refused():
    rows, moved = rows_of(), np.ones(rows_of().n, dtype=np.bool_)
    held, part = ways()["shortcut"]
    a, k = part.alone, part.paired
    swapped, shifted, joined = part.columns.copy(), part.columns.copy(), part.rows.copy()
    swapped[[a, a + 1]] = swapped[[a + 1, a]]  # pairs that are not each other's
    shifted[[0, -1]] = shifted[[-1, 0]]  # a row that reads another column, set aside
    joined[[0, k]] = joined[[k, 0]]  # a row that is read, set aside with a column that is not its own
    wrong = [
        replace(part, columns=swapped),
        replace(part, columns=shifted),
        replace(part, rows=joined),
        replace(part, alone=a + 1, pair_cells=starts(k - a - 1, 5)),
        replace(part, paired=k + 1, pair_cells=starts(k - a + 1, 5), row_cells=starts(len(held) - k - 1, 5)),
    ]
    for false in wrong:
        with pytest.raises(NotProvedError, match="eliminated by"):
            correction(rows, np.zeros(rows.n), held, moved, false, 1e-3)
    with pytest.raises(NotProvedError, match="those that are held"):
        correction(rows, np.zeros(rows.n), held, moved, part, 0.0)
    large = replace(part, row_cells=np.array([0, 2000]))
    with pytest.raises(NotProvedError, match="too large"):
        correction(rows, np.zeros(rows.n), held, moved, large, 1e-3)


def test_entries_of_pairs_are_ones():
    rows = rows_of()
    n = CHANNELS * GRID * GRID
    half = sparse.csr_array(sparse.diags_array(np.full(n, 0.5)))
    blocks = tuple(replace(b, outer=half) if (b.row, b.column) == (1, 0) else b for b in rows.stack.blocks)
    other = Rows(replace(rows.system, weight=replace(rows.stack, blocks=blocks)), rational=False)
    held, part = ways()["shortcut"]
    with pytest.raises(NotProvedError, match="not 1 or -1"):
        correction(other, np.zeros(rows.n), held, np.ones(rows.n, dtype=np.bool_), part, 1e-3)


def small(matrix: Any, alone: int, paired: int) -> tuple[Rows, Independence]:
    """All rows of a matrix on all columns, of which the first ones are eliminated; as a picture of one pixel."""
    W = np.array(matrix, dtype=np.float64)
    (m, n), no_half_space = W.shape, sparse.csr_array((0, W.shape[1]))
    weight = Convolution(W[:, :, None, None].copy(), (n, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    sides = np.zeros(m), np.full(m, np.inf), np.full(n, -np.inf), np.full(n, np.inf)
    rows = Rows(System(weight, np.zeros(m), *sides, no_half_space, np.zeros(0)), rational=False)
    cells = (starts(count, 5) for count in (paired - alone, m - paired, n - paired))
    return rows, Independence(np.arange(m), np.arange(n), alone, paired, *cells)


def moves(matrix: Any, alone: int, paired: int, v: list[float], s: float = 0.9) -> float:
    """What is proved of the distance to a vector that vanishes on all rows."""
    rows, part = small(matrix, alone, paired)
    held, moved = np.arange(rows.m), np.ones(rows.n, dtype=np.bool_)
    return correction(rows, np.array(v), held, moved, part, s)


@pytest.mark.parametrize(
    ("matrix", "alone", "paired", "v", "s"),
    [
        pytest.param([[1, 0], [1, 1e-3]], 0, 1, [1, -1e3], 0.9e-3, id="a pair changes what is left"),
        pytest.param([[1, 99, 0], [0, 1, 99], [0, 0, 1]], 1, 2, [99**2, -99, 1], 0.9, id="what is left changes all"),
        pytest.param([[1, 0], [0, 1]], 1, 1, [1, 0], 0.9, id="a row that is set aside"),
    ],
)
def test_corrections_of_some_rows_change_others(matrix: Any, alone: int, paired: int, v: list[float], s: float):
    """No other vector than 0 vanishes on independent rows, as many as columns."""
    assert np.linalg.norm(v) <= moves(matrix, alone, paired, v, s) < np.inf


def test_rounding_of_products_and_of_what_is_left_is_counted():
    r = 1.0 + 2.0**-30  # r r = 1 + 2**-29 + 2**-60, of which float64 has no last digit
    v = [r, -(1.0 + 2.0**-29)]
    assert moves([[r, 1.0]], 0, 0, v) >= 2.0**-61
    above = np.nextafter(1.0 + 2.0**-29, 2.0)
    true = float(Fraction(above) - Fraction(r) ** 2)
    with pytest.raises(NotProvedError, match="as independent"):
        moves([[1.0, r], [r, above]], 0, 1, [0.0, 0.0], 1.001 * true)


@pytest.mark.parametrize(
    ("matrix", "alone", "paired", "refused"),
    [
        pytest.param([[1, 0], [99, 1]], 1, 1, "read by other rows", id="what is set aside is read"),
        pytest.param(
            [[1, 0, 0, 0], [0, 1, 0, 0], [2, -1, 0, 0], [1 - 1e-6, 0, 1e-6, 0]],
            *(0, 4, "read by other rows"),
            id="two columns, whose numbers add up to that of one",
        ),
    ],
)
def test_false_eliminations_are_refused(matrix: Any, alone: int, paired: int, refused: str):
    with pytest.raises(NotProvedError, match=refused):
        moves(matrix, alone, paired, [0.0] * len(matrix[0]))


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (7, 5)])
def test_no_matrix_is_longer_than_its_bound(shape: tuple[int, int]):
    A = np.random.default_rng(4).uniform(0.5, 1.0, size=shape)
    bound = independence._norm(small(A, 0, 0)[0].stack)
    assert np.linalg.norm(A, 2) <= bound <= np.sqrt(np.abs(A).sum(axis=0).max() * np.abs(A).sum(axis=1).max()) * 1.001


@pytest.mark.parametrize("name", ["definitions", "shortcut"])
def test_dependent_rows_are_never_independent(name: str):
    rows = rows_of(scale=0.0)  # rows that define are -z, and the others are x: their parts are known
    held, part = ways()[name]
    assert correction(rows, np.zeros(rows.n), held, np.ones(rows.n, dtype=np.bool_), part, 0.5) < 1e-100
    n = CHANNELS * GRID * GRID
    columns = part.columns.copy()
    read = columns[part.paired :]
    keep = read != (0 if name == "definitions" else n + 1)  # the only column that one of the rows reads
    less = replace(part, columns=np.append(columns[: part.paired], read[keep]), column_cells=starts(int(keep.sum()), 5))
    with pytest.raises(NotProvedError, match="as independent"):
        correction(rows, np.zeros(rows.n), held, np.ones(rows.n, dtype=np.bool_), less, 1e-12)


@pytest.mark.parametrize("first", [0, 2], ids=["a band", "rows that read all columns"])
def test_factors_in_blocks_are_those_of_the_whole(first: int, monkeypatch: pytest.MonkeyPatch):
    """Where the first rows share columns with all others, those of which no two do are joined by elimination."""
    from fiberscope.checker import tiles

    monkeypatch.setattr(tiles, "BLOCK", 3)
    width = 6 if first == 0 else 1
    reads = np.abs(np.subtract.outer(2 * np.arange(20), np.arange(40))) <= width
    reads[:first] = True
    X = np.where(reads, np.random.default_rng(2).normal(size=(20, 40)), 0.0)
    columns = Columns(np.arange(40), starts(40, 4), 40)
    gram = Gram([columns.written(sparse.csr_array(X[k : k + 2])) for k in range(0, 20, 2)])
    least = float(np.linalg.eigvalsh(X @ X.T)[0])
    assert least > 1e-4
    assert np.isclose(gram.size, np.linalg.norm(X))
    assert gram.is_definite(least - 1e-9 * (1 + abs(least)))
    assert not gram.is_definite(least + 1e-9 * (1 + abs(least)))
    for bad in (np.nan, np.inf):
        tile = Tile(np.array([0]), np.array([0, 1]), np.array([[bad]]))
        assert not Gram([tile]).is_definite(0.0)


def test_memory_is_refused(monkeypatch: pytest.MonkeyPatch):
    from fiberscope.checker import tiles

    monkeypatch.setattr(tiles, "MAX_ENTRIES", 20)
    rows = rows_of()
    held, part = ways()["shortcut"]
    with pytest.raises(NotProvedError, match=r"written out|more memory"):
        correction(rows, np.zeros(rows.n), held, np.ones(rows.n, dtype=np.bool_), part, 1e-3)


def test_the_shift_is_that_of_the_dense_proof():
    X = np.random.default_rng(3).normal(size=(5, 9))
    size = matrices.norm_above(X)
    smallest = float(np.linalg.svd(X, compute_uv=False)[-1])
    for s, holds in ((0.999 * smallest, True), (1.001 * smallest, False)):
        shift = matrices.shift_of_gram(size, 5, 9, s)
        assert Gram([Tile(np.array([0]), np.array([0, 9]), X)]).is_definite(shift) is holds
        assert matrices.is_definite(X @ X.T, size, 9, s) is holds
