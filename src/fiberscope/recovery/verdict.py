"""Verdicts about the map from a network's input to a layer, and the table that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

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
    places = [(sample, layer) for sample in range(len(verdicts)) for layer in layers]
    columns: dict[str, list[Any]] = {
        "sample": [sample for sample, _ in places],
        "layer": [layer for _, layer in places],
        "verdict": [str(verdicts[place]) for place in places],
        "reason": [reasons[place] for place in places],
    }
    return pa.table(columns, schema=SCHEMA)


__all__ = ["SCHEMA", "Verdict", "verdict_table"]
