"""What the features of a network's layers give away of its inputs, by layer and precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import numpy as np

from fiberscope.errors import InputError, ModelError, shown
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimage.classify import classify
from fiberscope.preimage.coarsest import CoarsestPrecisions, coarsest_precision
from fiberscope.preimage.kind import Kind
from fiberscope.preimage.precision import Precision
from fiberscope.recovery.ambiguity import Levels
from fiberscope.recovery.noise import cramer_rao
from fiberscope.recovery.recover import recover
from fiberscope.recovery.recovery import Recovery, Scope
from fiberscope.recovery.runtime import runtime_features
from fiberscope.scalars import as_number, as_position

SECONDS = 30.0
"""For one sample at one layer and one precision: through several layers, linear programs would go on for longer."""


@dataclass(frozen=True)
class Leak:
    """What one layer's features give away of one sample, at one precision: a row of the table.

    Attributes:
        sample: its number.
        layer: the layer's number.
        precision: to which the features are known.
        eps: by how much a feature may differ at most, in the features' units.
        bounded: of the layer as a map of its own input on all of R^n: whether that is bounded by the features.
        coarsest_eps: and up to which precision it stays so; see ``coarsest_precision``.
        recoverable: whether it is proved that no other input of the domain, to the nearest of 256 levels, has them.
        radius: every input of the scope with these features lies within that of the guess (Euclid), proved; inf else.
        pixel_median: the width of what is proved of a coordinate in the scope, median over coordinates.
        pixel_max: and the largest.
        ambiguity_bits: the logarithm to base 2 of how many images of 256 levels are left of the domain at most.
        cramer_rao: what no unbiased estimate's mean squared error, added over coordinates, stays below, if the features
            had Gaussian noise of standard deviation eps; inf where the local linear map loses a direction.
        scope: of which inputs radius and widths are proved: "domain", "ball" around the guess, or "none".
        rebuilt_error: the root mean square of what the guess, of which nothing is proved, is off the sample.
        reason: in words, why less is proved; may be empty.
    """

    sample: int
    layer: int
    precision: str
    eps: float
    bounded: bool
    coarsest_eps: float
    recoverable: bool
    radius: float
    pixel_median: float
    pixel_max: float
    ambiguity_bits: float
    cramer_rao: float
    scope: str
    rebuilt_error: float
    reason: str


def leakage(
    net: Network,
    X: Any,
    domain: Domain,
    precisions: Sequence[str | float | int] = ("float32", "float16", "int8"),
    layers: Sequence[int] | None = None,
    *,
    seconds: float | int | None = SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> Any:
    """Tabulate what the features of layers give away of samples: what is proved, and what an attack rebuilds.

    Features are those that a runtime may give at the sample: all numbers within ``eps`` of the exact ones, unit by
    unit. What is proved holds for every input of the domain that could have given them.

    Args:
        net: the network.
        X: (N, *net.input_shape) samples in the domain; one sample alone is a batch of one.
        domain: where inputs lie, a bounded one: ``Box(0, 1)`` for images.
        precisions: "float32", "float16", "int8", or numbers: by how much every feature may differ.
        layers: the numbers of the ReLU layers whose features are meant; None for all.
        seconds: for one sample at one layer and one precision, past which less is proved, with the reason; None for no
            limit.
        progress: called with the number of rows done and how many there will be.

    Returns:
        A table with a row per sample, layer and precision, of the fields of ``Leak``.

    Raises:
        InputError: samples of another shape or outside the domain, no such layer, another precision, or a domain that
            is not bounded.
    """
    import pyarrow as pa

    rows = list(leaks(net, X, domain, precisions, layers, seconds=seconds, progress=progress))
    arrow: Any = pa  # has no types
    types = {"int": arrow.int64(), "str": arrow.string(), "float": arrow.float64(), "bool": arrow.bool_()}
    schema = arrow.schema([arrow.field(name, types[kind]) for name, kind in Leak.__annotations__.items()])
    return arrow.Table.from_pylist([asdict(row) for row in rows], schema=schema)


def leaks(
    net: Network,
    X: Any,
    domain: Domain,
    precisions: Sequence[str | float | int] = ("float32", "float16", "int8"),
    layers: Sequence[int] | None = None,
    *,
    seconds: float | int | None = SECONDS,
    progress: Callable[[int, int], None] | None = None,
    seen: Callable[[Leak, Recovery], None] | None = None,
) -> Iterator[Leak]:
    """The rows of ``leakage``, one after the other; ``seen`` is told each with its recovery."""
    flat = net.flat(X)
    samples, levels = flat.reshape(len(flat), *net.input_shape), Levels.of(domain, flat)
    chosen, told = _layers(net, layers), _precisions(precisions)
    done, total = 0, len(flat) * len(chosen) * len(told)
    for layer in chosen:
        own, received = net.relu_layers[layer], net.layer_input(layer, samples)
        if not isinstance(own, ReLULayer):
            raise InputError(
                "layers", expected="layers of one affine map", got=f"layer {layer}, in which branches meet"
            )
        coarsest = coarsest_precision(own, received)
        assert isinstance(coarsest, CoarsestPrecisions), "many samples have many"
        stage = net.placed_layers[layer].stage
        noise = [cramer_rao(net, x, stage, 1.0) for x in samples]
        for precision in told:
            known = runtime_features(net, layer, samples, precision)
            kinds = classify(own, received, within=precision).kind
            for i, x in enumerate(samples):
                r = recover(net, known.middle[i], layer, known.within[i], domain, seconds=seconds)
                assert isinstance(r, Recovery), "one sample has one recovery"
                place = Place(i, layer, str(precision), known.eps(own)[i])
                unlimited = kinds[i] in (Kind.SINGLETON, Kind.BOUNDED), float(coarsest.eps[i])
                row = _leak(place, unlimited, levels, r, x, noise[i])
                if seen is not None:
                    seen(row, r)
                yield row
                done += 1
                if progress is not None:
                    progress(done, total)


@dataclass(frozen=True)
class Place:
    """Where a row belongs: the first four fields of ``Leak``."""

    sample: int
    layer: int
    precision: str
    eps: float


def _leak(
    place: Place, unlimited: tuple[bool, float], levels: Levels, r: Recovery, x: FloatArray, noise: float
) -> Leak:
    low, high, everywhere = r.low.ravel(), r.high.ravel(), r.scope == Scope.DOMAIN
    bits = levels.bits(low, high) if everywhere else levels.bits(levels.low, levels.high)
    return Leak(
        *asdict(place).values(),
        bounded=unlimited[0],
        coarsest_eps=unlimited[1],
        recoverable=everywhere and bits == 0.0,
        radius=r.distance if r.scope != Scope.NONE else inf,
        pixel_median=float(np.median(high - low)),
        pixel_max=float((high - low).max()),
        ambiguity_bits=bits,
        cramer_rao=place.eps**2 * noise if place.eps else 0.0,
        scope=str(r.scope),
        rebuilt_error=float(np.sqrt(np.mean((r.x - x) ** 2))),
        reason=r.reason,
    )


def _layers(net: Network, layers: Sequence[int] | None) -> list[int]:
    count = len(net.relu_layers)
    if not count:
        raise ModelError(net.nothing_to_judge())
    return list(range(count)) if layers is None else [as_position(each, count, "layers") for each in layers]


def _precisions(precisions: Sequence[str | float | int]) -> list[str | float]:
    """Names as they are, numbers as floats; InputError for another precision."""
    if isinstance(precisions, str) or not len(precisions):
        hint = "for instance ['float32', 'int8']"
        raise InputError("precisions", expected="a list of precisions", got=shown(precisions), hint=hint)
    return [
        Precision(each).name if isinstance(each, str) else as_number(each, "precisions", least=0.0)
        for each in precisions
    ]


__all__ = ["SECONDS", "Leak", "Place", "leakage", "leaks"]
