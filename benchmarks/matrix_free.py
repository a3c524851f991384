"""Singular values of VGG-16's local linear maps without their matrices, and time per product beside torch's jvp.

    python benchmarks/matrix_free.py [--size 224] [--stages 2 7 13] [--count 10] [--probes 10] [--steps 30]
                                     [--windows 7] [--side 32] [--smoke]

The network is configuration D of Simonyan & Zisserman (Very deep convolutional networks, 2015) up to a convolution,
with fresh He weights; the input is one image of uniform noise. Convolutions are counted from 1 to 13. The matrix of the
second one at 224 x 224 would have 3,211,264 x 150,528 numbers. Each stage runs in a process of its own, for its own
peak memory. With ``--windows``, all singular values of the maps restricted to a window in the middle of the image, up
to each of the first convolutions: the paper's route to ImageNet. Both sides of the ratio work in float64 on the CPU, on
the same batch, with all cores; torch's is ``torch.func.jvp`` of the same layers, once vector by vector and once under
``vmap``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import torch
from torch import nn

import fiberscope as fs
from fiberscope.stability.density import SpectralDensity, spectral_density
from fiberscope.stability.extreme import ExtremeValues, extreme_singular_values
from fiberscope.stability.factorizations import Method
from fiberscope.stability.linearization import Linearization, linearize
from fiberscope.stability.singular_values import local_spectrum

CONFIGURATION_D = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
BATCH = 4
"""Vectors per product where time is taken."""
REPEATS = 3
RANK_TOLERANCE = 1e-3
"""Of the largest value: few nodes say nothing about much smaller values."""


def main() -> None:
    """Print one section per stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--stages", type=int, nargs="+", default=[2, 7, 13], help="convolutions, from 1 to 13")
    parser.add_argument("--count", type=int, default=10, help="largest singular values")
    parser.add_argument("--probes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--windows", type=int, default=7, help="convolutions whose windowed spectrum is computed")
    parser.add_argument("--side", type=int, default=32, help="side of the window")
    parser.add_argument("--smoke", action="store_true", help="1/16 of the channels, 32 x 32, one stage, fewer steps")
    options = parser.parse_args()
    size, thinner = (32, 16) if options.smoke else (options.size, 1)
    count, probes, steps = (3, 2, 5) if options.smoke else (options.count, options.probes, options.steps)
    stages = [2] if options.smoke else options.stages
    windows, side = (3, 12) if options.smoke else (options.windows, options.side)
    print(f"VGG-16 at 3 x {size} x {size}" + (f", 1/{thinner} of the channels" if thinner > 1 else ""))
    for number in stages:
        with one_process(smoke=options.smoke) as pool:
            print(pool.submit(measure, number, size, thinner, count, probes, steps).result(), flush=True)
    if windows:
        with one_process(smoke=options.smoke) as pool:
            pool.submit(windowed, windows, size, thinner, side).result()


def one_process(*, smoke: bool) -> Executor:
    """A process for one piece of work; a thread of this one where its peak memory does not matter."""
    if smoke:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def windowed(convolutions: int, size: int, thinner: int, side: int) -> None:
    """Print all singular values in a window of the image, convolution after convolution."""
    module = layers_up_to(convolutions, thinner)
    x = np.random.default_rng(0).uniform(size=(3, size, size))
    net = fs.from_torch(module, input_shape=x.shape)
    first = (size - side) // 2
    inside = np.s_[:, first : first + side, first : first + side]
    print(f"\nwindow of {side} x {side} pixels in the middle: {3 * side * side:,} columns")
    for count, number in enumerate((n for n, stage in enumerate(net.stages) if stage.maps), start=1):
        began = time.perf_counter()
        J = linearize(net, x, number).window(inside)
        rows = J.rows()
        middle = time.perf_counter()
        s = local_spectrum(J, rows, Method.AUTO)
        print(
            f"  convolution {count}: {len(rows.units):,} of {J.shape[0]:,} rows, in windows of {rows.window}; "
            f"{middle - began:.1f} s for them; all values {time.perf_counter() - middle:.1f} s by {s.method}: rank "
            f"{s.rank:,}, {s.largest:.4g} to {s.smallest_nonzero:.4g}, condition number {s.condition_number:.4g}; "
            f"resolved above {s.tolerance / s.largest:.1g} of the largest; peak "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB",
            flush=True,
        )
        del rows


def layers_up_to(convolution: int, thinner: int) -> nn.Sequential:
    """The layers of VGG-16 up to a convolution, counted from 1, and with it."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    inputs, convolutions = 3, 0
    for width in CONFIGURATION_D:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
            continue
        layer = nn.Conv2d(inputs, width // thinner, 3, padding=1)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        layers.append(layer)
        inputs, convolutions = width // thinner, convolutions + 1
        if convolutions == convolution:
            return nn.Sequential(*layers).eval()
        layers.append(nn.ReLU())
    raise SystemExit(f"--stages: expected convolutions from 1 to {convolutions}, got {convolution}")


def measure(convolution: int, size: int, thinner: int, count: int, probes: int, steps: int) -> str:
    """What is printed about one stage."""
    module = layers_up_to(convolution, thinner)
    x = np.random.default_rng(0).uniform(size=(3, size, size))
    J = linearize(fs.from_torch(module, input_shape=x.shape), x)
    began = time.perf_counter()
    largest = extreme_singular_values(J, count)
    middle = time.perf_counter()
    density = spectral_density(J, probes=probes, steps=steps)
    ended = time.perf_counter()
    m, n = J.shape
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # before torch's products, which take more
    products, ratios = time_per_product(J, module, x)
    lines = [
        f"\nconvolution {convolution}: {m:,} x {n:,}; the matrix would take {8 * m * n / 1e9:,.1f} GB, "
        f"this process took {peak:.1f} GB at most: 1/{8 * m * n / 1e9 / peak:,.0f}",
        *about_largest(largest, middle - began),
        *about_density(density, largest.values[0], ended - middle),
        *(f"  {name:<10} {seconds * 1e3:>9.1f} ms per vector" for name, seconds in products.items()),
        "  J V is " + ", ".join(f"{ratio:.2f}x as fast as {name}" for name, ratio in ratios.items()),
    ]
    return "\n".join(lines)


def about_largest(found: ExtremeValues, seconds: float) -> list[str]:
    """The largest singular values, with their bounds."""
    state = "all converged" if found.converged.all() else found.reason
    pairs = [f"{s:.6g} ± {b:.1g}" for s, b in zip(found.values, found.error_bound, strict=True)]
    return [f"  largest: {found.products} products, {seconds:.1f} s, {state}", "    " + ", ".join(pairs)]


def about_density(density: SpectralDensity, largest: float, seconds: float) -> list[str]:
    """Quartiles and numerical rank, with what chance and the nodes leave open."""
    quartiles = [
        f"{share:.0%}: {value:.3g} ({low:.3g} to {high:.3g})"
        for share in (0.25, 0.5, 0.75)
        for value, low, high in [density.quantile(share)]
    ]
    tolerance = RANK_TOLERANCE * largest
    rank, error = density.rank(tolerance)
    low, high = density.bracket([tolerance])
    return [
        f"  density: {density.products} products, {seconds:.1f} s; quartiles within one standard error",
        "    " + ", ".join(quartiles),
        f"    {rank:,.0f} ± {error:,.0f} of {density.size:,} values above {RANK_TOLERANCE:g} of the largest; "
        f"the nodes prove {density.size - high[0]:,.0f} to {density.size - low[0]:,.0f} for these probes",
    ]


def time_per_product(J: Linearization, module: nn.Module, x: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds per vector of every way to multiply, and how many times as fast as torch's the batched one is."""
    double = module.double()
    point = torch.tensor(x)

    def push(v: torch.Tensor) -> torch.Tensor:
        return torch.func.jvp(lambda p: double(p[None]).flatten(), (point,), (v,))[1]

    V = np.random.default_rng(1).standard_normal((J.shape[1], BATCH))
    U = np.random.default_rng(2).standard_normal((J.shape[0], BATCH))
    tangents = torch.tensor(V.T.copy()).reshape(BATCH, *x.shape)
    ways: dict[str, Callable[[], object]] = {
        "J V": lambda: J @ V,
        "J^T U": lambda: J.T @ U,
        "jvp": lambda: torch.stack([push(v) for v in tangents]),
        "vmap(jvp)": lambda: torch.func.vmap(push)(tangents),
    }
    with torch.no_grad():
        error = np.abs(J @ V - ways["jvp"]().numpy().T).max()
        assert error <= 1e-9 * np.abs(J @ V).max(), "both are the same map"
        seconds = dict.fromkeys(ways, np.inf)
        for _ in range(REPEATS):  # in turn, so that what else runs on the machine slows all alike
            for name, way in ways.items():
                began = time.perf_counter()
                way()
                seconds[name] = min(seconds[name], (time.perf_counter() - began) / BATCH)
    return seconds, {name: seconds[name] / seconds["J V"] for name in ("jvp", "vmap(jvp)")}


if __name__ == "__main__":
    main()
