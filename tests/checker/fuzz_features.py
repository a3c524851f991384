"""Random claims that features are the same, against fractions and linear programs: what is proved must be true.

    python tests/checker/fuzz_features.py [COUNT] [--seed SEED]

Networks are small, of whole numbers, so that many units lie on kinks. What is proved of a point is evaluated there, and
on the segment, in rational numbers. What is proved of a ball is looked for in it, linear piece by linear piece, by
linear programs that know nothing of the checker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
from fuzz_command import run
from scipy.optimize import linprog

from fiberscope.checker.feature_domain import Domain
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.same_features import Case, Claim, Finding, Proof
from fiberscope.checker.stored import Activation, Map, Stage

KINDS = ("relu", "leaky_relu", "clip", "maximum", "constant")
Layer = tuple[np.ndarray, np.ndarray, str]
TOLERANCE = 1e-6
"""Of the linear programs, whose variables are the ball's radius at most."""


def stages_of(layers: list[Layer]) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    for W, b, kind in layers:
        m, n = W.shape
        affine = Map("dense", n, m, b, {"weight": W})
        stages.append(Stage((len(stages) - 1,), m, (affine,), None))
        if kind == "maximum":
            activation = Activation("maximum", m, m - 1, index=windows(m))
        else:
            low, high = (0.5, 0.5) if kind == "constant" else (0.0, 1.0)
            slope = slopes(m) if kind == "leaky_relu" else None
            activation = Activation("clip" if kind == "constant" else kind, m, m, low, high, slope)
        stages.append(Stage((len(stages) - 1,), activation.outputs, (), activation))
    return tuple(stages)


def windows(m: int) -> np.ndarray:
    """Two neighbours each."""
    return np.stack([np.arange(m - 1), np.arange(1, m)], axis=1)


def slopes(m: int) -> np.ndarray:
    return np.resize([0.5, -0.5, 0.0], m)


def lines(kind: str, unit: int) -> list[tuple[float, float, float, float]]:
    """The pieces of a unit: lower end, upper end, slope, constant."""
    inf = np.inf
    match kind:
        case "relu":
            return [(-inf, 0.0, 0.0, 0.0), (0.0, inf, 1.0, 0.0)]
        case "leaky_relu":
            return [(-inf, 0.0, float(slopes(unit + 1)[unit]), 0.0), (0.0, inf, 1.0, 0.0)]
        case "clip":
            return [(-inf, 0.0, 0.0, 0.0), (0.0, 1.0, 1.0, 0.0), (1.0, inf, 0.0, 1.0)]
        case _:
            return [(-inf, inf, 0.0, 0.5)]


def features(layers: list[Layer], x: list[Fraction]) -> list[Fraction]:
    for W, b, kind in layers:
        z = [
            sum((Fraction(w) * v for w, v in zip(row, x, strict=True)), Fraction(c))
            for row, c in zip(W, b, strict=True)
        ]
        if kind == "maximum":
            x = [max(pair) for pair in pairwise(z)]
        else:
            x = [
                next(Fraction(s) * v + Fraction(c) for low, high, s, c in lines(kind, i) if low <= v <= high)
                for i, v in enumerate(z)
            ]
    return x


def exactly(Z: np.ndarray, x: np.ndarray, d: np.ndarray) -> list[Fraction]:
    """``Z x + d``: rounded, it would be off by more than a small ball."""
    point = [Fraction(v) for v in x.tolist()]
    rows = zip(Z.tolist(), d.tolist(), strict=True)
    return [sum((Fraction(a) * v for a, v in zip(row, point, strict=True)), Fraction(c)) for row, c in rows]


def pieces(
    layers: list[Layer], x: np.ndarray, there: np.ndarray, radius: float, segment: bool
) -> Iterator[tuple[Any, Any, list[Any], list[float]]]:
    """The affine map, and ``G u <= h``, of every piece that meets the ball ``there + radius u``."""
    todo: list[Any] = [(0, np.eye(len(x)), np.zeros(len(x)), [], [])]
    while todo:
        depth, M, c, G, h = todo.pop()
        if depth == len(layers):
            yield M, c, G, h
            continue
        W, b, kind = layers[depth]
        Z, d = W @ M, W @ c + b
        here, at, reach = exactly(Z, there, d), exactly(Z, x, d), radius * np.abs(Z).sum(axis=1)
        choices: list[list[Any]] = []
        if kind == "maximum":
            for i, j in windows(len(b)).tolist():
                both = ((i, j), (j, i))
                choices.append([(p, q) for p, q in both if not segment or at[p] >= at[q]])
        else:
            for i in range(len(b)):
                met = [p for p in lines(kind, i) if here[i] + reach[i] >= p[0] and here[i] - reach[i] <= p[1]]
                choices.append([p for p in met if not segment or p[0] <= at[i] <= p[1]])
        for chosen in product(*choices):
            more, limits = list(G), list(h)
            if kind == "maximum":
                for p, q in chosen:
                    more.append(Z[q] - Z[p])
                    limits.append(float(here[p] - here[q]) / radius)
                first = [p for p, _ in chosen]
                todo.append((depth + 1, Z[first], d[first], more, limits))
                continue
            for i, (low, high, _, _) in enumerate(chosen):
                if high < np.inf:
                    more.append(Z[i])
                    limits.append(float(Fraction(high) - here[i]) / radius)
                if low > -np.inf:
                    more.append(-Z[i])
                    limits.append(float(here[i] - Fraction(low)) / radius)
            slope, constant = np.array([p[2] for p in chosen]), np.array([p[3] for p in chosen])
            todo.append((depth + 1, slope[:, None] * Z, slope * d + constant, more, limits))


def exists(layers: list[Layer], x: np.ndarray, there: np.ndarray, radius: float, segment: bool) -> bool:
    wanted = features(layers, [Fraction(v) for v in x.tolist()])
    for M, c, G, h in pieces(layers, x, there, radius, segment):
        missing = np.array([float(v - h) for v, h in zip(wanted, exactly(M, there, c), strict=True)]) / radius
        found = linprog(
            np.zeros(len(x)),
            A_ub=np.vstack([*G, *M, *-M]) if G else np.vstack([*M, *-M]),
            b_ub=np.concatenate([h, missing, -missing]) + TOLERANCE,
            bounds=(-1.0 - TOLERANCE, 1.0 + TOLERANCE),
        )
        if found.status == 0:
            return True
    return False


def question(rng: np.random.Generator) -> tuple[list[Layer], Claim, Finding]:
    n, depth = 3, int(rng.integers(1, 4))
    sizes, layers = [n], []
    for _ in range(depth):
        kind, m = str(rng.choice(KINDS, p=[0.4, 0.2, 0.2, 0.15, 0.05])), int(rng.integers(2, 4))
        layers.append((rng.integers(-2, 3, (m, sizes[-1])).astype(float), rng.integers(-1, 2, m).astype(float), kind))
        sizes.append(m - (kind == "maximum"))
    x = rng.integers(0, 5, n) / 4
    there = rng.integers(0, 5, n) / 4
    if rng.random() < 0.7:  # what the first layer does not see
        there = np.clip(x + rng.choice([0.25, 0.5, -0.25]) * np.linalg.svd(layers[0][0])[2][-1], 0.0, 1.0)
    there = np.clip(there + rng.choice([0.0, 2.0**-40, 1e-10]) * rng.integers(-1, 2, n), 0.0, 1.0)
    radius = float(rng.choice([0.0, 2.0**-41, 1e-9, 1e-9, 1e-4, 0.05, 0.3]))
    numbers = [round(v * 12) for v in there.tolist()]
    point = (numbers, 12) if radius == 0.0 and rng.random() < 0.5 else None
    kept, bounds = rng.random(n) < 0.1, rng.choice([0.0, 0.1], p=[0.8, 0.2])
    last = 2 * depth - 1
    domain = Domain(np.full(n, -bounds), np.full(n, 1.0 + bounds), np.zeros((0, n)), np.zeros(0), kept & (x == there))
    claim = Claim(int(rng.choice([last, last, last - 1])), x, there, domain, 1.0, bool(rng.random() < 0.6))
    return (
        layers,
        claim,
        Finding(int(rng.integers(0, claim.stage + 1)) if rng.random() < 0.2 else claim.stage, radius, point),
    )


def is_true(layers: list[Layer], claim: Claim, finding: Finding, proof: Proof) -> bool:
    """Whether what was proved holds."""
    if claim.stage % 2 == 0:  # what the last layer receives
        W, b, _ = layers[-1]
        layers = [*layers[:-1], (np.vstack([W, -W]), np.concatenate([b, -b]), "relu")]
    source = [Fraction(v) for v in claim.source.tolist()]
    if proof.method == "float":
        return exists(layers, claim.source, claim.example, finding.radius, claim.segment)
    numbers, denominator = finding.point or (claim.example.tolist(), 1)
    end = [Fraction(v) / denominator for v in numbers]
    if claim.domain.kept.any() and any(a != b for a, b, k in zip(source, end, claim.domain.kept, strict=True) if k):
        return False
    shares = (1, Fraction(1, 3), Fraction(5, 7), Fraction(1, 97)) if claim.segment else (1,)
    between = ([a + share * (b - a) for a, b in zip(source, end, strict=True)] for share in shares)
    return all(features(layers, point) == features(layers, source) for point in between)


def fuzz(seed: int, count: int) -> Counter[str]:
    """Ask so many questions; how many were proved, by method. AssertionError of a false proof."""
    rng, found = np.random.default_rng(seed), Counter[str]()
    for _ in range(count):
        layers, claim, finding = question(rng)
        try:
            proof = Case((3, stages_of(layers)), claim).prove(finding)
        except NotProvedError:
            found["not proved"] += 1
            continue
        found[proof.method] += 1
        assert is_true(layers, claim, finding, proof), (layers, claim, finding, proof)
    return found


if __name__ == "__main__":
    run(fuzz, "Random claims that features are the same.", 10_000)
