"""Every supported layer of Keras, on its own or with what it is used with, computes what Keras computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.readers.keras import from_keras
from fiberscope.readers.keras.layers import LAYERS
from keras_models import K, assert_same, functional, keras, sequential

IMAGE, SIGNAL, VOLUME = (7, 6, 3), (9, 4), (4, 5, 3, 2)
FIRST = {"data_format": "channels_first"}

CASES = [
    ((5,), lambda: [K.Dense(4)]),
    ((5,), lambda: [K.Dense(4, use_bias=False, activation="relu")]),
    ((4, 5), lambda: [K.Dense(3, activation="tanh")]),
    ((2, 4, 5), lambda: [K.Dense(3)]),
    ((1, 5), lambda: [K.Dense(3), K.Flatten()]),
    (IMAGE, lambda: [K.Conv2D(4, 3)]),
    (IMAGE, lambda: [K.Conv2D(4, (3, 2), strides=(2, 1), padding="same", activation="relu")]),
    (IMAGE, lambda: [K.Conv2D(4, (2, 4), padding="same", dilation_rate=(2, 1))]),
    (IMAGE, lambda: [K.Conv2D(6, 3, groups=3, use_bias=False)]),
    (IMAGE, lambda: [K.Conv2D(4, 3, strides=4, padding="same")]),
    (SIGNAL, lambda: [K.Conv1D(3, 3, padding="causal", dilation_rate=2, activation="elu")]),
    (SIGNAL, lambda: [K.Conv1D(3, 3, padding="causal", strides=2)]),
    (SIGNAL, lambda: [K.Conv1D(3, 4, padding="same", strides=3)]),
    (SIGNAL, lambda: [K.Conv1D(3, 2, padding="valid")]),
    (VOLUME, lambda: [K.Conv3D(3, 2, padding="same", strides=(1, 2, 1))]),
    (IMAGE, lambda: [K.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu")]),
    (IMAGE, lambda: [K.DepthwiseConv2D(2, strides=2)]),
    (SIGNAL, lambda: [K.DepthwiseConv1D(3, depth_multiplier=3)]),
    (IMAGE, lambda: [K.SeparableConv2D(5, 3, depth_multiplier=2, padding="same", activation="relu")]),
    (SIGNAL, lambda: [K.SeparableConv1D(5, 3, strides=2)]),
    ((4, 5, 3), lambda: [K.Conv2DTranspose(2, 3, strides=2, padding="same", activation="relu")]),
    ((4, 5, 3), lambda: [K.Conv2DTranspose(2, (3, 2), strides=(1, 2))]),
    ((4, 5, 3), lambda: [K.Conv2DTranspose(2, 3, strides=3, padding="same", output_padding=1)]),
    ((4, 5, 3), lambda: [K.Conv2DTranspose(2, 2, strides=3, output_padding=2)]),
    ((4, 5, 3), lambda: [K.Conv2DTranspose(2, 2, strides=4, padding="same")]),
    ((4, 5, 3), lambda: [K.Conv2DTranspose(2, 3, padding="same", dilation_rate=2)]),
    ((6, 3), lambda: [K.Conv1DTranspose(4, 4, strides=2, padding="same")]),
    ((3, 2, 3, 2), lambda: [K.Conv3DTranspose(2, 2, strides=2)]),
    (IMAGE, lambda: [K.AveragePooling2D(2)]),
    (IMAGE, lambda: [K.AveragePooling2D(3, strides=1, padding="same")]),
    (IMAGE, lambda: [K.AveragePooling2D(3, strides=2, padding="same")]),
    (SIGNAL, lambda: [K.AveragePooling1D(4, strides=2, padding="same")]),
    (VOLUME, lambda: [K.AveragePooling3D(2)]),
    (IMAGE, lambda: [K.MaxPooling2D((2, 3), strides=(1, 2), padding="same")]),
    (IMAGE, lambda: [K.Conv2D(4, 3, activation="relu"), K.MaxPooling2D(2)]),
    (IMAGE, lambda: [K.Conv2D(4, 3), K.MaxPooling2D(2), K.ReLU()]),
    (SIGNAL, lambda: [K.MaxPooling1D(2)]),
    (VOLUME, lambda: [K.MaxPooling3D(2, padding="same")]),
    (IMAGE, lambda: [K.GlobalAveragePooling2D()]),
    (SIGNAL, lambda: [K.GlobalAveragePooling1D(keepdims=True)]),
    (VOLUME, lambda: [K.GlobalAveragePooling3D()]),
    (IMAGE, lambda: [K.GlobalMaxPooling2D(keepdims=True)]),
    (SIGNAL, lambda: [K.GlobalMaxPooling1D()]),
    (VOLUME, lambda: [K.GlobalMaxPooling3D()]),
    (IMAGE, lambda: [K.AdaptiveAveragePooling2D((3, 4))]),
    (SIGNAL, lambda: [K.AdaptiveAveragePooling1D(4)]),
    (VOLUME, lambda: [K.AdaptiveAveragePooling3D((3, 2, 3))]),
    (IMAGE, lambda: [K.AdaptiveMaxPooling2D((3, 4))]),
    (SIGNAL, lambda: [K.AdaptiveMaxPooling1D(2)]),
    (VOLUME, lambda: [K.AdaptiveMaxPooling3D(2)]),
    (IMAGE, lambda: [K.Conv2D(4, 3), K.BatchNormalization(), K.ReLU()]),
    (IMAGE, lambda: [K.BatchNormalization(axis=1, center=False)]),
    (IMAGE, lambda: [K.BatchNormalization(scale=False, epsilon=0.1)]),
    ((5,), lambda: [K.BatchNormalization(), K.Dense(3)]),
    (IMAGE, lambda: [K.Normalization(), K.Conv2D(2, 2)]),
    ((5,), lambda: [K.Normalization(mean=2.0, variance=3.0)]),
    ((5,), lambda: [K.Normalization(mean=[1.0, 2, 3, 4, 5], variance=[1.0, 2, 3, 4, 5], invert=True)]),
    (IMAGE, lambda: [K.Rescaling(1 / 127.5, offset=-1.0), K.Conv2D(2, 2)]),
    (IMAGE, lambda: [K.Rescaling([0.1, 0.2, 0.3], offset=[1.0, 2.0, 3.0])]),
    ((5,), lambda: [K.ReLU()]),
    ((5,), lambda: [K.ReLU(max_value=0.5)]),
    ((5,), lambda: [K.ReLU(negative_slope=0.3)]),
    ((5,), lambda: [K.LeakyReLU(0.25)]),
    (IMAGE, lambda: [K.PReLU()]),
    (IMAGE, lambda: [K.Conv2D(4, 3), K.PReLU(shared_axes=[1, 2])]),
    ((5,), lambda: [K.ELU(0.7)]),
    ((5,), lambda: [K.Dense(4, activation=K.LeakyReLU(0.1))]),
    ((5,), lambda: [K.Dense(4, activation="softmax")]),
    ((5,), lambda: [K.Dense(4), K.Softmax(), K.Dropout(0.5)]),
    (IMAGE, lambda: [K.Conv2D(4, 3, activation="softmax"), K.Activation("linear")]),
    (IMAGE, lambda: [K.Conv2D(4, 3), K.Flatten(), K.Dense(5, activation="relu"), K.Dense(2, activation="sigmoid")]),
    ((6, 4), lambda: [K.Reshape((3, -1, 2)), K.Conv2D(2, 2)]),
    ((2, 3, 4), lambda: [K.Permute((3, 1, 2)), K.Dense(2)]),
    (IMAGE, lambda: [K.Conv2D(4, 3), K.Permute((2, 1, 3)), K.Conv2D(2, 2), K.Reshape((-1,))]),
    ((5,), lambda: [K.RepeatVector(3), K.Conv1D(2, 2)]),
    (IMAGE, lambda: [K.ZeroPadding2D(((1, 2), (0, 3))), K.Conv2D(2, 2)]),
    (IMAGE, lambda: [K.ZeroPadding2D(1)]),
    (SIGNAL, lambda: [K.ZeroPadding1D(2), K.Cropping1D((1, 0))]),
    (VOLUME, lambda: [K.ZeroPadding3D(1), K.Cropping3D(((1, 0), (2, 1), (0, 2)))]),
    (IMAGE, lambda: [K.Cropping2D(((1, 2), (0, 1)))]),
    ((3, 2, 2), lambda: [K.UpSampling2D((2, 3)), K.Conv2D(2, 2)]),
    ((4, 3), lambda: [K.UpSampling1D(3)]),
    ((3, 4, 2), lambda: [K.UpSampling2D((2, 3), interpolation="bilinear"), K.Conv2D(2, 2)]),
    ((1, 5, 2), lambda: [K.Conv2D(3, 1, activation="relu"), K.UpSampling2D((5, 1), interpolation="bilinear")]),
    ((2, 3, 4), lambda: [K.UpSampling2D(4, interpolation="bilinear", **FIRST)]),
    ((2, 2, 3, 2), lambda: [K.UpSampling3D((1, 2, 3))]),
    (IMAGE, lambda: [K.Dropout(0.5), K.SpatialDropout2D(0.2), K.GaussianNoise(0.1), K.Conv2D(2, 2)]),
    (SIGNAL, lambda: [K.SpatialDropout1D(0.5), K.GaussianDropout(0.1), K.Conv1D(2, 2)]),
    (VOLUME, lambda: [K.SpatialDropout3D(0.5), K.Conv3D(2, 2)]),
    ((5,), lambda: [K.AlphaDropout(0.1), K.ActivityRegularization(l2=0.1), K.Identity(), K.Dense(2)]),
    (IMAGE, lambda: [K.RandomFlip(), K.RandomRotation(0.1), K.RandomZoom(0.1), K.Conv2D(2, 2)]),
    (IMAGE, lambda: [K.RandomTranslation(0.1, 0.1), K.RandomContrast(0.1), K.RandomBrightness(0.1), K.Conv2D(2, 2)]),
    ((3, 7, 6), lambda: [K.Conv2D(4, 3, padding="same", **FIRST), K.MaxPooling2D(2, **FIRST), K.Flatten(**FIRST)]),
    ((3, 7, 6), lambda: [K.AveragePooling2D(2, padding="same", **FIRST), K.GlobalAveragePooling2D(**FIRST)]),
    ((3, 7, 6), lambda: [K.Conv2D(4, 3, **FIRST), K.BatchNormalization(axis=1), K.SeparableConv2D(2, 2, **FIRST)]),
    ((3, 4, 5), lambda: [K.Conv2DTranspose(2, 3, strides=2, **FIRST), K.UpSampling2D(2, **FIRST)]),
    ((3, 4, 5), lambda: [K.ZeroPadding2D(1, **FIRST), K.DepthwiseConv2D(3, **FIRST), K.Cropping2D(1, **FIRST)]),
    ((3, 4, 5), lambda: [K.GlobalMaxPooling2D(**FIRST)]),
    ((4, 9), lambda: [K.Conv1D(3, 2, padding="causal", **FIRST), K.AdaptiveAveragePooling1D(3, **FIRST)]),
]


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize(("shape", "layers"), CASES)
def test_layers(shape: tuple[int, ...], layers: Any, tmp_path: Path):
    model = sequential(shape, *layers())
    network = from_keras(model)
    assert_same(network, model)
    model.save(tmp_path / "model.keras")
    assert fs.load(tmp_path / "model.keras").digest() == network.digest()


ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "softplus", "log_sigmoid", "tanh", "sigmoid", "hard_tanh",
    "hard_sigmoid", "linear", "softmax",
)  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str):
    model = sequential((6,), K.Dense(5, activation=name), K.Activation("linear"))
    assert_same(from_keras(model), model)
    model = sequential((6,), K.Dense(5), K.Activation(name))
    assert_same(from_keras(model), model)


MERGING = ("Add", "Average", "Subtract", "Maximum", "Minimum", "Concatenate")


def test_every_supported_layer_has_a_case():
    models = [sequential(shape, *layers()) for shape, layers in CASES]
    seen = {type(layer).__name__ for model in models for layer in model.layers}
    assert set(LAYERS) <= {*seen, *MERGING, "Activation"}
    assert all(hasattr(K, name) for name in LAYERS)


def test_log_softmax_at_the_end():
    network = from_keras(sequential((6,), K.Dense(5, activation="log_softmax", name="last")))
    assert network.notes == ("last: the log_softmax at the end is left off; outputs are its inputs",)
    assert network.output_shape == (5,)


def test_stages_are_named_after_layers():
    model = sequential((6, 6, 2), K.Conv2D(3, 3, name="conv", activation="relu"), K.Flatten(), K.Dense(4, name="last"))
    network = from_keras(model)
    assert [stage.name for stage in network.stages] == ["conv", "conv.activation", "last"]
    assert network.layer_names == ("conv",)
    assert network.input_shape == (6, 6, 2)


def test_batch_normalisation_is_folded_into_the_convolution_before_it():
    model = sequential(
        (6, 6, 2), K.Conv2D(3, 3, name="conv"), K.BatchNormalization(), K.ReLU(), K.MaxPooling2D(2), K.Conv2D(2, 2)
    )
    network = from_keras(model)
    assert [stage.kind for stage in network.stages] == ["affine", "relu", "maximum", "affine"]
    assert "folded into 'conv'" in network.notes[0]


def test_the_padding_of_averages_is_that_of_the_backend():
    network = from_keras(sequential((7, 6, 3), K.AveragePooling2D(3, strides=2, padding="same", name="pool")))
    assert any("pool: Keras pads" in note for note in network.notes) == (keras.config.backend() == "torch")


def test_models_in_double_precision():
    policy = "float64"
    x = K.Input((5,), dtype=policy)
    model = functional(x, K.Dense(3, dtype=policy)(K.Dense(4, activation="tanh", dtype=policy)(x)))
    network = from_keras(model)
    assert_same(network, model)


def test_sequential_models_cast_their_inputs():
    model = sequential((5,), K.Dense(4, activation="tanh", dtype="float64"), dtype="float64")
    assert_same(from_keras(model), model)
    x = K.Input((5,), dtype="float64")
    assert_same(from_keras(functional(x, model(x))), model)


def test_the_network_of_the_paper_for_cifar():
    """The example network of Keras for CIFAR-10: two blocks of convolutions, one hidden layer."""
    layers = []
    for channels in (32, 64):
        layers += [
            K.Conv2D(channels, 3, padding="same"),
            K.Activation("relu"),
            K.Conv2D(channels, 3),
            K.Activation("relu"),
        ]
        layers += [K.MaxPooling2D(2), K.Dropout(0.25)]
    model = sequential(
        (32, 32, 3),
        *layers,
        K.Flatten(),
        K.Dense(512),
        K.Activation("relu"),
        K.Dropout(0.5),
        K.Dense(10),
        K.Activation("softmax"),
    )
    network = from_keras(model)
    assert_same(network, model)
    assert [layer.outputs for layer in network.relu_layers] == [32768, 28800, 14400, 10816, 512]
    kinds = ["affine", "relu", "affine", "relu", "maximum"]
    assert [stage.kind for stage in network.stages] == [*kinds, *kinds, "affine", "relu", "affine"]


def test_the_model_is_kept_as_the_original_and_confirms_examples():
    model = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(2)])
    net = fs.from_keras(model)
    assert [original.name for original in net.originals] == ["Keras"]
    x, target = np.random.default_rng(0).uniform(size=(2, 6))
    verification = fs.invariance_example(net, x, target, "output", fs.Box(0, 1)).verify(points=3)
    assert verification, verification.reason
    assert verification.reason == ""
