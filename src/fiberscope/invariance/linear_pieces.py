"""The linear pieces of an activation: which one a unit is on, what it computes there, and where the piece ends.

Of a pointwise activation with kinks ``k_1 < k_2 < ...``, piece j lies between k_j and k_{j+1}: of a ReLU, piece 0 is
inactive and piece 1 active. Of a maximum, the piece is the position of the winner.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from fiberscope.errors import ModelError
from fiberscope.network.activations import Activation, Maximum, Pointwise
from fiberscope.network.affine import AffineMap
from fiberscope.network.structured import Diagonal, Rearrangement


@dataclass(frozen=True, eq=False)
class Conditions:
    """``z[first] - z[second] <= bound`` for the inputs z of an activation; the index -1 stands for a constant 0.

    Attributes:
        first: (q,).
        second: (q,).
        bound: (q,).
    """

    first: Int64[Tensor, " q"]
    second: Int64[Tensor, " q"]
    bound: Float64[Tensor, " q"]

    def __len__(self) -> int:
        return len(self.bound)

    def excess(self, Z: Float64[Tensor, "N n"]) -> Float64[Tensor, "N q"]:
        """By how much each is violated; negative where it holds with room."""
        padded = torch.cat([Z, Z.new_zeros(len(Z), 1)], dim=1)
        return padded[:, self.first] - padded[:, self.second] - self.bound


def piece_at(activation: Activation, z: Float64[Tensor, " n"]) -> Int64[Tensor, " m"]:
    """The piece that every unit is on at z; of equal numbers the first, on a kink the constant one.

    Raises:
        ModelError: the activation is smooth, and linear nowhere.
    """
    if isinstance(activation, Maximum):
        return activation.derivative(z).index
    _kinks(activation)  # refuses what is smooth
    return _pointwise(activation).piece(z)


def on_piece(activation: Activation, piece: Int64[Tensor, " m"]) -> AffineMap:
    """What the activation computes on these pieces, continued affinely beyond them."""
    if isinstance(activation, Maximum):
        return Rearrangement(piece, activation.size)
    _kinks(activation)  # refuses what is smooth
    lines = _pointwise(activation).lines()
    slopes = torch.stack([slope for slope, _ in lines]).to(piece.device)
    constants = torch.tensor([constant for _, constant in lines], dtype=torch.float64, device=piece.device)
    return Diagonal(slopes.gather(0, piece[None])[0], constants[piece])


def conditions(activation: Activation, piece: Int64[Tensor, " m"], among: Tensor | None = None) -> Conditions:
    """What the inputs of an activation satisfy as long as every unit, or each of some, a mask, stays on its piece."""
    if isinstance(activation, Maximum):
        output, place = _other_places(activation, piece)
        if among is not None:
            output, place = output[among[output]], place[among[output]]
        return Conditions(place, piece[output], torch.zeros(len(output), dtype=torch.float64))
    return between_kinks(activation, piece, torch.ones_like(piece, dtype=torch.bool) if among is None else among)


def between_kinks(activation: Activation, piece: Int64[Tensor, " m"], among: Tensor) -> Conditions:
    """The same for some units, a mask, of a pointwise activation."""
    kinks = torch.tensor(_kinks(activation), dtype=torch.float64, device=piece.device)
    above = torch.nonzero(among & (piece > 0))[:, 0]  # -z <= -k
    below = torch.nonzero(among & (piece < len(kinks)))[:, 0]  # z <= k
    nothing = torch.full_like
    return Conditions(
        torch.cat([nothing(above, -1), below]),
        torch.cat([above, nothing(below, -1)]),
        torch.cat([-kinks[piece[above] - 1], kinks[piece[below]]]),
    )


@dataclass(frozen=True, eq=False)
class Beyond:
    """What lies behind each of the conditions of an activation, in their order.

    Attributes:
        unit: (q,) the output that is on another piece there.
        piece: (q,) which one.
        change: (q,) by how much that output grows faster there, along ``z[first] - z[second]``.
    """

    unit: Int64[Tensor, " q"]
    piece: Int64[Tensor, " q"]
    change: Float64[Tensor, " q"]


def beyond(activation: Activation, piece: Int64[Tensor, " m"]) -> Beyond:
    """The units that leave their pieces where conditions end, one each."""
    if isinstance(activation, Maximum):
        output, place = _other_places(activation, piece)
        return Beyond(output, place, torch.ones(len(output), dtype=torch.float64))
    part = conditions(activation, piece)
    sign = torch.where(part.first >= 0, 1, -1)
    unit = torch.maximum(part.first, part.second)
    there = piece[unit] + sign
    slopes = torch.stack([slope for slope, _ in _pointwise(activation).lines()])
    return Beyond(unit, there, (slopes[there, unit] - slopes[piece[unit], unit]) * sign)


def _other_places(activation: Maximum, piece: Int64[Tensor, " m"]) -> tuple[Tensor, Tensor]:
    """Every output with each place in its window that is not the one it takes."""
    index = activation.index.to(piece.device)
    output, tap = torch.nonzero((index >= 0) & (index != piece[:, None]), as_tuple=True)
    return output, index[output, tap]


def _pointwise(activation: Activation) -> Pointwise:
    assert isinstance(activation, Pointwise), "activations are pointwise or maxima"
    return activation


def _kinks(activation: Activation) -> tuple[float, ...]:
    kinks = _pointwise(activation).kinks()
    if kinks is None:
        raise ModelError(
            f"{activation.kind} is smooth: what lies before it is on no linear piece, and inputs with the same "
            "features behind it form no polytope; ask for a layer before it"
        )
    return kinks


__all__ = ["Beyond", "Conditions", "between_kinks", "beyond", "conditions", "on_piece", "piece_at"]
