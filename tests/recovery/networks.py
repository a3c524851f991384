"""Small random chains of affine maps and clips, as arrays, as the checker reads them, and as networks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

import fiberscope as fs
from fiberscope.checker.curves import Curves
from fiberscope.checker.reading import LayerRows
from fiberscope.network.activations import Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.stage import Stage, affine_stage

Layer = tuple[np.ndarray, np.ndarray, float, float]
"""A, b, and the bounds of the clip."""


def random_chain(generator: np.random.Generator, widths: tuple[int, ...], clips: float = 0.3) -> list[Layer]:
    """Normal numbers; ReLUs, and a share of clips to [0, 2]."""
    return [
        (
            generator.standard_normal((after, before)) / np.sqrt(before),
            0.5 * generator.standard_normal(after),
            0.0,
            2.0 if generator.random() < clips else np.inf,
        )
        for before, after in pairwise(widths)
    ]


def as_rows(chain: list[Layer]) -> tuple[LayerRows, ...]:
    """What the checker reads."""
    return tuple(
        LayerRows(A, b, np.full(len(b), low), np.full(len(b), high), Curves.unknown(np.zeros(len(b), dtype=bool)))
        for A, b, low, high in chain
    )


def as_network(chain: list[Layer]) -> fs.Network:
    """The same as a network."""
    stages: list[Stage] = []
    for number, (A, b, low, high) in enumerate(chain):
        stages.append(affine_stage(f"affine {number}", Dense(A, b)))
        stages.append(
            Stage(f"clip {number}", activation=Pointwise(PointwiseKind.CLIP, len(b), low, high))
            if high < np.inf
            else Stage(f"relu {number}", activation=Pointwise(PointwiseKind.RELU, len(b)))
        )
    return fs.Network(tuple(stages), (chain[0][0].shape[1],))


def outputs(chain: list[Layer], X: np.ndarray) -> np.ndarray:
    """What the last clip gives, by numpy alone."""
    for A, b, low, high in chain:
        X = np.clip(X @ A.T + b, low, high)
    return X


def in_ball(generator: np.random.Generator, center: np.ndarray, radius: float, count: int) -> np.ndarray:
    """Uniform points of a ball, half of them on its sphere."""
    X = generator.standard_normal((count, len(center)))
    X *= radius / np.linalg.norm(X, axis=1, keepdims=True)
    X[::2] *= generator.random((len(X[::2]), 1)) ** (1.0 / len(center))
    return center + X
