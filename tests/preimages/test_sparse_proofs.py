"""Sparse rows: the same verdicts as with dense rows, proved, and those of an independent oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

import fiberscope as fs
import oracles
from drawn_examples import examples
from fiberscope.network.building import NetworkBuilder, Value
from fiberscope.network.convolution import Convolution
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages import candidate as found
from fiberscope.preimages.elaborate import elaborate
from fiberscope.preimages.geometry import system_of
from fiberscope.preimages.preimage import Preimage
from fiberscope.preimages.verify import verify_in_float

Array = np.ndarray[Any, Any]
NEEDS_CDD = pytest.mark.skipif(
    not oracles.cdd_available(), reason="cddexec_gmp (Debian package libcdd-tools) is not installed"
)
DOMAINS = {"whole space": None, "orthant": fs.NonNegative(), "box": fs.Box(0, 2)}


def assert_both_forms_agree_with_the_oracle(weight: Array, bias: Array, x: Array, domain: Any) -> None:
    truth = oracles.cdd_answer(oracles.mixed_system(weight, bias, x=x, domain=domain))
    positives = sum(value > 0 for value in oracles.exact_output(weight, bias, x))
    for form in (np.array, csr_array):
        layer = fs.ReLULayer(form(weight), bias)
        assert isinstance(layer.weight, csr_array) == (form is csr_array)
        p = fs.preimage(layer, x=x, domain=domain)
        assert (str(p.kind), p.dimension, p.positives) == (truth.kind, truth.dimension, positives), form
        for exact in (False, True):
            verification = fs.verify(p, exact=exact)
            assert verification, verification.reason


# ---- the same layer in both forms


@dataclass(frozen=True)
class Small:
    """A convolution with filters given as rows, one per output channel."""

    grid: tuple[int, ...]
    filters: tuple[tuple[float, ...], ...]
    kernel: tuple[int, ...]
    bias: tuple[float, ...]
    stride: int = 1
    padding: int = 0
    groups: int = 1

    def convolution(self) -> Convolution:
        axes = len(self.kernel)
        weight = np.array(self.filters).reshape(len(self.filters), self.grid[0] // self.groups, *self.kernel)
        pads = ((self.padding, self.padding),) * axes
        return Convolution(
            weight, self.grid, np.array(self.bias), (self.stride,) * axes, pads, groups=self.groups
        )  # fmt: skip


CONVOLUTIONS = {
    "plain": Small((1, 5), ((1, -2), (3, 1)), (2,), (0, -1)),
    "zero padding": Small((1, 4), ((1, 2, -1),), (3,), (-1,), padding=1),
    "padding wider than the grid": Small((1, 2), ((1, -1, 2),), (3,), (0,), padding=3),
    "dead channel": Small((1, 4), ((0, 0), (1, -1)), (2,), (0, 0)),
    "dead channel with a bias": Small((1, 4), ((0, 0), (1, -1)), (2,), (1, 0)),
    "tied channels": Small((1, 4), ((1, -1), (1, -1), (2, -2)), (2,), (0, -1, 0)),
    "opposite filters": Small((1, 4), ((1, -2), (-1, 2)), (2,), (0, 0)),
    "stride": Small((1, 5), ((1, -1), (-1, 3)), (2,), (0, -2), stride=2),
    "stride that skips inputs": Small((1, 5), ((1,), (-1,)), (1,), (-1, 0), stride=2),
    "groups": Small((2, 3), ((1, -1), (2, 1), (-1, 1), (1, 1)), (2,), (0, 0, -1, -2), groups=2),
    "two dimensions": Small((1, 3, 3), ((1, -1, 0, 2),), (2, 2), (0,)),
    "two channels": Small((2, 2, 2), ((1, -1), (0, 1), (-1, 0)), (1, 1), (0, -1, 0)),
}


@pytest.mark.exhaustive(every=5)
@NEEDS_CDD
@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
@pytest.mark.parametrize("small", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions(small: Small, domain: Any) -> None:
    convolution = small.convolution()
    weight = convolution.rows().toarray()
    generator = np.random.default_rng(1)
    zero = np.zeros(convolution.inputs)
    for x in (zero, zero + 1, generator.integers(0, 3, convolution.inputs).astype(np.float64)):
        assert_both_forms_agree_with_the_oracle(weight, convolution.bias.numpy(), x, domain)


@st.composite
def small_layers(draw: st.DrawFn) -> tuple[Array, Array, Array, Any]:
    """Mostly zeros, rows scaled by powers of two, a copy of a row, and a point on many hyperplanes."""
    m, n = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    entry = st.sampled_from([0, 0, 0, 1, -1, 2, -3])
    weight = np.array(draw(st.lists(st.lists(entry, min_size=n, max_size=n), min_size=m, max_size=m)), dtype=np.float64)
    weight[draw(st.integers(0, m - 1))] = draw(st.sampled_from([-2, 0, 1])) * weight[draw(st.integers(0, m - 1))]
    weight = np.ldexp(weight, np.array(draw(st.lists(st.sampled_from([-70, 0, 3]), min_size=m, max_size=m)))[:, None])
    x = np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), dtype=np.float64)
    side = np.array(draw(st.lists(st.sampled_from([-1, 0, 0, 1]), min_size=m, max_size=m)), dtype=np.float64)
    bias = np.zeros(m) if draw(st.booleans()) else -weight @ x + side
    return weight, bias, x, draw(st.sampled_from(list(DOMAINS.values())))


@pytest.mark.exhaustive
@NEEDS_CDD
@examples(35)
@given(small_layers())
def test_random_layers(layer: tuple[Array, Array, Array, Any]) -> None:
    assert_both_forms_agree_with_the_oracle(*layer)


@NEEDS_CDD
def test_sparse_half_spaces_are_the_same_domain() -> None:
    weight, bias, x = np.array([[1.0, 0, 0], [0, -1, 1]]), np.zeros(2), np.array([1.0, 1, 0])
    G, h = np.array([[1.0, 0, 1], [0, 0, -1], [0, 1, 0], [-1, -1, 0]]), np.array([1.0, 0, 2, 5])
    truth = oracles.cdd_answer(oracles.mixed_system(weight, bias, x=x, domain=fs.HalfSpaces(G, h)))
    for rows in (G, csr_array(G)):
        for matrix in (weight, csr_array(weight)):
            p = fs.preimage(fs.ReLULayer(matrix, bias), x=x, domain=fs.HalfSpaces(rows, h))
            assert (str(p.kind), p.dimension) == (truth.kind, truth.dimension)
            assert fs.verify(p)
            assert fs.verify(p, exact=True)


# ---- matrices that are none


SOUND = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0], [1.0, 0.0, 3.0]])


def sound() -> csr_array:
    return csr_array(SOUND)


def changed(**parts: Any) -> Callable[[], Any]:
    """The sound matrix with other parts."""

    def make() -> Any:
        matrix = sound()
        for name, value in parts.items():
            setattr(matrix, name, value)
        return matrix

    return make


class _Subclass(csr_array):
    def toarray(self, *args: Any, **kwargs: Any) -> Any:
        return np.eye(3)


I32, I64 = np.int32, np.int64
MALFORMED: dict[str, Callable[[], Any]] = {
    "an entry named twice": changed(indices=np.array([0, 0, 1, 2, 0, 2], I32)),
    "out of order": changed(indices=np.array([1, 0, 1, 2, 0, 2], I32)),
    "a column outside": changed(indices=np.array([0, 1, 1, 3, 0, 2], I32)),
    "a column far outside": changed(indices=np.array([0, 1, 1, 2**31 - 1, 0, 2], I32)),
    "a negative column": changed(indices=np.array([-1, 1, 1, 2, 0, 2], I32)),
    "positions that are no integers": changed(indices=np.array([0.0, 1, 1, 2, 0, 2])),
    "unsigned positions": changed(indices=np.array([0, 1, 1, 2, 0, 2], np.uint64)),
    "rows that overlap": changed(indptr=np.array([0, 4, 2, 6], I32)),
    "rows that end too late": changed(indptr=np.array([0, 2, 4, 2**31 - 1], I32)),
    "rows that end too early": changed(indptr=np.array([0, 2, 4, 5], I32)),
    "rows that begin too late": changed(indptr=np.array([1, 2, 4, 6], I32)),
    "too few rows": changed(indptr=np.array([0, 2, 6], I32)),
    "too few numbers": changed(data=np.ones(5)),
    "too many numbers": changed(data=np.ones(7)),
    "single precision": changed(data=np.ones(6, np.float32)),
    "not a number": changed(data=np.array([1, 2, 1, -1, np.nan, 3])),
    "infinite": changed(data=np.array([1, 2, 1, -1, np.inf, 3])),
    "numbers in a list": changed(data=[1.0, 2.0, 1.0, -1.0, 1.0, 3.0]),
    "another shape": changed(_shape=(3, 4)),
    "a negative shape": changed(_shape=(3, -3)),
    "one axis": lambda: csr_array(np.ones(3)),
    "a subclass": lambda: _Subclass(SOUND),
    "a sparse matrix of the older sort": lambda: scipy.sparse.csr_matrix(SOUND),
    "columns": lambda: scipy.sparse.csc_array(SOUND),
    "coordinates": lambda: scipy.sparse.coo_array(SOUND),
    "nothing": lambda: None,
}  # fmt: skip


def claim_about(weight: Any, proved: fs.Preimage) -> SimpleNamespace:
    layer = SimpleNamespace(weight=weight, bias=np.zeros(3), injective=np.zeros(3, np.bool_))
    said = {name: getattr(proved, name) for name in ("x", "y", "domain", "kind", "dimension", "certificate")}
    return SimpleNamespace(layer=layer, **said)


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("x", [[1.0, 1.0, 0.5], [1.0, -2.0, 3.0]], ids=["singleton", "unbounded"])
def test_a_malformed_matrix_proves_nothing(make: Callable[[], Any], x: list[float]) -> None:
    proved = fs.preimage(fs.ReLULayer(sound()), x=x)
    assert fs.verify(claim_about(sound(), proved))
    claim = claim_about(make(), proved)
    assert not verify_in_float(claim)
    assert not fs.verify(claim)
    assert not fs.verify(claim, exact=True)


def test_malformed_half_spaces_prove_nothing() -> None:
    proved = fs.preimage(fs.ReLULayer(sound()), x=[1.0, -2.0, 3.0], domain=fs.HalfSpaces(sound(), np.full(3, 20.0)))
    assert fs.verify(proved)
    for make in MALFORMED.values():
        domain = fs.HalfSpaces(sound(), np.full(3, 20.0))
        object.__setattr__(domain, "G", make())
        claim = claim_about(sound(), proved)
        claim.domain = domain
        for exact in (False, True):
            assert not fs.verify(claim, exact=exact)


def test_stored_zeros_and_wide_indices_are_no_other_matrix() -> None:
    proved = fs.preimage(fs.ReLULayer(sound()), x=[1.0, -2.0, 3.0])
    row, column = np.indices((3, 3)).reshape(2, -1)
    for zero in (0.0, -0.0):
        data = np.where(SOUND == 0, zero, SOUND).ravel()
        for kind in (I32, I64):
            weight = csr_array((data, column.astype(kind), np.array([0, 3, 6, 9], kind)), shape=(3, 3))
            assert weight.nnz == len(row)
            for exact in (False, True):
                assert fs.verify(claim_about(weight, proved), exact=exact)


# ---- rays


def _claim_of_ray(layer: ReLULayer, x: list[float], dimension: int, equalities: list[int], d: Any) -> Preimage:
    ray = found.Direction(np.array(equalities, dtype=np.int64), np.asarray(d, dtype=np.float64))
    candidate = found.Candidate(fs.Kind.UNBOUNDED, dimension, recession=ray)
    nothing = fs.Certificate(fs.Kind.UNBOUNDED, dimension)
    question = Preimage(layer, None, np.array(x), None, fs.Kind.UNBOUNDED, dimension, 0.0, nothing)
    return replace(question, certificate=elaborate(question, candidate, system_of(question)))


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_rows_too_large_to_be_measured_are_still_decided(form: Any) -> None:
    # their squares overflow, so they are not scaled to unit length, and HiGHS refuses entries beyond 1e15
    weight = np.array([[0.0, 3, 3], [-2, -1, -1], [0, -12, -12], [-2, -1, -1]]) * np.array(
        [[1.0], [2.0**500], [1.0], [2.0**1015]]
    )
    bias = np.array([12.0, -(2.0**501), -48.0, -(2.0**1016)])
    p = fs.preimage(
        fs.ReLULayer(form(weight), bias), x=[1, -2, -2], domain=fs.Box([0, -np.inf, -2], [2, np.inf, np.inf])
    )
    assert (p.kind, p.dimension) == (fs.Kind.UNBOUNDED, 2)
    assert fs.verify(p)


@pytest.mark.parametrize("form", [np.array, csr_array])
@pytest.mark.parametrize("small", [2.0**-70, 2.0**-300])
def test_a_ray_of_many_magnitudes_is_proved_in_its_own_scale(form: Any, small: float) -> None:
    # 0.1 d_0 + 0.3 d_1 = 0 holds up to rounding; -d_2 <= 0 has no more room than d_2, far less than the rounding
    layer = fs.ReLULayer(form(np.array([[0.1, 0.3, 0.0], [0.0, 0.0, -1.0]])))
    claim = _claim_of_ray(layer, [1.0, 1.0, 1.0], 2, [0], [1.0, -0.1 / 0.3, small])
    assert claim.certificate.scaling is not None
    assert verify_in_float(claim)
    assert fs.verify(claim, exact=True)


@pytest.mark.exhaustive(every=7)
@pytest.mark.parametrize("form", [np.array, csr_array])
@pytest.mark.parametrize("size", [2.0**-60, 2.0**-300, 2.0**-1000])
@pytest.mark.parametrize("equalities", [[], [0], [0, 1], [0, 1, 2], [2]], ids=str)
def test_a_direction_that_is_nearly_a_ray_is_none(form: Any, size: float, equalities: list[int]) -> None:
    layer = fs.ReLULayer(form(np.array([[1.0, size], [-1.0, size], [0.0, -1.0]])), [-1.0, -1.0, -1.0])
    assert fs.preimage(layer, x=[0.0, 0.0]).kind == fs.Kind.BOUNDED
    for scale in (2.0**-500, 1.0, 2.0**500):
        for d in ([0.0, 1.0], [size, 1.0], [-size, 1.0], [1.0, size], [2.0**-1074, 1.0]):
            claim = _claim_of_ray(layer, [0.0, 0.0], 2, equalities, np.array(d) * scale)
            assert not verify_in_float(claim)
            assert not fs.verify(claim, exact=True)


# ---- layers in which branches meet


def _dense_block() -> tuple[Network, tuple[Array, Array, Array, Array, Array]]:
    """ReLU(W2 ReLU(W1 x + b1) + S x + b) behind an identity that gives x."""
    rng = np.random.default_rng(11)
    W1, b1 = rng.integers(-2, 3, (3, 3)).astype(np.float64), rng.integers(-1, 2, 3).astype(np.float64)
    W2, S = rng.integers(-2, 3, (4, 3)).astype(np.float64), rng.integers(-1, 2, (4, 3)).astype(np.float64)
    b = rng.integers(-2, 2, 4).astype(np.float64)
    builder = NetworkBuilder((1, 3))
    x = builder.input
    inner = builder.relu("inner", builder.dense("fc1", x, W1, b1))
    branches = [builder.dense("fc2", inner, W2, b), builder.dense("shortcut", x, S)]
    return builder.build(builder.relu("outer", builder.add("add", branches))), (W1, b1, W2, b, S)


def _convolutional_block() -> tuple[Network, tuple[Array, Array, Array, Array, Array]]:
    """The same with convolutions of two channels, and the identity as its shortcut."""
    rng = np.random.default_rng(12)
    builder = NetworkBuilder((1, 2, 2))
    x = builder.input
    first, second = (rng.integers(-2, 3, (2, 2, 3)).astype(np.float64) for _ in range(2))
    first[1] = -first[0]
    bias = np.array([0.0, -1.0])

    def convolved(name: str, value: Value, weight: Array, constant: Array | None) -> Value:
        return builder.convolution(name, value, weight, constant, padding=[(1, 1)])

    inner = builder.relu("inner", convolved("conv1", x, first, None))
    outer = builder.add("add", [convolved("conv2", inner, second, bias), x])
    network = builder.build(builder.relu("outer", outer))
    W1, W2 = (Convolution(w, (2, 2), padding=((1, 1),)).rows().toarray() for w in (first, second))
    return network, (W1, np.zeros(4), W2, np.repeat(bias, 2), np.eye(4))


def _composed(parts: tuple[Array, Array, Array, Array, Array], x: Array, domain: Any) -> oracles.System:
    """The mixed system of ``W2 D W1 + S`` on the closed linear region of x, in fractions."""
    W1, b1, W2, b, S = (np.vectorize(Fraction, otypes=[object])(part) for part in parts)
    point = np.vectorize(Fraction, otypes=[object])(x)
    z = W1 @ point + b1
    D = np.array([Fraction(int(value > 0)) for value in z])
    A, c = W2 @ (D[:, None] * W1) + S, W2 @ (D * b1) + b
    values = A @ point + c
    equalities = [(tuple(A[i]), values[i] - c[i]) for i in range(len(c)) if values[i] > 0]
    inequalities = [(tuple(A[i]), -c[i]) for i in range(len(c)) if values[i] <= 0]
    region = [(tuple(-W1[i]), b1[i]) if z[i] > 0 else (tuple(W1[i]), -b1[i]) for i in range(len(z))]
    return oracles.System(len(x), tuple(equalities), (*inequalities, *region, *oracles.domain_rows(domain, len(x))))


@pytest.mark.exhaustive(every=3)
@NEEDS_CDD
@pytest.mark.parametrize("domain", [None, fs.NonNegative()], ids=["whole space", "orthant"])
@pytest.mark.parametrize("block", [_dense_block, _convolutional_block])
def test_a_residual_block_is_the_composed_layer_on_its_region(block: Any, domain: Any) -> None:
    network, parts = block()
    layer = network.relu_layers[-1]
    assert isinstance(layer, RegionLayer)
    generator = np.random.default_rng(13)
    seen: set[tuple[str, int]] = set()
    for number in range(25):
        x = generator.integers(0 if domain else -2, 3, layer.inputs).astype(np.float64) * (number > 0)
        truth = oracles.cdd_answer(_composed(parts, x, domain))
        p = fs.preimage(layer, x=x, domain=domain)
        assert (str(p.kind), p.dimension) == (truth.kind, truth.dimension), x
        seen.add((truth.kind, truth.dimension))
        for exact in (False, True):
            verification = fs.verify(p, exact=exact)
            assert verification, verification.reason
    assert len(seen) >= 2, seen
