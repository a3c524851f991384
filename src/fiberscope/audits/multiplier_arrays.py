"""Multipliers that prove bounds on inputs, in and out of arrays: most are zeros, and only the others are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.checker.relaxation import Step
from fiberscope.errors import ResultsError

Arrays = dict[str, NDArray[Any]]


def arrays_of_steps(steps: Sequence[Step]) -> Arrays:
    """Steps as arrays, by name."""
    out: Arrays = {}
    for k, step in enumerate(steps):
        out |= {f"step/{k}/coordinates": step.coordinates} | arrays_of_pair(f"step/{k}/", step.multipliers)
    return out


def stored_steps(own: Mapping[str, NDArray[Any]]) -> tuple[Step, ...]:
    """The steps among arrays; KeyError or another error where they are malformed."""
    count = sum(name.startswith("step/") and name.endswith("/coordinates") for name in own)
    return tuple(Step(own[f"step/{k}/coordinates"], stored_pair(f"step/{k}/", own)) for k in range(count))


def arrays_of_pair(prefix: str, pair: tuple[NDArray[Any], NDArray[Any]]) -> Arrays:
    """Two matrices of multipliers, by their entries that are not zero."""
    out: Arrays = {}
    for name, matrix in zip(("below", "above"), pair, strict=True):
        where = np.flatnonzero(matrix)
        out[f"{prefix}{name}/shape"], out[f"{prefix}{name}/where"] = np.array(matrix.shape), where
        out[f"{prefix}{name}/values"] = matrix.ravel()[where]
    return out


def stored_pair(prefix: str, own: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What ``arrays_of_pair`` made arrays of."""
    return _stored_matrix(f"{prefix}below/", own), _stored_matrix(f"{prefix}above/", own)


def _stored_matrix(prefix: str, own: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    values, (rows, columns) = own[f"{prefix}values"], own[f"{prefix}shape"].tolist()
    if rows < 0 or columns < 0 or rows * columns > np.iinfo(np.int32).max:
        raise ResultsError(f"the multipliers are damaged: {rows} times {columns}")
    out = np.zeros(rows * columns, dtype=values.dtype)
    out[own[f"{prefix}where"]] = values
    return out.reshape(rows, columns)


__all__ = ["Arrays", "arrays_of_pair", "arrays_of_steps", "stored_pair", "stored_steps"]
