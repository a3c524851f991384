"""Many samples of one layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Domain, Polyhedron, as_polyhedron
from fiberscope.network.layer import Layer, check_layer, flat_inputs
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import is_sparse
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.decide import check_memory, decide_at_input, goes_by_products
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.patterns import exact_patterns
from fiberscope.preimages.precision import within_at
from fiberscope.preimages.preimage import Preimage
from fiberscope.preimages.route import Route, Statistics
from fiberscope.preimages.verify import radii, verify, verify_many
from fiberscope.preimages.window import fixed_outside, window_of
from fiberscope.showing.colours import KINDS
from fiberscope.showing.shown import Shown, Table
from fiberscope.threads import checked_threads, in_threads, one_thread

if TYPE_CHECKING:
    import pyarrow
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike
    from torch import Tensor

    from fiberscope.preimages.precision import Precision

UNDECIDED_DIMENSION = -2
UNKNOWN_DIMENSION = -3
"""Where the kind stands, and only bounds on the dimension are proved."""

MAX_INPUTS = 4_096
"""Inputs beyond which the dense factorization that a shared search needs takes seconds."""

MAX_ENTRIES = 2**25
"""Entries of sparse rows beyond which they are not written out for the sake of sharing: 300 megabytes. The checker has
the same limit (``verify_many.MAX_ENTRIES``)."""

MAX_DENSE_ENTRIES = 2**27
"""Entries of dense rows beyond which the copies that sharing needs take too much memory: 1 gigabyte each. The checker
has the same limit (``row_table.LARGEST``)."""

NO_STATISTICS = Statistics({}, {})


@dataclass(frozen=True, eq=False, repr=False)
class Classification(Shown):
    """The preimages of a layer's outputs at N samples, in their order.

    Attributes:
        preimages: one per sample; samples that share a proof hold the same certificate object.
        positives: (N,) the number of outputs above their smallest value, for certain.
        saturated: (N,) the number of outputs that are, or may be, at the upper end of a clip.
        statistics: how samples were settled, and what that took.
    """

    preimages: tuple[Preimage, ...]
    positives: IntArray
    saturated: IntArray
    statistics: Statistics = NO_STATISTICS

    @property
    def kind(self) -> NDArray[Any]:
        """(N,) the kinds, as strings."""
        return np.array([str(p.kind) for p in self.preimages])

    @property
    def dimension(self) -> Int64[IntArray, " N"]:
        """(N,) the dimensions; -2 where undecided, -3 where the kind is proved and ``dimension_bounds`` are."""
        return np.array([_dimension(p) for p in self.preimages], dtype=np.int64)

    @property
    def dimension_bounds(self) -> Int64[IntArray, "N 2"]:
        """(N, 2) proved bounds on the dimensions, equal where they are known; -1 and n where undecided."""
        return np.array([_dimension_bounds(p) for p in self.preimages], dtype=np.int64).reshape(len(self), 2)

    @property
    def radius(self) -> Float64[FloatArray, " N"]:
        """(N,) proved bounds on how far the points of each preimage are from the sample; inf where there is none."""
        out = np.full(len(self), np.inf)
        bounded = [i for i, p in enumerate(self.preimages) if p.kind in (Kind.SINGLETON, Kind.BOUNDED)]
        out[bounded] = radii([self.preimages[i] for i in bounded], [self.preimages[i].point() for i in bounded])
        return out

    @property
    def margin(self) -> Float64[FloatArray, " N"]:
        """(N,) the margins, in [0, 1]."""
        return np.array([p.margin for p in self.preimages], dtype=np.float64)

    @property
    def certificates(self) -> int:
        """The number of different certificates."""
        return len({id(p.certificate) for p in self.preimages})

    def __len__(self) -> int:
        return len(self.preimages)

    def __getitem__(self, index: SupportsIndex) -> Preimage:
        return self.preimages[index]

    def __iter__(self) -> Iterator[Preimage]:
        return iter(self.preimages)

    def verify(self, exact: bool = False, threads: int | None = None) -> Bool[BoolArray, " N"]:
        """(N,) whether each verdict is proved by its certificate; see ``fiberscope.verify``.

        Args:
            exact: use rational arithmetic only, sample by sample.
            threads: how many proofs are checked at a time; None for one per core.
        """
        threads = checked_threads(threads)
        with one_thread():
            shared = np.zeros(len(self), dtype=np.bool_) if exact else verify_many(self.preimages, threads)
            left = np.flatnonzero(~shared)
            # what is left was tried in float64 already, or is not to be
            shared[left] = list(in_threads(lambda i: bool(verify(self.preimages[i], exact=True)), left, threads))
        return shared

    def to_table(self) -> pyarrow.Table:  # pyright: ignore[reportUnknownParameterType] - pyarrow has no types
        """A table: sample, positives, saturated, kind, dimension (null where unknown), margin, reason."""
        import pyarrow as pa

        return pa.table(  # pyright: ignore[reportUnknownVariableType]
            {
                "sample": pa.array(range(len(self)), pa.int64()),
                "positives": pa.array(self.positives, pa.int32()),
                "saturated": pa.array(self.saturated, pa.int32()),
                "kind": pa.array([str(p.kind) for p in self.preimages], pa.string()),
                "dimension": pa.array([p.dimension for p in self.preimages], pa.int32()),
                "margin": pa.array(self.margin, pa.float64()),
                "reason": pa.array([p.reason for p in self.preimages], pa.string()),
            }
        )

    def _line(self) -> str:
        counts = Counter(str(p.kind) for p in self.preimages)
        return f"{len(self)} samples: {', '.join(f'{counts[kind]} {kind}' for kind in KINDS if counts[kind])}"

    def _facts(self) -> dict[str, str]:
        layer = {"layer": repr(self.preimages[0].layer)} if len(self) else {}
        return {**layer, "samples": str(len(self)), "certificates": str(self.certificates)}

    def _tables(self) -> tuple[Table, ...]:
        kinds, dimension = self.kind, self.dimension
        rows = [
            (kind, str(int(has.sum())), _range(self.positives[has]), _range(dimension[has & (dimension >= -1)]))
            for kind in KINDS
            for has in [kinds == kind]
            if has.any()
        ]
        heads = ("kind", "samples", "positive outputs", "dimension")
        return (Table(heads, tuple(rows), tuple(KINDS[row[0]] for row in rows)),)

    def plot(self, ax: Axes | None = None) -> Axes:
        """How many samples of each kind there are over the number of positive outputs [figure 3].

        Of clips, saturated outputs are left out: they are no equations.

        Args:
            ax: axes of matplotlib; None for new ones.
        """
        from fiberscope.plots.kinds import kinds_by_positives

        inputs = self.preimages[0].layer.inputs if len(self) else None
        return kinds_by_positives(self.positives - self.saturated, self.kind, inputs, ax)


def _range(numbers: IntArray) -> str:
    if not len(numbers):
        return "-"
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"


def _dimension(preimage: Preimage) -> int:
    if preimage.dimension is not None:
        return preimage.dimension
    return UNDECIDED_DIMENSION if preimage.dimension_bounds is None else UNKNOWN_DIMENSION


def _dimension_bounds(preimage: Preimage) -> tuple[int, int]:
    if preimage.dimension is not None:
        return preimage.dimension, preimage.dimension
    return (-1, preimage.layer.inputs) if preimage.dimension_bounds is None else preimage.dimension_bounds


def classify(
    layer: Layer,
    X: Tensor | ArrayLike,
    domain: Domain | None = None,
    *,
    within: Precision | Tensor | ArrayLike = 0.0,
    window: Any = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    seconds: float | int | None = None,
) -> Classification:
    """Decide and prove the preimages of the layer's outputs at many samples.

    Samples share proofs: one direction that leaves the output unchanged serves every sample whose positive rows it
    respects, one vector of multipliers every sample that has its rows. The more samples, the less each of them costs.
    What is decided does not depend on which samples are asked together, on their order, on the threads, or on the
    device; at most whether a sample is decided that is at the limits of float64 and too large for rational numbers.

    Args:
        layer: the layer, m neurons and n inputs; searches run on its device.
        X: (N, n) samples, or (N, *layer.input_shape); one sample alone is a batch of one.
        domain: where inputs lie; None for all of R^n.
        within: by how much every output may differ from that at the sample, as in ``preimage``: a number, (m,), or
            (N, m) or (N, 1) where each sample has its own; or a ``Precision``, or its name.
        window: the coordinates that may change, as in ``preimage``; those outside stay as they are at each sample, so
            that each has a domain of its own, and none shares a proof.
        threads: how many searches and proofs run at a time; None for one per core.
        progress: called with the number of samples settled so far and N, from the calling thread. The number may fall
            when what seemed to be settled turns out not to be proved; it ends at N.
        seconds: a budget for all samples together; past it verdicts are undecided, with the reason. What is decided
            then depends on the machine. None for no limit but the one on exact arithmetic (see ``preimage``).

    Returns:
        One proved verdict per sample. Its margin is that of the certificate, which for a shared one is at most what a
        certificate of its own would have.

    Raises:
        InputError: wrong shape, no samples, NaN or infinite numbers, a sample outside the domain, a precision that is
            negative or not known, a window that does not fit or is empty, no thread, or a budget that is no
            positive number.
        MemoryLimitError: the layer is too large for the memory of this machine; nothing was computed.
    """
    check_layer(layer)
    if not goes_by_products(layer, domain, within):
        check_memory(layer)
    threads = checked_threads(threads)
    if progress is not None and not callable(progress):
        hint = "it is called with the number of samples settled so far and N"
        raise InputError("progress", expected="a function, or None", got=shown(progress), hint=hint)
    samples = flat_inputs(layer, X, "X")
    precision = within_at(layer, samples, within)
    polyhedron = as_polyhedron(domain, layer.inputs)
    report, budget = _Progress(len(samples), progress), Budget.of(seconds)
    domains = [domain] * len(samples)
    if window is not None:
        inside = window_of(layer, window)
        domains = [_fixed(layer, domain, samples, i, inside) for i in range(len(samples))]
    shared = len(samples) > 1 and window is None and _may_share(layer, polyhedron)
    if shared:
        import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]  # here, so that its threads are limited, too
    with one_thread():
        if shared:
            assert isinstance(layer, ReLULayer)
            return _together(layer, domain, polyhedron, samples, precision, threads, report, budget)
        preimages = [_decided(layer, each, samples, i, precision[i], report, budget) for i, each in enumerate(domains)]
        positives, saturated = (
            np.array([getattr(p, name) for p in preimages], dtype=np.int64) for name in ("positives", "saturated")
        )
        statistics = Statistics({Route.SINGLY: len(preimages)}, {}, singly=report.seconds())
        return Classification(tuple(preimages), positives, saturated, statistics)


def _may_share(layer: Layer, domain: Polyhedron) -> bool:
    """Whether the samples of a layer have rows in common, and these may be written out and factored."""
    if not isinstance(layer, ReLULayer) or layer.is_large or layer.inputs > MAX_INPUTS:
        return False
    sparse = is_sparse(layer.weight) or is_sparse(domain.G)
    entries = (layer.outputs + len(domain.h)) * layer.inputs
    return entries <= (MAX_ENTRIES if sparse else MAX_DENSE_ENTRIES)


class _Progress:
    """Counts settled samples, and time."""

    def __init__(self, total: int, listener: Callable[[int, int], None] | None) -> None:
        self.done, self.total, self.listener, self.began = 0, total, listener, perf_counter()

    def __call__(self, more: int) -> None:
        self.done += more
        if self.listener is not None:
            self.listener(self.done, self.total)

    def correct(self, done: int) -> None:
        """Report anew: what seemed to be settled may have turned out not to be proved, and the other way round."""
        self.done = 0
        self(done)

    def seconds(self) -> float:
        """The time since the last question."""
        now = perf_counter()
        passed, self.began = now - self.began, now
        return passed


def _together(
    layer: ReLULayer,
    domain: Domain | None,
    polyhedron: Polyhedron,
    samples: FloatArray,
    within: FloatArray,
    threads: int,
    report: _Progress,
    budget: Budget,
) -> Classification:
    from fiberscope.preimages.decide_many import decide_many

    patterns = exact_patterns(layer, polyhedron, samples, within, threads)
    until_patterns = report.seconds()
    found = decide_many(layer, domain, samples, within, patterns, threads, report, budget)
    searching = report.seconds()
    candidates = {i: p for i, p in enumerate(found.preimages) if p is not None}
    proofs = verify_many(list(candidates.values()), threads)
    proved = {i: p for (i, p), proof in zip(candidates.items(), proofs, strict=True) if proof}
    checking = report.seconds()
    report.correct(len(proved))
    preimages = tuple(
        proved[i] if i in proved else _decided(layer, domain, samples, i, within[i], report, budget)
        for i in range(len(samples))
    )
    routes = Counter(route if i in proved else Route.SINGLY for i, route in enumerate(found.routes))
    statistics = Statistics(dict(routes), found.seconds, until_patterns, searching, checking, report.seconds())
    return Classification(preimages, patterns.positives, patterns.saturated, statistics)


def _fixed(layer: Layer, domain: Domain | None, samples: FloatArray, i: int, inside: BoolArray) -> Domain:
    """The domain of one sample, whose coordinates outside a window stay as they are."""
    try:
        return fixed_outside(layer, domain, samples[i], inside)
    except InputError as error:
        raise InputError(f"X[{i}]", expected=error.expected, got=error.got, hint=error.hint) from error


def _decided(
    layer: Layer,
    domain: Domain | None,
    samples: FloatArray,
    i: int,
    within: FloatArray,
    report: _Progress,
    budget: Budget,
) -> Preimage:
    try:
        preimage = Preimage.of(decide_at_input(layer, domain, samples[i], budget, within))
    except InputError as error:
        raise InputError(f"X[{i}]", expected=error.expected, got=error.got, hint=error.hint) from error
    report(1)
    return preimage


__all__ = ["Classification", "classify"]
