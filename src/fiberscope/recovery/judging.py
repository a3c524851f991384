"""The verdicts about the map up to each layer, put together from what is proved of layers and of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from fiberscope.checker.matrices import flushes_subnormal_numbers
from fiberscope.labels import label
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.stage import INPUT
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.kind import Kind
from fiberscope.recovery.exact_counts import ExactCounts, exact_counts
from fiberscope.recovery.exact_singleton import Certain, carries_over, surrogate_is_singleton
from fiberscope.recovery.verdict import Verdict

if TYPE_CHECKING:
    from fiberscope.checker.relaxation import Step
    from fiberscope.recovery.only_input import OnlyInputs

OwnKinds = Callable[[int, IntArray], tuple[NDArray[np.object_], FloatArray]]
"""Of a layer and some samples: the proved kinds of its own preimages at what it received, as float64 numbers, within
the bounds of that or, where it receives the network's input, within the domain; and these numbers, (S, n). An empty
text stands for a layer that was not judged."""

Told = Callable[[int, int], None]
"""Is told how many of so many samples and layers are done with."""


def untold(done: int, total: int) -> None:
    """For who is not told."""
    del done, total


CHAIN = "every layer up to it has one input only for its output, proved for the exact activations"
THROUGH = "all inputs of the domain with these features lie where the network up to it is proved to tell inputs apart"
OVER = "the time for proofs through all layers up to it was over"
OPEN = "whether another input has these features is open"
BOUNDS = "what is proved through all layers up to it does not end in one"
NOT_FOUND = "none was found in its linear region"
ONE_INPUT = "the domain holds no other input"
FLUSHES = "this thread flushes subnormal numbers to zero, so no error bound holds"


@runtime_checkable
class Through(Protocol):
    """Proofs through several layers at once."""

    @property
    def is_over(self) -> bool:
        """Whether there is no time for another."""
        ...

    def missing(self, only: OnlyInputs, sample: int, layer: int, x: Float64[FloatArray, " n"]) -> str:
        """Why x, the sample of that number, is not proved to be the only input with its features after a layer.

        Empty where it is.
        """
        ...


@dataclass(frozen=True, eq=False)
class Searched:
    """Proofs that are searched for.

    Attributes:
        budget: for all of them.
        keep: is given the sample, the layer and the steps of each that is found.
    """

    budget: Budget
    keep: Callable[[int, int, tuple[Step, ...]], None] = lambda sample, layer, steps: None

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self.budget.is_over

    def missing(self, only: OnlyInputs, sample: int, layer: int, x: FloatArray) -> str:
        """Why no proof is found; empty where one is."""
        if obstacle := only.obstacle(layer, x):
            return obstacle
        steps = only.proof(layer, x, self.budget)
        if steps is None:
            return BOUNDS
        self.keep(sample, layer, steps)
        return ""


@dataclass(eq=False)
class Judging:
    """Verdicts about N samples up to each of the first L layers, layer by layer.

    Attributes:
        network: the network.
        X: (N, n) the samples, exact numbers of the domain.
        domain: where inputs lie; None for all of R^n.
        last: the number of the last layer, L - 1.
        own: the kinds of layers by themselves.
        through: for proofs through several layers at once; None for none.
        searching: for searches of second inputs; None for none.
        told: of how far these take it.
        verdicts: (N, L) of ``Verdict``.
        reasons: (N, L) in words.
    """

    network: Network
    X: Float64[FloatArray, "N n"]
    domain: Domain | None
    last: int
    own: OwnKinds
    through: Through | None = None
    searching: Budget | None = None
    told: Told = untold
    verdicts: NDArray[np.object_] = field(init=False)
    reasons: NDArray[np.object_] = field(init=False)

    def judge(self) -> None:
        """Fill in the verdicts and reasons."""
        shape = len(self.X), self.last + 1
        self.verdicts, self.reasons = np.full(shape, Verdict.UNDECIDED, dtype=object), np.full(shape, "", dtype=object)
        if flushes_subnormal_numbers():
            self.reasons[:] = FLUSHES
            return
        domain = as_polyhedron(self.domain, self.network.inputs)
        with np.errstate(all="ignore"):
            counts = exact_counts(self.network, self.X, domain, self.last)
        for layer in range(self.last + 1):
            self._inherit(layer)
            self._count(layer, counts)
            if (domain.low == domain.high).all():
                self._say(layer, self._open(layer), Verdict.RECOVERABLE, ONE_INPUT)
            self._chain(layer, counts)
        if not (self.verdicts == Verdict.UNDECIDED).any() or (self.through is None and self.searching is None):
            return
        only = None
        if self.through is not None:
            from fiberscope.recovery.only_input import OnlyInputs  # it loads solvers

            only = OnlyInputs.of(self.network, domain)
        for sample in range(len(self.X)):
            if only is not None and self.through is not None:
                self._prove(sample, only, self.through)
                self.told((sample + 1) * (self.last + 1), self.verdicts.size)
            if self.searching is not None:
                self._search(sample, self.searching)

    def _open(self, layer: int) -> BoolArray:
        return np.asarray(self.verdicts[:, layer] == Verdict.UNDECIDED)

    def _say(self, layer: int, samples: BoolArray | IntArray, verdict: Verdict, reason: str) -> None:
        self.verdicts[samples, layer], self.reasons[samples, layer] = verdict, reason

    def _name(self, layer: int) -> str:
        return f"layer {label(layer, self.network.placed_layers[layer].name)}"

    # ---- a second input

    def _inherit(self, layer: int) -> None:
        """What an earlier layer does not tell apart, a layer does not that sees nothing else."""
        for before in _gates(self.network, layer):
            mixed = self._open(layer) & (self.verdicts[:, before] == Verdict.NOT_RECOVERABLE)
            self.verdicts[mixed, layer], self.reasons[mixed, layer] = (
                Verdict.NOT_RECOVERABLE,
                self.reasons[mixed, before],
            )

    def _count(self, layer: int, counts: ExactCounts) -> None:
        few = self._open(layer) & (counts.equations[:, layer] < counts.free)
        for sample in np.flatnonzero(few):
            stage = int(counts.cuts[sample, layer])
            reason = (
                f"{counts.free[sample]} numbers of the input may move, and no more than "
                f"{counts.equations[sample, layer]} numbers change with them up to stage "
                f"{label(stage, self.network.stages[stage].name)}"
            )
            self._say(layer, np.array([sample]), Verdict.NOT_RECOVERABLE, reason)

    def _search(self, sample: int, budget: Budget) -> None:
        """Look for a second input in the linear region, from the last layer back: it has one if any earlier has."""
        failed: list[int] = []
        for layer in reversed(range(self.last + 1)):
            needless = any(layer in _gates(self.network, other) for other in failed)
            if self.verdicts[sample, layer] != Verdict.UNDECIDED or needless:
                continue
            if budget.is_over:
                return
            reason = self._second_input(sample, layer, budget)
            if reason:
                self._say(layer, np.array([sample]), Verdict.NOT_RECOVERABLE, reason)
            else:
                failed.append(layer)
                self.reasons[sample, layer] += f"; {NOT_FOUND}"

    def _second_input(self, sample: int, layer: int, budget: Budget) -> str:
        """Where a second input was found; empty if none was."""
        from fiberscope.recovery.found_input import second_elsewhere, second_in_region  # these load solvers

        x = self.X[sample]
        if second_in_region(self.network, layer, x, self.domain):
            return "another input of the same linear region has the same output"
        if not budget.is_over and second_elsewhere(self.network, layer, x, self.domain, budget):
            return "an input of another linear region has the same output"
        return ""

    # ---- no second input

    def _prove(self, sample: int, only: OnlyInputs, through: Through) -> None:
        """Prove that there is none through several layers, as deep as that goes."""
        for layer in range(self.last + 1):
            self.told(sample * (self.last + 1) + layer, self.verdicts.size)
            if self.verdicts[sample, layer] != Verdict.UNDECIDED:
                continue
            begun = not through.is_over
            missing = through.missing(only, sample, layer, self.X[sample]) if begun else ""
            if missing or not begun:
                self._leave_open(sample, layer, missing, over=through.is_over)
                break
            self._say(layer, np.array([sample]), Verdict.RECOVERABLE, THROUGH)

    def _leave_open(self, sample: int, layer: int, why: str, *, over: bool) -> None:
        """Say why there is no proof; where there is one of earlier layers, what was said of these counts no more."""
        rest = self.verdicts[sample] == Verdict.UNDECIDED
        if (self.reasons[sample] == THROUGH).any():
            self.reasons[sample, rest] = OPEN
        if why:
            self.reasons[sample, layer] += f"; {why}"
        if over:
            self.reasons[sample, rest] += f"; {OVER}"

    def _chain(self, layer: int, counts: ExactCounts) -> None:
        """Judge the samples whose input is recoverable from what the layer receives."""
        placed, left = self.network.placed_layers[layer], self._open(layer)
        if not isinstance(placed.layer, ReLULayer):
            reason = f"branches meet in {self._name(layer)}, which is judged within the sample's linear region only"
            self._say(layer, left, Verdict.UNDECIDED, reason)
            return
        if placed.note:
            reason = f"the affine maps of {self._name(layer)} are composed with rounding, and only the result is judged"
            self._say(layer, left, Verdict.UNDECIDED, reason)
            return
        if placed.source == INPUT:
            self._first(layer, np.flatnonzero(left))
            return
        before = next((k for k in range(layer) if self.network.placed_layers[k].stage == placed.source), None)
        if before is None:
            kind = self.network.stages[placed.source].kind
            self._say(layer, left, Verdict.UNDECIDED, f"{self._name(layer)} lies behind a {kind}, which is no layer")
            return
        known = left & (self.verdicts[:, before] == Verdict.RECOVERABLE)
        self.reasons[left & ~known, layer] = self.reasons[left & ~known, before]
        self._next(layer, placed.layer, np.flatnonzero(known), counts.certain[layer])

    def _first(self, layer: int, samples: IntArray) -> None:
        """A layer that receives the input itself, which is exact: its own verdict is one about the network."""
        if not len(samples):
            return
        kinds, _ = self.own(layer, samples)
        one, more = kinds == Kind.SINGLETON, (kinds == Kind.BOUNDED) | (kinds == Kind.UNBOUNDED)
        for chosen, verdict, reason in (
            (one, Verdict.RECOVERABLE, CHAIN),
            (more, Verdict.NOT_RECOVERABLE, f"{self._name(layer)} gives other inputs the same output"),
            (~one & ~more, Verdict.UNDECIDED, f"the verdict about {self._name(layer)} is undecided, or there is none"),
        ):
            self._say(layer, samples[chosen], verdict, reason)

    def _next(self, layer: int, own: ReLULayer, samples: IntArray, certain: Certain) -> None:
        if not len(samples):
            return
        kinds, H = self.own(layer, samples)
        own_certain = certain.of(samples)
        bounds = self.network.placed_layers[layer].received
        one = kinds == Kind.SINGLETON
        carried = np.zeros(len(samples), dtype=np.bool_)
        if one.any():
            carried[one] = carries_over(own, H[one], bounds, own_certain.of(np.flatnonzero(one)))
        for i in np.flatnonzero(one & ~carried):
            carried[i] = surrogate_is_singleton(own, H[i], bounds, own_certain.of(np.array([i])), NO_LIMIT)
        more = (kinds == Kind.BOUNDED) | (kinds == Kind.UNBOUNDED)
        self._say(layer, samples[carried], Verdict.RECOVERABLE, CHAIN)
        for chosen, reason in (
            (more, "{} by itself has other inputs with the same output; whether the layers before give them is open"),
            (one & ~carried, "{} has one input for its output only where units are active that rounding leaves open"),
            (~one & ~more, "the verdict about {} by itself is undecided, or there is none"),
        ):
            self._say(layer, samples[chosen], Verdict.UNDECIDED, reason.format(self._name(layer)))


def _gates(network: Network, layer: int) -> Int64[IntArray, " g"]:
    """The earlier layers that every path from the input to a layer goes through, the latest first."""
    through: dict[int, set[int]] = {INPUT: set()}
    last = network.placed_layers[layer].stage
    for number in network.needed_for(last):
        through[number] = set.intersection(*(through[source] for source in network.sources(number))) | {number}
    gates = [k for k in range(layer) if network.placed_layers[k].stage in through[last]]
    return np.array(gates[::-1], dtype=np.int64)


__all__ = ["THROUGH", "Judging", "OwnKinds", "Searched", "Through", "Told", "untold"]
