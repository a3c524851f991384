"""Products of thinner matrices in float64: what is asked of them hangs on how their entries were rounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network.domains import as_polyhedron
from fiberscope.preimages import decide as deciding
from fiberscope.preimages.budget import Budget, TooLargeError
from fiberscope.preimages.decide_exactly import certify_exactly
from fiberscope.preimages.noise_block import face_of_noise
from fiberscope.preimages.suggestion import candidate_of_noise
from fiberscope.preimages.system import build_at_input

DOMAINS = {"everywhere": None, "orthant": fs.NonNegative(), "box": fs.Box(-5, 5)}


def product(m: int, n: int, rank: int, seed: int, dtype: str = "float64") -> fs.ReLULayer:
    """A layer of that rank but for roundings, of that type, of its entries."""
    rng = np.random.default_rng(seed)
    left, right = rng.standard_normal((m, rank)).astype(dtype), rng.standard_normal((rank, n)).astype(dtype)
    return fs.ReLULayer((left @ right / np.dtype(dtype).type(n)).astype(float), rng.standard_normal(m) * 0.1)


def refuse(*_: object, **__: object) -> object:
    """In place of what decides small systems and no large ones."""
    raise TooLargeError("not here")


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize(("m", "n", "rank"), [(20, 30, 3), (40, 30, 3), (30, 16, 1), (60, 20, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_kinds_are_those_of_exact_pivoting(
    m: int, n: int, rank: int, seed: int, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = product(m, n, rank, seed), np.abs(np.random.default_rng(seed + 50).standard_normal(n))
    x[: n // 4] *= domain != "orthant"
    right = certify_exactly(build_at_input(layer, as_polyhedron(DOMAINS[domain], n), x))
    for method in ("certify_exactly", "_is_proved_exactly"):
        monkeypatch.setattr(deciding, method, refuse if method == "certify_exactly" else lambda *_: False)
    p = fs.preimage(layer, x=x, domain=DOMAINS[domain])
    assert (p.kind, p.dimension) == (right.kind, right.dimension), p.reason
    assert fs.verify(p)
    assert not fs.verify(replace(p, dimension=n if p.dimension != n else 0))


@pytest.mark.parametrize(("of_row", "of_column"), [(30, 0), (0, 4), (-20, 3)])
def test_units_change_nothing(of_row: int, of_column: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = product(40, 30, 3, 0), np.random.default_rng(50).standard_normal(30)
    rng = np.random.default_rng(1)
    rows, columns = (2.0 ** rng.integers(-abs(e), abs(e) + 1, size) for e, size in ((of_row, 40), (of_column, 30)))
    monkeypatch.setattr(deciding, "certify_exactly", refuse)
    plain = fs.preimage(layer, x=x)
    p = fs.preimage(fs.ReLULayer(layer.weight * rows[:, None] * columns, layer.bias * rows), x=x / columns)
    assert (p.kind, p.dimension) == (plain.kind, plain.dimension)
    assert p.kind != "undecided"
    assert fs.verify(p)


def test_other_layers_are_left_alone() -> None:
    x = np.random.default_rng(0).standard_normal(12)
    plain = np.random.default_rng(1).standard_normal((20, 12))
    whole = np.round(3 * plain[:, :3]) @ np.round(3 * plain[:3])  # of rank 3 exactly
    for weight in (plain, whole):
        system = build_at_input(fs.ReLULayer(weight), as_polyhedron(None, 12), x)
        assert candidate_of_noise(system) is None


def test_a_budget_that_is_over() -> None:
    layer, x = product(40, 30, 3, 0), np.random.default_rng(50).standard_normal(30)
    system = replace(build_at_input(layer, as_polyhedron(None, 30), x), budget=Budget(1e-9, 0.0))
    with pytest.raises(TooLargeError):
        face_of_noise(system, system.positive, system.inequalities)
