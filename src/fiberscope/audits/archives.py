"""Several arrays in one sealed file, in NumPy's ``.npz`` format: compressed, or as they are in memory, to be mapped."""

from __future__ import annotations

import io
import mmap
import os
import struct
import zipfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import ResultsError
from fiberscope.files import atomic_path
from fiberscope.seals import BLANK, is_sealed, seal, seal_in_place

_LENGTHS = "<26xHH"
"""An entry's own header in a zip file ends with the lengths of its name and of what else precedes the contents."""


def archive_to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write arrays by name, compressed; the seal is the archive's comment."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = BLANK.encode()
    return seal(buffer.getvalue())


def archive_from_bytes(data: bytes, path: str) -> dict[str, NDArray[Any]]:
    """Read what ``archive_to_bytes`` wrote, sealed or not.

    Raises:
        ResultsError: the bytes are something else, or not all there.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # damaged bytes make zipfile, zlib and NumPy raise a dozen unrelated types
        raise ResultsError(f"{path} is damaged: {error or type(error).__name__}", path=path) from error


def write_archive(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name, not compressed, so that they can be mapped, without a copy of them in memory.

    Raises:
        ResultsError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.comment = BLANK.encode()
        with temporary.open("rb+") as file, closing(mmap.mmap(file.fileno(), 0)) as data:
            seal_in_place(data)


def map_archive(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays that ``write_archive`` wrote: parts of the file, which are read where they are looked at.

    Raises:
        ResultsError: the file is something else, or not all there.
    """
    try:
        with path.open("rb") as file:
            with closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data:
                if not is_sealed(data):
                    raise ValueError("it is not as it was written")  # noqa: TRY301 - one way out for all that is damaged
            with zipfile.ZipFile(file) as archive:
                members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            return {name: _mapped(path, file, entry) for name, entry in members.items()}
    except Exception as error:  # damaged bytes make zipfile and NumPy raise a dozen unrelated types
        raise ResultsError(f"{path} is damaged: {error or type(error).__name__}", path=str(path)) from error


def _mapped(path: Path, file: BinaryIO, entry: zipfile.ZipInfo) -> NDArray[Any]:
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError("its arrays are compressed")
    file.seek(entry.header_offset)
    name, extra = struct.unpack(_LENGTHS, file.read(struct.calcsize(_LENGTHS)))
    file.seek(name + extra, os.SEEK_CUR)
    first = np.lib.format.read_magic(file) == (1, 0)
    header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(file)
    return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


__all__ = ["archive_from_bytes", "archive_to_bytes", "map_archive", "write_archive"]
