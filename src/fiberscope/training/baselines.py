"""What others ask of weights, whatever the samples are, to compare with: penalties, and retractions of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fiberscope.errors import InputError
from fiberscope.scalars import as_count, as_number
from fiberscope.training.algebra import eigh, full, length, singular_values, svd
from fiberscope.training.penalty import LayerPenalty
from fiberscope.training.recording import RecordedLayer
from fiberscope.training.rows import DENSE_INPUTS


class WeightPenalty(LayerPenalty):
    """A penalty on the weights of Linears and convolutions, as matrices with a row for each output channel.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.
    """

    def of_layer(self, layer: RecordedLayer) -> Float[Tensor, ""]:
        """The mean over the weights of the layer; 0 where it has none of its own."""
        weights = [step.filters.weight for _, _, step in layer.steps if step.filters is not None]
        if not weights:
            return layer.values.float().sum() * 0.0
        return torch.stack([self.of_weight(_matrix(weight)) for weight in weights]).mean()

    def of_weight(self, W: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
        """The number for one matrix."""
        raise NotImplementedError


class Orthogonality(WeightPenalty):
    """How far weights are from orthonormal, with k the smaller side of W: ``|W^T W - I|_F^2 / k``, or ``W W^T``.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.

    Source: N. Bansal, X. Chen and Z. Wang, Can we gain more from orthogonality regularizations, 2018 (soft
    orthogonality).
    """

    def of_weight(self, W: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
        """The distance of one matrix."""
        return _defect(W).square().sum() / min(W.shape)


class SRIP(WeightPenalty):
    """The largest stretch or shrinkage by weights: the spectral norm ``|W^T W - I|``, or ``W W^T`` if that is smaller.

    Found by ``steps`` products from one and the same vector, without a gradient, and multiplied out with one; exactly
    if the smaller side of W is below 512.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.
        steps: of the power method.

    Source: N. Bansal, X. Chen and Z. Wang, 2018 (spectral restricted isometry property).
    """

    def __init__(self, module: nn.Module, layers: int | Sequence[int] | None = None, *, steps: int = 16) -> None:
        super().__init__(module, layers)
        self.steps = as_count(steps, "steps")

    def of_weight(self, W: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
        """The norm of one matrix."""
        defect = _defect(W)
        with torch.no_grad():
            v = _extreme_vector(defect.detach(), self.steps)
        return (v @ (defect @ v)).abs()


class SpectralClip(WeightPenalty):
    """How far singular values of weights lie outside of an interval: the mean of ``dist(sigma, [low, high])^2``.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.
        low: the lower end.
        high: the upper end.

    Source: K. Jia et al., Improving training of deep neural networks via singular value bounding, 2017, as a penalty;
    ``bound_singular_values`` is the step that they take.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: int | Sequence[int] | None = None,
        *,
        low: float | int = 0.5,
        high: float | int = 1.5,
    ) -> None:
        super().__init__(module, layers)
        self.low, self.high = as_number(low, "low", least=0.0), as_number(high, "high", above=0.0)
        if not self.low <= self.high:
            raise InputError("low", expected=f"at most high, {self.high:g}", got=f"{self.low:g}")

    def of_weight(self, W: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
        """The mean square of one matrix."""
        sigma = singular_values(W)
        return (torch.relu(sigma - self.high) + torch.relu(self.low - sigma)).square().mean()


class SmoothSailing(WeightPenalty):
    """The spread of singular values below the largest, with k the smaller side of W: ``1 - |W|_F^2 / (k |W|^2)``.

    That is the published ``|W|^2 / 2 - |W|_F^2 / (2 k)`` in units of ``|W|^2 / 2``, so that scaling W does not change
    it; 0 if and only if the condition number is 1.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.

    Source: R. Nenov, D. Haider and P. Balazs, (Almost) smooth sailing, arXiv 2410.00169, 2024.
    """

    def of_weight(self, W: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
        """The spread of one matrix."""
        largest = singular_values(W)[0].square()
        return 1.0 - W.square().sum() / (min(W.shape) * torch.where(largest > 0, largest, 1.0))


def parseval_retraction(module: nn.Module, beta: float | int = 1e-2) -> None:
    """Move the weights of all Linears and convolutions towards orthonormal ones, in place, as after each step.

        W <- (1 + beta) W - beta W W^T W

    Args:
        module: the module.
        beta: how far; at most 0.5.

    Source: M. Cisse et al., Parseval networks, 2017.
    """
    share = as_number(beta, "beta", above=0.0, most=0.5)
    with torch.no_grad():
        for weight in _weights(module):
            W = _matrix(weight)
            product = (W @ W.mT) @ W if W.shape[0] <= W.shape[1] else W @ (W.mT @ W)
            weight.copy_(((1.0 + share) * W - share * product).reshape(weight.shape))


def bound_singular_values(module: nn.Module, epsilon: float | int = 0.05) -> None:
    """Put the singular values of the weights of all Linears and convolutions into an interval, in place.

        sigma <- min(max(sigma, 1 / (1 + epsilon)), 1 + epsilon)

    Args:
        module: the module.
        epsilon: see above.

    Source: K. Jia et al., 2017.
    """
    high = 1.0 + as_number(epsilon, "epsilon", above=0.0)
    with torch.no_grad():
        for weight in _weights(module):
            U, sigma, Vh = svd(_matrix(weight))
            weight.copy_(((U * sigma.clamp(1.0 / high, high)) @ Vh).reshape(weight.shape))


def _weights(module: nn.Module) -> Iterator[Tensor]:
    """Each once, and none that a parametrization computes."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and isinstance(part.weight, nn.Parameter):
            yield part.weight


def _matrix(weight: Tensor) -> Float[Tensor, "m n"]:
    return full(weight).flatten(1)


def _defect(W: Float[Tensor, "m n"]) -> Float[Tensor, "k k"]:
    product = W @ W.mT if W.shape[0] <= W.shape[1] else W.mT @ W
    return product - torch.eye(len(product), dtype=W.dtype, device=W.device)


def _extreme_vector(M: Float[Tensor, "k k"], steps: int) -> Float[Tensor, " k"]:
    """An eigenvector of the eigenvalue with the largest absolute value."""
    if len(M) < DENSE_INPUTS:
        values, vectors = eigh(M)
        return vectors[:, values.abs().argmax()]
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(len(M), generator=generator).to(dtype=M.dtype, device=M.device)
    for _ in range(steps):
        v = M @ (M @ v)  # the square has no eigenvalues of opposite sign, which would never settle
        v = v / length(v).clamp_min(torch.finfo(v.dtype).tiny)
    return v


__all__ = ["SRIP", "Orthogonality", "SmoothSailing", "SpectralClip", "bound_singular_values", "parseval_retraction"]
