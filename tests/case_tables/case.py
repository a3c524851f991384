"""One case: a layer, a point or an output, a domain, and what the preimage is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.network.domains import Domain


@dataclass(frozen=True, eq=False)
class Case:
    """A layer, a point or an output, a domain, and what the preimage is.

    ``wide_range`` marks numbers whose exact fractions are too long for an oracle or hopeless for a float proof.
    """

    name: str
    weight: np.ndarray[Any, Any]
    bias: np.ndarray[Any, Any]
    x: np.ndarray[Any, Any] | None
    y: np.ndarray[Any, Any] | None
    domain: Domain | None
    kind: str
    dimension: int
    why: str
    wide_range: bool = False

    @property
    def question(self) -> dict[str, Any]:
        """The keyword arguments of ``fs.preimage`` beside the layer."""
        asked = {"x": self.x} if self.y is None else {"y": self.y}
        return asked | {"domain": self.domain}

    @property
    def is_large(self) -> bool:
        """Whether listing all vertices may be hopeless."""
        return self.weight.shape[1] > 6


def case(
    name: str,
    weight: Any,
    expected: tuple[str, int],
    why: str,
    *,
    b: Any = None,
    x: Any = None,
    y: Any = None,
    domain: Domain | None = None,
    wide_range: bool = False,
) -> Case:
    matrix = np.asarray(weight, dtype=np.float64)
    bias = np.zeros(matrix.shape[0]) if b is None else np.asarray(b, dtype=np.float64)
    point, output = (None if v is None else np.asarray(v, dtype=np.float64) for v in (x, y))
    return Case(name, matrix, bias, point, output, domain, *expected, why, wide_range)


EMPTY = ("empty", -1)
SINGLETON = ("singleton", 0)


def bounded(dimension: int) -> tuple[str, int]:
    return "bounded", dimension


def unbounded(dimension: int) -> tuple[str, int]:
    return "unbounded", dimension
