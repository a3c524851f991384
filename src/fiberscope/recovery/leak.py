"""A row of the table of what features give away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow

pa: Any = pyarrow  # has no types


@dataclass(frozen=True)
class Leak:
    """What one layer's features give away of one sample, at one precision: a row of the table.

    Attributes:
        sample: its number.
        layer: the layer's number.
        precision: to which the features are known.
        eps: by how much a feature may differ, in the features' units; of codes, half a step. NaN where the precision
            is not defined.
        bounded: of the layer as a map of its own input on all of R^n: whether that is bounded by the features.
        coarsest_eps: and up to which precision it stays so; see ``coarsest_precision``. NaN where that is not defined.
        recoverable: whether it is proved that the domain has no other input of 256 levels with these features; of
            samples that are not made of 256 levels, that all with them are less than a step apart, each coordinate.
        radius: every input of the scope with these features lies within that of the guess (Euclid), proved; inf else.
        pixel_median: the width of what is proved of a coordinate in the scope, median over coordinates.
        pixel_max: and the largest.
        ambiguity_bits: the logarithm to base 2 of how many images of 256 levels are left of the domain at most.
        cramer_rao: what no unbiased estimate's mean squared error, added over coordinates, stays below, if the features
            had Gaussian noise of standard deviation eps; inf where the local linear map loses a direction.
        scope: of which inputs radius and widths are proved: "domain", "ball" around the guess, or "none".
        rebuilt_error: the root mean square of what the guess, of which nothing is proved, is off the sample; NaN where
            there is none.
        reason: in words, why less is proved; may be empty.
    """

    sample: int
    layer: int
    precision: str
    eps: float
    bounded: bool
    coarsest_eps: float
    recoverable: bool
    radius: float
    pixel_median: float
    pixel_max: float
    ambiguity_bits: float
    cramer_rao: float
    scope: str
    rebuilt_error: float
    reason: str


NOTHING_KNOWN: tuple[None, ...] = ()
"""Of rows whose computation failed."""

_TYPES = {"int": pa.int64(), "str": pa.string(), "float": pa.float64(), "bool": pa.bool_()}

SCHEMA: Any = pa.schema([pa.field(name, _TYPES[kind], nullable=False) for name, kind in Leak.__annotations__.items()])
"""The columns: the fields of ``Leak``."""


def table_of(rows: Sequence[Leak]) -> Any:
    """Rows as a table of pyarrow."""
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA)


def rows_of(table: Any) -> list[Leak]:
    """The rows of such a table."""
    return [Leak(**row) for row in table.to_pylist()]


__all__ = ["NOTHING_KNOWN", "SCHEMA", "Leak", "rows_of", "table_of"]
