"""What an audit finds: one finding per sample, layer and domain."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from fiberscope.audits.plan import EXACT
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages.kind import Kind

UNDECIDED_DIMENSION = -2
"""Stands in arrays for the dimension of an undecided preimage, which is not known."""

_ID_LENGTH = 32


@dataclass(frozen=True)
class Finding:
    """The verdict about the preimage of one layer's output at one sample, on one domain.

    Attributes:
        sample: the position of the sample in the data.
        layer: the position of the layer among the ReLU layers.
        domain: the name of the domain, as the plan gives it.
        positives: the number of positive outputs of the layer: of clips, of those above the lower bound.
        saturated: how many outputs are at the upper bound of a clip.
        kind: what the preimage is.
        dimension: its dimension; None where undecided.
        margin: how far the verdict is from the opposite one, dimensionless.
        certificate: the id of the certificate; empty where undecided.
        reason: why it is undecided, or how it was proved; may be empty.
        radius: every point of the preimage is proved to lie within this distance of the input; inf where none is.
        dimension_bounds: proved bounds on a dimension that is not known; elsewhere None, or what contradicts it.
        precision: to which the output is known; ``EXACT`` where it is exactly.
    """

    sample: int
    layer: int
    domain: str
    positives: int
    saturated: int
    kind: Kind
    dimension: int | None
    margin: float
    certificate: str
    reason: str
    radius: float = math.inf
    dimension_bounds: tuple[int, int] | None = None
    precision: str = EXACT

    @property
    def dimension_low(self) -> int:
        """A lower bound on the dimension; ``UNDECIDED_DIMENSION`` where nothing is known."""
        return self._bounds[0]

    @property
    def dimension_high(self) -> int:
        """An upper bound on the dimension; ``UNDECIDED_DIMENSION`` where nothing is known."""
        return self._bounds[1]

    @property
    def _bounds(self) -> tuple[int, int]:
        if self.dimension is not None:
            return self.dimension, self.dimension
        return self.dimension_bounds or (UNDECIDED_DIMENSION, UNDECIDED_DIMENSION)


def certificate_id(data: bytes) -> str:
    """The id under which a certificate is stored: the beginning of the SHA-256 of its bytes."""
    return hashlib.sha256(data).hexdigest()[:_ID_LENGTH]


@dataclass(frozen=True, eq=False)
class FindingsTable:
    """Many findings, column by column.

    Attributes:
        sample: (F,) positions of the samples.
        layer: (F,) positions of the layers.
        domain: (F,) names of the domains.
        positives: (F,) numbers of positive outputs.
        saturated: (F,) numbers of outputs at the upper bound of a clip.
        kind: (F,) kinds.
        dimension: (F,) dimensions, ``UNDECIDED_DIMENSION`` where not known.
        margin: (F,) margins.
        certificate: (F,) ids of the certificates, empty where there is none.
        reason: (F,) reasons.
        radius: (F,) bounds on distances from the input.
        dimension_low: (F,) lower bounds on dimensions, ``UNDECIDED_DIMENSION`` where not known.
        dimension_high: (F,) upper bounds.
        precision: (F,) precisions to which outputs are known.
    """

    sample: IntArray
    layer: IntArray
    domain: NDArray[np.object_]
    positives: IntArray
    saturated: IntArray
    kind: NDArray[np.object_]
    dimension: IntArray
    margin: FloatArray
    certificate: NDArray[np.object_]
    reason: NDArray[np.object_]
    radius: FloatArray
    dimension_low: IntArray
    dimension_high: IntArray
    precision: NDArray[np.object_]

    def __len__(self) -> int:
        return self.sample.shape[0]

    @property
    def has_dimension(self) -> Bool[BoolArray, " F"]:
        """(F,) where there is a preimage whose dimension is known; of large layers there may be bounds alone."""
        return self.dimension >= 0

    def where(self, mask: BoolArray) -> FindingsTable:
        """The findings at which ``mask`` (F,) is true."""
        return FindingsTable(**{name: getattr(self, name)[mask] for name in self.__dataclass_fields__})

    def at(self, layer: int, domain: str, precision: str = EXACT) -> FindingsTable:
        """The findings about one layer and domain, at one precision."""
        return self.where((self.layer == layer) & (self.domain == domain) & (self.precision == precision))

    def groups(self) -> list[tuple[int, str, str]]:
        """Every layer, domain and precision that occur together, by layer and then in order of appearance."""
        seen = dict.fromkeys(zip(self.layer.tolist(), self.domain.tolist(), self.precision.tolist(), strict=True))
        return sorted(seen, key=lambda group: group[0])

    def rows(self) -> Iterator[Finding]:
        """The findings one by one."""
        columns: list[list[Any]] = [getattr(self, name).tolist() for name in self.__dataclass_fields__]
        names = list(self.__dataclass_fields__)
        for values in zip(*columns, strict=True):
            said: dict[str, Any] = dict(zip(names, values, strict=True))
            low, high = said.pop("dimension_low"), said.pop("dimension_high")
            if said["dimension"] == UNDECIDED_DIMENSION:
                said["dimension"] = None
                said["dimension_bounds"] = None if low == UNDECIDED_DIMENSION else (low, high)
            elif (low, high) != (said["dimension"], said["dimension"]):  # a table that was changed
                said["dimension_bounds"] = (low, high)
            said["kind"] = Kind(said["kind"])
            yield Finding(**said)


__all__ = ["UNDECIDED_DIMENSION", "Finding", "FindingsTable", "certificate_id"]
