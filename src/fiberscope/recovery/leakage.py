"""What the features of a network's layers give away of its inputs, by layer and precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import inf, isinf, nan
from typing import Any, TypeVar

import numpy as np

from fiberscope.errors import FiberscopeError, InputError, ModelError, shown
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain
from fiberscope.network.layer import Layer
from fiberscope.network.network import Network
from fiberscope.preimage.budget import Budget
from fiberscope.preimage.classify import classify
from fiberscope.preimage.coarsest import CoarsestPrecisions, coarsest_precision
from fiberscope.preimage.kind import Kind
from fiberscope.preimage.precision import Precision
from fiberscope.recovery.ambiguity import Levels
from fiberscope.recovery.noise import cramer_rao
from fiberscope.recovery.recover import recover
from fiberscope.recovery.recovery import Recovery, Scope
from fiberscope.recovery.runtime import Features, runtime_features
from fiberscope.scalars import as_number, as_position

T = TypeVar("T")

SECONDS = 30.0
"""For one sample at one layer and one precision: through several layers, linear programs would go on for longer."""


@dataclass(frozen=True)
class Leak:
    """What one layer's features give away of one sample, at one precision: a row of the table.

    Attributes:
        sample: its number.
        layer: the layer's number.
        precision: to which the features are known.
        eps: by how much a feature may differ, in the features' units; of codes, half a step. NaN where the precision
            is not defined.
        bounded: of the layer as a map of its own input on all of R^n: whether that is bounded by the features.
        coarsest_eps: and up to which precision it stays so; see ``coarsest_precision``. NaN where that is not defined.
        recoverable: whether it is proved that the domain has no other input of 256 levels with these features; of
            samples that are not made of 256 levels, that all with them are less than a step apart, each coordinate.
        radius: every input of the scope with these features lies within that of the guess (Euclid), proved; inf else.
        pixel_median: the width of what is proved of a coordinate in the scope, median over coordinates.
        pixel_max: and the largest.
        ambiguity_bits: the logarithm to base 2 of how many images of 256 levels are left of the domain at most.
        cramer_rao: what no unbiased estimate's mean squared error, added over coordinates, stays below, if the features
            had Gaussian noise of standard deviation eps; inf where the local linear map loses a direction.
        scope: of which inputs radius and widths are proved: "domain", "ball" around the guess, or "none".
        rebuilt_error: the root mean square of what the guess, of which nothing is proved, is off the sample; NaN where
            there is none.
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

    ``{x' in domain : |F_i(x') - F_i(x)| <= e_i}`` for features F of a layer of the network, with e_i of the precision:
    features are those that a runtime may give at the sample. What is proved holds for every input of this set.

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
        A table with a row per sample, layer and precision, of the fields of ``Leak``. What is not defined, such as
        sums of a float type where branches meet, is a row that says why.

    Raises:
        InputError: samples of another shape or outside the domain, no such layer, another precision, or a domain that
            is not bounded.
        ModelError: the network has no layer.

    Source: sections 10 and 12 of the theory.
    """
    rows = list(leaks(net, X, domain, precisions, layers, seconds=seconds, progress=progress))
    return table_of(rows)


def table_of(rows: Sequence[Leak]) -> Any:
    """Rows as a table of pyarrow."""
    import pyarrow as pa

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
    """The rows of ``leakage``, one after the other; ``seen`` is told each with its recovery, where there is one."""
    flat = net.flat(X)
    Budget.of(seconds)
    asked = _Asked(net, flat.reshape(len(flat), *net.input_shape), domain, Levels.of(domain, flat), seconds)
    chosen, told = _layers(net, layers), _precisions(precisions)
    done, total = 0, len(flat) * len(chosen) * len(told)
    for layer in chosen:
        at = asked.layer(layer)
        for precision in told:
            for row, recovery in at.rows(precision):
                if seen is not None and recovery is not None:
                    seen(row, recovery)
                yield row
                done += 1
                if progress is not None:
                    progress(done, total)


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is asked of every layer.

    Attributes:
        net: the network.
        samples: (N, *input_shape)
        domain: where inputs lie.
        levels: what is counted of it.
        seconds: for each row.
    """

    net: Network
    samples: FloatArray
    domain: Domain
    levels: Levels
    seconds: float | int | None

    def layer(self, number: int) -> _AtLayer:
        """What does not depend on the precision."""
        own, received = self.net.relu_layers[number], self.net.layer_input(number, self.samples)
        stage, none = self.net.placed_layers[number].stage, [nan] * len(self.samples)
        coarsest, why = _tried(lambda: _coarsest(own, received), none)
        noise, too = _tried(lambda: [cramer_rao(self.net, x, stage, 1.0) for x in self.samples], none)
        return _AtLayer(self, number, received, coarsest, noise, _joined(why, too))


@dataclass(frozen=True, eq=False)
class _AtLayer:
    """One layer.

    Attributes:
        asked: what is asked.
        number: the layer's.
        received: (N, n) what it receives.
        coarsest: by sample; NaN where it is not defined.
        noise: the Cramer-Rao bound for a deviation of 1, by sample.
        reason: why some of it is not known.
    """

    asked: _Asked
    number: int
    received: FloatArray
    coarsest: list[float]
    noise: list[float]
    reason: str

    def rows(self, precision: str | float) -> Iterator[tuple[Leak, Recovery | None]]:
        """Those of all samples at one precision."""
        asked, name = self.asked, precision if isinstance(precision, str) else repr(precision)
        known, missing = _tried(self._known(precision), None)
        kinds, why = _tried(self._kinds(precision), [Kind.UNDECIDED] * len(asked.samples))
        for i, x in enumerate(asked.samples):
            recovery, failed = (None, missing) if known is None else _tried(self._recovered(known, i), None)
            eps = nan if known is None else float(known.eps[i])
            proved, noise = _proved(asked.levels, recovery), self.noise[i]
            row = Leak(
                i, self.number, name, eps, kinds[i] in (Kind.SINGLETON, Kind.BOUNDED), self.coarsest[i], **proved,
                cramer_rao=noise if isinf(noise) else eps**2 * noise,
                rebuilt_error=nan if recovery is None else _apart(recovery.x, x),
                reason=_joined(self.reason, why, failed, "" if recovery is None else recovery.reason),
            )  # fmt: skip
            yield row, recovery

    def _known(self, precision: str | float) -> Callable[[], Features]:
        asked = self.asked
        return lambda: runtime_features(asked.net, self.number, asked.samples, precision, asked.domain)

    def _kinds(self, precision: str | float) -> Callable[[], Sequence[Kind]]:
        own = self.asked.net.relu_layers[self.number]
        return lambda: list(classify(own, self.received, within=precision).kind)

    def _recovered(self, known: Features, i: int) -> Callable[[], Recovery]:
        asked, y, within = self.asked, known.middle[i], known.within[i]

        def computed() -> Recovery:
            found = recover(asked.net, y, self.number, within, asked.domain, seconds=asked.seconds)
            assert isinstance(found, Recovery), "one sample has one recovery"
            return found

        return computed


def _coarsest(layer: Layer, X: FloatArray) -> list[float]:
    found = coarsest_precision(layer, X)
    if isinstance(found, CoarsestPrecisions):
        return [float(each.eps) for each in found.samples]
    return [found.eps]  # of a layer whose input has one axis of length one, a batch of one is one input


def _proved(levels: Levels, r: Recovery | None) -> dict[str, Any]:
    """The fields that say what is proved; of a contradiction, which is an error somewhere, nothing is."""
    if r is None or r.contradiction or r.scope == Scope.NONE:
        low, high, scope, radius = levels.low, levels.high, Scope.NONE, inf
    else:
        low, high, scope, radius = r.low.ravel(), r.high.ravel(), r.scope, float(r.distance)
    everywhere = scope == Scope.DOMAIN
    bits = levels.bits(low, high) if everywhere else levels.bits(levels.low, levels.high)
    return {
        "recoverable": everywhere and bits == 0.0,
        "radius": radius,
        "pixel_median": float(np.median(high - low)),
        "pixel_max": float((high - low).max()),
        "ambiguity_bits": bits,
        "scope": str(scope),
    }


def _tried(compute: Callable[[], T], otherwise: T) -> tuple[T, str]:
    """What is computed, or something else and why: one layer that is not defined does not end a table."""
    try:
        return compute(), ""
    except FiberscopeError as failure:
        return otherwise, str(failure)


def _apart(guess: FloatArray, x: FloatArray) -> float:
    """The root mean square of a difference."""
    return float(np.linalg.norm(guess - x) / np.sqrt(x.size))


def _joined(*reasons: str) -> str:
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


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
        Precision(each).name if isinstance(each, str) else float(as_number(each, "precisions", least=0.0))
        for each in precisions
    ]


__all__ = ["SECONDS", "Leak", "leakage", "leaks", "table_of"]
