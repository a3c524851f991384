"""Injectivity on domains: seconds and nodes of the tree of covers against one mixed-integer program.

The program decides the same question by big-M: a point x of the box, a direction d with |d|_inf = 1, and for each unit
either z <= 0 at x or a d = 0. It says nothing about the modulus, has no proof, and is solved by HiGHS with the same
time limit. The ratio is its time over that of the tree, which goes on until its bounds meet.

    python benchmarks/injectivity.py [--seconds 30] [--smoke]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

import fiberscope as fs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="for each layer and method")
    parser.add_argument("--smoke", action="store_true", help="the smallest layer")
    arguments = parser.parse_args()
    fs.injectivity(fs.ReLULayer(np.eye(2)), fs.Box(0, 1))  # imports what is imported once
    print(f"{'layer on a box':<24}{'tree: says':>14}{'modulus':>22}{'nodes':>8}{'s':>8}", end="")
    print(f"{'program: says':>16}{'s':>8}{'ratio':>8}")
    for name, layer, low, high in layers(smoke=arguments.smoke):
        began = perf_counter()
        found = fs.injectivity(layer, fs.Box(low, high), arguments.seconds)
        tree = perf_counter() - began
        assert found.holds is None or found.verify()
        began = perf_counter()
        program = by_program(layer, low, high, arguments.seconds)
        seconds = perf_counter() - began
        modulus = f"[{found.lower:.4g}, {found.upper:.4g}]"
        print(
            f"{name:<24}{found.holds!s:>14}{modulus:>22}{found.nodes:>8}{tree:>8.1f}{program!s:>16}{seconds:>8.1f}"
            f"{seconds / tree:>8.2f}",
            flush=True,
        )


def layers(*, smoke: bool) -> Iterator[tuple[str, fs.ReLULayer, np.ndarray, np.ndarray]]:
    for n, m in ((3, 18),) if smoke else ((4, 28), (6, 42), (8, 48), (8, 64)):
        generator = np.random.default_rng(n + m)
        layer = fs.ReLULayer(generator.standard_normal((m, n)), 0.1 * generator.standard_normal(m))
        yield f"random {n} -> {m}", layer, np.full(n, -1.0), np.full(n, 1.0)
    folder = os.environ.get("FIBERSCOPE_EXTERNAL", "")
    if smoke or not folder:
        return
    network = fs.load(Path(folder) / "models" / "ACASXU_run2a_1_1_batch_2000.onnx")
    low, high = np.array([-0.3284, -0.5, -0.5, -0.5, -0.5]), np.array([0.6799, 0.5, 0.5, 0.5, 0.5])
    yield "ACAS Xu 1_1, layer 0", network.relu_layers[0], low, high


def by_program(layer: fs.ReLULayer, low: np.ndarray, high: np.ndarray, seconds: float) -> bool | None:
    """Whether no x and d exist; None where the time is over. One program for each coordinate of d that is 1."""
    A, b = np.asarray(layer.weight), layer.bias
    m, n = A.shape
    reach = np.maximum(A * low, A * high).sum(axis=1) + b  # the largest z of each unit
    size = np.abs(A).sum(axis=1)
    until = perf_counter() + seconds
    for j in range(n):
        # unknowns: x, d, and for each unit s = 1 where it is on, where a d = 0 then
        rows = np.concatenate([
            np.c_[A, np.zeros((m, n)), -np.diag(np.maximum(reach, 0.0))],
            np.c_[np.zeros((m, n)), A, np.diag(size)],
            np.c_[np.zeros((m, n)), -A, np.diag(size)],
        ])  # fmt: skip
        sides = np.concatenate([-b, size, size])
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
