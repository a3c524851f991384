"""Rows that depend on each other exactly, as those of convolutions do: proved in float64, and nothing false is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from flint import fmpz_mat
from scipy.sparse import csr_array

import fiberscope as fs
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.convolution import Convolution
from fiberscope.preimage.dependencies import find_dependencies
from fiberscope.preimage.elaborate import find_rank, relations_of
from fiberscope.preimage.scalings import units_as_given
from fiberscope.preimage.sided_rows import Numbering
from fiberscope.preimage.verify import verify_in_float

SIDE = 9
DOMAINS = [None, fs.NonNegative(), fs.Box(0, 1)]


def convolution(channels: int, kernel: int, *, stride: int = 1, padding: int = 0, seed: int = 0) -> fs.ReLULayer:
    """One channel of SIDE x SIDE pixels, seen by several kernels of float32 numbers."""
    weight = np.random.default_rng(seed).uniform(-1, 1, (channels, 1, kernel, kernel)).astype(np.float32)
    shape = (1, SIDE, SIDE)
    rows = Convolution(weight, shape, stride=(stride,) * 2, padding=((padding, padding),) * 2).rows()
    return fs.ReLULayer(rows)


def pixels(seed: int) -> FloatArray:
    return np.random.default_rng(seed).uniform(0.1, 0.9, SIDE * SIDE).astype(np.float32).astype(np.float64)


def exact_rank(rows: FloatArray) -> int:
    """By elimination over the integers."""
    integers = [[int(v * 2.0**160) for v in row] for row in rows.tolist()]
    return fmpz_mat(integers).rank() if integers else 0


def dense_rows(layer: fs.ReLULayer) -> FloatArray:
    return np.asarray(layer.weight.toarray() if not isinstance(layer.weight, np.ndarray) else layer.weight)


@pytest.mark.parametrize("domain", DOMAINS, ids=["whole space", "orthant", "box"])
@pytest.mark.parametrize(("channels", "kernel"), [(2, 3), (2, 4), (3, 3)])
def test_channels_of_a_convolution(channels: int, kernel: int, domain: fs.Box | fs.NonNegative | None) -> None:
    layer, x = convolution(channels, kernel), pixels(1)
    p = fs.preimage(layer, x=x, domain=domain)
    rows = dense_rows(layer)
    assert p.dimension == SIDE**2 - exact_rank(rows[rows @ x > 0])
    assert verify_in_float(p)
    if domain is None:
        assert (p.kind == fs.Kind.UNBOUNDED) >= (exact_rank(rows) < SIDE**2)
    else:
        assert p.kind in ((fs.Kind.SINGLETON,) if p.dimension == 0 else (fs.Kind.BOUNDED, fs.Kind.UNBOUNDED))


def test_two_channels_have_as_many_relations_as_the_exact_rank_leaves() -> None:
    layer = convolution(2, 3)
    found = find_dependencies(layer.weight)
    assert found is not None
    rows = dense_rows(layer)
    assert len(found.starts) - 1 == len(rows) - exact_rank(rows)


@pytest.mark.parametrize("side", ["rows", "columns"])
def test_powers_of_two_change_nothing(side: str) -> None:
    layer, x = convolution(2, 3), pixels(2)
    count = layer.outputs if side == "rows" else layer.inputs
    factors = 2.0 ** np.random.default_rng(3).integers(-40, 40, count)
    scaled = fs.ReLULayer(csr_array(layer.weight.multiply(factors[:, None] if side == "rows" else factors[None])))
    first, second = fs.preimage(layer, x=x), fs.preimage(scaled, x=x if side == "rows" else x / factors)
    assert (first.kind, first.dimension) == (second.kind, second.dimension)
    assert verify_in_float(second)


def test_the_relations_survive_bytes() -> None:
    p = fs.preimage(convolution(2, 3), x=pixels(1))
    assert p.certificate.relations is not None
    again = fs.Certificate.from_bytes(p.certificate.to_bytes())
    assert verify_in_float(replace(p, certificate=again))
    assert not verify_in_float(replace(p, certificate=replace(again, relations=None)))


def damaged(part: fs.Relations) -> dict[str, fs.Relations]:
    values, values_before, rows, starts = part.values.copy(), part.values, part.rows.copy(), part.starts
    values[0] = np.nextafter(values[0], np.inf)
    first = slice(starts[0], starts[1])
    more = [np.append(numbers, numbers[first]) for numbers in (rows, values_before)]
    twice = fs.Relations(np.append(starts, starts[-1] + starts[1]), *more)
    named_twice = rows.copy()
    named_twice[1] = named_twice[0]
    return {
        "an ulp away": fs.Relations(starts, rows, values),
        "one named twice": twice,
        "a row named twice": fs.Relations(starts, named_twice, part.values),
        "another row": fs.Relations(starts, (rows + 1) % rows.max(), part.values),
        "outside": fs.Relations(starts, rows + 10**6, part.values),
        "negative": fs.Relations(starts, rows - 10**6, part.values),
        "empty ones": fs.Relations(np.append(starts, starts[-1]), rows, part.values),
        "no starts": fs.Relations(starts[:0], rows, part.values),
        "not a number": fs.Relations(starts, rows, part.values * np.nan),
        "nothing": fs.Relations(starts, rows, part.values * 0.0),
    }


def test_damaged_relations_prove_nothing() -> None:
    p = fs.preimage(convolution(2, 3), x=pixels(1))
    assert p.certificate.relations is not None
    for what, part in damaged(p.certificate.relations).items():
        answer = verify_in_float(replace(p, certificate=replace(p.certificate, relations=part)))
        assert not answer, what
        assert "malformed" not in answer.reason, (what, answer.reason)


def test_a_rank_that_is_an_ulp_too_large() -> None:
    # the last row is the sum of the first two, but for one bit: nearly singular, and yet of rank 3
    rows = np.array([[1.0, 2.0, 0.0, 1.0], [0.5, -1.0, 1.0, 0.0], [1.5, 1.0, 1.0, 1.0]])
    relation = fs.Relations(np.array([0, 3]), np.arange(3), np.array([1.0, 1.0, -1.0]))
    for bit, rank in ((0.0, 2), (2.0**-52, 3)):
        rows[2, 3] = 1.0 + bit
        layer = fs.ReLULayer(rows)
        p = fs.preimage(layer, x=[1.0, 0.0, 1.0, 1.0])
        assert p.dimension == 4 - rank
        away = fs.Face(direction=fs.Direction(np.arange(3), np.linalg.svd(rows)[2][3], 0.1, basis=np.arange(2)))
        certificate = fs.Certificate(fs.Kind.UNBOUNDED, 2, recession=away, relations=relation)
        false = replace(p, kind=fs.Kind.UNBOUNDED, dimension=2, certificate=certificate)
        assert bool(verify_in_float(false)) == (rank == 2)


def left_null_space(rows: FloatArray) -> list[list[int]]:
    basis, nullity = fmpz_mat([[int(v) for v in row] for row in rows.T.tolist()]).nullspace()
    return [[int(basis[i, k]) for i in range(len(rows))] for k in range(nullity)]


def as_given(relations: list[list[int]]) -> fs.Relations | None:
    """Relations as they are, in any order, none or some of them twice."""
    if not relations:
        return None
    entries = [(k, i, v) for k, relation in enumerate(relations) for i, v in enumerate(relation) if v]
    starts = np.searchsorted([k for k, _, _ in entries], np.arange(len(relations) + 1))
    return fs.Relations(starts, np.array([i for _, i, _ in entries]), np.array([float(v) for _, _, v in entries]))


def certificates(layer: fs.ReLULayer, numbers: IntArray, relations: list[list[int]]) -> Iterator[fs.Certificate]:
    """What is written down about the rank of rows, and the same with relations as they are."""
    units = units_as_given(Numbering.of(layer, None))
    vanishing = np.zeros(layer.outputs + layer.inputs, dtype=np.bool_)
    vanishing[numbers] = True
    known = tuple(
        (tuple(np.flatnonzero(relation).tolist()), tuple(float(v) for v in relation if v)) for relation in relations
    )
    rank = find_rank(units, vanishing, known, explicit=True)
    basis = numbers if rank.basis is None else rank.basis
    for part in (relations_of(units, [rank.selection]), as_given(relations)):
        yield fs.Certificate(fs.Kind.BOUNDED, None, basis=basis, zero=rank.zero, relations=part)


def test_what_is_proved_of_small_integer_matrices_is_their_rank() -> None:
    generator = np.random.default_rng(5)
    proved, box = 0, fs.Box(-1, 1)
    for _ in range(400):
        q, n = generator.integers(2, 9, 2)
        rows = generator.integers(-2, 3, (q, n)) * (generator.uniform(size=(q, n)) < generator.choice([0.4, 0.7, 1.0]))
        rows = rows.astype(np.float64)
        relations = left_null_space(rows)
        if relations and generator.uniform() < 0.3:  # fewer than there are, or one twice
            relations = relations[1:] if generator.uniform() < 0.5 else [*relations, relations[0]]
        numbers = np.sort(generator.permutation(q)[: generator.integers(1, q + 1)])
        rank = fmpz_mat([[int(v) for v in row] for row in rows[numbers].tolist()]).rank()
        layer = fs.ReLULayer(rows, np.where(np.isin(np.arange(q), numbers), 1.0, -1.0))
        closed = False
        for certificate in certificates(layer, numbers, relations):
            for dimension in range(n + 1):
                kind = fs.Kind.BOUNDED if dimension else fs.Kind.SINGLETON
                claimed = replace(certificate, kind=kind)
                claim = fs.Preimage(layer, box, np.zeros(n), None, kind, dimension, 0.0, claimed)
                answer = verify_in_float(claim)
                assert not answer or dimension == n - rank
                closed |= bool(answer)
        proved += closed
    assert proved > 250


def test_bytes_keep_every_float_part_apart() -> None:
    multipliers = fs.Multipliers(np.array([3]), np.array([4.0]), 0.5)
    direction = fs.Direction(np.array([0]), np.array([1.0, 2.0]), 0.25)
    certificate = fs.Certificate(fs.Kind.SINGLETON, 0, fs.Face(multipliers, direction))
    again = fs.Certificate.from_bytes(certificate.to_bytes()).tangent
    assert again is not None
    assert again.multipliers is not None
    assert again.direction is not None
    weights = again.multipliers
    assert (list(weights.rows), list(weights.values), weights.sigma) == ([3], [4.0], 0.5)
    lead = again.direction
    assert (list(lead.held), list(lead.values), lead.sigma) == ([0], [1.0, 2.0], 0.25)
