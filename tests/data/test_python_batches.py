"""CIFAR-10's pickles are read, and can do nothing else."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fiberscope.data.datasets import load_data
from fiberscope.data.python_batches import read_cifar10_python
from fiberscope.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8)


def python2_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """The opcodes of the official files: protocol 2, written by Python 2, with byte strings and numpy.core names."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value  # BINSTRING, which Python 3 does not write

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        b"(K\x01" + b"K" + bytes([len(pixels)]) + b"M" + (3072).to_bytes(2, "little") + b"\x86"
        b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R"
        b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89" + text(pixels.tobytes()) + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


@pytest.mark.parametrize("protocol", ["python 2", 2, 4])
def test_batches_of_all_pythons(tmp_path: Path, protocol: Any):
    labels = [7, 0, 9]
    data = (
        python2_pickle(PIXELS, labels)
        if protocol == "python 2"
        else pickle.dumps({b"data": PIXELS, b"labels": labels, b"batch_label": b"x"}, protocol)
    )
    assert pickle.loads(data, encoding="bytes")[b"labels"] == labels, "the file is a real one"
    (tmp_path / "test_batch").write_bytes(data)
    images, classes = read_cifar10_python(tmp_path / "test_batch")
    np.testing.assert_array_equal(images, PIXELS.reshape(3, 3, 32, 32))
    assert classes.tolist() == labels


def test_named_data_set_in_parts(tmp_path: Path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        (folder / name).write_bytes(pickle.dumps({"data": PIXELS[:1], "labels": [number]}, 2))
    assert load_data("cifar10", tmp_path).y.tolist() == [5]
    train = load_data("cifar10", tmp_path, split="train")
    assert train.y.tolist() == [0, 1, 2, 3, 4]
    assert train.x.shape == (5, 3, 32, 32)
    assert train.description.startswith("the training images of CIFAR-10")


class _Runs:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_what_would_run_code_is_refused_and_does_not_run(tmp_path: Path):
    trace = tmp_path / "ran"
    hostile = [
        _Runs(os.system, f"touch {trace}"),
        _Runs(eval, f"open({str(trace)!r}, 'w')"),
        _Runs(exec, f"open({str(trace)!r}, 'w')"),
        _Runs(getattr, np.ndarray, "tofile"),
        _Runs(np.load, str(trace)),
    ]
    for number, thing in enumerate(hostile):
        path = tmp_path / f"batch{number}"
        path.write_bytes(pickle.dumps({"data": thing, "labels": [0]}, 4))
        with pytest.raises(InputError, match="asks for"):
            read_cifar10_python(path)
    assert not trace.exists()
    pickle.loads((tmp_path / "batch1").read_bytes())
    assert trace.exists(), "the files are as hostile as they look"


@pytest.mark.parametrize(
    "batch",
    [
        [1, 2],
        {"data": PIXELS},
        {"data": PIXELS.astype(np.int32), "labels": [0, 1, 2]},
        {"data": PIXELS[:, :-1].copy(), "labels": [0, 1, 2]},
        {"data": PIXELS, "labels": [0, 1]},
        {"data": PIXELS, "labels": [0, 1, 10]},
        {"data": np.array([object()], dtype=object), "labels": [0]},
        {"data": b"none", "labels": [0]},
    ],
)
def test_other_contents_are_refused(tmp_path: Path, batch: Any):
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps(batch, 2))
    with pytest.raises(InputError, match="cannot be read so"):
        read_cifar10_python(path)


def test_truncated_files_are_refused(tmp_path: Path):
    data = pickle.dumps({"data": PIXELS, "labels": [0, 1, 2]}, 2)
    for size in (0, 1, 100, len(data) - 1):
        (tmp_path / "test_batch").write_bytes(data[:size])
        with pytest.raises(InputError, match="get the file again"):
            read_cifar10_python(tmp_path / "test_batch")
