"""Claims of which some are false, and how they are written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fiberscope.checker.verdicts import Claim, System, prove
from plain_claims import certificate, claim

UP_DOWN = [[1.0], [-1.0]]


@dataclass(frozen=True, eq=False)
class Lie:
    """Claims that are proved together, and which of them are false."""

    name: str
    system: System
    claims: tuple[Claim, ...]
    lies: tuple[int, ...] = (0,)

    def proved(self) -> bool:
        """Whether a lie is proved, in floats or in rational numbers."""
        return any(prove(self.system, self.claims, exact=exact)[k] == "" for exact in (False, True) for k in self.lies)


def one(name: str, about: System, kind: str, dimension: int | None, *, bounds: Any = None, **said: Any) -> Lie:
    """A false claim with a certificate of the same kind and dimension."""
    asked = {key: said.pop(key) for key in ("x", "y", "within") if key in said}
    written = certificate(kind, dimension, **said)
    return Lie(name, about, (claim(kind, dimension, written, m=about.weight.shape[0], bounds=bounds, **asked),))
