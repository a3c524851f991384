"""The stages of a network: one per affine map and one per activation, as the paper counts them [figure 4]."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from jaxtyping import Float
from torch import Tensor

from fiberscope.errors import ModelError
from fiberscope.network.activations import Activation, relu
from fiberscope.network.affine import AffineMap
from fiberscope.showing.shown import Shown

INPUT = -1
"""The number that stands for the network's input among the sources of a stage."""

AFFINE = "affine"
"""The kind of a stage that is no activation."""


@dataclass(frozen=True, eq=False, repr=False)
class Stage(Shown):
    """One step of a network on flat vectors: ``sum_i A_i x_i + b`` of its sources, or an activation of its one source.

    Args:
        name: what the model calls it.
        maps: the affine maps, one per source; empty for an activation.
        activation: the activation; None for an affine stage.
        sources: the numbers of the stages whose outputs it takes, -1 for the network's input; None for the stage
            before it.
        shape: the shape of its output in the model, without the sample axis; flat if not given.
        origin: the name of the same values in the model that the network was read from; may be empty.

    Raises:
        ModelError: the parts do not fit each other.
    """

    name: str
    maps: tuple[AffineMap, ...] = ()
    activation: Activation | None = None
    sources: tuple[int, ...] | None = None
    shape: tuple[int, ...] = ()
    origin: str = ""

    def __post_init__(self) -> None:
        count = 1 if self.sources is None else len(self.sources)
        fits = (
            bool(self.maps) != (self.activation is not None)
            and count == (len(self.maps) or 1)
            and len({affine.outputs for affine in self.maps}) <= 1
        )
        if not fits or (self.shape and prod(self.shape) != self.outputs):
            raise ModelError(f"stage {self.name!r}: its maps, sources and shape do not fit each other")
        if not self.shape:
            object.__setattr__(self, "shape", (self.outputs,))

    def _line(self) -> str:
        shape = " x ".join(map(str, self.shape))
        return f"{self.name}: {self.kind}, {shape} outputs"

    @property
    def kind(self) -> str:
        """``affine``, or the name of the activation."""
        return AFFINE if self.activation is None else self.activation.kind

    @property
    def input_sizes(self) -> tuple[int, ...]:
        """The number of coordinates that each source must have."""
        if self.activation is not None:
            return (self.activation.inputs,)
        return tuple(affine.inputs for affine in self.maps)

    @property
    def outputs(self) -> int:
        """The number of output coordinates."""
        return self.maps[0].outputs if self.activation is None else self.activation.outputs

    @property
    def parameters(self) -> int:
        """The number of stored numbers."""
        return sum(affine.parameters for affine in self.maps)

    def apply(self, *inputs: Float[Tensor, "N _"]) -> Float[Tensor, "N m"]:
        """Evaluate on what each source gives, (N, n_i) -> (N, m)."""
        if self.activation is not None:
            return self.activation.apply(*inputs)
        out = self.maps[0].apply(inputs[0])
        for affine, values in zip(self.maps[1:], inputs[1:], strict=True):
            out = out + affine.apply(values)
        return out


def affine_stage(name: str, affine: AffineMap) -> Stage:
    """The stage of an affine map of the stage before it."""
    return Stage(name, (affine,))


def relu_stage(name: str, size: int) -> Stage:
    """The stage of a ReLU on ``size`` coordinates, behind the stage before it."""
    return Stage(name, activation=relu(size))


__all__ = ["AFFINE", "INPUT", "Stage", "affine_stage", "relu_stage"]
