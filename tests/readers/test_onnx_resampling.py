"""Resize and Upsample of ONNX against onnxruntime, torch, and sums written out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import helper
from torch.nn.functional import interpolate

import fiberscope as fs
from fiberscope.network.stage import Stage
from readers.onnx_models import model_of, written

RNG = np.random.default_rng(0)

MODES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def resized(
    folder: Path, shape: tuple[int, ...], *, opset: int = 13, scales: Any = None, sizes: Any = None, roi: Any = None,
    kind: str = "Resize", **attributes: Any,
) -> fs.Network:  # fmt: skip
    """A network of one Resize, after it was compared with onnxruntime on samples of its own."""
    constants: dict[str, np.ndarray] = {}
    inputs = ["x"]
    if opset > 10:
        inputs += ["roi" if roi is not None or opset == 11 else "", "scales" if scales is not None else "", "sizes"]
        constants["roi"] = np.float32([] if roi is None else roi)
        inputs = inputs if sizes is not None else inputs[:3]
    elif opset > 7:
        inputs.append("scales")
    else:
        attributes["scales"] = scales
    if scales is not None:
        constants["scales"] = np.float32(scales)
    if sizes is not None:
        constants["sizes"] = np.array(sizes)
    if opset == 11 and scales is None:
        inputs[2], constants["scales"] = "scales", np.float32([])
    node = helper.make_node(kind, inputs, ["y"], "resize", **attributes)
    used = {name: array for name, array in constants.items() if name in inputs}
    model = model_of([node], (1, *shape), used, opset=opset)
    network = fs.load(written(model, folder / "m.onnx"))
    assert network.agreement is not None
    assert network.agreement.original == "onnxruntime"
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    X = RNG.standard_normal((2, *shape)).astype(np.float32)
    theirs = np.concatenate([session.run(None, {"x": x[None]})[0] for x in X])
    assert network(X).shape == theirs.shape
    np.testing.assert_allclose(network(X), theirs, rtol=1e-5, atol=1e-5)
    return network


def only_stage(network: fs.Network) -> Stage:
    (stage,) = network.stages
    return stage


@pytest.mark.parametrize("scale", [2.0, 0.5, 1.7, 0.6])
@pytest.mark.parametrize("mode", MODES)
def test_nearest_places(mode: str, scale: float, tmp_path: Path):
    for rounding in ROUNDINGS:
        network = resized(
            tmp_path, (2, 5, 4), scales=[1, 1, scale, 2], coordinate_transformation_mode=mode, nearest_mode=rounding
        )
        rows = only_stage(network).maps[0].rows()
        assert rows.nnz == network.outputs  # every number is one of the inputs, unchanged


@pytest.mark.parametrize("scale", [2.0, 0.5, 1.7, 0.6])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_interpolation(kind: str, mode: str, scale: float, tmp_path: Path):
    network = resized(tmp_path, (2, 5, 4), scales=[1, 1, scale, 3], mode=kind, coordinate_transformation_mode=mode)
    np.testing.assert_allclose(network(np.ones((1, 2, 5, 4))), 1.0, rtol=1e-6)  # weights are averages


@pytest.mark.parametrize("kind", ["linear", "cubic"])
@pytest.mark.parametrize(
    "attributes",
    [{"antialias": 1}, {"antialias": 1, "exclude_outside": 1}, {"exclude_outside": 1, "cubic_coeff_a": -0.5}],
)
def test_kernels_of_other_widths_and_at_the_border(kind: str, attributes: dict[str, Any], tmp_path: Path):
    if kind == "cubic" or "antialias" in attributes:
        for scales in ([1, 1, 0.4, 0.7], [1, 1, 2.5, 0.5]):
            resized(tmp_path, (1, 7, 6), opset=18, scales=scales, mode=kind, **attributes)


def test_linear_and_nearest_are_those_of_torch(tmp_path: Path):
    x = torch.tensor(RNG.standard_normal((1, 2, 5, 4)))
    for mode, corners in (("pytorch_half_pixel", False), ("align_corners", True)):
        network = resized(tmp_path, (2, 5, 4), sizes=[1, 2, 8, 3], mode="linear", coordinate_transformation_mode=mode)
        theirs = interpolate(x, (8, 3), mode="bilinear", align_corners=corners)
        np.testing.assert_allclose(network(x.numpy()), theirs, rtol=1e-6, atol=1e-6)
    network = resized(
        tmp_path, (2, 5, 4), sizes=[1, 2, 10, 2], coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    np.testing.assert_array_equal(network(x.numpy()), interpolate(x, (10, 2), mode="nearest"))


def test_weights_by_hand(tmp_path: Path):
    """Twice as many places: a quarter of the neighbour, and the border repeated."""
    network = resized(tmp_path, (1, 3), scales=[1, 1, 2], mode="linear")
    expected = [[4, 0, 0], [3, 1, 0], [1, 3, 0], [0, 3, 1], [0, 1, 3], [0, 0, 4]]
    np.testing.assert_array_equal(network(np.eye(3)[:, None])[:, 0].T, np.array(expected) / 4)
    assert network.notes == ()


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 4), (1, 3, 2, 4)])
def test_grids_of_one_to_three_axes(shape: tuple[int, ...], tmp_path: Path):
    scales = [1, 1, 2, 1.5, 3][: len(shape) + 1]
    for kind in ("nearest", "linear"):
        resized(tmp_path, shape, scales=scales, mode=kind)
        resized(tmp_path, shape, opset=11, sizes=[1, *(2 * size for size in shape)][: len(shape) + 1], mode="nearest")


@pytest.mark.parametrize(("kind", "opset"), [("Upsample", 7), ("Upsample", 9), ("Resize", 10)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_old_versions(kind: str, opset: int, mode: str, tmp_path: Path):
    for scales in ([1.0, 1, 2, 3], [1.0, 1, 1.5, 1], *([[1.0, 1, 0.6, 2]] if kind == "Resize" else [])):
        resized(tmp_path, (2, 4, 3), kind=kind, opset=opset, scales=scales, mode=mode)


def test_only_some_axes(tmp_path: Path):
    for axes, scales in (([2, 3], [2, 0.5]), ([-1, 2], [3, 2])):
        resized(tmp_path, (2, 3, 4), opset=18, scales=scales, axes=axes, mode="linear")


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_one_scale_for_all_axes(policy: str, tmp_path: Path):
    for kind in ("nearest", "linear"):
        resized(
            tmp_path, (1, 4, 5), opset=18, sizes=[9, 8], axes=[2, 3], mode=kind, keep_aspect_ratio_policy=policy
        )  # fmt: skip


def test_modes_of_some_versions(tmp_path: Path):
    resized(tmp_path, (1, 5, 4), opset=11, scales=[1, 1, 2, 0.5], coordinate_transformation_mode="tf_half_pixel_for_nn")
    for kind in ("nearest", "linear"):
        attributes = {"mode": kind, "coordinate_transformation_mode": "half_pixel_symmetric"}
        resized(tmp_path, (1, 5, 4), opset=19, scales=[1, 1, 1.7, 0.6], **attributes)


@pytest.mark.parametrize("kind", ["nearest", "linear", "cubic"])
def test_a_part_of_the_grid_and_what_lies_outside(kind: str, tmp_path: Path):
    """Outside there is a constant, which is no multiple of any input."""
    network = resized(
        tmp_path, (1, 4, 4), sizes=[1, 1, 3, 5], roi=[0, 0, 0.2, -0.3, 1, 1, 0.7, 1.2], mode=kind,
        coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=2.5,
    )  # fmt: skip
    at_zero = network(np.zeros((1, 1, 4, 4)))[0, 0]
    np.testing.assert_array_equal(at_zero[:, [0, -1]], 2.5)
    np.testing.assert_array_equal(at_zero[:, 1:-1], 0)


def test_between_layers(tmp_path: Path):
    """What is resampled joins the convolution before it, or behind it: there are as many layers as ReLUs."""
    constants = {name: RNG.standard_normal((2, 2, 3, 3)).astype(np.float32) for name in ("k", "l")}
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Resize", ["r", "", "scales"], ["u"], mode="linear"),
        helper.make_node("Conv", ["u", "l"], ["d"]),
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    model = model_of(nodes, (1, 2, 4, 4), {**constants, "scales": np.float32([1, 1, 2, 2])}, opset=17)
    network = fs.load(written(model, tmp_path / "m.onnx"))
    assert [layer.inputs for layer in network.relu_layers] == [32, 32]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"scales": [1, 1, 0, 2]}, "its scales are 1, 1, 0, 2"),
        ({"scales": [1, 1, 2]}, "it has 3 sizes or scales for 4 axes"),
        ({"scales": [1, 1, 0.1, 1]}, "would have no entries"),
        ({"scales": [1, 1, 2, 2], "mode": "lanczos"}, "its mode is 'lanczos'"),
        ({"scales": [1, 1, 2, 2], "nearest_mode": "up"}, "its nearest_mode is 'up'"),
        ({"scales": [1, 1, 2, 2], "coordinate_transformation_mode": "own"}, "transformation_mode is 'own'"),
        ({"scales": [1, 1, 1e9, 2]}, "more than"),
        ({"scales": [1, 1, 0.5, 2], "kind": "Upsample", "opset": 9}, r"its scales are 1, 1, 0\.5, 2"),
    ],
)
def test_what_cannot_be_resampled(attributes: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(fs.ModelError, match=message):
        resized(tmp_path, (1, 3, 4), **attributes)
