"""Re-checking many verdicts about one layer, whose certificates share their parts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Polyhedron
from fiberscope.preimage.certificate import Certificate
from fiberscope.preimage.checker.matrices import as_dense
from fiberscope.preimage.checker.pattern import patterns_of_samples
from fiberscope.preimage.checker.row_table import build_table
from fiberscope.preimage.checker.shared_conditions import Verdicts, prove_verdicts
from fiberscope.preimage.checker.statement import Claim, NotProvedError, read_floats, read_system, read_verdict
from fiberscope.preimage.checker.system import System
from fiberscope.preimage.checker.verify import flushes_subnormal_numbers, verify_in_float
from fiberscope.preimage.kind import Kind

MAX_ENTRIES = 2**25
"""Entries of sparse rows beyond which they are not written out: 300 megabytes."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """A claim about an input, its parts asked for once."""

    index: int
    layer: Any
    domain: Any
    x: FloatArray
    kind: Kind
    dimension: int
    certificate: Certificate


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
        for asked in [_ask(index, claim) for index, claim in enumerate(claims)]:
            if asked is not None:
                alike.setdefault((id(asked.layer), id(asked.domain)), []).append(asked)
        for together in alike.values():
            if len(together) > 1:
                proved[[asked.index for asked in together]] = _prove_together(together, executor)
        left = [k for k, closes in enumerate(proved) if not closes]
        proved[left] = [bool(proof) for proof in executor.map(verify_in_float, [claims[k] for k in left])]
    return proved


def _ask(index: int, claim: Claim) -> _Asked | None:
    """Ask a claim for its parts; None where they must be looked at alone."""
    try:
        # each part once, and before anything is tested: the code that a claim runs may change what others hold
        kind, dimension, certificate = claim.kind, claim.dimension, claim.certificate
        layer, domain, x, y = claim.layer, claim.domain, claim.x, claim.y
        kind, dimension = read_verdict(kind, dimension, certificate)
        if y is not None or not isinstance(x, np.ndarray):
            return None
        return _Asked(index, layer, domain, read_floats(x, x.size, "x"), kind, dimension, certificate)
    except Exception:  # a claim may be anybody's class
        return None


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


def _prove_together(together: list[_Asked], executor: Executor) -> Bool[BoolArray, " N"]:
    """Which claims about one layer and one domain the shared proofs close for."""
    proved = np.zeros(len(together), dtype=np.bool_)
    try:
        system = _written_out(read_system(together[0].layer, together[0].domain))
        fitting = [k for k, asked in enumerate(together) if asked.x.shape == (system.n,)]
        chosen = [together[k] for k in fitting]
        table = build_table(system)
        patterns = patterns_of_samples(system, np.stack([asked.x for asked in chosen]), executor)
        verdicts = Verdicts(
            [asked.kind for asked in chosen],
            np.array([asked.dimension for asked in chosen]),
            [asked.certificate for asked in chosen],
        )
        with np.errstate(all="ignore"):
            bounded = system.domain.is_box_bounded
            proved[fitting] = prove_verdicts(table, patterns, verdicts, bounded, executor)
    except NotProvedError:  # a layer that no proof is about, or one that is too large to be read at once
        return proved
    except Exception:  # garbage in a certificate may fail anywhere; it must never look like a proof or a crash
        return np.zeros(len(together), dtype=np.bool_)
    return proved
