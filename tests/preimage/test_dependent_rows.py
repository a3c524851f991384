"""Rows that depend on each other exactly, as those of convolutions do: proved in float64, and nothing false is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flint import fmpz_mat
from scipy.sparse import csr_array

import fiberscope as fs
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.convolution import Convolution
from fiberscope.preimage.checker.asking import NotProvedError, ask_system, plain_part
from fiberscope.preimage.checker.basis import Basis
from fiberscope.preimage.checker.dependencies import Relations
from fiberscope.preimage.checker.independence import group_rows
from fiberscope.preimage.checker.statement import read_system
from fiberscope.preimage.checker.verify import verify_in_float
from fiberscope.preimage.dependencies import find_dependencies

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
    assert p.certificate.dependencies is not None
    again = fs.Certificate.from_bytes(p.certificate.to_bytes())
    assert verify_in_float(replace(p, certificate=again))
    assert not verify_in_float(replace(p, certificate=replace(again, dependencies=None)))


def damaged(part: fs.Dependencies) -> dict[str, fs.Dependencies]:
    values, values_before, rows, starts = part.values.copy(), part.values, part.rows.copy(), part.starts
    values[0] = np.nextafter(values[0], np.inf)
    first = slice(starts[0], starts[1])
    more = [np.append(numbers, numbers[first]) for numbers in (rows, values_before)]
    twice = fs.Dependencies(np.append(starts, starts[-1] + starts[1]), *more)
    named_twice = rows.copy()
    named_twice[1] = named_twice[0]
    return {
        "an ulp away": fs.Dependencies(starts, rows, values),
        "one named twice": twice,
        "a row named twice": fs.Dependencies(starts, named_twice, part.values),
        "another row": fs.Dependencies(starts, (rows + 1) % rows.max(), part.values),
        "outside": fs.Dependencies(starts, rows + 10**6, part.values),
        "negative": fs.Dependencies(starts, rows - 10**6, part.values),
        "empty ones": fs.Dependencies(np.append(starts, starts[-1]), rows, part.values),
        "no starts": fs.Dependencies(starts[:0], rows, part.values),
        "not a number": fs.Dependencies(starts, rows, part.values * np.nan),
        "nothing": fs.Dependencies(starts, rows, part.values * 0.0),
    }


def test_damaged_relations_prove_nothing() -> None:
    p = fs.preimage(convolution(2, 3), x=pixels(1))
    assert p.certificate.dependencies is not None
    for what, part in damaged(p.certificate.dependencies).items():
        answer = verify_in_float(replace(p, certificate=replace(p.certificate, dependencies=part)))
        assert not answer, what
        assert "malformed" not in answer.reason, (what, answer.reason)


def test_a_rank_that_is_an_ulp_too_large() -> None:
    # the last row is the sum of the first two, but for one bit: nearly singular, and yet of rank 3
    rows = np.array([[1.0, 2.0, 0.0, 1.0], [0.5, -1.0, 1.0, 0.0], [1.5, 1.0, 1.0, 1.0]])
    relation = fs.Dependencies(np.array([0, 3]), np.arange(3), np.array([1.0, 1.0, -1.0]))
    for bit, rank in ((0.0, 2), (2.0**-52, 3)):
        rows[2, 3] = 1.0 + bit
        layer = fs.ReLULayer(rows)
        p = fs.preimage(layer, x=[1.0, 0.0, 1.0, 1.0])
        assert p.dimension == 4 - rank
        direction = fs.Direction(np.arange(3), np.linalg.svd(rows)[2][3])
        certificate = fs.Certificate(fs.Kind.UNBOUNDED, 2, recession=direction, dependencies=relation)
        false = replace(p, kind=fs.Kind.UNBOUNDED, dimension=2, certificate=certificate)
        assert bool(verify_in_float(false)) == (rank == 2)


def left_null_space(rows: FloatArray) -> list[list[int]]:
    basis, nullity = fmpz_mat([[int(v) for v in row] for row in rows.T.tolist()]).nullspace()
    return [[int(basis[i, k]) for i in range(len(rows))] for k in range(nullity)]


def proved_rank(rows: FloatArray, numbers: IntArray, relations: list[list[int]]) -> int | None:
    system = read_system(ask_system(fs.ReLULayer(rows), None))
    entries = [(k, i, v) for k, relation in enumerate(relations) for i, v in enumerate(relation) if v]
    starts = np.searchsorted([k for k, _, _ in entries], np.arange(len(relations) + 1))
    part = fs.Dependencies(starts, np.array([i for _, i, _ in entries]), np.array([float(v) for _, _, v in entries]))
    try:
        read = Relations.read(plain_part(part), system) if relations else None
        chosen = rows[numbers]
        return Basis(chosen, group_rows(chosen), None, numbers, read).proved_rank(0.0)
    except NotProvedError:
        return None


def test_what_is_proved_of_small_integer_matrices_is_their_rank() -> None:
    generator = np.random.default_rng(5)
    proved = 0
    for _ in range(400):
        q, n = generator.integers(2, 9, 2)
        rows = generator.integers(-2, 3, (q, n)) * (generator.uniform(size=(q, n)) < generator.choice([0.4, 0.7, 1.0]))
        rows = rows.astype(np.float64)
        if not rows.any(axis=1).all():
            continue
        relations = left_null_space(rows)
        if relations and generator.uniform() < 0.3:  # fewer than there are, or one twice
            relations = relations[1:] if generator.uniform() < 0.5 else [*relations, relations[0]]
        numbers = np.sort(generator.permutation(q)[: generator.integers(1, q + 1)])
        rank = proved_rank(rows, numbers, relations)
        if rank is not None:
            proved += 1
            assert rank == fmpz_mat([[int(v) for v in row] for row in rows[numbers].tolist()]).rank()
    assert proved > 250


def test_bytes_keep_every_float_part_apart() -> None:
    parts = {"point": np.array([1.0, 2.0]), "implicit": fs.Multipliers(np.array([3]), np.array([4.0]))}
    again = fs.Certificate.from_bytes(fs.Certificate(fs.Kind.SINGLETON, 0, **parts).to_bytes())
    assert again.point is not None
    assert again.implicit is not None
    assert (list(again.point), list(again.implicit.rows), list(again.implicit.values)) == ([1.0, 2.0], [3], [4.0])
