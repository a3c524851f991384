from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import fiberscope as fs
from fiberscope.errors import InputError, ModelError
from fiberscope.network.activations import Maximum, Pointwise, PointwiseKind, relu
from fiberscope.network.affine import Dense
from fiberscope.network.building import NetworkBuilder, windows
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.stage import INPUT, Stage, affine_stage, relu_stage

FIRST = Dense([[1, -1], [2, 0], [0, 3]], [0, 1, -1])
SECOND = Dense([[1, 1, 1]], [-4])
THIRD = Dense([[2], [-1]])


@pytest.fixture
def network() -> Network:
    """Two ReLU layers, the second made of two affine maps, and an affine output."""
    stages = (
        affine_stage("first", FIRST),
        relu_stage("relu1", 3),
        affine_stage("second", SECOND),
        affine_stage("third", THIRD),
        relu_stage("relu2", 2),
        affine_stage("out", Dense([[1, 1]])),
    )
    return Network(stages, (2,))


def test_evaluates_stage_by_stage(network: Network):
    # (2, 1): first gives (1, 5, 2), all positive; second 4; third (8, -4), after ReLU (8, 0); out 8
    np.testing.assert_array_equal(network([[2, 1], [0, 0]]), [[8], [3]])
    # (0, 0): (0, 1, -1) -> (0, 1, 0); -3; (-6, 3) -> (0, 3); 3


def test_large_batches_are_cut_up(network: Network, monkeypatch: pytest.MonkeyPatch):
    X = np.random.default_rng(0).integers(-9, 9, (11, 2))
    whole = network(X)
    monkeypatch.setattr("fiberscope.network.network.BATCH_NUMBERS", 7)
    np.testing.assert_array_equal(network(X), whole)


def test_layers_join_affine_maps_and_know_their_inputs(network: Network):
    X = np.array([[2.0, 1.0], [0.0, 0.0], [-1.0, 0.5]])
    assert network.layer_names == ("first", "second + third")
    assert [(layer.inputs, layer.outputs) for layer in network.relu_layers] == [(2, 3), (3, 2)]
    assert [placed.source for placed in network.placed_layers] == [INPUT, 1]
    assert [placed.received for placed in network.placed_layers] == [(-np.inf, np.inf), (0.0, np.inf)]
    np.testing.assert_array_equal(network.layer_input(0, X), X)
    np.testing.assert_array_equal(network.layer_input(1, X), network.relu_layers[0](X))
    np.testing.assert_array_equal(network.layer_input(-1, X), network.layer_input(1, X))
    last = network.relu_layers[1](network.layer_input(1, X))
    np.testing.assert_array_equal(network(X), last.sum(axis=1, keepdims=True))
    assert any("second + third" in note and "rounded numbers" in note for note in network.all_notes)


def test_relus_without_an_affine_map_before_them_are_no_layers():
    network = Network((relu_stage("a", 2), affine_stage("b", FIRST), relu_stage("c", 3), relu_stage("d", 3)), (2,))
    assert network.layer_names == ("b",)
    np.testing.assert_array_equal(network.layer_input(0, [[-1, 2]]), [[0, 2]])


@pytest.mark.parametrize("number", [2, -3])
def test_there_is_no_such_layer(network: Network, number: int):
    with pytest.raises(InputError, match=f"from 0 to 1, got {number}"):
        network.layer_input(number, [[0, 0]])


def test_input_shapes(network: Network):
    shaped = dataclasses.replace(network, input_shape=(1, 2))
    np.testing.assert_array_equal(shaped([[[2, 1]]]), [[8]])
    np.testing.assert_array_equal(network([[[2, 1]]]), [[8]])  # a flat network takes any shape of the right size
    for wrong in (np.zeros((3, 2)), np.zeros((3, 2, 1)), np.zeros((1, 1, 3))):
        with pytest.raises(InputError, match=r"shape \(N, 1, 2\)"):
            shaped(wrong)
    with pytest.raises(InputError, match="batch axis"):
        network([2, 1])
    with pytest.raises(InputError, match="finite"):
        network([[np.nan, 1]])


def test_sizes_must_fit():
    with pytest.raises(ModelError, match="'second' expects 3 inputs, but the input of shape"):
        Network((affine_stage("second", SECOND),), (2,))
    with pytest.raises(ModelError, match="'third' expects 1 inputs, but the output of 'first' has 3 numbers"):
        Network((affine_stage("first", FIRST), affine_stage("third", THIRD)), (2,))
    with pytest.raises(ModelError, match="at least one stage"):
        Network((), (2,))


@pytest.mark.parametrize("source", [0, 1, -2])
def test_a_stage_takes_only_what_is_there(source: int):
    with pytest.raises(ModelError, match="not before it"):
        Network((Stage("loop", (Dense([[1.0]]),), sources=(source,)), affine_stage("next", Dense([[1.0]]))), (1,))


def test_a_stage_must_fit_its_parts():
    for make in (
        lambda: Stage("s"),
        lambda: Stage("s", (FIRST,), relu(3)),
        lambda: Stage("s", (FIRST,), sources=(0, 1)),
        lambda: Stage("s", (FIRST, SECOND), sources=(0, 1)),
        lambda: Stage("s", (FIRST,), shape=(2, 2)),
    ):
        with pytest.raises(ModelError, match="do not fit"):
            make()


def test_digest_depends_on_numbers_and_structure(network: Network):
    again = dataclasses.replace(network, notes=("told differently",))
    assert again.digest() == network.digest()
    moved = dataclasses.replace(network, stages=(*network.stages[:-1], affine_stage("out", Dense([[1, 1 + 2**-52]]))))
    shaped = dataclasses.replace(network, input_shape=(1, 2))
    rewired = dataclasses.replace(
        network, stages=(*network.stages[:-1], Stage("out", (Dense([[1, 1]]),), sources=(3,)))
    )
    assert len({network.digest(), moved.digest(), shaped.digest(), rewired.digest()}) == 4
    # Written down once: a stored digest must mean the same network in later versions and on other machines.
    assert network.digest() == "e338131c14d6c7155780c4f89a99121c6c0550a110031805378674d227b3e296"


# ---- activations


@pytest.mark.parametrize(
    ("activation", "theirs"),
    [
        (Pointwise(PointwiseKind.RELU, 9), torch.relu),
        (Pointwise(PointwiseKind.LEAKY_RELU, 9, slope=[0.25] * 9), lambda x: torch.nn.functional.leaky_relu(x, 0.25)),
        (Pointwise(PointwiseKind.ELU, 9, 1.5), lambda x: torch.nn.functional.elu(x, 1.5)),
        (Pointwise(PointwiseKind.ELU, 9, 1.5, 1.5), lambda x: torch.nn.functional.celu(x, 1.5)),
        (Pointwise(PointwiseKind.SOFTPLUS, 9, beta=2.0), lambda x: torch.nn.functional.softplus(x, 2.0, 100)),
        (Pointwise(PointwiseKind.TANH, 9), torch.tanh),
        (Pointwise(PointwiseKind.SIGMOID, 9), torch.sigmoid),
        (Pointwise(PointwiseKind.CLIP, 9, 0.0, 6.0), torch.nn.functional.relu6),
    ],
    ids=lambda value: value.kind if isinstance(value, Pointwise) else "",
)  # fmt: skip
def test_activations_are_those_of_torch(activation: Pointwise, theirs):
    X = torch.tensor([[-700.0, -3.0, -1.0, -1e-9, 0.0, 1e-9, 1.0, 5.0, 700.0]], dtype=torch.float64)
    np.testing.assert_allclose(activation.apply(X), theirs(X), rtol=1e-14)


def test_which_activations_tell_inputs_apart():
    def injective(function: PointwiseKind, **parameters: object) -> list[bool] | None:
        mask = Pointwise(function, 2, **parameters).injective()  # type: ignore[arg-type]
        return None if mask is None else mask.tolist()

    assert injective(PointwiseKind.RELU) == [False, False]
    assert injective(PointwiseKind.LEAKY_RELU, slope=[0.1, 0.0]) == [True, False]
    assert injective(PointwiseKind.LEAKY_RELU, slope=[0.1, -0.1]) is None
    assert injective(PointwiseKind.ELU, alpha=0.0) == [False, False]
    assert injective(PointwiseKind.ELU, alpha=-1.0) is None
    for function in (PointwiseKind.TANH, PointwiseKind.SIGMOID, PointwiseKind.SOFTPLUS, PointwiseKind.ELU):
        assert injective(function) == [True, True]
    assert injective(PointwiseKind.CLIP) == [False, False]


def test_a_window_needs_an_input():
    with pytest.raises(InputError, match="a window of padding"):
        Maximum([[0, 1], [-1, -1]], 2)
    with pytest.raises(InputError, match="slopes"):
        Pointwise(PointwiseKind.TANH, 2, slope=[1, 1])
    with pytest.raises(InputError, match="beta"):
        Pointwise(PointwiseKind.SOFTPLUS, 2, beta=0.0)


# ---- graphs


def _residual(scale: float = 1.0) -> Network:
    """Two residual blocks, one with a convolution in its shortcut, behind a normalisation."""
    rng = np.random.default_rng(3)
    builder = NetworkBuilder((1, 2, 4, 4))
    x = builder.scaled("norm", builder.input, np.array([2.0, 0.5]).reshape(2, 1, 1), -0.25)
    x = builder.relu(
        "relu0",
        builder.convolution("conv0", x, rng.integers(-4, 5, (3, 2, 3, 3)) / 4, np.ones(3), padding=[(1, 1)] * 2),
    )
    inner = builder.relu(
        "relu1",
        builder.convolution(
            "conv1", x, rng.integers(-4, 5, (4, 3, 3, 3)) / 4, None, stride=(2, 2), padding=[(1, 1)] * 2
        ),
    )
    left = builder.convolution("conv2", inner, rng.integers(-4, 5, (4, 4, 1, 1)) / 4, -np.ones(4))
    right = builder.convolution("shortcut", x, scale * rng.integers(-4, 5, (4, 3, 1, 1)) / 4, None, stride=(2, 2))
    x = builder.relu("relu2", builder.add("add", [left, right]))
    x = builder.reshape(x, (1, 16))
    return builder.build(builder.dense("fc", x, rng.integers(-4, 5, (3, 16)) / 4))  # fmt: skip


def test_light_maps_join_the_affine_map_beside_them():
    network = _residual()
    assert [stage.name for stage in network.stages] == [
        "conv0", "relu0", "conv1", "relu1", "conv2", "shortcut", "add", "relu2", "fc",
    ]  # fmt: skip
    assert network.output_shape == (3,)
    assert network.stages[0].shape == (3, 4, 4)


def test_a_residual_sum_is_a_layer_of_the_common_ancestor():
    network = _residual()
    assert network.layer_names == ("conv0", "conv1", "conv2 + shortcut + add")
    layer = network.relu_layers[2]
    assert isinstance(layer, RegionLayer)
    assert network.placed_layers[2].source == 1
    assert any("nearest common ancestor" in note and "linear region" in note for note in network.all_notes)


def test_a_residual_layer_is_what_the_network_computes_in_the_region():
    network = _residual()
    rng = np.random.default_rng(5)
    X = rng.integers(-4, 5, (6, 2, 4, 4)) / 2
    layer = network.relu_layers[2]
    assert isinstance(layer, RegionLayer)
    outputs = dict(network.stage_outputs(torch.tensor(X.reshape(6, -1))))
    for i, x in enumerate(network.layer_input(2, X)):
        local = layer.at(x)
        values = local.layer.weight @ local.x + local.layer.bias
        # small multiples of powers of two: nothing is rounded, so the definitions of z hold exactly
        np.testing.assert_array_equal(values[: local.layer.definitions], 0)
        np.testing.assert_array_equal(np.maximum(values[local.layer.definitions :], 0), outputs[7][i])
        assert local.layer.definitions == 16
        preimage = fs.preimage(layer, x=x)
        assert fs.verify(preimage, exact=True)
        assert preimage.positives == int((outputs[7][i] > 0).sum())
        assert preimage.contains(local.x)


def test_two_branches_from_one_place_are_one_affine_map():
    builder = NetworkBuilder((1, 3))
    x = builder.relu("relu0", builder.dense("fc0", builder.input, np.eye(3)))
    both = builder.add(
        "add",
        [
            builder.dense("fc1", x, np.array([[1.0, 2, 3]]), np.ones(1)),
            builder.dense("fc2", x, np.array([[4.0, 0, -1]])),
        ],
    )
    network = builder.build(builder.relu("relu1", both))  # fmt: skip
    layer = network.relu_layers[1]
    assert isinstance(layer, ReLULayer)
    np.testing.assert_array_equal(layer.weight, [[5, 2, 2]])
    np.testing.assert_array_equal(layer.bias, [1])


def test_a_concatenated_relu_is_one_layer():
    builder = NetworkBuilder((1, 2))
    z = builder.dense("fc", builder.input, np.array([[1.0, 2], [3, 4]]))
    halves = [builder.relu("plus", z), builder.relu("minus", builder.scaled("negated", z, -1.0))]
    network = builder.build(builder.concatenate("crelu", halves, axis=1))
    (layer,) = network.relu_layers
    assert isinstance(layer, ReLULayer)
    np.testing.assert_array_equal(layer.weight, [[1, 2], [3, 4], [-1, -2], [-3, -4]])
    X = np.array([[1.0, -1.0], [0.0, 0.0], [-2.0, 1.0]])
    np.testing.assert_array_equal(network(X), layer(X))
    assert {p.kind for p in fs.classify(layer, X)} == {fs.Kind.SINGLETON}  # also where the features are all zero


def test_a_relu_behind_a_maximum_belongs_to_the_affine_map_before():
    builder = NetworkBuilder((1, 1, 4))
    z = builder.convolution("conv", builder.input, np.array([[[1.0, -1.0]]]), padding=[(0, 1)])
    pooled = builder.maximum("pool", z, windows(z.positions, (2,), stride=(2,)))
    network = builder.build(builder.relu("relu", pooled))
    assert [stage.kind for stage in network.stages] == ["affine", "relu", "maximum"]
    assert network.layer_names == ("conv",)
    np.testing.assert_array_equal(network([[[3.0, 1, 4, 1]]]), [[[2.0, 3.0]]])


def test_strictly_monotone_activations_are_layers_of_equalities():
    builder = NetworkBuilder((1, 3))
    z = builder.dense("narrow", builder.input, np.array([[1.0, 0, 0], [0, 1, 0]]))
    network = builder.build(builder.pointwise("tanh", z, PointwiseKind.TANH))
    preimage = fs.preimage(network.relu_layers[0], x=[-1.0, 2.0, 0.5])
    assert (preimage.kind, preimage.dimension, preimage.positives) == (fs.Kind.UNBOUNDED, 1, 2)
    assert fs.verify(preimage)
    assert fs.verify(preimage, exact=True)
    assert preimage.contains([-1.0, 2.0, 7.0])
    assert not preimage.contains([-1.5, 2.0, 0.5])
    with pytest.raises(InputError, match="or x instead"):
        fs.preimage(network.relu_layers[0], y=[0.1, 0.2])


def test_activations_that_are_neither_are_not_judged_and_said_so():
    builder = NetworkBuilder((1, 2))
    z = builder.dense("fc", builder.input, np.eye(2))
    bent = builder.pointwise("prelu", z, PointwiseKind.LEAKY_RELU, slope=-0.5)
    network = builder.build(builder.relu("relu", builder.dense("out", bent, np.eye(2))))
    assert network.layer_names == ("out",)
    assert network.placed_layers[0].received == (0.0, np.inf)  # it is |x| or a part of it on either side
    assert any("'fc' is not judged" in note for note in network.all_notes)


def test_layers_without_a_verdict_are_counted_and_named_with_what_can_be_asked_instead():
    builder = NetworkBuilder((1, 2))
    z = builder.input
    for name in ("first", "second", "third"):
        z = builder.pointwise(f"{name} bent", builder.dense(name, z, np.eye(2)), PointwiseKind.LEAKY_RELU, slope=-1.0)
    network = builder.build(builder.clip("cut", z, -9.0, 9.0))  # behind no affine map: no layer
    assert [layer.name for layer in network.unjudged_layers] == ["first", "second", "third"]
    (note,) = network.all_notes
    assert note.startswith("3 layers ('first', 'second', 'third') are not judged: a leaky_relu that falls")
    for text in (network.nothing_to_judge(most=2), network.nothing_to_judge(most=None)):
        assert "no layer to judge" in text
        assert "fs.singular_values" in text
        assert "fs.invariance_example with layer='output'" in text
    assert "3 layers ('first', 'second' and 1 more)" in network.nothing_to_judge(most=2)
    for asked in (lambda: network.layer_input(0, np.zeros((1, 2))), lambda: fs.invariance_survey(network, np.eye(2))):
        with pytest.raises(fs.ModelError, match="no layer to judge"):
            asked()
    with pytest.raises(InputError, match="'output', as the network has no layer to judge, got 0"):
        fs.invariance_example(network, np.zeros(2), np.ones(2))
    assert fs.singular_values(fs.linearize(network, np.array([0.5, 0.25]))).values.tolist() == [1.0, 1.0]
    assert fs.invariance_example(network, np.full(2, 10.0), np.full(2, 19.0), "output", fs.Box(0, 19)).is_optimal


def test_invariance_is_not_offered_where_it_cannot_be_found():
    builder = NetworkBuilder((1, 2))
    smooth = builder.pointwise("tanh", builder.input, PointwiseKind.TANH)
    network = builder.build(builder.dense("fc", smooth, np.eye(2)))
    assert "fs.singular_values" in network.nothing_to_judge()
    assert "invariance" not in network.nothing_to_judge()


def test_average_pooling_with_uncounted_padding_and_overhang():
    builder = NetworkBuilder((1, 1, 5))
    index = windows(builder.input.positions, (3,), stride=(2,), padding=[(1, 1)])
    counts = (index >= 0).sum(axis=-1, keepdims=True)
    network = builder.build(
        builder.weighted_sums("pool", builder.input, index, np.broadcast_to(1 / counts, index.shape))
    )
    np.testing.assert_array_equal(network([[[2.0, 4, 6, 8, 10]]]), [[[3.0, 6.0, 9.0]]])


def test_a_batch_of_tensors_in_one_sample_is_convolved_side_by_side():
    builder = NetworkBuilder((2, 1, 3), sample_axis=False)
    network = builder.build(builder.convolution("conv", builder.input, np.array([[[1.0, 2.0]], [[0.0, 1.0]]])))
    assert network.input_shape == (2, 1, 3)
    out = network([[[[1.0, 2, 3]], [[4.0, 5, 6]]]])
    np.testing.assert_array_equal(out, [[[[5, 8], [2, 3]], [[14, 17], [5, 6]]]])


def test_many_affine_paths_are_not_multiplied_out():
    builder = NetworkBuilder((1, 2))
    x = builder.dense("fc", builder.input, np.eye(2))
    for i in range(40):
        x = builder.add(f"double{i}", [x, x])
    network = builder.build(builder.relu("relu", x))
    assert network.relu_layers == ()
    assert any("affine paths" in note for note in network.all_notes)
    np.testing.assert_array_equal(network([[1.0, -1.0]]), [[2.0**40, 0.0]])
