"""How far a sample is from the end of its linear region, from the derivatives of all stages at it.

A claimed distance was computed in float64, as numbers are here. Both are as far from the exact distance as rounding may
have taken them: each z_i by the errors of what the stages give, each |J_i| by those of the products that J is made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fiberscope.checker.matrices import ROUNDING, UNIT_ROUNDOFF, FloatArray, relative_error
from fiberscope.checker.rounded import Rounded
from fiberscope.checker.stored import INPUT, NOTHING, Activation, Stage


class Ends:
    """Bounds on the distances, stage by stage: ``|z_i - t| / |J_i|`` of the nearest unit with a kink at t.

    Of a maximum with the winner w, ``(z_w - z_i) / |J_w - J_i|``; 0 behind a smooth activation.

    Args:
        stages: of the network.
        x: (n,) the sample.
        values: what each stage gives there, (m,).
        errors: how far these may be from the exact ones, (m,).

    Attributes:
        within: of every stage that was added, from where to where a distance that was computed may be.
    """

    def __init__(
        self,
        stages: tuple[Stage, ...],
        x: FloatArray,
        values: Mapping[int, FloatArray],
        errors: Mapping[int, FloatArray],
    ) -> None:
        self._stages, self._values, self._errors = stages, {INPUT: x, **values}, errors
        self._moved = {INPUT: Rounded(np.eye(len(x)), np.zeros(len(x)))}
        self.within: dict[int, tuple[float, float]] = {INPUT: (np.inf, np.inf)}

    def add(self, number: int, J: Rounded) -> None:
        """A stage with its derivative (m, n), behind those that it receives."""
        stage = self._stages[number]
        found = [self.within[source] for source in stage.sources]
        if stage.activation is not None:
            source = stage.sources[0]
            known = self._values[source], self._errors[source], self._moved[source]
            found.append(_nearest(stage.activation, *known))
        low, high = zip(*found, strict=True)
        self.within[number], self._moved[number] = (min(low), min(high)), J

    def contradicts(self, number: int, claimed: Any) -> str:
        """How a claimed distance differs; empty where it agrees."""
        low, high = self.within[number]
        if claimed is not None and low <= claimed <= high:
            return ""
        return f"the region ends {0.5 * (low + high):.6g} from the sample, not {claimed}"


def _nearest(activation: Activation, z: FloatArray, error: FloatArray, J: Rounded) -> tuple[float, float]:
    """From where to where the distance to the nearest kink may be that was computed."""
    if activation.index is not None:
        there = activation.index != NOTHING
        seen = np.where(there, z[activation.index], -np.inf)
        winner = activation.index[np.arange(len(seen)), seen.argmax(axis=1)]
        one, other = np.nonzero(there & (activation.index != winner[:, None]))
        one, other = winner[one], activation.index[one, other]
        gaps, doubt = z[one] - z[other], error[one] + error[other]
        rows = J.rows(one).plus(J.rows(other).scaled(np.full(len(other), -1.0)))
    else:
        kinks = _kinks(activation, len(z))
        if kinks is None:
            return 0.0, 0.0
        unit, which = np.nonzero(np.isfinite(kinks))
        gaps, doubt = np.abs(z[unit] - kinks[unit, which]), error[unit]
        rows = J.rows(unit)
    moving = ~rows.is_zero
    gaps, doubt, lengths, lost = (
        gaps[moving],
        doubt[moving],
        np.linalg.norm(rows.value, axis=1)[moving],
        rows.error[moving],
    )
    # twice: what is claimed was rounded, too; and gaps, lengths and quotients round by themselves
    doubt, lost = (
        2.0 * doubt + 4.0 * UNIT_ROUNDOFF * gaps,
        2.0 * lost + 2.0 * relative_error(rows.value.shape[1]) * lengths,
    )
    low = np.maximum(gaps - doubt, 0.0) / (lengths + lost) / ROUNDING
    with np.errstate(divide="ignore", invalid="ignore"):
        high = np.where(lengths > lost, (gaps + doubt) / np.maximum(lengths - lost, 0.0) * ROUNDING, np.inf)
    return float(low.min(initial=np.inf)), float(high.min(initial=np.inf))


def _kinks(activation: Activation, m: int) -> FloatArray | None:
    """(m, k) where the slope changes, inf for nowhere; None of a smooth activation."""
    match activation.kind:
        case "relu":
            return np.zeros((m, 1))
        case "clip":
            bounds = [activation.alpha, activation.beta] if activation.alpha < activation.beta else []
            return np.tile(np.array(bounds), (m, 1))
        case "leaky_relu":
            assert activation.slope is not None, "a leaky ReLU is read with its slopes"
            return np.where(np.asarray(activation.slope) == 1.0, np.inf, 0.0).reshape(-1, 1)
        case _:
            return None


__all__ = ["Ends"]
