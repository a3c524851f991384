"""Layers behind a ReLU and in boxes: proved verdicts by projection, against one linear program per sample.

    python benchmarks/sign_constrained.py [--model cifar_base_kw] [--samples 83] [--programs 3] [--smoke]

All layers that are one affine map and a ReLU, on every domain on which an audit judges them, at CIFAR-10 test images,
where FIBERSCOPE_EXTERNAL names a folder that has the network and the images; with ``--smoke`` two small layers of
random filters. The first table is ``classify``, proofs included, in processor time. The second asks of recession cones
behind a ReLU whether they are {0}: by projection, for all samples together, and by the linear program that was the
method before and is what is left to it where projection fails, for some samples; in the same run, with one thread.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np

import fiberscope as fs
from fiberscope.network.convolution import Convolution
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.preimages.balance import Balance
from fiberscope.preimages.budget import NO_LIMIT
from fiberscope.preimages.candidate import Multipliers
from fiberscope.preimages.cone_projection import OrthantCones, OrthantRows, project
from fiberscope.preimages.ray_program import build_ray_system, ray_or_multipliers
from fiberscope.preimages.system import build_at_input
from fiberscope.threads import one_thread

MEAN = np.array([0.485, 0.456, 0.406])[:, None, None]
DEVIATION = 0.225

Judged = tuple[str, fs.ReLULayer, np.ndarray, list[tuple[str, Domain | None]]]
"""Name, layer, inputs, and the domains by name."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cifar_base_kw")
    parser.add_argument("--samples", type=int, default=83)
    parser.add_argument("--programs", type=int, default=3, help="samples for the linear program")
    parser.add_argument("--smoke", action="store_true", help="two small layers, 12 samples, 2 programs")
    options = parser.parse_args()
    if options.smoke:
        layers, programs = small_layers(12), 2
    else:
        layers, programs = network_layers(options.model, options.samples), options.programs
    with one_thread():
        verdicts(layers)
        cones(layers, programs)


def network_layers(name: str, samples: int) -> list[Judged]:
    """Those of a network that are one affine map and a ReLU, with what they receive for test images."""
    folder = Path(os.environ["FIBERSCOPE_EXTERNAL"])
    network = fs.load(folder / "models" / f"{name}.onnx")
    pixels = np.load(folder / "data/cifar10_test_83.npz")["x"][:samples]
    images = ((pixels / 255.0 - MEAN) / DEVIATION).astype(np.float32)
    out: list[Judged] = []
    for i, layer in enumerate(network.relu_layers):
        if isinstance(layer, fs.ReLULayer):
            box: tuple[str, Domain] = ("box", fs.Box(float(images.min()), float(images.max())))
            domains = [("R^n", None), box if i == 0 else ("x >= 0", fs.NonNegative())]
            out.append((f"layer {i}", layer, network.layer_input(i, images).reshape(len(images), -1), domains))
    return out


def small_layers(samples: int) -> list[Judged]:
    """Two convolutions of random filters, the second behind the ReLU of the first."""
    random = np.random.default_rng(0)
    first = Convolution(random.normal(size=(8, 3, 3, 3)), (3, 12, 12), padding=((1, 1), (1, 1)))
    second = Convolution(random.normal(size=(6, 8, 4, 4)), (8, 12, 12), stride=(2, 2))
    layers = [fs.ReLULayer(stage.rows()) for stage in (first, second)]
    X = random.uniform(size=(samples, 3 * 12 * 12))
    return [
        ("layer 0", layers[0], X, [("R^n", None), ("box", fs.Box(0, 1))]),
        ("layer 1", layers[1], layers[0](X), [("R^n", None), ("x >= 0", fs.NonNegative())]),
    ]


def verdicts(layers: list[Judged]) -> None:
    """What ``classify`` gives, and takes."""
    total = count = undecided = 0.0
    for name, layer, X, domains in layers:
        for domain_name, domain in domains:
            began = time.process_time()
            found = fs.classify(layer, X, domain, threads=1)
            seconds = time.process_time() - began
            began = time.process_time()
            proved = int(found.verify(threads=1).sum())
            checking = time.process_time() - began
            kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(found.kind.tolist()).items()))
            routes = ", ".join(f"{n} {route.name.lower()}" for route, n in found.statistics.samples.items())
            print(
                f"{name} {domain_name:<7} {layer.inputs:>5} -> {layer.outputs:<5} {seconds:7.2f} s, proofs again "
                f"{checking:5.2f} s; {proved} of {len(found)} proved, {found.certificates} certificates; "
                f"{kinds}; by {routes}"
            )
            assert proved == int((found.kind != "undecided").sum()), "what is decided is proved"
            total, count = total + seconds, count + len(found)
            undecided += int((found.kind == "undecided").sum())
    print(f"{total:.1f} s of processor time for {count:.0f} verdicts, {undecided:.0f} undecided")


def cones(layers: list[Judged], programs: int) -> None:
    """Recession cones behind a ReLU, both ways."""
    for name, layer, X, domains in layers:
        if domains[-1][0] != "x >= 0":
            continue
        polyhedron = as_polyhedron(fs.NonNegative(), layer.inputs)
        balance = Balance.of(layer, polyhedron)
        systems = [balance.system(build_at_input(layer, polyhedron, x)).at_infinity for x in X]
        rows = OrthantRows.of(balance.layer, balance.domain)
        equal = np.array([np.isin(rows.upper, system.positive) for system in systems])
        began = time.process_time()
        found = project(rows, OrthantCones(equal, ~equal, np.zeros_like(equal)))
        ours = (time.process_time() - began) / len(X)
        began = time.process_time()
        answers = [ray_or_multipliers(build_ray_system(system), NO_LIMIT) for system in systems[:programs]]
        theirs = (time.process_time() - began) / len(answers)
        for one, other in zip(found, answers, strict=False):
            assert one is None or other is None or isinstance(one.part, Multipliers) == isinstance(other, Multipliers)
        settled = sum(part is not None for part in found)
        print(
            f"{name}: recession cones by projection {ours * 1e3:.1f} ms each, {settled} of {len(X)} settled; by a "
            f"linear program {theirs * 1e3:.0f} ms each: {theirs / ours:.0f} times as long"
        )


if __name__ == "__main__":
    main()
