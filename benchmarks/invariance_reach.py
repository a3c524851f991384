"""How far invariance reaches: layer by layer, towards samples of another class, and how well the original agrees.

    python benchmarks/invariance_reach.py [--networks demo mnist cifar] [--pairs 100] [--layers 3]
        [--within 0 1e-3 float32] [--curve] [--smoke]

demo: the network of table 1, trained here, on held-out MNIST digits. mnist and cifar: ``mnist-net_256x2.onnx`` on MNIST
digits and ``cifar_base_kw.onnx`` on real CIFAR-10 test images, from the folder that FIBERSCOPE_EXTERNAL names. A pair
is a random sample and a random one of another class; features may differ by each of the numbers of ``--within``, so
that lines of one layer are its reach against eps; sought is the largest change towards the target within the region
of the sample and the range of the pixels. A line per layer: in how many pairs it reaches past half of the way, the
largest difference of features in the original runtime as a share of what its rounding explains, how many examples are
proved, and seconds per pair, verification apart. With ``--curve``, instead, the survey of an audit: by layer and eps,
relative to the largest feature, the median of the share of the way in the region of the sample, and of the bound for
all regions.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from _demo import demo

import fiberscope as fs
from fiberscope.audits.examples import in_the_original, reached
from fiberscope.audits.plan import REACH_EPS
from fiberscope.audits.shards import SURVEY_SCHEMA
from fiberscope.data.datasets import load_data
from fiberscope.invariance.examples import invariance_examples
from fiberscope.invariance.pairs import targets_of
from fiberscope.invariance.survey import survey_curve, surveyed_sample
from fiberscope.network.domains import as_polyhedron
from fiberscope.report.survey import summarise_survey

Subject = tuple[fs.Network, np.ndarray, np.ndarray, fs.Box]


def main() -> None:
    """Print a table per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=sorted(SUBJECTS), default=["demo", "mnist", "cifar"])
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--layers", type=int, default=3, help="the first so many ReLU layers")
    parser.add_argument("--within", nargs="+", default=["0"], help="by how much features may differ")
    parser.add_argument("--curve", action="store_true", help="the medians of a survey instead, against eps")
    parser.add_argument("--smoke", action="store_true", help="the untrained demo's first two layers, 3 pairs")
    options = parser.parse_args()
    names, pairs, layers = (["untrained"], 3, 2) if options.smoke else (options.networks, options.pairs, options.layers)
    for name in names:
        subject = SUBJECTS[name]()
        if subject is None:
            print(f"{name}: skipped, FIBERSCOPE_EXTERNAL is not set")
            continue
        if options.curve or options.smoke:
            curve(name, subject, pairs, layers)
        for within in () if options.curve else ["0", "float32"] if options.smoke else options.within:
            measure(name, subject, pairs, layers, within if within == "float32" else float(within))


def digits(*, trained: bool) -> Subject:
    """The network of table 1."""
    network, test = demo(trained=trained)
    assert test.y is not None, "digits have labels"
    return network, test.x, test.y, fs.Box(0, 1)


def mnist() -> Subject | None:
    """A network of two ReLU layers with 256 units each."""
    folder = os.environ.get("FIBERSCOPE_EXTERNAL")
    if not folder:
        return None
    digits = load_data("mnist-5k")
    network = fs.load(Path(folder) / "models" / "mnist-net_256x2.onnx")
    assert digits.y is not None, "digits have labels"
    return network, digits.x.reshape(-1, *network.input_shape), digits.y, fs.Box(0, 1)


def cifar() -> Subject | None:
    """A network of two convolutional and one dense ReLU layer; its inputs are normalised."""
    folder = os.environ.get("FIBERSCOPE_EXTERNAL")
    if not folder:
        return None
    data = np.load(Path(folder) / "data" / "cifar10_test_83.npz")
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]

    def normalised(pixels: np.ndarray) -> np.ndarray:
        return (pixels - mean) / 0.225

    black, white = (normalised(np.full((3, 32, 32), value)).ravel() for value in (0.0, 1.0))
    network = fs.load(Path(folder) / "models" / "cifar_base_kw.onnx")
    return network, normalised(data["x"] / 255.0), data["y"], fs.Box(black, white)


SUBJECTS = {"demo": partial(digits, trained=True), "untrained": partial(digits, trained=False)}
SUBJECTS |= {"mnist": mnist, "cifar": cifar}


def measure(name: str, subject: Subject, pairs: int, layers: int, within: float | str) -> None:
    """Print a line per layer."""
    network, x, y, domain = subject
    generator = np.random.default_rng(0)
    sources = generator.choice(len(x), size=min(pairs, len(x)), replace=False)
    goals = [targets_of(int(source), len(x), y, 1, generator)[0] for source in sources]
    print(f"{name}: {network}, {len(sources)} pairs, features within {within}")
    for layer in range(min(layers, len(network.placed_layers))):
        began = time.perf_counter()
        found = [
            invariance_examples(network, x[source], [x[goal]], layer, domain, objective="towards", within=within)[0]
            for source, goal in zip(sources, goals, strict=True)
        ]
        seconds = (time.perf_counter() - began) / len(found)
        shares = np.array([reached(e.source, x[goal], e.x) for e, goal in zip(found, goals, strict=True)])
        both = [np.stack([e.source.ravel(), e.x.ravel()]) for e in found]
        units = max(in_the_original(network, e.stage, points)[1] for e, points in zip(found, both, strict=True))
        began = time.perf_counter()
        proved = sum(bool(e.verify()) for e in found)
        verifying = (time.perf_counter() - began) / len(found)
        print(
            f"  layer {layer}: past half of the way in {(shares > 0.5).mean():.0%}, median {np.median(shares):.2f}; "
            f"original differs by at most {units:.2g} of its rounding; {proved} of {len(found)} "
            f"proved; {seconds:.2f} s a pair, and {verifying:.2f} s to verify",
            flush=True,
        )


def curve(name: str, subject: Subject, pairs: int, layers: int) -> None:
    """Print a line per layer and eps."""
    network, x, y, domain = subject
    chosen = np.random.default_rng(0).choice(len(x), size=min(pairs, len(x)), replace=False)
    print(f"{name}: {network}, {len(chosen)} pairs")

    def at(numbers: list[int]) -> np.ndarray:
        return network.flat(x[numbers])

    samples = [surveyed_sample(at, np.asarray(y, dtype=np.int64), int(i), len(x), 1, 0) for i in chosen]
    box = as_polyhedron(domain, network.inputs)
    for layer in range(min(layers, len(network.placed_layers))):
        began = time.process_time()
        found = [row for sample in samples for row in survey_curve(network, layer, sample, box, REACH_EPS)]
        each = (time.process_time() - began) / len(chosen)
        rows = [row | {"reason": ""} for row in found]
        (summary,) = summarise_survey(pa.Table.from_pylist(rows, schema=SURVEY_SCHEMA))
        for at in summary.curve:
            print(f"  layer {layer} at {at.label}: {at.reached:.3g} of the way, at most {at.bound:.3g}; ", end="")
            print(f"past half {at.past_half:.0%}; {each:.2f} s a pair for all eps", flush=True)


if __name__ == "__main__":
    main()
