"""A penalty on the margins by which rows are kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fiberscope.scalars import as_number
from fiberscope.training.algebra import root
from fiberscope.training.penalty import RowPenalty
from fiberscope.training.rows import LayerRows


class ActiveMargin(RowPenalty):
    """The margin that n rows are kept by: the local injectivity radius of the layer, if these rows are independent.

        mean over samples of relu(1 - r / delta),    r = (z_i / |a_i|)_(n) / rms_i(z_i / |a_i|)

    ``z_i / |a_i|`` is how far the sample is from the hyperplane at which row i is removed, and (n) the n-th largest of
    them, or the smallest of a layer with fewer rows than inputs. Rows of a clip are as far as from the nearer end; a
    layer without a kink keeps all rows, and its penalty is 0. Neither scaling rows nor the unit of the inputs changes
    it.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.
        delta: the margin that is asked for, in root mean squares of all.
        hide: ask for fewer than n rows within that margin instead: ``relu(1 + r / delta)``.

    Returns:
        0 (easy to invert) where n rows are kept by that margin, 1 where the n-th is about to be removed.

    Source: section 13 of the theory.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: int | Sequence[int] | None = None,
        *,
        delta: float | int = 0.5,
        hide: bool = False,
    ) -> None:
        super().__init__(module, layers, hide=hide)
        self.delta = as_number(delta, "delta", above=0.0)

    def of_rows(self, rows: LayerRows) -> Float[Tensor, " N"]:
        """The hinge of each sample."""
        if not rows.has_kink:
            return rows.z.sum(dim=1) * 0.0
        share = margins(rows).topk(min(rows.inputs, rows.outputs), dim=1).values[:, -1]
        return torch.relu(1.0 + (share if self.hide else -share) / self.delta)


def margins(rows: LayerRows) -> Float[Tensor, "N m"]:
    """``z_i / |a_i|``, in root mean squares of all, of a clip from the nearer of its two ends; 0 of rows of zeros."""
    low, high = rows.layer.cut
    size = root((rows.z * _inverse_lengths(rows)).square().mean(dim=1, keepdim=True))
    return torch.minimum(rows.z - low, high - rows.z) * _inverse_lengths(rows) / torch.where(size > 0, size, 1.0)


def _inverse_lengths(rows: LayerRows) -> Float[Tensor, " m"]:
    lengths = rows.lengths
    return torch.where(lengths > 0, 1.0 / torch.where(lengths > 0, lengths, 1.0), 0.0)


__all__ = ["ActiveMargin", "margins"]
