"""Index sets of neurons or rows, given by the caller as indices or as a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import BoolArray


def checked_index_set(value: Any, m: int, what: str) -> BoolArray:
    """A set of indices in 0 ... m - 1 as a read-only mask (m,).

    Args:
        value: distinct integers in any order, or a boolean mask (m,); an empty list is the empty set.
        m: the number of rows.
        what: the argument's name, for the error message.

    Raises:
        InputError: something else, an index out of range, or one that comes twice.
    """
    expected = f"distinct indices in 0 ... {m - 1}, or a boolean mask of shape ({m},)"
    try:
        given = np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
    except (TypeError, ValueError) as error:  # a ragged list
        raise InputError(what, expected=expected, got=type(value).__name__) from error
    if given.ndim != 1 or (given.dtype.kind not in "biu" and given.size):
        got = (
            shown(value) if given.dtype.kind in "US" else f"an array of type {given.dtype.name} and shape {given.shape}"
        )
        raise InputError(what, expected=expected, got=got, hint="write [] for none of them")
    if given.dtype == np.bool_:
        if given.shape != (m,):
            raise InputError(what, expected=expected, got=f"a mask of shape {given.shape}")
        mask = given.copy()
    else:
        outside = given[(given < 0) | (given >= m)]
        if outside.size:
            raise InputError(what, expected=expected, got=f"the index {outside[0]}")
        mask = np.zeros(m, dtype=np.bool_)
        mask[given.astype(np.int64)] = True
        if mask.sum() < given.size:
            raise InputError(what, expected=expected, got="an index that comes twice")
    mask.setflags(write=False)
    return mask


__all__ = ["checked_index_set"]
