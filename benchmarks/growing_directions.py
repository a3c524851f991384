"""Time per proved verdict of a convolution at dark images, by searches that suit solutions that grow, and without them.

    python benchmarks/growing_directions.py [--smoke]

Two filters of 4 x 4 on 28 x 28 pixels in [0, 1], where most pixels are 0: what the rows leave grows and falls by orders
of magnitude. Without ink a direction is looked for in units of its entries; with ink some pixels cannot move, and the
face is looked for in coordinates of a null space, of up to 640 dimensions, in units of rows and coordinates that follow
what is found. Both columns run the same code; only these searches are left out of the second.
"""

from __future__ import annotations

import argparse
from time import process_time

import numpy as np

import fiberscope as fs
from fiberscope.network.convolution import Convolution
from fiberscope.preimages import face, recession


def layer(side: int, seed: int, *, whole: bool) -> fs.ReLULayer:
    """Two filters with biases."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-3, 4, (2, 1, 4, 4)) if whole else rng.standard_normal((2, 1, 4, 4)) * np.sqrt(2 / 16)
    rows = Convolution(weight.astype(np.float32), (1, side, side)).rows()
    bias = (np.random.default_rng(seed + 100).standard_normal(2) * 0.3).astype(np.float32)
    return fs.ReLULayer(rows, np.repeat(bias.astype(float), rows.shape[0] // 2))


def image(side: int, *, ink: bool) -> np.ndarray:
    """Black, or with a stroke of ink."""
    x = np.zeros((side, side))
    if ink:
        row, column = np.indices((side, side)) / side
        stroke = np.abs(column - 0.5 - 0.2 * np.sin(6 * row)) < 0.1
        x = np.where(stroke & (np.abs(row - 0.5) < 0.35), np.random.default_rng(0).random((side, side)), 0.0)
    return x.ravel()


def main() -> None:
    """Print the verdicts and the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="10 x 10 pixels, and no more than four cases")
    smoke = parser.parse_args().smoke
    side = 10 if smoke else 28
    searches = {module: module.patiently for module in (face, recession)}
    most = face.MAX_COORDINATES
    for seed, whole in ((3, False), (0, True)) if smoke else ((3, False), (1, False), (0, True), (3, True)):
        for ink in (False, True):
            for domain in (fs.Box(0, 1),) if smoke else (fs.NonNegative(), fs.Box(0, 1)):
                line = f"{'whole' if whole else 'float32'} {seed}, {'ink' if ink else 'black'}, {domain}:"
                for name in ("", "without"):
                    for module, search in searches.items():
                        module.patiently = (lambda *_: None) if name else search
                        module.MAX_COORDINATES = 0 if name else most
                    start = process_time()
                    p = fs.preimage(layer(side, seed, whole=whole), x=image(side, ink=ink), domain=domain)
                    seconds = process_time() - start
                    proved = "proved" if fs.verify(p) else "not proved"
                    line += f" {name} {p.kind}, dimension {p.dimension}, {proved}, {seconds:.2f} s;"
                print(line.rstrip(";"), flush=True)


if __name__ == "__main__":
    main()
