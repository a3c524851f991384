"""Keras models that branch, nest and share layers; and models that cannot be read, with all reasons at once."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fiberscope as fs
from drawn_examples import examples
from fiberscope.network.rows import dense
from fiberscope.readers.keras import from_keras
from fiberscope.readers.keras import graph as keras_graph
from keras_models import K, Later, assert_same, functional, inputs, keras, outputs, randomized, sequential

ops: Any = Later("keras.ops")


@pytest.mark.parametrize("merge", ["Add", "Average", "Maximum", "Minimum"])
@pytest.mark.parametrize("count", [2, 3])
def test_merging(merge: str, count: int):
    x = K.Input((6, 5, 2))
    branches = [K.Conv2D(3, 3, padding="same")(x), K.MaxPooling2D(3, strides=1, padding="same")(K.Conv2D(3, 1)(x))]
    branches.append(K.Reshape((6, 5, 3))(K.Dense(90)(K.Flatten()(x))))
    model = functional(x, K.ReLU()(getattr(K, merge)()(branches[-count:])))
    assert_same(from_keras(model), model)


def test_broadcasting():
    x = K.Input((6, 5, 2))
    scale = K.GlobalAveragePooling2D(keepdims=True)(x)
    model = functional(x, K.Add()([K.Subtract()([x, scale]), K.Maximum()([scale, x]), K.Conv2D(1, 1)(x)]))
    assert_same(from_keras(model), model)


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concatenation(axis: int):
    x = K.Input((4, 4, 4))
    a, b = K.Conv2D(4, 3, padding="same", activation="relu")(x), K.Permute((2, 3, 1))(x)
    model = functional(x, K.Conv2D(2, 2)(K.Concatenate(axis=axis)([a, b, x])))
    assert_same(from_keras(model), model)


def test_a_concatenated_relu_is_one_layer():
    x = K.Input((6, 6, 2))
    y = K.Conv2D(3, 3, use_bias=False)(x)
    model = functional(x, K.Conv2D(2, 2)(K.Concatenate()([K.ReLU()(y), K.ReLU()(-y)])))
    network = from_keras(model)
    assert_same(network, model)
    assert [layer.outputs for layer in network.relu_layers] == [96]


def test_operations():
    x = K.Input((6, 5, 2))
    y = x * 2.0 + 1
    y = ops.relu(1.0 - y / np.float32(3.0))
    y = ops.concatenate([y, -x, ops.leaky_relu(x, 0.3)], axis=-1)
    y = ops.transpose(y[:, 1:, ::2, None, :-1], (0, 4, 2, 1, 3))
    y = ops.squeeze(y, axis=-1) - ops.expand_dims(ops.mean(x, axis=(1, 2, 3)), (-1, -2, -3))
    y = ops.maximum(ops.reshape(y, (-1, 75)), 0)
    y = K.Dense(4)(y) + np.arange(4, dtype="float32") * 0.1
    y = ops.minimum(y, ops.elu(y)) + ops.sum(y, axis=1, keepdims=True) * np.ones((1, 4), "float32")
    model = functional(x, ops.softmax(ops.selu(y) - y))
    network = from_keras(model)
    assert_same(network, model)
    assert any("left off" in note for note in network.notes)


def test_nested_models():
    x = K.Input((8, 8, 2))
    inner = keras.Input((None, None, 2))  # its size is that of the outer model
    y = K.Conv2D(3, 3, activation="relu", name="conv")(inner)
    block = keras.Model(inner, K.Add()([y, K.Conv2D(3, 1, name="skip")(y)]), name="block")
    head = keras.Sequential([K.GlobalAveragePooling2D(), K.Dense(3, name="last", activation="softmax")], name="head")
    model = functional(x, head(block(x, training=False)))
    network = from_keras(model)
    assert_same(network, model)
    assert network.stages[0].name == "block/conv"
    assert network.stages[-1].name == "head/last"


def test_shared_layers_and_models():
    x = K.Input((6,))
    dense, relu = K.Dense(6, name="dense"), K.ReLU(name="relu")
    inner = keras.Sequential([K.Input((6,)), K.Dense(6, activation="tanh", name="inner")], name="twice")
    y = relu(dense(relu(dense(x))))
    model = functional(x, inner(inner(y)) + y)
    network = from_keras(model)
    assert_same(network, model)
    names = [stage.name for stage in network.stages]
    assert {"dense", "dense#2", "relu#2", "twice/inner", "twice/inner#2"} <= set(names)
    assert len(set(names)) == len(names)


def test_models_of_inner_tensors():
    """A model of some layers of another one knows only its own calls."""
    x = K.Input((6,))
    hidden = K.Dense(5, activation="relu")(x)
    functional(x, K.Dense(3)(hidden))
    part = keras.Model(x, hidden)
    assert_same(from_keras(part), part)


def test_inputs_and_outputs_with_names():
    x = keras.Input((4,), name="a")
    y = K.Dense(3, name="b")(x)
    model = randomized(keras.Model({"a": x}, {"b": y}))
    np.testing.assert_allclose(from_keras(model)(inputs((4,))), outputs(keras.Model(x, y), inputs((4,))), atol=1e-5)


def test_layers_called_by_name_of_their_argument():
    x = K.Input((4,))
    model = functional(x, K.Dense(3)(inputs=K.ReLU()(x)))
    assert_same(from_keras(model), model)


def test_a_fixed_number_of_samples_is_no_obstacle():
    model = randomized(keras.Sequential([keras.Input(batch_shape=(4, 5)), K.Dense(3), K.ReLU()]))
    X = inputs((5,), count=4)
    np.testing.assert_allclose(from_keras(model)(X), outputs(model, X), atol=1e-5)


# ---- random models

STEPS = ("conv", "strided", "depthwise", "batch", "pool", "average", "residual", "join", "up", "permute", "minimum")


def grown(x: Any, step: str) -> Any:
    """One more step on an image."""
    width, channels = x.shape[2:]
    match step:
        case "conv":
            return K.Conv2D(3, (2, 3), padding="same", activation="relu")(x)
        case "strided":
            return K.Conv2D(4, 3, strides=2, padding="same")(x)
        case "depthwise":
            return K.DepthwiseConv2D(2, padding="same", activation="leaky_relu")(x)
        case "batch":
            return K.ReLU()(K.BatchNormalization()(x))
        case "pool":
            return K.MaxPooling2D(2, strides=1, padding="same")(x)
        case "average":
            return K.AveragePooling2D((2, 1), padding="same")(x)
        case "residual":
            return K.ReLU()(K.Add()([x, K.Conv2D(channels, 3, padding="same")(x)]))
        case "join":
            return K.Concatenate()([x, K.ReLU()(x), K.Conv2D(1, 1)(x)])
        case "up":
            return K.UpSampling2D((1, 2))(x)[:, :, : width + 1]
        case "permute":
            return K.Permute((2, 1, 3))(x)
        case _:
            return K.Minimum()([x, K.Conv2D(channels, 1)(x)])


@examples(20)
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5), st.integers(0, 2**31), st.booleans())
def test_random_models(steps: list[str], seed: int, pooled: bool):
    x = y = K.Input((5, 4, 2))
    for step in steps:
        y = grown(y, step)
    y = K.GlobalAveragePooling2D()(y) if pooled else K.Flatten()(y)
    model = functional(x, K.Dense(3, activation="softmax")(y), seed)
    assert_same(from_keras(model), model)


# ---- what is refused


def refused(model: Any) -> fs.ModelError:
    with pytest.raises(fs.ModelError) as caught:
        from_keras(model)
    return caught.value


def test_all_unsupported_layers_are_named():
    x = K.Input((6, 4))
    y = K.LSTM(4, return_sequences=True, name="memory")(x)
    y = K.LayerNormalization(name="norm")(y)
    y = K.Dense(3, activation="gelu", name="smooth")(y)
    y = K.Dropout(0.5, name="random")(y, training=True)
    y = K.Softmax(name="early")(y)
    y = K.ReLU(threshold=1.0, name="threshold")(y)
    y = K.Lambda(lambda z: z, name="code")(y)
    y = ops.multiply(y, y)
    y = ops.reshape(y, (-1, 9))
    y = K.Dense(3, activation=lambda z: z, name="own")(y)
    model = keras.Model(x, K.UpSampling1D(2, name="fine")(K.Reshape((3, 1))(y)))
    error = refused(model)
    found = dict(entry.split(" ", 1) for entry in error.unsupported)
    assert found["memory"] == "(LSTM)"
    assert found["norm"] == "(LayerNormalization)"
    assert found["smooth"] == "(Dense: its activation gelu is not supported)"
    assert found["random"] == "(Dropout: called with training=True)"
    assert found["early"] == "(Softmax: a softmax is supported only at the end)"
    assert found["threshold"].startswith("(ReLU: its threshold")
    assert found["code"] == "(Lambda)"
    assert found["own"].startswith("(Dense: its activation")
    assert any("both operands depend on the input" in reason for reason in found.values())
    assert any("need not keep the samples apart" in reason for reason in found.values())
    assert len(found) == 10
    assert all(name in str(error) for name in found)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: K.UpSampling2D(2, interpolation="bicubic"), "interpolation bicubic"),
        (lambda: K.ReLU(max_value=2.0, negative_slope=0.1), "maximum together with a negative slope"),
        (lambda: K.Activation("gelu"), "activation gelu"),
        (lambda: K.Identity(dtype="int32"), "computes in int32"),
        (lambda: K.Concatenate(axis=0), "axis of the samples"),
        (lambda: type("Doubled", (K.Dense,), {})(3), r"Doubled\)"),
    ],
)
def test_options_that_are_not_supported(layer: Any, reason: str):
    x = K.Input((4, 4, 2))
    made = layer()
    model = keras.Model(x, made([x, x]) if isinstance(made, K.Concatenate) else made(x))
    with pytest.raises(fs.ModelError, match=reason):
        from_keras(model)


def test_several_inputs_and_outputs():
    a, b = K.Input((3,), name="left"), K.Input((3,), name="right")
    y = K.Dense(3, name="first")(K.Add()([a, b]))
    assert "2 inputs (left, right)" in str(refused(keras.Model([a, b], y)))
    assert "2 outputs (first, second)" in str(
        refused(keras.Model(a, [K.Dense(2, name="first")(a), K.ReLU(name="second")(a)]))
    )


def test_open_shapes():
    x = K.Input((None, None, 3), name="photo")
    message = str(refused(keras.Model(x, K.Conv2D(2, 3)(x))))
    assert "photo" in message
    assert "keras.Input(shape=...)" in message


def test_models_without_a_graph():
    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = K.Dense(3)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    class Overridden(keras.Model):
        """A graph of layers whose ``call`` computes something else."""

        def call(self, x: Any) -> Any:
            return super().call(x) * 2.0

    model = Subclassed()
    model(np.zeros((1, 4), np.float32))
    assert "code of its own" in str(refused(model))
    x = K.Input((4,))
    assert "code of its own" in str(refused(Overridden(x, K.Dense(2)(x))))
    assert "Subclassed" in str(refused(keras.Model(x, model(x))))
    assert "no input shape yet" in str(refused(keras.Sequential([K.Dense(3)])))
    assert "expected a keras.Model" in str(refused(K.Dense(3)))
    assert "expected a keras.Model" in str(refused(None))


def test_inputs_that_are_no_real_numbers():
    model = sequential((4,), K.Rescaling(1 / 255), dtype="uint8")
    assert "takes uint8 inputs" in str(refused(model))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(value: float):
    model = sequential((4,), K.Dense(3, name="hidden"), K.BatchNormalization(name="norm"))
    kernel, bias = model.get_layer("hidden").get_weights()
    kernel[1, 2] = value
    model.get_layer("hidden").set_weights([kernel, bias])
    assert "hidden.kernel" in str(refused(model))
    model.get_layer("hidden").set_weights([np.zeros_like(kernel), bias])
    model.get_layer("norm").moving_variance.assign([1.0, -1.0, 1.0])
    assert "norm (BatchNormalization) cannot be converted" in str(refused(model))


def test_layers_that_ask_for_more_than_memory():
    x = K.Input((4,))
    assert "expected at most" in str(refused(keras.Model(x, K.RepeatVector(10**10)(x))))
    x = K.Input((40, 40, 1))
    assert "expected at most" in str(refused(keras.Model(x, K.ZeroPadding2D(10**5)(x))))


def test_models_that_call_each_other_without_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keras_graph, "LONGEST", 1000)
    x = K.Input((2,))
    model = keras.Model(x, K.Dense(2)(x))
    for _ in range(40):
        x = K.Input((2,))
        model = keras.Model(x, model(model(x)))
    assert "more than" in str(refused(model))


def test_code_that_changes_values_is_noticed():
    model = sequential((4,), K.Dense(3, name="first"), K.Dense(2))
    layer = model.get_layer("first")
    layer.register_forward_hook(lambda module, given, output: output * 1.001)
    assert "first difference is at 'first'" in str(refused(model))


# ---- the caller's model


def test_the_model_is_not_changed(monkeypatch: pytest.MonkeyPatch):
    x = K.Input((6, 6, 2))
    inner = keras.Sequential([K.Input((6, 6, 2)), K.Conv2D(3, 3, activity_regularizer="l2", name="conv")])
    y = K.BatchNormalization()(K.Dropout(0.5)(inner(x)))
    model = functional(x, K.Dense(4, activation="softmax", kernel_initializer="glorot_uniform")(K.Flatten()(y)))
    model.compile("sgd", "mse")

    def state() -> Any:
        layers = list(model._flatten_layers())
        return (
            [np.array(weight) for weight in model.get_weights()],
            model.get_config(),
            [(vars(layer).get("_losses"), layer.trainable, len(layer._inbound_nodes)) for layer in layers],
            [set(vars(layer)) for layer in layers],
            [variable.path for variable in model.variables],
            np.random.get_state()[1].tolist(),  # noqa: NPY002  the generator that code of callers may use
        )

    before = state()
    monkeypatch.setattr(random, "randint", None)  # Keras draws the seeds of new layers from it
    from_keras(model)
    for then, now in zip(before, state(), strict=True):
        np.testing.assert_equal(now, then)


def test_names_of_new_layers_do_not_depend_on_conversions():
    keras.utils.clear_session(free_memory=False)
    from_keras(sequential((4,), K.Dense(3, activation="softmax")))
    assert K.Dense(1).name == "dense_1"
    assert keras.Sequential([K.Input((2,)), K.Dense(1)]).name == "sequential_1"


# ---- half precision


def _small(policy: str) -> Any:
    """Layers of each sort, a model that is called twice, and operations."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        x = K.Input((6, 6, 2))
        inner = keras.Sequential([K.Input((6, 6, 3)), K.Conv2D(3, 1, name="thin"), K.LeakyReLU()], name="inner")
        y = K.Conv2D(3, 3, activation="relu", padding="same", name="wide")(K.Normalization(name="norm")(x))
        y = inner(inner(K.Add(name="sum")([y, K.BatchNormalization(name="batch")(y)]) * 2))
        y = K.Dropout(0.3, name="drop")(keras.ops.relu(y))
        z = K.Dense(4, activation="softmax", dtype="float32", name="classes")(K.Flatten(name="flat")(y))
        return randomized(keras.Model(x, z))
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(("policy", "computed"), [("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")])
def test_models_that_compute_in_half_precision_are_taken_by_the_numbers_that_they_store(
    policy: str, computed: str, monkeypatch: pytest.MonkeyPatch
):
    half, full = _small(policy), _small("float32")
    weights = half.get_weights()
    with monkeypatch.context() as patched:
        patched.setattr(random, "randint", None)  # Keras draws the seeds of new layers from it
        network = from_keras(half)
    (note,) = [note for note in network.notes if "computes in" in note]
    assert f"computes in {computed}, which rounds" in note
    apart = float(re.search(r"differs by up to (\S+) on", note)[1])  # type: ignore[index]
    X = np.random.default_rng(0).standard_normal((8, 6, 6, 2)).astype(np.float32)  # as the note's
    assert apart == pytest.approx(np.abs(half.predict_on_batch(X) - full.predict_on_batch(X)).max(), rel=0.06)
    assert 0 < apart < 0.1
    assert_same(network, full)
    for ours, theirs in zip(network.relu_layers, from_keras(full).relu_layers, strict=True):
        np.testing.assert_array_equal(dense(ours.weight), dense(theirs.weight))
    for ours, theirs in zip(weights, half.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert half.get_layer("wide").compute_dtype == computed


def test_one_layer_in_half_precision_is_enough(tmp_path: Path):
    x = K.Input((4, 4, 2))
    model = functional(x, K.Conv2D(2, 2, dtype="mixed_float16", activation="relu")(K.Conv2D(3, 2)(x)))
    network = from_keras(model)
    assert any("computes in float16" in note for note in network.notes)
    model.save(tmp_path / "model.keras")
    assert fs.load(tmp_path / "model.keras").digest() == network.digest()
