"""Layers in which branches meet, and the layers between them: proved verdicts, and what their hardest cones take.

    python benchmarks/residual.py [--samples 10] [--programs 2] [--seconds 60] [--smoke]

All layers of ``resnet_2b``, on every domain on which an audit judges them, at CIFAR-10 test images, where
FIBERSCOPE_EXTERNAL names a folder that has the network and the images; with ``--smoke`` a small residual network of
random weights. The first table is ``classify``, proofs included, in processor time. The second asks of recession cones
where branches meet whether they are {0}: by steps along a central path, and by the linear program that was the method
before, both on the same rows, in the same run, with one thread. A program that does not end in time counts with what
it took; cones that the path leaves open, most of them with a line that is counted, do not count.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import nn

import fiberscope as fs
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.layer import Layer, local_form
from fiberscope.preimages.balance import Balance
from fiberscope.preimages.budget import Budget, TooLargeError
from fiberscope.preimages.candidate import Direction, Multipliers
from fiberscope.preimages.central_path import follow
from fiberscope.preimages.cone_projection import OrthantCones, OrthantRows
from fiberscope.preimages.elimination import Elimination
from fiberscope.preimages.ray_program import build_ray_system, ray_or_multipliers
from fiberscope.preimages.reduced_path import follow_reduced
from fiberscope.preimages.system import MixedSystem, build_at_input
from fiberscope.threads import one_thread

MEAN = np.array([0.4914, 0.4822, 0.4465])[:, None, None]
DEVIATION = np.array([0.2471, 0.2435, 0.2616])[:, None, None]


class Block(nn.Module):
    """Two convolutions beside a shortcut of one."""

    def __init__(self, channels: int, wider: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, wider, 3, stride, 1)
        self.second = nn.Conv2d(wider, wider, 3, 1, 1)
        self.shortcut = nn.Conv2d(channels, wider, 1, stride)
        self.inner, self.outer = nn.ReLU(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """ReLU of the sum of both branches."""
        return self.outer(self.second(self.inner(self.first(x))) + self.shortcut(x))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--programs", type=int, default=2, help="samples for both methods of the second table")
    parser.add_argument("--seconds", type=float, default=60.0, help="for one linear program")
    parser.add_argument("--smoke", action="store_true", help="a small network, 4 samples, 1 program")
    options = parser.parse_args()
    network, images = small_network() if options.smoke else trained_network(options.samples)
    with one_thread():
        verdicts(network, images)
        cones(network, images[: 1 if options.smoke else options.programs], options.seconds)


def trained_network(samples: int) -> tuple[fs.Network, np.ndarray]:
    """``resnet_2b`` and images as it takes them."""
    folder = Path(os.environ["FIBERSCOPE_EXTERNAL"])
    pixels = np.load(folder / "data/cifar10_test_83.npz")["x"][:samples]
    return fs.load(folder / "models/resnet_2b.onnx"), ((pixels / 255.0 - MEAN) / DEVIATION).astype(np.float32)


def small_network() -> tuple[fs.Network, np.ndarray]:
    """A stem and two blocks on 12 x 12 pixels."""
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 4, 3, 1, 1), nn.ReLU()]
    module = nn.Sequential(*stem, Block(4, 6, 2), Block(6, 8, 2), nn.Flatten(), nn.Linear(72, 10))
    images = np.random.default_rng(0).uniform(size=(4, 3, 12, 12)).astype(np.float32)
    return fs.from_torch(module.eval(), input_shape=(3, 12, 12)), images


def domains_of(number: int, images: np.ndarray) -> list[tuple[str, Domain | None]]:
    """By name: all of R^n, and what the layer before can give."""
    box = "box", fs.Box(float(images.min()), float(images.max()))
    return [("R^n", None), ("x >= 0", fs.NonNegative()) if number else box]


def verdicts(network: fs.Network, images: np.ndarray) -> None:
    """What ``classify`` gives, and takes."""
    total = undecided = 0.0
    for number, layer in enumerate(network.relu_layers):
        X = network.layer_input(number, images).reshape(len(images), -1)
        for name, domain in domains_of(number, images):
            began = time.process_time()
            found = fs.classify(layer, X, domain, threads=1)
            seconds = (time.process_time() - began) / len(X)
            began = time.process_time()
            proved = int(found.verify(threads=1).sum())
            checking = (time.process_time() - began) / len(X)
            kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(found.kind.tolist()).items()))
            known = int((found.dimension >= 0).sum())
            print(
                f"layer {number} {type(layer).__name__:<11} {name:<6} {layer.inputs:>4} -> {layer.outputs:<4} "
                f"{seconds:6.3f} s a sample, proofs again {checking:6.3f} s; {kinds}; {known} dimensions known",
                flush=True,
            )
            assert proved == int((found.kind != "undecided").sum()), "what is decided is proved"
            total, undecided = total + seconds, undecided + int((found.kind == "undecided").sum())
    print(f"{total:.2f} s of processor time a sample, {undecided:.0f} verdicts undecided")


def cones(network: fs.Network, images: np.ndarray, seconds: float) -> None:
    """Recession cones where branches meet, both ways, sample after sample."""
    for number, layer in enumerate(network.relu_layers):
        if isinstance(layer, fs.ReLULayer):
            continue
        for name, domain in domains_of(number, images):
            ours, theirs, ended = [], [], 0
            for x in network.layer_input(number, images).reshape(len(images), -1):
                found = both_ways(layer, domain, x, seconds)
                if found is None:
                    print(f"layer {number} {name}: left open by the path", flush=True)
                    continue
                path, program, answered = found
                print(f"layer {number} {name}: by a path {path:.3f} s, by a linear program {program:.3f} s", flush=True)
                ours, theirs, ended = [*ours, path], [*theirs, program], ended + answered
            if not ours:
                continue
            print(
                f"layer {number} {name}: recession cones by a path {np.mean(ours):.3f} s each, by a linear program "
                f"{np.mean(theirs):.3f} s: {sum(theirs) / sum(ours):.1f} times as long; {ended} of {len(ours)} "
                f"programs ended within {seconds:g} s",
                flush=True,
            )


def both_ways(layer: Layer, domain: Domain | None, x: np.ndarray, seconds: float) -> tuple[float, float, bool] | None:
    """Processor time of both methods, and whether the program ended, in the same answer then; None without a path's."""
    local, around_x, point = local_form(layer, domain, x)
    polyhedron = as_polyhedron(around_x, local.inputs)
    system = Balance.of(local, polyhedron).system(build_at_input(local, polyhedron, point)).at_infinity
    began = time.process_time()
    one = by_path(system)
    between = time.process_time()
    if one is None:
        return None
    try:
        other = ray_or_multipliers(build_ray_system(system), Budget.of(seconds))
    except TooLargeError:
        other = None
    ended = time.process_time()
    assert other is None or isinstance(one, Multipliers) == isinstance(other, Multipliers)
    return between - began, ended - between, other is not None


def by_path(system: MixedSystem) -> Direction | Multipliers | None:
    """In an orthant by all rows, else in the coordinates of the ancestor, on what equalities leave."""
    rows = OrthantRows.of(system.layer, system.domain)
    if rows.bounds_all:
        equal = np.isin(rows.upper, system.positive)
        found = follow(rows, OrthantCones(equal[None], ~equal[None], np.zeros_like(equal)[None]))
        return None if found is None else found.part
    smaller = Elimination.of(system)
    assert smaller is not None, "branches meet in the layer"
    reduced = smaller.reduced
    found = follow_reduced(reduced, reduced.live(reduced.positive), reduced.live(reduced.inequalities))
    return smaller.multipliers(found) if isinstance(found, Multipliers) else found


if __name__ == "__main__":
    main()
