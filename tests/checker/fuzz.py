"""Hostile claims in any number: nothing false is proved, nothing fails, and a batch says what each claim alone does.

    python tests/checker/fuzz.py 300000 --processes 2

What is true is known from lists of vertices and rays in exact arithmetic. A claim counts once, however often it is
tried: in floats and in rational numbers, with others, and alone if it is proved, or one of three. Whatever bounds a
proved preimage holds its vertices.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # as a script

from fuzz_certificates import KINDS, Writer  # noqa: E402
from fuzz_questions import Group, Question, group  # noqa: E402

from fiberscope.checker.radius import measure  # noqa: E402
from fiberscope.checker.verdicts import Claim, prove  # noqa: E402
from fiberscope.preimages import compact  # noqa: E402
from plain_claims import DIMENSIONS  # noqa: E402

CERTIFICATES = 40
"""For each group of questions, about every one of which each certificate claims something."""


def fuzz(seed: int, count: int, certificates: int = CERTIFICATES) -> Counter[str]:
    """Try claims, ``count`` or a few more of them; AssertionError where one goes wrong.

    Returns:
        How many claims there were, of them proved (in floats, exactly), of which kinds, with which bounds.
    """
    tally: Counter[str] = Counter()
    while tally["claims"] < count:
        about = group(seed)
        rng = np.random.default_rng([seed, 1])
        writer = Writer(about, rng)
        for _ in range(certificates if about.questions else 0):  # on a window none may be left
            written = writer.certificate()
            try:
                with patch.object(compact, "LONG", 0 if rng.random() < 0.3 else compact.LONG):
                    data = written.to_bytes()  # above that, arrays are stored in other forms
            except (TypeError, ValueError, AttributeError):
                continue
            if rng.random() < 0.15:
                data = _damaged(data, rng)
            data = compact.expanded(data)
            claims = [(q, _claim(q, written, data, about, rng)) for q in about.questions for _ in range(2)]
            _try(about, claims, tally, f"group {seed}")
            for question, _ in claims:
                tally[f"on {about.name}"] += 1
                tally["with sides of their own"] += question.within.ndim == 2
                tally["of given outputs"] += question.y is not None
                tally["with a precision"] += bool(question.within.any())
        seed += 1_000_003
    return tally


def _claim(question: Question, written: Any, data: bytes, about: Group, rng: np.random.Generator) -> Claim:
    """Something that a certificate may seem to prove."""
    n, kind = about.system.shape[1], str(written.kind)
    if rng.random() < 0.1:
        kind = str(rng.choice(KINDS))
    chance = rng.random()
    dimension = written.dimension
    if dimension is None or chance < 0.2:
        dimension = -1 if kind == "empty" else 0 if kind == "singleton" else int(rng.integers(0, n + 1))
    bounds = dimension, dimension
    if chance > 0.85:
        bounds = tuple(sorted(int(v) for v in rng.integers(-1, n + 2, 2)))
    if chance > 0.95:
        bounds = DIMENSIONS[kind]
    output = None if question.y is None else np.stack(question.y)
    within = np.broadcast_to(question.within, (2, about.system.shape[0]))
    return Claim(question.x, output, within, kind, bounds, data)


def _try(about: Group, claims: list[tuple[Question, Claim]], tally: Counter[str], where: str) -> None:
    said = [claim for _, claim in claims]
    for exact in (False, True):
        together = prove(about.system, said, exact=exact)
        for k, ((question, claim), reason) in enumerate(zip(claims, together, strict=True)):
            if not reason or k % 3 == 0:
                alone = prove(about.system, [claim], exact=exact)[0]
                assert (reason == "") == (alone == ""), (where, exact, claim, reason, alone)
            if reason:
                assert not _is_odd(reason), (where, exact, claim, reason)
                continue
            assert _is_true(claim, question), (where, exact, claim, question.truth)
            tally["proved exactly" if exact else "proved in floats"] += 1
            tally[claim.kind] += not exact
    for k, (question, claim) in enumerate(claims):
        if not together[k] and question.vertices and k % 2:
            _check_radius(about, question, claim, tally, where)
    tally["claims"] += len(claims)


def _is_odd(reason: str) -> bool:
    """Whether a proof ended in an error that no data of a certificate should lead to."""
    return any(f"({name})" in reason for name in ("NameError", "AttributeError", "UnboundLocalError", "AssertionError"))


def _is_true(claim: Claim, question: Question) -> bool:
    least, most = claim.dimensions
    kind, dimension = question.truth
    return claim.kind == kind and least <= dimension <= most


def _check_radius(about: Group, question: Question, claim: Claim, tally: Counter[str], where: str) -> None:
    """No vertex is further from a center than the radius says; an unbounded preimage has none."""
    rng = np.random.default_rng(tally["claims"])
    center = np.array([float(v) for v in question.vertices[0]])
    if question.x is not None and rng.random() < 0.7:
        center = question.x
    elif rng.random() < 0.3:
        center = center + rng.choice([0.0, 1.0, -3.0], len(center))
    bound = min(measure(about.system, [claim], [center], exact=exact)[0][1] for exact in (False, True))
    assert bound >= 0, (where, claim)
    if bound == np.inf:
        return
    assert question.truth[0] != "unbounded", (where, claim, "has a radius")
    exactly = [Fraction(float(v)) for v in center]
    furthest = max(sum((a - b) ** 2 for a, b in zip(v, exactly, strict=True)) for v in question.vertices)
    assert furthest <= Fraction(bound) ** 2, (where, claim, center, bound)
    tally["radii"] += 1


def _damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Bits flipped, and ends cut."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        out[rng.integers(len(out))] ^= 1 << int(rng.integers(8))
    return bytes(out[: rng.integers(len(out) + 1)] if rng.random() < 0.2 else out)


def main() -> None:
    """Print the tally of some processes."""
    parser = argparse.ArgumentParser(description="Try hostile claims on the checker.")
    parser.add_argument("count", type=int, help="how many claims")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began, total = time.perf_counter(), Counter[str]()
    share, pieces = 2_000, -(-options.count // 2_000)
    with ProcessPoolExecutor(options.processes) as executor:
        seeds = range(options.seed, options.seed + pieces)
        for piece in executor.map(fuzz, seeds, [share] * pieces):
            total += piece
            if total["claims"] % 20_000 < share:
                print(dict(total), f"{time.perf_counter() - began:.0f} s", flush=True)
    print(dict(total), f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
