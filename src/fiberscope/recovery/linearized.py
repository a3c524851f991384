"""What an attack moves along: the numbers that features speak of, and their derivatives, for many inputs at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.network.activations import Activation, Maximum
from fiberscope.network.network import Network
from fiberscope.network.rows import dense
from fiberscope.network.stage import INPUT


@runtime_checkable
class Linearized(Protocol):
    """A map around N inputs: its values and products with the Jacobian of each."""

    @property
    def values(self) -> Tensor:
        """(N, m) what the map gives."""
        ...

    @property
    def inputs(self) -> int:
        """The number n."""
        ...

    @property
    def work(self) -> float:
        """Multiplications of one product, about."""
        ...

    @property
    def work_of_jacobian(self) -> float:
        """Those of writing one Jacobian out."""
        ...

    def forward(self, V: Tensor) -> Tensor:
        """``J_i v_i`` for each input i: (N, n) -> (N, m)."""
        ...

    def adjoint(self, U: Tensor) -> Tensor:
        """``J_i^T u_i`` for each input i: (N, m) -> (N, n)."""
        ...

    def jacobian(self) -> Tensor:
        """(N, m, n) the Jacobians; (1, m, n) where all are the same."""
        ...


@runtime_checkable
class Model(Protocol):
    """A map from n numbers to m."""

    @property
    def inputs(self) -> int:
        """The number n."""
        ...

    def values(self, X: Tensor) -> Tensor:
        """(N, n) -> (N, m)."""
        ...

    def linearized(self, X: Tensor) -> Linearized:
        """The map around each row of X."""
        ...


@dataclass(frozen=True, eq=False)
class AffineModel:
    """``x -> A x + b``, the same around all inputs.

    Attributes:
        weight: (m, n) A.
        bias: (m,) b.
    """

    weight: Float64[Tensor, "m n"]
    bias: Float64[Tensor, " m"]

    @property
    def inputs(self) -> int:
        """The number n."""
        return int(self.weight.shape[1])

    def values(self, X: Float64[Tensor, "N n"]) -> Float64[Tensor, "N m"]:
        """``A x + b`` for each row x."""
        return X @ self.weight.T + self.bias

    def linearized(self, X: Float64[Tensor, "N n"]) -> AroundAffine:
        """The same map."""
        return AroundAffine(self.values(X), self.weight)


@dataclass(frozen=True, eq=False)
class AroundAffine:
    """An affine map around inputs."""

    values: Float64[Tensor, "N m"]
    weight: Float64[Tensor, "m n"]

    @property
    def inputs(self) -> int:
        """The number n."""
        return int(self.weight.shape[1])

    @property
    def work(self) -> float:
        """All entries."""
        return float(self.weight.numel())

    @property
    def work_of_jacobian(self) -> float:
        """It is there."""
        return 0.0

    def forward(self, V: Float64[Tensor, "N n"]) -> Float64[Tensor, "N m"]:
        """``A v``."""
        return V @ self.weight.T

    def adjoint(self, U: Float64[Tensor, "N m"]) -> Float64[Tensor, "N n"]:
        """``A^T u``."""
        return U @ self.weight

    def jacobian(self) -> Float64[Tensor, "1 m n"]:
        """A."""
        return self.weight[None]


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """A network from its input up to and with one stage.

    Attributes:
        network: the network.
        stage: the number of the stage.
    """

    network: Network
    stage: int

    @property
    def inputs(self) -> int:
        """The number n."""
        return self.network.inputs

    @cached_property
    def needed(self) -> tuple[int, ...]:
        """The stages on the way, in order."""
        return self.network.needed_for(self.stage)

    @cached_property
    def work(self) -> float:
        """Multiplications of one product, about: a number for each term of each affine map's outputs."""
        maps = [affine for number in self.needed for affine in self.network.stages[number].maps]
        return float(sum(affine.terms * affine.outputs for affine in maps))

    @cached_property
    def work_of_first(self) -> float:
        """Those of the stages whose rows are known."""
        maps = [self.network.stages[number].maps[0] for number in self.first_rows]
        return float(sum(affine.terms * affine.outputs for affine in maps))

    @cached_property
    def first_rows(self) -> dict[int, Tensor]:
        """(1, n, m) the transposed rows of every affine stage of the input alone: the same around all inputs."""
        return {
            number: torch.tensor(dense(self.network.stages[number].maps[0].rows())).T[None]
            for number in self.needed
            if self.network.stages[number].activation is None and self.network.sources(number) == (INPUT,)
        }

    def values(self, X: Float64[Tensor, "N n"]) -> Float64[Tensor, "N m"]:
        """What the stage gives for each row of X."""
        *_, (_, out) = self.network.walk(X, self.needed, lambda number, x: self.network.stages[number].apply(*x))
        return out

    def linearized(self, X: Float64[Tensor, "N n"]) -> AroundInputs:
        """The network with the derivatives of its activations at each row of X."""
        derivatives: dict[int, Tensor] = {}

        def evaluate(number: int, before: list[Tensor]) -> Tensor:
            stage = self.network.stages[number]
            if stage.activation is not None:
                derivatives[number] = derivative(stage.activation, before[0])
            return stage.apply(*before)

        *_, (_, out) = self.network.walk(X, self.needed, evaluate)
        return AroundInputs(self, out, derivatives)


@dataclass(frozen=True, eq=False)
class AroundInputs:
    """A network around N inputs.

    Attributes:
        model: the network.
        values: (N, m) what it gives.
        derivatives: by the number of a pointwise activation's stage, (N, k) its slopes; of a maximum, (N, k) the places
            of the largest numbers.
    """

    model: NetworkModel
    values: Float64[Tensor, "N m"]
    derivatives: dict[int, Tensor] = field(repr=False)

    @property
    def inputs(self) -> int:
        """The number n."""
        return self.model.inputs

    @property
    def work(self) -> float:
        """Of one product."""
        return self.model.work

    @property
    def work_of_jacobian(self) -> float:
        """A product for every coordinate, but for stages whose rows are known."""
        return self.inputs * (self.work - self.model.work_of_first)

    def forward(self, V: Float64[Tensor, "N n"]) -> Float64[Tensor, "N m"]:
        """``J_i v_i`` for each input i."""
        return self._carried(V[:, None])[:, 0]

    def jacobian(self) -> Float64[Tensor, "N m n"]:
        """The Jacobians, written out from stage to stage."""
        columns = torch.eye(self.model.inputs, dtype=torch.float64)[None]
        return self._carried(columns, self.model.first_rows).transpose(1, 2)

    def _carried(self, V: Tensor, known: dict[int, Tensor] | None = None) -> Tensor:
        """K directions for each input, (N, k, n) -> (N, k, m); of one axis 1 they are those of all inputs."""
        network = self.model.network

        def carry(number: int, before: list[Tensor]) -> Tensor:
            stage = network.stages[number]
            if known is not None and number in known:
                return known[number]
            if isinstance(stage.activation, Maximum):
                places = self.derivatives[number][:, None].expand(-1, before[0].shape[1], -1)
                return before[0].expand(len(places), -1, -1).gather(2, places)
            if stage.activation is not None:
                return before[0] * self.derivatives[number][:, None]
            parts = zip(stage.maps, before, strict=True)
            moved = [affine.linear(v.flatten(0, 1)).reshape(*v.shape[:2], -1) for affine, v in parts]
            return sum(moved[1:], moved[0])

        *_, (_, out) = network.walk(V, self.model.needed, carry)
        return out

    def adjoint(self, U: Float64[Tensor, "N m"]) -> Float64[Tensor, "N n"]:
        """``J_i^T u_i`` for each input i."""
        network, waiting = self.model.network, {self.model.stage: U}
        for number in reversed(self.model.needed):
            stage, values = network.stages[number], waiting.pop(number)
            for place, source in enumerate(network.sources(number)):
                if isinstance(stage.activation, Maximum):
                    back = values.new_zeros(len(values), stage.activation.inputs)
                    back.scatter_add_(1, self.derivatives[number], values)
                elif stage.activation is not None:
                    back = values * self.derivatives[number]
                else:
                    back = stage.maps[place].adjoint(values)
                waiting[source] = waiting[source] + back if source in waiting else back
        return waiting[INPUT]


def derivative(activation: Activation, X: Float64[Tensor, "N k"]) -> Tensor:
    """The slopes of an activation at each number of X; of a maximum, the places of the largest numbers."""
    if isinstance(activation, Maximum):
        index = activation.index
        values = torch.where(index >= 0, X[:, index.clamp(min=0)], -torch.inf)
        return index.expand(len(X), -1, -1).gather(2, values.argmax(dim=2, keepdim=True))[..., 0]
    with torch.enable_grad():
        numbers = X.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(activation.apply(numbers).sum(), numbers)
    return slopes


__all__ = ["AffineModel", "Linearized", "Model", "NetworkModel"]
