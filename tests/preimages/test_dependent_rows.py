"""Rows that depend on each other exactly, as those of convolutions do: proved in float64, and nothing false is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flint import fmpz_mat
from scipy.sparse import csr_array

import fiberscope as fs
from fiberscope.network.arrays import FloatArray
from fiberscope.network.convolution import Convolution
from fiberscope.preimages.dependencies import find_dependencies
from fiberscope.preimages.verify import verify_in_float

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
    """Relations that say something else; none of them holds, or says enough."""
    values, rows, starts = part.values.copy(), part.rows, part.starts
    values[0] = np.nextafter(values[0], np.inf)
    first = slice(starts[0], starts[1])
    twice = [np.append(numbers, numbers[first]) for numbers in (rows, part.values)]
    named_twice = rows.copy()
    named_twice[1] = named_twice[0]
    return {
        "an ulp away": fs.Relations(starts, rows, values),
        "one named twice": fs.Relations(np.append(starts, starts[-1] + starts[1]), *twice),
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
