"""Checking stored invariance examples again, from the model and the stored inputs, without the code that found them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from fiberscope.audits.checks import Failure, Rechecked, together
from fiberscope.audits.example_store import StoredExample
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.errors import InputError
from fiberscope.invariance.feature_bands import checked_allowance
from fiberscope.invariance.feature_stage import stage_of
from fiberscope.invariance.same_features import Connected, SameFeatures
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Box
from fiberscope.network.network import Network
from fiberscope.preimages.precision import NAMES
from fiberscope.threads import one_thread

AGAIN = 2.0**-30
"""By what share numbers that are computed again may differ: far more than rounding in float64."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _GivenWay(Connected):
    """A way as it was stored."""

    way: Float64[FloatArray, "k n"]

    @property
    def corners(self) -> Float64[FloatArray, "k n"]:
        return self.way

    @property
    def in_one_region(self) -> bool:
        return len(self.way) == 2


def verify_examples(results: Results) -> Rechecked:
    """Check the examples of the folder's network; those that were not stored as proved are tried, too.

    Raises:
        ResultsError: a file is damaged.
    """
    manifest = results.manifest()
    examples = [each for each in results.examples.read() if each.facts.model_digest == manifest.model_digest]
    if not examples:
        return Rechecked()
    subject = results.subject()
    return together(_verified(subject, example) for example in examples)


def _verified(subject: Subject, example: StoredExample) -> Rechecked:
    facts = example.facts
    reason = _why_not_at_its_sample(example, subject.x) or _why_not_as_it_says(subject.network, example)
    if not reason:
        with one_thread():
            verification = _claim(subject.network, example).verify()
        if verification.proved:
            return Rechecked(proved=1)
        reason = verification.reason
    claim = f"invariance example, layer {facts.layer}, sample {facts.source} towards {facts.target}"
    return Rechecked(failures=(Failure(claim, reason, is_claimed=facts.proved),))


def changed_invariance(results: Results) -> list[str]:
    """The files of the survey, and examples, that are not, byte for byte, as they were written, or are missing.

    Raises:
        ResultsError: a file of the survey is missing or damaged.
    """
    manifest = results.manifest()
    chunks = list(manifest.plan.survey_chunks()) if manifest.complete else []
    surveys = [str(results.survey.path(chunk)) for chunk in chunks if not results.survey.read(manifest, chunk)[1]]
    kept = (results.examples.folder / name for name in manifest.examples)
    missing = [f"{path} (missing)" for path in kept if not path.is_file()]
    return surveys + results.examples.changed() + missing


def _why_not_at_its_sample(example: StoredExample, x: FloatArray) -> str:
    """Why the example is none of the sample that it names; empty if it is."""
    facts = example.facts
    if not (0 <= facts.source < len(x) and np.array_equal(example.source, np.asarray(x[facts.source]))):
        return f"it does not begin at sample {facts.source} of the audit's data"
    if not np.array_equal(example.corners[0], example.source):
        return "its way does not begin at its sample"
    return ""


def _why_not_as_it_says(network: Network, example: StoredExample) -> str:
    """Why features may differ by more than the example tells; empty if they may not."""
    facts = example.facts
    stage = stage_of(network, "output" if facts.layer == "output" else int(facts.layer))
    try:
        said = facts.within if facts.within in NAMES else float(facts.within)
        most = checked_allowance(network, stage, example.source.ravel(), said)
    except (InputError, ValueError):
        return f"what its features may differ by is no number of at least 0: {facts.within}"
    # the named one is computed again, by sums in another order perhaps
    if example.within.ndim > 1 or not (example.within <= np.asarray(most) * (1.0 + AGAIN)).all():
        return f"its features may differ by more than it says, which is {facts.within}"
    return ""


def _claim(network: Network, example: StoredExample) -> SameFeatures:
    facts, shape = example.facts, network.input_shape
    stage = stage_of(network, "output" if facts.layer == "output" else int(facts.layer))
    source, x, domain = example.source.reshape(shape), example.x.reshape(shape), Box(facts.low, facts.high)
    within = example.within if example.within.ndim else float(example.within)
    if not facts.connected:
        return SameFeatures(network=network, stage=stage, source=source, x=x, domain=domain, within=within)
    way = example.corners.reshape(len(example.corners), -1)
    return _GivenWay(network=network, stage=stage, source=source, x=x, domain=domain, within=within, way=way)


__all__ = ["changed_invariance", "verify_examples"]
