"""Several arrays in one sealed file, in NumPy's ``.npz`` format."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import ResultsError
from fiberscope.seals import BLANK, seal


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


__all__ = ["archive_from_bytes", "archive_to_bytes"]
