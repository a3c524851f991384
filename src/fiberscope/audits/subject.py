"""What is audited: a network and the samples that it is looked at with."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.audits.plan import Reads, places_of
from fiberscope.errors import InputError, ModelError
from fiberscope.network.arrays import as_float64
from fiberscope.network.network import Network


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and data that fit each other.

    Attributes:
        network: the network.
        x: (N, *input_shape) samples, as they came.
        y: (N,) labels, or None.
        model_name: what the network is called: a file name, or words.
        data_name: what the data is called.
        data_description: what the data is, in words.
        demo: whether this is the built-in demo.
        training: how the network was trained and how well it does, in words; empty where not known.
        classes: what the labels 0, 1, ... are called; empty where they have no names.
    """

    network: Network
    x: NDArray[Any]
    y: NDArray[np.int64] | None
    model_name: str
    data_name: str
    data_description: str
    demo: bool = False
    training: str = ""
    classes: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """The number of samples N."""
        return self.x.shape[0]

    def class_name(self, label: int) -> str:
        """What a label is called: its own number where it has no name."""
        return self.classes[label] if 0 <= label < len(self.classes) else str(label)

    def class_of(self, sample: int) -> str:
        """What the label of a sample is called; empty where samples have none."""
        return "" if self.y is None else self.class_name(int(self.y[sample]))

    def data_digest(self) -> str:
        """SHA-256 of the samples and labels: type, shape and bytes."""
        digest = hashlib.sha256()
        for array in (self.x, self.y):
            if array is not None:
                digest.update(f"{array.dtype.str} {array.shape} ".encode())
                octets: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
                digest.update(octets)
        return digest.hexdigest()


def first_samples(x: Any, y: Any, samples: int | None) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Take the first samples, and their labels; None takes all.

    Raises:
        InputError: fewer samples than asked for, or labels that do not belong to the samples.
    """
    inputs = np.asarray(x)
    if inputs.ndim < 2 or inputs.shape[0] == 0:
        raise InputError("data", expected="an array with one row per sample", got=f"shape {inputs.shape}")
    available = inputs.shape[0]
    if samples is not None and not 1 <= samples <= available:
        raise InputError("samples", expected=f"1 to {available}, as many as the data has", got=str(samples))
    labels = None if y is None else np.asarray(y, dtype=np.int64)
    if labels is not None and labels.shape != (available,):
        raise InputError("labels", expected=f"one per sample, shape ({available},)", got=f"shape {labels.shape}")
    return inputs[:samples], None if labels is None else labels[:samples]


def fitted(x: NDArray[Any], input_shape: tuple[int, ...]) -> NDArray[Any]:
    """Give the samples the shape that the network takes.

    Flat samples are accepted where the sizes match, and so are axes of length one; axes are never moved, because a
    transposed picture would be judged without anyone noticing.

    Args:
        x: (N, ...) samples.
        input_shape: the network's input shape, without the sample axis.

    Raises:
        InputError: the sizes do not match, or numbers that are not finite.
    """
    as_float64(x, "data")
    shape = x.shape[1:]
    same_axes = [n for n in shape if n != 1] == [n for n in input_shape if n != 1]
    one_is_flat = math.prod(shape) == math.prod(input_shape) and 1 in (len(shape), len(input_shape))
    if not (same_axes or one_is_flat):
        raise InputError(
            "data",
            expected=f"samples of shape {input_shape}, as the model takes them, or flat",
            got=f"samples of shape {tuple(shape)}",
        )
    return x.reshape(x.shape[0], *input_shape)


def check_box(subject: Subject, box: tuple[float, float]) -> None:
    """Check that every sample lies in the box, and that a ReLU layer receives the samples as they are.

    Raises:
        InputError: a sample outside; names the sample and the pixel.
        ModelError: no layer receives the network's input, so the box says nothing about any layer.
    """
    low, high = box
    outside = np.argwhere((subject.x < low) | (subject.x > high))
    if outside.size:
        sample, *pixel = (int(i) for i in outside[0])
        value = subject.x[tuple(outside[0])]
        raise InputError(
            "domain",
            expected=f"every input between {low:g} and {high:g}",
            got=f"{value} in sample {sample} at pixel {tuple(pixel) if len(pixel) > 1 else pixel[0]}",
            hint="give the bounds that the data really has, or scale the data",
        )
    if not any(place.reads is Reads.INPUT for place in places_of(subject.network)):
        raise ModelError(
            "none of the layers receives the model's input, only what activations make of it, "
            "which --domain says nothing about; leave --domain out"
        )


__all__ = ["Subject", "check_box", "first_samples", "fitted"]
