"""What chunks, files, processes and a dask cluster cost an audit, and what they save, side by side in one run.

    python benchmarks/chunks.py [--samples 600] [--block 150] [--rounds 3] [--smoke]

A network of random weights, 196-300-200-100, is audited at random samples, on all domains, in these ways, one after the
other in every round; the times are medians over the rounds:

pure        every layer and domain in one call of ``classify``
chunked     the same in chunks as an audit has them, which share fewer proofs, with the layers' inputs computed for each
stored      an audit in this process: the same with its files written, and the manifest
alone       as chunked, but in one thread; the others use all cores
processes   an audit with two processes
dask        an audit with a dask cluster of two processes, if dask is installed

Starting processes takes seconds, whatever is computed; it is printed by itself and left out of the rest. Overheads are
shares of processor time, workers included, which others on the same machine disturb less; what two processes save is
elapsed time, and says something only where two cores are free. All audits must write the same files, byte for byte.
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
from typing import NamedTuple

import numpy as np
import psutil

from fiberscope.audits.compute import Threads, compute
from fiberscope.audits.job import Options, build_job
from fiberscope.audits.plan import Plan, places_of
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.audits.verdicts import Verdicts
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.preimages.classify import classify
from fiberscope.threads import cores, one_thread

SIZES, SMALL = (196, 300, 200, 100), (20, 30, 10)
BOX = (0.0, 1.0)


class Spent(NamedTuple):
    """Seconds: that passed, of all processors, and to start workers before that."""

    elapsed: float
    processor: float
    start: float = 0.0


def main() -> None:
    """Print the times and their shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--block", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="24 samples of a small network, one round, without dask")
    options = parser.parse_args()
    sizes = SMALL if options.smoke else SIZES
    if options.smoke:
        options.samples, options.block, options.rounds = 24, 8, 1
    subject = random_subject(sizes, options.samples)
    layers = tuple(range(len(sizes) - 1))
    blocks = (options.block,) * len(layers)
    plan = Plan(layers, options.samples, BOX, blocks, places_of(subject.network))
    pools = {"stored": (1, ""), "processes": (2, "")}
    if not options.smoke and importlib.util.find_spec("distributed") is not None:
        pools["dask"] = (2, "local")
    print(f"{cores()} cores; {options.samples} samples, {sum(1 for _ in plan.chunks())} chunks")
    chunked(first(subject, 4), replace(plan, samples=4, blocks=(2,) * len(plan.layers)), threads=cores())  # imports
    spent: defaultdict[str, list[Spent]] = defaultdict(list)
    written: list[dict[str, bytes]] = []
    for _ in range(options.rounds):
        spent["pure"].append(pure(subject, plan))
        spent["chunked"].append(chunked(subject, plan, threads=cores()))
        spent["alone"].append(chunked(subject, plan, threads=1))
        for way, (workers, scheduler) in pools.items():
            asked = Options(domain=BOX, workers=workers, block=options.block, scheduler=scheduler)
            with tempfile.TemporaryDirectory() as folder:
                spent[way].append(audited(Path(folder), subject, asked))
                written.append(files(Path(folder) / "audit"))
    assert all(each == written[0] for each in written), "what an audit finds depends on who computes it"
    report({way: np.median(np.array(each), axis=0) for way, each in spent.items()})


def report(medians: dict[str, np.ndarray]) -> None:
    """Print what was measured."""
    middle = {way: Spent(*median.tolist()) for way, median in medians.items()}
    for way, each in middle.items():
        start = f", after {each.start:.1f} s to start" if each.start else ""
        print(f"{way:<10} {each.elapsed:7.2f} s, {each.processor:7.2f} s of processors{start}")
    processor = {way: each.processor for way, each in middle.items()}
    whole = processor["stored"]
    print(
        f"of the processor time of an audit: chunks {(processor['chunked'] - processor['pure']) / whole:+.1%}", end=""
    )
    print(f", files and manifest {(whole - processor['chunked']) / whole:+.1%}", end="")
    print(f", two processes {(processor['processes'] - whole) / whole:+.1%}")
    saved = middle["alone"].elapsed / middle["processes"].elapsed
    print(f"two processes against one thread: {saved:.2f}x as fast, files included")
    if "dask" in processor:
        more = (processor["dask"] - processor["processes"]) / processor["processes"]
        print(f"dask against two processes: {more:+.1%} of processor time")


def random_subject(sizes: tuple[int, ...], samples: int) -> Subject:
    """A network of random weights, and samples in the box."""
    rng = np.random.default_rng(0)
    stages = []
    for position, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        weight = rng.standard_normal((outputs, inputs)) * np.sqrt(2.0 / inputs)
        stages += [affine_stage(f"dense{position}", Dense(weight, 0.1 * rng.standard_normal(outputs)))]
        stages += [relu_stage(f"relu{position}", outputs)]
    network = Network(tuple(stages), (sizes[0],))
    return Subject(network, rng.uniform(*BOX, size=(samples, sizes[0])), None, "random", "random", "")


def first(subject: Subject, samples: int) -> Subject:
    """The first samples alone."""
    return replace(subject, x=subject.x[:samples])


def processors() -> float:
    """Seconds of processors that this process and those that it started have used."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def pure(subject: Subject, plan: Plan) -> Spent:
    """All verdicts, layer by layer and domain by domain."""
    with one_thread():
        inputs = {layer: subject.network.layer_input(layer, subject.x) for layer in plan.layers}
    began, used = time.perf_counter(), processors()
    for layer in plan.layers:
        for named in plan.domains(layer):
            classify(subject.network.relu_layers[layer], inputs[layer], domain=named.domain)
    return Spent(time.perf_counter() - began, processors() - used)


def chunked(subject: Subject, plan: Plan, threads: int) -> Spent:
    """The same in chunks."""
    work, began, used = Verdicts(), time.perf_counter(), processors()
    for chunk in work.chunks(plan):
        compute(work, Threads(items=threads, algebra=1), subject.network, work.task(subject, plan, chunk))
    return Spent(time.perf_counter() - began, processors() - used)


def audited(folder: Path, subject: Subject, options: Options) -> Spent:
    """An audit, after all workers have read the model and judged something."""
    small = build_job(Results(folder / "small"), first(subject, 8), replace(options, block=2))  # for all imports
    whole = build_job(Results(folder / "audit"), subject, options)
    opened = time.perf_counter()
    with closing(whole.open_pool()) as pool:
        list(small.run(pool))
        began, used = time.perf_counter(), processors()
        list(whole.run(pool))
        elapsed, processor = time.perf_counter() - began, processors() - used
    return Spent(elapsed, processor, began - opened if pool.workers > 1 else 0.0)


def files(folder: Path) -> dict[str, bytes]:
    """The findings, certificates and inputs of an audit."""
    paths = [path for part in ("preimages", "certificates", "inputs") for path in (folder / part).iterdir()]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}


if __name__ == "__main__":
    main()
