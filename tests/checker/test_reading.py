"""The checker's own reading of stored networks: the numbers that the deciding part judges, bit for bit.

Both readings are compared on networks of every kind of map; what the rows mean is compared with torch.
"""

from __future__ import annotations

import ast
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import feature_networks
import fiberscope as fs
from drawn_examples import examples
from fiberscope.checker import affine, reading, regions, stored
from fiberscope.checker.reading import LayerRows, StoredLayer, read_network
from fiberscope.errors import ModelError
from fiberscope.network.activations import Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import AffineMap, Dense
from fiberscope.network.combination import Composition, Sum
from fiberscope.network.convolution import Convolution, Transposed
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.stage import Stage
from fiberscope.network.structured import Diagonal, Rearrangement, WeightedSums

Array = Any
EXTERNAL = (
    "mnist-net_256x2", "test_small", "test_tiny", "cifar_base_kw", "Convnet_avgpool", "resnet_2b",
    "ACASXU_run2a_1_1_batch_2000",
)  # fmt: skip
LARGEST = 40_000_000
"""Entries of the largest layer that is written out for the comparison of trained networks."""


def saved(network: Network, folder: Path) -> bytes:
    path = folder / "model.safetensors"
    network.save(path)
    return path.read_bytes()


def numbers(matrix: Any) -> tuple[Any, ...]:
    """A matrix as what it holds, without its form."""
    entries = matrix.tocoo() if hasattr(matrix, "tocoo") else None
    if entries is None:
        row, column = np.nonzero(matrix)
        return matrix.shape, row, column, matrix[row, column]
    order = np.lexsort([entries.col, entries.row])
    return matrix.shape, entries.row[order], entries.col[order], entries.data[order]


def assert_same_matrix(ours: Any, theirs: Any) -> None:
    assert isinstance(ours, np.ndarray) == isinstance(theirs, np.ndarray)
    for own, other in zip(numbers(ours), numbers(theirs), strict=True):
        np.testing.assert_array_equal(own, other)


def assert_same_rows(ours: LayerRows, theirs: ReLULayer) -> None:
    assert_same_matrix(ours.weight, theirs.weight)
    np.testing.assert_array_equal(ours.bias, theirs.bias)
    np.testing.assert_array_equal(ours.curves.monotone, theirs.injective)
    for own, other in ((ours.low, theirs.low), (ours.high, theirs.high)):
        np.testing.assert_array_equal(own[~ours.curves.monotone], other[~ours.curves.monotone])
    assert ours.definitions == theirs.definitions


def assert_same_reading(data: bytes, network: Network, X: Array) -> int:
    """Compare layer by layer; the number of regions that were compared."""
    layers, count = read_network(data).layers, 0
    assert [layer.number for layer in layers] == [placed.stage for placed in network.placed_layers]
    for i, (ours, placed) in enumerate(zip(layers, network.placed_layers, strict=True)):
        theirs = placed.layer
        assert (ours.source, ours.inputs) == (placed.source, theirs.inputs)
        if isinstance(theirs, ReLULayer):
            if theirs.inputs * theirs.outputs <= LARGEST or not ours.curves.monotone.any():
                assert_same_rows(ours.system_rows(), theirs)
            continue
        for x in network.layer_input(i, X):
            own, local = ours.at(x), theirs.at(x)
            assert_same_rows(own.rows, local.layer)
            np.testing.assert_array_equal(own.x, local.x)
            polyhedron = local.domain.polyhedron(len(local.x))
            np.testing.assert_array_equal(own.low, polyhedron.low)
            np.testing.assert_array_equal(own.high, polyhedron.high)
            for part, other in zip(numbers(own.half_spaces), numbers(polyhedron.G), strict=True):
                np.testing.assert_array_equal(part, other)
            assert not polyhedron.h.any()
            if theirs.is_of_convolutions:
                assert_same_products(ours, theirs, x)
            count += 1
    return count


def assert_same_products(ours: StoredLayer, theirs: RegionLayer, x: Array) -> None:
    """By products, in the same coordinates; their numbers at x are sums in another order."""
    own, local = ours.at(x, by_products=True), theirs.at(x, by_products=True)
    own.rows.weight.check()
    for part, other in zip(
        numbers(own.rows.weight[np.arange(len(own.rows.bias))]), numbers(local.layer.weight), strict=True
    ):
        np.testing.assert_array_equal(part, other)
    np.testing.assert_array_equal(own.rows.bias, local.layer.bias)
    np.testing.assert_array_equal(own.rows.curves.monotone, local.layer.injective)
    assert own.rows.definitions == local.layer.definitions
    np.testing.assert_allclose(own.x, local.x, rtol=0, atol=1e-12 * np.abs(local.x).max())
    polyhedron = local.domain.polyhedron(len(local.x))
    np.testing.assert_array_equal(own.low, polyhedron.low)
    np.testing.assert_array_equal(own.high, polyhedron.high)
    assert not own.half_spaces.shape[0]


@pytest.mark.parametrize("name", feature_networks.NAMES)
def test_networks_of_torch_are_read_as_they_were_written(name: str, tmp_path: Path):
    network = feature_networks.network(name)
    X = feature_networks.inputs(network.input_shape, 3)
    regions = assert_same_reading(saved(network, tmp_path), network, X)
    assert (regions > 0) == (name == "residual")


# ---- networks of all maps that files can hold, connected in any way


class Randomly:
    """Random stages; weights are floats, so that whatever is composed is rounded."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.sizes = [6]  # of the input, and of every stage
        self.stages: list[Stage] = []

    def floats(self, *shape: int) -> Array:
        values = self.rng.normal(size=shape) * self.rng.choice([0.0, 1.0, 1.0, 1e-3, 1e3], size=shape)
        return values if self.rng.random() < 0.7 else np.round(values)

    def constant(self, size: int) -> Array:
        return self.floats(size) if self.rng.random() < 0.6 else None

    def leaf(self, n: int) -> AffineMap:
        m = int(self.rng.integers(2, 8))
        kind = self.rng.integers(0, 7)
        if kind == 0 and n % 2 == 0:
            return self.convolution(n // 2)
        if kind == 1:
            return Transposed(Convolution(self.floats(n, 2, 1), (2, 3), stride=(3,)), self.constant(2))
        if kind == 2:
            return Diagonal(self.floats(n), self.constant(n))
        if kind == 3:
            index = self.rng.integers(-1, n, size=(m, 3))
            return WeightedSums(index, self.floats(m, 3), n, self.constant(m))
        if kind in (4, 5):
            index = np.arange(n) if self.rng.random() < 0.3 else self.rng.integers(-1, n, size=m)
            return Rearrangement(index, n, self.constant(len(index)) if kind == 5 else None)
        return Dense(self.floats(m, n), self.constant(m))

    def convolution(self, width: int) -> AffineMap:
        groups = int(self.rng.choice([1, 2]))
        dilation = 2 if width >= 3 and self.rng.random() < 0.3 else 1
        pad = tuple(int(side) for side in self.rng.integers(0, 3, size=2))
        return Convolution(
            self.floats(2, 2 // groups, 2 if width > 1 or sum(pad) else 1), (2, width), self.constant(2),
            (int(self.rng.integers(1, 3)),), (pad,), (dilation,), groups,
        )  # fmt: skip

    def map(self, n: int, depth: int = 2) -> AffineMap:
        kind = self.rng.random() if depth else 0.0
        first = self.leaf(n) if kind < 0.8 else self.map(n, depth - 1)
        if kind < 0.6:
            return first
        if kind < 0.9:
            return Composition((first, self.map(first.outputs, depth - 1)))
        return Sum((first, Dense(self.floats(first.outputs, n), self.constant(first.outputs))))

    def affine(self) -> None:
        source = len(self.stages) - 1 if self.rng.random() < 0.7 else int(self.rng.integers(-1, len(self.stages)))
        maps, sources = [self.map(self.sizes[source + 1])], [source]
        while self.rng.random() < 0.4:
            other = int(self.rng.integers(-1, len(self.stages)))
            kind = self.rng.integers(0, 2)
            n, m = self.sizes[other + 1], maps[0].outputs
            index = self.rng.integers(-1, n, size=m)
            maps.append(Rearrangement(index, n) if kind else Dense(self.floats(m, n), self.constant(m)))
            sources.append(other)
        self.add(Stage(f"a{len(self.stages)}", tuple(maps), sources=tuple(sources)))

    def activation(self) -> None:
        source, n = len(self.stages) - 1, self.sizes[-1]
        kind = self.rng.integers(0, 12)
        function = {1: PointwiseKind.TANH, 2: PointwiseKind.ELU}.get(int(kind), PointwiseKind.RELU)
        activation = Pointwise(function, n)
        if kind in (3, 4):
            slope = self.rng.choice([0.0, 0.25, 0.3, -0.1] if kind == 3 else [0.0, 0.5], size=n)
            activation = Pointwise(PointwiseKind.LEAKY_RELU, n, slope=slope)
        elif kind in (5, 6):
            index = self.rng.integers(-1, n, size=(int(self.rng.integers(2, 6)), 3))
            index[:, 0] = self.rng.integers(0, n, size=len(index))
            activation = Maximum(index, n)
        elif kind in (7, 8):
            bounds = [(0.0, 6.0), (-0.5, 0.5), (-0.5, np.inf), (-np.inf, 0.25), (0.5, 0.5), (0.0, 0.0)]
            activation = Pointwise(PointwiseKind.CLIP, n, *bounds[self.rng.integers(0, len(bounds))])
        self.add(Stage(f"s{len(self.stages)}", activation=activation, sources=(source,)))

    def add(self, stage: Stage) -> None:
        self.stages.append(stage)
        self.sizes.append(stage.outputs)

    def network(self) -> Network:
        for _ in range(int(self.rng.integers(4, 14))):
            self.activation() if self.rng.random() < 0.4 else self.affine()
        self.activation()
        return Network(tuple(self.stages), (6,))


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("seed", range(12))
def test_any_stages_are_read_as_they_were_written(seed: int, tmp_path: Path):
    for each in range(10):
        draw = Randomly(100 * seed + each)
        network = draw.network()
        X = draw.rng.normal(size=(2, 6)) * draw.rng.choice([1.0, 0.0], size=(2, 1))
        assert_same_reading(saved(network, tmp_path), network, X)


def test_the_random_stages_hold_every_kind_of_map_and_regions():
    kinds, regions = set[str](), 0
    for seed in range(60):
        network = Randomly(seed).network()
        kinds |= {affine.kind for stage in network.stages for affine in stage.maps}
        regions += any(not isinstance(layer, ReLULayer) for layer in network.relu_layers)
    assert kinds == {
        "dense", "convolution", "transposed", "rearrangement", "diagonal", "weighted_sums", "composition", "sum",
    }  # fmt: skip
    assert regions > 10


# ---- what the rows mean, by torch alone


@pytest.mark.exhaustive
@examples(30)
@given(
    stride=st.integers(1, 3), padding=st.integers(0, 2), dilation=st.integers(1, 2), groups=st.sampled_from([1, 2]),
    transposed=st.booleans(), seed=st.integers(0, 1000),
)  # fmt: skip
def test_rows_of_convolutions_give_what_torch_gives(
    stride: int, padding: int, dilation: int, groups: int, transposed: bool, seed: int, tmp_path_factory: Any
):
    torch.manual_seed(seed)
    of = nn.ConvTranspose2d if transposed else nn.Conv2d
    module = nn.Sequential(of(2, 4, (3, 2), stride, padding, dilation=dilation, groups=groups), nn.ReLU()).double()
    network = fs.from_torch(module.eval(), input_shape=(2, 7, 6))
    rows = read_network(saved(network, tmp_path_factory.mktemp("model"))).layers[0].system_rows()
    x = torch.randn(2, 7, 6, dtype=torch.float64)
    expected = module[0](x[None]).detach().numpy().ravel()
    np.testing.assert_allclose(rows.weight @ x.numpy().ravel() + rows.bias, expected, rtol=1e-12, atol=1e-12)


def test_a_region_holds_the_sample_and_gives_what_torch_gives(tmp_path: Path):
    module = feature_networks.modules()["residual"][0].eval().double()
    network = fs.from_torch(module, input_shape=(12,))
    layer = read_network(saved(network, tmp_path)).layers[-1]
    for x in np.random.default_rng(0).normal(size=(5, 12)):
        h = torch.relu(module.first(torch.tensor(x))).detach()
        local = layer.at(h.numpy())
        value = local.rows.weight @ local.x
        inner, units = value[: local.rows.definitions], slice(local.rows.definitions, None)
        with torch.no_grad():
            expected = module.last(h + torch.relu(module.second(h))).numpy()
            np.testing.assert_allclose(inner, -module.second.bias.numpy(), atol=1e-12)  # z - W h = b
        np.testing.assert_allclose(value[units] + local.rows.bias[units], expected, atol=1e-12)
        assert (local.low <= local.x).all()
        assert (local.x <= local.high).all()


def test_what_counts_as_a_layer_and_how_it_is_cut_off(tmp_path: Path):
    kinds = [nn.ReLU(), nn.Tanh(), nn.LeakyReLU(0.1), nn.LeakyReLU(-0.1), nn.ELU(), nn.Softplus(), nn.Sigmoid()]
    layers = [part for kind in kinds for part in (nn.Linear(3, 3), kind)]
    network = fs.from_torch(nn.Sequential(*layers).eval(), input_shape=(3,))
    read = read_network(saved(network, tmp_path)).layers
    assert [bool(layer.curves.monotone.all()) for layer in read] == [False, True, True, True, True, True]
    assert (read[0].low == 0).all()
    assert all(np.isneginf(layer.low).all() and np.isposinf(layer.high).all() for layer in read[1:])


def test_clips_are_layers_with_their_bounds(tmp_path: Path):
    stages = [Stage("a", (Dense(np.eye(2)),)), Stage("c", activation=Pointwise(PointwiseKind.CLIP, 2, -1.5, 6.0))]
    rows = read_network(saved(Network(tuple(stages), (2,)), tmp_path)).layers[0].system_rows()
    np.testing.assert_array_equal(rows.low, [-1.5, -1.5])
    np.testing.assert_array_equal(rows.high, [6.0, 6.0])
    assert not rows.curves.monotone.any()


def test_too_many_paths_are_no_layer_and_infinite_numbers_are_refused(tmp_path: Path):
    def doubled(times: int) -> bytes:
        twice = [Stage(f"d{i}", (Dense(np.eye(2)),) * 2, sources=(i - 1,) * 2) for i in range(times)]
        return saved(Network((*twice, Stage("r", activation=Pointwise(PointwiseKind.RELU, 2))), (2,)), tmp_path)

    assert [len(read_network(doubled(times)).layers) for times in (9, 10)] == [1, 0]
    stages = [Stage("a", (Dense([[1e200]]),)), Stage("b", (Dense([[1e200]]),))]
    data = saved(Network((*stages, Stage("r", activation=Pointwise(PointwiseKind.RELU, 1))), (1,)), tmp_path)
    with pytest.raises(ModelError, match="range of float64"):
        read_network(data).layers[0].system_rows()


def test_domains_are_what_their_names_say(tmp_path: Path):
    network = feature_networks.network("residual")
    first, _, last = read_network(saved(network, tmp_path)).layers
    inf = np.inf
    for name, low, high in (
        ("R^n", -inf, inf), ("x >= 0", 0, inf), ("box [0,1]", 0, 1), ("box [-0.1,1e-05]", -0.1, 1e-5),
        ("box [-inf,0.25]", -inf, 0.25),
    ):  # fmt: skip
        system = first.system_rows().on(*first.domain(name))
        system.check()
        np.testing.assert_array_equal(system.box_low, np.full(12, low))
        np.testing.assert_array_equal(system.box_high, np.full(12, high))
        assert system.G.shape == (0, 12)
        x = np.linspace(0.0, 1.0, 8)
        local, bounds = last.at(x), last.domain(f"{name}, linear region")
        region = local.on(*bounds)
        region.check()
        np.testing.assert_array_equal(region.box_low, [*bounds[0], *local.low[8:]])
        np.testing.assert_array_equal(region.box_high, [*bounds[1], *local.high[8:]])
    for name in ("", "R^m", "box [1,0]", "box [nan,1]", "box [0]", "box [inf,inf]", "box [0,1", "R^n, linear region"):
        with pytest.raises(ModelError, match="no domain of this layer"):
            first.domain(name)
    with pytest.raises(ModelError, match="no domain of this layer"):
        last.domain("R^n")


# ---- damaged files


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in JSON data."""
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in list(items):
            yield from places(part, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    twin = value.copy()
    twin[path[0]] = changed(value[path[0]], path[1:], new)
    return twin


def test_damage_is_told_and_nothing_else_is_raised(tmp_path: Path):
    module = nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.Flatten(), nn.Tanh())
    data = saved(fs.from_torch(module.eval(), input_shape=(1, 5, 5)), tmp_path)
    header, body = parts(data)
    structure = json.loads(header["__metadata__"][stored.METADATA])
    bad: list[bytes] = [data[:length] for length in (0, 7, 8, 100, len(data) - 1)]
    news: list[Any] = [None, -7, 1.5, "x", [], {}, True, 10**30, float("nan")]
    for place in places(structure):
        for new in news:
            text = json.dumps(changed(structure, place, new))
            bad.append(joined(header | {"__metadata__": {stored.METADATA: text}}, body))
    bad += [joined(changed(header, place, new), body) for place in places(header) for new in news]
    told = 0
    for each in bad:
        try:
            network = read_network(each)
        except ModelError:
            told += 1
            continue
        for layer in network.layers:
            layer.system_rows()
    assert told > len(bad) // 2
    with pytest.raises(ModelError, match="cannot read it"):
        read_network(tmp_path / "missing.safetensors")
    text = json.dumps(structure | {"version": 1})
    with pytest.raises(ModelError, match="expected version 2, got 1"):
        read_network(joined(header | {"__metadata__": {stored.METADATA: text}}, body))


def test_it_shares_no_code_with_what_decides():
    for module in (affine, reading, regions, stored):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        ours = {name for name in names if name.startswith("fiberscope")}
        assert all(name == "fiberscope.errors" or name.startswith("fiberscope.checker.") for name in ours), ours


# ---- networks that were trained elsewhere


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", EXTERNAL)
def test_trained_networks_are_read_as_they_were_written(name: str, external: Path, tmp_path: Path):
    network = fs.load(external / "models" / f"{name}.onnx")
    X = np.random.default_rng(0).uniform(size=(2, *network.input_shape))
    assert_same_reading(saved(network, tmp_path), network, X)


def test_the_network_of_the_paper_is_read_as_it_was_written(external: Path, tmp_path: Path):
    from safetensors.numpy import load_file

    weights = load_file(external / "models" / "fashion_mlp_3500_784.safetensors")
    module = nn.Sequential(nn.Linear(784, 3500), nn.ReLU(), nn.Linear(3500, 784), nn.ReLU(), nn.Linear(784, 10))
    module.load_state_dict({name: torch.as_tensor(array) for name, array in weights.items()})
    network = fs.from_torch(module.eval(), input_shape=(784,))
    assert_same_reading(saved(network, tmp_path), network, np.zeros((1, 784)))
