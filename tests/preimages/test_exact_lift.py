"""Verdicts on rows that depend on each other exactly, without relations in float64: products of integer matrices."""

from dataclasses import replace

import numpy as np
import pytest
from flint import fmpz_mat

import fiberscope as fs
from fiberscope.network.domains import as_polyhedron
from fiberscope.preimages import decide as deciding
from fiberscope.preimages.budget import TooLargeError
from fiberscope.preimages.decide_exactly import certify_exactly
from fiberscope.preimages.system import build_at_input

M, N, RANK = 40, 26, 5
DOMAINS = {"all": None, "orthant": fs.NonNegative(), "box": fs.Box(0, 1)}


def product(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A of rank 5 in whole numbers, b, and an input with some zeros."""
    rng = np.random.default_rng(seed)
    A = rng.integers(-3, 4, (M, RANK)) @ rng.integers(-3, 4, (RANK, N))
    return A.astype(float), rng.integers(-9, 10, M) + 0.5, rng.random(N) * (rng.random(N) < 0.7)


def rank(rows: np.ndarray) -> int:
    """In whole numbers."""
    return fmpz_mat(len(rows), N, rows.astype(int).ravel().tolist()).rank() if len(rows) else 0


def refuse(*_: object) -> object:
    """In place of the exact method, which decides small systems and no large ones."""
    raise TooLargeError("not here")


def exactly(layer: fs.ReLULayer, x: np.ndarray, domain: fs.Box | fs.NonNegative | None) -> tuple[str, int | None]:
    """What the simplex method in rational numbers says."""
    found = certify_exactly(build_at_input(layer, as_polyhedron(domain, layer.inputs), x))
    return str(found.kind), found.dimension


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("seed", range(4))
def test_product_of_integer_matrices(seed: int, domain: str, monkeypatch: pytest.MonkeyPatch):
    A, b, x = product(seed)
    layer = fs.ReLULayer(A, b)
    right = exactly(layer, x, DOMAINS[domain])
    if domain == "all":  # a kernel, whatever the signs; no output is 0 exactly
        assert right == ("unbounded", N - rank(A[A @ x + b > 0]))
    monkeypatch.setattr(deciding, "certify_exactly", refuse)
    p = fs.preimage(layer, x=x, domain=DOMAINS[domain])
    assert (str(p.kind), p.dimension) == right, p.reason
    assert fs.verify(p)
    wrong = N if p.dimension == 0 else 0
    assert not fs.verify(replace(p, dimension=wrong))


@pytest.mark.parametrize(("of_row", "of_column"), [(2.0**30, 1.0), (2.0**-40, 2.0**20), (1.0, 2.0**-300)])
def test_scaled_product(of_row: float, of_column: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(deciding, "certify_exactly", refuse)
    A, b, x = product(0)
    plain = fs.preimage(fs.ReLULayer(A, b), x=x, domain=fs.NonNegative())
    rows, columns = np.where(np.arange(M) % 3 == 0, of_row, 1.0), np.where(np.arange(N) % 2 == 0, of_column, 1.0)
    layer = fs.ReLULayer(A * rows[:, None] * columns, b * rows)
    scaled = fs.preimage(layer, x=x / columns, domain=fs.NonNegative())
    assert (scaled.kind, scaled.dimension) == (plain.kind, plain.dimension), scaled.reason
    assert fs.verify(scaled)


def test_rows_that_depend_up_to_rounding_only_are_never_taken_for_dependent():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((M, RANK)) @ rng.standard_normal((RANK, N))  # rounded: of rank N, exactly
    layer, x = fs.ReLULayer(A, rng.standard_normal(M)), rng.random(N)
    p = fs.preimage(layer, x=x)
    assert (str(p.kind), p.dimension) == exactly(layer, x, None)
    assert fs.verify(p)


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("domain", ["orthant", "box"])
@pytest.mark.parametrize("seed", range(4))
def test_convolution_of_a_black_image(seed: int, domain: str, monkeypatch: pytest.MonkeyPatch):
    """All outputs are those of the biases; every pixel is on its bound, and rows outnumber the pixels."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    convolution = torch.nn.Conv2d(1, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor(rng.integers(-3, 4, (2, 1, 3, 3))))
        convolution.bias.copy_(torch.tensor([1.0, 2.0]))
    net = fs.from_torch(torch.nn.Sequential(convolution, torch.nn.ReLU()).eval(), input_shape=(1, 8, 8))
    layer, x = net.relu_layers[0], np.zeros(64)
    right = exactly(layer, x, DOMAINS[domain])
    monkeypatch.setattr(deciding, "certify_exactly", refuse)
    p = fs.preimage(layer, x=x, domain=DOMAINS[domain])
    assert (str(p.kind), p.dimension) == right, p.reason
    assert fs.verify(p)
