"""How far a sample is from the end of its linear region, from the derivatives of all stages at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fiberscope.checker.matrices import FloatArray
from fiberscope.checker.stored import INPUT, NOTHING, Activation, Stage

AGREEMENT = 1e-9
"""How far a value may be from the recomputed one beyond its error bound, relative to the largest: some thousand
roundings. The bound is about the decomposition; the products that J is made of round as well."""


class Ends:
    """Bounds on the distances, stage by stage: ``|z_i - t| / |J_i|`` of the nearest unit with a kink at t.

    Of a maximum with the winner w, ``(z_w - z_i) / |J_w - J_i|``; 0 behind a smooth activation. Each z_i is known up to
    ``AGREEMENT`` of the largest.

    Args:
        stages: of the network.
        x: (n,) the sample.
        values: what each stage gives there, (m,).

    Attributes:
        within: of every stage that was added, from where to where its distance may be.
    """

    def __init__(self, stages: tuple[Stage, ...], x: FloatArray, values: Mapping[int, FloatArray]) -> None:
        self._stages, self._values = stages, {INPUT: x, **values}
        self._moved: dict[int, FloatArray] = {INPUT: np.eye(len(x))}
        self.within: dict[int, tuple[float, float]] = {INPUT: (np.inf, np.inf)}

    def add(self, number: int, J: FloatArray) -> None:
        """A stage with its derivative (m, n), behind those that it receives."""
        stage = self._stages[number]
        found = [self.within[source] for source in stage.sources]
        if stage.activation is not None:
            found.append(_nearest(stage.activation, self._values[stage.sources[0]], self._moved[stage.sources[0]]))
        low, high = zip(*found, strict=True)
        self.within[number], self._moved[number] = (min(low), min(high)), J

    def contradicts(self, number: int, claimed: Any) -> str:
        """How a claimed distance differs; empty where it agrees."""
        low, high = self.within[number]
        if claimed is not None and low * (1.0 - AGREEMENT) <= claimed <= high * (1.0 + AGREEMENT):
            return ""
        return f"the region ends {0.5 * (low + high):.6g} from the sample, not {claimed}"


def _nearest(activation: Activation, z: FloatArray, J: FloatArray) -> tuple[float, float]:
    if activation.index is not None:
        there = activation.index != NOTHING
        seen = np.where(there, z[activation.index], -np.inf)
        winner = activation.index[np.arange(len(seen)), seen.argmax(axis=1)]
        others = np.where(there & (activation.index != winner[:, None]), activation.index, winner[:, None])
        gaps = (z[winner][:, None] - z[others]).ravel()
        norms = np.linalg.norm(J[winner][:, None] - J[others], axis=2).ravel()
    else:
        kinks = _kinks(activation, len(z))
        if kinks is None:
            return 0.0, 0.0
        gaps = np.abs(z[:, None] - kinks).ravel()
        norms = np.repeat(np.linalg.norm(J, axis=1), kinks.shape[1])
    counts = (norms > 0) & np.isfinite(gaps)
    gaps, norms, error = gaps[counts], norms[counts], AGREEMENT * float(np.abs(z).max(initial=0.0))
    low, high = np.maximum(gaps - error, 0.0) / norms, (gaps + error) / norms
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


__all__ = ["AGREEMENT", "Ends"]
