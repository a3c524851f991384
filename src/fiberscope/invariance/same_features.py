"""Two inputs with the same features, and what is derived from them alone: differences, residuals, verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from fiberscope.errors import InputError, shown
from fiberscope.invariance.comparing import AnyOriginal, Comparison, compare_features
from fiberscope.invariance.objective import Norm
from fiberscope.invariance.proof import NearStatement, Statement, prove, prove_within, proved_difference
from fiberscope.invariance.rounding_bound import rounding_bound
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.network import Network
from fiberscope.preimages.verification import Verification
from fiberscope.scalars import as_count
from fiberscope.showing.shown import Picture, Shown, facts_of, told
from fiberscope.showing.thumbnails import directions_as_pictures, inputs_as_pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHANGED = 1e-6
"""By how much a pixel differs that counts as changed, relative to the largest change: less is what room for rounding,
and the solver's tolerance, may move it by."""

ROUNDED = 2.0**-50
"""A change of no pixel by more than this, relative to the largest one, is rounding: some units in its last place."""


def without_rounding(x: Float64[FloatArray, " n"], source: Float64[FloatArray, " n"]) -> Float64[FloatArray, " n"]:
    """The source itself, where x is it but for rounding; else x."""
    return source if float(np.abs(x - source).max()) <= ROUNDED * float(np.abs(source).max()) else x


def is_input(value: Any, network: Network) -> bool:
    """Whether this is an input of a network, in its shape."""
    if not isinstance(value, np.ndarray):
        return False
    given = cast(NDArray[Any], value)
    return given.shape == network.input_shape and given.dtype.kind in "biuf" and bool(np.isfinite(given).all())


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SameFeatures(Shown):
    """An input x' with the features of another input x, the source.

    Attributes:
        network: the network.
        stage: the number of the stage that gives the features.
        source: (*input_shape) x.
        x: (*input_shape) x'; satisfies the equations of the features up to rounding in float64.
        domain: where inputs lie; None for all of R^n.
        kept: the numbers of the pixels that were to stay as they are.
        within: by how much every feature may differ from that of x, a number or (m,) of them; 0 for not at all.
    """

    network: Network = field(repr=False)
    stage: int
    source: Float64[FloatArray, "*shape"] = field(repr=False)
    x: Float64[FloatArray, "*shape"] = field(repr=False)
    domain: Domain | None = None
    kept: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    within: float | Float64[FloatArray, " m"] = field(default=0.0, repr=False)

    @property
    def corners(self) -> Float64[FloatArray, "k n"]:
        """x, what is passed on the way, and x'; flat."""
        return np.stack([self.source.ravel(), self.x.ravel()])

    @property
    def in_one_region(self) -> bool:
        """Whether x and x' lie in one activation region, so that the segment between them has the features, too."""
        return False

    @property
    def distance(self) -> float:
        """``|x' - x|_2``."""
        return self.distance_in(Norm.L2)

    def distance_in(self, norm: Norm | str) -> float:
        """``|x' - x|`` in a norm: l1, l2 or linf."""
        try:
            return Norm(norm).of((self.x - self.source).ravel())
        except ValueError:
            raise InputError("norm", expected="'l1', 'l2' or 'linf'", got=shown(norm)) from None

    @property
    def pixels_changed(self) -> int:
        """How many pixels differ by more than a millionth of the largest difference."""
        difference = np.abs(self.x - self.source)
        return int((difference > CHANGED * difference.max(initial=0.0)).sum())

    @property
    def features(self) -> Float64[FloatArray, " m"]:
        """The features of x, evaluated in float64."""
        return rounding_bound(self.network, self.source.reshape(1, -1), self.stage, "float64")[0][0]

    @property
    def feature_residual(self) -> float:
        """The largest difference between the features of x and those of a corner, evaluated in float64."""
        values, _ = rounding_bound(self.network, self.corners, self.stage, "float64")
        return float(np.abs(values - values[0]).max(initial=0.0))

    @property
    def feature_bound(self) -> float:
        """By how much a feature of x', or of a point on the way to it, differs from that of x at most: proved.

        From one exact evaluation of the stored network; inf where that would take too long.
        """
        return proved_difference(self._near_statement(np.zeros(self.network.stages[self.stage].outputs)))

    @property
    def has_way(self) -> bool:
        """Whether straight pieces from x to x', by the corners, are said to have the features, too."""
        return False

    @property
    def feature_units(self) -> float:
        """The largest such difference as a multiple of what rounding explains: at most 1, unless features differ.

        Rounding explains ``gamma_k (|A| |x| + |b|)`` at each stage, and what earlier ones carry on.
        """
        values, allowed = rounding_bound(self.network, self.corners, self.stage, "float64")
        return float((np.abs(values - values[0])[1:] / (allowed[0] + allowed[1:])).max(initial=0.0))

    def compare(self, original: AnyOriginal = None, *, points: int = 50, seed: int = 0) -> Comparison:
        """Compare the features of x', and of random points on the way where there is one, with those of x.

        By the network in float64, and by the original model in its own arithmetic, up to rounding.

        Args:
            original: what runs the model, or a function that gives the features of a batch (N, *input_shape) in the
                model's arithmetic; None for what the network was read from, if it still is in this process.
            points: how many random points of the way are looked at.
            seed: of these points.
        """
        corners = self.corners.reshape(-1, *self.source.shape)
        way = self._points_of_the_way(np.sort(np.random.default_rng(seed).uniform(size=max(0, points))))
        X = np.concatenate([corners[:1], corners[-1:], corners[1:-1], way])
        return compare_features(self.network, self.stage, X, original, self._allowed())

    def verify(self, original: AnyOriginal = None, *, points: int = 50, seed: int = 0) -> Verification:
        """Run the original model on x' and on the way, and prove that x' has the same features.

        Features must be the same up to rounding, and ``within``, as ``compare`` says. The proof is about exact real
        arithmetic: within a tiny distance of x' there is an input with exactly the features of x; if x and x' lie in
        one activation region, so has the segment between them; see ``fiberscope.checker.same_features``. Where features
        may differ by ``within``, it is that those of x' itself, and of all points on the way to it, differ by no more,
        by one evaluation with bounds on all rounding; see ``fiberscope.checker.near_features``.

        Args:
            original: as in ``compare``.
            points: as in ``compare``.
            seed: as in ``compare``.

        Returns:
            The verification; truthy iff everything held. If there was no original to run, its reason says so.
        """
        fault = self._fault()
        if fault:
            return Verification(False, "float", fault)
        within = self._allowed()
        if within is None:
            return Verification(False, "float", "what features may differ by is no number of at least 0 for each")
        compared = self.compare(original, points=points, seed=seed)
        if compared.failure:
            return Verification(False, "float", compared.failure)
        proof = prove_within(self._near_statement(within)) if within.any() else prove(self._statement())
        if proof.proved:
            wrong = self._wrong_value()
            return Verification(not wrong, proof.method, wrong or "; ".join(compared.notes))
        known = np.inf if within.any() else self.feature_bound
        said = f"; that features differ by at most {known:.2g} is proved" if np.isfinite(known) else ""
        return Verification(False, proof.method, proof.reason + said)

    def _fault(self) -> str:
        """Why this says nothing about two inputs of a network that could be proved; empty where it does.

        Whoever changes a result may put anything into it.
        """
        network: Any = self.network
        if not isinstance(network, Network):
            return f"there is no network, but {shown(network)}"
        stage: Any = self.stage
        if not (isinstance(stage, int | np.integer) and 0 <= stage < len(network.stages)):
            return f"the network has no stage {shown(self.stage)}"
        if not is_input(self.source, network) or not is_input(self.x, network):
            return "the example, or the source, is no input of the network"
        try:
            as_polyhedron(self.domain, network.inputs)
            self._kept()
        except InputError as error:
            return str(error)
        except (IndexError, TypeError, ValueError):
            return "the pixels that were kept are no pixels of the network's inputs"
        try:
            on_the_way = bool(np.isfinite(self.corners).all())
        except Exception:  # of parts that are anything
            on_the_way = False
        return "" if on_the_way else "the way to the example is made of no inputs of the network"

    def _wrong_value(self) -> str:
        """Why what is said to be reached there is not; empty where it is."""
        return ""

    def _statement(self) -> Statement:
        domain = as_polyhedron(self.domain, self.network.inputs)
        return Statement(
            self.network, self.stage, self.source.ravel(), self.x.ravel(), domain, self._kept(), self.in_one_region
        )

    def _near_statement(self, within: Float64[FloatArray, " m"]) -> NearStatement:
        domain = as_polyhedron(self.domain, self.network.inputs)
        return NearStatement(self.network, self.stage, self.corners, domain, self._kept(), within, self.has_way)

    def _kept(self) -> BoolArray:
        kept: BoolArray = np.zeros(self.network.inputs, dtype=np.bool_)
        kept[self.kept] = True
        return kept

    def _allowed(self) -> Float64[FloatArray, " m"] | None:
        """By how much every feature may differ; None if that makes no sense."""
        outputs = self.network.stages[self.stage].outputs
        try:
            within: FloatArray = np.broadcast_to(np.asarray(self.within, dtype=np.float64), (outputs,))
        except (TypeError, ValueError):
            return None
        return within if (np.isfinite(within) & (within >= 0.0)).all() else None

    def _points_of_the_way(self, shares: Float64[FloatArray, " s"]) -> Float64[FloatArray, "k ..."]:
        """Points whose features are to be compared, too; none where there is no way."""
        del shares
        return np.zeros((0, *self.source.shape))

    def _facts(self) -> Mapping[str, str]:
        moved = {"distance": told(self.distance), "pixels_changed": str(self.pixels_changed)}
        return moved | facts_of(self)

    def _seen(self) -> Mapping[str, FloatArray]:
        """Inputs to be shown, by caption."""
        return {"the input": self.source, "the same features": self.x}

    def _pictures(self) -> Sequence[Picture]:
        change = directions_as_pictures(["the change"], (self.x - self.source)[None])
        return (*inputs_as_pictures(self._seen()), *change)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The inputs with the same features as pictures, and the change between them.

        Args:
            ax: axes of matplotlib; None for new ones.

        Raises:
            InputError: inputs are no pictures.
        """
        return self._drawn(self._seen(), ax)

    def _drawn(self, seen: Mapping[str, FloatArray], ax: Axes | None) -> Axes:
        from fiberscope.plots.montage import directions_as_pixels, inputs_as_pixels, montage

        pictures = inputs_as_pixels(np.stack(list(seen.values())))
        pictures += directions_as_pixels((self.x - self.source)[None])
        return montage([*seen, "the change"], pictures, ax)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Connected(SameFeatures):
    """Two inputs with the same features, and straight pieces between them on which the features stay the same."""

    def path(self, steps: int) -> Float64[FloatArray, "steps ..."]:
        """Points of the way from x to x', evenly spaced, both included: (steps, *input_shape). All have the features.

        Raises:
            InputError: fewer than two steps.
        """
        return self.between(np.linspace(0.0, 1.0, as_count(steps, "steps", 2)))

    def between(self, shares: Float64[FloatArray, " s"]) -> Float64[FloatArray, "s ..."]:
        """The points at some shares of the length of the way from x to x'."""
        corners = self.corners
        lengths: FloatArray = np.linalg.norm(np.diff(corners, axis=0), axis=1)
        ends: FloatArray = np.cumsum(lengths)
        wanted = shares * ends[-1]
        before = np.asarray(np.searchsorted(ends, wanted, side="left"), dtype=np.int64)
        part = np.minimum(before, len(lengths) - 1)
        start = ends[part] - lengths[part]
        t = ((wanted - start) / np.where(lengths[part] > 0, lengths[part], 1.0)).clip(0.0, 1.0)[:, None]
        first, second = corners[part], corners[part + 1]
        points = (1.0 - t) * first + t * second
        # rounding may leave the segment, and with it the domain
        points = np.clip(points, np.minimum(first, second), np.maximum(first, second))
        return points.reshape(len(shares), *self.source.shape)

    @property
    def has_way(self) -> bool:
        """True."""
        return True

    def _points_of_the_way(self, shares: Float64[FloatArray, " s"]) -> Float64[FloatArray, "k ..."]:
        return self.between(shares)

    def plot(self, ax: Axes | None = None, *, steps: int = 5) -> Axes:
        """The way from x to x' as pictures, all with the same features, and the change.

        Args:
            ax: axes of matplotlib; None for new ones.
            steps: how many points of the way, both ends included.

        Raises:
            InputError: inputs are no pictures, or fewer than two steps.
        """
        way = self.path(steps)
        names = [
            "the input",
            *(f"{i / (len(way) - 1):.0%} of the way" for i in range(1, len(way) - 1)),
            "the same features",
        ]
        others = {name: each for name, each in self._seen().items() if name not in names}
        return self._drawn(dict(zip(names, way, strict=True)) | others, ax)


__all__ = ["CHANGED", "ROUNDED", "Connected", "SameFeatures", "is_input", "without_rounding"]
