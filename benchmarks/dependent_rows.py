"""Time per proved verdict of a convolution whose rows depend on each other, against one of the same size without that.

    python benchmarks/dependent_rows.py [--samples 2] [--exact] [--smoke]

One image of 28 x 28 pixels, seen by two kernels of 4 x 4: 1,250 rows in 784 coordinates, of rank 766, since
convolutions commute. Beside it, in turn and in one process with one thread, the same pattern of zeros with random
entries, whose rows have rank 784. With ``--exact`` the same certificate is proved in rational numbers as well, which is
what dependent rows took before. The first verdict of the process, which imports, is not counted.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.sparse import csr_array

import fiberscope as fs
from fiberscope.network.convolution import Convolution
from fiberscope.threads import one_thread

DOMAINS = {"R^n": None, "orthant": fs.NonNegative(), "box": fs.Box(0, 1)}


def layers(side: int, kernel: int) -> tuple[fs.ReLULayer, fs.ReLULayer]:
    """Two channels of a convolution, and rows with other entries at the same places."""
    generator = np.random.default_rng(0)
    weight = (generator.uniform(-1, 1, (2, 1, kernel, kernel)) / kernel).astype(np.float32)
    rows = Convolution(weight, (1, side, side)).rows()
    entries = (generator.uniform(-1, 1, rows.nnz) / kernel).astype(np.float32).astype(np.float64)
    return fs.ReLULayer(rows), fs.ReLULayer(csr_array((entries, rows.indices, rows.indptr), shape=rows.shape))


def timed(layer: fs.ReLULayer, x: np.ndarray, domain: fs.Box | fs.NonNegative | None) -> tuple[fs.Preimage, float]:
    """The verdict and its seconds."""
    began = time.perf_counter()
    p = fs.preimage(layer, x=x, domain=domain)
    return p, time.perf_counter() - began


def main() -> None:
    """Print one line per domain and sample, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--exact", action="store_true", help="prove in rational numbers as well: ten seconds a verdict")
    parser.add_argument("--smoke", action="store_true", help="14 x 14 pixels and one sample, and --exact")
    options = parser.parse_args()
    side, kernel, samples, exact = (14, 4, 1, True) if options.smoke else (28, 4, options.samples, options.exact)
    dependent, generic = layers(side, kernel)
    images = np.random.default_rng(1).uniform(size=(samples, side * side)).astype(np.float32).astype(np.float64)
    ratios: list[float] = []
    against_exact: list[float] = []
    print(f"{'domain':>8} {'kind':>10} {'dimension':>9} {'dependent, s':>12} {'generic, s':>10} {'exact, s':>9}")
    with one_thread():
        timed(generic, images[0], None)
        for name, domain in DOMAINS.items():
            for x in images:
                p, ours = timed(dependent, x, domain)
                assert p.kind != fs.Kind.UNDECIDED, p.reason
                ratios.append(ours / timed(generic, x, domain)[1])
                slow = ""
                if exact:
                    began = time.perf_counter()
                    assert fs.verify(p, exact=True)
                    against_exact.append((time.perf_counter() - began) / ours)
                    slow = f"{against_exact[-1] * ours:.2f}"
                print(f"{name:>8} {p.kind!s:>10} {p.dimension:>9} {ours:>12.3f} {ours / ratios[-1]:>10.3f} {slow:>9}")
    print(f"median {np.median(ratios):.1f} times the time of rows that do not depend on each other")
    if against_exact:
        print(f"median {np.median(against_exact):.1f}x faster than the exact proof of the same certificate alone")


if __name__ == "__main__":
    main()
