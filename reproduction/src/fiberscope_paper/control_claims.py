"""What section 4 of the paper says of control, beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from fiberscope_paper.control_measuring import Measured
from fiberscope_paper.control_variants import NARROW, WIDE
from fiberscope_paper.outcome import Claim

CLEAR, SHARE = 1.5, 0.15
"""From what factor of a condition number, and from what difference of shares, an effect is more than chance: the ten
seeds of ``benchmarks/training.py`` spread less, and two samples of 16 are no effect."""

SATURATED = 2.0
"""From what factor that slopes add to the condition number an inverse counts as unstable by saturation."""

AFFORDABLE = 0.05
"""Accuracy that the best weight of a penalty may cost."""

NOTHING = "no, nothing happens"

INJECTIVE = ("leaky ReLU", "ELU", "tanh")


def effect(each: Measured, plain: Measured) -> str:
    """Whether it is easier to invert than the plain one.

    By the condition number; where that is infinite for both, by the share of singletons, and if that does not change by
    how well an attack rebuilds the input.
    """
    if each is plain:
        return ""
    if min(each.condition_number, plain.condition_number) < inf:
        return _by_factor(each.condition_number, plain.condition_number, "")
    gain = each.singletons - plain.singletons
    if abs(gain) >= SHARE:
        return "yes" if gain > 0 else "no, harder"
    return _by_factor(each.rebuilt, plain.rebuilt, ", to rebuild")


def _by_factor(value: float, plain: float, words: str) -> str:
    if value == plain:  # both may be infinite
        return NOTHING
    if value * CLEAR <= plain:
        return f"yes{words}"
    return f"no, harder{words}" if value >= CLEAR * plain else NOTHING


def best_weights(part: Sequence[Measured]) -> list[Measured]:
    """Of each penalty the weight with the most effect among those that the accuracy affords, of layers of one width.

    By the condition number, and where that is infinite by how well an attack rebuilds the input: the smallest, or where
    hiding is the wish the largest. Where no weight is affordable, the one with the most accuracy.
    """
    plain, tried = part[0], dict[tuple[str, str, float], list[Measured]]()
    for each in part:
        tried.setdefault((each.variant.name, each.variant.wish, each.variant.width), []).append(each)
    return [_best(group, plain.accuracy - AFFORDABLE) for group in tried.values()]


def _best(group: Sequence[Measured], least: float) -> Measured:
    affordable = [each for each in group if each.accuracy >= least]
    if not affordable:
        return max(group, key=lambda each: each.accuracy)
    sign = -1.0 if group[0].variant.wish == "hide" else 1.0
    return min(affordable, key=lambda each: (sign * each.condition_number, sign * each.rebuilt))


def claims(found: Sequence[Measured]) -> tuple[Claim, ...]:
    """All statements."""
    return kinds(found), conditions(found), correlations(found), injective(found), saturation(found)


def kinds(found: Sequence[Measured]) -> Claim:
    """Omnidirectionality."""
    plain, part = _of(found, NARROW)
    low, high = min(part, key=lambda each: each.singletons), max(part, key=lambda each: each.singletons)
    raised = high.singletons - plain.singletons >= SHARE
    lowered = plain.singletons - low.singletons >= SHARE
    good = (raised or plain.singletons > 1 - SHARE) and (lowered or plain.singletons < SHARE) and (raised or lowered)
    idle = [each.variant.label for each in part if effect(each, plain) == NOTHING]
    return Claim(
        "omnidirectionality could partially be controlled by regularization",
        f"with fewer units than inputs, samples that are alone with their features in the box: {plain.singletons:.0%} "
        f"without a penalty, {low.singletons:.0%} with {low.variant.label}, {high.singletons:.0%} with "
        f"{high.variant.label}; nothing happens with {', '.join(idle) or 'none'}",
        good,
        "" if good else f"no penalty moves the share by {SHARE:.0%} in each direction where there is room",
    )


def conditions(found: Sequence[Measured]) -> Claim:
    """Stability."""
    plain, part = _of(found, WIDE)
    ours = [each for each in part if each.variant.wish in ("invert", "hide")]
    low = min(ours, key=lambda each: each.condition_number)
    high = max(ours, key=lambda each: (each.condition_number, -each.accuracy))
    eased, hardened = (_by_factor(each.condition_number, plain.condition_number, "") for each in (low, high))
    good = eased == "yes" and (hardened != NOTHING or plain.condition_number == inf)
    idle = [each.variant.label for each in part if each.condition_number == plain.condition_number]
    return Claim(
        "the stability of the inverse could partially be controlled by regularization",
        f"condition number {plain.condition_number:.3g} and accuracy {plain.accuracy:.3f} without a penalty, "
        f"{low.condition_number:.3g} and {low.accuracy:.3f} with {low.variant.label}, {high.condition_number:.3g} and "
        f"{high.accuracy:.3f} with {high.variant.label}; the same with {', '.join(idle) or 'none'}",
        good,
        ""
        if good
        else f"no penalty changes the condition number by a factor of {CLEAR:g} each way where there is room",
    )


def correlations(found: Sequence[Measured]) -> Claim:
    """What Rodriguez et al. ask for."""
    plain, part = _of(found, WIDE)
    asked = [each for each in part if each.variant.name in ("all correlations", "removed correlation")]
    good = any(each.variant.name == "all correlations" and effect(each, plain) == "yes" for each in asked)
    told = "; ".join(f"{each.variant.label}: {each.condition_number:.3g}, {each.kept:.0f} units kept" for each in asked)
    why = (
        "rows of small correlation point away from each other, so that more of them are removed; and by Lemma 9 it is "
        "weak correlation with a removed row that does harm"
    )
    return Claim(
        "Lemma 9 draws a connection to regularizing correlation between feature maps (Rodriguez et al.)",
        f"condition number {plain.condition_number:.3g}, {plain.kept:.0f} units kept without a penalty; {told}",
        good,
        "" if good else why,
    )


def injective(found: Sequence[Measured]) -> Claim:
    """What activations without a cut do to preimages."""
    part = [each for each in found if each.variant.name in INJECTIVE]
    good = all(each.singletons == each.bounded == 1.0 for each in part)
    told = ", ".join(f"{each.variant.name} {each.bounded:.0%}" for each in part)
    return Claim(
        "injective activation functions (tanh, leaky ReLU, ELU) remove the discussed preimages",
        f"with more units than inputs, without a box, inputs that the features determine: {told}",
        good,
        "" if good else "the rows themselves have not the rank",
    )


def saturation(found: Sequence[Measured]) -> Claim:
    """What they do to stability."""
    part = [each for each in found if each.variant.name in INJECTIVE]
    plain, _ = _of(found, WIDE)
    good = all(each.amplified >= SATURATED for each in part)
    told = ", ".join(
        f"{each.variant.name} {each.condition_number:.3g}, {each.amplified:.3g} times that of its rows, rebuilt to "
        f"{each.rebuilt:.2g}"
        for each in part
    )
    few = [each.variant.name for each in part if each.amplified < SATURATED]
    return Claim(
        "they immediately transfer to an instable inverse due to saturation",
        f"condition numbers {told}; ReLU {plain.condition_number:.3g}, rebuilt to {plain.rebuilt:.2g}",
        good,
        ""
        if good
        else f"training as usual does not saturate {', '.join(few)} much; the rows that a ReLU removes "
        "cost more than slopes that are small",
    )


def _of(found: Sequence[Measured], width: float) -> tuple[Measured, list[Measured]]:
    """The plain one of a width, and those with a penalty."""
    part = [each for each in found if each.variant.width == width and each.variant.wish != "architecture"]
    return part[0], part[1:]


__all__ = [
    "AFFORDABLE",
    "best_weights",
    "claims",
    "conditions",
    "correlations",
    "effect",
    "injective",
    "kinds",
    "saturation",
]
