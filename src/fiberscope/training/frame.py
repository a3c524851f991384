"""Penalties on the frame of the rows that are kept: its smallest eigenvalue, and its volume."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, log1p
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fiberscope.scalars import as_count, as_number
from fiberscope.training.algebra import cholesky, eigh, parts
from fiberscope.training.krylov import lanczos
from fiberscope.training.penalty import RowPenalty
from fiberscope.training.rows import LayerRows

AT_ONCE = 2**24
"""Numbers that the matrices of some samples may hold at a time."""


class FrameBound(RowPenalty):
    """The smallest eigenvalue of the frame of the kept rows, where it is below a threshold.

        mean over samples of relu(1 - lambda / tau)^2,    lambda = n lambda_min(A_P^T A_P) / |A|_F^2

    With lambda 1, the kept rows would do as well as the mean of all rows; its root is the inverse Lipschitz constant
    of the layer around the sample. Activations with slopes s_i have ``s_i a_i`` in the place of the rows. Neither
    scaling the weights nor permuting the rows changes it. With fewer than n kept rows lambda is 0, and so is its
    gradient: ``ActiveMargin`` asks for more of them.

    Eigenvectors are found in float64 without a gradient and multiplied out with one: exactly for fewer than 512 inputs,
    otherwise by ``steps`` steps of Lanczos's method, which give at least lambda.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.
        tau: from which lambda on there is nothing to ask for.
        steps: products with the rows for each sample, of layers with 512 inputs and more.
        hide: ask for lambda 0 instead: ``1 - relu(1 - lambda / tau)^2``.

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
        steps: int = 48,
        hide: bool = False,
    ) -> None:
        super().__init__(module, layers, hide=hide)
        self.tau, self.steps = as_number(tau, "tau", above=0.0), as_count(steps, "steps")

    def of_rows(self, rows: LayerRows) -> Float[Tensor, " N"]:
        """The hinge of each sample."""
        hinge = torch.relu(1.0 - smallest_eigenvalues(rows, self.steps) / self.tau).square()
        return 1.0 - hinge if self.hide else hinge


class Volume(RowPenalty):
    """The volume that the kept rows span, by the logarithm of a determinant.

        mean over samples of (log(1 + delta) - logdet(n A_P^T A_P / |A|_F^2 + delta I) / n) / log(1 + 1 / delta)

    All eigenvalues count, the small ones most, and with fewer than n rows there is still a gradient. Neither scaling
    the weights nor permuting the rows changes it. Exact for fewer than 512 inputs; otherwise the determinant is
    estimated from one random vector per sample, always the same one, by ``steps`` steps of Lanczos's method.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.
        delta: what is added to the eigenvalues, of which the mean over all rows is 1.
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
        steps: int = 16,
        hide: bool = False,
    ) -> None:
        super().__init__(module, layers, hide=hide)
        self.delta, self.steps = as_number(delta, "delta", above=0.0), as_count(steps, "steps")

    def of_rows(self, rows: LayerRows) -> Float[Tensor, " N"]:
        """What is missing of the volume of each sample, as a share."""
        determinant = _log_determinants(rows, self.delta, self.steps) / rows.inputs
        missing = (log1p(self.delta) - determinant) / (log1p(self.delta) - log(self.delta))
        return 1.0 - missing if self.hide else missing


def smallest_eigenvalues(rows: LayerRows, steps: int) -> Float[Tensor, " N"]:
    """``n lambda_min(A^T S^2 A) / |A|_F^2`` of each sample, S the diagonal matrix of its slopes; 0 of a zero matrix."""
    unit = rows.mean_square
    enough = (rows.slopes != 0).sum(dim=1) >= rows.inputs
    if not bool(enough.any()) or not bool(unit > 0):
        return (rows.slopes.sum(dim=1) + unit) * 0.0
    chosen = torch.nonzero(enough)[:, 0]
    slopes = rows.slopes[chosen]
    with torch.no_grad():
        U = _exact_vectors(rows, slopes) if rows.is_dense else _found_vectors(rows, slopes, steps)
    values = (slopes * rows.apply(U)).square().sum(dim=1) / unit
    return torch.zeros_like(rows.slopes[:, 0]).index_put((chosen,), values)


def _exact_vectors(rows: LayerRows, slopes: Tensor) -> Float[Tensor, "K n"]:
    A, found = rows.matrix.double(), list[Tensor]()
    for part in parts(slopes.double(), _at_once(A)):
        scaled = part[:, :, None] * A
        found.append(eigh(scaled.mT @ scaled)[1][:, :, 0])
    return torch.cat(found).to(slopes.dtype)


def _found_vectors(rows: LayerRows, slopes: Tensor, steps: int) -> Float[Tensor, "K n"]:
    start = random_signs(len(slopes), rows.inputs, slopes)
    return lanczos(lambda V: rows.adjoint(slopes.square() * rows.apply(V)), start, steps).smallest()


def random_signs(count: int, size: int, like: Tensor) -> Float[Tensor, "K n"]:
    """Always the same: nothing of it depends on calls before."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (count, size), generator=generator)
    return (2 * signs - 1).to(device=like.device, dtype=like.dtype)


def _log_determinants(rows: LayerRows, delta: float, steps: int) -> Float[Tensor, " N"]:
    """``logdet(n A^T S^2 A / |A|_F^2 + delta I)`` of each sample."""
    unit = rows.mean_square.clamp_min(torch.finfo(rows.z.dtype).tiny)
    if not rows.is_dense:
        return _estimated(rows, unit, delta, steps)
    return cast(Tensor, _LogDeterminants.apply(rows.matrix / unit.sqrt(), rows.slopes.square(), delta))


def _estimated(rows: LayerRows, unit: Tensor, delta: float, steps: int) -> Float[Tensor, " N"]:
    """``w^T log(M + delta I) w`` for a random w, and ``w^T (M + delta I)^-1 dM w`` as its gradient."""
    w = random_signs(rows.samples, rows.inputs, rows.z)
    with torch.no_grad():
        weights = rows.slopes.square() / unit
        space = lanczos(lambda V: rows.adjoint(weights * rows.apply(V)), w, steps)
        values = space.form(lambda t: (t.clamp_min(0.0) + delta).log())
        solved = space.applied(lambda t: 1.0 / (t.clamp_min(0.0) + delta))
    linear = (rows.slopes.square() * rows.apply(solved) * rows.apply(w)).sum(dim=1) / unit
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


__all__ = ["FrameBound", "Volume", "smallest_eigenvalues"]
