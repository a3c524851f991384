"""Many samples of one layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Domain, written_out
from fiberscope.network.layer import Layer, check_layer, flat_inputs
from fiberscope.preimage.checker import verify
from fiberscope.preimage.decide import decide_at_input
from fiberscope.preimage.preimage import Preimage
from fiberscope.threads import one_thread

if TYPE_CHECKING:
    import pyarrow

UNDECIDED_DIMENSION = -2


@dataclass(frozen=True, eq=False)
class Classification:
    """The preimages of a layer's outputs at N samples, in their order.

    Attributes:
        preimages: one per sample.
        positives: (N,) the number of positive outputs.
    """

    preimages: tuple[Preimage, ...]
    positives: IntArray

    @property
    def kind(self) -> NDArray[Any]:
        """(N,) the kinds, as strings."""
        return np.array([str(p.kind) for p in self.preimages])

    @property
    def dimension(self) -> Int64[IntArray, " N"]:
        """(N,) the dimensions; -2 where undecided."""
        return np.array(
            [UNDECIDED_DIMENSION if p.dimension is None else p.dimension for p in self.preimages], dtype=np.int64
        )

    @property
    def margin(self) -> Float64[FloatArray, " N"]:
        """(N,) the margins, in [0, 1]."""
        return np.array([p.margin for p in self.preimages], dtype=np.float64)

    def __len__(self) -> int:
        return len(self.preimages)

    def __getitem__(self, index: int) -> Preimage:
        return self.preimages[index]

    def __iter__(self) -> Iterator[Preimage]:
        return iter(self.preimages)

    def verify(self, exact: bool = False) -> Bool[BoolArray, " N"]:
        """(N,) whether each verdict is proved by its certificate; see ``fiberscope.verify``."""
        with one_thread():
            return np.array([bool(verify(p, exact=exact)) for p in self.preimages])

    def to_table(self) -> pyarrow.Table:  # pyright: ignore[reportUnknownParameterType] - pyarrow has no types
        """A table with the columns sample, positives, kind, dimension (null where undecided), margin, reason."""
        import pyarrow as pa

        return pa.table(  # pyright: ignore[reportUnknownVariableType]
            {
                "sample": pa.array(range(len(self)), pa.int64()),
                "positives": pa.array(self.positives, pa.int32()),
                "kind": pa.array([str(p.kind) for p in self.preimages], pa.string()),
                "dimension": pa.array([p.dimension for p in self.preimages], pa.int32()),
                "margin": pa.array(self.margin, pa.float64()),
                "reason": pa.array([p.reason for p in self.preimages], pa.string()),
            }
        )


def classify(layer: Layer, X: Any, domain: Domain | None = None) -> Classification:
    """Decide and prove the preimages of the layer's outputs at many samples.

    Args:
        layer: the layer, m neurons and n inputs.
        X: (N, n) samples, or (N, *layer.input_shape).
        domain: where inputs lie; None for all of R^n.

    Returns:
        One proved verdict per sample.

    Raises:
        InputError: wrong shape, no samples, NaN or infinite numbers, or a sample outside the domain.
    """
    check_layer(layer)
    samples = flat_inputs(layer, X, "X")
    written_out(domain, layer.inputs)
    preimages: list[Preimage] = []
    # one BLAS thread: several lose more in waiting than they win on matrices of this size, and sums keep their order
    with one_thread():
        for index, x in enumerate(samples):
            try:
                preimages.append(decide_at_input(layer, domain, x))
            except InputError as error:
                raise InputError(f"X[{index}]", expected=error.expected, got=error.got, hint=error.hint) from error
    return Classification(tuple(preimages), np.array([p.positives for p in preimages], dtype=np.int64))


__all__ = ["Classification", "classify"]
