"""What was saved is loaded again; what is no saved network is refused with what was expected."""

from __future__ import annotations

import bz2
import dataclasses
import errno
import gzip
import json
import lzma
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import fiberscope as fs
from fiberscope.network.activations import PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.building import NetworkBuilder, windows
from fiberscope.network.network import Network
from fiberscope.network.original import Agreement
from fiberscope.network.stage import affine_stage, relu_stage


@pytest.fixture
def network() -> Network:
    rng = np.random.default_rng(0)
    single = rng.standard_normal((5, 6)).astype(np.float32)
    stages = (
        affine_stage("a", Dense(single)),
        relu_stage("r", 5),
        affine_stage("b", Dense(rng.standard_normal((2, 5)))),
    )
    return Network(stages, (2, 3), ("something was folded",))


def test_round_trip(network: Network, tmp_path: Path):
    path = tmp_path / "net.safetensors"
    network.save(path)
    loaded = fs.load(path)
    assert loaded.digest() == network.digest()
    assert loaded.notes == network.notes
    assert loaded.input_shape == network.input_shape
    assert loaded.layer_names == network.layer_names
    X = np.random.default_rng(1).standard_normal((4, 2, 3))
    np.testing.assert_array_equal(loaded(X), network(X))
    assert list(tmp_path.iterdir()) == [path]


def test_single_precision_weights_are_stored_as_such(network: Network, tmp_path: Path):
    path = tmp_path / "net.safetensors"
    network.save(path)
    assert header(path)["0.0.weight"]["dtype"] == "F32"
    assert header(path)["2.0.weight"]["dtype"] == "F64"


def test_saving_twice_gives_the_same_bytes(network: Network, tmp_path: Path):
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    network.save(first)
    fs.load(first).save(second)
    assert first.read_bytes() == second.read_bytes()


def test_the_name_must_say_the_format(network: Network, tmp_path: Path):
    with pytest.raises(fs.InputError, match=r"\.safetensors"):
        network.save(tmp_path / "net.npz")


def test_a_folder_that_cannot_be_written(network: Network, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(fs.ResultsError, match="choose another"):
        network.save(tmp_path / "file" / "net.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_files(network: Network, tmp_path: Path, share: float):
    path = tmp_path / "net.safetensors"
    network.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(fs.ModelError, match=r"expected a file written by Network\.save"):
        fs.load(path)


def test_weights_without_a_network(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_file({"0.weight": np.ones((2, 2))}, path)
    with pytest.raises(fs.ModelError, match=r"without the description of a network.*from_torch"):
        fs.load(path)


def test_a_pickle_is_not_run(tmp_path: Path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch " + bytes(tmp_path / "ran") + b"'\ntR.")
    with pytest.raises(fs.ModelError):
        fs.load(path)
    assert not (tmp_path / "ran").exists()


def with_description(path: Path, network: Network, description: str) -> None:
    """Save ``network`` under another description."""
    network.save(path)
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    head = header(path)
    head["__metadata__"] = {"fiberscope.network": description}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def header(path: Path) -> dict:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])


def stage(name: str, shape: int, sources: int, parts: object) -> dict[str, object]:
    return {"name": name, "sources": [sources], "shape": [shape], "parts": parts}


DENSE = {"maps": [{"kind": "dense"}]}
RELU = {"activation": {"kind": "relu", "inputs": 5, "alpha": 1.0, "beta": 1.0}}
STAGES = [stage("a", 5, -1, DENSE), stage("r", 5, 0, RELU), stage("b", 2, 1, DENSE)]


def structure(**changes: object) -> str:
    description = {"version": 2, "input_shape": [2, 3], "stages": STAGES, "notes": [], "agreement": None}
    return json.dumps(description | changes)


def nested(depth: int) -> dict[str, object]:
    part: dict[str, object] = {"kind": "dense"}
    for _ in range(depth):
        part = {"kind": "composition", "maps": [part]}
    return {"maps": [part]}


def test_the_changed_metadata_would_be_read_if_it_were_right(network: Network, tmp_path: Path):
    with_description(tmp_path / "net.safetensors", network, structure())
    assert fs.load(tmp_path / "net.safetensors").digest() == network.digest()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        structure(stages=[]),
        structure(stages=["relu"]),
        structure(stages=[STAGES[0], stage("r", 5, 0, {"activation": RELU["activation"] | {"kind": "exec"}})]),
        structure(stages=[STAGES[0], stage("r", 5, 0, {"activation": RELU["activation"] | {"inputs": 6}})]),
        structure(stages=[stage("a", 5, -1, {"maps": [{"kind": "python"}]})]),
        structure(stages=[stage("a", 4, -1, DENSE)]),
        structure(stages=[stage("a", 5, 0, DENSE)]),
        structure(stages=[stage("a", 5, 2, DENSE), *STAGES[1:]]),
        structure(stages=[stage("a", 5, -1, {"maps": []})]),
        structure(stages=[stage("a", 5, -1, nested(20))]),
        structure(stages=[stage("a", 5, -1, {"maps": [{"kind": "rearrangement", "inputs": 10**15}]})]),
        structure(agreement={"words": "fine"}),
        structure(input_shape=[7]),
        structure(input_shape=None),
        structure(notes=None),
    ],
)
def test_damaged_descriptions(network: Network, tmp_path: Path, damaged: str):
    path = tmp_path / "net.safetensors"
    with_description(path, network, damaged)
    with pytest.raises(fs.ModelError, match=r"net\.safetensors"):
        fs.load(path)


def test_a_later_format_version(network: Network, tmp_path: Path):
    path = tmp_path / "net.safetensors"
    with_description(path, network, structure(version=3))
    with pytest.raises(fs.ModelError, match="expected version 2 of the format, got 3"):
        fs.load(path)


@pytest.mark.parametrize("name", ["model.csv", "model"])
def test_other_formats_are_refused_with_those_that_are_read(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(fs.ModelError, match=r"\.onnx.*\.safetensors \(written by Network\.save\)"):
        fs.load(tmp_path / name)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model.bin"])
def test_pickles_are_refused_whatever_is_trusted(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"\x80\x04cos\nsystem\n(S'touch " + bytes(tmp_path / "ran") + b"'\ntR.")
    with pytest.raises(fs.ModelError, match="can run any code"):
        fs.load(tmp_path / name, trust=True)
    assert not (tmp_path / "ran").exists()


def test_a_model_in_a_folder_that_may_not_be_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def denied(self: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(fs.ModelError, match=r"model\.onnx: expected a model file, got Permission denied"):
        fs.load(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2", "model.keras", "model.h5", "model.safetensors"])
def test_empty_and_missing_files_and_folders(tmp_path: Path, name: str):
    path = tmp_path / name
    with pytest.raises(fs.ModelError, match="nothing of that name"):
        fs.load(path)
    path.write_bytes(b"")
    for trust in (False, True):
        with pytest.raises(fs.ModelError, match=name):
            fs.load(path, trust=trust)
    path.unlink()
    path.mkdir()
    with pytest.raises(fs.ModelError, match="a folder"):
        fs.load(path)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1024\n"

SUFFIXES = (".onnx", ".pt2", ".keras", ".h5", ".safetensors", ".pt", ".onnx.data", "")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (POINTER, "got a pointer of Git LFS in place of the file; fetch the file itself with: git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html>", "got a page of the web; download the file itself"),
        (b"\xef\xbb\xbf<HTML>", "got a page of the web"),
        (gzip.compress(b"model", mtime=0), "got a file packed with gzip; unpack it"),
        (bz2.compress(b"model"), "got a file packed with bzip2; unpack it"),
        (lzma.compress(b"model"), "got a file packed with xz; unpack it"),
    ],
    ids=["pointer", "page", "page with a mark", "gzip", "bzip2", "xz"],
)
def test_files_are_named_for_what_they_are(tmp_path: Path, suffix: str, data: bytes, message: str):
    (tmp_path / f"model{suffix}").write_bytes(data)
    for trust in (False, True):
        with pytest.raises(fs.ModelError, match=message):
            fs.load(tmp_path / f"model{suffix}", trust=trust)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("model.onnx.gz", gzip.compress(b"model", mtime=0), "expected a model, got a file packed with gzip; unpack it"),
        ("data.npz", b"PK\x03\x04" + bytes(30), "expected a model, got a file of arrays; the model is named first"),
        ("model.zip", b"PK\x03\x04" + bytes(30), "expected a model, got a zip archive; unpack it"),
        ("model.onnx", b"PK\x03\x04" + bytes(30), "expected an ONNX model, got a zip archive"),
        (
            "model.h5",
            b"PK\x03\x04" + bytes(30),
            r"expected .* Keras 3 wrote.*, got a zip archive.* name it .* \.keras",
        ),
        (
            "model.keras",
            b"\x89HDF\r\n\x1a\n",
            r"expected .* Keras 3 wrote.*, got an HDF5 file; .* name it \.h5",
        ),
        ("model.onnx", b"\x80\x04cos\nsystem\n", "expected an ONNX model, got a pickle"),
    ],
    ids=["gzip", "arrays", "zip", "zip as .onnx", "zip as .h5", "HDF5 as .keras", "pickle as .onnx"],
)
def test_formats_under_the_suffix_of_others(tmp_path: Path, name: str, data: bytes, message: str):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(fs.ModelError, match=message):
        fs.load(tmp_path / name)


@pytest.mark.parametrize("length", [0x088B1F, 0x0280, 0x0480])
def test_saved_networks_whose_length_looks_like_another_format(network: Network, tmp_path: Path, length: int):
    """Their files begin with the length of the header, whose bytes may be those of a packed file or a pickle."""
    path = tmp_path / "net.safetensors"
    network.save(path)
    data = path.read_bytes()
    (have,) = struct.unpack("<Q", data[:8])
    length += -(-max(0, have - length) // 0x10000) * 0x10000
    path.write_bytes(struct.pack("<Q", length) + data[8 : 8 + have].ljust(length) + data[8 + have :])
    assert fs.load(path).digest() == network.digest()


def every_kind_of_part() -> Network:
    """A network with each map and activation that files can hold."""
    rng = np.random.default_rng(2)
    builder = NetworkBuilder((1, 2, 6, 6))
    x = builder.scaled("scale", builder.input, rng.uniform(size=(2, 1, 1)), 0.5)
    x = builder.convolution("conv", x, rng.standard_normal((4, 1, 3, 3)), rng.standard_normal(4), stride=(2, 1),
                            padding=((0, 1), (1, 1)), groups=2)  # fmt: skip
    x = builder.relu("relu", x)
    y = builder.transposed_convolution("up", x, rng.standard_normal((4, 2, 2, 2)), None, output_grid=(4, 7))
    y = builder.pointwise("prelu", y, PointwiseKind.LEAKY_RELU, slope=rng.uniform(size=(1, 2, 1, 1)))
    y = builder.maximum("max", y, windows(y.positions, (2, 2), stride=(1, 1)))
    x = builder.take("crop", x, x.positions[:, :2, :3, :], 0.0)
    x = builder.add("add", [builder.pointwise("elu", x, PointwiseKind.ELU, alpha=1.5, beta=0.5), y])
    index = windows(x.positions, (3, 2), stride=(3, 2))
    x = builder.weighted_sums("mean", x, index, np.full(index.shape, 1 / 6))
    x = builder.reshape(builder.pointwise("tanh", x, PointwiseKind.TANH), (1, 6))
    return builder.build(builder.dense("fc", x, rng.standard_normal((3, 6)), rng.standard_normal(3)))


def test_round_trip_of_every_kind_of_part(tmp_path: Path):
    network = dataclasses.replace(every_kind_of_part(), agreement=Agreement("itself", 3, 4, 0.5, "fc"))
    network.save(tmp_path / "net.safetensors")
    loaded = fs.load(tmp_path / "net.safetensors")
    assert loaded.digest() == network.digest()
    assert loaded.agreement == network.agreement
    assert [stage.kind for stage in loaded.stages] == [stage.kind for stage in network.stages]
    X = np.random.default_rng(3).standard_normal((4, 2, 6, 6))
    np.testing.assert_array_equal(loaded(X), network(X))


def test_a_file_that_may_not_be_read_is_not_called_missing(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "net.safetensors"
    network.save(path)
    open_file = Path.open

    def refused(self, *arguments, **options):
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return open_file(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(fs.ModelError, match=r"net\.safetensors: cannot read it: Permission denied"):
        fs.load(path)
