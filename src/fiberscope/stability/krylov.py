"""A growing pair of subspaces in which the singular values of a linear map are sought: block Lanczos, restarted.

With A (q, p), p <= q, orthonormal V of the smaller side and U of the larger one, two relations hold up to rounding:

    A V = U B,    A^T U = V B^T + F E^T

F is the next block, orthogonal to V, and E picks the last columns (G. Golub & W. Kahan, 1965; G. Golub, F. Luk &
M. Overton, 1981, in blocks). Singular values of B approach those of A. Where the next block does not fit, the subspace
shrinks to the singular vectors that are wanted, and goes on growing from there (K. Wu & H. Simon, 2000; J. Baglama &
L. Reichel, 2005). All vectors are kept orthogonal to all others.

Where U would take too much memory only V is kept, with ``V^T A^T A V`` in place of B: the cost is the same, but values
below sqrt(eps) of the largest one drown in rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.stability.linear_map import EPS, CheckedMap

NOISE = 4.0
"""A vector shorter than this times sqrt(q) eps |A| is what rounding left of zero: it has no direction."""
PASSES = 4
"""Orthogonalisations of one vector; two are enough unless almost nothing is left of it (Giraud & Langou, 2003)."""
LOST = 0.7
"""A pass that leaves more than this share of a vector was the last one that it needs (Daniel et al., 1976)."""


@dataclass(frozen=True, eq=False)
class Ritz:
    """Approximate singular values in descending order.

    Attributes:
        values: (k,).
        left: (k, k), column i the left singular vector in terms of U; without U, as ``right``.
        right: (k, k), the right singular vectors in terms of V.
        residual: (k,) estimates of the error bounds: ``|A^T u - s v| / sqrt(2)``, while ``A v - s u`` is zero.
    """

    values: FloatArray
    left: FloatArray
    right: FloatArray
    residual: FloatArray


class KrylovSpace:
    """The subspaces, and the next block to grow by.

    Args:
        A: the map.
        capacity: how many vectors V holds, beside the next block.
        block: how many vectors the next block has; less where no further direction is found.
        two_sided: whether U is kept.
        null_space: up to which size of V directions are taken that A maps to zero.
        rng: for directions that products with A do not give.
    """

    def __init__(
        self,
        A: CheckedMap,
        capacity: int,
        block: int,
        *,
        two_sided: bool,
        null_space: int,
        rng: np.random.Generator,
    ) -> None:
        self.A, self.capacity, self.block, self.null_space, self.rng = A, capacity, block, null_space, rng
        self.V = np.empty((A.smaller, capacity + block), order="F")
        self.U = np.empty((A.larger, capacity), order="F") if two_sided else None
        self.B = np.zeros((capacity, capacity))
        self.size = self.pending = self.last = 0
        self.coupling = np.zeros((0, 0))
        self.norm = 0.0
        """What is known of |A|: the longest product, or the largest value of any subspace, so far."""

    @property
    def full(self) -> bool:
        """Whether the next block does not fit."""
        return self.size + self.pending > self.capacity

    @property
    def everything(self) -> bool:
        """Whether V can hold all of the smaller side, so that no restart is ever needed."""
        return self.capacity >= self.A.smaller

    @property
    def smallest_resolved(self) -> float:
        """Values up to this are rounding: ``q eps |A|``, or of the square where only V is kept."""
        relative = self.A.larger * EPS
        return self.norm * (relative if self.U is not None else float(np.sqrt(relative)))

    def refresh(self) -> None:
        """Take a new random block for the next one: of the row space, so far as V does not exhaust it."""
        self.pending = 0
        while self.pending < self.block and self._append_direction():
            pass

    def extend(self) -> None:
        """Grow by the next block, which costs two products for each of its vectors, and find the one after it."""
        k, self.last = self.size, self.pending
        new = slice(k, k + self.last)
        images = self.A.up(self.V[:, new])
        self.norm = max(self.norm, float(np.linalg.norm(images, axis=0).max()))
        if self.U is not None:
            for j in range(self.last):
                self.B[: k + j + 1, k + j] = self._append_left(k + j, images[:, j])
            images = self.U[:, new]
        returned = self.A.down(images)
        self.size += self.last
        self.pending = 0
        coefficients = np.zeros((self.size + self.last, self.last))
        for j in range(self.last):
            self._append_right(returned[:, j], coefficients[:, j])
        if self.U is None:
            inside = coefficients[: self.size]
            self.B[: self.size, new], self.B[new, : self.size] = inside, inside.T
        self.coupling = coefficients[self.size :]

    def ritz(self) -> Ritz:
        """The singular values of A on the subspace."""
        k = self.size
        if self.U is not None:
            left, values, right = np.linalg.svd(self.B[:k, :k])
            self.norm = max(self.norm, float(values[0]))
            residual = np.linalg.norm(self.coupling @ left[k - self.last :], axis=0)
            return Ritz(values, left, right.T, residual / np.sqrt(2))
        ascending, vectors = np.linalg.eigh(self.B[:k, :k])
        values, vectors = np.sqrt(np.maximum(ascending[::-1], 0.0)), vectors[:, ::-1]
        self.norm = max(self.norm, float(values[0]))
        residual = np.linalg.norm(self.coupling @ vectors[k - self.last :], axis=0)
        residual = residual / np.maximum(values, self.smallest_resolved or 1.0)
        return Ritz(values, vectors, vectors, residual / np.sqrt(2))

    def shrink(self, ritz: Ritz, chosen: IntArray) -> Ritz:
        """Keep some of the singular vectors, and the next block; what ``ritz`` is for the smaller subspace."""
        chosen = np.sort(chosen)
        keep, k = len(chosen), self.size
        self.V[:, :keep] = self.V[:, :k] @ ritz.right[:, chosen]
        self.V[:, keep : keep + self.pending] = self.V[:, k : k + self.pending].copy()
        values = ritz.values[chosen]
        if self.U is not None:
            self.U[:, :keep] = self.U[:, :k] @ ritz.left[:, chosen]
        self.B[:] = 0.0
        self.B[np.arange(keep), np.arange(keep)] = values if self.U is not None else values**2
        self.size = keep
        return Ritz(values, np.eye(keep), np.eye(keep), ritz.residual[chosen])

    def vectors(
        self, ritz: Ritz, chosen: IntArray
    ) -> tuple[Float64[FloatArray, "q k"], FloatArray, Float64[FloatArray, "p k"], Float64[FloatArray, "q k"]]:
        """U, values and V of some singular values, and the product A V."""
        V = self.V[:, : self.size] @ ritz.right[:, chosen]
        if self.U is not None:
            return self.U[:, : self.size] @ ritz.left[:, chosen], ritz.values[chosen], V, self.A.up(V)
        images = self.A.up(V)
        U, values, Yt = np.linalg.svd(images, full_matrices=False)
        return U, values, V @ Yt.T, images @ Yt.T

    def _append_right(self, vector: Float64[FloatArray, " p"], coefficients: Float64[FloatArray, " c"]) -> None:
        """Make ``A^T u`` a vector of the next block; where nothing is left of it take another direction."""
        end = self.size + self.pending
        square = self.norm if self.U is None else 1.0
        length = _orthogonalise(vector, self.V[:, :end], coefficients[:end])
        if length > self._noise * square:
            coefficients[end] = length
            self.V[:, end] = vector / length
            self.pending += 1
        else:
            self._append_direction()

    def _append_left(self, k: int, vector: Float64[FloatArray, " q"]) -> Float64[FloatArray, " c"]:
        """Make ``A v`` column k of U, and return it in terms of U."""
        assert self.U is not None
        coefficients = np.zeros(k + 1)
        length = _orthogonalise(vector, self.U[:, :k], coefficients[:k])
        if length > self._noise:
            coefficients[k] = length
        else:  # A v lies in the space of U already: any direction outside goes with it, and has no part in it
            length, vector = _random_direction(self.U[:, :k], self.rng)
        self.U[:, k] = vector / length
        return coefficients

    def _append_direction(self) -> bool:
        """Append a random direction to the next block, if there is one."""
        end = self.size + self.pending
        if end >= self.A.smaller:
            return False
        if not self.everything:
            vector = self.A.down(self.rng.standard_normal((self.A.larger, 1)))[:, 0]
            before = float(np.linalg.norm(vector))
            length = _orthogonalise(vector, self.V[:, :end], np.zeros(end))
            if length > NOISE * np.sqrt(self.A.larger) * EPS * before:
                self.V[:, end] = vector / length
                self.pending += 1
                return True
        if self.everything or end < self.null_space:
            length, vector = _random_direction(self.V[:, :end], self.rng)
            self.V[:, end] = vector / length
            self.pending += 1
            return True
        return False

    @property
    def _noise(self) -> float:
        return NOISE * float(np.sqrt(self.A.larger)) * EPS * self.norm


def _orthogonalise(
    vector: Float64[FloatArray, " d"], basis: Float64[FloatArray, "d k"], coefficients: Float64[FloatArray, " k"]
) -> float:
    """Subtract from a vector, in place, what lies in a space; add that to the coefficients; return the length left."""
    length = float(np.linalg.norm(vector))
    for _ in range(PASSES):
        if not basis.shape[1]:
            break
        inside = basis.T @ vector
        vector -= basis @ inside
        coefficients += inside
        before, length = length, float(np.linalg.norm(vector))
        if length > LOST * before:
            break
    return length


def _random_direction(
    basis: Float64[FloatArray, "d k"], rng: np.random.Generator
) -> tuple[float, Float64[FloatArray, " d"]]:
    """A vector orthogonal to a space that is not everything, and its length."""
    vector: FloatArray = rng.standard_normal(len(basis))
    ignored: FloatArray = np.zeros(int(basis.shape[1]))
    return _orthogonalise(vector, basis, ignored), vector


__all__ = ["KrylovSpace", "Ritz"]
