"""Layers behind branches with max pooling, against fractions on the region that the definition of a maximum gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
import oracles
from fiberscope.network.building import NetworkBuilder, PointwiseKind, Value, windows
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.rows import dense

Array = np.ndarray[Any, Any]
NEEDS_CDD = pytest.mark.skipif(
    not oracles.cdd_available(), reason="cddexec_gmp (Debian package libcdd-tools) is not installed"
)


class Exact:
    """``A x' + c`` around a sample x, in fractions; what is done to it narrows the region, a list of rows."""

    def __init__(self, A: Array, c: Array, x: Array, region: list[Any]) -> None:
        self.A, self.c, self.x, self.region = A, c, x, region

    @staticmethod
    def at(x: Array) -> Exact:
        point = fractions(x)
        return Exact(fractions(np.eye(len(x))), fractions(np.zeros(len(x))), point, [])

    def dense(self, W: Array, b: Array | None = None) -> Exact:
        W = fractions(W)
        c = W @ self.c + (fractions(b) if b is not None else Fraction(0))
        return Exact(W @ self.A, c, self.x, self.region)

    def values(self) -> Array:
        return self.A @ self.x + self.c

    def relu(self, slope: float = 0.0) -> Exact:
        A, c = self.A.copy(), self.c.copy()
        for i, value in enumerate(self.values()):
            sign = 1 if value > 0 else -1
            self.region.append((tuple(-sign * A[i]), sign * c[i]))
            if value <= 0:
                A[i], c[i] = Fraction(slope) * A[i], Fraction(slope) * c[i]
        return Exact(A, c, self.x, self.region)

    def maximum(self, index: Array) -> Exact:
        values, chosen = self.values(), []
        for window in index.tolist():
            inside = [j for j in window if j >= 0]
            winner = max(inside, key=lambda j: (values[j], -inside.index(j)))  # the first of the largest
            for j in inside:
                self.region.append((tuple(self.A[j] - self.A[winner]), self.c[winner] - self.c[j]))
            chosen.append(winner)
        return Exact(self.A[chosen], self.c[chosen], self.x, self.region)

    def beside(self, *others: Exact) -> Exact:
        parts = (self, *others)
        return Exact(
            np.concatenate([part.A for part in parts]), np.concatenate([part.c for part in parts]), self.x, self.region
        )

    def plus(self, other: Exact) -> Exact:
        return Exact(self.A + other.A, self.c + other.c, self.x, self.region)

    def system(self, domain: Any) -> oracles.System:
        """The mixed system of a ReLU of this on the closed region."""
        rows = list(zip(map(tuple, self.A), self.values(), self.c, strict=True))
        equalities = [(row, value - c) for row, value, c in rows if value > 0]
        inequalities = [(row, -c) for row, value, c in rows if value <= 0]
        region = [(row, h) for row, h in self.region if any(row)]
        inside = oracles.domain_rows(domain, len(self.x))
        return oracles.System(len(self.x), tuple(equalities), (*inequalities, *region, *inside))


def fractions(values: Array) -> Array:
    return np.vectorize(Fraction, otypes=[object])(np.asarray(values, dtype=np.float64))


def flat_windows(size: int, taps: int = 3, stride: int = 1) -> Array:
    """Overlapping windows with padding."""
    return windows(np.arange(size), (taps,), stride=(stride,), padding=[(1, 1)])


class Built:
    """The same steps as ``Exact``, added to a network."""

    def __init__(self, builder: NetworkBuilder, value: Value) -> None:
        self.builder, self.value = builder, value

    def _next(self, value: Value) -> Built:
        return Built(self.builder, value)

    def _name(self) -> str:
        return f"stage{len(self.builder._stages)}"

    def dense(self, W: Array, b: Array | None = None) -> Built:
        return self._next(self.builder.dense(self._name(), self.value, W, b))

    def relu(self, slope: float = 0.0) -> Built:
        if slope:
            kind = PointwiseKind.LEAKY_RELU
            return self._next(self.builder.pointwise(self._name(), self.value, kind, slope=slope))
        return self._next(self.builder.relu(self._name(), self.value))

    def maximum(self, index: Array) -> Built:
        return self._next(self.builder.maximum(self._name(), self.value, index[None]))

    def beside(self, *others: Built) -> Built:
        values = [self.value, *(other.value for other in others)]
        return self._next(self.builder.concatenate(self._name(), values, axis=1))

    def plus(self, other: Built) -> Built:
        return self._next(self.builder.add(self._name(), [self.value, other.value]))


# ---- small networks in the manner of known ones, each as what its last ReLU receives

N = 4
Steps = Callable[[Any, dict[str, Array]], Any]


def weights(seed: int) -> dict[str, Array]:
    """Small integers, so that float64 rounds nothing."""
    generator = np.random.default_rng(seed)
    shapes = {
        "a": (3, N),
        "b": (N, N),
        "c": (N, N),
        "d": (3, 3),
        "in": (4, 3 + N),
        "root": (3, 2 * N + 2),
        "spp": (3, 3 * N),
    }
    return {key: generator.integers(-2, 3, shape).astype(np.float64) for key, shape in shapes.items()} | {
        "bias": generator.integers(-1, 2, 3).astype(np.float64), "more": generator.integers(-1, 2, 3).astype(np.float64)
    }  # fmt: skip


def inception(x: Any, w: dict[str, Array]) -> Any:
    return x.dense(w["a"], w["bias"]).relu().beside(x.maximum(flat_windows(N))).dense(w["in"])


def dla(x: Any, w: dict[str, Array]) -> Any:
    """A tree whose root receives two residual blocks and the pooled input, which is their shortcut, too."""
    pooled = x.maximum(flat_windows(N, 2, 2)[:2])
    first = x.dense(w["b"]).relu().dense(w["c"]).plus(x).relu()
    second = first.dense(w["c"]).relu()
    return first.beside(second, pooled).dense(w["root"])


def maxout(x: Any, w: dict[str, Array]) -> Any:
    """The maximum of two affine maps, and a shortcut."""
    pieces = x.dense(w["a"], w["bias"]).beside(x.dense(w["a"][::-1]))
    return pieces.maximum(np.stack([np.arange(3), np.arange(3, 6)], axis=1)).dense(w["d"]).plus(x.dense(w["a"]))


def pyramid(x: Any, w: dict[str, Array]) -> Any:
    """Pooling of what was pooled."""
    once = x.maximum(flat_windows(N))
    return x.beside(once, once.maximum(flat_windows(N))).dense(w["spp"])


def pooled_features(x: Any, w: dict[str, Array]) -> Any:
    """Pooling behind a ReLU: many windows hold nothing but zeros."""
    return x.dense(w["a"], w["bias"]).relu().maximum(flat_windows(3)).dense(w["d"]).plus(x.dense(w["a"]))


def pooled_leaky(x: Any, w: dict[str, Array]) -> Any:
    bent = x.dense(w["b"]).relu(slope=0.25)
    return x.dense(w["a"], w["bias"]).relu().beside(bent.maximum(flat_windows(N))).dense(w["in"])


def in_a_row(x: Any, w: dict[str, Array]) -> Any:
    """Affine maps behind each other, and a shortcut of the same numbers: products and sums that would be rounded."""
    twice = x.dense(w["b"]).dense(w["c"]).plus(x.dense(w["c"])).plus(x)
    return x.dense(w["a"], w["bias"]).relu().beside(twice).dense(w["in"])


def overlapping(x: Any, w: dict[str, Array]) -> Any:
    """What one pooled number gives to several windows comes together again behind them."""
    return x.dense(w["a"], w["bias"]).relu().beside(x.maximum(flat_windows(N)).dense(w["c"])).dense(w["in"])


def projected(x: Any, w: dict[str, Array]) -> Any:
    """Three branches with a constant each, of which one is a shortcut: no two constants may be added."""
    branch = x.dense(w["a"], w["bias"]).relu()
    shortcut = x.dense(w["a"][::-1], w["more"])
    return branch.dense(w["d"], w["more"]).plus(shortcut).plus(branch.dense(w["d"][::-1], w["bias"]))


NETWORKS: list[Steps] = [inception, dla, maxout, pyramid, pooled_features, pooled_leaky, in_a_row, overlapping]
NETWORKS += [projected]


def built(steps: Steps, w: dict[str, Array]) -> Network:
    builder = NetworkBuilder((1, N))
    return builder.build(steps(Built(builder, builder.input), w).relu().value)


@pytest.mark.exhaustive(every=5)
@NEEDS_CDD
@pytest.mark.parametrize("domain", [None, fs.Box(0, 2)], ids=["space", "box"])
@pytest.mark.parametrize("steps", NETWORKS)
def test_a_layer_behind_max_pooling_is_the_composed_layer_on_its_region(steps: Steps, domain: Any) -> None:
    generator = np.random.default_rng(7)
    seen: set[tuple[str, int]] = set()
    for number in range(5):
        w = weights(number % 4)
        network = built(steps, w)
        layer = network.relu_layers[-1]
        assert isinstance(layer, RegionLayer)
        x = generator.integers(0 if domain else -2, 3, N).astype(np.float64) * (number != 4)  # ties are common
        exact = steps(Exact.at(x), w)
        np.testing.assert_array_equal(network(x[None])[0], np.maximum(exact.values().astype(np.float64), 0))
        truth = oracles.cdd_answer(exact.system(domain))
        p = fs.preimage(layer, x=x, domain=domain)
        assert (str(p.kind), p.dimension) == (truth.kind, truth.dimension), x
        assert p.positives == (exact.values() > 0).sum()
        for in_fractions in (False, True):
            verification = fs.verify(p, exact=in_fractions)
            assert verification, verification.reason
        seen.add((truth.kind, truth.dimension))
    assert len(seen) >= 2, seen


@pytest.mark.exhaustive(every=3)
@NEEDS_CDD
@pytest.mark.parametrize("steps", [inception, maxout, pooled_leaky, in_a_row, overlapping, projected])
def test_no_number_is_rounded_where_products_and_sums_would_be(steps: Steps) -> None:
    """Tenths are no binary fractions: every product and sum of two would be another number than the model stores."""
    w = {key: value / 10 for key, value in weights(2).items()}
    w["a"][2] = 3 * w["a"][1]  # rows that are dependent up to rounding only
    network = built(steps, w)
    stored = {0.0, 1.0, 2.0, 0.25} | {abs(v) for value in w.values() for v in value.ravel().tolist()}
    layer = network.relu_layers[-1]
    assert isinstance(layer, RegionLayer)
    for x in np.random.default_rng(5).uniform(0, 1, (3, N)):
        local = layer.at(x)
        assert {abs(v) for v in dense(local.layer.weight).ravel().tolist()} <= stored
        assert {abs(v) for v in local.layer.bias.tolist()} <= stored
        truth = oracles.cdd_answer(steps(Exact.at(x), w).system(None))
        p = fs.preimage(layer, x=x)
        assert (str(p.kind), p.dimension) == (truth.kind, truth.dimension), x
        assert fs.verify(p, exact=True)


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("scale", [2.0**-40, 1e9])
@pytest.mark.parametrize("steps", NETWORKS)
def test_verdicts_do_not_depend_on_the_unit_of_the_input(steps: Steps, scale: float) -> None:
    w = weights(3)
    plain, other = built(steps, w), built(steps, w | {key: w[key] * scale for key in ("bias", "more")})
    for x in np.random.default_rng(1).integers(0, 3, (2, N)).astype(np.float64):
        verdicts = [
            fs.preimage(network.relu_layers[-1], x=point, domain=fs.NonNegative())
            for network, point in ((plain, x), (other, x * scale))
        ]
        assert len({(p.kind, p.dimension) for p in verdicts}) == 1
        assert all(map(fs.verify, verdicts))


@pytest.mark.parametrize("steps", NETWORKS)
def test_the_region_holds_the_sample_and_ends_where_another_one_wins(steps: Steps) -> None:
    """Points of the region have the affine map of the sample; the network itself says so."""
    generator = np.random.default_rng(3)
    w = weights(1)
    network = built(steps, w)
    layer = network.relu_layers[-1]
    for x in generator.uniform(-1, 1, (5, N)):
        exact = steps(Exact.at(x), w)
        region = exact.region
        local = layer.at(x)
        polyhedron = local.domain.polyhedron(len(local.x))
        assert (polyhedron.G @ local.x <= polyhedron.h).all()
        assert ((polyhedron.low <= local.x) & (local.x <= polyhedron.high)).all()
        for other in x + generator.normal(0, 0.3, (20, N)):
            inside = all(oracles.dot(row, oracles.exact_vector(other)) <= h for row, h in region)
            lifted = _lifted(local, other)
            held = (polyhedron.G @ lifted <= polyhedron.h + 1e-12).all() and (
                (polyhedron.low - 1e-12 <= lifted) & (lifted <= polyhedron.high + 1e-12)
            ).all()
            assert held == inside


def _lifted(local: Any, other: Array) -> Array:
    """The coordinates that belong to x by the definitions, and the bounds, of the layer around a sample."""
    k, n = local.layer.definitions, len(other)
    rows = dense(local.layer.weight)[:k]
    polyhedron = local.domain.polyhedron(len(local.x))
    out = np.where(polyhedron.low == polyhedron.high, polyhedron.low, 0.0)
    out[:n] = other
    defined = np.setdiff1d(np.arange(n, len(local.x)), np.flatnonzero(polyhedron.low == polyhedron.high))
    out[defined] = np.linalg.solve(rows[:, defined], rows @ local.x - rows @ out)
    return out


def test_constants_that_meet_take_one_coordinate_each() -> None:
    """They are columns of a coordinate that is 1; at any other number nothing is proved."""
    w = weights(1) | {"bias": np.array([0.1, -0.3, 0.7]), "more": np.array([0.2, 0.6, -0.9])}
    layer = built(projected, w).relu_layers[-1]
    assert isinstance(layer, RegionLayer)
    x = np.array([0.5, 1.25, 0.75, 2.0])
    local = layer.at(x)
    assert local.layer.definitions == 3 + 3  # what the ReLU receives, and the third branch, whose entries meet others
    assert local.layer.inputs == N + local.layer.definitions + 1
    polyhedron = local.domain.polyhedron(len(local.x))
    (one,) = np.flatnonzero(polyhedron.low == polyhedron.high)
    assert polyhedron.low[one] == local.x[one] == 1.0
    np.testing.assert_array_equal(dense(local.layer.weight)[-3:, one], w["more"])
    p = fs.preimage(layer, x=x)
    assert fs.verify(p)
    assert p.x is not None
    other = p.x.copy()
    other[one] = 1.0 + 2.0**-52
    assert not fs.verify(dataclasses.replace(p, x=other))
