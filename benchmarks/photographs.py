"""Networks for photographs: seconds, memory and verdicts, layer by layer.

    python benchmarks/photographs.py [--networks vgg16 resnet18 ...] [--width 1.0] [--size 224] [--layers 3] [--smoke]

Public architectures with random weights and statistics of real photographs (``_architectures.py``). Every layer is
asked about what it receives for one photograph, on the domain that the activation before it gives: all of R^n for the
first. Seconds are those of deciding, with its proofs, and of checking the certificate once more, on the clock and in
processor time; memory is the peak of the process so far. With ``--smoke`` every fourth layer of networks with a 64th of
the channels, at 32 x 32.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence

import numpy as np
import torch
from _architectures import ARCHITECTURES, photographs, with_statistics

import fiberscope as fs
from fiberscope.network.domains import Domain
from fiberscope.network.network import Network
from fiberscope.network.stage import INPUT


def main() -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=list(ARCHITECTURES), default=list(ARCHITECTURES))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--width", type=float, default=1.0, help="the share of the channels")
    parser.add_argument("--layers", type=int, nargs="*", help="numbers of layers; all without it")
    parser.add_argument("--seconds", type=float, help="for one layer")
    parser.add_argument("--smoke", action="store_true", help="every fourth layer, a 64th of the channels, 32 x 32")
    options = parser.parse_args()
    width, size = (1 / 64, 32) if options.smoke else (options.width, options.size)
    layers = range(1, 99, 4) if options.smoke else options.layers
    pictures = photographs(size)
    for name in options.networks:
        model = with_statistics(ARCHITECTURES[name](width=width, size=size), pictures)
        began, spent = time.perf_counter(), time.process_time()
        network = fs.from_torch(model, input_shape=(3, size, size))
        del model
        print(f"\n{name}: loaded and compared in {time.perf_counter() - began:.1f} s", end=" ")
        print(f"({time.process_time() - spent:.1f} s of processor time), peak {peak():.2f} GB")
        judged(network, pictures[:1].double().numpy(), layers, options.seconds)


def peak() -> float:
    """Gigabytes that this process took at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def judged(network: Network, X: np.ndarray, numbers: Sequence[int] | None, seconds: float | None) -> None:
    """Ask about the layers."""
    print("layer  inputs   outputs  domain       seconds  processor  checked  peak GB  MB of proof  verdict")
    total = 0.0
    for number, x in inputs_of(network, X):
        placed = network.placed_layers[number]
        if numbers and number not in numbers:
            continue
        began, spent = time.perf_counter(), time.process_time()
        title, domain = domain_of(*placed.received)
        sizes = f"{number:<6} {placed.layer.inputs:<8} {placed.layer.outputs:<8} {title:<12}"
        try:
            found = fs.preimage(placed.layer, x=x, domain=domain, seconds=seconds)
        except fs.FiberscopeError as error:
            print(f"{sizes} not judged: {error}", flush=True)
            continue
        wall, processor = time.perf_counter() - began, time.process_time() - spent
        total += wall
        began = time.perf_counter()
        proved = found.kind == "undecided" or bool(fs.verify(found))
        checked = time.perf_counter() - began
        assert proved, "a verdict that is given is proved"
        megabytes = len(found.certificate.to_bytes()) / 1e6
        dimension = found.dimension_bounds if found.dimension is None else found.dimension
        verdict = f"{found.kind}, dimension {dimension}"
        verdict = f"undecided: {found.reason}" if found.kind == "undecided" else verdict
        print(
            f"{sizes} {wall:7.1f} {processor:10.1f} {checked:8.1f} {peak():8.2f} {megabytes:12.2f}  {verdict}",
            flush=True,
        )
    print(f"{total:.0f} s in all")


def domain_of(low: float, high: float) -> tuple[str, Domain | None]:
    """The domain that bounds of what a layer receives give, and its name."""
    if np.isinf(low) and np.isinf(high):
        return "R^n", None
    return f"[{low:g}, {high:g}]", fs.Box(low, high)


def inputs_of(network: Network, X: np.ndarray):
    """What every layer receives, layer after layer, evaluated once."""
    values = {INPUT: torch.tensor(X.reshape(1, -1))}
    places = {placed.stage: number for number, placed in enumerate(network.placed_layers)}
    needed: dict[int, int] = {}
    for number in range(len(network.stages)):
        for source in network.sources(number):
            needed[source] = number
    for placed in network.placed_layers:
        needed[placed.source] = max(needed.get(placed.source, 0), placed.stage)
    for number, stage in enumerate(network.stages):
        if number in places:
            source = network.placed_layers[places[number]].source
            yield places[number], values[source][0].numpy()
        values[number] = stage.apply(*(values[source] for source in network.sources(number)))
        values = {key: value for key, value in values.items() if needed.get(key, -1) > number}


if __name__ == "__main__":
    main()
