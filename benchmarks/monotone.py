"""What `classify` takes for tanh units at a precision beside ReLUs of the same weights, side by side in one run.

    python benchmarks/monotone.py [--samples 20] [--smoke]

Weights: (500, 784), random (He, halved, so that most tanh units stay off the ends of their range); MNIST digits. What
tanh units receive is enclosed by inverses to some hundred digits, of each unit and each sample. One thread; processor
time. Printed: the time to classify, which proves every verdict, at a precision of 0.01; and to prove again.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

import fiberscope as fs
from fiberscope.data.datasets import load_data
from fiberscope.network.monotone import Curve, Monotone


def main() -> None:
    """Print one line per activation and domain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--smoke", action="store_true", help="30 units, 3 samples")
    options = parser.parse_args()
    threadpool_limits(1)
    m, samples = (30, 3) if options.smoke else (500, options.samples)
    X = load_data("mnist-5k").x.reshape(5000, -1)[:samples]
    weight = np.random.default_rng(0).standard_normal((m, X.shape[1])) * np.sqrt(0.5 / X.shape[1])
    tanh = Monotone(np.full(m, Curve.TANH), 1.0)
    layers = {"ReLU": fs.ReLULayer(weight), "tanh": fs.ReLULayer(weight, None, np.ones(m, np.bool_), monotone=tanh)}
    print(f"{'':24} {'classify, s':>11} {'prove again, s':>14}   kinds")
    for layer in layers.values():  # loads what has to be
        fs.classify(layer, X[:1], within=0.01, threads=1)
    for domain in (None, fs.Box(0, 1)):
        taken: dict[str, float] = {}
        for name, layer in layers.items():
            began = time.process_time()
            judged = fs.classify(layer, X, domain, within=0.01, threads=1)
            taken[name] = time.process_time() - began
            began = time.process_time()
            proved = judged.verify(threads=1)
            again = time.process_time() - began
            where = f"{name} on {'R^n' if domain is None else 'Box'}"
            kinds = ", ".join(sorted(set(judged.kind.tolist())))
            print(f"{where:24} {taken[name]:>11.2f} {again:>14.2f}   {kinds}; {proved.mean():.0%} proved", flush=True)
        print(f"{'tanh / ReLU':24} {taken['tanh'] / taken['ReLU']:>11.2f}")


if __name__ == "__main__":
    main()
