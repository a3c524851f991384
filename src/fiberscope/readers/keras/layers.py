"""The layers of Keras that are supported: for each class how it is converted, and which of its options are not."""

from __future__ import annotations

from typing import Any

from fiberscope.readers.keras import convolution as convolution
from fiberscope.readers.keras import indexing as moving
from fiberscope.readers.keras import merging as merging
from fiberscope.readers.keras import pooling as pooling
from fiberscope.readers.keras import scaling as scaling
from fiberscope.readers.keras.activations import (
    ACTIVATION_LAYERS,
    activation,
    is_head,
    name_of,
    nonlinearity,
    parametric,
)
from fiberscope.readers.keras.graph import Call, called_specially
from fiberscope.readers.keras.library import keras_library
from fiberscope.readers.keras.operations import Supported, is_head_operation, operation_of


def _unsupported_activation(call: Call) -> str:
    activation = call.operation.activation
    known = is_head(activation) or nonlinearity(activation) is not None
    return "" if known else f"its activation {name_of(activation)} is not supported"


def _unsupported_parameters(call: Call) -> str:
    if call.class_name == "Activation":
        return _unsupported_activation(call)
    is_known = ACTIVATION_LAYERS[call.class_name](call.operation) is not None
    return "" if is_known else "its threshold, or its maximum together with a negative slope, is not supported"


def _weights_of_their_own(call: Call) -> str:
    if getattr(call.operation, "lora_enabled", False):
        return "it has LoRA weights; merge them into its kernel"
    return _unsupported_activation(call)


def _ranks_differ(call: Call) -> str:
    ranks = {len(tensor.shape) for tensor in call.node.input_tensors}
    return "" if len(ranks) == 1 else "its inputs have different numbers of axes"


def _joins_samples(call: Call) -> str:
    axis, rank = call.operation.axis, len(call.node.input_tensors[0].shape)
    return "it works along the axis of the samples" if axis % rank == 0 else _ranks_differ(call)


def _moves_samples(call: Call) -> str:
    axis, rank = call.operation.axis, len(call.node.input_tensors[0].shape)
    return "it works along the axis of the samples" if axis % rank == 0 else ""


def _per_sample(call: Call) -> str:
    axes: tuple[int, ...] = call.operation.axis
    rank = len(call.node.input_tensors[0].shape)
    return "it normalises each sample of a batch differently" if any(axis % rank == 0 for axis in axes) else ""


def _interpolates(call: Call) -> str:
    kind = getattr(call.operation, "interpolation", "nearest")
    return "" if kind in ("nearest", "bilinear") else f"its interpolation {kind} is not supported"


ACTIVATED = (
    "Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
    "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
)  # fmt: skip
"""Layers that apply an activation of their own to their output."""

PASSING = (
    "Identity", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout",
    "GaussianDropout", "GaussianNoise", "ActivityRegularization",
)  # fmt: skip
"""Layers that pass their input on at inference."""

AUGMENTING = (
    "RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom",
)  # fmt: skip
"""Layers that do so as well, but are in training mode unless told otherwise."""


def _by_dimension(name: str, supported: Supported, dimensions: str = "123") -> dict[str, Supported]:
    return {name.replace("*", f"{dimension}D"): supported for dimension in dimensions}


LAYERS: dict[str, Supported] = {
    "Dense": Supported(convolution.dense, _weights_of_their_own),
    **_by_dimension("Conv*", Supported(convolution.convolution, _weights_of_their_own)),
    **_by_dimension("Conv*Transpose", Supported(convolution.transposed, _unsupported_activation)),
    **_by_dimension("DepthwiseConv*", Supported(convolution.depthwise, _unsupported_activation), "12"),
    **_by_dimension("SeparableConv*", Supported(convolution.separable, _unsupported_activation), "12"),
    **_by_dimension("AveragePooling*", Supported(pooling.average_pooling)),
    **_by_dimension("MaxPooling*", Supported(pooling.max_pooling)),
    **_by_dimension("GlobalAveragePooling*", Supported(pooling.global_average_pooling)),
    **_by_dimension("GlobalMaxPooling*", Supported(pooling.global_max_pooling)),
    **_by_dimension("AdaptiveAveragePooling*", Supported(pooling.adaptive_average_pooling)),
    **_by_dimension("AdaptiveMaxPooling*", Supported(pooling.adaptive_max_pooling)),
    "BatchNormalization": Supported(scaling.batch_normalization, _moves_samples),
    "Normalization": Supported(scaling.normalization, _per_sample),
    "Rescaling": Supported(scaling.rescaling),
    **dict.fromkeys(ACTIVATION_LAYERS, Supported(activation, _unsupported_parameters)),
    "PReLU": Supported(parametric),
    "Flatten": Supported(moving.flatten),
    "Reshape": Supported(moving.reshape),
    "Permute": Supported(moving.permute),
    "RepeatVector": Supported(moving.repeat_vector),
    **_by_dimension("ZeroPadding*", Supported(moving.zero_padding)),
    **_by_dimension("Cropping*", Supported(moving.cropping)),
    **_by_dimension("UpSampling*", Supported(moving.up_sampling, _interpolates)),
    "Add": Supported(merging.add, _ranks_differ),
    "Average": Supported(merging.average, _ranks_differ),
    "Subtract": Supported(merging.subtract, _ranks_differ),
    "Maximum": Supported(merging.maximum, _ranks_differ),
    "Minimum": Supported(merging.minimum, _ranks_differ),
    "Concatenate": Supported(merging.concatenate, _joins_samples),
    **dict.fromkeys((*PASSING, *AUGMENTING), Supported(moving.unchanged)),
}
"""The supported layers, by the name of their class in ``keras.layers``."""

DTYPES = ("float32", "float64")
"""The arithmetic of layers that can be compared with the network."""


def supported(operation: Any) -> Supported | None:
    """How a layer or an operation is converted; None if its class is not supported."""
    name = type(operation).__name__
    if type(operation) is getattr(keras_library().layers, name, None):
        return LAYERS.get(name)
    return operation_of(operation)


def softmax_at_the_end(call: Call) -> bool:
    """Whether a call is a softmax, or ends with one."""
    if call.class_name in ACTIVATED and supported(call.operation) is not None:
        return is_head(call.operation.activation)
    return is_head(call.operation) or is_head_operation(call.operation)


def _named_arguments(call: Call) -> str:
    if isinstance(call.operation, keras_library().layers.Layer):
        return called_specially(call.node, training=call.class_name in AUGMENTING)
    return "called with named arguments" if call.node.arguments.kwargs else ""


def refusal(call: Call, *, at_the_end: bool) -> str | None:
    """Why a call is not supported, empty if its class is not; None if it is.

    Args:
        call: the call.
        at_the_end: whether it is the last one that does more than pass its input on, where a softmax is left off.
    """
    if softmax_at_the_end(call):
        if not at_the_end:
            return "a softmax is supported only at the end"
        if call.class_name not in ACTIVATED:
            return _named_arguments(call) or None
    how = supported(call.operation)
    if how is None:
        return ""
    reasons = [_named_arguments(call)]
    if len(call.node.outputs) != 1:
        reasons.append("it has several outputs")
    elif call.dtype not in DTYPES:
        reasons.append(f"it computes in {call.dtype}; expected {' or '.join(DTYPES)}")
    if getattr(call.operation, "quantization_mode", None) is not None:
        reasons.append("it is quantized")
    return next(filter(None, [*reasons, how.refuse(call)]), None)


__all__ = ["ACTIVATED", "AUGMENTING", "LAYERS", "PASSING", "refusal", "softmax_at_the_end", "supported"]
