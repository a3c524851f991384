"""What penalties cost and do: time per step against plain training, and ten seeds of what each is about.

    python benchmarks/training.py [--seeds 10] [--smoke]

Cost: processor time of a step of a 64-128-10 network on batches of 50 of scikit-learn's digits, and of a 784-2000-10
network, as a multiple of the plain step, timed side by side in one run, one thread; the penalty looks at the whole
batch. Effect: two epochs on 500 digits, with each penalty and without, from the same weights and in the same order, as
in ``tests/training/test_effect.py``; how much lower the penalty is than that of the twin without it, at 100 digits that
were not trained on: positive is what was asked for; and by what factor the smallest singular value of the rows that are
kept changes. Shown are the median, the smallest and the largest over the seeds. Sign: how correlations of removed with
kept rows go with that singular value where one frame loses rows at random.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import numpy as np
import scipy.stats
import torch
from _timing import least
from sklearn.datasets import load_digits
from torch import Tensor, nn

from fiberscope.training import (
    SRIP,
    ActiveMargin,
    FrameBound,
    JacobianCondition,
    Omnidirectionality,
    Orthogonality,
    RemovedCorrelation,
    SmoothSailing,
    SpectralClip,
    Volume,
)
from fiberscope.training.penalty import LayerPenalty

BASELINES: tuple[type[LayerPenalty], ...] = (Orthogonality, SRIP, SpectralClip, SmoothSailing)

WEIGHTS: dict[type[LayerPenalty], tuple[float, float]] = {
    FrameBound: (0.3, 0.3), Volume: (1.0, 0.1), ActiveMargin: (1.0, 1.0), Omnidirectionality: (3.0, 3.0),
    RemovedCorrelation: (0.1, 0.1), JacobianCondition: (0.3, 0.1),
}  # fmt: skip
"""Of the wish, and of its inverse."""


def main() -> None:
    """Print a line per penalty: cost, then effect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--smoke", action="store_true", help="the small network, one seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    costs("64-128-10", network(64, 128, 0), x[:50], y[:50])
    if not options.smoke:
        costs("784-2000-10", network(784, 2000, 0), torch.rand(50, 784), y[:50])
    signs(100 if options.smoke else 1500)
    twins = [trained(None, 0.0, seed, x, y) for seed in range(1 if options.smoke else options.seeds)]
    for kind, weights in WEIGHTS.items():
        for hide, weight in zip((False, True), weights, strict=True):
            effects(kind, weight, hide, twins, x, y)


def network(inputs: int, units: int, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, 10))


def costs(name: str, module: nn.Sequential, x: Tensor, y: Tensor) -> None:
    """The time of a step with each penalty as a multiple of the plain step."""
    plain = least(lambda: [step(module, None, 0.0, x, y) for _ in range(10)]) / 10
    for kind in (*WEIGHTS, *BASELINES):
        penalty = kind(module, 0)
        with_it = least(lambda penalty=penalty: step(module, penalty, 1.0, x, y))
        print(f"{name}, {kind.__name__}: {with_it / plain:.1f} plain steps of {1e3 * plain:.2f} ms", flush=True)


def step(
    module: nn.Sequential, penalty: LayerPenalty | None, weight: float, x: Tensor, y: Tensor, penalised: int = 50
) -> None:
    loss = nn.functional.cross_entropy(module(x), y)
    if penalty is not None:
        loss = loss + weight * penalty(x[:penalised])
    module.zero_grad()
    loss.backward()


def trained(
    make: Callable[[nn.Module], LayerPenalty] | None, weight: float, seed: int, x: Tensor, y: Tensor
) -> nn.Sequential:
    """Two epochs on the first 500 digits."""
    module, generator = network(64, 128, seed), torch.Generator().manual_seed(seed)
    penalty = None if make is None else make(module)
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    for _ in range(2):
        for batch in torch.randperm(500, generator=generator).split(50):
            step(module, penalty, weight, x[batch], y[batch], penalised=16)
            optimizer.step()
    return module


def effects(
    kind: type[LayerPenalty], weight: float, hide: bool, twins: list[nn.Sequential], x: Tensor, y: Tensor
) -> None:
    """How much lower the penalty is than that of the twin, over seeds."""
    test, gains, factors = x[500:600], list[float](), list[float]()
    for seed, plain in enumerate(twins):
        other = trained(lambda module: kind(module, 0, hide=hide), weight, seed, x, y)
        with torch.no_grad():
            gains.append(float(kind(plain, 0, hide=hide)(test) - kind(other, 0, hide=hide)(test)))
            factors.append(smallest(other, test) / smallest(plain, test))
    wish = "hide" if hide else "invert"
    print(f"{kind.__name__}, {wish}: {spread(gains)}; smallest singular value times {spread(factors)}", flush=True)


def smallest(module: nn.Sequential, x: Tensor) -> float:
    """The n-th singular value of the rows that are kept at a sample, by that of all rows; the median over samples."""
    A = module[0].weight
    kept = [torch.linalg.svdvals(A[z > 0]) for z in module[0](x)]
    found = [float(sigma[-1]) if len(sigma) == A.shape[1] else 0.0 for sigma in kept]
    return statistics.median(found) / float(torch.linalg.svdvals(A)[0])


def signs(draws: int) -> None:
    """Which rows a tight frame loses: how correlations go with the smallest singular value of what is left."""
    generator = np.random.default_rng(0)
    for n, m, count in ((8, 16, 10), (20, 40, 24), (49, 61, 54)):
        A = np.linalg.qr(generator.standard_normal((m, n)))[0]
        cosines = A @ A.T / np.outer(*[np.linalg.norm(A, axis=1)] * 2)
        told: list[tuple[float, float, float]] = []
        for _ in range(draws):
            kept = np.isin(np.arange(m), generator.choice(m, count, replace=False))
            c = cosines[np.ix_(~kept, kept)]
            sigma = np.linalg.svd(A[kept], compute_uv=False)
            told.append((sigma[-1], np.log1p(np.exp(10 * (c - 1))).mean(), (c**2).mean()))
        ranks = scipy.stats.spearmanr(np.array(told))[0][0]
        where = f"{count} of {m} rows in {n} dimensions, removed against kept"
        print(f"{where}: rank correlation of the smallest singular value with the count {ranks[1]:.2f}", end="")
        print(f", with squares {ranks[2]:.2f}", flush=True)


def spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.3g}, from {min(values):.3g} to {max(values):.3g}"


if __name__ == "__main__":
    main()
