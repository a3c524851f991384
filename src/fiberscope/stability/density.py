"""How the singular values of a linear map are distributed, estimated from products only: stochastic Lanczos quadrature.

For a random unit vector z of R^p, ``p z^T f(A^T A) z`` has the mean ``sum_i f(sigma_i^2)`` over the p singular values.
The k steps of Golub and Kahan's bidiagonalization that begin with z give the Gauss quadrature of that form: k nodes and
weights, exact for every polynomial f of degree up to 2 k - 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray, as_float64
from fiberscope.scalars import as_count, as_number
from fiberscope.showing.shown import Shown
from fiberscope.stability.linear_map import EPS, MEMORY, NUMBER, CheckedMap, Progress, checked_map
from fiberscope.stability.powers_of_two import check_range, exponent_of, number_times_power, times_power

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from fiberscope.stability.linear_map import LinearMap

WORKING_VECTORS = 4
"""Vectors of either side that every probe needs beside its basis: the last ones, their products, and copies."""
NOISE = 4.0
"""A vector shorter than this times q eps sigma_1 counts as zero, and the probe's space as complete. Nodes move by at
most as much if it is not (Weyl); so that much is what nodes are known to."""
PASSES = 2
"""Orthogonalisations against all earlier vectors: twice is enough (Giraud & Langou, 2003)."""


@dataclass(frozen=True, eq=False, repr=False)
class SpectralDensity(Shown):
    """The distribution of the p = min(m, n) singular values of J, as seen by random probes.

    Every estimate is a mean over probes and comes with its standard error, which holds what is due to chance. Counts of
    values have another error: a quadrature of few nodes does not see steps between them. ``bracket`` bounds it, and
    ``resolution`` says where the nodes are.

    Attributes:
        size: ``p``. The max(m, n) - p singular values of the larger side that are zero for lack of rows or columns are
            not counted.
        nodes: (probes, steps), each row descending: the singular values that stand for all. A probe that has less nodes
            repeats its last one, with weight 0.
        weights: (probes, steps), each row has the sum 1.
        complete: (probes,) whether the quadrature is exact, because the probe's space cannot grow any more.
        floor: ``4 max(m, n) eps`` times the largest node: the rounding of nodes. Those up to it are given as 0, and
            those within it of a point count as on it.
        products: how many vectors were multiplied with J or J^T.
    """

    size: int
    nodes: FloatArray
    weights: FloatArray
    complete: BoolArray
    floor: float
    products: int

    def cumulative(self, points: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Estimate the number of singular values that are at most t, for each point t.

        Args:
            points: (P,).

        Returns:
            The estimates and their standard errors, both (P,).

        Raises:
            InputError: no points, or NaN or infinite ones.
        """
        t = as_float64(points, "points", shape=(None,))
        return _estimate(self.size * self._shares(t))

    def bracket(self, points: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Bound what ``cumulative`` would estimate from the same probes with infinitely many steps.

        With nodes ``s_i <= t < s_j`` next to t, ``F(t) - w_i <= F_exact(t) <= F(t) + w_j`` for each probe. A wide
        bracket means that the nodes do not resolve the distribution there. Between clusters of values it may stay wide,
        because moments do not tell few values in between from none.

        Args:
            points: (P,).

        Returns:
            The lower and upper bounds, both (P,), as means over the probes.

        Raises:
            InputError: no points, or NaN or infinite ones.

        Source:
            The inequalities of Chebyshev, Markov and Stieltjes (Szegő, Orthogonal polynomials, 1939, section 3.41).
        """
        t = as_float64(points, "points", shape=(None,))
        share = self._shares(t)
        rows = np.arange(len(self.nodes))[:, None]
        padded = np.pad(self.weights, ((0, 0), (1, 1)))
        above = (self.nodes[:, :, None] > t + self.floor).sum(axis=1)  # nodes are descending: these come first
        open_ended = ~self.complete[:, None]
        low = share - padded[rows, above + 1] * open_ended
        high = share + padded[rows, above] * open_ended
        return self.size * low.mean(axis=0), self.size * high.mean(axis=0)

    def resolution(self, point: float) -> tuple[float, float]:
        """The nodes next to a point: the medians over probes of the last one up to it and the first one above.

        Steps of the distribution in between are not seen; -inf and inf stand for no node.

        Args:
            point: t.

        Raises:
            InputError: NaN or infinite.
        """
        t = float(as_float64(point, "point", shape=()))
        below = np.where(self.nodes <= t + self.floor, self.nodes, -np.inf).max(axis=1)
        above = np.where(self.nodes > t + self.floor, self.nodes, np.inf).min(axis=1)
        return _median(below), _median(above)

    def rank(self, tolerance: float | None = None) -> tuple[float, float]:
        """Estimate the number of singular values above a tolerance.

        A step function is no polynomial, so that the estimate is biased where values lie between the nodes next to the
        tolerance: look at ``bracket([tolerance])`` and ``resolution(tolerance)``.

        Args:
            tolerance: None for ``floor``.

        Returns:
            The estimate and its standard error.

        Raises:
            InputError: a tolerance below ``floor``, where nodes are rounding.

        Source:
            Ubaru, Saad & Seghouane, Fast estimation of approximate matrix ranks using spectral densities, 2017.
        """
        t = self.floor if tolerance is None else float(as_float64(tolerance, "tolerance", shape=()))
        if t < self.floor:
            raise InputError(
                "tolerance",
                expected=f"at least 4 max(m, n) eps sigma_1 = {self.floor:.3g}",
                got=f"{t:.3g}",
                hint="smaller singular values are not resolved in float64",
            )
        estimate, error = self.cumulative([t])
        return self.size - float(estimate[0]), float(error[0])

    def histogram(self, edges: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Estimate the number of singular values in each bin ``(e_i, e_{i+1}]``, the first with its lower edge.

        Args:
            edges: (E + 1,) ascending.

        Returns:
            The estimates and their standard errors, both (E,).

        Raises:
            InputError: fewer than two edges, not ascending, or NaN or infinite ones.
        """
        e = as_float64(edges, "edges", shape=(None,))
        if len(e) < 2 or (np.diff(e) <= 0).any():
            raise InputError("edges", expected="two or more, each above the one before", got=shown(e.tolist()))
        before = np.nextafter(e[:1] - 2 * self.floor, -np.inf)
        return _estimate(self.size * np.diff(self._shares(np.concatenate([before, e[1:]])), axis=1))

    def moment(self, power: int) -> tuple[float, float]:
        """Estimate ``sum_i sigma_i^(2 power)``, the trace of a power of the Gram matrix.

        Args:
            power: up to ``2 steps - 1``, where the quadrature is exact for each probe.

        Returns:
            The estimate and its standard error.

        Raises:
            InputError: a power out of range, or a sum that float64 does not hold.
        """
        power = as_count(power, "power", 0, 2 * self.nodes.shape[1] - 1)
        exponent = exponent_of(self.nodes)
        powers = times_power(self.nodes, -exponent) ** (2 * power)
        found = np.concatenate(_estimate(self.size * (self.weights * powers).sum(axis=1, keepdims=True)))
        check_range(found, 2 * power * exponent, f"moment({power})")
        estimate, error = times_power(found, 2 * power * exponent).tolist()
        return estimate, error

    def quantile(self, share: float) -> tuple[float, float, float]:
        """Estimate the value that a share of all singular values does not exceed.

        Args:
            share: in (0, 1); 0.5 for the median.

        Returns:
            The estimate, and the values at which the cumulative estimate plus, and minus, one standard error reaches
            the share: the range that chance explains. Always nodes; inf where no node reaches it.

        Raises:
            InputError: a share out of range.
        """
        share = as_number(share, "share", above=0.0, below=1.0)
        points = np.unique(self.nodes)
        estimate, error = self.cumulative(points)
        wanted = share * self.size
        low, middle, high = (
            float(points[reached.argmax()]) if reached.any() else np.inf
            for reached in (estimate + error >= wanted, estimate >= wanted, estimate - error >= wanted)
        )
        return middle, low, high

    def _shares(self, points: Float64[FloatArray, " t"]) -> Float64[FloatArray, "r t"]:
        """The share of each probe's weight that lies on nodes up to each point."""
        return np.stack([(self.weights * (self.nodes <= t + self.floor)).sum(axis=1) for t in points], axis=1)

    def _line(self) -> str:
        return f"{self.size} values up to {self.nodes.max(initial=0.0):.4g}, seen by {len(self.nodes)} probes"


def spectral_density(
    J: LinearMap | Tensor | ArrayLike,
    *,
    probes: int = 10,
    steps: int = 30,
    batch: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SpectralDensity:
    """Estimate the distribution of the singular values of J from products with J and J^T.

    ``p z^T f(A^T A) z ~ sum_i f(sigma_i^2)`` for random unit vectors z, with A the one of J and J^T that has the p
    columns of the smaller side. The other Gram matrix has the same eigenvalues, and max(m, n) - p zeros more.

    Args:
        J: (m, n), a ``LinearMap``: an array, a sparse array, a linearization.
        probes: how many random vectors z, at least 2: standard errors fall with the root of their number.
        steps: how many nodes the distribution of one probe has, and how many vectors of the smaller side it keeps.
        batch: how many probes run together, so that each product is with so many vectors. None for as many as fit
            into 1 GB. The result does not depend on it, up to rounding.
        seed: of the probes.
        progress: called with the number of products so far and the most that there may be.

    Returns:
        Nodes and weights, and what they say.

    Raises:
        InputError: J is no linear map, a product is not finite, or an argument is out of range.

    Source:
        Golub & Meurant, Matrices, moments and quadrature with applications, 2010; Ubaru, Chen & Saad, Fast estimation
        of tr(f(A)) via stochastic Lanczos quadrature, 2017.
    """
    probes, steps = as_count(probes, "probes", 2), as_count(steps, "steps")
    seed = as_count(seed, "seed", 0)
    if batch is not None:
        as_count(batch, "batch")
    A = checked_map(J)
    steps = min(steps, A.smaller)
    size = batch or _fitting(A, steps)
    nodes, weights = np.zeros((probes, steps)), np.zeros((probes, steps))
    complete = np.zeros(probes, dtype=np.bool_)
    most = A.products + probes * (2 * steps - 1)
    for first in range(0, probes, size):
        chosen = range(first, min(first + size, probes))
        run = _Run(A, np.stack([probe(A.smaller, seed, i) for i in chosen]), steps)
        while run.advance():
            if progress is not None:
                progress(A.products, most)
        rows = slice(chosen.start, chosen.stop)
        nodes[rows], weights[rows] = run.quadratures()
        complete[rows] = run.complete
    floor = NOISE * A.larger * EPS * float(nodes.max())
    nodes[nodes <= floor] = 0.0
    check_range(nodes.ravel(), A.exponent, "singular values")
    scaled, floor = times_power(nodes, A.exponent), number_times_power(floor, A.exponent)
    return SpectralDensity(A.smaller, scaled, weights, complete, floor, A.products)


def probe(size: int, seed: int, number: int) -> Float64[FloatArray, " p"]:
    """The random unit vector of R^p with which a probe begins, uniform on the sphere."""
    z = np.random.default_rng([seed, number]).standard_normal(size)
    return z / np.linalg.norm(z)


def _fitting(A: CheckedMap, steps: int) -> int:
    """How many probes fit into memory together."""
    numbers = (steps + WORKING_VECTORS) * A.smaller + WORKING_VECTORS * A.larger
    return max(1, int(MEMORY / (NUMBER * numbers)))


class _Run:
    """Golub and Kahan's bidiagonalization from several vectors in lockstep.

    ``A V = U B`` with B upper bidiagonal, for each of them. V is kept and kept orthogonal; of U only the last vector is
    needed, and it is not made orthogonal to those before: that costs little precision (Simon & Zha, 2000), while the
    Gram matrix would lose all values below sqrt(eps) sigma_1.

    Args:
        A: the map.
        starts: (k, p) unit vectors.
        steps: the most columns of B.
    """

    def __init__(self, A: CheckedMap, starts: Float64[FloatArray, "k p"], steps: int) -> None:
        k = len(starts)
        self.A, self.steps, self.done = A, steps, 0
        self.V = np.empty((k, steps, A.smaller))
        self.V[:, 0] = starts
        self.U = np.zeros((k, A.larger))
        self.diagonal, self.above = np.zeros((k, steps)), np.zeros((k, steps))
        self.used = np.zeros(k, dtype=np.int64)
        self.complete = np.zeros(k, dtype=np.bool_)
        self.norm = 0.0

    def advance(self) -> bool:
        """Take one step with all probes that are not complete; whether there was one to take."""
        alive = np.flatnonzero(~self.complete)
        if self.done == self.steps or not len(alive):
            return False
        j = self.done
        self.used[alive] = j + 1
        before = self.above[alive, j - 1] if j else np.zeros(len(alive))
        u = self.A.up(self.V[alive, j].T).T - before[:, None] * self.U[alive]
        alpha = self._measured(u)
        self.diagonal[alive, j] = alpha
        self.U[alive] = _unit(u, alpha)
        self.done += 1
        self._end(alive[alpha == 0])
        alive = alive[alpha > 0]
        if self.done < self.steps and len(alive):
            self._next(alive, j)
        elif self.done == self.A.smaller:
            self._end(alive)
        return True

    def quadratures(self) -> tuple[Float64[FloatArray, "k s"], Float64[FloatArray, "k s"]]:
        """The nodes, descending, and the weights of each probe."""
        nodes, weights = np.zeros_like(self.diagonal), np.zeros_like(self.diagonal)
        for i, k in enumerate(self.used):
            B = np.diag(self.diagonal[i, :k]) + np.diag(self.above[i, : k - 1], 1)
            _, values, Yt = np.linalg.svd(B)
            values, shares = _merged(values, Yt[:, 0] ** 2, NOISE * self.A.larger * EPS)
            nodes[i, : len(values)], nodes[i, len(values) :] = values, values[-1]
            weights[i, : len(values)] = shares
        return nodes, weights

    def _next(self, alive: IntArray, j: int) -> None:
        """The next vector of V for each probe; a probe for which there is none is complete."""
        v = self.A.down(self.U[alive].T).T.copy()
        self.norm = max(self.norm, float(np.linalg.norm(v, axis=1).max()))
        basis = self.V[alive, : j + 1]
        for _ in range(PASSES):
            v -= np.matmul((basis @ v[:, :, None]).transpose(0, 2, 1), basis)[:, 0]
        beta = self._measured(v)
        self.above[alive, j] = beta
        self.V[alive, j + 1] = _unit(v, beta)
        self._end(alive[beta == 0])

    def _measured(self, vectors: Float64[FloatArray, "k d"]) -> Float64[FloatArray, " k"]:
        """The lengths, 0 for what is only rounding."""
        length = np.linalg.norm(vectors, axis=1)
        self.norm = max(self.norm, float(length.max()))
        return np.where(length > NOISE * self.A.larger * EPS * self.norm, length, 0.0)

    def _end(self, which: IntArray) -> None:
        self.complete[which] = True


def _merged(
    nodes: Float64[FloatArray, " k"], weights: Float64[FloatArray, " k"], relative: float
) -> tuple[Float64[FloatArray, " j"], Float64[FloatArray, " j"]]:
    """The same quadrature without nodes that rounding brings once a space is nearly complete.

    Some are equal to others, up to rounding, and share their weight; some have no weight at all.
    """
    starts = np.flatnonzero(np.r_[True, -np.diff(nodes) > relative * nodes[0]])
    together = np.add.reduceat(weights, starts)
    heaviest = np.array([nodes[a + np.argmax(weights[a:b])] for a, b in zip(starts, [*starts[1:], None], strict=True)])
    seen = together > EPS
    return heaviest[seen], together[seen]


def _unit(vectors: Float64[FloatArray, "k d"], lengths: Float64[FloatArray, " k"]) -> Float64[FloatArray, "k d"]:
    return np.where(lengths > 0, 1.0, 0.0)[:, None] * vectors / np.where(lengths > 0, lengths, 1.0)[:, None]


def _estimate(samples: Float64[FloatArray, "r t"]) -> tuple[Float64[FloatArray, " t"], Float64[FloatArray, " t"]]:
    """The mean over probes, and its standard error."""
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples))


def _median(values: Float64[FloatArray, " r"]) -> float:
    """The lower of the middle ones, so that infinities do not make NaN."""
    return float(np.sort(values)[(len(values) - 1) // 2])


__all__ = ["SpectralDensity", "probe", "spectral_density"]
