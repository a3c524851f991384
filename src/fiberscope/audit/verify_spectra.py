"""Checking stored singular values again, from the model and the samples, without the code that computed them.

Where the largest matrix of the network is small, all matrices are written out from directional derivatives and
decomposed by LAPACK: every stored value is compared. Where it is not, J is applied to random vectors. With an
orthonormal basis Q of their span, (n, k), Cauchy's interlacing gives ``sigma_{i+n-k}(J) <= sigma_i(J Q) <= sigma_i(J)``
for certain. With the vectors themselves, v of independent standard normal entries, ``|J v|^2 = sum_i sigma_i^2 g_i^2``
with normal g_i: its sum over all v lies around ``k sum_i sigma_i^2``, within bounds that follow from the values alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.audit.checks import Check, checked
from fiberscope.audit.directional import derivatives
from fiberscope.audit.effort import sensible_spectra_workers
from fiberscope.audit.plan import SpectraChunk
from fiberscope.audit.store import Results
from fiberscope.errors import ResultsError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.threads import one_thread

FULL_NUMBERS = 2**22
"""Numbers in the largest matrix up to which every value is recomputed: a second or two for the largest."""

PROBES = 64
"""Random vectors per sample where not every value is recomputed."""

AGREEMENT = 1e-9
"""How far a value may be from the recomputed one beyond its error bound, relative to the largest: some thousand
roundings. The bound is about the decomposition; the products that J is made of round as well."""

DOUBT = math.log(1e10)
"""Minus the logarithm of the probability with which correct values fail the test on the sum of squares, on a side.

Source of the bounds: Laurent & Massart, Annals of Statistics 2000, lemma 1.
"""


@dataclass(frozen=True)
class SpectraFailure:
    """Singular values that are not confirmed.

    Attributes:
        sample: the position of the sample in the data.
        stage: the number of the stage.
        name: what the model calls the stage.
        reason: why they are not confirmed.
    """

    sample: int
    stage: int
    name: str
    reason: str


@dataclass(frozen=True)
class SpectraVerification:
    """What checking the singular values at one sample gave.

    Attributes:
        chunk: which sample.
        recomputed: the number of stages of which every value was recomputed and agrees.
        tested: the number of stages whose values agree with what J does to random vectors.
        left_out: the number of stages that the audit left out.
        failures: the stages whose values are not confirmed.
        changed: the file, if it is not what the audit wrote.
    """

    chunk: SpectraChunk
    recomputed: int
    tested: int
    left_out: int
    failures: tuple[SpectraFailure, ...]
    changed: tuple[str, ...]


def verify_spectra(results: Results, *, workers: int | None = None) -> Iterator[SpectraVerification]:
    """Check the singular values of an audit again.

    Args:
        results: the folder.
        workers: the number of processes; None to choose.

    Yields:
        One verification per sample.

    Raises:
        ResultsError: the folder is not an audit's, or is damaged.
    """
    plan = results.manifest().plan
    if not plan.spectra:
        return
    subject = results.subject()
    processes = workers or sensible_spectra_workers(subject.network, plan.spectra)
    yield from checked(_verified, results, subject, plan.spectra_chunks(), processes)


def _verified(network: Network, check: Check[SpectraChunk]) -> SpectraVerification:
    """Check the singular values at one sample."""
    chunk, spectra = check.chunk, check.results.spectra
    table, unchanged = spectra.read(check.manifest, chunk)
    rows: list[dict[str, Any]] = table.to_pylist()
    path = str(spectra.path(chunk))
    if [(row["name"], row["outputs"]) for row in rows] != [(s.name, s.outputs) for s in network.stages]:
        raise ResultsError(f"{path} is damaged: its rows are not the stages of the network", path=path)
    claimed = {row["stage"]: row for row in rows if not row["reason"]}
    x = torch.tensor(network.flat(check.x)[0])
    with one_thread():
        full, reasons = why_not_confirmed(network, x, claimed, seed=chunk.sample)
    failures = tuple(
        SpectraFailure(chunk.sample, stage, claimed[stage]["name"], reason)
        for stage, reason in reasons.items()
        if reason
    )
    confirmed = len(claimed) - len(failures)
    return SpectraVerification(
        chunk,
        recomputed=confirmed if full else 0,
        tested=0 if full else confirmed,
        left_out=len(rows) - len(claimed),
        failures=failures,
        changed=() if unchanged else (path,),
    )


def why_not_confirmed(
    network: Network, x: Float64[Tensor, " n"], claimed: dict[int, dict[str, Any]], seed: int
) -> tuple[bool, dict[int, str]]:
    """Check the rows of some stages at a sample.

    Args:
        network: the network.
        x: the sample.
        claimed: a row of the table for every stage to check, by the stage's number.
        seed: of the random vectors.

    Returns:
        Whether every value was recomputed, and for every stage why its row is not confirmed; empty if it is.
    """
    n = network.inputs
    full = n * max(stage.outputs for stage in network.stages) <= FULL_NUMBERS
    probes = np.random.default_rng(seed).standard_normal((n, n if full else min(PROBES, n)))
    basis, factor = np.linalg.qr(probes)
    reasons: dict[int, str] = {}
    for number, images in derivatives(network, x, torch.tensor(np.eye(n) if full else basis.T)):
        if number in claimed:
            row = claimed[number]
            reason = _inconsistent(row, min(n, network.stages[number].outputs))
            if not reason:
                values, bounds = np.array(row["values"]), np.array(row["error_bound"])
                JQ = images.numpy()
                reason = _unlike(JQ, values, bounds) if full else _unlikely(JQ, factor, n, values, bounds)
            reasons[number] = reason
    return full, reasons


def _inconsistent(row: dict[str, Any], count: int) -> str:
    """How a row contradicts itself."""
    if (
        row["values"] is None
        or row["error_bound"] is None
        or not len(row["values"]) == len(row["error_bound"]) == count
    ):
        return f"expected {count} values, each with an error bound"
    values, bounds = np.array(row["values"]), np.array(row["error_bound"])
    if not (np.isfinite([values, bounds]).all() and (bounds >= 0).all() and (values >= 0).all()):
        return "values or error bounds are negative or not finite"
    if (np.diff(values) > 0).any():
        return "the values are not in descending order"
    rank = int((values > bounds).sum())
    smallest = values[rank - 1] if rank else np.nan
    derived = {
        "rank": rank,
        "largest": values[0],
        "smallest_nonzero": smallest,
        "condition_number": values[0] / smallest,
    }
    for name, value in derived.items():
        if row[name] is None or not np.isclose(row[name], value, rtol=AGREEMENT, atol=0.0, equal_nan=True):
            return f"{name} is {row[name]}, but {value:g} by the values"
    return ""


def _unlike(J: Float64[FloatArray, "n m"], values: Float64[FloatArray, " r"], bounds: Float64[FloatArray, " r"]) -> str:
    """How the values differ from those of J."""
    recomputed = _singular_values(J)
    return _outside(values, recomputed - bounds, recomputed + bounds, float(recomputed[0]), "the recomputed")


def _unlikely(
    JQ: Float64[FloatArray, "k m"],
    factor: Float64[FloatArray, "k k"],
    n: int,
    values: Float64[FloatArray, " r"],
    bounds: Float64[FloatArray, " r"],
) -> str:
    """How the values contradict what J does to an orthonormal basis Q of random vectors ``Q factor``."""
    k = len(JQ)
    inner = _singular_values(JQ)
    upper, lower = (values + bounds)[: len(inner)], np.zeros(len(inner))
    below = (values - bounds)[n - k :][: len(inner)]
    lower[: len(below)] = below
    reason = _outside(inner, lower, upper, float(values[0]), "what the values allow for J on a random subspace,")
    if reason:
        return reason
    exponent = int(np.frexp(values[0])[1])  # divided by 2^exponent, squares neither overflow nor vanish
    total = float(np.square(factor.T @ np.ldexp(JQ, -exponent)).sum())
    least = np.square(np.ldexp(np.maximum(values - bounds, 0.0), -exponent))
    most = np.square(np.ldexp(values + bounds, -exponent))
    low = k * least.sum() - 2 * math.sqrt(k * DOUBT) * float(np.linalg.norm(most))
    high = k * most.sum() + 2 * math.sqrt(k * DOUBT) * float(np.linalg.norm(most)) + 2 * DOUBT * float(most[0])
    if low * (1 - AGREEMENT) <= total <= high * (1 + AGREEMENT):
        return ""
    seen, lowest, highest = (
        f"{np.ldexp(math.sqrt(max(number, 0.0) / k), exponent):.6g}" for number in (total, low, high)
    )
    return f"the root mean square of |J v| over {k} random vectors is {seen}, not {lowest} to {highest}"


def _singular_values(A: Float64[FloatArray, "k m"]) -> Float64[FloatArray, " r"]:
    return cast(Any, torch.linalg).svdvals(torch.tensor(A)).numpy()


def _outside(
    values: Float64[FloatArray, " r"],
    low: Float64[FloatArray, " r"],
    high: Float64[FloatArray, " r"],
    largest: float,
    what: str,
) -> str:
    """Which value lies outside its bounds."""
    slack = AGREEMENT * largest
    wrong = np.flatnonzero((values < low - slack) | (values > high + slack))
    if not wrong.size:
        return ""
    i = int(wrong[0])
    return f"value {i + 1} is {values[i]:.6g}, not within {what} {low[i]:.6g} to {high[i]:.6g}"


__all__ = ["SpectraFailure", "SpectraVerification", "verify_spectra", "why_not_confirmed"]
