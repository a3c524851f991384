"""Seals: a file that holds the SHA-256 of all of its other bytes, so that any change of it shows in the file alone.

A writer puts ``BLANK`` into the file where the format has room for a remark (metadata, a comment, a last entry), and
``seal`` writes the digest of the whole into it.
"""

from __future__ import annotations

import hashlib

_MARK = "sealed by SHA-256 "
_ZEROS = "0" * 64

BLANK = _MARK + _ZEROS
"""What a writer leaves for the seal."""


def seal(data: bytes) -> bytes:
    """Write the digest of some bytes into their last blank."""
    assert data.rfind(BLANK.encode()) == data.rfind(_MARK.encode()) >= 0, "the writer leaves a blank"
    start = _start(data)
    return data[:start] + _digest(data, start) + data[start + len(_ZEROS) :]


def is_sealed(data: bytes) -> bool:
    """Whether bytes are as ``seal`` gave them."""
    start = _start(data)
    return start >= 0 and data[start : start + len(_ZEROS)] == _digest(data, start)


def _start(data: bytes) -> int:
    """Where the digest begins; -1 if nowhere."""
    mark = data.rfind(_MARK.encode())
    return mark + len(_MARK) if mark >= 0 else -1


def _digest(data: bytes, start: int) -> bytes:
    digest, view = hashlib.sha256(), memoryview(data)
    for piece in (view[:start], _ZEROS.encode(), view[start + len(_ZEROS) :]):
        digest.update(piece)
    return digest.hexdigest().encode()


__all__ = ["BLANK", "is_sealed", "seal"]
