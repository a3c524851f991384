"""Time of a verdict about a layer whose columns have very different sizes, over that of the same layer without.

    python benchmarks/column_scaling.py [--smoke]

Folding the normalisation of inputs into a first layer multiplies the columns of pixels that hardly vary by 1e6 or 1e8.
Sizes of columns mean nothing: the kind must be that of the layer as it was, and be found in about its time. 60% of the
columns are scaled, by powers of ten and of two; both layers are asked in turn, and the median of the ratios is printed.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

import fiberscope as fs

SCALES = (1e6, 1e8, 1e30, 2.0**60)


def main() -> None:
    """Print one line per domain and scale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a small layer, asked once")
    options = parser.parse_args()
    threadpool_limits(1)
    m, n, repeats = (300, 80, 1) if options.smoke else (3500, 784, 3)
    rng = np.random.default_rng(0)
    A, x = rng.standard_normal((m, n)), rng.random(n) * (rng.random(n) < 0.5)
    b = np.full(m, -float(np.quantile(A @ x, 0.9)))
    fs.preimage(fs.ReLULayer(A[:20, :5]), x=x[:5])  # what is loaded once
    for domain in (None, fs.NonNegative(), fs.Box(0, 1)):
        for scale in SCALES:
            compare(A, b, x, domain, np.where(rng.random(n) < 0.6, scale, 1.0), repeats)


def compare(
    A: np.ndarray, b: np.ndarray, x: np.ndarray, domain: fs.Domain | None, columns: np.ndarray, repeats: int
) -> None:
    """Ask about both layers in turn."""
    box = fs.Box(0, 1 / columns) if isinstance(domain, fs.Box) else domain
    inside = np.minimum(x / columns, 1 / columns)
    pairs = [
        (timed(fs.ReLULayer(A, b), x, domain), timed(fs.ReLULayer(A * columns, b), inside, box)) for _ in range(repeats)
    ]
    (one, _), (other, _) = pairs[0]
    if (one.kind, one.dimension) != (other.kind, other.dimension):
        raise SystemExit(f"{one.kind} of dimension {one.dimension} became {other.kind} of dimension {other.dimension}")
    ratio = float(np.median([scaled / plain for (_, plain), (_, scaled) in pairs]))
    print(
        f"{A.shape[0]} x {A.shape[1]}, {'R^n' if domain is None else type(domain).__name__:11} "
        f"columns x {columns.max():7.1e}: {one.kind}, {pairs[0][0][1]:.3f} s plain, {ratio:.2f} times that when scaled"
    )


def timed(layer: fs.ReLULayer, x: np.ndarray, domain: fs.Domain | None) -> tuple[fs.Preimage, float]:
    """One verdict, and the seconds that it took."""
    began = time.perf_counter()
    verdict = fs.preimage(layer, x=x, domain=domain)
    return verdict, time.perf_counter() - began


if __name__ == "__main__":
    main()
