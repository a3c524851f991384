"""What an audit costs, against samples, layers, inputs and neurons; and the figures that scaling_simulation.py needs.

    python benchmarks/scaling.py [--parts all] [--costs costs.json] [--smoke]

Processor time of one thread, so that other work on the machine disturbs little; medians with quartiles. Parts:

verdicts   classify on random layers (He) of many sizes, and the law that fits best
layers     audits in memory of random networks with more and more layers
spectra    spectra at samples of random networks of many widths and depths, and the law that fits best
resnet     every layer of resnet_2b at CIFAR-10 images, chunk by chunk as an audit does it: building a chunk's inputs,
           judging, writing; and its singular values, sample by sample. Needs FIBERSCOPE_EXTERNAL; takes an hour
overheads  what a task costs the process that hands it out: the process pool, dask, and reading the model
store      reading and writing manifests of many chunks; looking through a folder as --resume does; finishing it

``--costs`` adds what was measured to a file, part by part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from fiberscope.audit.run import build_task, judge
from threadpoolctl import threadpool_limits

import fiberscope as fs
from fiberscope.audit.manifest import new_manifest
from fiberscope.audit.plan import Chunk, Plan, SpectraChunk, places_of
from fiberscope.audit.spectra import spectra_at
from fiberscope.audit.store import Results
from fiberscope.audit.subject import Subject
from fiberscope.audit.task import SpectraTask

BLOCK = 12
CIFAR_MEAN, CIFAR_DEVIATION = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time of some work, in seconds, and what it gives."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def quartiles(values: list[float]) -> str:
    """The median, and the quartiles."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def resnet(*, smoke: bool) -> dict[str, Any]:
    """Every layer of resnet_2b, chunk by chunk, and its singular values."""
    folder = os.environ.get("FIBERSCOPE_EXTERNAL")
    if not folder:
        print("resnet: FIBERSCOPE_EXTERNAL is not set: left out")
        return {}
    network = fs.load(Path(folder) / "models/resnet_2b.onnx")
    with np.load(Path(folder) / "data/cifar10_test_83.npz") as data:
        pixels = data["x"].astype(np.float64) / 255
    x = (pixels - np.reshape(CIFAR_MEAN, (1, 3, 1, 1))) / np.reshape(CIFAR_DEVIATION, (1, 3, 1, 1))
    samples, block = (2, 2) if smoke else (3 * BLOCK, BLOCK)
    layers = (5,) if smoke else tuple(range(len(network.relu_layers)))
    subject = Subject(network, x[:samples], None, "resnet_2b", "cifar10", "")
    plan = Plan(layers, samples, None, block, places_of(network))
    with tempfile.TemporaryDirectory() as name:
        results = Results(Path(name))
        results.begin(subject, new_manifest(subject, plan, samples))
        chunks = [one_chunk(results, subject, plan, chunk) for chunk in plan.chunks()]
        table = [one_spectrum(results, subject, sample) for sample in range(1 if smoke else 5)]
        reading = [timed(lambda: fs.load(results.model_path))[0] for _ in range(5)]
    for layer in layers:
        rows = [row for row in chunks if row["layer"] == layer]
        print(f"layer {layer}: {quartiles([row['judging'] / row['verdicts'] for row in rows])} s a verdict")
    print(f"spectra: {quartiles([row['computing'] for row in table])} s a sample")
    return {"block": block, "chunks": chunks, "spectra": table, "reading_the_model": reading}


def one_chunk(results: Results, subject: Subject, plan: Plan, chunk: Chunk) -> dict[str, Any]:
    """Judge and write one chunk, and say what each step took."""
    building, task = timed(lambda: build_task(subject.network, subject.x, plan, chunk))
    judging, result = timed(lambda: judge(subject.network.relu_layers[chunk.layer], task))
    writing, _ = timed(lambda: results.write_chunk(task, result))
    parts = {part: results.path(part, chunk).stat().st_size for part in ("preimages", "certificates", "inputs")}
    row = {
        "layer": chunk.layer,
        "verdicts": len(result.findings),
        "undecided": sum(finding.kind is fs.Kind.UNDECIDED for finding in result.findings),
        "building": building,
        "judging": judging,
        "writing": writing,
        "bytes": parts,
    }
    print(row, flush=True)
    return row


def one_spectrum(results: Results, subject: Subject, sample: int) -> dict[str, Any]:
    """Compute and write the singular values at one sample."""
    task = SpectraTask(SpectraChunk(sample), subject.x[sample])
    computing, table = timed(lambda: spectra_at(subject.network, task))
    writing, _ = timed(lambda: results.spectra.write(task.chunk, table))
    row = {"computing": computing, "writing": writing, "bytes": results.spectra.path(task.chunk).stat().st_size}
    print(row, flush=True)
    return row


PARTS = {"resnet": resnet}


def main() -> None:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="some of them, separated by commas")
    parser.add_argument("--costs", type=Path, help="a JSON file to add the figures to")
    parser.add_argument("--smoke", action="store_true", help="the smallest sizes only")
    options = parser.parse_args()
    threadpool_limits(1)
    costs = json.loads(options.costs.read_text()) if options.costs and options.costs.exists() else {}
    for part in options.parts.split(","):
        costs[part] = PARTS[part](smoke=options.smoke)
        costs["versions"] = {name: version(name) for name in ("numpy", "torch", "highspy", "pyarrow")}
        costs["machine"] = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
        if options.costs:
            options.costs.write_text(json.dumps(costs, indent=1) + "\n")


if __name__ == "__main__":
    main()
