"""The atlas: what fiberscope says of public networks. Writes docs/atlas/*.json, one picture, and docs/atlas.md.

    python tools/atlas.py measure --from CLONE [--from FOLDER] [--only NAME]
    python tools/atlas.py page

CLONE is a git clone of one of the repositories named below, FOLDER one with files of the same names. A file whose
SHA-256 is another is refused. Nothing of the networks is kept but what was measured.
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fiberscope as fs

HERE = Path(__file__).resolve().parent.parent
RESULTS, PAGE, PICTURE = HERE / "docs" / "atlas", HERE / "docs" / "atlas.md", "atlas.svg"
VNN22, VNN21 = "ChristopherBrix/vnncomp2022_benchmarks", "stanleybak/vnncomp2021"
SAMPLES, LIMIT = 8, 120  # samples at most, and seconds for each question about a network

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Entry:
    """A network: where it comes from, and what it takes.

    Attributes:
        name: what it is called here.
        repository: owner and name on GitHub.
        path: of the file in it; a name that ends in .gz is compressed.
        digest: the SHA-256 of the ONNX file.
        data: "mnist", "cifar" with mean and deviation, or the bounds between which inputs are drawn.
    """

    name: str
    repository: str
    path: str
    digest: str
    data: Any


OVAL = ("cifar", (0.485, 0.456, 0.406), (0.225, 0.225, 0.225))
RESNET = ("cifar", (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
SRI = ("cifar", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
ENTRIES = (
    Entry(
        "mnist-256x2",
        VNN22,
        "benchmarks/mnist_fc/onnx/mnist-net_256x2.onnx.gz",
        "3a5c9730d60bbf1f9b030e731b438436581efd7c00a28ab683c1ec4b6d3449c4",
        "mnist",
    ),
    Entry(
        "mnist-256x4",
        VNN22,
        "benchmarks/mnist_fc/onnx/mnist-net_256x4.onnx.gz",
        "fb53b4745b5882be61325ec24908f9fb036010cd79c99c20bb0b75e3b359acae",
        "mnist",
    ),
    Entry(
        "mnist-256x6",
        VNN22,
        "benchmarks/mnist_fc/onnx/mnist-net_256x6.onnx.gz",
        "295c175d7b477b2f05dd4787bcabacf8c10d02d7d4b31f8682ea0d8844c6b0a6",
        "mnist",
    ),
    Entry(
        "cifar-base-kw",
        VNN22,
        "benchmarks/oval21/onnx/cifar_base_kw.onnx.gz",
        "e39711edc5284e173d169359d4b0ac2a5f5b39fffc8cf4af15d54615b867bf3f",
        OVAL,
    ),
    Entry(
        "cifar-wide-kw",
        VNN22,
        "benchmarks/oval21/onnx/cifar_wide_kw.onnx.gz",
        "1eafcce51be876f97be0bc280353c5182f575a3512c3769de216a8bcb890eb81",
        OVAL,
    ),
    Entry(
        "cifar-deep-kw",
        VNN22,
        "benchmarks/oval21/onnx/cifar_deep_kw.onnx.gz",
        "a1d1d47fe50544f2f458b2d1c38e90b172b981269881e6e63dbc4e6f7bc5047f",
        OVAL,
    ),
    Entry(
        "resnet-2b",
        VNN21,
        "benchmarks/cifar10_resnet/onnx/resnet_2b.onnx",
        "791aa24d77917ecda16809fbbd48e7739616f88ebf74cf358b2d1bf911dc4a6d",
        RESNET,
    ),
    Entry(
        "resnet-3b2",
        VNN22,
        "benchmarks/sri_resnet_a/onnx/resnet_3b2_bn_mixup_adv_4.0_bs128_lr-1.onnx.gz",
        "e81733abbb642cd8bb4f8bdf006e65d0d44b5b8255814a69620c029584c930fd",
        SRI,
    ),
    Entry(
        "acasxu-1-1",
        VNN22,
        "benchmarks/acasxu/onnx/ACASXU_run2a_1_1_batch_2000.onnx.gz",
        "843f7110bf5a8b7f0eeb9b1c548d9d558db9099328b392423d5a7444a0656dd4",
        (-0.5, 0.5),
    ),
    Entry(
        "acasxu-1-2",
        VNN22,
        "benchmarks/acasxu/onnx/ACASXU_run2a_1_2_batch_2000.onnx.gz",
        "a2954b14f943f256959e7ead863a0f5dcaf793d70ae824066e111388e4336338",
        (-0.5, 0.5),
    ),
    Entry(
        "acasxu-3-3",
        VNN22,
        "benchmarks/acasxu/onnx/ACASXU_run2a_3_3_batch_2000.onnx.gz",
        "65d46de40b0af23580f3203c8251f68dc22a8b0d727bda59e46d9b904878b65c",
        (-0.5, 0.5),
    ),
    Entry(
        "acasxu-5-9",
        VNN22,
        "benchmarks/acasxu/onnx/ACASXU_run2a_5_9_batch_2000.onnx.gz",
        "b5feee7f6b24ff8588af61826128e551ecae042579c3f6e13d82751988d90940",
        (-0.5, 0.5),
    ),
    Entry(
        "cartpole",
        VNN22,
        "benchmarks/rl_benchmarks/onnx/cartpole.onnx.gz",
        "40263c53a5074584e0447100a3e5d829aac96e49e325dc6a8524673181d783aa",
        (-1.0, 1.0),
    ),
    Entry(
        "lunarlander",
        VNN22,
        "benchmarks/rl_benchmarks/onnx/lunarlander.onnx.gz",
        "25524d956ae54da61ba99e70e5e7cb2410b066aceba52276d9d32493ad91eb32",
        (-1.0, 1.0),
    ),
    Entry(
        "dubinsrejoin",
        VNN22,
        "benchmarks/rl_benchmarks/onnx/dubinsrejoin.onnx.gz",
        "abd7385ff19ea7e64dcd40c780a0ad3e908d0a50df04392665b2a3b2dafb2f84",
        (-1.0, 1.0),
    ),
    Entry(
        "gcas",
        VNN22,
        "benchmarks/reach_prob_density/onnx/gcas.onnx.gz",
        "72d9df62afddab8d251c7147e33c07c96ad19e38ec53494129744baf61745ea7",
        (-1.0, 1.0),
    ),
    Entry(
        "robot",
        VNN22,
        "benchmarks/reach_prob_density/onnx/robot.onnx.gz",
        "acbeea635867cc51569eba1b49e42f03e9a13db5e7a9f6a5792e9c649e8e4124",
        (-1.0, 1.0),
    ),
    Entry(
        "vdp",
        VNN22,
        "benchmarks/reach_prob_density/onnx/vdp.onnx.gz",
        "71b804f34ccefe7fa9cf72556675a6a4f4cf1f2b3f4853934d3fc4b77c269687",
        (-1.0, 1.0),
    ),
    Entry(
        "rul-small-window-20",
        VNN22,
        "benchmarks/collins_rul_cnn/onnx/NN_rul_small_window_20.onnx.gz",
        "0cce6a1d355110f80fc37c063bad4e6a5d5a0a0ac8cbcb8cc1dc18f1c173c18c",
        (0.0, 1.0),
    ),
    Entry(
        "rul-full-window-20",
        VNN22,
        "benchmarks/collins_rul_cnn/onnx/NN_rul_full_window_20.onnx.gz",
        "ed9da3f2a626543851d17a2105fd7f989574bb616a6b839389dd4f7bfd125bbb",
        (0.0, 1.0),
    ),
    Entry(
        "lindex",
        VNN22,
        "benchmarks/nn4sys/onnx/lindex.onnx.gz",
        "2c91b1ece312b4a755f1e5515065911e1707e475b5274007ca4d85d2fea3cc5f",
        (0.0, 1.0),
    ),
    Entry(
        "lindex-deep",
        VNN22,
        "benchmarks/nn4sys/onnx/lindex_deep.onnx.gz",
        "abec1fb6e093ca3cff4f598eaefdd6cdfd311fde19e265aa6b6bd9f264e56631",
        (0.0, 1.0),
    ),
    Entry(
        "tll-16",
        VNN22,
        "benchmarks/tllverifybench/onnx/tllBench_n=2_N=M=16_m=1_instance_1_0.onnx.gz",
        "1f434bbf19b286b8e5a148546aaa7a2d762528de85ac09e20253e81a9e852d63",
        (-2.0, 2.0),
    ),
)


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "page"])
    parser.add_argument("--from", dest="sources", action="append", default=[], type=Path)
    parser.add_argument("--only", action="append", default=[])
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
        result = measure(entry, found, worker)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{entry.name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(entry.name, f"{result['seconds']:.0f} s", flush=True)
    worker.close()


def file_of(entry: Entry, sources: list[Path]) -> bytes | None:
    """The file's bytes, from the first source that has it; another file by that name is an error."""
    for source in sources:
        data = blob_of(source, entry.path)
        if data is None:
            continue
        if hashlib.sha256(data).hexdigest() != entry.digest:
            raise SystemExit(f"{entry.name}: {source} holds another file; expected SHA-256 {entry.digest}")
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


def measure(entry: Entry, data: bytes, worker: Worker) -> dict[str, Any]:
    """Everything that is asked about one network."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        result: dict[str, Any] = {"name": entry.name}
        for question in (shape, kinds, conditions, radius, network, reach, leaks):
            result[question.__name__] = worker.ask(question, str(path), entry)
            print(f"  {question.__name__}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    result["seconds"] = time.perf_counter() - began
    return result


class Worker:
    """A process that answers questions, and is replaced where an answer takes too long."""

    def __init__(self) -> None:
        self._pool: Any = None

    def ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """The answer, or the reason why there is none."""
        if self._pool is None:
            self._pool = multiprocessing.get_context("spawn").Pool(1)
        try:
            return self._pool.apply_async(question, arguments).get(LIMIT)
        except multiprocessing.TimeoutError:
            self.close()
            return {"reason": f"not done in {LIMIT} seconds"}
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
    if isinstance(entry.data, tuple) and entry.data[0] == "cifar":
        images, labels = cifar()
        mean, deviation = (np.reshape(each, (3, 1, 1)) for each in entry.data[1:])
        X, low, high = (images - mean) / deviation, (0 - mean) / deviation, (1 - mean) / deviation
        low, high = (np.broadcast_to(each, X.shape[1:]).reshape(-1) for each in (low, high))
    elif entry.data == "mnist":
        from fiberscope.paper.datasets import load_data

        digits = load_data("mnist-5k")
        assert digits.y is not None
        X, labels, low, high = digits.x[::10].astype(float), digits.y[::10], 0.0, 1.0
    else:
        low, high = entry.data
        X = np.random.default_rng(0).uniform(low, high, (SAMPLES, int(np.prod(net.input_shape))))
        labels = None
    return net, X.reshape(len(X), *net.input_shape), labels, fs.Box(low, high)


def cifar() -> tuple[Array, Any]:
    """The images of CIFAR-10's test set that are at hand, between 0 and 1, and their classes."""
    folder = os.environ.get("FIBERSCOPE_EXTERNAL")
    if folder is None:
        from fiberscope.paper.datasets import load_data

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


def kinds(path: str, entry: Entry) -> list[dict[str, Any]]:
    """Kinds of preimages by layer: the first within the box, the others where inputs are not negative."""
    net, X, labels, box = loaded(path, entry)
    X, _ = chosen(X, labels, SAMPLES)
    rows = []
    for i, layer in enumerate(net.relu_layers):
        free = fs.classify(layer, net.layer_input(i, X), seconds=2)
        within = fs.classify(layer, net.layer_input(i, X), box if i == 0 else fs.NonNegative(), seconds=2)
        rows.append(
            {
                "layer": i,
                "inputs": int(layer.inputs),
                "outputs": int(layer.outputs),
                "free": counted(free.kind),
                "domain": counted(within.kind),
                "proved": int(free.verify().sum() + within.verify().sum()),
                "positives": float(np.median(free.positives)),
            }
        )
    return rows


def counted(kinds: Any) -> dict[str, int]:
    """How often each kind occurs."""
    return {str(kind): int(count) for kind, count in zip(*np.unique(kinds, return_counts=True), strict=True)}


def conditions(path: str, entry: Entry) -> list[dict[str, Any]]:
    """Condition number and rank of the local linear map up to each ReLU, medians over three samples."""
    net, X, labels, _ = loaded(path, entry)
    X, _ = chosen(X, labels, 3)
    stages = [k for k, stage in enumerate(net.stages) if stage.kind == "relu"]
    table = fs.spectra(net, X, stages=stages).to_pylist()
    of = {k: [row for row in table if row["stage"] == k] for k in stages}
    return [
        {
            "stage": k,
            "condition": middle([row["condition_number"] for row in rows]),
            "rank": middle([row["rank"] for row in rows]),
        }
        for k, rows in of.items()
    ]


def radius(path: str, entry: Entry) -> dict[str, Any]:
    """The radius on which features of the first ReLU tell all inputs apart, and that of the linear region."""
    net, X, labels, _ = loaded(path, entry)
    X, _ = chosen(X, labels, 3)
    found = [fs.stability_radius(net, x, stage=1) for x in X]
    return {
        "radius": middle([each.radius for each in found]),
        "region": middle([each.region_distance for each in found]),
        "proved": sum(bool(each.verify()) for each in found),
        "reason": next((each.reason for each in found if each.reason), ""),
    }


def network(path: str, entry: Entry) -> list[dict[str, Any]]:
    """What is proved of the network up to each layer, on the box."""
    net, X, labels, box = loaded(path, entry)
    X, _ = chosen(X, labels, SAMPLES)
    table = fs.network_verdicts(net, X, domain=box, seconds=30).to_pylist()
    layers = sorted({row["layer"] for row in table})
    return [{"layer": i, **counted([row["verdict"] for row in table if row["layer"] == i])} for i in layers]


def reach(path: str, entry: Entry) -> list[dict[str, Any]]:
    """How far inputs with the same features go towards other samples, and in how many dimensions."""
    net, X, labels, box = loaded(path, entry)
    X, y = chosen(X, labels, SAMPLES)
    rows = fs.invariance_survey(net, X[:3], None if y is None else y[:3], domain=box, targets=2).to_pylist()
    layers = sorted({row["layer"] for row in rows})
    return [
        {
            "layer": i,
            "reached": middle([row["reached"] for row in rows if row["layer"] == i]),
            "dimension": middle([row["dimension"] for row in rows if row["layer"] == i]),
        }
        for i in layers
    ]


def leaks(path: str, entry: Entry) -> list[dict[str, Any]]:
    """What 8-bit features of each layer give away of two samples, and what an attack rebuilds from them."""
    net, X, labels, box = loaded(path, entry)
    X, _ = chosen(X, labels, 2)
    if entry.data != "mnist":
        return []  # other inputs have no 256 levels
    rows = fs.leakage(net, X.astype(np.float32), box, ["int8"], seconds=10).to_pylist()
    layers = sorted({row["layer"] for row in rows})
    return [
        {
            "layer": i,
            "rebuilt": middle([row["rebuilt_error"] for row in rows if row["layer"] == i]),
            "width": middle([row["pixel_median"] for row in rows if row["layer"] == i]),
        }
        for i in layers
    ]


def middle(values: list[Any]) -> float | None:
    """The median of what is known; None where nothing is."""
    known = [float(value) for value in values if value is not None and np.isfinite(value)]
    return float(np.median(known)) if known else None


if __name__ == "__main__":
    main()
