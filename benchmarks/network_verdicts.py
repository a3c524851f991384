"""What verdicts about the network up to each layer add to an audit, and how many samples they decide.

    python benchmarks/network_verdicts.py [--samples 200] [--networks 20] [--smoke]

The first part audits the demo's network, with its initial weights, and derives the table of network verdicts again; the
ratio is that of the processor time of an audit with the table to that of one without. The second part asks of small
random networks with real weights what share is decided, layer by layer, without and with the search.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from _demo import demo

import fiberscope as fs
from fiberscope.audits.network_table import SECONDS, derive
from fiberscope.audits.store import Results
from fiberscope.cli import main as fiberscope
from fiberscope.preimages.budget import Budget
from fiberscope.recovery.judging import Searched

WIDTHS = (6, 12, 12, 8)


def main() -> None:
    """Print the ratio and the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--smoke", action="store_true", help="2 samples of two layers, and a network, without searches")
    options = parser.parse_args()
    added_to_an_audit(2 if options.smoke else options.samples, layers=2 if options.smoke else 10)
    for seconds in (0,) if options.smoke else (0, 600):
        decided(1 if options.smoke else options.networks, seconds)


def added_to_an_audit(samples: int, layers: int) -> None:
    """Audit the first layers, and derive the table again."""
    network, digits = demo(trained=False)
    network = fs.Network(network.stages[: 2 * layers], network.input_shape)
    with tempfile.TemporaryDirectory() as folder:
        model, data, out = (Path(folder) / name for name in ("model.safetensors", "data.npz", "out"))
        network.save(model)
        np.savez(data, x=digits.x[:samples], y=digits.y[:samples])
        began = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            fiberscope(["audit", str(model), str(data), "--out", str(out), "--domain", "0,1", "--workers", "1"])
        audit = time.process_time() - began
        results = Results(out)
        began = time.process_time()
        derive(results, results.manifest(), results.subject(), lambda _: Searched(Budget.of(SECONDS)))
        table = time.process_time() - began
    print(
        f"demo, {layers} layers, {samples} samples: audit {audit:.1f} s, of which the table {table:.2f} s: "
        f"{audit / (audit - table):.3f}"
    )


def decided(networks: int, seconds: float) -> None:
    """The share of samples that is decided, by layer."""
    counts: Counter[tuple[int, str]] = Counter()
    began = time.process_time()
    for seed in range(networks):
        torch.manual_seed(seed)
        parts = [part for sizes in pairwise(WIDTHS) for part in (torch.nn.Linear(*sizes), torch.nn.ReLU())]
        network = fs.from_torch(torch.nn.Sequential(*parts).double().eval())
        X = np.clip(np.random.default_rng(seed).uniform(-0.3, 1.3, size=(10, WIDTHS[0])), 0, 1)
        table = fs.network_verdicts(network, X, domain=fs.Box(0, 1), seconds=seconds)
        counts.update(zip(table["layer"].to_pylist(), table["verdict"].to_pylist(), strict=True))
    took = time.process_time() - began
    for layer in range(len(WIDTHS) - 1):
        own = {verdict: n for (at, verdict), n in sorted(counts.items()) if at == layer}
        left = own.get("undecided", 0) / sum(own.values())
        print(f"widths {WIDTHS}, {seconds} s for searches, up to layer {layer}: {own}, {1 - left:.0%} decided")
    print(f"  {took:.1f} s of processor time")


if __name__ == "__main__":
    main()
