"""How large a matrix may become before it is refused."""

from __future__ import annotations

from fiberscope.errors import InputError

MATRIX_BYTES = 4 * 2**30
"""The largest matrix that is written out unless the caller allows more: 4 GiB."""


def check_size(what: str, shape: tuple[int, int], max_bytes: int) -> None:
    """InputError if a matrix of this shape takes more than so many bytes."""
    m, n = shape
    if 8 * m * n > max_bytes:
        raise InputError(
            what,
            expected=f"at most {max_bytes / 2**30:.3g} GiB",
            got=f"{m} x {n} numbers, {8 * m * n / 2**30:.3g} GiB",
            hint="allow more with max_bytes, restrict the input with window(), or use products J @ v alone",
        )


__all__ = ["MATRIX_BYTES", "check_size"]
