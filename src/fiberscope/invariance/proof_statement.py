"""What a proof of an invariance example is about, and the part of it that no arithmetic is needed for."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float64

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.network import Network


@dataclass(frozen=True, eq=False)
class Statement:
    """What is to be proved.

    Attributes:
        network: the network.
        stage: the number of the stage whose output must not change.
        source: (n,) x.
        example: (n,) x'.
        domain: what both, and the segment, lie in.
        kept: (n,) the pixels that must not change.
        segment: whether the segment between them shall have the same features, too, or the example alone.
    """

    network: Network
    stage: int
    source: Float64[FloatArray, " n"]
    example: Float64[FloatArray, " n"]
    domain: Polyhedron
    kept: BoolArray
    segment: bool = True


__all__ = ["Statement"]
