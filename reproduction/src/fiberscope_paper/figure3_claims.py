"""What the paper says about figure 3, beside the counts."""

from __future__ import annotations

import numpy as np

from fiberscope.preimages.kind import Kind
from fiberscope_paper.context import Context, Scale
from fiberscope_paper.figure3_measuring import Measured, Printed, strip_of
from fiberscope_paper.networks import UsedNetwork
from fiberscope_paper.outcome import Claim
from fiberscope_paper.sources import UsedData

PAPER_LAYER = (784, 3500)
"""Inputs and outputs of the layer of section 2.2."""

NEAR = 0.1
"""Roughly as many positive outputs as inputs: up to a tenth; likely: at a tenth of the samples."""

PAPER_STRIP = (723, 784)
"""Between these numbers of positive outputs the paper saw both kinds."""


def claims(measured: Measured, data: UsedData, used: UsedNetwork, context: Context) -> tuple[Claim, ...]:
    """All statements."""
    other = data.why_other + _other_network(used, context)
    return (
        three_kinds(measured, other),
        overlap(measured, other),
        place_of_strip(measured, other),
        *roughly_as_many(measured, other),
        enough_equations(measured),
        only_by_equations(measured),
        only_by_equations_in_box(measured),
        printed_algorithm(measured.printed),
    )


def _other_network(used: UsedNetwork, context: Context) -> str:
    if context.model is not None:
        return f"the network is that of {context.model.name}"
    if context.scale is Scale.QUICK:
        return f"training is short ({used.facts['epochs']} epochs)"
    return "the trained weights are others than the paper's"


def three_kinds(measured: Measured, other: str) -> Claim:
    """Section 2.2, first sentence."""
    counts = measured.verdicts.counts()
    seen = [counts[str(kind)] for kind in (Kind.SINGLETON, Kind.BOUNDED, Kind.UNBOUNDED)]
    good = all(seen)
    return Claim(
        "the preimage of a layer can be a singleton, infinite or finite depending on the given point",
        f"{seen[0]:,} singletons, {seen[1]:,} bounded with more points, {seen[2]:,} unbounded; "
        f"{measured.verdicts.positives.min()} to {measured.verdicts.positives.max()} positive outputs",
        good,
        "" if good else other,
    )


def overlap(measured: Measured, other: str) -> Claim:
    """The grey strip exists."""
    strip = strip_of(measured.verdicts)
    if strip.overlaps is None:
        told = f"only {'finite' if strip.largest_unbounded is None else 'unbounded'} preimages"
    elif strip.overlaps:
        told = f"both from {strip.smallest_finite} to {strip.largest_unbounded} positive outputs"
    else:
        told = f"unbounded up to {strip.largest_unbounded}, finite from {strip.smallest_finite} positive outputs"
    return Claim(
        "within a strip of numbers of positive outputs there are finite and infinite preimages, outside only one kind",
        told,
        strip.overlaps,
        "" if strip.overlaps else other,
    )


def place_of_strip(measured: Measured, other: str) -> Claim:
    """Where the strip lies."""
    strip = strip_of(measured.verdicts)
    same = None if strip.overlaps is None else (strip.smallest_finite, strip.largest_unbounded) == PAPER_STRIP
    return Claim(
        f"the strip lies between {PAPER_STRIP[0]} and {PAPER_STRIP[1]}",
        f"fewest positive outputs of a finite preimage: {strip.smallest_finite}; most of an unbounded one: "
        f"{strip.largest_unbounded}",
        same,
        "" if same else f"{other}; the place depends on the weights",
    )


def roughly_as_many(measured: Measured, other: str) -> tuple[Claim, ...]:
    """Why the paper chose 3500 outputs; of a layer of another size it says nothing."""
    if (measured.inputs, measured.outputs) != PAPER_LAYER:
        return ()
    positives = measured.verdicts.positives
    near, enough = np.abs(positives - measured.inputs) <= NEAR * measured.inputs, positives >= measured.inputs
    good = bool(near.mean() >= NEAR)
    untrained = "" if measured.fresh is None else f" (before training: {np.median(measured.fresh.positives):g})"
    return (
        Claim(
            "3500 outputs make it likely that roughly 784 of them are positive (section 2.2)",
            f"{near.sum():,} of {len(near):,} samples have as many up to {NEAR:.0%}, {enough.sum():,} as many or more; "
            f"the median is {np.median(positives):g}{untrained}",
            good,
            "" if good else f"{other}; therefore the strip lies elsewhere, too",
        ),
    )


def enough_equations(measured: Measured) -> Claim:
    """At least n positive outputs."""
    verdicts = measured.verdicts
    enough = verdicts.positives >= measured.inputs
    single = int((enough & verdicts.has(Kind.SINGLETON)).sum())
    good = None if not enough.any() else single == int(enough.sum())
    why = {None: "no sample has so many", False: "the positive rows do not have full rank", True: ""}
    return Claim(
        f"samples with at least {measured.inputs} positive outputs have a singleton preimage (assumed)",
        f"{single:,} of {int(enough.sum()):,} such samples, proved",
        good,
        why[good],
    )


def only_by_equations(measured: Measured) -> Claim:
    """Singletons on all of R^n."""
    below = measured.verdicts.positives < measured.inputs
    single = int((below & measured.verdicts.has(Kind.SINGLETON)).sum())
    good = None if not below.any() else single == 0
    why = {None: "every sample has enough equations", False: "inequalities pin the input down", True: ""}
    return Claim(
        "singletons occur in practice only if the system has enough equalities (section 2.1)",
        f"on all of R^n: {single:,} singletons among {int(below.sum()):,} samples with fewer than {measured.inputs} "
        "positive outputs",
        good,
        why[good],
    )


def only_by_equations_in_box(measured: Measured) -> Claim:
    """Singletons among inputs that are pictures."""
    statement = "the same, for inputs that can be pictures (the box [0, 1], Remark 3)"
    if measured.boxed is None:
        return Claim(statement, "not measured", None, "the inputs do not lie in the box")
    below = measured.verdicts.positives < measured.inputs
    single = int((below & measured.boxed.has(Kind.SINGLETON)).sum())
    good = None if not below.any() else single == 0
    why = {
        None: "every sample has enough equations",
        False: "pixels at 0 or 1 are inequalities that hold with equality, hundreds of them at every picture",
        True: "",
    }
    return Claim(
        statement,
        f"{single:,} singletons among {int(below.sum()):,} samples with fewer than {measured.inputs} positive outputs",
        good,
        why[good],
    )


def printed_algorithm(printed: Printed | None) -> Claim:
    """The answers of Algorithm 1."""
    statement = "Algorithm 1 (appendix A3) tells finite from infinite preimages"
    if printed is None or not len(printed.samples):
        return Claim(statement, "not asked", None, "no sample of a dense ReLU layer with fewer positives than inputs")
    wrong = int(printed.wrong.sum())
    return Claim(
        statement,
        f"{wrong} of {len(printed.samples)} answers differ from the proved verdict",
        wrong == 0,
        "" if wrong == 0 else "it asks for 0 in the closed hull and not for the rank, or its linear program failed",
    )


__all__ = [
    "PAPER_STRIP", "claims", "enough_equations", "only_by_equations", "only_by_equations_in_box", "overlap",
    "place_of_strip", "printed_algorithm", "three_kinds",
]  # fmt: skip
