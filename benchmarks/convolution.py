"""Time and memory per proved verdict of a convolutional layer: by its sparse rows, and with the matrix written out.

    python benchmarks/convolution.py [--samples 3] [--smoke]

The layer is the first one of WideCIFAR (table 3 of the paper: 32 filters of 3 x 3 over 3 x 32 x 32, stride 1, zero
padding), 3,072 inputs and 32,768 neurons, with fresh Glorot weights as in the paper's training, on all of R^n. Samples
are CIFAR-10 test images where FIBERSCOPE_EXTERNAL names a folder that has them, else uniform noise. Both run the same
code; only the form of the matrix differs. Each runs in a process of its own with one thread, for its own peak memory.
The time is that of deciding and proving; the first verdict of a process, which imports, is not counted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import fiberscope as fs
from fiberscope.network.convolution import Convolution
from fiberscope.network.rows import dense
from fiberscope.threads import one_thread

IMAGES = "data/cifar10_test_83.npz"


Measured = tuple[list[tuple[str, int, float]], float]
"""Kind, positives and seconds for each image, and the peak memory of the process in GB."""


def main() -> None:
    """Print one line per sample and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="8 filters over 3 x 12 x 12, and two samples")
    options = parser.parse_args()
    side, filters, samples = (12, 8, 2) if options.smoke else (32, 32, options.samples)
    images, source = load_images(side, samples)
    print(f"3 x {side} x {side}, {filters} filters of 3 x 3: {source}")
    results = {form: in_own_process(form, side, filters, images) for form in ("sparse", "dense")}
    print(f"{'sample':>6} {'verdict':>10} {'positives':>9} {'sparse, s':>9} {'dense, s':>9} {'ratio':>6}")
    ratios: list[float] = []
    rows = zip(results["sparse"][0], results["dense"][0], strict=True)
    for i, ((verdict, positives, ours), (theirs_verdict, _, theirs)) in enumerate(rows):
        assert verdict == theirs_verdict, "both forms are the same layer"
        ratios.append(theirs / ours)
        print(f"{i:>6} {verdict:>10} {positives:>9} {ours:>9.3f} {theirs:>9.3f} {ratios[-1]:>6.1f}")
    memory = {form: result[1] for form, result in results.items()}
    print(
        f"median {np.median(ratios):.1f}x faster than with the matrix written out; peak memory "
        f"{memory['sparse']:.2f} GB against {memory['dense']:.2f} GB"
    )


def load_images(side: int, samples: int) -> tuple[np.ndarray, str]:
    """Images (samples, 3 * side * side), pixels / 255, and what they are."""
    path = Path(os.environ.get("FIBERSCOPE_EXTERNAL", "")) / IMAGES
    if path.is_file():
        x = np.load(path)["x"][:samples, :, :side, :side] / 255.0
        return x.reshape(samples, -1), f"{samples} CIFAR-10 test images" + (
            "" if side == 32 else f", cut to {side} x {side}"
        )
    return np.random.default_rng(1).uniform(size=(samples, 3 * side * side)), f"{samples} images of uniform noise"


def in_own_process(form: str, side: int, filters: int, images: np.ndarray) -> Measured:
    """What ``measure`` gives, from a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, form, side, filters, images).result()


def measure(form: str, side: int, filters: int, images: np.ndarray) -> Measured:
    """Kind, positives and seconds for each image, and the peak memory of the process in GB."""
    limit = np.sqrt(6.0 / (9 * 3 + 9 * filters))
    weight = np.random.default_rng(0).uniform(-limit, limit, (filters, 3, 3, 3)).astype(np.float32)
    rows = Convolution(weight, (3, side, side), padding=((1, 1), (1, 1))).rows()
    layer = fs.ReLULayer(rows if form == "sparse" else dense(rows))
    verdicts: list[tuple[str, int, float]] = []
    with one_thread():
        fs.verify(fs.preimage(fs.ReLULayer(rows[:4]), x=images[0]))
        for image in images:
            began = time.perf_counter()
            p = fs.preimage(layer, x=image)
            seconds = time.perf_counter() - began
            assert p.kind != fs.Kind.UNDECIDED, p.reason
            verdicts.append((str(p.kind), p.positives, seconds))
    return verdicts, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
