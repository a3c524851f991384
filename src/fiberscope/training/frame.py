"""Penalties on the frame of the rows that are kept: its smallest eigenvalue, and its volume."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, log1p
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fiberscope.scalars import as_count, as_number
from fiberscope.training.algebra import cholesky, eigh, length, parts
from fiberscope.training.krylov import lanczos
from fiberscope.training.margin import margins
from fiberscope.training.penalty import RowPenalty
from fiberscope.training.rows import LayerRows

AT_ONCE = 2**24
"""Numbers that the matrices of some samples may hold at a time."""

SOFTNESS = 0.1
"""Of a few that were tried on small pictures, the one with most effect for its loss of accuracy."""


class FrameBound(RowPenalty):
    """The smallest eigenvalue of the frame of the kept rows, where it is below a threshold.

        mean over samples of relu(log((tau + delta) / (lambda + delta))) / log((tau + delta) / delta),
        lambda = k lambda_k(A^T diag(w) A) / |A|_F^2,

    with k the smaller one of the numbers of inputs and of rows, ``lambda_k`` the k-th largest eigenvalue, and w what
    each row counts: see ``row_weights``. With softness 0, these are the rows that are kept, and the root of lambda
    is the inverse Lipschitz constant of the layer around the sample; but where fewer than k rows are kept, lambda is
    0, and so is its gradient. Otherwise rows count in part near their hyperplane, and those that matter in the weakest
    direction are pulled to the side on which they are kept: by the logarithm, from far away, too. With lambda 1, the
    rows that are kept would do as well as the mean of all rows. Neither scaling the weights, permuting the rows nor the
    unit of the inputs changes it.

    Eigenvectors are found in float64 without a gradient and multiplied out with one: exactly for fewer than 512 inputs,
    otherwise by ``steps`` steps of Lanczos's method, which give at least lambda.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.
        tau: from which lambda on there is nothing to ask for.
        delta: the lambda from which on less is hardly worse.
        softness: see ``row_weights``.
        steps: products with the rows for each sample, of layers with 512 inputs and more.
        hide: ask for lambda 0 instead: 1 minus the above.

    Returns:
        From 0 (easy to invert) to 1.

    Source: section 13 of the theory; R. Balan et al., frame bounds of ReLU layers.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: int | Sequence[int] | None = None,
        *,
        tau: float | int = 0.1,
        delta: float | int = 1e-4,
        softness: float | int = SOFTNESS,
        steps: int = 48,
        hide: bool = False,
    ) -> None:
        super().__init__(module, layers, hide=hide)
        self.tau, self.delta = as_number(tau, "tau", above=0.0), as_number(delta, "delta", above=0.0)
        self.softness, self.steps = as_number(softness, "softness", least=0.0), as_count(steps, "steps")

    def of_rows(self, rows: LayerRows) -> Float[Tensor, " N"]:
        """The hinge of each sample."""
        found = smallest_eigenvalues(rows, row_weights(rows, self.softness), self.steps)
        enough = self.tau + self.delta
        hinge = torch.relu(log(enough) - (found + self.delta).log()) / (log(enough) - log(self.delta))
        return 1.0 - hinge if self.hide else hinge


class Volume(RowPenalty):
    """The volume that the kept rows span, by the logarithm of a determinant.

        mean over samples of (log(1 + delta) - logdet(n A^T diag(w) A / |A|_F^2 + delta I) / n) / log(1 + 1 / delta),

    with w what each row counts: see ``row_weights``. With softness 0, these are the rows that are kept, and there is a
    gradient even where they are fewer than n, but none that asks for more of them. All eigenvalues count, the small
    ones most. Neither scaling the weights, permuting the rows nor the unit of the inputs changes it. Exact for fewer
    than 512 inputs; otherwise the determinant is estimated from one random vector per sample, always the same one, by
    ``steps`` steps of Lanczos's method.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.
        delta: what is added to the eigenvalues, of which the mean over all rows is 1.
        softness: see ``row_weights``.
        steps: see above.
        hide: ask for a small volume instead: 1 minus the above.

    Returns:
        From 0 (easy to invert) to 1; the estimate may lie beyond.

    Source: section 13 of the theory; S. Ubaru, J. Chen and Y. Saad, Fast estimation of tr(f(A)), 2017.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: int | Sequence[int] | None = None,
        *,
        delta: float | int = 1e-3,
        softness: float | int = SOFTNESS,
        steps: int = 16,
        hide: bool = False,
    ) -> None:
        super().__init__(module, layers, hide=hide)
        self.delta, self.softness = as_number(delta, "delta", above=0.0), as_number(softness, "softness", least=0.0)
        self.steps = as_count(steps, "steps")

    def of_rows(self, rows: LayerRows) -> Float[Tensor, " N"]:
        """What is missing of the volume of each sample, as a share."""
        weights = row_weights(rows, self.softness)
        determinant = _log_determinants(rows, weights, self.delta, self.steps) / rows.inputs
        missing = (log1p(self.delta) - determinant) / (log1p(self.delta) - log(self.delta))
        return 1.0 - missing if self.hide else missing


def row_weights(rows: LayerRows, softness: float) -> Float[Tensor, "N m"]:
    """What each row counts in the frame: the expected frame of rows that are kept or not after a little noise.

        w_i = 1 / (1 + exp(-r_i / softness)),    r_i = z_i / |a_i| / rms_j(z_j / |a_j|),

    the probability that row i is kept, if its distance from the hyperplane is changed by logistic noise of that size,
    in root mean squares of all distances. Softness 0 is the limit: 1 for the rows that are kept, and 0 for others. Of
    an activation without a kink, the weights are the squares of its slopes.
    """
    if softness == 0 or not rows.has_kink:
        return rows.slopes.square()
    return torch.sigmoid(margins(rows) / softness)


def smallest_eigenvalues(rows: LayerRows, weights: Float[Tensor, "N m"], steps: int) -> Float[Tensor, " N"]:
    """``k lambda_k(A^T diag(w) A) / |A|_F^2`` of each sample, k the smaller side of A; 0 of a zero matrix."""
    k = min(rows.inputs, rows.outputs)
    unit = rows.lengths.square().sum() / k
    enough = (weights != 0).sum(dim=1) >= k
    if not bool(enough.any()) or not bool(unit > 0):
        return (weights.sum(dim=1) + unit) * 0.0
    chosen = torch.nonzero(enough)[:, 0]
    weights = weights[chosen]
    with torch.no_grad():
        U = _exact_vectors(rows, weights, k) if rows.is_dense else _found_vectors(rows, weights, k, steps)
    values = (weights * rows.apply(U).square()).sum(dim=1) / unit
    return torch.zeros_like(rows.z[:, 0]).index_put((chosen,), values)


def _exact_vectors(rows: LayerRows, weights: Tensor, k: int) -> Float[Tensor, "K n"]:
    A, found = rows.matrix.double(), list[Tensor]()
    for part in parts(weights.double().sqrt(), _at_once(A)):
        scaled = part[:, :, None] * A
        found.append(eigh(scaled.mT @ scaled)[1][:, :, rows.inputs - k])
    return torch.cat(found).to(weights.dtype)


def _found_vectors(rows: LayerRows, weights: Tensor, k: int, steps: int) -> Float[Tensor, "K n"]:
    """On the smaller side of the matrix, as rounding leads into the null space of the larger one."""
    start = random_signs(len(weights), k, weights)
    if k == rows.inputs:
        return lanczos(lambda V: rows.adjoint(weights * rows.apply(V)), start, steps).smallest()
    roots = weights.sqrt()
    left = lanczos(lambda V: roots * rows.apply(rows.adjoint(roots * V)), start, steps).smallest()
    right = rows.adjoint(roots * left)
    return right / length(right, keepdim=True).clamp_min(torch.finfo(right.dtype).tiny)


def random_signs(count: int, size: int, like: Tensor) -> Float[Tensor, "K n"]:
    """Always the same: nothing of it depends on calls before."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (count, size), generator=generator)
    return (2 * signs - 1).to(device=like.device, dtype=like.dtype)


def _log_determinants(rows: LayerRows, weights: Float[Tensor, "N m"], delta: float, steps: int) -> Float[Tensor, " N"]:
    """``logdet(n A^T diag(w) A / |A|_F^2 + delta I)`` of each sample."""
    unit = rows.mean_square.clamp_min(torch.finfo(rows.z.dtype).tiny)
    if not rows.is_dense:
        return _estimated(rows, weights / unit, delta, steps)
    return cast(Tensor, _LogDeterminants.apply(rows.matrix / unit.sqrt(), weights, delta))


def _estimated(rows: LayerRows, weights: Tensor, delta: float, steps: int) -> Float[Tensor, " N"]:
    """``v^T log(M + delta I) v`` for a random v, and ``v^T (M + delta I)^-1 dM v`` as its gradient."""
    v = random_signs(rows.samples, rows.inputs, rows.z)
    with torch.no_grad():
        space = lanczos(lambda V: rows.adjoint(weights * rows.apply(V)), v, steps)
        values = space.form(lambda t: (t.clamp_min(0.0) + delta).log())
        solved = space.applied(lambda t: 1.0 / (t.clamp_min(0.0) + delta))
    linear = (weights * rows.apply(solved) * rows.apply(v)).sum(dim=1)
    return values + linear - linear.detach()


class _LogDeterminants(torch.autograd.Function):
    """``logdet(A^T diag(w) A + delta I)`` for N vectors w of weights, with the matrices of some samples at a time."""

    @staticmethod
    def forward(ctx: Any, A: Tensor, weights: Tensor, delta: float) -> Tensor:
        rows, eye = A.double(), delta * torch.eye(A.shape[1], dtype=torch.float64, device=A.device)
        values, inverses = list[Tensor](), list[Tensor]()
        for part in parts(weights.double(), _at_once(A)):
            factor = cholesky(rows.mT @ (part[:, :, None] * rows) + eye)
            values.append(2.0 * factor.diagonal(dim1=1, dim2=2).log().sum(dim=1))
            inverses.append(torch.cholesky_inverse(factor).to(A.dtype))
        ctx.save_for_backward(A, weights, torch.cat(inverses))
        return torch.cat(values).to(A.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Of the gradient ``tr((A^T diag(w) A + delta I)^-1 d(A^T diag(w) A))``."""
        A, weights, inverses = ctx.saved_tensors
        of_rows, of_weights = torch.zeros_like(A), list[Tensor]()
        size = _at_once(A)
        for w, inverse, grad in zip(*(parts(each, size) for each in (weights, inverses, grads[0])), strict=True):
            turned = A @ inverse
            of_rows += 2.0 * (grad[:, None, None] * w[:, :, None] * turned).sum(dim=0)
            of_weights.append(grad[:, None] * (turned * A).sum(dim=2))
        return of_rows, torch.cat(of_weights), None


def _at_once(A: Tensor) -> int:
    return max(1, AT_ONCE // A.numel())


__all__ = ["FrameBound", "Volume", "row_weights", "smallest_eigenvalues"]
