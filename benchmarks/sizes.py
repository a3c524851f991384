"""Time of the extent of a preimage in one direction with all rows at once, over that with rows as they are violated.

    python benchmarks/sizes.py [--smoke]

A dense layer under ``Box(0, 1)`` of which a few outputs are positive. Both ask HiGHS for the same optima, which must
agree; directions are random ones and coordinates. The samples' time is printed beside it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

import fiberscope as fs
from fiberscope.preimages.linear_program import LinearProgram, Solver


def main() -> None:
    """Print one line per layer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a small layer")
    options = parser.parse_args()
    threadpool_limits(1)
    for m, n in [(150, 40)] if options.smoke else [(875, 196), (3500, 784)]:
        compare(m, n)


def compare(m: int, n: int) -> None:
    """Ask both ways for the extents along the same directions."""
    rng = np.random.default_rng(0)
    A, x = rng.standard_normal((m, n)) / np.sqrt(n), rng.random(n) * (rng.random(n) < 0.5)
    b = -np.full(m, float(np.sort(A @ x)[[-6, -7]].mean()))  # no output is nearly 0
    p = fs.preimage(fs.ReLULayer(A, b), x=x, domain=fs.Box(0, 1))
    directions = np.concatenate([np.eye(n)[:2], rng.standard_normal((2, n))])
    began = time.perf_counter()
    widths = [p.width(c) for c in directions]
    cuts = time.perf_counter() - began
    positive, room = A @ x + b > 0, -(A @ x + b)
    low, high = np.where(positive, 0.0, -np.inf), np.where(positive, 0.0, np.maximum(room, 0.0))
    began = time.perf_counter()
    for c, width in zip(directions, widths, strict=True):
        solver, other = Solver(LinearProgram(c, A, low, high, -x, 1 - x)), 0.0
        for sign in (1, -1):
            solver.maximize(sign * c)
            solver.run()
            other += solver.value
        if abs(other - width) > 1e-6 * width:
            raise SystemExit(f"{width} became {other}")
    at_once = time.perf_counter() - began
    began = time.perf_counter()
    p.sample(5, 0)
    walk = time.perf_counter() - began
    print(f"{m} x {n}, dimension {p.dimension}: {at_once / cuts:.1f} times as long at once; 5 samples in {walk:.1f} s")


if __name__ == "__main__":
    main()
