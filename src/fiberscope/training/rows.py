"""The rows of a layer around each sample of a batch: what is left of them, and products with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf, prod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fiberscope.training.algebra import full, root
from fiberscope.training.recording import RecordedLayer

DENSE_INPUTS = 512
"""Inputs below which matrices are written out and decomposed; a layer of more is known by its products alone."""


@dataclass(frozen=True, eq=False)
class LayerRows:
    """The layer ``f(A h + b)`` at N samples: rows ``s_i a_i``, with s_i the slope of the activation f at z_i.

    Of a ReLU, the slopes are 1 for the rows that are kept, P, and 0 for those that are removed.

    Args:
        layer: as it was recorded.
    """

    layer: RecordedLayer

    @cached_property
    def inputs(self) -> int:
        """n, the numbers that a sample has before the layer."""
        return prod(self.layer.source.shape[1:])

    @cached_property
    def outputs(self) -> int:
        """m, the number of rows."""
        return prod(self.layer.values.shape[1:])

    @cached_property
    def samples(self) -> int:
        """N."""
        return len(self.layer.values)

    @cached_property
    def z(self) -> Float[Tensor, "N m"]:
        """``A h + b``."""
        return full(self.layer.values).flatten(1)

    @property
    def has_kink(self) -> bool:
        """Whether the activation is a ReLU or a clip."""
        return self.layer.cut != (-inf, inf)

    @cached_property
    def kept(self) -> Bool[Tensor, "N m"]:
        """P: the rows whose value the activation hands on."""
        low, high = self.layer.cut
        z = self.z.detach()
        return (z > low) & (z < high)

    @cached_property
    def slopes(self) -> Float[Tensor, "N m"]:
        """The slopes s."""
        if self.has_kink:
            return self.kept.to(self.z.dtype)
        values = self.layer.values
        slopes: Tensor = torch.func.jvp(self.layer.activation, (values,), (torch.ones_like(values),))[1]
        return full(slopes).flatten(1)

    def apply(self, V: Float[Tensor, "K n"]) -> Float[Tensor, "K m"]:
        """``A v`` of each v."""
        shape = self.layer.source.shape[1:]
        return full(self.layer.linear(V.to(self.layer.source.dtype).reshape(len(V), *shape))).flatten(1)

    def adjoint(self, U: Float[Tensor, "K m"]) -> Float[Tensor, "K n"]:
        """``A^T u`` of each u; it has no gradient."""
        with torch.enable_grad():
            start = U.new_zeros(len(U), self.inputs, requires_grad=True)
            (product,) = torch.autograd.grad(self.apply(start), start, U.detach())
        return product

    @cached_property
    def matrix(self) -> Float[Tensor, "m n"]:
        """A."""
        *_, (_, _, last) = self.layer.steps
        if len(self.layer.steps) == 1 and last.filters is not None and last.filters.weight.ndim == 2:
            return full(last.filters.weight)
        return self.apply(torch.eye(self.inputs, dtype=self.z.dtype, device=self.z.device)).mT

    @cached_property
    def is_dense(self) -> bool:
        """Whether the matrix is written out: of few inputs."""
        return self.inputs < DENSE_INPUTS

    @cached_property
    def lengths(self) -> Float[Tensor, " m"]:
        """``|a_i|``, Euclid."""
        squared = [step.squared for _, _, step in self.layer.steps]
        mixed = sum(step.filters is not None for _, _, step in self.layer.steps) > 1
        if self.is_dense or mixed or None in squared:
            return root(self.matrix.square().sum(dim=1))
        ones = torch.ones_like(self.layer.source[:1])
        return root(full(self.layer.linear(ones, squared=True)).flatten())

    @property
    def mean_square(self) -> Float[Tensor, ""]:
        """``|A|_F^2 / n``, the mean eigenvalue of ``A^T A``: the unit in which those of the kept rows are told."""
        return self.lengths.square().sum() / self.inputs


__all__ = ["DENSE_INPUTS", "LayerRows"]
