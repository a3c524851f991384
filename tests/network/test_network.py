from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fiberscope.errors import InputError, ModelError
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import Stage, StageKind, affine_stage, relu_stage

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


def test_layers_join_affine_maps_and_know_their_inputs(network: Network):
    X = np.array([[2.0, 1.0], [0.0, 0.0], [-1.0, 0.5]])
    assert network.layer_names == ("first", "second + third")
    assert [(layer.inputs, layer.outputs) for layer in network.relu_layers] == [(2, 3), (3, 2)]
    np.testing.assert_array_equal(network.layer_input(0, X), X)
    np.testing.assert_array_equal(network.layer_input(1, X), network.relu_layers[0](X))
    np.testing.assert_array_equal(network.layer_input(-1, X), network.layer_input(1, X))
    last = network.relu_layers[1](network.layer_input(1, X))
    np.testing.assert_array_equal(network(X), last.sum(axis=1, keepdims=True))


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


def test_sizes_must_chain():
    with pytest.raises(ModelError, match="'second' expects 3 inputs, but the input of shape"):
        Network((affine_stage("second", SECOND),), (2,))
    with pytest.raises(ModelError, match="'third' expects 1 inputs, but the output of stage 'first' has 3"):
        Network((affine_stage("first", FIRST), affine_stage("third", THIRD)), (2,))
    with pytest.raises(ModelError, match="at least one stage"):
        Network((), (2,))


def test_a_stage_must_fit_its_map():
    with pytest.raises(ModelError, match="does not fit"):
        Stage("s", StageKind.RELU, 2, 3)
    with pytest.raises(ModelError, match="does not fit"):
        Stage("s", StageKind.AFFINE, 2, 2)
    with pytest.raises(ModelError, match="does not fit"):
        Stage("s", StageKind.AFFINE, 2, 2, FIRST)


def test_digest_depends_on_numbers_and_structure(network: Network):
    again = dataclasses.replace(network, notes=("told differently",))
    assert again.digest() == network.digest()
    moved = dataclasses.replace(network, stages=(*network.stages[:-1], affine_stage("out", Dense([[1, 1 + 2**-52]]))))
    shaped = dataclasses.replace(network, input_shape=(1, 2))
    assert len({network.digest(), moved.digest(), shaped.digest()}) == 3
    # Written down once: a stored digest must mean the same network in later versions and on other machines.
    assert network.digest() == "585657d2b769b69b88410cdbbda9ad21cb88a419a7724c734bb349afd833a828"
