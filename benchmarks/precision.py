"""Verdicts at a precision and the coarsest precision, against the exact verdicts of the same samples, in one run.

    python benchmarks/precision.py [--samples 1000] [--box] [--within codes,float32,int8] [--no-coarsest] [--smoke]

The layer is (3500, 784), trained on Fashion-MNIST, at its test images, where FIBERSCOPE_EXTERNAL names a folder that
has it; else random weights of that shape. Times are those of the processor, one thread, everything proved; beside them
the largest memory of the process so far:

exact      ``classify(layer, X)``
within     ``classify(layer, X, within=...)``: "codes" is half a step of 8-bit codes as a number
coarsest   ``coarsest_precision(layer, X)``
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from verdict_time import large_layer

import fiberscope as fs

CODES = 255


def main() -> None:
    """Print a line for each question, and its ratio to the exact one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--box", action="store_true", help="inputs lie in [0, 1]; else in all of R^n")
    parser.add_argument("--within", default="codes,float32,int8", help="which precisions, by commas")
    parser.add_argument("--no-coarsest", action="store_true", help="verdicts alone")
    parser.add_argument("--smoke", action="store_true", help="a small random layer, and 20 samples")
    options = parser.parse_args()
    name, layer, X = small_layer() if options.smoke else large_layer(options.samples)
    domain = fs.Box(0, 1) if options.box else None
    fs.classify(layer, X[:2], domain, within=0.1)  # imports
    print(
        f"{name}, {'the box [0, 1]' if options.box else 'R^n'}: {len(X)} samples, {memory():.0f} MB so far", flush=True
    )
    exact, judged = timed(lambda: fs.classify(layer, X, domain, threads=1))
    print(f"{'exact':>22}: {exact:7.1f} s, {counted(judged)}, {memory():.0f} MB", flush=True)
    codes = float(layer(X).max()) / CODES / 2
    for precision in options.within.split(","):
        within = codes if precision == "codes" else precision
        seconds, judged = timed(lambda within=within: fs.classify(layer, X, domain, within=within, threads=1))
        label = f"{codes:.3g}" if precision == "codes" else precision
        told = f"{seconds:7.1f} s, {seconds / exact:5.2f} of it, {counted(judged)}, {memory():.0f} MB"
        print(f"{'within ' + label:>22}: {told}", flush=True)
    if not options.no_coarsest:
        coarsest(layer, X, domain, exact)


def coarsest(layer: fs.ReLULayer, X: np.ndarray, domain: fs.Box | None, exact: float) -> None:
    """Print how long that takes, and what came of it."""
    seconds, found = timed(lambda: fs.coarsest_precision(layer, X, domain, threads=1))
    settled = np.mean(found.lower == found.upper)
    print(f"{'coarsest precision':>22}: {seconds:7.1f} s, {seconds / exact:5.2f} of it, {settled:.1%} known exactly")
    print(f"{'':>24}median {np.median(found.eps):.4g}, proved by its certificates: {found.verify(1).mean():.1%}")


def memory() -> float:
    """The largest memory of the process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time, and the result."""
    began = time.process_time()
    result = call()
    return time.process_time() - began, result


def counted(judged: fs.Classification) -> str:
    """The kinds, and how many are proved by certificates of how many."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(judged.kind.tolist()).items()))
    return f"{kinds}; {judged.certificates} certificates"


def small_layer() -> tuple[str, fs.ReLULayer, np.ndarray]:
    """A random layer, about half of whose samples are bounded."""
    generator = np.random.default_rng(0)
    layer = fs.ReLULayer(generator.standard_normal((60, 24)) + 0.2)
    return "random, (60, 24)", layer, generator.random((20, 24))


if __name__ == "__main__":
    main()
