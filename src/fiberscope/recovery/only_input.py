"""No second input with exactly the same features, proved through several layers at once.

What a layer by itself does not tell apart, the network up to it may: its inputs are outputs of the layers before. The
exact features of x lie in bounds that its evaluation proves. All inputs of the domain whose features lie in them are in
a box that is tightened around the network (``tightening``). If the map has a positive modulus on a ball around x that
holds this box (``fiberscope.checker.modulus``), then no two inputs of it have the same features, and x is the only one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from fiberscope.checker import forward
from fiberscope.checker.linear import needed
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.modulus import chain_of, modulus
from fiberscope.checker.reading import LayerRows, StoredNetwork
from fiberscope.checker.relaxation import Known, Step, replayed
from fiberscope.checker.stored import Stage
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.network import Network
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.verification import stored
from fiberscope.recovery.elimination import LARGEST
from fiberscope.recovery.proof import as_received, reach_of
from fiberscope.recovery.tightening import tighten


@dataclass(frozen=True, eq=False)
class OnlyInputs:
    """A network as the checker reads it, and a bounded domain.

    Attributes:
        network: its layers and stages.
        box: around the domain.
        chains: of layers that were asked about, the rows up to them; None where they are no chain.
    """

    network: StoredNetwork
    box: Polyhedron
    chains: dict[int, tuple[LayerRows, ...] | None] = field(default_factory=dict[int, tuple[LayerRows, ...] | None])

    @classmethod
    def of(cls, network: Network, box: Polyhedron) -> OnlyInputs | None:
        """None where the domain has no bounds, or the checker cannot read the network."""
        if not (np.isfinite(box.low) & np.isfinite(box.high)).all():
            return None
        try:
            return cls(stored(network), box)
        except NotProvedError:
            return None

    def obstacle(self, layer: int, x: Float64[FloatArray, " n"]) -> str:
        """Why x cannot be proved here to be the only input with its features after a layer; empty if it may be."""
        stages, stage = self.network.stages, self.network.layers[layer].number
        units = sum(stages[k].outputs for k in needed(stages, stage) if stages[k].activation is not None)
        coordinates = self.network.inputs + units - stages[stage].outputs
        if 2 * coordinates * coordinates > LARGEST:
            return f"{coordinates} numbers on the way there are too many for proofs through all layers"
        if (chain := self._chain(layer)) is None:
            return "proofs through all layers are of affine maps and units that follow each other"
        try:
            at = modulus(chain, x, 0.0)
        except NotProvedError as failure:
            return str(failure)
        if at.rows < len(x):
            return f"{at.rows} outputs tell a number, fewer than the {len(x)} of the input, and sides must do the rest"
        return "" if at.lower > 0 else "that the outputs tell inputs apart is not even proved of those next to it"

    def proof(self, layer: int, x: Float64[FloatArray, " n"], budget: Budget) -> tuple[Step, ...] | None:
        """Steps that prove x to be the only input of the domain with its features after a layer; None for none found.

        Multipliers in single precision, where they prove it as well.
        """
        chain = self._chain(layer)
        if chain is None:
            return None

        def tells_apart(low: FloatArray, high: FloatArray) -> bool:
            return modulus(chain, x, reach_of(low, high, x)).lower > 0

        try:
            stages, known = self._asked(layer, x)
            left = tighten(stages, self.box.low, self.box.high, known, budget, x, tells_apart)
        except NotProvedError:
            return None
        single = tuple(map(_single, left.steps))
        return next((steps for steps in (single, left.steps) if self.has_one(layer, x, steps)), None)

    def has_one(self, layer: int, x: Float64[FloatArray, " n"], steps: tuple[Step, ...]) -> bool:
        """Whether steps prove that x is the only input of the domain with its features after a layer."""
        chain = self._chain(layer)
        if chain is None:
            return False
        try:
            stages, known = self._asked(layer, x)
            left = replayed(stages, self.box.low, self.box.high, known, steps)
            return left is not None and modulus(chain, x, reach_of(*left, x)).lower > 0
        except NotProvedError:
            return False

    def _asked(self, layer: int, x: FloatArray) -> tuple[tuple[int, tuple[Stage, ...]], Known]:
        """The network, and bounds on the exact features of x."""
        stages, stage = (self.network.inputs, self.network.stages), self.network.layers[layer].number
        return stages, Known(stage, *forward.bounds(stages, x, x, stage)[stage])

    def _chain(self, layer: int) -> tuple[LayerRows, ...] | None:
        if layer not in self.chains:
            try:
                self.chains[layer] = as_received(chain_of(self.network, layer))
            except NotProvedError:
                self.chains[layer] = None
        return self.chains[layer]


def _single(step: Step) -> Step:
    """The same with multipliers in single precision."""
    below, above = (part.astype(np.float32) for part in step.multipliers)
    return Step(step.coordinates, (below, above))


__all__ = ["OnlyInputs"]
