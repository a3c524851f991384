"""Small random layers with few and small numbers: boundaries, ties and rank deficiency are the rule among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.network.domains import Box, Domain, HalfSpaces, NonNegative

DOMAINS = ("none", "box", "nonnegative", "half-spaces", "intersection")
ASKED = ("x", "y of x", "any y")


@dataclass(frozen=True, eq=False)
class RandomLayer:
    """A layer, exactly one of x and y, and a domain that holds x."""

    weight: np.ndarray[Any, Any]
    bias: np.ndarray[Any, Any]
    x: np.ndarray[Any, Any] | None
    y: np.ndarray[Any, Any] | None
    domain: Domain | None

    @property
    def question(self) -> dict[str, Any]:
        """The keyword arguments of ``fs.preimage`` beside the layer."""
        return ({"x": self.x} if self.y is None else {"y": self.y}) | {"domain": self.domain}

    def __str__(self) -> str:
        domain = self.domain
        parts = domain.parts if hasattr(domain, "parts") else (domain,)
        shown = " & ".join(
            f"{type(part).__name__}({', '.join(str(v.tolist()) for v in vars(part).values())})" if part else "None"
            for part in parts
        )
        asked = f"x={self.x.tolist()}" if self.y is None else f"y={self.y.tolist()}"  # type: ignore[union-attr]
        return f"weight={self.weight.tolist()} bias={self.bias.tolist()} {asked} domain={shown}"


def random_layers(
    count: int, seed: int, *, largest: int = 3, inputs: int = 5, outputs: int = 12
) -> Iterator[RandomLayer]:
    """Yield ``count`` layers with entries in -largest ... largest; all kinds of domains and of questions in turn."""
    generator = np.random.default_rng(seed)
    for k in range(count):
        n, m = int(generator.integers(1, inputs + 1)), int(generator.integers(1, outputs + 1))
        step = 0.5 if generator.random() < 0.3 else 1.0
        domain, x = _domain_and_point(DOMAINS[k % len(DOMAINS)], n, step, generator)
        weight = generator.integers(-largest, largest + 1, (m, n)).astype(np.float64)
        bias = _bias(weight, x, generator)
        asked = ASKED[(k // len(DOMAINS)) % len(ASKED)]
        if asked == "x":
            yield RandomLayer(weight, bias, x, None, domain)
        elif asked == "y of x":  # exact in floating point: all numbers are small multiples of 1/2
            yield RandomLayer(weight, bias, None, np.maximum(weight @ x + bias, 0), domain)
        else:
            yield RandomLayer(
                weight, bias, None, generator.integers(-1, 3, m).clip(min=-(generator.random() < 0.1)) * 1.0, domain
            )


def _bias(
    weight: np.ndarray[Any, Any], x: np.ndarray[Any, Any], generator: np.random.Generator
) -> np.ndarray[Any, Any]:
    """None, small integers, or one that puts x on many hyperplanes."""
    m = weight.shape[0]
    choice = generator.random()
    if choice < 0.3:
        return np.zeros(m)
    if choice < 0.6:
        return generator.integers(-3, 4, m).astype(np.float64)
    return -weight @ x + generator.integers(-1, 2, m) * (generator.random(m) < 0.4)


def _domain_and_point(
    name: str, n: int, step: float, generator: np.random.Generator
) -> tuple[Domain | None, np.ndarray[Any, Any]]:
    x = generator.integers(-3, 4, n) * step
    if name in ("nonnegative", "intersection"):
        x = np.abs(x)
    if name == "none":
        return None, x
    if name == "box":
        low, high = x - generator.integers(0, 3, n), x + generator.integers(0, 3, n)
        open_below, open_above = generator.random(n) < 0.1, generator.random(n) < 0.1
        return Box(np.where(open_below, -np.inf, low), np.where(open_above, np.inf, high)), x
    if name == "nonnegative":
        return NonNegative(), x
    G = generator.integers(-2, 3, (int(generator.integers(1, 5)), n)).astype(np.float64)
    half_spaces = HalfSpaces(G, G @ x + generator.integers(0, 3, G.shape[0]))
    return (half_spaces, x) if name == "half-spaces" else (NonNegative() & half_spaces, x)
