"""The attack: an input whose features are as near to given ones as a descent finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float64, Int64

from fiberscope.errors import InputError, shown
from fiberscope.network.activations import Pointwise
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Domain, written_out
from fiberscope.network.network import Network
from fiberscope.recovery.least_squares import Fit, fit
from fiberscope.recovery.linearized import NetworkModel
from fiberscope.recovery.starts import Start, layer_by_layer, middle, sides, uniform
from fiberscope.recovery.targets import Targets
from fiberscope.scalars import as_count, as_position

STARTS = (Start.GREY, Start.LAYERS, Start.RANDOM, Start.RANDOM)
"""One after the other, until the features are met."""

MET = 2.0**-20
"""Residuals of that share of the features' length are what float32 leaves: another start would not come nearer.

So are residuals of the half widths of intervals. A descent goes on below both all the same: stopped there, what it finds
from 8-bit features is up to twice as far from the input.
"""


@dataclass(frozen=True, eq=False, repr=False)
class Guess:
    """Inputs that have nearly the features that were asked for: guesses, of which nothing is proved.

    Attributes:
        x: (N, n) the inputs.
        residual: (N,) the largest distance of an output from the interval that is known of it, in its unit.
        steps: (N,) linearizations, of all starts together.
        start: (N,) where the descent began that ended at x.
    """

    x: Float64[FloatArray, "N n"]
    residual: Float64[FloatArray, " N"]
    steps: Int64[IntArray, " N"]
    start: tuple[Start, ...]

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        worst = float(self.residual.max())
        return f"Guess({len(self)} inputs, residual at most {worst:.2g}, {int(self.steps.sum())} steps)"


def attack(
    network: Network,
    layer: int,
    features: Float64[FloatArray, "N m"],
    domain: Domain | None = None,
    *,
    within: Float64[FloatArray, " m"] | float = 0.0,
    starts: Sequence[Start] = STARTS,
    seconds: float | None = None,
    seed: int = 0,
) -> Guess:
    """Minimise the distance of a layer's output from given features over the box of a domain.

    ``min 1/2 |z(x) - y|^2`` over the units of which y tells the number z before the activation, plus the squares of
    what lies beyond the sides of the others: an inactive unit asks for z <= 0, a saturated one for z >= the clip's end.

    Args:
        network: the network.
        layer: the number of the ReLU layer whose outputs the features are.
        features: (N, m) outputs of N inputs.
        domain: where inputs lie; its half-spaces are not looked at. None for all of R^n.
        within: by how much outputs may differ from the features, a number or (m,).
        starts: where descents begin, one after the other until the features are met; the best is kept.
        seconds: when to stop, for all samples together; None for no limit.
        seed: of random starts.

    Returns:
        The guesses.

    Raises:
        InputError: there is no such layer, no start, or the domain has another dimension.
    """
    began = perf_counter()
    until = inf if seconds is None else began + seconds
    search = _Search(network, as_position(layer, len(network.relu_layers), "layer"), features, domain, within)
    if not starts:
        raise InputError("starts", expected="at least one", got="none", hint=f"such as {shown(tuple(STARTS))}")
    return search.run(tuple(Start(start) for start in starts), until, np.random.default_rng(as_count(seed, "seed", 0)))


class _Search:
    """Descents from one start after the other, for the samples whose features are not met yet."""

    def __init__(
        self, network: Network, position: int, features: FloatArray, domain: Domain | None, within: FloatArray | float
    ) -> None:
        self.network, self.position = network, position
        box = written_out(domain, network.inputs)
        self.low, self.high = torch.tensor(box.low), torch.tensor(box.high)
        y, slack = torch.tensor(features), torch.tensor(np.broadcast_to(within, features.shape[1:]).copy())
        self.outputs = Targets(y - slack, y + slack)
        stage = network.placed_layers[position].stage
        activation = network.stages[stage].activation
        assert isinstance(activation, Pointwise), "a layer ends in a pointwise activation"
        self.whole = NetworkModel(network, stage)
        injective = activation.injective()
        if injective is not None and not injective.any():  # what was cut off is asked for before the clip
            least, most = (torch.full((y.shape[1],), bound, dtype=torch.float64) for bound in activation.cut)
            self.targets = sides(self.outputs.low, self.outputs.high, least, most)
            self.model = NetworkModel(network, network.sources(stage)[0])
        else:
            self.targets, self.model = self.outputs, self.whole
        known = (slack.square() * self.targets.two_sided).sum(dim=1)
        self.met = torch.maximum(known, MET * MET * y.square().sum(dim=1)) / 2

    def run(self, starts: tuple[Start, ...], until: float, generator: np.random.Generator) -> Guess:
        N = len(self.met)
        best = Fit(torch.zeros(N, self.network.inputs, dtype=torch.float64), torch.full((N,), inf), torch.zeros(N))
        best = Fit(best.x, best.objective.double(), best.steps.long())
        chosen = [starts[0]] * N
        for start in starts:
            left = torch.nonzero(best.objective > self.met)[:, 0]
            if not len(left) or (perf_counter() > until and bool(torch.isfinite(best.objective).all())):
                break
            first = self._first(start, left, until, generator)
            if first is None:
                continue
            found = fit(self.model, self.targets[left], first, self.low, self.high, until)
            better = found.objective < best.objective[left]
            best.steps[left] += found.steps
            best.x[left[better]], best.objective[left[better]] = found.x[better], found.objective[better]
            for sample in left[better].tolist():
                chosen[sample] = start
        residual = self.outputs.distance(self.whole.values(best.x))
        return Guess(best.x.numpy(), residual.numpy(), best.steps.numpy(), tuple(chosen))

    def _first(
        self, start: Start, left: torch.Tensor, until: float, generator: np.random.Generator
    ) -> torch.Tensor | None:
        grey = middle(self.low, self.high)
        match start:
            case Start.GREY:
                return grey.expand(len(left), -1)
            case Start.RANDOM:
                return uniform(self.low, self.high, len(left), generator)
            case Start.LAYERS:
                return layer_by_layer(self.network, self.position, self.targets[left], grey, until)


__all__ = ["STARTS", "Guess", "attack"]
