"""Files of Keras: what was saved is loaded again, and what could do harm is refused before anything runs."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import fiberscope as fs
from fiberscope.readers.keras import archive as keras_archive
from fiberscope.readers.keras import config as keras_config
from fiberscope.readers.keras import from_keras
from fiberscope.readers.keras.file import TRUSTED
from keras_models import K, assert_same, functional, keras, sequential

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def small() -> Any:
    return sequential((4,), K.Dense(3, activation="relu", name="hidden"), K.Dense(2, name="last"))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    small().save(path)
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None], compression: int = zipfile.ZIP_STORED) -> Path:
    """The same archive with other members."""
    content = members(path)
    change(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def with_config(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same archive with another description of the model."""

    def changed(content: dict[str, bytes]) -> None:
        config = json.loads(content[CONFIG])
        change(config)
        content[CONFIG] = json.dumps(config).encode()

    return rewritten(path, changed)


def refused(path: Path, **options: Any) -> fs.ModelError:
    """The error for a file; nothing else in its folder has changed."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(fs.ModelError) as caught:
        fs.load(path, **options)
    assert sorted(path.parent.rglob("*")) == before
    assert str(path) in str(caught.value)
    return caught.value


# ---- what is loaded


def test_round_trip(saved: Path):
    network = fs.load(saved)
    assert network.digest() == from_keras(small()).digest()
    assert network.notes == ()
    assert network.agreement is not None


def test_settings_of_keras_are_accepted(tmp_path: Path):
    model = sequential(
        (6, 6, 2),
        K.Conv2D(
            3,
            3,
            kernel_initializer=keras.initializers.HeNormal(1),
            kernel_regularizer=keras.regularizers.L1L2(0.1),
            use_bias=False,
        ),
        K.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.2), alpha_constraint="non_neg"),
        K.Flatten(),
        K.Dense(3, activation=K.LeakyReLU(0.1), kernel_constraint=keras.constraints.MaxNorm(2.0)),
        K.Dense(3, activation="softmax", kernel_initializer="orthogonal", activity_regularizer="l2"),
    )
    model.save(tmp_path / "model.keras")
    assert fs.load(tmp_path / "model.keras").digest() == from_keras(model).digest()


def own_loss(truth: Any, given: Any) -> Any:
    return given - truth


def test_training_settings_are_not_loaded(tmp_path: Path):
    """Neither those of the model, even if they are the user's own, nor do those of a model in it hinder."""
    inner = keras.Sequential([K.Input((4,)), K.Dense(3, activation="relu")], name="inner")
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    inner.compile(keras.optimizers.Adam(schedule), keras.losses.MeanSquaredError(), ["accuracy", keras.metrics.AUC()])
    x = K.Input((4,))
    model = functional(x, K.Dense(2)(inner(x)))
    model.compile("sgd", own_loss)
    model.save(tmp_path / "model.keras")
    assert fs.load(tmp_path / "model.keras").digest() == from_keras(model).digest()


def test_operations_in_a_file(tmp_path: Path):
    x = K.Input((4, 3))
    y = keras.ops.relu(x[:, 1:] * np.array([1.0, 2, 3], "float32")) + 0.5
    model = functional(x, K.Dense(2)(keras.ops.reshape(y, (-1, 9))))
    model.save(tmp_path / "model.keras")
    assert_same(fs.load(tmp_path / "model.keras"), model)


def test_a_packed_archive(saved: Path):
    digest = fs.load(saved).digest()
    assert fs.load(rewritten(saved, lambda content: None, zipfile.ZIP_DEFLATED)).digest() == digest


def test_the_lists_name_what_keras_has():
    for module, names in keras_config.SETTINGS.items():
        home: Any = keras
        for part in module.split(".")[1:]:
            home = getattr(home, part)
        assert all(isinstance(getattr(home, name), type) for name in names), module


# ---- damaged files


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.3, 0.5, 0.9, 0.99, 0.9999])
def test_truncated_files(saved: Path, share: float):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(share * len(data))])
    assert "model.save" in str(refused(saved))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.4, 0.7])
@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_truncated_members(saved: Path, name: str, share: float):
    def cut(content: dict[str, bytes]) -> None:
        content[name] = content[name][: int(share * len(content[name]))]

    refused(rewritten(saved, cut))


def test_damaged_bytes_never_pass_as_another_network(saved: Path):
    digest, data = fs.load(saved).digest(), saved.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(data), 60):
        saved.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            network = fs.load(saved)
        except fs.ModelError:
            continue
        assert network.digest() == digest


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"\x80\x04cos\nsystem\n", bytes(1000)])
def test_what_is_no_archive(tmp_path: Path, data: bytes):
    (tmp_path / "model.keras").write_bytes(data)
    assert "model.save" in str(refused(tmp_path / "model.keras"))


@pytest.mark.parametrize("config", [b"", b"{", b"[]", b"3", b"null", b"{}", b"[" * 200_000, b"\xff\xfe", b'{"a": NaN}'])
def test_descriptions_that_are_none(saved: Path, config: bytes):
    refused(rewritten(saved, lambda content: content.update({CONFIG: config})))


@pytest.mark.parametrize("name", [CONFIG, METADATA, WEIGHTS])
def test_missing_members(saved: Path, name: str):
    assert name in str(refused(rewritten(saved, lambda content: content.pop(name))))


def test_weights_of_another_model(saved: Path, tmp_path: Path):
    other = tmp_path / "other.keras"
    sequential((4,), K.Dense(5), K.Dense(2)).save(other)
    weights = members(other)[WEIGHTS]
    assert "cannot load" in str(refused(rewritten(saved, lambda content: content.update({WEIGHTS: weights}))))


# ---- harmful archives


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/tmp/outside",
        "a/../../outside",
        "..\\outside",
        "\\outside",
        "C:\\outside",
        "assets/x.txt",
        "x.py",
    ],
)
def test_members_that_keras_would_not_write(saved: Path, tmp_path: Path, name: str):
    rewritten(saved, lambda content: content.update({name: b"x"}))
    refused(saved)
    assert not (tmp_path.parent / "outside").exists()


def test_members_twice(saved: Path):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(CONFIG, b"{}")
    assert "twice" in str(refused(saved))


def test_links(saved: Path):
    with zipfile.ZipFile(saved, "a") as archive:
        link = zipfile.ZipInfo("assets")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert "link" in str(refused(saved))
    assert "link" in str(refused(saved, trust=True))


def test_members_that_unpack_to_too_much(saved: Path, monkeypatch: pytest.MonkeyPatch):
    rewritten(saved, lambda content: content.update({CONFIG: b" " * 2_000_000 + content[CONFIG]}), zipfile.ZIP_DEFLATED)
    fs.load(saved)
    monkeypatch.setattr(keras_archive, "LARGE", 1_000_000)
    assert "unpacks from" in str(refused(saved))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing(saved: Path, compression: int):
    assert "packed unusually" in str(refused(rewritten(saved, lambda content: None, compression)))


@pytest.mark.parametrize("size", [2**32 - 2, 10])
def test_sizes_that_are_not_true(saved: Path, size: int):
    data = bytearray(saved.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # where the unpacked size stands
        place = data.find(signature)
        while place >= 0:
            data[place + offset : place + offset + 4] = struct.pack("<I", size)
            place = data.find(signature, place + 1)
    saved.write_bytes(bytes(data))
    refused(saved)


def test_descriptions_that_ask_for_more_numbers_than_are_stored(saved: Path):
    def enlarge(config: dict[str, Any]) -> None:
        _, hidden, last = config["config"]["layers"]
        hidden["config"]["units"] = 10**9
        last["build_config"]["input_shape"] = [None, 10**9]

    start = time.perf_counter()
    assert "describes a model of" in str(refused(with_config(saved, enlarge)))
    assert time.perf_counter() - start < 20


# ---- weights that lie elsewhere


def with_weights(path: Path, change: Callable[[h5py.File], None]) -> Path:
    """The same archive with other weights."""

    def changed(content: dict[str, bytes]) -> None:
        buffer = io.BytesIO(content[WEIGHTS])
        with h5py.File(buffer, "r+") as file:
            change(file)
        content[WEIGHTS] = buffer.getvalue()

    return rewritten(path, changed)


VARIABLES = "layers/dense/vars"


def kernel(file: h5py.File) -> Any:
    return file[VARIABLES]


def external_link(file: h5py.File) -> None:
    del file[VARIABLES]["0"]
    file[VARIABLES]["0"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file: h5py.File) -> None:
    file[VARIABLES]["2"] = h5py.SoftLink("/layers")


def external_storage(file: h5py.File) -> None:
    del file[VARIABLES]["0"]
    file[VARIABLES].create_dataset("0", (4, 3), "f4", external=[("/etc/passwd", 0, 48)])


def virtual(file: h5py.File) -> None:
    del file[VARIABLES]["0"]
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4, 3))
    file[VARIABLES].create_virtual_dataset("0", layout)


def texts(file: h5py.File) -> None:
    file[VARIABLES]["2"] = ["a", "b"]


def shape_bomb(file: h5py.File) -> None:
    del file[VARIABLES]["0"]
    file[VARIABLES].create_dataset("0", (10**5, 10**5), "f4", chunks=(1000, 1000), compression="gzip")


def named_type(file: h5py.File) -> None:
    file[VARIABLES]["2"] = np.dtype("f4")


@pytest.mark.parametrize("change", [external_link, soft_link, external_storage, virtual, texts, shape_bomb, named_type])
def test_weights_that_lie_elsewhere(saved: Path, change: Callable[[h5py.File], None]):
    with_weights(saved, change)
    assert WEIGHTS in str(refused(saved))
    assert WEIGHTS in str(refused(saved, trust=True))


def test_groups_in_a_circle(saved: Path):
    with_weights(saved, lambda file: file.__setitem__("layers/again", file["/"]))
    fs.load(saved)


# ---- code


def test_code_in_a_lambda_does_not_run(tmp_path: Path):
    marker = str(tmp_path / "marker")
    x = K.Input((4,))
    y = K.Lambda(eval(f"lambda z: (open({marker!r}, 'w').close(), z)[1]"), name="evil", output_shape=(4,))(x)
    functional(x, K.LSTM(2, name="memory")(K.Reshape((2, 2))(y))).save(tmp_path / "model.keras")
    (tmp_path / "marker").unlink(missing_ok=True)
    error = refused(tmp_path / "model.keras")
    assert "evil (Lambda)" in error.unsupported
    assert "memory (LSTM)" in error.unsupported
    assert "trust=True" in str(error)
    assert not (tmp_path / "marker").exists()
    with pytest.raises(fs.ModelError, match=r"evil \(Lambda\)"):  # opened with trust, it is still no affine map
        fs.load(tmp_path / "model.keras", trust=True)
    keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=False)(np.zeros((1, 4), np.float32))
    assert (tmp_path / "marker").exists()  # the file does hold code that runs


def test_classes_of_ones_own(tmp_path: Path):
    @keras.saving.register_keras_serializable("own")
    class OwnLayer(keras.layers.Dense):
        """A layer of the user's own."""

    @keras.saving.register_keras_serializable("own")
    class OwnRegularizer(keras.regularizers.Regularizer):
        """A setting of the user's own, which plays no role at inference."""

        def __call__(self, x: Any) -> Any:
            return keras.ops.sum(x)

        def get_config(self) -> dict[str, Any]:
            return {}

    path = tmp_path / "model.keras"
    sequential((4,), OwnLayer(3, name="mine")).save(path)
    error = refused(path)
    assert any("mine" in name and "own>OwnLayer" in name for name in error.unsupported)
    assert any("mine (OwnLayer)" in name for name in refused_with_trust(path).unsupported)
    sequential((4,), K.Dense(3, kernel_regularizer=OwnRegularizer())).save(path)
    assert "OwnRegularizer" in str(refused(path))
    network = fs.load(path, trust=True)
    assert network.notes == (TRUSTED,)


def refused_with_trust(path: Path) -> fs.ModelError:
    with pytest.raises(fs.ModelError) as caught:
        fs.load(path, trust=True)
    return caught.value


def test_options_that_are_not_supported_are_named_with_the_file(tmp_path: Path):
    sequential((4,), K.ReLU(threshold=1.0, name="cut")).save(tmp_path / "model.keras")
    assert refused(tmp_path / "model.keras").unsupported[0].startswith("cut (ReLU: its threshold")


def test_unsupported_layers_are_named_before_the_model_is_built(tmp_path: Path):
    x = K.Input((4, 3))
    y = K.LayerNormalization(name="norm")(K.GRU(3, return_sequences=True, name="memory")(x))
    functional(x, keras.ops.sin(y)).save(tmp_path / "model.keras")
    error = refused(tmp_path / "model.keras")
    assert set(error.unsupported) == {"norm (LayerNormalization)", "memory (GRU)", "sin (keras.src.ops.numpy.Sin)"}
    assert "trust" not in str(error)


def function(module: Any, name: Any, registered: Any = "function") -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": registered}


def described(module: Any, name: Any, registered: Any = None, **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize(
    "entry",
    [
        function("builtins", "eval"),
        function("os", "system"),
        function("keras.utils", "get_file"),
        function("keras.config", "enable_unsafe_deserialization"),
        function("builtins", "relu", registered="own>relu"),
        function("subprocess", "relu"),
        described("os", "system"),
        described("builtins", "eval"),
        described(None, "Dense", units=3),
        described("keras.layers", "Dense", "own>OwnLayer", units=3),
        described("keras.layers", "TorchModuleWrapper"),
        described("keras.layers", "TFSMLayer", filepath="/tmp/x"),
        described("keras.utils", "get_file", origin="http://localhost/x"),
        described("keras.saving", "load_model"),
        described("keras.src.utils.python_utils", "func_load"),
        described("keras.initializers", "Unknown"),
        described("keras.layers", ["Dense"]),
        {"class_name": "__lambda__", "config": {"value": "4wEAAAAA"}},
        {"class_name": "__typespec__", "config": {}, "module": "tensorflow", "registered_name": None},
        {"class_name": "Lambda", "config": {"function": ["4wEAAAAA", None, None]}},
        {"class_name": 3, "config": {}},
    ],
)
@pytest.mark.parametrize("key", ["activation", "kernel_initializer"])
def test_descriptions_that_name_code(saved: Path, entry: dict[str, Any], key: str):
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][1]["config"][key] = entry

    error = refused(with_config(saved, change))
    assert error.unsupported
    assert "trust=True" in str(error)


def test_code_at_any_depth(saved: Path):
    def change(config: dict[str, Any]) -> None:
        deep: Any = described("os", "system")
        for _ in range(100):
            deep = [{"a": deep}]
        config["config"]["layers"][1]["config"]["kernel_initializer"]["config"]["seed"] = deep

    assert "os.system" in refused(with_config(saved, change)).unsupported[0]


def test_training_settings_of_inner_models_are_looked_at(saved: Path):
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][1]["compile_config"] = {"loss": function("builtins", "eval")}

    assert "eval" in refused(with_config(saved, change)).unsupported[0]


def test_older_files_need_trust(tmp_path: Path):
    path = tmp_path / "model.h5"
    model = small()
    model.save(path)
    error = refused(path)
    assert "--trust-model" in str(error)
    assert error.unsupported == (".h5",)
    network = fs.load(path, trust=True)
    assert network.digest() == from_keras(model).digest()
    assert network.notes == (TRUSTED,)
    path.write_bytes(path.read_bytes()[:1000])
    assert "cannot load" in str(refused(path, trust=True))


# ---- Keras itself


@pytest.mark.parametrize("name", ["keras", "h5py"])
def test_without_keras(saved: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(fs.ModelError, match=r"pip install fiberscope\[keras\]"):
        fs.load(saved)


@pytest.mark.exhaustive
def test_the_backend_is_torch_unless_chosen(saved: Path):
    code = (
        "import fiberscope, os, sys; network = fiberscope.load(sys.argv[1]); import keras; "
        "print(keras.config.backend(), os.environ['KERAS_BACKEND'])"
    )
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    run = subprocess.run(
        [sys.executable, "-c", code, str(saved)], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["torch", "torch"]


# ---- files of older versions


def _older(path: Path, version: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """A file of Keras 3 that says what an older version would."""
    sequential((4, 4, 1), K.DepthwiseConv2D(2, name="depthwise"), K.Flatten(), K.Dense(2)).save(path)
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config["config"])
            file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), version
        return path
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config["config"])
    members["config.json"] = json.dumps(config).encode()
    members["metadata.json"] = json.dumps({"keras_version": version}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _with_groups(config: dict[str, Any]) -> None:
    """As Keras 2 wrote depthwise convolutions, which Keras 3 does not read."""
    config["layers"][1]["config"]["groups"] = 1


def _with_a_function(config: dict[str, Any]) -> None:
    config["layers"].append({"class_name": "TFOpLambda", "config": {"name": "tf.add", "function": "math.add"}})


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize(("version", "change"), [("2.11.0", _with_groups), ("2.4.3", _with_a_function)])
def test_files_of_keras_2_name_their_version_and_what_to_do(tmp_path: Path, suffix: str, version: str, change: Any):
    path = _older(tmp_path / f"model{suffix}", version, change)
    with pytest.raises(fs.ModelError) as caught:
        fs.load(path, trust=True)
    assert f"written by Keras {version}" in str(caught.value)
    assert "tf2onnx" in str(caught.value)
    assert f"Keras {keras.__version__} cannot" in str(caught.value)


def test_a_file_of_keras_2_that_keras_3_reads_is_read(tmp_path: Path):
    path = _older(tmp_path / "model.h5", "2.4.3", lambda config: None)
    assert fs.load(path, trust=True).outputs == 2
    with pytest.raises(fs.ModelError, match=r"not opened; it was written by Keras 2\.4\.3"):
        fs.load(path)


@pytest.mark.parametrize("version", ["3\x1b[2J", "<b>2.4</b>", "2." + "4" * 100, ""])
def test_what_no_version_looks_like_is_not_repeated(tmp_path: Path, version: str):
    with pytest.raises(fs.ModelError) as caught:
        fs.load(_older(tmp_path / "model.h5", version, _with_groups))
    assert "written by" not in str(caught.value)


def test_weights_without_a_model_are_named_for_what_they_are(tmp_path: Path):
    path = tmp_path / "model.weights.h5"
    sequential((4,), K.Dense(2)).save_weights(path)
    with pytest.raises(fs.ModelError, match="weights without the model; build the model"):
        fs.load(path, trust=True)
