"""All singular values of all stages of WideCIFAR, beside the plain way: torch.func.jacrev, then torch.linalg.svdvals.

    python benchmarks/spectra.py [--table 3|4] [--samples 1] [--stages 0 1 ...] [--medians 50] [--smoke]

The network is the convolutions of table 3 (WideCIFAR) or 4 (ThinCIFAR), 12 stages, with fresh Glorot weights; the
images are the real CIFAR-10 test images in the folder that FIBERSCOPE_EXTERNAL names, or uniform noise without it. Both
sides of the ratio work in float64 on the CPU with all cores, on the same samples, in turn. The largest deviation is
that of any of our values from the plain one, divided by our bound. With ``--medians``, our way alone at so many
samples: figure 4's three curves.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

import fiberscope as fs
from fiberscope.demo.perceptron import glorot
from fiberscope.stability import gram_eigenvalues as module_of_eigenvalues
from fiberscope_paper.architectures import table3, table4

CONVOLUTIONAL = 18
"""Parts of the architectures before the dense layers: padding, convolution and ReLU, six times."""


def main() -> None:
    """Print the ratio, and medians where they are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=int, choices=[3, 4], default=3)
    parser.add_argument("--samples", type=int, default=1, help="samples at which both ways are compared")
    parser.add_argument("--stages", type=int, nargs="+", default=list(range(12)))
    parser.add_argument("--medians", type=int, default=0, help="samples for figure 4, without the plain way")
    parser.add_argument("--smoke", action="store_true", help="an 8 x 8 corner of one image")
    options = parser.parse_args()
    module, images, data = subject(options.table, options.smoke)
    net = fs.from_torch(module, input_shape=images.shape[1:])
    shapes = ", ".join(f"{net.stages[number].outputs:,}" for number in options.stages)
    print(f"table {options.table}, Glorot weights; {data}; {net.inputs} inputs, stages of {shapes} outputs")
    if options.samples:
        compare(module, net, images[: options.samples], options.stages)
    if options.medians:
        medians(net, images[: options.medians], options.stages)


def subject(table: int, smoke: bool) -> tuple[nn.Sequential, np.ndarray, str]:
    """The convolutions of an architecture, images, and what they are."""
    module = (table3 if table == 3 else table4)()[:CONVOLUTIONAL].double().eval()
    glorot(module, torch.Generator().manual_seed(0))
    folder = os.environ.get("FIBERSCOPE_EXTERNAL")
    if folder:
        images = np.load(Path(folder) / "data" / "cifar10_test_83.npz")["x"] / 255.0
        data = f"{len(images)} real CIFAR-10 test images"
    else:
        images, data = np.random.default_rng(0).uniform(size=(50, 3, 32, 32)), "uniform noise, no real images"
    return module, images[:1, :, :8, :8] if smoke else images, data


def compare(module: nn.Sequential, net: fs.Network, images: np.ndarray, stages: list[int]) -> None:
    """Both ways at the same samples, sample by sample and stage by stage."""
    ours, plain, jacobians, eigen = 0.0, 0.0, 0.0, 0.0
    worst, zeros = 0.0, 0.0
    ends = [number for number, part in enumerate(module) if not isinstance(part, nn.ZeroPad2d)]
    for image in images:
        with Stopwatch() as inside:
            began = time.perf_counter()
            table = fs.spectra(net, image[None], stages=stages).to_pylist()
            ours += time.perf_counter() - began
        eigen += inside.seconds
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"  ours: {ours:.1f} s so far, peak memory of the process {peak:.2f} GB", flush=True)
        for row in table:
            began = time.perf_counter()
            part = module[: ends[row["stage"]] + 1]
            with torch.no_grad():
                J = torch.func.jacrev(lambda p, part=part: part(p[None]).flatten())(torch.tensor(image))
                middle = time.perf_counter()
                values = torch.linalg.svdvals(J.reshape(len(J), -1)).numpy()
            plain += time.perf_counter() - began
            jacobians += middle - began
            bound = np.array(row["error_bound"])
            deviation = np.abs(np.array(row["values"]) - values)
            nonzero = bound > 0
            worst = max(worst, float((deviation[nonzero] / bound[nonzero]).max()))
            zeros = max(zeros, float(deviation[~nonzero].max(initial=0.0) / values[0]))
            print(
                f"  stage {row['stage']:>2}: rank {row['rank']:>4}, condition number {row['condition_number']:>9.3g} "
                f"by {row['method']}; {middle - began:.1f} + {time.perf_counter() - middle:.1f} s the plain way",
                flush=True,
            )
    print(f"ours {ours / len(images):.1f} s a sample, {eigen / ours:.0%} of it eigenvalues of Gram matrices")
    print(f"plain {plain / len(images):.1f} s a sample, {jacobians / plain:.0%} of it Jacobians")
    print(
        f"ratio {plain / ours:.1f}x; largest deviation / bound {worst:.3f}; where ours is exactly zero, because "
        f"ReLUs left too few rows, the plain way gives up to {zeros:.1g} of the largest value"
    )


def medians(net: fs.Network, images: np.ndarray, stages: list[int]) -> None:
    """Figure 4's curves over our own spectra."""
    began = time.perf_counter()
    table = fs.spectra(net, images, stages=stages).to_pandas()
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{len(images)} samples: {seconds:.0f} s, {seconds / len(images):.1f} s each; peak memory {peak:.2f} GB")
    print("stage  outputs  median nonzero  median condition number  methods")
    for number, rows in table.groupby("stage"):
        methods = ", ".join(f"{name} {count}" for name, count in rows["method"].value_counts().items())
        print(
            f"{number:>5}  {rows['outputs'].iloc[0]:>7,}  {rows['rank'].median():>14,.0f}  "
            f"{rows['condition_number'].median():>23.4g}  {methods}"
        )


class Stopwatch:
    """Time spent in tridiagonalization and in the eigenvalues of the tridiagonal matrix."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lapack: Any = module_of_eigenvalues._lapack
        self._patch = mock.patch.object(module_of_eigenvalues, "_lapack", self)

    def __enter__(self) -> Stopwatch:
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._lapack, name)
        if name not in ("dsytrd", "dsterf"):
            return function

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds += time.perf_counter() - began

        return timed


if __name__ == "__main__":
    main()
