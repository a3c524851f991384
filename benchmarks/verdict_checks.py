"""What checking certificates takes beside finding them, and many at once beside one by one, side by side in one run.

    python benchmarks/verdict_checks.py [--samples 300] [--smoke]

Layers: the first three of the demo network on its held-out digits, on all of R^n and on what they receive; and
(3500, 784), trained on Fashion-MNIST where FIBERSCOPE_EXTERNAL names a folder that has it, else random weights. One
thread; processor time, the least of three. Printed are the ratios of the time to check all verdicts of
``fiberscope.classify`` to the time to classify, to the time to check each alone, and of proved bounds on all sizes
(``Classification.radius``, which proves the verdicts as well) to the check.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from _demo import demo
from _timing import least
from threadpoolctl import threadpool_limits
from verdict_time import large_layer

import fiberscope as fs
from fiberscope.preimages.verify import verify_in_float, verify_many


def main() -> None:
    """Print one line per layer and domain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--smoke", action="store_true", help="20 samples of the untrained demo")
    options = parser.parse_args()
    threadpool_limits(1)
    samples = 20 if options.smoke else options.samples
    print(f"{'layer':24} {'classify, s':>11} {'check, s':>9} {'/ classify':>10} {'/ singly':>9} {'sizes / check':>13}")
    network, test = demo(trained=not options.smoke)
    for position, layer in enumerate(network.relu_layers[:3]):
        inputs = network.layer_input(position, test.x[:samples])
        for domain in (None, fs.Box(0, 1) if position == 0 else fs.NonNegative()):
            compare(f"demo {position}", layer, inputs, domain)
    if not options.smoke:
        _, layer, images = large_layer(samples)
        for domain in (None, fs.Box(0, 1)):
            compare("(3500, 784)", layer, images, domain)


def compare(name: str, layer: fs.ReLULayer, X: np.ndarray, domain: fs.Domain | None) -> None:
    """Classify, and check in three ways."""
    began = time.process_time()
    judged = fs.classify(layer, X, domain=domain, threads=1)
    classifying = time.process_time() - began
    proved = verify_many(judged.preimages)
    together = least(lambda: verify_many(judged.preimages))
    singly = least(lambda: [verify_in_float(p) for p in judged])
    sizes = least(lambda: judged.radius)
    where = f"{name} on {'R^n' if domain is None else type(domain).__name__}"
    print(f"{where:24} {classifying:>11.3f} {together:>9.3f} {together / classifying:>10.3f}", end="")
    print(f" {together / singly:>9.3f} {sizes / together:>13.2f}  {proved.mean():.1%} proved in floats", flush=True)


if __name__ == "__main__":
    main()
