"""How far beyond its linear region a network is proved to be injective: stability radius over the region's distance.

Of each network and stage, over as many samples as there is time for: the median of the ratio, the smallest, that of
the first sample (index 9268 of Fashion-MNIST), the share with any radius and the median of these alone, the share of
which it is proved that there is none, and the seconds for one. Where fewer units are positive than there are inputs, as
in most layers, inputs of the region itself are not told apart: there is no radius, and a line says why at the first
such sample. Networks and images that are not part of the project are read from the folder that
the environment variable FIBERSCOPE_EXTERNAL names; where it is absent they are left out, and that is said. WideCIFAR is
the paper's architecture with random weights.

    python benchmarks/stability_radius.py [--samples 50] [--seconds 120] [--only NAME] [--smoke]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import process_time

import numpy as np
import torch
from _demo import demo
from safetensors.torch import load_file

import fiberscope as fs
from fiberscope.data.datasets import load_data
from fiberscope.demo.demo import train
from fiberscope_paper.architectures import table3

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406])[:, None, None], 0.225
"""What cifar_base_kw was trained on: (pixels / 255 - mean) / deviation."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120.0, help="of processor time for a network and stage")
    parser.add_argument("--only", default="", help="the networks whose names begin like this")
    parser.add_argument("--smoke", action="store_true", help="two samples of the smallest network")
    arguments = parser.parse_args()
    samples = 2 if arguments.smoke else arguments.samples
    print(f"{'network':<28}{'stage':>6}{'radius / region':>18}{'least':>10}{'first':>10}", end="")
    print(f"{'proved':>9}{'of these':>12}{'none':>7}{'samples':>9}{'s each':>9}")
    for name, build in subjects(smoke=arguments.smoke).items():
        if not name.startswith(arguments.only):
            continue
        network, X, stages = build()
        for stage in stages:
            found, each = found_at(network, X[:samples], stage, arguments.seconds)
            ratios = np.array([s.radius / s.region_distance if s.radius else 0.0 for s in found])
            without = [s for s in found if not s.radius]
            none = sum(fs.inverse_modulus(network, s.x, 0.0, stage, points=0).upper == 0 for s in without)
            print(f"{name:<28}{stage:>6}{np.median(ratios):>18.4g}{ratios.min():>10.3g}{ratios[0]:>10.4g}", end="")
            proved = ratios[ratios > 0]
            of_these = f"{np.median(proved):.4g}" if len(proved) else "-"
            print(f"{np.mean(ratios > 0):>9.0%}{of_these:>12}{none / len(found):>7.0%}{len(found):>9}{each:>9.2f}")
            print(*(f"    none: {s.reason}" for s in without[:1]), sep="", end="\n" * bool(without), flush=True)


def found_at(network: fs.Network, X: np.ndarray, stage: int, seconds: float) -> tuple[list[fs.StabilityRadius], float]:
    """The radii at the samples that the time allows; the time for one."""
    began, found = process_time(), []
    for x in X:
        found.append(fs.stability_radius(network, x, stage))
        if process_time() - began > seconds:
            break
    return found, (process_time() - began) / len(found)


Subject = tuple[fs.Network, np.ndarray, tuple[int, ...]]


def table_1(*, trained: bool) -> Subject:
    """The paper's network, on digits that it never saw."""
    network, digits = demo(trained=trained)
    return network, np.asarray(digits.x, dtype=np.float64), (1, 3) if trained else (1,)


def built_in() -> Subject:
    """The network that audits show without any other."""
    run = train()
    return run.network, np.asarray(run.test.x, dtype=np.float64), (1, 3)


def growing() -> Subject:
    """Random layers of more and more units."""
    torch.manual_seed(0)
    sizes = (16, 96, 192, 256)
    layers = [part for a, b in pairwise(sizes) for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    network = fs.from_torch(torch.nn.Sequential(*layers).eval(), input_shape=(16,))
    return network, np.random.default_rng(0).standard_normal((50, 16)), (1, 3, 5)


def fashion(folder: Path, *, most_positive: bool) -> Subject:
    """A layer of 3,500 units: at image 9268 and the first 49, or at the images with the most positive outputs."""
    sizes = (784, 3500, 784, 10)
    layers = [part for a, b in pairwise(sizes) for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    module = torch.nn.Sequential(*layers[:-1])
    module.load_state_dict(load_file(folder / "models" / "fashion_mlp_3500_784.safetensors"))
    network = fs.from_torch(module.eval(), input_shape=(784,))
    images = np.asarray(load_data("fashion-mnist").x, dtype=np.float64).reshape(-1, 784)
    if not most_positive:
        return network, images[np.concatenate([[9268], np.arange(49)])], (1, 2)
    positives = (network.evaluated(images, network.placed_layers[0].stage) > 0).sum(axis=1)
    return network, images[np.argsort(-positives, kind="stable")[:50]], (1,)


def pixels(folder: Path) -> np.ndarray:
    """Test images of CIFAR-10, from 0 to 1."""
    return np.load(folder / "data" / "cifar10_test_83.npz")["x"] / 255.0


def cifar_base(folder: Path) -> Subject:
    """A convolution of a network that others verify."""
    network = fs.load(folder / "models" / "cifar_base_kw.onnx")
    return network, (pixels(folder) - MEAN) / DEVIATION, (1,)


def wide_cifar(folder: Path) -> Subject:
    """The paper's network of table 3: its first three convolutions."""
    torch.manual_seed(0)
    return fs.from_torch(table3().eval(), input_shape=(3, 32, 32)), pixels(folder), (1, 3, 5)


def subjects(*, smoke: bool) -> dict[str, Callable[[], Subject]]:
    """By name, what makes a network, its samples, and the stages."""
    if smoke:
        return {"table 1, untrained": partial(table_1, trained=False)}
    named = {"table 1 (mnist-5k digits)": partial(table_1, trained=True), "built-in demo": built_in}
    named["16-96-192-256, random"] = growing
    if folder := os.environ.get("FIBERSCOPE_EXTERNAL", ""):
        named["784-3500, Fashion-MNIST"] = partial(fashion, Path(folder), most_positive=False)
        named["784-3500, most positive"] = partial(fashion, Path(folder), most_positive=True)
        named["cifar_base_kw"] = partial(cifar_base, Path(folder))
        named["WideCIFAR, random weights"] = partial(wide_cifar, Path(folder))
    else:
        print("FIBERSCOPE_EXTERNAL is not set: Fashion-MNIST's layer, cifar_base_kw and CIFAR-10 images are left out")
    return named


if __name__ == "__main__":
    main()
