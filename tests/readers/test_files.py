"""What was saved is loaded again; what is no saved network is refused with what was expected."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import fiberscope as fs
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
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
    assert header(path)["0.weight"]["dtype"] == "F32"
    assert header(path)["2.weight"]["dtype"] == "F64"


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


def structure(**changes: object) -> str:
    stages = [
        {"name": "a", "kind": "affine", "inputs": 6, "outputs": 5},
        {"name": "r", "kind": "relu", "inputs": 5, "outputs": 5},
        {"name": "b", "kind": "affine", "inputs": 5, "outputs": 2},
    ]
    return json.dumps({"version": 1, "input_shape": [2, 3], "stages": stages, "notes": [], **changes})


def test_the_changed_metadata_would_be_read_if_it_were_right(network: Network, tmp_path: Path):
    with_description(tmp_path / "net.safetensors", network, structure())
    assert fs.load(tmp_path / "net.safetensors").digest() == network.digest()


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        structure(stages=[]),
        structure(stages=["relu"]),
        structure(stages=[{"name": "a", "kind": "tanh", "inputs": 6, "outputs": 6}]),
        structure(stages=[{"name": "a", "kind": "affine", "inputs": 6, "outputs": 4}]),
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
    with_description(path, network, structure(version=2))
    with pytest.raises(fs.ModelError, match="expected version 1 of the format, got 2"):
        fs.load(path)


@pytest.mark.parametrize("name", ["model.onnx", "model.pt", "model"])
def test_other_formats_are_refused_with_those_that_are_read(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(fs.ModelError, match=r"\.safetensors \(written by Network\.save\)"):
        fs.load(tmp_path / name)


def test_missing_files_and_folders(tmp_path: Path):
    with pytest.raises(fs.ModelError, match="nothing of that name"):
        fs.load(tmp_path / "net.safetensors")
    with pytest.raises(fs.ModelError, match="a folder"):
        fs.load(tmp_path)
