"""Injectivity on domains: seconds and nodes of the tree of covers against one mixed-integer program.

The program decides the same question by big-M: a point x of the box, a direction d with |d|_inf = 1, and for each unit
either z < 0 at x, by 1e-4 of its row, or a d = 0. It says nothing about the modulus, has no proof, and is solved
by HiGHS. The ratio is its time over that of the tree, which goes on until its bounds meet, or its own, shorter, time is
over. Random layers, the first one of ACAS Xu on its inputs, and constructions whose answer is known: concatenated
ReLUs, the directed spanning sets of Puthawala and others [B; -D B] (D of powers of two: rounded, the hyperplanes would
no longer be the same), and an icosahedron, whose bias Haider and others choose so that all units are off around 0, or
none.

    python benchmarks/injectivity.py [--seconds 30] [--smoke]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

import fiberscope as fs


@dataclass(frozen=True, eq=False)
class Case:
    """A layer on a box.

    Attributes:
        name: what it is.
        layer: the layer.
        low: (n,) the box.
        high: (n,)
        seconds: for the tree.
        holds: whether it is injective there; None where no theorem says so.
    """

    name: str
    layer: fs.ReLULayer
    low: np.ndarray
    high: np.ndarray
    seconds: float
    holds: bool | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="for the program, and for the tree at most")
    parser.add_argument("--smoke", action="store_true", help="the smallest layer")
    arguments = parser.parse_args()
    fs.injectivity(fs.ReLULayer(np.eye(2)), fs.Box(0, 1))  # imports what is imported once
    print(f"{'layer on a box':<24}{'tree: says':>14}{'modulus':>22}{'nodes':>8}{'s':>8}", end="")
    print(f"{'program: says':>16}{'s':>8}{'ratio':>8}")
    for case in [*constructions(smoke=arguments.smoke), *layers(smoke=arguments.smoke)]:
        began = perf_counter()
        found = fs.injectivity(case.layer, fs.Box(case.low, case.high), min(arguments.seconds, case.seconds))
        tree = perf_counter() - began
        assert found.holds is None or found.verify()
        assert case.holds is None or found.holds in (None, case.holds)
        began = perf_counter()
        program = by_program(case.layer, case.low, case.high, arguments.seconds)
        seconds = perf_counter() - began
        modulus = f"[{found.lower:.4g}, {found.upper:.4g}]"
        print(
            f"{case.name:<24}{found.holds!s:>14}{modulus:>22}{found.nodes:>8}{tree:>8.1f}{program!s:>16}{seconds:>8.1f}"
            f"{seconds / tree:>8.2f}",
            flush=True,
        )


def constructions(*, smoke: bool) -> Iterator[Case]:
    """Layers whose answer a theorem says."""
    n, generator = 2 if smoke else 6, np.random.default_rng(0)
    B = generator.standard_normal((n, n))
    given = {
        "concatenated ReLU": (np.r_[np.eye(n), -np.eye(n)], 0.0, True),
        "orthogonal": (np.linalg.qr(B)[0], 0.0, False),
        "Puthawala: [B; -D B]": (np.r_[B, -generator.choice([0.5, 2.0, 4.0], (n, 1)) * B], 0.0, True),
        "Haider: blind around 0": (icosahedron(), -0.1, False),
        "Haider: never blind": (icosahedron(), 0.1, True),
    }
    for name, (A, bias, holds) in given.items():
        ones = np.ones(A.shape[1])
        yield Case(name, fs.ReLULayer(A, np.full(len(A), bias)), -ones, ones, 4.0, holds)


def icosahedron() -> np.ndarray:
    """Its twelve corners: every half of the sphere has some that span the space."""
    golden = (1 + np.sqrt(5)) / 2
    corners = [(0.0, s, t * golden) for s in (-1.0, 1.0) for t in (-1.0, 1.0)]
    return np.array([np.roll(corner, k) for corner in corners for k in range(3)]) / np.hypot(1.0, golden)


def layers(*, smoke: bool) -> Iterator[Case]:
    """Layers whose answer is asked for."""
    for n, m, seconds in ((3, 18, 4.0),) if smoke else ((4, 28, 4.0), (6, 42, 4.0), (8, 48, 30.0), (8, 64, 30.0)):
        generator = np.random.default_rng(n + m)
        layer = fs.ReLULayer(generator.standard_normal((m, n)), 0.1 * generator.standard_normal(m))
        yield Case(f"random {n} -> {m}", layer, np.full(n, -1.0), np.full(n, 1.0), seconds)
    folder = os.environ.get("FIBERSCOPE_EXTERNAL", "")
    if smoke or not folder:
        return
    network = fs.load(Path(folder) / "models" / "ACASXU_run2a_1_1_batch_2000.onnx")
    low, high = np.array([-0.3284, -0.5, -0.5, -0.5, -0.5]), np.array([0.6799, 0.5, 0.5, 0.5, 0.5])
    yield Case("ACAS Xu 1_1, layer 0", network.relu_layers[0], low, high, 10.0)


def by_program(layer: fs.ReLULayer, low: np.ndarray, high: np.ndarray, seconds: float) -> bool | None:
    """Whether no x and d exist; None where the time is over. One program for each coordinate of d that is 1."""
    A, b = np.asarray(layer.weight), layer.bias
    m, n = A.shape
    reach = np.maximum(A * low, A * high).sum(axis=1) + b  # the largest z of each unit
    size = np.abs(A).sum(axis=1)
    apart = 1e-4 * size  # a unit at 0 is not off; the solver allows 1e-6
    until = perf_counter() + seconds
    for j in range(n):
        # unknowns: x, d, and for each unit s = 1 where it is on, where a d = 0 then
        rows = np.concatenate([
            np.c_[A, np.zeros((m, n)), -np.diag(np.maximum(reach, 0.0) + apart)],
            np.c_[np.zeros((m, n)), A, np.diag(size)],
            np.c_[np.zeros((m, n)), -A, np.diag(size)],
        ])  # fmt: skip
        sides = np.concatenate([-b - apart, size, size])
        d_low, d_high = np.full(n, -1.0), np.full(n, 1.0)
        d_low[j] = 1.0
        bounds = Bounds(np.concatenate([low, d_low, np.zeros(m)]), np.concatenate([high, d_high, np.ones(m)]))
        kinds = np.concatenate([np.zeros(2 * n), np.ones(m)])
        left = until - perf_counter()
        if left <= 0:
            return None
        constraint = LinearConstraint(rows, -np.inf, sides)
        found = milp(
            np.zeros(2 * n + m), constraints=constraint, bounds=bounds, integrality=kinds, options={"time_limit": left}
        )
        if found.status == 0:
            return False
        if found.status != 2:
            return None
    return True


if __name__ == "__main__":
    main()
