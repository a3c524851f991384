"""What the paper says about figures 6 and 11, beside the examples."""

from __future__ import annotations

from fiberscope_paper.figure6_variants import Shown, Variant
from fiberscope_paper.outcome import Claim
from fiberscope_paper.sources import UsedData

DIGITS = ("mnist", "mnist-5k")
"""Data sets whose classes are digits."""


def claims(shown: Shown, data: UsedData) -> tuple[Claim, ...]:
    """All statements."""
    variants = [variant for row in shown.variants for variant in row]
    return (
        fewest_positives(shown, data),
        same_features(variants),
        different_pictures(variants),
        same_answer(variants),
        large_preimages(shown),
    )


def fewest_positives(shown: Shown, data: UsedData) -> Claim:
    """Which digits the paper found."""
    good = {3, 4} <= set(shown.fewest) if data.spec in DIGITS else None
    why = {
        None: f"the classes of {data.title} may be no digits",
        False: f"{data.why_other}the trained weights are others; of each class the image with the fewest is shown",
        True: "",
    }
    return Claim(
        "the test images with the fewest positive outputs are a 3 and a 4 (appendix A7)",
        f"the {len(shown.fewest)} with the fewest, {int(shown.positives.min())} and more, are of the classes "
        f"{', '.join(map(str, shown.fewest))}",
        good,
        why[good],
    )


def same_features(variants: list[Variant]) -> Claim:
    """The features are identical."""
    proved = sum(bool(variant.verification) for variant in variants)
    residual = max(variant.example.feature_residual for variant in variants)
    good = proved == len(variants)
    reasons = "; ".join(sorted({v.verification.reason for v in variants if not v.verification}))
    return Claim(
        "the features of original and perturbed variants are identical",
        f"{proved} of {len(variants)} proved; largest difference in float64: {residual:.1e}",
        good,
        "" if good else f"not proved: {reasons}",
    )


def different_pictures(variants: list[Variant]) -> Claim:
    """They look like other digits."""
    like = [v for v in variants if v.looks_like == v.target_class]
    seen = ", ".join(
        f"{v.source_class} towards {v.target_class}: next to a {v.looks_like}, cosine {v.resemblance[0]:.2f} with the "
        f"target and {v.resemblance[1]:.2f} with the original"
        for v in variants
    )
    good = {len(variants): True, 0: False}.get(len(like))
    return Claim(
        "the variants are semantically very different: a 3 becomes a 6 or a 4",
        f"{seen}; the sample at the smallest angle is of the target's class for {len(like)} of {len(variants)}",
        good,
        "" if good else "the others look like neither; what the network lets through depends on its weights",
    )


def same_answer(variants: list[Variant]) -> Claim:
    """What the network says."""
    same = sum(v.predictions[0] == v.predictions[1] for v in variants)
    good = same == len(variants)
    return Claim(
        "the network cannot tell variants from the original: it is invariant to semantic changes",
        f"its answer is the same for {same} of {len(variants)}, "
        f"{', '.join(f'{v.predictions[1]} for the {v.source_class} towards {v.target_class}' for v in variants)}",
        good,
        "" if good else "features that are equal up to rounding lead to outputs on either side of a tie",
    )


def large_preimages(shown: Shown) -> Claim:
    """How large the sets are."""
    known = [dimension for dimension in shown.dimensions.values() if dimension is not None]
    good = None if not known else min(known) > 0
    why = {
        None: "the dimension is not known",
        False: "the features determine the picture",
        True: "",
    }
    told = ", ".join(
        f"dimension {shown.dimensions[source]} in the box, {kind} without it" for source, kind in shown.kinds.items()
    )
    return Claim("the preimages of the MLP may have large volume", told, good, why[good])


__all__ = ["claims", "different_pictures", "fewest_positives", "large_preimages", "same_answer", "same_features"]
