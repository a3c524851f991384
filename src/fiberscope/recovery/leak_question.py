"""What one layer's features give away of one sample: what is asked, computed within a budget, and answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isinf, nan
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import FiberscopeError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain
from fiberscope.network.network import Network
from fiberscope.preimages.classify import classify
from fiberscope.preimages.coarsest import BOUNDED, CoarsestPrecision, coarsest_precision
from fiberscope.preimages.precision import NAMES, Precision
from fiberscope.preimages.preimage import Preimage
from fiberscope.recovery.ambiguity import Levels
from fiberscope.recovery.leak import NOTHING_KNOWN, Leak
from fiberscope.recovery.noise import cramer_rao, noise_seconds
from fiberscope.recovery.recover import recover
from fiberscope.recovery.recovery import Recovery, Scope
from fiberscope.recovery.runtime import Features, runtime_features

T = TypeVar("T")

ITSELF = 0.25
"""The share of the time for questions about the layer by itself, at most; what these leave goes to the recoveries."""

AT_ONCE = 1e-3
"""Seconds for what is asked after the time is over: it answers at once, and says why it knows no more."""


@dataclass(frozen=True, eq=False)
class LeakQuestion:
    """What the features of a layer give away of a sample, at each of some precisions.

    Attributes:
        layer: the layer's number.
        sample: the sample's number.
        x: (*input_shape) the sample.
        domain: where inputs lie, a bounded one.
        precisions: names, or numbers as Python writes them.
        step: of 8-bit codes, in the features' units; None where all features are 0, so that there are no codes.
        seconds: for each precision, everything included; None for no limit.
    """

    layer: int
    sample: int
    x: FloatArray
    domain: Domain
    precisions: tuple[str, ...]
    step: float | None
    seconds: float | None

    @property
    def levels(self) -> Levels:
        """What is counted of the domain."""
        return Levels.of(self.domain, self.x.reshape(1, -1))

    def precision(self, name: str) -> Precision | float:
        """What a name or a number means."""
        return Precision(name, self.step if name == "int8" else None) if name in NAMES else float(name)

    def features(self, net: Network, name: str) -> Features:
        """The features at a precision, as a runtime may give them."""
        return runtime_features(net, self.layer, self.x[None], self.precision(name), self.domain)

    def received(self, net: Network) -> Float64[FloatArray, "1 n"]:
        """What the layer receives."""
        return net.layer_input(self.layer, self.x[None])

    def answered(self, net: Network) -> LeakAnswer:
        """Compute it: of the layer by itself first, which is quick as a rule, then the recoveries."""
        clock = _Clock.of(self.seconds, len(self.precisions))
        received, own = self.received(net), net.relu_layers[self.layer]
        itself, asked = clock.part(ITSELF), len(self.precisions) + 1
        coarsest, why = _tried(lambda: _coarsest(net, self.layer, received, itself.share(asked)), None)
        kinds: list[tuple[Preimage | None, str]] = []
        for k, name in enumerate(self.precisions):
            within, left = self.precision(name), itself.share(asked - 1 - k)
            kind = _tried(lambda w=within, t=left: classify(own, received, within=w, seconds=t).preimages[0], None)
            kinds.append(kind)
        noise, too = self._noise(net, itself)
        rows: list[Leak] = []
        recoveries: list[Recovery | None] = []
        for k, name in enumerate(self.precisions):
            known, missing = _tried(lambda n=name: self.features(net, n), None)
            left = clock.share(len(self.precisions) - k)
            found, failed = (None, missing) if known is None else _tried(self._recovery(net, known, left), None)
            kind, undecided = kinds[k]
            reason = _joined(
                why, _between(coarsest), too, undecided, failed, _reason_of(kind), "" if found is None else found.reason
            )
            recoveries.append(found)
            rows.append(self._row(name, known, kind, coarsest, noise, found, reason))
        return LeakAnswer(tuple(rows), tuple(recoveries), tuple(kind for kind, _ in kinds), coarsest, received[0])

    def unknown(self, reason: str) -> tuple[Leak, ...]:
        """Rows that claim nothing, and why."""
        return tuple(self._row(name, None, None, None, nan, None, reason) for name in self.precisions)

    def _row(
        self,
        name: str,
        known: Features | None,
        kind: Preimage | None,
        coarsest: CoarsestPrecision | None,
        noise: float,
        found: Recovery | None,
        reason: str,
    ) -> Leak:
        eps = nan if known is None else float(known.eps[0])
        return Leak(
            self.sample, self.layer, name, eps, kind is not None and kind.kind in BOUNDED,
            nan if coarsest is None else float(coarsest.eps), **what_is_proved(self.levels, found),
            cramer_rao=noise if isinf(noise) else eps**2 * noise,
            rebuilt_error=nan if found is None else rebuilt_error(found, self.x),
            reason=reason,
        )  # fmt: skip

    def _noise(self, net: Network, clock: _Clock) -> tuple[float, str]:
        """The Cramer-Rao bound for a deviation of 1; singular values cannot be interrupted, so they are not begun."""
        stage, left = net.placed_layers[self.layer].stage, clock.share(1)
        takes = noise_seconds(net, stage)
        if left is not None and takes > left:
            return nan, f"the Cramer-Rao bound would take about {takes:.0f} s, more than is left of the time given"
        return _tried(lambda: cramer_rao(net, self.x, stage, 1.0), nan)

    def _recovery(self, net: Network, known: Features, seconds: float | None) -> Callable[[], Recovery]:
        y, within = known.middle[0], known.within[0]

        def computed() -> Recovery:
            found = recover(net, y, self.layer, within, self.domain, seconds=seconds)
            assert isinstance(found, Recovery), "one sample has one recovery"
            return found

        return computed


@dataclass(frozen=True, eq=False)
class LeakAnswer:
    """What was found, a row for each precision, with what proves it.

    Attributes:
        rows: the rows of the table.
        recoveries: for each row, the input that was rebuilt and what is proved around it; None where that failed.
        kinds: for each row, the verdict about the layer by itself; None where that is not defined.
        coarsest: up to which precision that stays bounded; None where that is not defined.
        received: (n,) what the layer received; verdicts about it are about exactly these numbers.
    """

    rows: tuple[Leak, ...]
    recoveries: tuple[Recovery | None, ...] = NOTHING_KNOWN
    kinds: tuple[Preimage | None, ...] = NOTHING_KNOWN
    coarsest: CoarsestPrecision | None = None
    received: Float64[FloatArray, " n"] | None = None


@dataclass(frozen=True)
class _Clock:
    """When the time is over, on the clock of ``perf_counter``; inf for never."""

    until: float

    @classmethod
    def of(cls, seconds: float | None, rows: int) -> _Clock:
        return cls(inf if seconds is None else perf_counter() + seconds * rows)

    def part(self, share: float) -> _Clock:
        """That of a share of what is left."""
        now = perf_counter()
        return _Clock(inf if isinf(self.until) else now + share * max(self.until - now, 0.0))

    def share(self, questions: int) -> float | None:
        """Seconds for the first of so many questions that are left; None for no limit."""
        return None if isinf(self.until) else max((self.until - perf_counter()) / questions, AT_ONCE)


def rebuilt_error(found: Recovery, x: FloatArray) -> float:
    """The root mean square of what a guess is off."""
    return float(np.linalg.norm(found.x - x) / np.sqrt(x.size))


def _coarsest(net: Network, layer: int, received: FloatArray, seconds: float | None) -> CoarsestPrecision:
    found = coarsest_precision(net.relu_layers[layer], received, seconds=seconds)
    return found if isinstance(found, CoarsestPrecision) else found.samples[0]


def _reason_of(kind: Preimage | None) -> str:
    """Why the layer by itself is not decided."""
    return f"the layer by itself: {kind.reason}" if kind is not None and kind.kind == "undecided" else ""


def _between(coarsest: CoarsestPrecision | None) -> str:
    """Where the coarsest precision is not settled."""
    if coarsest is None or coarsest.lower == coarsest.upper:
        return ""
    ends = f"{coarsest.lower:.3g} and {coarsest.upper:.3g}"
    return f"the layer by itself: its coarsest precision is undecided between {ends}"


def _tried(compute: Callable[[], T], otherwise: T) -> tuple[T, str]:
    """What is computed, or something else and why: one layer that is not defined does not end a table."""
    try:
        return compute(), ""
    except FiberscopeError as failure:
        return otherwise, str(failure)


def _joined(*reasons: str) -> str:
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


def what_is_proved(levels: Levels, r: Recovery | None) -> dict[str, Any]:
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


__all__ = ["LeakAnswer", "LeakQuestion", "rebuilt_error", "what_is_proved"]
