"""Time per proved verdict of a convolution of a black image, by directions in units of their entries and without them.

    python benchmarks/growing_directions.py [--smoke]

Two filters of 4 x 4 on 28 x 28 pixels in [0, 1], one of them positive everywhere on a black image: what its rows leave
grows and falls by orders of magnitude. Both run the same code; only the search in units of entries is left out of one.
"""

from __future__ import annotations

import argparse

import numpy as np
from _timing import least

import fiberscope as fs
from fiberscope.network.convolution import Convolution
from fiberscope.preimages import face


def main() -> None:
    """Print the verdicts, the times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="10 x 10 pixels")
    side = 10 if parser.parse_args().smoke else 28
    weight = (np.random.default_rng(3).standard_normal((2, 1, 4, 4)) * np.sqrt(2 / 16)).astype(np.float32)
    rows = Convolution(weight, (1, side, side)).rows()
    layer = fs.ReLULayer(rows, np.repeat([0.3, -0.4], rows.shape[0] // 2))
    patiently, times = face.patiently, dict[str, float]()
    for name, search in (("in units of entries", patiently), ("without", lambda *_: None)):
        face.patiently = search
        p = fs.preimage(layer, x=np.zeros(side * side), domain=fs.Box(0, 1))
        times[name] = least(lambda: fs.preimage(layer, x=np.zeros(side * side), domain=fs.Box(0, 1)))
        print(f"{name:>20}: {p.kind}, dimension {p.dimension}, proved {bool(fs.verify(p))}, {times[name]:.3f} s")
    face.patiently = patiently
    print(f"{times['without'] / times['in units of entries']:.1f}x faster")


if __name__ == "__main__":
    main()
