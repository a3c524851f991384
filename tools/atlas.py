"""The atlas: what fiberscope says of public networks. Writes docs/atlas/*.json, one picture, and docs/atlas.md.

    python tools/atlas.py measure --from CLONE [--from FOLDER] [--only NAME] [--ask QUESTION] [--seconds 120]
    python tools/atlas.py page

CLONE is a git clone of one of the repositories that atlas.toml names, FOLDER one with files of the same names. A
file whose SHA-256 is another is refused. Nothing of the networks is kept but what was measured. Questions are asked
layer by layer; a layer without an answer in its share of the seconds says so. With ``--ask`` the other answers about a
network stay as they are.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fiberscope as fs

HERE = Path(__file__).resolve().parent.parent
RESULTS, PAGE, PICTURE = HERE / "docs" / "atlas", HERE / "docs" / "atlas.md", "atlas.svg"
SAMPLES = 8
"""Of a network at most."""

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Entry:
    """A network: where it comes from, and what it takes.

    Attributes:
        name: what it is called here.
        repository: owner and name on GitHub.
        path: of the file in it; a name that ends in .gz is compressed.
        sha256: of the ONNX file.
        samples: "mnist", "cifar10", or "uniform".
        mean: of the channels, which "cifar10" is normalised by.
        deviation: likewise.
        box: the bounds between which "uniform" draws.
    """

    name: str
    repository: str
    path: str
    sha256: str
    samples: str
    mean: Sequence[float] = ()
    deviation: Sequence[float] = ()
    box: Sequence[float] = ()


def networks(path: Path = HERE / "tools" / "atlas.toml") -> list[Entry]:
    """The networks that the file names."""
    with path.open("rb") as file:
        return [Entry(**each) for each in tomllib.load(file)["network"]]


ENTRIES = networks()


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "page"])
    parser.add_argument("--from", dest="sources", action="append", default=[], type=Path)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--ask", action="append", default=[], choices=[each.__name__ for each in (*WHOLE, *BY_LAYER)])
    parser.add_argument("--seconds", type=float, default=120.0, help="for each question about a network")
    options = parser.parse_args()
    if options.what == "page":
        from atlas_page import write_page

        write_page(ENTRIES, RESULTS, PAGE, PICTURE)
        return
    worker = Worker()
    for entry in ENTRIES:
        if options.only and entry.name not in options.only:
            continue
        found = file_of(entry, options.sources)
        if found is None:
            print(f"{entry.name}: not there; clone https://github.com/{entry.repository}", file=sys.stderr)
            continue
        RESULTS.mkdir(exist_ok=True)
        kept = RESULTS / f"{entry.name}.json"
        before = json.loads(kept.read_text(encoding="utf-8")) if options.ask else {"name": entry.name}
        result = before | measure(entry, found, worker, options.ask, options.seconds)
        kept.write_text(json.dumps(result) + "\n", encoding="utf-8")
        print(entry.name, f"{result['seconds']:.0f} s", flush=True)
    worker.close()


def file_of(entry: Entry, sources: list[Path]) -> bytes | None:
    """The file's bytes, from the first source that has it; another file by that name is an error."""
    for source in sources:
        data = blob_of(source, entry.path)
        if data is None:
            continue
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise SystemExit(f"{entry.name}: {source} holds another file; expected SHA-256 {entry.sha256}")
        return data
    return None


def blob_of(source: Path, path: str) -> bytes | None:
    """A file of a clone, a bare one too, or of a folder of files by name; decompressed."""
    plain = Path(path).name.removesuffix(".gz")
    if (source / plain).is_file():
        return (source / plain).read_bytes()
    shown = subprocess.run(["git", "-C", str(source), "show", f"HEAD:{path}"], capture_output=True, check=False)
    if shown.returncode:
        return None
    return gzip.decompress(shown.stdout) if path.endswith(".gz") else shown.stdout


def measure(entry: Entry, data: bytes, worker: Worker, asked: Sequence[str], seconds: float) -> dict[str, Any]:
    """What is asked about one network; without a choice, everything."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        layers = len(fs.load(path).relu_layers)
        result: dict[str, Any] = {}
        for question in (*WHOLE, *BY_LAYER):
            if asked and question.__name__ not in asked:
                continue
            if question in WHOLE:
                result[question.__name__] = worker.ask(question, seconds, str(path), entry)
            else:
                result[question.__name__] = by_layer(question, worker, seconds, str(path), entry, layers)
            print(f"  {question.__name__}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return result if asked else result | {"seconds": time.perf_counter() - began}


def by_layer(
    question: Callable[..., Any], worker: Worker, seconds: float, path: str, entry: Entry, layers: int
) -> list[dict[str, Any]]:
    """A row per layer, each with an equal share of the time that is left."""
    if question is leaks and entry.samples != "mnist":
        return []  # other inputs have no 256 levels
    until = time.monotonic() + seconds
    rows = list[dict[str, Any]]()
    for layer in range(layers):
        share = (until - time.monotonic()) / (layers - layer)
        rows.append({"layer": layer} | worker.ask(question, share, path, entry, layer))
    return rows


class Worker:
    """A process that answers questions, and is replaced where an answer takes too long."""

    def __init__(self) -> None:
        self._pool: Any = None

    def ask(self, question: Callable[..., Any], seconds: float, *arguments: Any) -> Any:
        """The answer, or the reason why there is none."""
        if self._pool is None:
            self._pool = multiprocessing.get_context("spawn").Pool(1)
        try:
            return self._pool.apply_async(question, arguments).get(seconds)
        except multiprocessing.TimeoutError:
            self.close()
            return {"reason": f"no answer in {seconds:.0f} s"}
        except fs.FiberscopeError as error:
            return {"reason": str(error)}

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()
            self._pool = None


def loaded(path: str, entry: Entry) -> tuple[fs.Network, Array, Any, fs.Box]:
    """The network, samples in its shape, their labels or None, and the box of all inputs."""
    net = fs.load(path)
    if entry.samples == "cifar10":
        images, labels = cifar()
        mean, deviation = (np.reshape(each, (3, 1, 1)) for each in (entry.mean, entry.deviation))
        X, low, high = (images - mean) / deviation, (0 - mean) / deviation, (1 - mean) / deviation
        low, high = (np.broadcast_to(each, X.shape[1:]).reshape(-1) for each in (low, high))
    elif entry.samples == "mnist":
        from fiberscope.data.datasets import load_data

        digits = load_data("mnist-5k")
        assert digits.y is not None
        X, labels, low, high = digits.x[::10].astype(float), digits.y[::10], 0.0, 1.0
    else:
        low, high = entry.box
        X = np.random.default_rng(0).uniform(low, high, (SAMPLES, int(np.prod(net.input_shape))))
        labels = None
    return net, X.reshape(len(X), *net.input_shape), labels, fs.Box(low, high)


def cifar() -> tuple[Array, Any]:
    """The images of CIFAR-10's test set that are at hand, between 0 and 1, and their classes."""
    folder = os.environ.get("FIBERSCOPE_EXTERNAL")
    if folder is None:
        from fiberscope.data.datasets import load_data

        test = load_data("cifar10")
        return test.x.astype(float), test.y
    with np.load(Path(folder) / "data" / "cifar10_test_83.npz") as file:
        return file["x"] / 255.0, file["y"]


def chosen(X: Array, labels: Any, count: int) -> tuple[Array, Any]:
    """The first samples, evenly spread over the set, so that classes differ."""
    picked = np.linspace(0, len(X) - 1, min(count, len(X))).astype(int)
    return X[picked], None if labels is None else labels[picked]


def shape(path: str, entry: Entry) -> dict[str, Any]:
    """Sizes, and the share of samples that are classified correctly."""
    net, X, labels, _ = loaded(path, entry)
    right = None if labels is None else float((net(X).reshape(len(X), -1).argmax(axis=1) == labels).mean())
    return {
        "inputs": int(np.prod(net.input_shape)),
        "outputs": [int(layer.outputs) for layer in net.relu_layers],
        "accuracy": right,
        "tested": None if labels is None else len(X),
    }


def kinds(path: str, entry: Entry, layer: int) -> dict[str, Any]:
    """Kinds of preimages of a layer: the first within the box, the others where inputs are not negative."""
    net, X, labels, box = loaded(path, entry)
    X, _ = chosen(X, labels, SAMPLES)
    of, given = net.relu_layers[layer], net.layer_input(layer, X)
    free = fs.classify(of, given, seconds=2)
    within = fs.classify(of, given, box if layer == 0 else fs.NonNegative(), seconds=2)
    return {
        "inputs": int(of.inputs),
        "outputs": int(of.outputs),
        "free": counted(free.kind),
        "domain": counted(within.kind),
        "proved": int(free.verify().sum() + within.verify().sum()),
        "positives": float(np.median(free.positives)),
    }


def counted(kinds: Any) -> dict[str, int]:
    """How often each kind occurs."""
    return {str(kind): int(count) for kind, count in zip(*np.unique(kinds, return_counts=True), strict=True)}


def conditions(path: str, entry: Entry, layer: int) -> dict[str, Any]:
    """Condition number and rank of the local linear map up to a ReLU, medians over three samples."""
    net, X, labels, _ = loaded(path, entry)
    X, _ = chosen(X, labels, 3)
    stage = [k for k, stage in enumerate(net.stages) if stage.kind == "relu"][layer]
    rows = fs.spectra(net, X, stages=[stage]).to_pylist()
    return {
        "stage": stage,
        "condition": middle([row["condition_number"] for row in rows]),
        "rank": middle([row["rank"] for row in rows]),
    }


def radius(path: str, entry: Entry) -> dict[str, Any]:
    """The radius on which features of the first ReLU tell all inputs apart, and that of the linear region."""
    net, X, labels, _ = loaded(path, entry)
    X, _ = chosen(X, labels, 3)
    first = next(k for k, stage in enumerate(net.stages) if stage.kind == "relu")
    found = [fs.stability_radius(net, x, stage=first) for x in X]
    return {
        "radius": middle([each.radius for each in found]),
        "region": middle([each.region_distance for each in found]),
        "proved": sum(bool(each.verify()) for each in found),
        "reason": next((each.reason for each in found if each.reason), ""),
    }


def network(path: str, entry: Entry, layer: int) -> dict[str, Any]:
    """What is proved of the network up to a layer, on the box."""
    net, X, labels, box = loaded(path, entry)
    X, _ = chosen(X, labels, SAMPLES)
    return counted(fs.network_verdicts(net, X, [layer], box, seconds=30)["verdict"].to_pylist())


def reach(path: str, entry: Entry, layer: int) -> dict[str, Any]:
    """How far inputs with the same features go towards other samples, and in how many dimensions."""
    net, X, labels, box = loaded(path, entry)
    X, y = chosen(X, labels, SAMPLES)
    y = None if y is None else y[:3]
    rows = fs.invariance_survey(net, X[:3], y, layers=[layer], domain=box, targets=2).to_pylist()
    return {name: middle([row[name] for row in rows]) for name in ("reached", "dimension")}


def leaks(path: str, entry: Entry, layer: int) -> dict[str, Any]:
    """What 8-bit features of a layer give away of two samples, and what an attack rebuilds from them."""
    net, X, labels, box = loaded(path, entry)
    X, _ = chosen(X, labels, 2)
    rows = fs.leakage(net, X.astype(np.float32), box, ["int8"], layers=[layer], seconds=10).to_pylist()
    return {
        "rebuilt": middle([row["rebuilt_error"] for row in rows]),
        "width": middle([row["pixel_median"] for row in rows]),
    }


def middle(values: list[Any]) -> float | None:
    """The median of what is known; None where nothing is."""
    known = [float(value) for value in values if value is not None and np.isfinite(value)]
    return float(np.median(known)) if known else None


WHOLE, BY_LAYER = (shape, radius), (kinds, conditions, network, reach, leaks)
"""The questions: about the network, and about each of its layers."""


if __name__ == "__main__":
    main()
