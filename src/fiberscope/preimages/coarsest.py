"""The precision at which a preimage stops being bounded.

With outputs known up to eps, a unit of bounds [p, q] whose exact output is y bounds its row from below while
``eps < y - p``, and from above while ``eps < q - y``. As eps grows rows lose sides, so that the recession cone grows,
and a bounded preimage becomes unbounded once at most, at one of these numbers, rounded up to float64: the inequality
between floats eps is the same. Where it is, is found by bisection, of all samples together. Multipliers that prove a
preimage bounded at some eps prove it at every smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np
from jaxtyping import Bool

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.layer import Layer, check_layer, flat_inputs, local_form
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages.activated import opaque_units
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.classify import classify
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.losses import Losses, output_ends
from fiberscope.preimages.preimage import Preimage
from fiberscope.preimages.sides import check_loose, sides_at_inputs
from fiberscope.preimages.verification import Verification
from fiberscope.preimages.verify import verify, verify_many
from fiberscope.showing.shown import Picture, Shown, Table
from fiberscope.showing.thumbnails import inputs_as_pictures
from fiberscope.threads import checked_threads, one_thread

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

BOUNDED = (Kind.SINGLETON, Kind.BOUNDED)

_AT_ONCE = 1e-3
"""Seconds for what is asked after the budget ended: what takes no search is answered all the same."""


@dataclass(frozen=True, eq=False, repr=False)
class CoarsestPrecision(Shown):
    """The smallest eps at which outputs known up to eps leave an unbounded preimage, proved on both sides.

    Attributes:
        layer: the layer; where branches meet, as it is around x.
        domain: the domain; None for all of R^n.
        x: (n,) the input whose output is meant.
        eps: the preimage is bounded, or one point, for every float64 ``within`` below eps, and unbounded at eps; inf if
            it is bounded at every one, 0 if it is unbounded at 0. In the outputs' units. Where lower and upper differ,
            the smaller of them.
        lower: the preimage is proved to be bounded for every ``within`` below it.
        upper: it is proved to be unbounded from there on; inf where this is proved nowhere.
        bounded: the proof of the first.
        unbounded: the proof of the second.
    """

    layer: ReLULayer
    domain: Domain | None
    x: FloatArray
    eps: float
    lower: float
    upper: float
    bounded: Preimage | None
    unbounded: Preimage | None

    def verify(self) -> Verification:
        """Prove it from the certificates alone: bounded at the largest float64 below eps, unbounded at eps.

        Returns:
            The verification; of a claim that was changed it says "not proved", and why.
        """
        try:
            claims, reason = _claims(self)
        except Exception:  # a changed claim may hold anything
            return Verification(False, "float", "the claim is malformed: a part of it cannot be read")
        proof = Verification(not reason, "float", reason)
        for claim in claims if proof else []:
            proof = verify(claim)
            if not proof:
                return proof
        return proof

    def _line(self) -> str:
        between = "" if self.lower == self.upper else f", undecided in [{self.lower:g}, {self.upper:g})"
        return f"eps={self.eps:g}{between}"

    def _pictures(self) -> Sequence[Picture]:
        return inputs_as_pictures({"the input": self.x}, self.layer.input_shape)


@dataclass(frozen=True, eq=False, repr=False)
class CoarsestPrecisions(Shown):
    """The coarsest precisions at N samples.

    Attributes:
        eps: (N,) as of one sample.
        lower: (N,)
        upper: (N,)
        samples: one result for each sample, with the proofs.
    """

    eps: FloatArray
    lower: FloatArray
    upper: FloatArray
    samples: tuple[CoarsestPrecision, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: SupportsIndex) -> CoarsestPrecision:
        said = (float(part[index]) for part in (self.eps, self.lower, self.upper))
        return replace(self.samples[index], **dict(zip(("eps", "lower", "upper"), said, strict=True)))

    def verify(self, threads: int | None = None) -> Bool[BoolArray, " N"]:
        """(N,) whether each is proved by its certificates; see ``CoarsestPrecision.verify``.

        Args:
            threads: how many proofs are checked at a time; None for one per core.
        """
        claims: dict[tuple[int, int], Preimage] = {}
        proved = np.zeros(len(self), dtype=np.bool_)
        for i in range(len(self)):
            try:
                said, reason = _claims(self[i])
            except Exception:  # as of one sample
                continue
            proved[i] = not reason
            claims |= {(i, k): claim for k, claim in enumerate(said) if not reason}
        with one_thread():
            shown = verify_many(list(claims.values()), checked_threads(threads))
        for (i, _), claim, proof in zip(claims, claims.values(), shown, strict=True):
            proved[i] &= bool(proof) or bool(verify(claim, exact=True))
        return proved

    def _line(self) -> str:
        return f"{len(self)} samples"

    def _tables(self) -> Sequence[Table]:
        if not len(self):
            return ()
        names, shares = ("smallest", "lower quartile", "median", "upper quartile", "largest"), np.linspace(0.0, 1.0, 5)
        found = np.quantile(self.eps, shares, method="nearest")
        rows = tuple((name, f"{eps:.4g}") for name, eps in zip(names, found, strict=True))
        return (Table(("of the samples", "eps"), rows),)


def coarsest_precision(
    layer: Layer,
    x: Tensor | ArrayLike,
    domain: Domain | None = None,
    *,
    threads: int | None = None,
    seconds: float | int | None = None,
) -> CoarsestPrecision | CoarsestPrecisions:
    """Find the smallest eps at which ``{x' in domain : |F(x') - F(x)| <= eps}`` is unbounded, F the layer.

    Args:
        layer: the layer, m neurons and n inputs.
        x: (n,) or layer.input_shape, an input; or N of them, along a first axis.
        domain: where inputs lie; None for all of R^n. Where it is bounded, eps is inf.
        threads: how many searches and proofs run at a time; None for one per core.
        seconds: a budget for all inputs together; past it less is proved, and lower and upper are apart. None for no
            limit.

    Returns:
        The precision, with its proofs; for N inputs, their precisions, which cost less together.

    Raises:
        InputError: wrong shape, NaN or infinite numbers, an input outside the domain, other activations, or a
            budget that is no positive number.
        MemoryLimitError: the layer is too large for the memory of this machine.
    """
    check_layer(layer)
    check_loose(layer, np.ones(layer.outputs, dtype=np.bool_))
    X, budget = flat_inputs(layer, x, "x"), Budget.of(seconds)
    if isinstance(layer, RegionLayer):
        local = [local_form(layer, domain, each) for each in X]
        found = [_Bisection(near, at[None], there, threads, budget).found()[0] for near, there, at in local]
    else:
        found = _Bisection(layer, X, domain, threads, budget).found()
    if np.shape(x) in ((layer.inputs,), tuple(layer.input_shape)):
        return found[0]
    eps, lower, upper = (np.array([getattr(one, name) for one in found]) for name in ("eps", "lower", "upper"))
    return CoarsestPrecisions(eps, lower, upper, tuple(found))


class _Bisection:
    """The search for N samples of one layer.

    Attributes:
        grid: for each sample, 0 and numbers at which its rows lose sides, ascending. Between two of them they lose
            none, or the preimage is known to be bounded at both, or unbounded.
        known: for each sample, the preimages that were asked for, by precision.
    """

    def __init__(
        self, layer: ReLULayer, X: FloatArray, domain: Domain | None, threads: int | None, budget: Budget
    ) -> None:
        self.layer, self.X, self.domain, self.threads, self.budget = layer, X, domain, threads, budget
        self.grid = [np.unique(np.append(0.0, Losses(layer, x).above)) for x in X]
        self.known: list[dict[float, Preimage]] = [{} for _ in X]

    def found(self) -> list[CoarsestPrecision]:
        """The result of each sample."""
        every = range(len(self.X))
        endless = as_polyhedron(self.domain, self.layer.inputs).is_box_bounded
        self._ask({i: self._inside(i, -1) if endless else 0.0 for i in every})  # most samples end here
        self._bisect()
        self.grid = [self._exact_grid(i) for i in every]
        self._bisect()
        ends = [(float(grid[low]), float(grid[high])) for grid, (low, high) in map(self._ends, every)]
        bounded = self._shown({i: float(np.nextafter(low, 0.0)) for i, (low, _) in enumerate(ends) if 0 < low < np.inf})
        bounded |= {i: self.known[i][max(self.known[i])] for i, (low, _) in enumerate(ends) if low == np.inf}
        unbounded = self._shown({i: high for i, (_, high) in enumerate(ends) if high < np.inf})
        return [self._result(i, *ends[i], bounded.get(i), unbounded.get(i)) for i in every]

    def _result(
        self, i: int, lower: float, upper: float, bounded: Preimage | None, unbounded: Preimage | None
    ) -> CoarsestPrecision:
        if bounded is None or bounded.kind not in BOUNDED:
            bounded, lower = None, 0.0
        if unbounded is None or unbounded.kind is not Kind.UNBOUNDED:
            unbounded, upper = None, np.inf
        return CoarsestPrecision(self.layer, self.domain, self.X[i], lower, lower, upper, bounded, unbounded)

    def _bisect(self) -> None:
        """Ask in the middle until neighbours on the grid are known to be bounded, and not; and unbounded, and not."""
        for last in (True, False):
            while asked := {i: eps for i in range(len(self.X)) if (eps := self._middle(i, bounded=last)) is not None}:
                self._ask(asked)

    def _middle(self, i: int, *, bounded: bool) -> float | None:
        low, high = self._between(i, bounded=bounded)
        return self._inside(i, (low + high) // 2) if high - low > 1 else None

    def _inside(self, i: int, place: int) -> float:
        """A number from a place of the grid to the next, as far from both as can be: there signs need no exact sums."""
        here, *after = self.grid[i][place:][:2].tolist()
        if not after:
            return 1.5 * here if 1.5 * here < np.inf else here
        inside = 0.5 * here + 0.5 * after[0]
        return inside if here < inside < after[0] else here

    def _between(self, i: int, *, bounded: bool) -> tuple[int, int]:
        """The last place known to be bounded, and the first known not to be; or not to be unbounded, and to be.

        -1 and the length of the grid where there is none.
        """
        grid = self.grid[i]
        places = {
            int(np.searchsorted(grid, eps, side="right")) - 1: p.kind in BOUNDED
            if bounded
            else p.kind != Kind.UNBOUNDED
            for eps, p in self.known[i].items()
        }
        low = max((place for place, comes in places.items() if comes), default=-1)
        return low, min((place for place, comes in places.items() if not comes and place > low), default=len(grid))

    def _ends(self, i: int) -> tuple[FloatArray, tuple[int, int]]:
        """The grid with inf, and the places where it is known to be bounded no more, and to be unbounded."""
        ends = self._between(i, bounded=True)[1], self._between(i, bounded=False)[1]
        return np.append(self.grid[i], np.inf), ends

    def _exact_grid(self, i: int) -> FloatArray:
        """The grid, between the last place that is bounded and the first that is unbounded made of exact numbers."""
        grid, (_, high) = self._ends(i)
        low = self._between(i, bounded=True)[0]
        if low < 0:
            return self.grid[i]
        exact = Losses(self.layer, self.X[i]).between(float(grid[low]), float(grid[high]))
        return np.concatenate([grid[: low + 1], exact])

    def _ask(self, asked: dict[int, float]) -> None:
        """Decide samples at one precision each."""
        samples, eps = list(asked), np.array(list(asked.values()))
        loose = np.where(opaque_units(self.layer), 0.0, eps[:, None]) if self.layer.injective.any() else eps[:, None]
        left = self.budget.left()
        seconds = None if left is None else max(left, _AT_ONCE)
        judged = classify(self.layer, self.X[samples], self.domain, within=loose, threads=self.threads, seconds=seconds)
        for i, p in zip(samples, judged.preimages, strict=True):
            self.known[i][asked[i]] = p

    def _shown(self, asked: dict[int, float]) -> dict[int, Preimage]:
        """Preimages at these precisions: by what proved that at one where rows have the same sides, or decided anew."""
        moved: dict[int, Preimage] = {}
        for i, eps in asked.items():
            place, grid = np.searchsorted(self.grid[i], eps, side="right"), self.grid[i]
            same = [e for e in self.known[i] if e > 0 and np.searchsorted(grid, e, side="right") == place]
            if same and eps > 0:
                nearest = min(same, key=lambda e, eps=eps: abs(e - eps))
                moved[i] = replace(self.known[i][nearest], within=_loose(self.layer, eps))
        with one_thread():
            proofs = verify_many(list(moved.values()), checked_threads(self.threads))
        shown = {i: p for (i, p), proof in zip(moved.items(), proofs, strict=True) if proof}
        left = {i: eps for i, eps in asked.items() if i not in shown}
        if fresh := {i: eps for i, eps in left.items() if eps not in self.known[i]}:
            self._ask(fresh)
        return shown | {i: self.known[i][eps] for i, eps in left.items()}


def _claims(said: CoarsestPrecision) -> tuple[list[Preimage], str]:
    """The verdicts that prove a coarsest precision, about its own layer and input; or why it is none."""
    eps, lower, upper = said.eps, said.lower, said.upper
    if not (0.0 <= lower <= upper and eps == lower):
        return [], "eps is not the lower one of two bounds"
    claims: list[Preimage] = []
    if lower > 0.0:
        if said.bounded is None or said.bounded.kind not in BOUNDED:
            return [], "nothing is given that proves it bounded"
        within = said.bounded.within if lower == np.inf else _loose(said.layer, float(np.nextafter(lower, 0.0)))
        if lower == np.inf and not _lost_all(said.layer, said.x, within):
            return [], "outputs known less exactly are not shown to say the same"
        claims.append(_about(said, said.bounded, within))
    if upper < np.inf:
        if said.unbounded is None or said.unbounded.kind is not Kind.UNBOUNDED:
            return [], "nothing is given that proves it unbounded"
        claims.append(_about(said, said.unbounded, _loose(said.layer, upper)))
    return claims, ""


def _about(said: CoarsestPrecision, proof: Preimage, within: FloatArray | float) -> Preimage:
    return replace(proof, layer=said.layer, domain=said.domain, x=said.x, y=None, within=within)


def _lost_all(layer: ReLULayer, x: FloatArray, within: FloatArray | float) -> bool:
    """Whether rows have no side at this precision that they lose at another."""
    sides = sides_at_inputs(layer, x[None], np.broadcast_to(within, (2, layer.outputs))).of(0)
    both = sides.equal | sides.both
    low, high = output_ends(layer)
    lost = ((both | sides.lower) & np.isfinite(low)) | ((both | sides.upper) & np.isfinite(high))
    return not lost.any()


def _loose(layer: ReLULayer, eps: float) -> FloatArray | float:
    """This precision of all units that are not known exactly."""
    return np.where(opaque_units(layer), 0.0, eps) if layer.injective.any() else eps


__all__ = ["CoarsestPrecision", "CoarsestPrecisions", "coarsest_precision"]
