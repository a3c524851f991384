"""What is asked of a layer while it is trained: penalties with their weights, and other activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from fiberscope.training.baselines import SRIP, Orthogonality, SmoothSailing, SpectralClip
from fiberscope.training.correlation import RemovedCorrelation
from fiberscope.training.frame import FrameBound, Volume
from fiberscope.training.jacobian import JacobianCondition
from fiberscope.training.margin import ActiveMargin
from fiberscope.training.omnidirectionality import Omnidirectionality
from fiberscope.training.penalty import LayerPenalty

NARROW, WIDE, WIDER = 0.8, 1.25, 2.5
"""Units per input: where the box alone makes preimages singletons or not, where the rows do, and with rows to spare."""


class ConcatenatedReLU(nn.Module):
    """``ReLU(z), ReLU(-z)`` side by side (W. Shang et al., 2016): every row and its opposite."""

    def forward(self, z: Tensor) -> Tensor:
        """(N, m) -> (N, 2 m)."""
        return functional.relu(torch.cat([z, -z], dim=1))


@dataclass(frozen=True)
class Variant:
    """One way to train the network.

    Attributes:
        name: of the penalty or the activation.
        wish: "plain", "invert", "hide", "baseline" or "architecture".
        weight: of the penalty; 0 for none.
        width: units of the first layer, per input.
        penalty: makes it, for the first layer.
        activation: of the first layer.
        doubles: whether the activation gives two numbers per unit.
    """

    name: str
    wish: str
    weight: float = 0.0
    width: float = WIDE
    penalty: Callable[[nn.Module], LayerPenalty] | None = None
    activation: Callable[[], nn.Module] = nn.ReLU
    doubles: bool = False

    @property
    def label(self) -> str:
        """For tables and drawings."""
        hidden = " (hide)" if self.wish == "hide" else ""
        weight = f", {self.weight:g}" if self.weight else ""
        return f"{self.name}{hidden}{weight}"

    def network(self, inputs: int, classes: int) -> nn.Sequential:
        """The untrained network: one layer, and one number per class."""
        units = round(self.width * inputs)
        return nn.Sequential(
            nn.Linear(inputs, units), self.activation(), nn.Linear(units * (2 if self.doubles else 1), classes)
        )


_OURS: tuple[tuple[str, Callable[..., LayerPenalty], float, float], ...] = (
    ("frame bound", FrameBound, 0.3, 0.3),
    ("volume", Volume, 1.0, 0.1),
    ("active margin", ActiveMargin, 0.3, 0.3),
    ("omnidirectionality", partial(Omnidirectionality, steps=25), 3.0, 3.0),
    ("removed correlation", RemovedCorrelation, 0.1, 0.1),
    ("jacobian condition", JacobianCondition, 0.3, 0.1),
)
"""With the usual weights of the wish and of its inverse."""

_BASELINES: tuple[tuple[str, Callable[..., LayerPenalty], float], ...] = (
    ("all correlations", partial(RemovedCorrelation, pairs="all"), 0.1),
    ("orthogonality", Orthogonality, 0.3),
    ("SRIP", SRIP, 0.3),
    ("spectral clip", SpectralClip, 3.0),
    ("smooth sailing", SmoothSailing, 0.3),
)


def variants(factors: tuple[float, ...]) -> list[Variant]:
    """All of them: penalties with their usual weights times some factors, in narrow layers with the usual ones."""
    found = [Variant("plain", "plain"), Variant("plain", "plain", width=NARROW)]
    for name, kind, *weights in _OURS:
        for wish, weight in zip(("invert", "hide"), weights, strict=True):
            make = partial(kind, layers=0, hide=wish == "hide")
            asked = factors if wish == "invert" else (1.0,)
            found += [Variant(name, wish, factor * weight, penalty=make) for factor in asked]
            found.append(Variant(name, wish, weight, NARROW, make))
    for name, kind, weight in _BASELINES:
        make = partial(kind, layers=0)
        found += [Variant(name, "baseline", factor * weight, penalty=make) for factor in factors]
    return [*found, *_architectures()]


def _architectures() -> list[Variant]:
    return [
        Variant("ReLU, wider", "architecture", width=WIDER),
        Variant("cReLU", "architecture", activation=ConcatenatedReLU, doubles=True),
        Variant("leaky ReLU", "architecture", activation=nn.LeakyReLU),
        Variant("ELU", "architecture", activation=nn.ELU),
        Variant("tanh", "architecture", activation=nn.Tanh),
    ]


__all__ = ["NARROW", "WIDE", "WIDER", "Variant", "variants"]
