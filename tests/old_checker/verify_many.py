"""Re-checking many verdicts about one layer, whose certificates share their parts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Polyhedron
from fiberscope.preimage.kind import Kind
from old_checker.asking import (
    Asking,
    Claim,
    NotProvedError,
    PlainCertificate,
    PlainPart,
    ask_system,
)
from old_checker.matrices import as_dense
from old_checker.pattern import patterns_of_samples
from old_checker.rounding import flushes_subnormal_numbers
from old_checker.row_table import build_table
from old_checker.scaling import RoundedError, Scaling
from old_checker.shared_conditions import Verdicts, prove_verdicts
from old_checker.statement import read_floats, read_system, read_verdict
from old_checker.system import System
from old_checker.verify import ask, attempt

MAX_ENTRIES = 2**25
"""Entries of sparse rows beyond which they are not written out: 300 megabytes."""

ASKED_AT_ONCE = 256
"""Claims proved one by one that are asked before any of them is tested: what they say takes memory, and each block
waits for its slowest proof."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """A claim about an input, its parts asked for once."""

    index: int
    layer: Any
    domain: Any
    x: FloatArray
    kind: Kind
    dimension: int
    certificate: PlainCertificate


def verify_many(claims: Sequence[Claim], threads: int = 1) -> Bool[BoolArray, " N"]:
    """Prove verdicts in float64 with rigorous error bounds, those about one layer and one domain together.

    Certificates, and parts of them, that are the same objects are read and measured once; few factorizations prove what
    all of them need. Claims given by an output, about large sparse layers, or for which this does not close are proved
    one by one, as ``verify`` does it in float64. What is proved depends neither on the order of the claims nor on the
    threads.

    Args:
        claims: N preimages, or anything that ``verify`` takes.
        threads: how many threads work. Linear algebra should use one thread for each (``fiberscope.threads``).

    Returns:
        (N,) whether each is proved. What is not may still be proved by rational arithmetic. As with ``verify``, bad
        certificate data is never an exception.
    """
    proved = np.zeros(len(claims), dtype=np.bool_)
    if flushes_subnormal_numbers():
        return proved
    with ThreadPoolExecutor(threads) as executor:
        alike: dict[tuple[int, int], list[_Asked]] = {}
        for asked in _ask(claims):
            alike.setdefault((id(asked.layer), id(asked.domain)), []).append(asked)
        for together in alike.values():
            if len(together) > 1:
                proved[[asked.index for asked in together]] = _prove_together(together, executor)
        left = np.flatnonzero(~proved)
        for start in range(0, len(left), ASKED_AT_ONCE):
            block = left[start : start + ASKED_AT_ONCE]
            proved[block] = _prove_alone([claims[k] for k in block.tolist()], executor)
    return proved


def _ask(claims: Sequence[Claim]) -> list[_Asked]:
    """Ask all claims for their parts, but for those that must be looked at alone.

    All of them before any proof: the code that a claim runs may change what the others hold.
    """
    asking = Asking()
    answers: list[_Asked] = []
    for index, claim in enumerate(claims):
        try:
            verdict, layer, domain = asking.verdict(claim)
            kind, dimension = read_verdict(verdict)
            if verdict.x is not None and verdict.y is None:
                x = read_floats(verdict.x, verdict.x.size, "x")
                answers.append(_Asked(index, layer, domain, x, kind, dimension, verdict.certificate))
        except Exception:  # a claim may be anybody's class
            continue
    return answers


def _prove_alone(claims: list[Claim], executor: Executor) -> list[bool]:
    """Which claims are proved one by one.

    They are asked here, one after the other: what one runs must not change what another thread is testing.
    """
    questions = [ask(claim) for claim in claims]
    return [bool(proof) for proof in executor.map(partial(attempt, method="float"), questions)]


def _written_out(system: System) -> System:
    """The same system with its rows as an array.

    Raises:
        NotProvedError: sparse rows are too many for that.
    """
    rows = system.m + len(system.domain.h)
    if system.is_sparse and rows * system.n > MAX_ENTRIES:
        raise NotProvedError("so many sparse rows are proved one by one")
    domain = Polyhedron(system.domain.low, system.domain.high, as_dense(system.domain.G), system.domain.h)
    return replace(system, A=as_dense(system.A), domain=domain)


def _scaled(
    system: System, X: Float64[FloatArray, "N n"], certificates: list[PlainCertificate]
) -> tuple[System, Float64[FloatArray, "N n"], list[PlainCertificate]]:
    """The same questions in scaled rows and coordinates; certificates that share a part go on to share it.

    Raises:
        RoundedError: a number would change. One by one, other samples may still be scaled.
    """
    scaling = Scaling.of(system)
    if scaling is None:
        return system, X, certificates
    parts: dict[int, PlainPart] = {}
    return scaling.system(system), scaling.inputs(X), [scaling.certificate(given, parts) for given in certificates]


def _prove_together(together: list[_Asked], executor: Executor) -> Bool[BoolArray, " N"]:
    """Which claims about one layer and one domain the shared proofs close for."""
    proved = np.zeros(len(together), dtype=np.bool_)
    try:
        system = _written_out(read_system(ask_system(together[0].layer, together[0].domain)))
        fitting = [k for k, asked in enumerate(together) if asked.x.shape == (system.n,)]
        chosen = [together[k] for k in fitting]
        system, X, certificates = _scaled(
            system, np.stack([asked.x for asked in chosen]), [asked.certificate for asked in chosen]
        )
        table = build_table(system)
        patterns = patterns_of_samples(system, X, executor)
        verdicts = Verdicts(
            [asked.kind for asked in chosen], np.array([asked.dimension for asked in chosen]), certificates
        )
        with np.errstate(all="ignore"):
            bounded = system.domain.is_box_bounded
            proved[fitting] = prove_verdicts(table, patterns, verdicts, bounded, executor)
    except (
        NotProvedError,
        RoundedError,
    ):  # a layer that no proof is about, or one that is too large to be read at once
        return proved
    except Exception:  # garbage in a certificate may fail anywhere; it must never look like a proof or a crash
        return np.zeros(len(together), dtype=np.bool_)
    return proved
