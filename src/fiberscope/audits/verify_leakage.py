"""Checking again what leakage claims as proved, from the stored network, samples and proofs alone.

Of each row: that its features are those of the sample at the precision, that the recovery proves the bounds, that the
row says no more than these do, and that the guess is as far off as it says; of the layer by itself, its verdict and the
coarsest precision. ``cramer_rao`` claims nothing and is not checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from math import isclose, isnan

import numpy as np

from fiberscope.audits.checks import Check, Failure, Rechecked, checked
from fiberscope.audits.leak_claims import NOT_KEPT, stored_coarsest, stored_kind, stored_recovery
from fiberscope.audits.leak_store import StoredLeaks
from fiberscope.audits.leakage import question_of
from fiberscope.audits.plan import LeakChunk
from fiberscope.audits.store import Results
from fiberscope.audits.verify import INPUT_AGREEMENT
from fiberscope.errors import FiberscopeError
from fiberscope.network.layer import local_form
from fiberscope.network.network import Network
from fiberscope.preimages.certificate import Certificate
from fiberscope.preimages.coarsest import BOUNDED
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.precision import within_at
from fiberscope.preimages.preimage import Preimage
from fiberscope.preimages.verify import verify
from fiberscope.recovery.leak import Leak
from fiberscope.recovery.leak_question import LeakQuestion, rebuilt_error, what_is_proved
from fiberscope.recovery.recovery import Recovery, Scope
from fiberscope.recovery.runtime import EVALUATED
from fiberscope.threads import one_thread

_WhyNot = Callable[[Network, LeakQuestion, StoredLeaks, int], str]

AGREEMENT = 1e-9
"""Relative agreement of what claims nothing exactly, the error of a guess and the size of a precision: these are
computed by float64 sums of fewer than a million terms of one sign."""


def verify_leakage(results: Results, *, workers: int = 1) -> Iterator[Rechecked]:
    """Check the claims of a folder of leakage again.

    Args:
        results: the folder.
        workers: the number of processes.

    Yields:
        What was found of each layer and sample: of claims about the network's input, and about the layer by itself. Of
        the rows, the proof of some was too large to be kept ("unkept"), and some claim "nothing" about the input.

    Raises:
        ResultsError: the folder is damaged.
    """
    plan = results.manifest().plan
    if plan.leakage:
        yield from checked(_verified, results, results.subject(), plan.leak_chunks(), workers)


def _verified(network: Network, check: Check[LeakChunk]) -> Rechecked:
    chunk, stored = check.chunk, check.results.leaks.read(check.manifest, check.chunk)
    x = network.flat(check.x).reshape(network.input_shape)
    asked = question_of(check.manifest.plan, chunk, x)
    proved, others, failures = 0, Counter[str](), list[Failure]()
    with one_thread():
        for k, row in enumerate(stored.rows):
            others["unkept"] += f"{k}/{NOT_KEPT}" in stored.claims
            others["nothing"] += row.scope == Scope.NONE
            place = f"leakage, layer {row.layer}, sample {row.sample}, {row.precision}"
            for claim, why_not in _claims(row):
                if f"{k}/{NOT_KEPT}" in stored.claims and why_not is _why_not_recovered:
                    continue
                reason = _reason(partial(why_not, network, asked, stored, k))
                proved += not reason
                failures += [Failure(f"{place}: {claim}", reason, (row.layer, row.sample))] if reason else []
    return Rechecked(proved, tuple(failures), stored.changed, others, chunk)


def _claims(row: Leak) -> Iterator[tuple[str, _WhyNot]]:
    """What a row claims, and what says why it is not proved."""
    if row.scope != Scope.NONE or row.recoverable or not isnan(row.rebuilt_error):
        yield "what is left of the network's input", _why_not_recovered
    if row.bounded:
        yield "bounded, the layer by itself", _why_not_bounded
    if not isnan(row.coarsest_eps):
        yield "the coarsest precision, of the layer by itself", _why_not_coarsest


def _reason(why_not: partial[str]) -> str:
    """The reason; where a claim is made of something else, that."""
    try:
        return why_not()
    except FiberscopeError as failure:
        return str(failure)
    except Exception:  # a stored claim may be made of anything
        return "the claim is malformed: a part of it cannot be read"


def _why_not_recovered(network: Network, asked: LeakQuestion, stored: StoredLeaks, k: int) -> str:
    row = stored.rows[k]
    found = stored_recovery(network, asked.layer, asked.domain, stored.claims, k)
    if not isclose(rebuilt_error(found, asked.x), row.rebuilt_error, rel_tol=AGREEMENT):
        return "the stored guess is not as far from the sample as the row says"
    if reason := _other_features(network, asked, row, found):
        return reason
    said = {name: getattr(row, name) for name in what_is_proved(asked.levels, None)}
    if said != what_is_proved(asked.levels, found):
        return "the row says something else than the stored bounds"
    if found.scope == Scope.NONE or found.contradiction:
        return ""
    return found.verify().reason


def _other_features(network: Network, asked: LeakQuestion, row: Leak, found: Recovery) -> str:
    """Why the features are not those of the sample at the precision; empty if they allow all that these allow."""
    known = asked.features(network, row.precision)
    if not isclose(float(known.eps[0]), row.eps, rel_tol=AGREEMENT):
        return "the precision says another size than the row"
    rounding = EVALUATED * float(np.abs(known.middle).max())
    low, high = found.features - found.within, found.features + found.within
    fits = known.low.shape[1] == len(low) and (low - rounding <= known.low[0]).all()
    return "" if fits and (high + rounding >= known.high[0]).all() else "the features are not those of the sample"


def _why_not_bounded(network: Network, asked: LeakQuestion, stored: StoredLeaks, k: int) -> str:
    about, name = _about(network, asked, stored), stored.rows[k].precision
    assert about.x is not None, "it is about an input"
    within = within_at(network.relu_layers[asked.layer], stored.claims["received"][None], asked.precision(name))[0]
    known = np.zeros((2, about.layer.outputs))  # coordinates that are defined by others are known exactly
    known[:, about.layer.outputs - within.shape[1] :] = within
    claim = stored_kind(stored.claims, f"{k}/itself/", about)
    slack = np.broadcast_to(np.asarray(claim.within), known.shape)
    if claim.kind not in BOUNDED or not (slack >= known).all():
        return "the stored verdict is another one"
    return verify(claim).reason


def _why_not_coarsest(network: Network, asked: LeakQuestion, stored: StoredLeaks, k: int) -> str:
    claim = stored_coarsest(stored.claims, _about(network, asked, stored))
    return claim.verify().reason if claim.eps == stored.rows[k].coarsest_eps else "another one is stored with its proof"


def _about(network: Network, asked: LeakQuestion, stored: StoredLeaks) -> Preimage:
    """A verdict that says nothing, about what the layer received as it is stored, and as the network computes it."""
    received, computed = stored.claims["received"], asked.received(network)[0]
    allowed = INPUT_AGREEMENT * float(np.abs(computed).max(initial=0.0))
    if received.shape != computed.shape or not (np.abs(received - computed) <= allowed).all():
        raise ValueError("what the layer received is stored otherwise")
    layer, domain, x = local_form(network.relu_layers[asked.layer], None, received)
    return Preimage(layer, domain, x, None, Kind.UNDECIDED, None, 0.0, Certificate(Kind.UNDECIDED, None))


__all__ = ["verify_leakage"]
