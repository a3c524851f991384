"""A network around one sample: every activation replaced by its derivative there, so that only affine maps are left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from fiberscope.memory import MATRIX_BYTES, check_size
from fiberscope.network.affine import AffineMap
from fiberscope.network.network import Network
from fiberscope.network.stage import INPUT
from fiberscope.stability.row_propagation import added, carried, input_rows
from fiberscope.stability.windowed_rows import LocalRows

BATCH_NUMBERS = 2**24
"""Numbers that the widest stage may hold at a time while unit vectors go through the network."""


@dataclass(frozen=True, eq=False)
class LocalNetwork:
    """What a network is around x: ``A_L D_{L-1} A_{L-1} ... D_1 A_1``, as a graph of affine maps.

    Attributes:
        network: the network.
        x: (n,) the sample.
        last: the stage up to which it is known.
        maps: the affine maps of every stage, one per source, by the number of the stage; of an activation, its
            derivative at x. Stages that the last one does not depend on are left out.
        before: (n_i,) what every activation receives at x, by the number of its stage.
    """

    network: Network
    x: Float64[Tensor, " n"]
    last: int
    maps: dict[int, tuple[AffineMap, ...]]
    before: dict[int, Tensor]

    def values(self, X: Float64[Tensor, "N n"], stages: Sequence[int]) -> Iterator[tuple[int, Float64[Tensor, "N m"]]]:
        """What each of some stages gives for each row of X, constants included, if all maps are continued affinely."""
        yield from self._through(X, stages, lambda affine, before: affine.apply(before))

    def forward(self, V: Float64[Tensor, "k n"], stages: Sequence[int]) -> Iterator[tuple[int, Float64[Tensor, "k m"]]]:
        """``J_s v`` for each row v of V and each of some stages s, in ascending order."""
        yield from self._through(V, stages, lambda affine, before: affine.linear(before))

    def _through(
        self, X: Tensor, stages: Sequence[int], apply: Callable[[AffineMap, Tensor], Tensor]
    ) -> Iterator[tuple[int, Tensor]]:
        def image(number: int, inputs: list[Tensor]) -> Tensor:
            first, *others = [apply(a, before) for a, before in zip(self.maps[number], inputs, strict=True)]
            return sum(others, first)

        for number, images in self.network.walk(X, self.network.needed_for(*stages), image):
            if number in stages:
                yield number, images

    def rows(
        self,
        stages: Sequence[int],
        columns: Int64[Tensor, " w"] | None = None,
        window_shape: tuple[int, ...] = (),
        max_bytes: int = MATRIX_BYTES,
    ) -> Iterator[tuple[int, LocalRows]]:
        """The rows of ``J_s`` for each of some stages s, in ascending order, carried from stage to stage.

        Args:
            stages: the numbers of the stages; -1 is the network's input.
            columns: the input coordinates that the maps are restricted to; None for all.
            window_shape: the shape of these.
            max_bytes: how much the rows of a stage may take.

        Raises:
            InputError: the rows of a stage take more.
        """
        if columns is None:
            columns, window_shape = torch.arange(len(self.x), device=self.x.device), self.network.input_shape

        def rows_of(number: int, inputs: list[LocalRows]) -> LocalRows:
            def fits(rows: int, numbers: int) -> None:
                check_size(f"stage {self.network.stages[number].name!r}", (rows, numbers), max_bytes)

            return added([carried(a, before, fits) for a, before in zip(self.maps[number], inputs, strict=True)], fits)

        pixels = input_rows(window_shape, columns, len(self.x))
        if INPUT in stages:
            yield INPUT, pixels
        stages = [stage for stage in stages if stage != INPUT]
        for number, rows in self.network.walk(pixels, self.network.needed_for(*stages), rows_of):
            if number in stages:
                yield number, rows

    def adjoint(self, U: Float64[Tensor, "k m"], stage: int) -> Float64[Tensor, "k n"]:
        """``J_s^T u`` for each row u of U."""
        waiting: dict[int, Tensor] = {stage: U}
        for number in reversed(self.network.needed_for(stage)):
            values = waiting.pop(number)
            for affine, source in zip(self.maps[number], self.network.sources(number), strict=True):
                back = affine.adjoint(values)
                waiting[source] = waiting[source] + back if source in waiting else back
        return waiting[INPUT]


def local_network(network: Network, x: Float64[Tensor, " n"], last: int) -> LocalNetwork:
    """Evaluate a network at x (n,), in float64 and on the device of x, and replace its activations by derivatives."""
    maps: dict[int, tuple[AffineMap, ...]] = {}
    before: dict[int, Tensor] = {}

    def evaluate(number: int, inputs: list[Tensor]) -> Tensor:
        stage = network.stages[number]
        if stage.activation is None:
            maps[number] = tuple(affine.moved(x.device) for affine in stage.maps)
        else:
            before[number] = inputs[0][0]
            maps[number] = (stage.activation.derivative(before[number]),)
        return stage.apply(*inputs)

    for _ in network.walk(x[None], network.needed_for(last), evaluate):
        pass
    return LocalNetwork(network, x, last, maps, before)


def unit_vectors(local: LocalNetwork, stages: Sequence[int], size: int) -> Iterator[tuple[int, Float64[Tensor, "k s"]]]:
    """The rows of the identity of a size, in blocks that every stage on the way to some stages can hold.

    Yields:
        The number of the first row of a block, and the block.
    """
    widest = max(
        size, len(local.x), *(local.network.stages[number].outputs for number in local.network.needed_for(*stages))
    )
    block = max(1, BATCH_NUMBERS // widest)
    for start in range(0, size, block):
        vectors = local.x.new_zeros(min(block, size - start), size)
        places = torch.arange(len(vectors), device=local.x.device)
        vectors[places, start + places] = 1.0
        yield start, vectors


__all__ = ["LocalNetwork", "local_network", "unit_vectors"]
