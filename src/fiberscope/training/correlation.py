"""A penalty on correlations of rows."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log1p, prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from fiberscope.errors import InputError, shown
from fiberscope.training.algebra import full, root
from fiberscope.training.penalty import RowPenalty
from fiberscope.training.rows import LayerRows

PAIRS = ("removed", "kept", "all")

STEEPNESS = 10.0
"""Of Rodriguez et al."""

UNCORRELATED = log1p(exp(-STEEPNESS))
"""What a pair of orthogonal rows counts: the unit of the penalty."""


class RemovedCorrelation(RowPenalty):
    """The wish that the rows that are removed be correlated with those that are kept.

        mean over samples of 1 / M, M = mean over i in N, j in P of log(1 + exp(10 (c_ij - 1))) / log(1 + exp(-10)),

    with ``c_ij`` the cosine of the angle between a_i and a_j: a pair counts 1 if the rows are orthogonal, and 15,000 if
    they are equal; M is 1 where there is no pair. By Lemma 9, removing a row does harm where the kept ones are *weakly*
    correlated with it, as nothing else tells what it told. Lowering M, as regularizers of correlation do, hides. The
    wish helps where few rows are kept; where there are rows to spare it does not.
    Neither scaling rows nor permuting them changes it. Of a convolution, the filters are the rows, at each place those
    that are removed against those that are kept there.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.
        pairs: "removed"; or "kept", pairs of kept rows; or "all", all pairs of different rows, whatever is removed. Of
            these two, the wish is weak correlation, M itself: with "all", the penalty of Rodriguez et al.
        hide: turns the wish round, 1 / M into M or M into 1 / M.

    Source: Lemma 9; P. Rodriguez et al., Regularizing CNNs with locally constrained decorrelations, 2017.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: int | Sequence[int] | None = None,
        *,
        pairs: str = "removed",
        hide: bool = False,
    ) -> None:
        super().__init__(module, layers, hide=hide)
        if pairs not in PAIRS:
            raise InputError("pairs", expected=" or ".join(PAIRS), got=shown(pairs))
        self.pairs = pairs

    def of_rows(self, rows: LayerRows) -> Float[Tensor, " N"]:
        """The mean over pairs of each sample."""
        W, places = _filters(rows)
        counts = functional.softplus(STEEPNESS * (_cosines(W) - 1.0)) / UNCORRELATED
        kept = rows.kept.reshape(rows.samples, len(W), places).to(W.dtype)
        if self.pairs == "all":
            kept = torch.ones_like(kept)
        others = 1.0 - kept if self.pairs == "removed" else kept
        alone = torch.zeros_like(kept[:, 0, 0]) if self.pairs == "removed" else kept.sum(dim=(1, 2))
        pairs = (kept.sum(dim=1) * others.sum(dim=1)).sum(dim=1) - alone
        if self.pairs != "removed":
            counts = counts - torch.diag(counts.diagonal())
        total = torch.einsum("bip,ij,bjp->b", others, counts, kept)
        mean = torch.where(pairs > 0, total / pairs.clamp_min(1.0), 1.0)
        wants_correlation = self.hide != (self.pairs == "removed")
        return 1.0 / mean if wants_correlation else mean


def _filters(rows: LayerRows) -> tuple[Float[Tensor, "c k"], int]:
    """The rows of the matrix, or the filters of a convolution, and the number of places where each of them is used."""
    steps = [step for _, _, step in rows.layer.steps]
    (*others, last) = [step for step in steps if step.filters is not None] or [None]
    if others or last is None or last.filters is None or last.filters.groups > 1:
        return rows.matrix, 1
    signs = [step.scale.sign()[:, None] for step in steps[steps.index(last) + 1 :] if step.scale is not None]
    W = prod(signs, start=full(last.filters.weight).flatten(1))
    places, rest = divmod(rows.outputs, len(W))
    return (rows.matrix, 1) if rest or rows.layer.values.shape[1] != len(W) else (W, places)


def _cosines(W: Float[Tensor, "c k"]) -> Float[Tensor, "c c"]:
    lengths = root(W.square().sum(dim=1, keepdim=True))
    unit = W / torch.where(lengths > 0, lengths, 1.0)
    return unit @ unit.mT


__all__ = ["RemovedCorrelation"]
