"""Verdicts about the map from a network's input to a layer, and the table that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

pa: Any = pyarrow  # has no types


class Verdict(StrEnum):
    """Whether the input can be computed back from what a layer gives."""

    RECOVERABLE = "recoverable"
    """No other input of the domain has these features."""
    NOT_RECOVERABLE = "not recoverable"
    """Another input of the domain has exactly these features."""
    UNDECIDED = "undecided"


SCHEMA: Any = pa.schema(
    [
        pa.field("sample", pa.int64(), nullable=False),
        pa.field("layer", pa.int32(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


def verdict_table(verdicts: NDArray[Any], reasons: NDArray[Any], layers: Sequence[int]) -> Any:
    """Verdicts and reasons (N, L) as a table of ``SCHEMA``, by sample and layer, of some of the L layers."""
    columns: dict[str, Any] = {
        "sample": np.repeat(np.arange(len(verdicts)), len(layers)),
        "layer": np.tile(np.array(layers, dtype=np.int32), len(verdicts)),
        "verdict": verdicts[:, layers].ravel(),
        "reason": reasons[:, layers].ravel(),
    }
    return pa.table(columns, schema=SCHEMA)


__all__ = ["SCHEMA", "Verdict", "verdict_table"]
