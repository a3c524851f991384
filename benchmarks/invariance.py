"""Time per pair of invariance examples for many targets of one source, against scipy's HiGHS on the same program.

    python benchmarks/invariance.py [--targets 40] [--smoke]

The program is the paper's: ``max <c, x'>`` over the inputs with the features of x in its linear region and the unit
box. The baseline calls ``scipy.optimize.linprog(method="highs")`` for every target on matrices that are written out
beforehand. Ours is measured twice: the linear program alone, on the identical constraints; and whole examples, with the
region, its rows, room for float32, and the projection onto the equations, divided by the number of targets: on one
thread, and as they are made by default, on one thread per core. Networks: the demo's, and mnist-net_256x2 where
FIBERSCOPE_EXTERNAL names a folder that has it. For the program, one thread for both; the two take turns, target by
target. scipy solves one program at a time.
"""

from __future__ import annotations

import argparse
import os
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from _demo import demo, untrained
from scipy.optimize import linprog
from threadpoolctl import threadpool_limits

import fiberscope as fs
from fiberscope.data.datasets import load_data
from fiberscope.errors import InputError
from fiberscope.invariance.feasible_steps import FeasibleSteps
from fiberscope.invariance.feature_region import FeatureRegion, feature_region, features_at, pieces_at
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.threads import cores

MNIST_NET = "models/mnist-net_256x2.onnx"

AGREEMENT = 1e-6
"""Both solvers answer up to their tolerance of 1e-7 or better; objectives are about 100."""


def main() -> None:
    """Print one line per network, layer and source."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=40)
    parser.add_argument("--smoke", action="store_true", help="an untrained network and three targets only")
    options = parser.parse_args()
    threadpool_limits(1)
    torch.set_num_threads(1)
    print(f"HiGHS {version('highspy')}, scipy {version('scipy')}; seconds per pair, ratios of sums over all targets")
    print(
        f"{'network':<16} {'layer':>5} {'equations':>9} {'targets':>7} {'scipy':>9} {'program':>9} {'whole':>9} "
        f"{'threads':>9}  ratios"
    )
    X = digits()
    networks = [("untrained demo", untrained())] if options.smoke else trained()
    for name, network in networks:
        for layer in (0, 1):
            for source in sources(network, layer, X, 1 if options.smoke else 3):
                compare(name, network, layer, X, source, 3 if options.smoke else options.targets)


def compare(name: str, network: fs.Network, layer: int, X: np.ndarray, source: int, count: int) -> None:
    """Time both on the same targets: images spread over the data, the source left out."""
    x = X[source]
    targets = [X[i] for i in np.linspace(0, len(X) - 1, count + 2).astype(int)[1:-1] if i != source]
    stage = network.placed_layers[layer].stage
    region = feature_region(network, features_at(network, x, stage), pieces_at(network, x, stage))
    began = time.perf_counter()
    program = RegionProgram(FeasibleSteps.of(region, fs.Box(0, 1).polyhedron(network.inputs), x))
    ours, theirs = time.perf_counter() - began, 0.0
    matrices = written(region, program.feasible)
    for c in targets:
        began = time.perf_counter()
        found = program.maximize(c)
        ours += time.perf_counter() - began
        began = time.perf_counter()
        expected = linprog(-c, bounds=(0, 1), method="highs", **matrices)
        theirs += time.perf_counter() - began
        assert abs(found.value + c @ x + expected.fun) < AGREEMENT, (found.status, found.value, expected.message)
    whole: list[float] = []
    for threads in (1, cores()):
        began = time.perf_counter()
        fs.invariance_examples(network, x, targets, layer, fs.Box(0, 1), threads=threads)
        whole.append(time.perf_counter() - began)
    alone, together = whole
    n, equations = len(targets), len(program.feasible.values)
    print(
        f"{name:<16} {layer:>5} {equations:>9} {n:>7} {theirs / n:>9.4f} {ours / n:>9.4f} {alone / n:>9.4f} "
        f"{together / n:>9.4f}  {theirs / ours:.1f}x, whole examples {theirs / alone:.1f}x, on {cores()} cores "
        f"{theirs / together:.1f}x",
        flush=True,
    )


def written(region: FeatureRegion, feasible: FeasibleSteps) -> dict[str, np.ndarray]:
    """The program's constraints as arrays for scipy: independent equations, and all inequalities."""
    G, h = feasible.rows.inequalities(np.arange(region.count))
    return {
        "A_eq": feasible.equations.toarray(),
        "b_eq": feasible.rows.values[feasible.held],
        "A_ub": G.toarray(),
        "b_ub": h,
    }


def sources(network: fs.Network, layer: int, X: np.ndarray, count: int) -> list[int]:
    """Images from the fewest positive outputs of a layer, as in the paper's appendix A7, to the most."""
    inputs = network.layer_input(layer, X.reshape(len(X), *network.input_shape))
    positives = (network.relu_layers[layer](inputs) > 0).sum(axis=1)
    order = np.argsort(positives, kind="stable")
    return order[np.linspace(0, len(order) - 1, count).astype(int)].tolist()


def digits() -> np.ndarray:
    """MNIST digits, or noise where they are not installed."""
    try:
        return np.asarray(load_data("mnist-5k").x, dtype=np.float64).reshape(-1, 784)[::5]
    except InputError:
        return np.random.default_rng(0).uniform(size=(200, 784))


def trained() -> list[tuple[str, fs.Network]]:
    """The demo's network, and one that others trained where it is here."""
    networks = [("demo", demo(trained=True)[0])]
    path = Path(os.environ.get("FIBERSCOPE_EXTERNAL", "")) / MNIST_NET
    if path.is_file():
        networks.append(("mnist-net_256x2", fs.load(path)))
    return networks


if __name__ == "__main__":
    main()
