"""Rows of convolutions that are injective, strip by strip, against singular values of the rows written out."""

from __future__ import annotations

import numpy as np
import pytest

from fiberscope.checker import strips
from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.strips import columns_exceed


def convolution(rng: np.random.Generator, channels: int) -> Convolution:
    """Of random numbers, with any strides, zeros beside the grid, and gaps."""
    kernel, stride, dilation = (tuple(rng.integers(1, high, 2).tolist()) for high in (4, 3, 3))
    sides = tuple(tuple(pair) for pair in rng.integers(0, 3, (2, 2)).tolist())
    inputs = (int(rng.integers(1, 3)), *rng.integers(5, 9, 2).tolist())
    weight = rng.standard_normal((channels, inputs[0], *kernel))
    conv = Convolution(weight, inputs, stride, sides, dilation, 1)
    conv.check()
    return conv


def smallest(conv: Convolution, numbers: np.ndarray) -> tuple[float, float]:
    """The n-th singular value of rows, and their size."""
    A = conv[numbers].toarray()
    values = np.linalg.svd(A, compute_uv=False)
    return (values[-1] if A.shape[0] >= A.shape[1] else 0.0), float(np.linalg.norm(A)) * (1.0 + 1e-12)


@pytest.mark.parametrize("narrow", [1, 2, strips.NARROW])
def test_what_is_proved_is_so_and_what_is_clearly_so_is_proved(narrow: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(strips, "NARROW", narrow)
    rng, proved = np.random.default_rng(0), 0
    for _ in range(40):
        conv = convolution(rng, int(rng.integers(1, 16)))
        numbers = np.flatnonzero(rng.random(conv.shape[0]) < rng.uniform(0.4, 1.0))
        least, size = smallest(conv, numbers) if len(numbers) else (0.0, 1.0)
        clear = least > 1e-6
        for s in (0.0, 0.99 * least):
            assert columns_exceed(conv, numbers, size, s) == clear, (conv, s)
        assert not columns_exceed(conv, numbers, size, max(1.01 * least, 1e-6))
        proved += clear
    assert proved >= 5


def test_strips_that_leave_an_input_out_prove_nothing():
    rng = np.random.default_rng(1)
    conv = Convolution(rng.standard_normal((12, 1, 3, 3)), (1, 6, 6), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    every = np.arange(conv.shape[0])
    size = smallest(conv, every)[1]
    assert columns_exceed(conv, every, size, 0.0)
    assert not columns_exceed(conv, every[conv[every].toarray()[:, 17] == 0], size, 0.0), "nothing reads one input"
    assert not columns_exceed(conv, np.zeros(len(every), dtype=np.int64), size, 0.0), "one row many times"
    assert not columns_exceed(conv, every[:35], size, 0.0), "fewer rows than inputs"
    single = Convolution(conv.weight[:1, :, 1:2, 1:2], (1, 6, 6), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    assert columns_exceed(single, np.arange(36), size, 0.0), "as many rows as inputs, each of its own"


def test_bands_that_are_too_large_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch):
    conv = Convolution(np.ones((2, 1, 3, 3)), (1, 224, 224), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    monkeypatch.setattr(strips, "MAX_BAND", 1000)
    monkeypatch.setattr(strips.np, "zeros", _small(np.zeros))
    assert not columns_exceed(conv, np.arange(conv.shape[0]), 1e3, 0.0)


def _small(make: object) -> object:
    def zeros(shape: object, *args: object, **kwargs: object) -> object:
        assert np.prod(shape) <= 2 * 224 * 224, "a band is made"
        return make(shape, *args, **kwargs)  # type: ignore[operator]

    return zeros
