"""The models that come with the onnx package: each is loaded and gives what is expected, or is refused for a reason."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

import fiberscope as fs
from fiberscope.readers.onnx.constants import FOLDABLE
from fiberscope.readers.onnx.conversion import OPERATORS, converted
from fiberscope.readers.onnx.file import read_model
from fiberscope.readers.onnx.graph import graph_of
from readers.onnx_models import DATA, WheelCase, baked, node_cases, stored_cases, written

REFUSED_OPERATORS = {
    "neither affine nor a supported activation": (
        "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos", "Cosh", "CumProd", "Det", "Erf", "Exp", "Gelu",
        "HardSwish", "LRN", "Log", "LpNormalization", "LpPool", "Mish", "Mod", "Pow", "Reciprocal", "ReduceL2",
        "ReduceLogSum", "ReduceLogSumExp", "ReduceProd", "ReduceSumSquare", "Sin", "Sinh", "Softsign", "Sqrt", "SwiGLU",
        "Swish", "Tan",
    ),
    "its statistics are those of the sample": (
        "GroupNormalization", "InstanceNormalization", "LayerNormalization", "MeanVarianceNormalization",
        "RMSNormalization",
    ),
    "not continuous, or of whole numbers or truth values": (
        "ArgMax", "ArgMin", "BitCast", "Ceil", "DynamicQuantizeLinear", "Equal", "Floor", "Greater", "GreaterOrEqual",
        "Hardmax", "IsInf", "IsNaN", "Less", "LessOrEqual", "NonMaxSuppression", "OneHot", "Or", "QuantizeLinear",
        "Round", "Shrink", "Sign", "ThresholdedRelu", "TopK", "Unique", "Where",
    ),
    "attention and recurrence": (
        "Attention", "CausalConvWithState", "GRU", "LSTM", "LinearAttention", "RNN", "RotaryEmbedding",
        "ai.onnx.preview.FlexAttention",
    ),
    "control flow, sequences and random numbers": (
        "Bernoulli", "ConcatFromSequence", "If", "Loop", "OptionalGetElement", "RandomUniformLike", "Scan",
        "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength",
        "SplitToSequence",
    ),
    "a loss or a step of training": (
        "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss", "ai.onnx.preview.training.Adagrad",
        "ai.onnx.preview.training.Adam", "ai.onnx.preview.training.Momentum",
    ),
    "signals, images and trees": (
        "AffineGrid", "Col2Im", "DFT", "DeformConv", "GridSample", "MaxUnpool",
        "RoiAlign", "STFT", "ai.onnx.ml.Binarizer", "ai.onnx.ml.TreeEnsemble",
    ),
    "piecewise linear, but not supported": (
        "CenterCropPad", "Compress", "CumSum", "Einsum", "Range", "ReduceL1", "ReverseSequence", "Scatter",
        "ScatterElements", "ScatterND", "TensorScatter",
    ),
}  # fmt: skip
"""Operators that are refused on what depends on the input."""

REFUSED_CASES = {
    "two tensors that depend on the input are multiplied or divided": (
        "test_GLU", "test_GLU_dim", "test_Softsign", "test_gradient_of_add_and_mul", "test_hardswish_expanded",
        "test_mish_expanded", "test_operator_basic", "test_operator_params",
        "test_reduce_sum_square_default_axes_keepdims_example_expanded",
        "test_reduce_sum_square_default_axes_keepdims_random_expanded",
        "test_reduce_sum_square_do_not_keepdims_example_expanded",
        "test_reduce_sum_square_do_not_keepdims_random_expanded", "test_reduce_sum_square_keepdims_example_expanded",
        "test_reduce_sum_square_keepdims_random_expanded",
        "test_reduce_sum_square_negative_axes_keepdims_example_expanded",
        "test_reduce_sum_square_negative_axes_keepdims_random_expanded", "test_softsign_example_expanded_ver18",
        "test_softsign_expanded_ver18", "test_swish_expanded", "test_causal_conv_with_state_silu_expanded",
        "test_causal_conv_with_state_silu_with_past_state_expanded",
        "test_causal_conv_with_state_swish_alias_expanded", "test_causal_conv_with_state_silu_fp16_expanded",
    ),
    "it casts between floating-point types like another tensor": (
        "test_castlike_BFLOAT16_to_FLOAT", "test_castlike_DOUBLE_to_FLOAT", "test_castlike_DOUBLE_to_FLOAT16",
        "test_castlike_FLOAT16_to_DOUBLE", "test_castlike_FLOAT16_to_FLOAT", "test_castlike_FLOAT_to_DOUBLE",
        "test_causal_conv_with_state_fp16_expanded", "test_celu_bfloat16_expanded", "test_celu_float16_expanded",
    ),
    "training mode": (
        "test_batchnorm_epsilon_training_mode", "test_batchnorm_example_training_mode", "test_training_dropout",
        "test_training_dropout_default", "test_training_dropout_default_mask", "test_training_dropout_mask",
        "test_training_dropout_zero_ratio", "test_training_dropout_zero_ratio_mask",
    ),
    "the output is constant": (
        "test_shape", "test_shape_clip_end", "test_shape_clip_start", "test_shape_end_1",
        "test_shape_end_negative_1", "test_shape_example", "test_shape_start_1", "test_shape_start_1_end_2",
        "test_shape_start_1_end_negative_1", "test_shape_start_greater_than_end", "test_shape_start_negative_1",
        "test_size", "test_size_example", "test_slice_start_out_of_bounds",
    ),
    "the lower bound is above the upper one": ("test_clip_min_greater_than_max",),
}  # fmt: skip

COMPUTED_OTHERWISE = (
    "test_resize_downsample_scales_cubic_align_corners", "test_resize_downsample_scales_linear_align_corners",
)  # fmt: skip
"""Cases in which onnxruntime computes something else, which is what counts: here with sizes that are rounded."""

_REASON_OF_OPERATOR = {operator: reason for reason, names in REFUSED_OPERATORS.items() for operator in names}
_REASON_OF_CASE = {name: reason for reason, names in REFUSED_CASES.items() for name in names}

LOADED_AT_LEAST = 440
"""Of the cases in onnx 1.23; other versions of the package have others."""


def reason(case: WheelCase) -> str | None:
    """Why a case is refused; None if it is to be loaded."""
    if case.name in _REASON_OF_CASE:
        return _REASON_OF_CASE[case.name]
    if not case.inputs or not isinstance(case.inputs[0], np.ndarray | np.generic):
        return "the first input is no tensor, or there is none"
    first = np.asarray(case.inputs[0])
    if first.dtype.name not in ("float16", "bfloat16", "float32", "float64"):
        return f"the first input is of type {first.dtype}"
    if not first.size:
        return "the input has no entries"
    if not all(isinstance(array, np.ndarray | np.generic) for array in case.inputs) or "optional" in case.name:
        return "an input is a sequence, or optional"
    narrow = [node for node in case.model.graph.node if node.op_type in ("Cast", "CastLike") and "FLOAT8" in case.name]
    if narrow or any(f"_to_{name}" in case.name for name in ("FLOAT4E2M1", "INT2", "INT4", "UINT2", "UINT4")):
        return "it casts to numbers of less than 16 bits"
    reasons = [_REASON_OF_OPERATOR[name] for name in case.operators if name in _REASON_OF_OPERATOR]
    if "Softmax" in case.operators and case.model.graph.node[-1].op_type not in ("Softmax", "Identity", "Reshape"):
        reasons.append("a softmax that is not at the end")
    return reasons[0] if reasons else None


PARTS = 12
"""Cases are made when the first is needed, which takes seconds; so that tests are about every twelfth of them."""


@pytest.fixture(scope="session")
def cases() -> list[WheelCase]:
    """All cases of the package."""
    stored = [case for folder in ("simple", "pytorch-operator", "pytorch-converted") for case in stored_cases(folder)]
    return [*stored, *node_cases()]


@pytest.mark.exhaustive(every=6)
@pytest.mark.parametrize("part", range(PARTS))
def test_cases_give_what_is_expected(
    part: int, cases: list[WheelCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fiberscope.readers.comparison.LARGE", 100_000)  # fewer inputs for larger cases
    wrong: dict[str, str] = {}
    for case in [case for case in cases if reason(case) is None][part::PARTS]:
        try:
            check_what_is_expected(case, tmp_path / "model.onnx")
        except (AssertionError, fs.FiberscopeError) as error:
            wrong[case.name] = str(error)
    assert not wrong


def check_what_is_expected(case: WheelCase, path: Path) -> None:
    network = fs.load(written(baked(case), path))
    assert network.agreement is not None
    assert network.agreement.units < 64
    if "the end is left off" in " ".join(network.notes):
        return  # what is expected is behind the softmax; test_onnx.py compares what is before it
    if case.name in COMPUTED_OTHERWISE:
        assert network.agreement.original == "onnxruntime"
        return
    x, expected = (np.asarray(array[0]) for array in (case.inputs, case.outputs))
    finite = np.isfinite(x.astype(np.float64)).reshape(-1)
    given = np.where(finite, x.astype(np.float64).reshape(-1), 0.0)
    values = network(given.reshape(-1, *network.input_shape)).reshape(-1)
    assert values.size == expected.size
    kept = finite if not finite.all() else slice(None)
    tolerance = {"bfloat16": 2.0**-7, "float16": 2.0**-9}.get(expected.dtype.name, case.tolerance)
    np.testing.assert_allclose(values[kept], expected.astype(np.float64).reshape(-1)[kept], rtol=tolerance, atol=1e-5)


@pytest.mark.exhaustive(every=6)
@pytest.mark.parametrize("part", range(PARTS))
def test_cases_are_refused(part: int, cases: list[WheelCase], tmp_path: Path):
    loaded: list[str] = []
    for case in [case for case in cases if reason(case)][part::PARTS]:
        try:
            fs.load(written(baked(case), tmp_path / "model.onnx"))
            loaded.append(f"{case.name}: {reason(case)}")
        except fs.ModelError:
            pass
    assert not loaded, "the table says that these are refused"


def test_how_many_are_loaded(cases: list[WheelCase]):
    loaded = [case for case in cases if reason(case) is None]
    print(f"{len(loaded)} of {len(cases)} models of the onnx package are loaded")
    assert len(loaded) >= LOADED_AT_LEAST


def test_every_operator_is_tested_by_a_case(cases: list[WheelCase]):
    tested = {name for case in cases if reason(case) is None for name in case.operators}
    assert tested >= OPERATORS.keys() - {"Size", "ai.onnx.ml.Scaler"}  # tested in test_onnx_pipelines.py
    assert not set(_REASON_OF_OPERATOR) & OPERATORS.keys()
    assert {"Sqrt", "Exp", "Where", "Equal"} <= FOLDABLE & set(_REASON_OF_OPERATOR)  # refused on inputs alone


def test_all_operators_are_documented():
    text = (Path(fs.__file__).parents[2] / "docs" / "networks.md").read_text()
    listed = text.split("Operators that are read on what depends on the input:")[1].split(".\n\n")[0]
    assert set(re.findall("`(.+?)`", listed)) == OPERATORS.keys()


@pytest.mark.exhaustive(every=2)
@pytest.mark.parametrize(("name", "joined"), [("squeezenet", 8), ("inception_v2", 24)])
def test_large_networks(name: str, joined: int):
    """Their structure; that they agree with onnxruntime is tested for one of them below."""
    model = DATA / "light" / f"light_{name}.onnx"
    relus = sum(node.op_type == "Relu" for node in onnx.load(model).graph.node)
    network = converted(graph_of(read_model(model), model.parent, None))
    assert len(network.relu_layers) == relus - joined  # ReLUs that are concatenated are one layer
    assert network.input_shape == (3, 224, 224)
    assert network.outputs == 1000
    assert any("softmax at the end is left off" in note for note in network.notes)


@pytest.mark.exhaustive
def test_a_large_network_agrees(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fiberscope.readers.comparison.LARGE", 0)  # fewer inputs
    network = fs.load(DATA / "light" / "light_squeezenet.onnx")
    assert network.agreement is not None
    assert network.agreement.places == 48
    assert network.agreement.units < 64


@pytest.mark.parametrize("name", ["bvlc_alexnet", "inception_v1", "zfnet512"])
def test_response_normalisations_are_all_named(name: str):
    model = DATA / "light" / f"light_{name}.onnx"
    named = tuple(f"{node.name} (LRN)" for node in onnx.load(model).graph.node if node.op_type == "LRN")
    with pytest.raises(fs.ModelError) as error:
        fs.load(model)
    assert error.value.unsupported == named
    assert len(named) == 2
