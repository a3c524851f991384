"""What chunks, files, processes and a dask cluster cost an audit, and what they save, side by side in one run.

    python benchmarks/chunks.py [--samples 2000] [--block 250] [--rounds 3] [--smoke]

A network of random weights, 196-300-200-100, is audited at random samples, on all domains, in these ways, one after the
other in every round; the times are medians over the rounds:

pure        every layer and domain in one call of ``classify``
chunked     the same in chunks as an audit has them, which share fewer proofs, with the layers' inputs computed for each
stored      an audit in this process: the same with its files written, and the manifest
alone       as chunked, but in one thread; the others use all cores
processes   an audit with two processes
dask        an audit with a dask cluster of two processes, if dask is installed

Starting processes takes seconds, whatever is computed; it is printed by itself and left out of the shares. All audits
must write the same files, byte for byte.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import tempfile
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from fiberscope.audit.compute import Threads, compute
from fiberscope.audit.job import Options, build_job
from fiberscope.audit.plan import Plan, places_of
from fiberscope.audit.store import Results
from fiberscope.audit.subject import Subject
from fiberscope.audit.verdicts import Verdicts
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.preimage.classify import classify
from fiberscope.threads import cores, one_thread

SIZES = (196, 300, 200, 100)
BOX = (0.0, 1.0)


def main() -> None:
    """Print the times and their shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--block", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="60 samples, one round")
    options = parser.parse_args()
    if options.smoke:
        options.samples, options.block, options.rounds = 60, 20, 1
    subject = random_subject(options.samples)
    plan = Plan(tuple(range(len(SIZES) - 1)), options.samples, BOX, options.block, places_of(subject.network))
    pools = {"stored": (1, ""), "processes": (2, "")}
    if importlib.util.find_spec("distributed") is not None:
        pools["dask"] = (2, "local")
    print(f"{cores()} cores; {options.samples} samples, {sum(1 for _ in plan.chunks())} chunks")
    chunked(first(subject, 4), replace(plan, samples=4, block=2), threads=cores())  # imports
    times: defaultdict[str, list[float]] = defaultdict(list)
    starts: defaultdict[str, list[float]] = defaultdict(list)
    written: list[dict[str, bytes]] = []
    for _ in range(options.rounds):
        times["pure"].append(pure(subject, plan))
        times["chunked"].append(chunked(subject, plan, threads=cores()))
        times["alone"].append(chunked(subject, plan, threads=1))
        for way, (workers, scheduler) in pools.items():
            asked = Options(domain=BOX, workers=workers, block=options.block, scheduler=scheduler)
            with tempfile.TemporaryDirectory() as folder:
                start, seconds = audited(Path(folder), subject, asked)
                written.append(files(Path(folder) / "audit"))
            times[way].append(seconds)
            starts[way].append(start)
    assert all(each == written[0] for each in written), "what an audit finds depends on who computes it"
    report({way: float(np.median(each)) for way, each in times.items()}, starts)


def report(times: dict[str, float], starts: dict[str, list[float]]) -> None:
    """Print what was measured."""
    for way, seconds in times.items():
        start = f", after {np.median(starts[way]):.1f} s to start" if way in starts and way != "stored" else ""
        print(f"{way:<10} {seconds:7.2f} s{start}")
    whole = times["stored"]
    print(f"of an audit in one process: chunks {(times['chunked'] - times['pure']) / whole:+.1%}", end="")
    print(f", files and manifest {(whole - times['chunked']) / whole:+.1%}")
    print(f"two processes against one thread: {times['alone'] / times['processes']:.2f}x as fast, files included")
    if "dask" in times:
        more = (times["dask"] - times["processes"]) / times["processes"]
        print(f"dask against two processes: {more:+.1%} of the run")


def random_subject(samples: int) -> Subject:
    """A network of random weights, and samples in the box."""
    rng = np.random.default_rng(0)
    stages = []
    for position, (inputs, outputs) in enumerate(itertools.pairwise(SIZES)):
        weight = rng.standard_normal((outputs, inputs)) * np.sqrt(2.0 / inputs)
        stages += [affine_stage(f"dense{position}", Dense(weight, 0.1 * rng.standard_normal(outputs)))]
        stages += [relu_stage(f"relu{position}", outputs)]
    network = Network(tuple(stages), (SIZES[0],))
    return Subject(network, rng.uniform(*BOX, size=(samples, SIZES[0])), None, "random", "random", "")


def first(subject: Subject, samples: int) -> Subject:
    """The first samples alone."""
    return replace(subject, x=subject.x[:samples])


def pure(subject: Subject, plan: Plan) -> float:
    """Seconds for all verdicts, layer by layer and domain by domain."""
    with one_thread():
        inputs = {layer: subject.network.layer_input(layer, subject.x) for layer in plan.layers}
    began = time.perf_counter()
    for layer in plan.layers:
        for named in plan.domains(layer):
            classify(subject.network.relu_layers[layer], inputs[layer], domain=named.domain)
    return time.perf_counter() - began


def chunked(subject: Subject, plan: Plan, threads: int) -> float:
    """Seconds for the same in chunks."""
    work, began = Verdicts(), time.perf_counter()
    for task in work.tasks(subject, plan, work.chunks(plan)):
        compute(work, Threads(items=threads, algebra=1), subject.network, task)
    return time.perf_counter() - began


def audited(folder: Path, subject: Subject, options: Options) -> tuple[float, float]:
    """Seconds until all workers have read the model and judged something, and for the audit after that."""
    small = build_job(Results(folder / "small"), first(subject, 8), replace(options, block=2))  # for all imports
    whole = build_job(Results(folder / "audit"), subject, options)
    began = time.perf_counter()
    with closing(whole.open_pool()) as pool:
        list(small.run(pool))
        started = time.perf_counter()
        list(whole.run(pool))
    return started - began, time.perf_counter() - started


def files(folder: Path) -> dict[str, bytes]:
    """The findings, certificates and inputs of an audit."""
    paths = [path for part in ("preimages", "certificates", "inputs") for path in (folder / part).iterdir()]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}


if __name__ == "__main__":
    main()
