"""Layers that are too large for the memory are refused before any work."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse

import fiberscope as fs
import fiberscope.memory
from fiberscope.errors import MemoryLimitError
from fiberscope.network.domains import whole_space
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense, sparse
from fiberscope.preimages.dense import gram, pivoted_qr
from fiberscope.preimages.face import find_face
from fiberscope.preimages.system import build_at_input


def never() -> tuple[np.ndarray, np.ndarray]:
    raise AssertionError("the rows were written out")


def test_a_large_layer_is_refused_before_its_rows_are_written_out() -> None:
    size = (3, 100_000, 100_000)
    layer = ReLULayer.of_map(never, size, (2 * 10**10,), np.zeros(0, dtype=np.bool_))
    for ask in (lambda: fs.preimage(layer, x=np.zeros(3)), lambda: fs.classify(layer, np.zeros((2, 3)))):
        with pytest.raises(fs.FiberscopeError, match="memory") as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, MemoryLimitError)
        assert caught.value.needed == 8 * (2 * 10**10) ** 2 > caught.value.cap > 0


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fiberscope.memory, "memory_cap", lambda: 8 * 50 * 50)
    monkeypatch.setattr(fiberscope.memory, "ALWAYS_FITS", 0)


@pytest.mark.usefixtures("small_machine")
def test_no_matrix_is_made_beyond_the_cap() -> None:
    rows = scipy.sparse.random_array((20, 60), density=0.1, rng=np.random.default_rng(0), format="csr")
    assert gram(rows.T).shape == (20, 20)
    layer = ReLULayer(np.random.default_rng(1).standard_normal((100, 60)))
    system = build_at_input(layer, whole_space(60), np.zeros(60))
    for make in (
        lambda: gram(rows),
        lambda: pivoted_qr(rows.toarray().T),
        lambda: find_face(system, np.arange(50), np.arange(50, 100)),
        lambda: dense(sparse(np.eye(60))),
    ):
        with pytest.raises(MemoryLimitError):
            make()


def test_the_cap_is_a_share_of_the_machine() -> None:
    assert 2**27 < fiberscope.memory.memory_cap() < 2**50


def test_bounds_of_a_wide_layer_are_not_written_out() -> None:
    """They are n x n numbers, of which all but n are 0."""
    n, rng = 2500, np.random.default_rng(0)
    layer, x = ReLULayer(rng.standard_normal((20, n))), np.maximum(rng.standard_normal(n), 0.0)
    tracemalloc.start()
    try:
        found = fs.preimage(layer, x=x, domain=fs.NonNegative())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.kind == "unbounded"
    assert peak < 8 * n * n / 4
