"""Finding the layers ReLU(A x + b) in a chain of stages."""

from __future__ import annotations

from dataclasses import dataclass

from fiberscope.network.affine import AffineMap, composed
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.stage import Stage, StageKind


@dataclass(frozen=True, eq=False)
class Layer:
    """One ReLU layer and where it lies in the chain.

    Attributes:
        relu_layer: the layer, its affine maps composed into one.
        name: the names of its affine maps.
        start: the number of its first stage; what that stage receives is what the layer receives.
    """

    relu_layer: ReLULayer
    name: str
    start: int


def layers_of(stages: tuple[Stage, ...]) -> tuple[Layer, ...]:
    """Every run of affine maps that ends in a ReLU, in order.

    A ReLU without an affine map before it (the first stage, or behind another ReLU) is no layer of its own.
    """
    layers: list[Layer] = []
    run: list[tuple[str, AffineMap]] = []
    for number, stage in enumerate(stages):
        if stage.affine is not None:
            run.append((stage.name, stage.affine))
            continue
        if run and stage.kind is StageKind.RELU:
            layers.append(_layer(run, number - len(run)))
        run = []
    return tuple(layers)


def _layer(run: list[tuple[str, AffineMap]], start: int) -> Layer:
    affine = run[0][1]
    for _, following in run[1:]:
        affine = composed(affine, following)
    return Layer(ReLULayer(affine.rows(), affine.bias), " + ".join(name for name, _ in run), start)


def composition_notes(stages: tuple[Stage, ...]) -> tuple[str, ...]:
    """A note for every ReLU layer that had to be composed from several affine maps."""
    return tuple(
        f"layer {layer.name!r}: affine maps without a ReLU between them are composed into one; "
        "the composition rounds to float64, and verdicts are about the rounded numbers"
        for layer in layers_of(stages)
        if stages[layer.start + 1].affine is not None
    )


__all__ = ["Layer", "composition_notes", "layers_of"]
