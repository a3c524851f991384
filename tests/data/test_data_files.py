"""Data are read from every format as what they are; a file that is not what it says is refused."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fiberscope.data import datasets
from fiberscope.data.datasets import load_data
from fiberscope.errors import InputError

PIXELS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4) * 11
LABELS = np.array([7, 3])


def idx(array: np.ndarray, code: int = 0x08, dtype: str = ">u1") -> bytes:
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(dtype).tobytes()


def test_npz(tmp_path: Path):
    path = tmp_path / "digits.npz"
    np.savez_compressed(path, x=PIXELS, y=LABELS)
    data = load_data(path)
    assert (data.name, len(data)) == ("digits", 2)
    assert data.x.dtype == np.float32
    np.testing.assert_array_equal(data.x, PIXELS.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.y, LABELS)
    assert data.description == "the file digits.npz: 2 samples of 3 x 4 numbers, pixels divided by 255"


@pytest.mark.parametrize(("dtype", "kept"), [("f8", "f8"), ("f4", "f4"), ("f2", "f4"), (">f8", "f8")])
def test_floats_are_taken_as_they_are(tmp_path: Path, dtype: str, kept: str):
    numbers = np.array([[0.5, -300.0], [1e3, 0.25]], dtype=dtype)
    np.save(tmp_path / "a.npy", numbers)
    data = load_data(str(tmp_path / "a.npy"))
    assert data.x.dtype == np.dtype(kept)
    assert data.y is None
    np.testing.assert_array_equal(data.x, numbers)
    assert "as stored" in data.description


@pytest.mark.parametrize("packed", [False, True])
def test_idx_with_its_labels(tmp_path: Path, packed: bool):
    suffix, pack = (".gz", gzip.compress) if packed else ("", bytes)
    (tmp_path / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(idx(PIXELS)))
    (tmp_path / f"t10k-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(LABELS)))
    data = load_data(tmp_path / f"t10k-images-idx3-ubyte{suffix}")
    np.testing.assert_array_equal(data.x, PIXELS.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.y, LABELS)


def test_idx_of_floats_without_labels(tmp_path: Path):
    (tmp_path / "numbers.idx").write_bytes(idx(np.array([[0.5, -2.0]]), 0x0D, ">f4"))
    data = load_data(tmp_path / "numbers.idx")
    assert data.y is None
    np.testing.assert_array_equal(data.x, [[0.5, -2.0]])


def test_named_sets_are_found_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    images = np.zeros((2, 28, 28), np.uint8)
    images[1] = 255
    (tmp_path / "fashion-mnist").mkdir()
    for folder, name in ((tmp_path, "t10k-{}.idx{}-ubyte"), (tmp_path / "fashion-mnist", "t10k-{}-idx{}-ubyte")):
        (folder / name.format("images", 3)).write_bytes(idx(images))
        (folder / name.format("labels", 1)).write_bytes(idx(LABELS))
    monkeypatch.setenv("FIBERSCOPE_DATA", str(tmp_path))
    for name, title in (("mnist", "MNIST"), ("fashion-mnist", "Fashion-MNIST")):
        data = load_data(name)
        assert data.name == name
        assert data.description.startswith(f"the test images of {title}: 2 ")
        np.testing.assert_array_equal(data.x[1], np.ones((28, 28)))
        np.testing.assert_array_equal(data.y, LABELS)
        assert data.classes[-1:] == (("ankle boot",) if name == "fashion-mnist" else ())


def write_set(folder: Path, images: np.ndarray, prefix: str = "t10k") -> str:
    """Write images as MNIST's files are named; returns the SHA-256 of their pixels."""
    folder.mkdir(exist_ok=True)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
    return hashlib.sha256(images.tobytes()).hexdigest()


@pytest.mark.exhaustive
@pytest.mark.parametrize(("split", "prefix", "count"), [("test", "t10k", 10_000), ("train", "train", 60_000)])
def test_sets_of_the_same_file_names_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: datasets.Split, prefix: str, count: int
):
    clothes, digits = (np.full((count, 28, 28), shade, np.uint8) for shade in (200, 100))
    known = write_set(tmp_path, clothes, prefix)
    monkeypatch.setattr(datasets, "FASHION_PIXELS", {"test": "", "train": "", split: known})
    assert len(load_data("fashion-mnist", tmp_path, split=split)) == count
    with pytest.raises(InputError, match=r"data set MNIST: .*, got those of Fashion-MNIST in .*a folder mnist"):
        load_data("mnist", tmp_path, split=split)
    write_set(tmp_path, digits, prefix)
    assert len(load_data("mnist", tmp_path, split=split)) == count
    with pytest.raises(InputError, match=rf"data set Fashion-MNIST: .*, got {count:,} other images in "):
        load_data("fashion-mnist", tmp_path, split=split)
    write_set(tmp_path, digits[1:], prefix)
    assert len(load_data("fashion-mnist", tmp_path, split=split)) == count - 1, "a part may be anything"


def test_another_set_of_the_same_file_names_does_not_hide_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    images = np.zeros((2, 28, 28), np.uint8)
    known = write_set(tmp_path / "mnist", images)
    monkeypatch.setattr(datasets, "FASHION_PIXELS", {"test": known, "train": ""})
    monkeypatch.setattr(datasets, "FULL_SIZES", (2,))
    write_set(tmp_path, images + 255)
    assert load_data("mnist", tmp_path).x.max() == 1


@pytest.mark.parametrize(("split", "count"), [("test", 10_000), ("train", 60_000)])
def test_fashion_mnist_itself_is_known(split: datasets.Split, count: int):
    folder = datasets.SYSTEM_FOLDER / "fashion-mnist"
    if not folder.is_dir():
        pytest.skip(f"Fashion-MNIST is not in {folder}")
    assert len(load_data("fashion-mnist", folder, split=split)) == count
    with pytest.raises(InputError, match="got those of Fashion-MNIST"):
        load_data("mnist", folder, split=split)


def test_cifar10_binary(tmp_path: Path):
    planes = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    records = [bytes([label]) + image.tobytes() for label, image in zip(LABELS, planes, strict=True)]
    (folder / "test_batch.bin").write_bytes(b"".join(records))
    data = load_data("cifar10", folder=tmp_path)
    np.testing.assert_array_equal(data.x, planes.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.y, LABELS)
    assert (len(data.classes), data.classes[3], data.classes[9]) == (10, "cat", "truck")
    (folder / "test_batch.bin").write_bytes(b"".join(records)[:-1])
    with pytest.raises(InputError, match="records of 3073 bytes"):
        load_data("cifar10", folder=tmp_path)
    (folder / "test_batch.bin").write_bytes(b"\x0a" + records[0][1:])
    with pytest.raises(InputError, match="got a label 10"):
        load_data("cifar10", folder=tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_absent_sets_say_what_is_expected_and_where(tmp_path: Path, name: str):
    with pytest.raises(InputError) as caught:
        load_data(name, folder=tmp_path)
    for part in (
        str(tmp_path / name),
        "t10k-images-idx3-ubyte.gz" if "mnist" in name else "test_batch.bin",
        "FIBERSCOPE_DATA",
    ):
        assert part in str(caught.value)


def test_folder_of_grey_images(tmp_path: Path):
    for name, image in zip(("b.png", "a.bmp"), PIXELS, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    data = load_data(tmp_path)
    np.testing.assert_array_equal(data.x, PIXELS[::-1].astype(np.float32) / np.float32(255))
    assert data.y is None


def test_folder_of_classes_with_colours(tmp_path: Path):
    colour = np.stack([PIXELS[0], PIXELS[1], PIXELS[0]], axis=-1)
    for folder, name, image in (("dog", "1.png", colour), ("cat", "2.png", PIXELS[0])):
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / name)
    for hidden in (tmp_path / ".thumbnails", tmp_path / "cat" / ".trash"):
        hidden.mkdir()
        Image.fromarray(PIXELS[1]).save(hidden / "3.png")
    Image.fromarray(PIXELS[1]).save(tmp_path / "cat" / ".4.png")
    data = load_data(tmp_path)
    assert data.x.shape == (2, 3, 3, 4)
    np.testing.assert_array_equal(data.y, [0, 1])
    np.testing.assert_array_equal(data.x[1] * 255, np.moveaxis(colour, -1, 0))
    np.testing.assert_array_equal(data.x[0] * 255, np.stack([PIXELS[0]] * 3))
    assert "classes cat, dog" in data.description
    assert data.classes == ("cat", "dog")


def test_images_of_different_sizes(tmp_path: Path):
    Image.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    Image.fromarray(PIXELS[0].T.copy()).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png.*the size of a\.png, \(3, 4\), got \(4, 3\)"):
        load_data(tmp_path)


def test_images_that_are_none(tmp_path: Path):
    with pytest.raises(InputError, match="got none"):
        load_data(tmp_path)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match=r"a\.png.*an image"):
        load_data(tmp_path)
    Image.new("RGBA", (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="got mode RGBA"):
        load_data(tmp_path)


def write_pickled_npy(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


BAD_FILES: list[tuple[str, Callable[[Path], object], str]] = [
    ("a.npz", lambda path: path.write_bytes(b"PK\3\4 no archive"), "a .npz file with an array x"),
    ("a.npz", lambda path: np.savez(path, images=PIXELS), "got the arrays images"),
    ("a.npz", lambda path: np.savez(path, x=np.array([None])), "a .npz file"),
    ("a.npz", lambda path: path.write_bytes(pickle.dumps(1)), "a .npz file"),
    ("a.npy", write_pickled_npy, "one array of numbers"),
    ("a.npy", lambda path: path.write_bytes(b"\x93NUMPY\x01\0"), "one array of numbers"),
    ("a.npy", lambda path: path.write_bytes(pickle.dumps(1)), "one array of numbers"),
    ("a.npy", lambda path: np.save(path, np.array([["a"]])), "got texts; convert it"),
    ("a.npy", lambda path: np.save(path, np.array([[1j]])), "got type complex128"),
    ("a.npy", lambda path: np.save(path, np.ones(3)), r"got shape \(3,\)"),
    ("a.npy", lambda path: np.save(path, np.ones((0, 3))), r"got shape \(0, 3\)"),
    ("a.npy", lambda path: np.save(path, np.array([[1, 256]])), "integers from 1 to 256"),
    ("a.npy", lambda path: np.save(path, np.array([[-1, 2]])), "integers from -1 to 2"),
    ("a.npy", lambda path: np.save(path, np.array([[np.nan]])), "finite"),
    ("a.npz", lambda path: np.savez(path, x=PIXELS, y=np.arange(3)), "2 whole numbers"),
    ("a.npz", lambda path: np.savez(path, x=PIXELS, y=np.array([0.5, 1])), "2 whole numbers.*such as fractions"),
    ("a.npz", lambda path: np.savez(path, x=PIXELS, y=np.array([np.inf, 1])), "infinity; leave y out"),
    ("a.npz", lambda path: np.savez(path, x=PIXELS, y=np.full(2, 1e30)), "2 whole numbers"),
    ("a.npz", lambda path: np.savez(path, x=PIXELS, y=np.full(2, 2**64 - 1, np.uint64)), "2 whole numbers"),
    ("a.npz", lambda path: np.savez(path, x=PIXELS, y=np.eye(2)), r"got shape \(2, 2\); .*argmax\(axis=1\)"),
    ("a.npz", lambda path: np.savez(path, x=PIXELS, y=["cat", "dog"]), "got texts; number the classes from 0"),
    ("a.npz", lambda path: np.savez(path, x=PIXELS, y=np.array([None, 1])), "got Python objects in an array"),
    ("a-ubyte", lambda path: path.write_bytes(idx(PIXELS)[:-1]), "40 bytes, as its header says, got 39"),
    ("a-ubyte", lambda path: path.write_bytes(idx(PIXELS) + b"\0"), "40 bytes, as its header says, got 41"),
    ("a-ubyte", lambda path: path.write_bytes(b"\0\0\x08\x03\0\0"), "as its header says"),
    ("a-ubyte", lambda path: path.write_bytes(b"\0\0\x08\xff" + bytes(4 * 255)), "an IDX file .* cannot be read so"),
    ("a-ubyte", lambda path: path.write_bytes(b"\0\0\x08\x03" + bytes(4) + b"\xff" * 8), "an IDX file .* cannot be"),
    ("a-ubyte", lambda path: path.write_bytes(b"\x89PNG"), "begins with 89 50 4e 47"),
    ("a-ubyte", lambda path: path.write_bytes(b""), "begins with nothing"),
    ("a-ubyte.gz", lambda path: path.write_bytes(idx(PIXELS)), "cannot be read"),
    ("a-ubyte.gz", lambda path: path.write_bytes(gzip.compress(idx(PIXELS))[:-9]), "cannot be read"),
    ("a-ubyte.gz", lambda path: path.write_bytes(gzip.compress(idx(PIXELS))[:12] + b"\xff" * 30), "cannot be read"),
]


@pytest.mark.parametrize("y", [np.array([[1], [0]]), np.array([1.0, 0.0]), np.array([True, False])])
def test_labels_may_be_a_column_floats_or_truth_values(y: np.ndarray, tmp_path: Path):
    np.savez(tmp_path / "a.npz", x=PIXELS, y=y)
    labels = load_data(tmp_path / "a.npz").y
    assert labels is not None
    assert labels.dtype == np.int64
    assert labels.tolist() == [1, 0]


@pytest.mark.parametrize(("name", "write", "message"), BAD_FILES)
def test_files_that_are_not_what_they_say(tmp_path: Path, name: str, write: Callable[[Path], object], message: str):
    write(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        load_data(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_truncated_archives(tmp_path: Path):
    np.savez_compressed(tmp_path / "whole.npz", x=PIXELS, y=LABELS)
    data = (tmp_path / "whole.npz").read_bytes()
    for length in (0, 1, 30, len(data) // 2, len(data) - 1):
        (tmp_path / "a.npz").write_bytes(data[:length])
        with pytest.raises(InputError, match=r"a\.npz"):
            load_data(tmp_path / "a.npz")


def test_unknown_names_list_the_known_ones():
    with pytest.raises(InputError, match=r"mnist, mnist-5k, fashion-mnist, cifar10.*'imagenet', which does not exist"):
        load_data("imagenet")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mnsit", "did you mean mnist, or mnist-5k"),
        ("MNIST", "did you mean mnist, or mnist-5k"),
        ("mnist5k", "did you mean mnist-5k?"),
        ("fashion_mnist", "did you mean fashion-mnist?"),
        ("CIFAR-10", "did you mean cifar10?"),
        ("digts.npz", "did you mean digits.npz?"),
        ("weather", "look at the spelling"),
    ],
)
def test_misspelled_data_are_named(name: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.npz").touch()
    with pytest.raises(InputError) as caught:
        load_data(name)
    assert meant in str(caught.value)


def test_missing_mnist_points_to_the_digits_that_need_no_download(tmp_path: Path):
    with pytest.raises(InputError, match=r"mnist-5k, 5,000 of its digits, which come with pip install"):
        load_data("mnist", tmp_path)
    with pytest.raises(InputError) as caught:
        load_data("cifar10", tmp_path)
    assert "mnist-5k" not in str(caught.value)
