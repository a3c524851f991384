"""One sample by the method for one, against the method for many asked about one, side by side in one run.

    python benchmarks/one_of_many.py [--samples 20] [--smoke]

Both search with the same Newton's method and write the same certificates. What is there for one sample alone (a rank,
or a linear solve, instead of a search; no groups, no threads, no rows of the layer beyond those that are asked about)
stays as long as the ratio is clearly above 1. Processor time, one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from verdict_time import large_layer

import fiberscope as fs
from fiberscope.network.domains import as_polyhedron
from fiberscope.preimages.budget import NO_LIMIT
from fiberscope.preimages.decide_many import decide_many
from fiberscope.preimages.patterns import exact_patterns
from fiberscope.preimages.verify import verify_in_float

SHAPES = ((12, 5), (300, 100), (1000, 300))


def main() -> None:
    """Print a line per layer and domain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--smoke", action="store_true", help="the smallest layer, two samples")
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    for m, n in SHAPES[:1] if options.smoke else SHAPES:
        layer = fs.ReLULayer(generator.standard_normal((m, n)), 0.1 * generator.standard_normal(m))
        X = np.clip(generator.standard_normal((2 if options.smoke else options.samples, n)), 0.0, 1.0)
        compare(f"({m}, {n}), random", layer, X)
    if not options.smoke:
        name, layer, X = large_layer()
        compare(name, layer, X[: options.samples].astype(np.float64))


def compare(name: str, layer: fs.ReLULayer, X: np.ndarray) -> None:
    """Decide and prove each sample both ways."""
    with threadpool_limits(1):
        for domain in (None, fs.Box(0, 1)):
            fs.preimage(layer, x=X[0], domain=domain)  # imports and first calls are not part of a verdict
            as_many(layer, domain, X[0])
            alone = of_many = proved = 0
            for x in X:
                seconds, p = timed(lambda x=x, domain=domain: fs.preimage(layer, x=x, domain=domain))
                alone += seconds
                seconds, q = timed(lambda x=x, domain=domain: as_many(layer, domain, x))
                of_many += seconds
                proved += q is not None and q.kind == p.kind
            where = "R^n" if domain is None else "[0, 1]"
            print(
                f"{name}, on {where}: {1e3 * alone / len(X):.2f} ms alone, {1e3 * of_many / len(X):.2f} ms as many; "
                f"ratio {of_many / alone:.2f}; {proved} of {len(X)} settled as many"
            )


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, and the answer."""
    began = time.process_time()
    answer = work()
    return time.process_time() - began, answer


def as_many(layer: fs.ReLULayer, domain: fs.Domain | None, x: np.ndarray) -> fs.Preimage | None:
    """The verdict as one of many, proved like that of one; None where it is left open."""
    within = np.zeros((1, 2, layer.outputs))
    patterns = exact_patterns(layer, as_polyhedron(domain, layer.inputs), x[None], within)
    found = decide_many(layer, domain, x[None], within, patterns, 1, lambda _: None, NO_LIMIT).preimages[0]
    return found if found is not None and verify_in_float(found) else None


if __name__ == "__main__":
    main()
