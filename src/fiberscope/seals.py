"""Seals: a file that holds the SHA-256 of all of its other bytes, so that any change of it shows in the file alone.

A writer puts ``BLANK`` into the file where the format has room for a remark (metadata, a comment, a last entry), and
``seal`` writes the digest of the whole into it.
"""

from __future__ import annotations

import hashlib
import mmap

_MARK = "sealed by SHA-256 "
_ZEROS = "0" * 64

BLANK = _MARK + _ZEROS
"""What a writer leaves for the seal."""


def seal(data: bytes) -> bytes:
    """Write the digest of some bytes into their last blank."""
    assert data.rfind(BLANK.encode()) == data.rfind(_MARK.encode()) >= 0, "the writer leaves a blank"
    start = _start(data)
    return data[:start] + _digest(data, start) + data[start + len(_ZEROS) :]


def seal_in_place(data: mmap.mmap) -> None:
    """Write the digest of a file that is mapped into its last blank."""
    start = _start(data)
    assert start >= 0, "the writer leaves a blank"
    data[start : start + len(_ZEROS)] = _digest(data, start)
    data.flush()


def is_sealed(data: bytes | mmap.mmap) -> bool:
    """Whether bytes are as ``seal`` gave them."""
    start = _start(data)
    return start >= 0 and data[start : start + len(_ZEROS)] == _digest(data, start)


def _start(data: bytes | mmap.mmap) -> int:
    """Where the digest begins; -1 if nowhere."""
    mark = data.rfind(_MARK.encode())
    return mark + len(_MARK) if mark >= 0 else -1


def _digest(data: bytes | mmap.mmap, start: int) -> bytes:
    digest = hashlib.sha256()
    with memoryview(data) as view, view[:start] as before, view[start + len(_ZEROS) :] as after:
        for piece in (before, _ZEROS.encode(), after):
            digest.update(piece)
    return digest.hexdigest().encode()


__all__ = ["BLANK", "is_sealed", "seal", "seal_in_place"]
