"""What proving a verdict takes beside the checker of the form before, on the same verdicts, side by side in one run.

    python benchmarks/checker_before.py [--samples 20] [--smoke]

The checker before (``tests/old_checker``) reads what deciding found, one claim at a time; this one the certificates
that it is written down as. Both prove each verdict alone, in floats; this one also all of them together. Layers:
(12, 5) of small whole numbers; those of the demo network; (3500, 784), trained on Fashion-MNIST, and those
of a convolutional network for CIFAR-10, where FIBERSCOPE_EXTERNAL names a folder that has them. One thread; processor
time, the least of three. Ratios above 1 say that this one takes longer.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from _demo import demo
from _timing import least
from sign_constrained import network_layers
from threadpoolctl import threadpool_limits
from verdict_time import large_layer

import fiberscope as fs
from fiberscope.preimages import decide
from fiberscope.preimages.verify import verify_in_float, verify_many

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from old_checker.verify import verify_in_float as verify_before

MODEL = "cifar_base_kw"


def main() -> None:
    """Print one line per layer and domain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--smoke", action="store_true", help="five samples of the small layer and the untrained demo")
    options = parser.parse_args()
    threadpool_limits(1)
    samples, rng = 5 if options.smoke else options.samples, np.random.default_rng(0)
    print(f"{'layer':36} {'before, ms':>10} {'now, ms':>8} {'now / before':>12} {'together / before':>17}")
    small = fs.ReLULayer(rng.integers(-2, 3, size=(12, 5)).astype(float), rng.integers(-2, 3, size=12).astype(float))
    compare("(12, 5), whole numbers", small, rng.integers(-2, 3, size=(samples, 5)).astype(float), None)
    network, test = demo(trained=not options.smoke)
    for position, layer in enumerate(network.relu_layers[: 1 if options.smoke else None]):
        inputs = network.layer_input(position, test.x[:samples])
        for domain in (None, fs.Box(0, 1) if position == 0 else fs.NonNegative()):
            compare(f"demo {position}", layer, inputs, domain)
    if not options.smoke:
        _, layer, images = large_layer(samples)
        for domain in (None, fs.Box(0, 1)):
            compare("(3500, 784)", layer, images, domain)
    if not options.smoke and os.environ.get("FIBERSCOPE_EXTERNAL"):
        for name, layer, inputs, domains in network_layers(MODEL, samples):
            for _, domain in domains:
                compare(f"{MODEL} {name}", layer, inputs, domain)


def compare(name: str, layer: fs.ReLULayer, X: np.ndarray, domain: fs.Domain | None) -> None:
    """Decide each sample alone, and prove what both checkers prove."""
    pairs = [found_and_written(layer, x, domain) for x in X]
    both = [(p, before) for p, before in pairs if verify_in_float(p) and verify_before(before)]
    before = least(lambda: [verify_before(claim) for _, claim in both])
    now = least(lambda: [verify_in_float(p) for p, _ in both])
    together = least(lambda: verify_many([p for p, _ in both]))
    where = f"{name} on {'R^n' if domain is None else type(domain).__name__}"
    each = 1e3 / max(len(both), 1)
    print(
        f"{where:36} {each * before:>10.3f} {each * now:>8.3f} {now / before:>12.2f} {together / before:>17.2f}", end=""
    )
    print(f"  {len(both)} of {len(X)} proved by both", flush=True)


def found_and_written(layer: fs.ReLULayer, x: np.ndarray, domain: fs.Domain | None) -> tuple[fs.Preimage, Any]:
    """A verdict, and the same one with what deciding found in place of its certificate."""
    found: list[Any] = []
    elaborate = decide.elaborate

    def recorded(question: Any, candidate: Any, system: Any) -> Any:
        found.append(candidate)
        return elaborate(question, candidate, system)

    decide.elaborate = recorded
    try:
        p = fs.preimage(layer, x=x, domain=domain)
    finally:
        decide.elaborate = elaborate
    said = {"layer": layer, "domain": domain, "x": p.x, "y": p.y, "kind": p.kind, "dimension": p.dimension}
    return p, SimpleNamespace(**said, certificate=found[-1])


if __name__ == "__main__":
    main()
