"""How far beyond its linear region a network is proved to be injective: stability radius over the region's distance.

Of each network and stage, over as many samples as there is time for: the median of the ratio, the smallest, that of
the first sample (index 9268 of Fashion-MNIST), the share with any radius and the median of these alone, and the seconds
for one. Where fewer units are positive than there are inputs, as in most layers, inputs of the region itself are not
told apart, and there is no radius. Networks and images that are not part of the project are read from the folder that
the environment variable FIBERSCOPE_EXTERNAL names; where it is absent they are left out, and that is said. WideCIFAR is
the paper's architecture with random weights.

    python benchmarks/stability_radius.py [--samples 50] [--seconds 120] [--only NAME] [--smoke]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
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
    print(f"{'proved':>9}{'of these':>12}{'samples':>9}{'s each':>9}")
    for name, network, X, stages in subjects(smoke=arguments.smoke):
        for stage in stages if name.startswith(arguments.only) else ():
            ratios, each = ratios_at(network, X[:samples], stage, arguments.seconds)
            print(f"{name:<28}{stage:>6}{np.median(ratios):>18.4g}{ratios.min():>10.3g}{ratios[0]:>10.4g}", end="")
            proved = ratios[ratios > 0]
            of_these = f"{np.median(proved):.4g}" if len(proved) else "-"
            print(f"{np.mean(ratios > 0):>9.0%}{of_these:>12}{len(ratios):>9}{each:>9.2f}", flush=True)


def ratios_at(network: fs.Network, X: np.ndarray, stage: int, seconds: float) -> tuple[np.ndarray, float]:
    """Radius over distance, 0 where none is proved, at the samples that the time allows; the time for one."""
    began, ratios = process_time(), []
    for x in X:
        found = fs.stability_radius(network, x, stage)
        ratios.append(found.radius / found.region_distance if found.radius else 0.0)
        if process_time() - began > seconds:
            break
    return np.array(ratios), (process_time() - began) / len(ratios)


def subjects(*, smoke: bool) -> Iterator[tuple[str, fs.Network, np.ndarray, tuple[int, ...]]]:
    network, digits = demo(trained=not smoke)
    yield "table 1 (mnist-5k digits)", network, np.asarray(digits.x, dtype=np.float64), (1,) if smoke else (1, 3)
    if not smoke:
        run = train()
        yield "built-in demo", run.network, np.asarray(run.test.x, dtype=np.float64), (1, 3)
    torch.manual_seed(0)
    sizes = (16, 96, 192, 256)
    layers = [part for a, b in pairwise(sizes) for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    wide = fs.from_torch(torch.nn.Sequential(*layers).eval(), input_shape=(16,))
    yield "16-96-192-256, random", wide, np.random.default_rng(0).standard_normal((50, 16)), (1, 3, 5)
    if smoke:
        return
    folder = os.environ.get("FIBERSCOPE_EXTERNAL", "")
    if not folder:
        print("FIBERSCOPE_EXTERNAL is not set: Fashion-MNIST's layer, cifar_base_kw and CIFAR-10 images are left out")
        return
    models = Path(folder) / "models"
    module = torch.nn.Sequential(
        torch.nn.Linear(784, 3500),
        torch.nn.ReLU(),
        torch.nn.Linear(3500, 784),
        torch.nn.ReLU(),
        torch.nn.Linear(784, 10),
    )
    module.load_state_dict(load_file(models / "fashion_mlp_3500_784.safetensors"))
    fashion = np.asarray(load_data("fashion-mnist").x, dtype=np.float64).reshape(-1, 784)
    chosen = np.concatenate([[9268], np.arange(49)])
    network = fs.from_torch(module.eval(), input_shape=(784,))
    yield "784-3500, Fashion-MNIST", network, fashion[chosen], (1, 2)
    positives = (network.evaluated(fashion, network.placed_layers[0].stage) > 0).sum(axis=1)
    yield "784-3500, most positive", network, fashion[np.argsort(-positives, kind="stable")[:50]], (1,)
    pictures = np.load(Path(folder) / "data" / "cifar10_test_83.npz")["x"] / 255.0
    yield "cifar_base_kw", fs.load(models / "cifar_base_kw.onnx"), (pictures - MEAN) / DEVIATION, (1,)
    torch.manual_seed(0)
    yield "WideCIFAR, random weights", fs.from_torch(table3().eval(), input_shape=(3, 32, 32)), pictures, (1, 3, 5)


if __name__ == "__main__":
    main()
