"""Proved bounds on all coordinates of a preimage against linear programs, one for each end of each coordinate.

    python benchmarks/enclosure.py [--programs 12] [--smoke]

The layer is the trained Fashion-MNIST layer (3500, 784) where FIBERSCOPE_EXTERNAL names a folder that has it, else one
with random weights; features are known to half a step of 8 bits, inputs lie in [0, 1]. The programs are what a careful
user would solve: HiGHS, on the same rows, each from where the last one ended, in changes of the image. A sample of them
is timed, and their optima are what bounds are compared with: how much wider these are. Processor time, one thread for
both; "all" is the time of the sample scaled to all programs.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import fiberscope as fs
from fiberscope.data.datasets import load_data
from fiberscope.preimages.linear_program import LinearProgram, Solver, Status

TRAINED = "models/fashion_mlp_3500_784.safetensors"
STEPS = 255
"""Of 8 bits."""


def main() -> None:
    """Print how long both take, and how much wider proved bounds are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=12)
    parser.add_argument("--seconds", type=float, help="how long to search; a fixed number of steps if left out")
    parser.add_argument("--smoke", action="store_true", help="a small layer")
    options = parser.parse_args()
    threadpool_limits(1)
    layer, x = small_layer() if options.smoke else large_layer()
    compare(layer, x, options.programs, options.seconds)


def small_layer() -> tuple[fs.ReLULayer, np.ndarray]:
    """Random weights, large enough for the method of large layers."""
    generator = np.random.default_rng(0)
    return fs.ReLULayer(generator.standard_normal((1200, 100)) / 10), generator.random(100)


def large_layer() -> tuple[fs.ReLULayer, np.ndarray]:
    """The trained layer, or random weights of its size, and the first image of its test set, or noise."""
    path = Path(os.environ.get("FIBERSCOPE_EXTERNAL", "")) / TRAINED
    if not path.is_file():
        generator = np.random.default_rng(0)
        return fs.ReLULayer(generator.standard_normal((3500, 784)) / 28), generator.random(784)
    from safetensors.numpy import load_file

    weights = load_file(path)
    layer = fs.ReLULayer(weights["0.weight"], weights["0.bias"])
    return layer, np.asarray(load_data("fashion-mnist").x[0], dtype=np.float64).ravel()


def compare(layer: fs.ReLULayer, x: np.ndarray, programs: int, seconds: float | None) -> None:
    """Time both, side by side."""
    within = float(layer(x).max()) / STEPS / 2
    p = fs.preimage(layer, x=x, domain=fs.Box(0, 1), within=within)
    began = time.process_time()
    e = p.enclosure(seconds=seconds)
    ours = time.process_time() - began
    began = time.process_time()
    if not e.verify():
        raise SystemExit(e.verify().reason)
    checking = time.process_time() - began
    coordinates = np.argsort(e.low - e.high, kind="stable")[: len(x) // 2]  # the wider half
    chosen = np.random.default_rng(0).choice(coordinates, (programs + 1) // 2, replace=False)
    theirs, widths = solve_sample(p, x, within, chosen)
    scale = 2 * len(x) / (2 * len(chosen))
    proved = (e.high - e.low)[chosen] / widths
    reached = (e.reached_high - e.reached_low)[chosen] / widths
    print(f"{layer}: {2 * len(chosen)} programs in {theirs:.2f} s; all {2 * len(x)}: about {theirs * scale:.1f} s")
    print(f"enclosure of all: {ours:.2f} s, its proof again: {checking:.2f} s")
    print(f"ratio {theirs * scale / ours:.1f}")
    print(f"proved over true width: median {np.median(proved):.3f}, most {proved.max():.3f}; ", end="")
    print(f"reached over true width: median {np.median(reached):.3f}, least {reached.min():.3f}")
    if (proved < 1 - 1e-6).any() or (reached > 1 + 1e-6).any():
        raise SystemExit("a width that is proved is smaller than one that is true")


def solve_sample(p: fs.Preimage, x: np.ndarray, within: float, coordinates: np.ndarray) -> tuple[float, np.ndarray]:
    """Processor time, and the widths of some coordinates."""
    A, z = np.asarray(p.layer.weight), p.layer.weight @ x + p.layer.bias
    low, high = np.where(z > within, -within, -np.inf), within - np.minimum(z, 0.0)
    began = time.process_time()
    solver = Solver(LinearProgram(np.zeros(len(x)), A, low, high, -x, 1 - x))
    widths: list[float] = []
    for unit in np.eye(len(x))[coordinates]:
        ends: list[float] = []
        for c in (unit, -unit):
            solver.maximize(c)
            if solver.run() is not Status.OPTIMAL:
                raise SystemExit("HiGHS found no optimum")
            ends.append(solver.value)
        widths.append(sum(ends))
    return time.process_time() - began, np.array(widths)


if __name__ == "__main__":
    main()
