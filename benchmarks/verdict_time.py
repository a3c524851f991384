"""Time per certified verdict against one plain HiGHS linear program per sample, side by side on the same matrices.

    python benchmarks/verdict_time.py [--samples 12] [--smoke]

The baseline is what the paper's theorem 4 asks for: an orthonormal basis of null(A_P) by QR, then one linear program
in Stiemke's form on the reduced rows (min sum lambda, A^T lambda = 0, lambda >= 1). It decides bounded or unbounded
on all of R^n and proves nothing. Ours includes the sign pattern, the dimension, the certificate and its check.
Layers: (100, 784), trained, on digits; (3500, 784), the trained Fashion-MNIST layer where FIBERSCOPE_EXTERNAL names a
folder that has it, else random weights. Samples are spread over the range of positive outputs. One thread for both.
"""

from __future__ import annotations

import argparse
import os
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from _demo import demo
from scipy.linalg import qr
from threadpoolctl import threadpool_limits

import fiberscope as fs
from fiberscope.data.datasets import load_data
from fiberscope.errors import InputError
from fiberscope.preimages.linear_program import LinearProgram, Status, solve
from fiberscope.preimages.verify import verify_in_float

TRAINED = "models/fashion_mlp_3500_784.safetensors"


def main() -> None:
    """Print one line per sample and the ratios per layer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--smoke", action="store_true", help="the small layer, untrained, and three samples only")
    options = parser.parse_args()
    threadpool_limits(1)
    compare(*small_layer(trained=not options.smoke), 3 if options.smoke else options.samples)
    if not options.smoke:
        compare(*large_layer(), options.samples)


def compare(name: str, layer: fs.ReLULayer, X: np.ndarray, samples: int) -> None:
    """Time both on samples spread evenly over the range of positive outputs."""
    order = np.argsort((layer(X) > 0).sum(axis=1), kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, samples).astype(int)]
    print(f"\n{name}: HiGHS {version('highspy')}, {samples} samples")
    print(f"{'positives':>9} {'verdict':>10} {'ours, s':>9} {'HiGHS, s':>9} {'ratio':>7}  baseline says")
    ratios: list[float] = []
    fs.preimage(layer, x=X[chosen[0]])  # imports and first calls are not part of a verdict
    for i in chosen:
        began = time.perf_counter()
        p = fs.preimage(layer, x=X[i])
        ours = time.perf_counter() - began
        began = time.perf_counter()
        says = baseline(layer, X[i])
        theirs = time.perf_counter() - began
        ratios.append(theirs / ours)
        proof = "" if verify_in_float(p) else "  (no float proof)"
        print(f"{p.positives:>9} {p.kind:>10} {ours:>9.4f} {theirs:>9.4f} {ratios[-1]:>7.1f}  {says}{proof}")
    print(f"HiGHS time / our time: median {np.median(ratios):.1f}, smallest {min(ratios):.2f} (must be above 0.5)")


def baseline(layer: fs.ReLULayer, x: np.ndarray) -> str:
    """One QR and one linear program, as the paper does it."""
    z = layer.weight @ x + layer.bias
    positive, n = layer.weight[z > 0], layer.inputs
    if len(positive) >= n and np.linalg.matrix_rank(positive) == n:
        return "singleton"
    Q, _ = qr(positive.T)
    reduced = layer.weight[z <= 0] @ Q[:, len(positive) :]
    count, k = reduced.shape
    answer = solve(
        LinearProgram(-np.ones(count), reduced.T, np.zeros(k), np.zeros(k), np.ones(count), np.full(count, np.inf))
    )
    return "bounded" if answer.status == Status.OPTIMAL else "unbounded"


def small_layer(*, trained: bool) -> tuple[str, fs.ReLULayer, np.ndarray]:
    """The first layer of the demo network, on its held-out digits."""
    network, test = demo(trained=trained)
    name = f"(100, 784), {'' if trained else 'un'}trained, MNIST digits"
    return name, network.relu_layers[0], network.layer_input(0, test.x)


def large_layer(samples: int = 2000) -> tuple[str, fs.ReLULayer, np.ndarray]:
    """The trained layer if it is there, else random weights (He) of the same shape; and real images."""
    try:
        data = load_data("fashion-mnist")
        X, images = data.x.reshape(len(data), -1)[:samples], "Fashion-MNIST test images"
    except InputError:
        X, images = load_data("mnist-5k").x.reshape(5000, -1)[:samples], "MNIST digits"
    path = Path(os.environ.get("FIBERSCOPE_EXTERNAL", "")) / TRAINED
    if os.environ.get("FIBERSCOPE_EXTERNAL") and path.exists():
        from safetensors.numpy import load_file

        tensors = load_file(path)
        return (
            f"(3500, 784), trained on Fashion-MNIST, {images}",
            fs.ReLULayer(tensors["0.weight"], tensors["0.bias"]),
            X,
        )
    weights = np.random.default_rng(0).standard_normal((3500, 784)) * np.sqrt(2 / 784)
    return f"(3500, 784), random weights, {images}", fs.ReLULayer(weights.astype(np.float32)), X


if __name__ == "__main__":
    main()
