"""How many files and functions of the package one call passes, on the smallest examples: ``python tools/hops.py``.

    python tools/hops.py [--calls preimage,load] [--list]

A call is counted after it was made once, so that what is loaded at first use does not count. ``--list`` names the
functions, by file, with how often each was called.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

import fiberscope as fs

PACKAGE = str(Path(fs.__file__).parent) + "/"


def passed(call: Callable[[], object]) -> Counter[tuple[str, str]]:
    """How often each function of the package is entered, by file and name; comprehensions are part of theirs."""
    found: Counter[tuple[str, str]] = Counter()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<"):
            found[code.co_filename[len(PACKAGE) :], code.co_qualname] += 1

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


def stored_model(folder: Path) -> Path:
    """A perceptron with two hidden layers, exported by torch."""
    torch.manual_seed(0)
    sizes = (8, 12, 6)
    hidden = [each for n, m in itertools.pairwise(sizes) for each in (torch.nn.Linear(n, m), torch.nn.ReLU())]
    module = torch.nn.Sequential(*hidden, torch.nn.Linear(sizes[-1], 3)).eval()
    program = torch.export.export(
        module, (torch.zeros(2, sizes[0]),), dynamic_shapes=({0: torch.export.Dim("samples")},)
    )
    path = folder / "model.pt2"
    torch.export.save(program, path)
    return path


def calls(folder: Path) -> dict[str, Callable[[], object]]:
    """What is counted."""
    rng = np.random.default_rng(0)
    layer = fs.ReLULayer(rng.normal(size=(12, 6)), rng.normal(size=12))
    x, X = rng.normal(size=6), rng.normal(size=(20, 6))
    preimage, path = fs.preimage(layer, x=x), stored_model(folder)
    network, box = fs.load(path, trust=True), fs.Box(0, 1)
    source, target, samples = rng.uniform(size=8), rng.uniform(size=8), rng.uniform(size=(4, 8))
    return {
        "preimage": lambda: fs.preimage(layer, x=x),
        "classify": lambda: fs.classify(layer, X),
        "verify": lambda: fs.verify(preimage),
        "load": lambda: fs.load(path, trust=True),
        "invariance_example": lambda: fs.invariance_example(network, source, target=target, layer=0, domain=box),
        "audit": lambda: fs.audit(network, samples, domain=box, progress=False),
    }


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(description="Count the files and functions of the package that one call passes.")
    parser.add_argument("--calls", help="some of them, separated by commas")
    parser.add_argument("--list", action="store_true", help="name the functions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, call in calls(Path(folder)).items():
            if options.calls and name not in options.calls.split(","):
                continue
            call()
            found = passed(call)
            files = len({file for file, _ in found})
            print(f"{name:20s} {files:4d} files {len(found):5d} functions {found.total():7d} calls", flush=True)
            if options.list:
                for (file, function), count in sorted(found.items()):
                    print(f"    {file:40s} {function} {count}")


if __name__ == "__main__":
    main()
