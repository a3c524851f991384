"""What an audit costs, against samples, layers, inputs and neurons; and the figures that scaling_simulation.py needs.

    python benchmarks/scaling.py [--parts all] [--costs costs.json] [--smoke]

Processor time of one thread, so that other work on the machine disturbs little; medians with quartiles. Parts:

verdicts   verdicts of random layers (He) of many sizes, and the power law that fits best
layers     audits of random networks of more and more layers, without files
spectra    spectra of random networks of many widths and depths, and the power law that fits best
resnet     every layer of resnet_2b at CIFAR-10 images, chunk by chunk as an audit does it: building a chunk's inputs,
           judging, writing; and its singular values, sample by sample. Needs FIBERSCOPE_EXTERNAL; takes ten minutes of
           an idle core
overheads  what a task costs the process that hands it out and keeps the ledger: processes, and dask
store      chunks of that size: writing, looking at them as --resume does, and finishing; ledgers of many chunks
findings   a million findings of a small network, through the commands: audit, verify, report, and a comparison of the
           folder with itself; takes a quarter of an hour of an idle core. Where Chromium is there, the page is opened

``--costs`` adds what was measured to a file, part by part.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import fiberscope as fs
from fiberscope.audits.compute import Orders, Threads
from fiberscope.audits.dask_workers import DaskWorkers
from fiberscope.audits.effort import sensible_blocks
from fiberscope.audits.execution import count_findings
from fiberscope.audits.findings import Finding, certificate_id
from fiberscope.audits.finished import finished
from fiberscope.audits.ledger import Entry, Ledger, OpenLedger, Stamp
from fiberscope.audits.manifest import new_manifest
from fiberscope.audits.plan import Chunk, Plan, SpectraChunk, places_of
from fiberscope.audits.pool import Pool, spread
from fiberscope.audits.spectra import Spectra, SpectraTask
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.audits.verdicts import ChunkResult, Task, Verdicts
from fiberscope.audits.workers import Processes
from fiberscope.files import write_file
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage

BLOCK, INPUTS, CERTIFICATE = 12, 2048, 30_000
"""Of the larger layers of resnet_2b: samples per chunk, inputs, bytes of a certificate."""

SMALL, MANY_SAMPLES = (8, 12, 12, 12), 170_000
"""Inputs and units of a network whose layers are judged on two domains each, and samples for a million findings."""

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


def rounded(value: Any) -> Any:
    """The same with numbers of four digits: more are not known of any time."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


# ---- power laws


def law(rows: list[dict[str, float]], *names: str) -> dict[str, Any]:
    """The power law of the seconds in some quantities: least squares of the logarithms.

    Its error is the factor by which a measured value typically differs from it.
    """
    A = np.column_stack([np.ones(len(rows)), *(np.log([row[name] for row in rows]) for name in names)])
    b = np.log([row["seconds"] for row in rows])
    solution, *_ = np.linalg.lstsq(A, b, rcond=None)
    residual = b - A @ solution
    variance = float(residual @ residual) / max(1, len(b) - A.shape[1])
    errors = np.sqrt(variance * np.diag(np.linalg.pinv(A.T @ A)))
    powers = {name: (float(p), float(e)) for name, p, e in zip(names, solution[1:], errors[1:], strict=True)}
    words = " * ".join(f"{name}^({p:.2f} +- {e:.2f})" for name, (p, e) in powers.items())
    print(f"  seconds = {np.exp(solution[0]):.3g} * {words}, within a factor of {np.exp(np.sqrt(variance)):.2f}")
    return {"rows": rows, "factor": float(np.exp(solution[0])), "powers": powers, "error": float(np.sqrt(variance))}


def random_network(sizes: tuple[int, ...], seed: int) -> Network:
    """Dense layers with random weights (He), each followed by a ReLU."""
    rng, stages = np.random.default_rng(seed), []
    for position, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        weight = rng.standard_normal((outputs, inputs)) * np.sqrt(2.0 / inputs)
        stages += [affine_stage(f"dense{position}", Dense(weight, 0.1 * rng.standard_normal(outputs)))]
        stages += [relu_stage(f"relu{position}", outputs)]
    return Network(tuple(stages), (sizes[0],))


def verdicts(*, smoke: bool) -> dict[str, Any]:
    """One random layer after the other, at normal samples, on all of R^n."""
    rows: list[dict[str, float]] = []
    inputs, samples = ((16, 32), (8, 32)) if smoke else ((64, 128, 256, 512), (32, 128, 512))
    fs.classify(fs.ReLULayer(np.eye(3)), np.ones((2, 3)))  # imports
    for seed, n, ratio, count in itertools.product(range(1 if smoke else 2), inputs, (1, 2, 4), samples):
        rng = np.random.default_rng(seed)
        layer = fs.ReLULayer(rng.standard_normal((ratio * n, n)) * np.sqrt(2.0 / n), np.zeros(ratio * n))
        X = rng.standard_normal((count, n))
        seconds, judged = timed(lambda layer=layer, X=X: fs.classify(layer, X, threads=1))
        kind = max(set(judged.kind.tolist()), key=judged.kind.tolist().count)
        rows.append({"inputs": n, "neurons": ratio * n, "samples": count, "kind": kind, "seconds": seconds / count})
        print(rows[-1], flush=True)
    each = [{**row, "neurons/inputs": row["neurons"] / row["inputs"]} for row in rows]
    laws: dict[str, Any] = {}
    for ratio in (1, 2, 4):
        print(f"a verdict, {ratio} neurons per input:")
        laws[str(ratio)] = law([row for row in each if row["neurons/inputs"] == ratio], "inputs", "samples")
    return laws


def layers(*, smoke: bool) -> dict[str, Any]:
    """Networks of more and more layers of 64 neurons, at 60 samples."""
    rows: list[dict[str, float]] = []
    for seed, depth in itertools.product(range(1 if smoke else 3), (2, 4) if smoke else (2, 4, 8, 16)):
        network = random_network((64,) * (depth + 1), seed)
        x = np.random.default_rng(seed).uniform(size=(12 if smoke else 60, 64))
        subject, plan, work = Subject(network, x, None, "", "", ""), Plan(tuple(range(depth)), len(x)), Verdicts()

        def judged(subject: Subject = subject, plan: Plan = plan, work: Verdicts = work) -> None:
            for chunk in plan.chunks():
                work.compute(subject.network, work.task(subject, plan, chunk), 1)

        rows.append({"layers": depth, "seconds": timed(judged)[0]})
    print("all verdicts of 60 samples, on all domains:")
    return law(rows, "layers")


def spectra(*, smoke: bool) -> dict[str, Any]:
    """Random networks of equal layers, at three samples each."""
    rows: list[dict[str, float]] = []
    widths, depths = ((16, 32), (1, 2)) if smoke else ((64, 128, 256), (1, 2, 4, 8))
    for width, depth in itertools.product(widths, depths):
        network = random_network((width,) * (depth + 1), 0)
        X, work = np.random.default_rng(1).standard_normal((3, width)), Spectra()
        for sample, x in enumerate(X):
            task = SpectraTask(SpectraChunk(sample), x)
            work.compute(network, task, 1) if sample == 0 else None  # first calls
            seconds, _ = timed(lambda network=network, task=task, work=work: work.compute(network, task, 1))
            rows.append({"width": width, "layers": depth, "seconds": seconds})
    print("singular values of all stages at a sample, inputs and neurons alike:")
    return law([row for row in rows if row["width"] >= 128] if not smoke else rows, "width", "layers")


# ---- a network of convolutions


def resnet(*, smoke: bool) -> dict[str, Any]:
    """Every layer of resnet_2b, chunk by chunk, and its singular values; or the last of a smaller network."""
    folder = os.environ.get("FIBERSCOPE_EXTERNAL")
    if not folder:
        print("resnet: FIBERSCOPE_EXTERNAL is not set: left out")
        return {}
    name = "cifar_base_kw" if smoke else "resnet_2b"
    network = fs.load(Path(folder) / f"models/{name}.onnx")
    with np.load(Path(folder) / "data/cifar10_test_83.npz") as data:
        pixels = data["x"].astype(np.float64) / 255
    x = (pixels - np.reshape(CIFAR_MEAN, (1, 3, 1, 1))) / np.reshape(CIFAR_DEVIATION, (1, 3, 1, 1))
    samples, block = (2, 2) if smoke else (3 * BLOCK, BLOCK)
    layers = tuple(range(len(network.relu_layers)))[-1 if smoke else 0 :]
    subject = Subject(network, x[:samples], None, name, "cifar10", "")
    plan = Plan(layers, samples, None, (block,) * len(layers), places_of(network))
    with tempfile.TemporaryDirectory() as directory:
        results = Results(Path(directory))
        results.begin(subject, new_manifest(subject, plan, samples))
        chunks = [one_chunk(results, subject, plan, chunk) for chunk in plan.chunks()]
        table = [one_spectrum(results, subject, sample) for sample in range(1 if smoke else 5)]
        reading = [timed(lambda: fs.load(results.model_path))[0] for _ in range(5)]
    for layer in layers:
        rows = [row for row in chunks if row["layer"] == layer]
        print(f"layer {layer}: {quartiles([row['judging'] / row['verdicts'] for row in rows])} s a verdict")
    print(f"spectra: {quartiles([row['computing'] for row in table])} s a sample")
    blocks = dict(zip(map(str, layers), sensible_blocks(network, layers), strict=True))
    return {"block": block, "blocks": blocks, "chunks": chunks, "spectra": table, "reading_the_model": reading}


def one_chunk(results: Results, subject: Subject, plan: Plan, chunk: Chunk) -> dict[str, Any]:
    """Judge and write one chunk, and say what each step took."""
    work = Verdicts()
    building, task = timed(lambda: work.task(subject, plan, chunk))
    judging, result = timed(lambda: work.compute(subject.network, task, 1))
    writing, _ = timed(lambda: results.write(chunk, work.files(task, result)))
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
    work, task = Spectra(), SpectraTask(SpectraChunk(sample), subject.x[sample])
    computing, table = timed(lambda: work.compute(subject.network, task, 1))
    writing, _ = timed(lambda: results.write(task.chunk, work.files(task, table)))
    row = {"computing": computing, "writing": writing, "bytes": results.spectra.path(task.chunk).stat().st_size}
    print(row, flush=True)
    return row


# ---- what is done by one process alone


def overheads(*, smoke: bool) -> dict[str, Any]:
    """Chunks that nobody computes: what they cost this process with its ledger, the scheduler of dask in it."""
    count = 40 if smoke else 600
    pools: dict[str, Callable[[], Pool]] = {"processes": lambda: Processes(1)}
    if importlib.util.find_spec("distributed") is not None:
        pools["dask"] = lambda: DaskWorkers("local", 1)
    found: dict[str, Any] = {}
    network = random_network((INPUTS,) * 7, 0) if not smoke else random_network((4, 4), 0)
    subject = Subject(network, np.zeros((1, network.inputs)), None, "", "", "")
    manifest = new_manifest(subject, Plan(tuple(range(len(network.relu_layers))), 1), None)
    for name, open_pool in pools.items():
        with tempfile.TemporaryDirectory() as folder, closing(open_pool()) as pool:
            orders = Orders(Verdicts(), Threads(1, 1), Results(Path(folder)), manifest)
            chunks = [Chunk(0, k, 0, 1) for k in range(count)]
            with closing(OpenLedger(Ledger(Path(folder)))) as ledger:
                moments = []
                for _, entry in spread(partial(answer, orders), chunks, pool):
                    ledger.append(entry)
                    moments.append(time.process_time())
            del moments[: count // 10]
        each = np.diff(moments[::10]) / 10
        found[name] = each.tolist()
        print(f"{name}: {quartiles(found[name])} s a task")
    under_way = 200 if smoke else 20_000
    futures: list[Future[None]] = [Future() for _ in range(under_way)]
    futures[0].set_result(None)
    looks = [timed(lambda: wait(futures, return_when=FIRST_COMPLETED))[0] / under_way for _ in range(5)]
    found["looking"] = float(np.median(looks))
    print(f"looking who has finished: {1e6 * found['looking']:.2f} us for each task under way")
    return found


def answer(orders: Orders, chunk: Chunk) -> Entry:
    """What a worker says that computes nothing."""
    del orders
    return Entry(chunk.name, dict.fromkeys(("inputs", "certificates", "preimages"), Stamp("0" * 64, 10**6, 10**18)))


def store(*, smoke: bool) -> dict[str, Any]:
    """Chunks as large as those of resnet_2b, small ones in growing number, and manifests."""
    found: dict[str, Any] = {"large": many_chunks(10 if smoke else 200, INPUTS, CERTIFICATE)}
    counts = (10, 20) if smoke else (500, 1000, 2000)
    found["small"] = [many_chunks(count, 4, 100) for count in counts]
    print("looking through chunks, all of them together:")
    rows = [{"chunks": each["chunks"], "seconds": each["looking"] * each["chunks"]} for each in found["small"]]
    found["looking"] = law(rows, "chunks")
    found["ledgers"] = [one_ledger(count) for count in ((100,) if smoke else (1_000, 10_000, 100_000, 500_000))]
    with tempfile.TemporaryDirectory() as name:
        data = np.random.default_rng(0).bytes(2**20 if smoke else 2**26)
        began = time.perf_counter()
        write_file(Path(name) / "data", data)
        found["bytes_per_second"] = len(data) / (time.perf_counter() - began)
    print(f"{found['bytes_per_second'] / 1e6:.0f} MB/s")
    return found


def many_chunks(count: int, inputs: int, certificate: int) -> dict[str, Any]:
    """Write chunks (by the wall clock, for it waits for disks), look through them, and finish; seconds a chunk."""
    network = random_network((inputs, 8), 0) if inputs < 100 else random_network((inputs, 4), 0)
    subject = Subject(network, np.zeros((count * BLOCK, inputs), dtype=np.float32), None, "", "", "")
    plan, work, rng = Plan((0,), subject.samples, blocks=(BLOCK,)), Verdicts(), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        results, manifest = Results(Path(name)), new_manifest(subject, plan, None)
        writing, entries = list[float](), list[Entry]()
        for chunk in plan.chunks():
            task = Task(chunk, rng.standard_normal((BLOCK, inputs)), plan.domains(0))
            result = made_up(task, certificate, rng)
            began = time.perf_counter()
            entries.append(results.write(chunk, work.files(task, result)))
            writing.append(time.perf_counter() - began)
        reading, done = timed(lambda: finished(results, manifest))
        assert len(done) == count
        results.ledger.rewrite(entries)
        looking, done = timed(lambda: finished(results, manifest))
        assert len(done) == count
        finishing, _ = timed(lambda: count_findings(results.findings(manifest)))
    seconds = {"reading": reading / count, "looking": looking / count, "finishing": finishing / count}
    print(f"{count} chunks, {inputs} inputs: writing {quartiles(writing)} s a chunk; {seconds}")
    return {"chunks": count, "writing": np.percentile(writing, np.arange(101)).tolist(), **seconds}


def made_up(task: Task, certificate: int, rng: np.random.Generator) -> ChunkResult:
    """A result of a chunk's size that was not computed."""
    data = [rng.bytes(certificate) for _ in task.chunk.samples]
    ids = [certificate_id(each) for each in data]
    findings = tuple(
        Finding(sample, 0, named.name, 1, 0, fs.Kind.UNBOUNDED, 1, 0.5, identity, "")
        for named in task.domains
        for sample, identity in zip(task.chunk.samples, ids, strict=True)
    )
    return ChunkResult(task.chunk, findings, dict(zip(ids, data, strict=True)))


def one_ledger(count: int) -> dict[str, Any]:
    """Write and read the ledger of an audit of many chunks."""
    files = dict.fromkeys(("inputs", "certificates", "preimages"), Stamp("0123456789abcdef" * 4, 10**6, 10**18))
    entries = [Entry(Chunk(0, block, 0, 1).name, files) for block in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        writing, digest = timed(lambda: ledger.rewrite(entries))
        reading, _ = timed(lambda: ledger.digests(digest))
        size = ledger.path.stat().st_size
    print(f"ledger of {count} chunks: {size / 1e6:.1f} MB, written in {writing:.2f} s, read in {reading:.2f} s")
    return {"chunks": count, "bytes": size, "writing": writing, "reading": reading}


# ---- a million findings


def findings(*, smoke: bool) -> dict[str, Any]:
    """What every command takes on the folder of an audit with many findings: all processes of a command together."""
    samples = 200 if smoke else MANY_SAMPLES
    x = np.random.default_rng(1).uniform(size=(samples, SMALL[0])).astype(np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, data, out = folder / "network.safetensors", folder / "data.npz", folder / "out"
        random_network(SMALL, 0).save(model)
        np.savez(data, x=x)
        steps: dict[str, tuple[object, ...]] = {
            "audit": ("audit", model, data, "--out", out, "--domain", "0,1"),
            "verify": ("verify", out),
            "report": ("report", out),
            "compare": ("compare", out, out),
        }
        found: dict[str, Any] = {step: command(*words) for step, words in steps.items()}
        found["findings"], page = 2 * (len(SMALL) - 1) * samples, out / "report.html"
        found["bytes"] = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        found["page"] = {"bytes": page.stat().st_size, **opened(page)}
    for step, figures in found.items():
        print(f"{step}: {rounded(figures)}", flush=True)
    return found


def command(*words: object) -> dict[str, float]:
    """Run a command of fiberscope: seconds by the wall clock, processor time, and bytes of its largest process."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "fiberscope", *map(str, words)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"{words[0]} failed"
    seconds = time.perf_counter() - began
    return {"wall": seconds, "seconds": usage.ru_utime + usage.ru_stime, "memory": 1024.0 * usage.ru_maxrss}


def opened(page: Path) -> dict[str, float]:
    """Seconds until a page is there, and until its gallery is in another order; nothing without Chromium."""
    driver = shutil.which("chromedriver")
    if driver is None or importlib.util.find_spec("selenium") is None:
        return {}
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        began = time.perf_counter()
        browser.get(page.as_uri())
        there = time.perf_counter()
        chosen = "const form = document.getElementById('filters'); form.elements.order.value = 'most';"
        browser.execute_script(f"{chosen} form.dispatchEvent(new Event('change'))")
        ordered = time.perf_counter()
        assert browser.execute_script("return document.querySelectorAll('#tiles > li').length"), "samples are shown"
    finally:
        browser.quit()
    return {"opening": there - began, "ordering": ordered - there}


PARTS = {
    "verdicts": verdicts,
    "layers": layers,
    "spectra": spectra,
    "resnet": resnet,
    "overheads": overheads,
    "store": store,
    "findings": findings,
}


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
            options.costs.write_text(json.dumps(rounded(costs), indent=1) + "\n")


if __name__ == "__main__":
    main()
