"""Reading arrays from data files; a file that is not what it says is refused, and nothing in it is executed."""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import InputError

Array = NDArray[Any]

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The third byte of an IDX file, and the numbers that follow."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")

CIFAR_RECORD = 1 + 3 * 32 * 32
"""Bytes of an image in CIFAR-10's binary version: the label, then red, green and blue planes."""


def read_npz(path: Path) -> tuple[Array, Array | None]:
    """The arrays ``x`` and, if there, ``y`` of a ``.npz`` file."""
    what = "a .npz file with an array x and perhaps an array y"
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            if "x" not in names:
                hint = "write it with numpy.savez(path, x=samples, y=labels)"
                got = f"the arrays {', '.join(names) or '(none)'}"
                raise InputError(str(path), expected=what, got=got, hint=hint)
            return archive["x"], archive["y"] if "y" in names else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise _unreadable(path, what, error) from error


def read_npy(path: Path) -> Array:
    """The array of a ``.npy`` file."""
    what = "a .npy file with one array of numbers"
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, what, error) from error


def read_idx(path: Path) -> Array:
    """The array of an IDX file (the format of MNIST), plain or ``.gz``."""
    what = "an IDX file (two zero bytes, type, number of axes, sizes, numbers)"
    data = _read_bytes(path, what)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_TYPES or data[3] == 0:
        got = f"a file that begins with {data[:4].hex(' ') or 'nothing'}"
        hint = "data are .npz, .npy or IDX files, or folders of images"
        raise InputError(str(path), expected=what, got=got, hint=hint)
    axes = data[3]
    header = 4 + 4 * axes
    dtype = np.dtype(IDX_TYPES[data[2]])
    sizes = [int.from_bytes(data[4 + 4 * k : 8 + 4 * k]) for k in range(axes)]
    size = header + math.prod(sizes) * dtype.itemsize
    if len(data) != size:
        raise InputError(
            str(path), expected=f"{size} bytes, as its header says", got=f"{len(data)}", hint="get the file again"
        )
    try:
        return np.frombuffer(data, dtype, offset=header).reshape(sizes)
    except ValueError as error:  # more axes, or larger sizes beside a 0, than numpy's arrays can have
        raise _unreadable(path, what, error) from error


def read_cifar10_binary(path: Path) -> tuple[Array, Array]:
    """Images (N, 3, 32, 32) and labels (N,) of a batch of CIFAR-10's binary version."""
    what = f"records of {CIFAR_RECORD} bytes, each a label below 10 and 32 x 32 pixels in three colours"
    data = np.frombuffer(_read_bytes(path, what), np.uint8)
    if data.size == 0 or data.size % CIFAR_RECORD:
        raise InputError(str(path), expected=what, got=f"{data.size} bytes", hint="get the file again")
    records = data.reshape(-1, CIFAR_RECORD)
    if (records[:, 0] > 9).any():
        raise InputError(str(path), expected=what, got=f"a label {records[:, 0].max()}", hint="get the file again")
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def read_images(folder: Path) -> tuple[Array, Array | None, list[str]]:
    """The images of a folder, in the order of their names.

    Images in sub-folders are labelled by the sub-folder; either all images lie in sub-folders or none. Names that begin
    with a dot are hidden and not read.

    Returns:
        uint8 images, (N, height, width) if all are grey, else (N, 3, height, width); labels or None; class names.
    """
    places = [*folder.glob("[!.]*"), *folder.glob("[!.]*/[!.]*")]
    files = sorted(path for path in places if path.suffix.lower() in IMAGE_SUFFIXES)
    nested = [file.parent != folder for file in files]
    if not files or any(nested) != all(nested):
        got = "images both beside and inside sub-folders" if files else "none"
        raise InputError(
            str(folder),
            expected=f"images ({', '.join(IMAGE_SUFFIXES)}), or one sub-folder per class",
            got=got,
            hint="name the folder that holds the images themselves",
        )
    images = [_read_image(file) for file in files]
    if any(image.ndim == 3 for image in images):
        images = [image if image.ndim == 3 else np.repeat(image[np.newaxis], 3, axis=0) for image in images]
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            expected = f"the size of {files[0].name}, {images[0].shape[-2:]}"
            raise InputError(str(file), expected=expected, got=f"{image.shape[-2:]}", hint="give all images one size")
    classes = sorted({file.parent.name for file in files}) if all(nested) else []
    labels = np.array([classes.index(file.parent.name) for file in files], dtype=np.int64) if classes else None
    return np.stack(images), labels, classes


def _read_image(path: Path) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode in ("L", "1"):
                return np.asarray(image.convert("L"), dtype=np.uint8)
            if image.mode in ("RGB", "P"):
                return np.moveaxis(np.asarray(image.convert("RGB"), dtype=np.uint8), -1, 0)
            mode = image.mode
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _unreadable(path, "an image", error) from error
    raise InputError(
        str(path), expected="an 8-bit grey or RGB image", got=f"mode {mode}", hint="convert it without transparency"
    )


def _read_bytes(path: Path, what: str) -> bytes:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return file.read()
        return path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, what, error) from error


def _unreadable(path: Path, what: str, error: Exception) -> InputError:
    if "allow_pickle" in str(error):  # numpy's word for arrays that it would have to unpickle
        hint = "store numbers: numpy.asarray(values, dtype=float) says which are none"
        return InputError(str(path), expected=what, got="Python objects in an array", hint=hint)
    return InputError(
        str(path), expected=what, got=f"a file that cannot be read so: {error}", hint="get the file again"
    )


__all__ = ["read_cifar10_binary", "read_idx", "read_images", "read_npy", "read_npz"]
