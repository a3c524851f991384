"""Figures 5, 7, 9 and 10: the singular values of layers, and what the ReLU does to them [section 3.2, appendix A6]."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray
from fiberscope.stability.stage_medians import StageMedians
from fiberscope_paper.context import Context
from fiberscope_paper.drawing import BLUE, GREY, RED, new_figure
from fiberscope_paper.kept_spectra import as_facts, as_numbers
from fiberscope_paper.outcome import Claim, Outcome
from fiberscope_paper.spectra_subjects import Subject, mlp, thin, wide

Pair = tuple[StageMedians, StageMedians]
"""A layer: its affine map, and its activation."""

LAYERS = 5
"""Over which the paper follows the values of WideCIFAR; in layer 6 some become zero."""

SIMILAR = 0.9
"""Curves are similar in shape whose logarithms have this correlation at least."""


def figure5(context: Context) -> Outcome:
    """Decay of the singular values over the layers of WideCIFAR."""
    subject = wide(context)
    title = f"Decay of singular values, {subject.label} {subject.data.where}"
    _pairs(subject)
    figure, (axes,) = new_figure(6.0, 4.2, title)
    _draw_decay(axes, subject.activations)
    shown = [(subject.label, each) for each in subject.activations]
    claims = growing(subject), shrinking(subject), similar(subject), last_layer(subject)
    return _outcome(subject, title, figure, shown, claims)


def figure7(context: Context) -> Outcome:
    """What the ReLU does to the singular values in layers 2 and 5 of WideCIFAR."""
    subject = wide(context)
    title = f"Effect of ReLU on the singular values, {subject.label} {subject.data.where}"
    pairs = _layers(subject, (2, 5))
    figure, (axes,) = new_figure(6.0, 4.2, title)
    _draw_pairs(axes, pairs)
    shown = [(subject.label, each) for pair in pairs for each in pair]
    return _outcome(subject, title, figure, shown, tuple(relu_effect(subject, pair) for pair in pairs))


def figure9(context: Context) -> Outcome:
    """Both for ThinCIFAR."""
    return _both(thin(context), (2, 5))


def figure10(context: Context) -> Outcome:
    """Both for the MLP."""
    return _both(mlp(context), (1, 2))


def _both(subject: Subject, layers: tuple[int, int]) -> Outcome:
    title = f"Singular values of {subject.label} {subject.data.where}"
    pairs = _layers(subject, layers)
    figure, (left, right) = new_figure(9.5, 4.2, title, columns=2)
    _draw_pairs(left, pairs)
    left.set_title("effect of ReLU", fontsize=9)
    _draw_decay(right, subject.activations)
    right.set_title("decay over the layers", fontsize=9)
    shown = [(subject.label, each) for each in subject.medians]
    return _outcome(subject, title, figure, shown, tuple(relu_effect(subject, pair) for pair in pairs))


def _outcome(
    subject: Subject,
    title: str,
    figure: Figure,
    shown: Sequence[tuple[str, StageMedians]],
    claims: tuple[Claim, ...],
) -> Outcome:
    return Outcome(
        title,
        f"{subject.caption} Medians are taken index by index after sorting; curves end where values cannot be told "
        "from zero.",
        {subject.label: as_facts(subject.medians)},
        claims,
        figure=figure,
        numbers=as_numbers(shown),
        data=subject.data,
        network=subject.used,
        samples=len(subject.X),
    )


def _layers(subject: Subject, wanted: Sequence[int]) -> list[Pair]:
    """Some layers, counted from 1; the last one where the network has fewer, and each once."""
    pairs = _pairs(subject)
    return [pairs[place] for place in sorted({min(number, len(pairs)) - 1 for number in wanted})]


def _pairs(subject: Subject) -> list[Pair]:
    """All layers.

    Raises:
        InputError: there are none.
    """
    medians = subject.medians
    pairs = [(a, b) for a, b in pairwise(medians) if subject.is_affine(a) and not subject.is_affine(b)]
    if not pairs:
        raise InputError("--model", expected="a network with an activation behind an affine map", got="none")
    return pairs


def _draw_decay(axes: Axes, layers: Sequence[StageMedians]) -> None:
    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, len(layers)))
    for number, (each, colour) in enumerate(zip(layers, colours, strict=True), start=1):
        _draw_curve(axes, each, f"layer {number}", colour, "-")
    _label(axes)


def _draw_pairs(axes: Axes, pairs: Sequence[Pair]) -> None:
    for (affine, activation), colour in zip(pairs, (BLUE, RED), strict=False):
        _draw_curve(axes, affine, f"stage {affine.stage + 1}, before ReLU", colour, "--")
        _draw_curve(axes, activation, f"stage {activation.stage + 1}, after ReLU", colour, "-")
    _label(axes)


def _draw_curve(axes: Axes, each: StageMedians, label: str, colour: object, line: str) -> None:
    values = each.values[: len(each.resolved)]
    axes.plot(np.arange(1, len(values) + 1), values, line, color=colour, label=label, linewidth=1.2)


def _label(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.set_xlabel("index of singular value")
    axes.set_ylabel("singular value")
    axes.grid(color=GREY, alpha=0.25, linewidth=0.5)
    axes.legend(fontsize=7)


def growing(subject: Subject) -> Claim:
    """The largest values, layers 1 to 5."""
    largest = [each.largest for each in subject.activations[:LAYERS]]
    statement = "the largest singular value grows over layers 1 to 5"
    return _over_layers(subject, statement, "largest", largest, good=largest[-1] > largest[0])


def shrinking(subject: Subject) -> Claim:
    """The small values, layers 1 to 5."""
    smallest = [each.smallest_nonzero for each in subject.activations[:LAYERS]]
    statement = "the small singular values decrease significantly over layers 1 to 5"
    return _over_layers(subject, statement, "smallest nonzero", smallest, good=smallest[-1] < smallest[0] / 2)


def similar(subject: Subject) -> Claim:
    """The shape of the curves: how well the logarithms of one follow those of the next, at the same shares of it."""
    curves = [_shape(each) for each in subject.activations[:LAYERS] if len(each.resolved) > 1]
    alike = [float(np.corrcoef(one, other)[0, 1]) for one, other in pairwise(curves)]
    statement = "the shape of the curve is similar for layers 1 to 5"
    return _over_layers(
        subject, statement, "correlations from layer to layer of the logarithms of the", alike,
        good=bool(alike) and min(alike) >= SIMILAR,
    )  # fmt: skip


def _shape(medians: StageMedians) -> FloatArray:
    """The logarithms of a curve at evenly spaced shares of it."""
    values = np.log(medians.resolved)
    return np.interp(np.linspace(0.0, 1.0, 201), np.linspace(0.0, 1.0, len(values)), values)


def _over_layers(subject: Subject, statement: str, which: str, values: Sequence[float], *, good: bool) -> Claim:
    measured = f"{which} values: " + (", ".join(f"{value:.3g}" for value in values) or "none")
    if (count := len(subject.activations)) < LAYERS:
        return Claim(statement, measured, None, f"of such layers, the network has {count}")
    return Claim(statement, measured, good, "" if good else subject.why_other)


def last_layer(subject: Subject) -> Claim:
    """Zero singular values in layer 6."""
    statement, layers = "some singular values become zero in layer 6", subject.activations
    if len(layers) <= LAYERS:
        return Claim(statement, "not measured", None, f"of such layers, the network has {len(layers)}")
    before, last = layers[LAYERS - 1], layers[LAYERS]
    good = last.rank < before.rank
    told = f"{before.rank:g} nonzero values in layer {LAYERS}, {last.rank:g} in layer {LAYERS + 1}"
    return Claim(statement, told, good, "" if good else subject.why_other)


def relu_effect(subject: Subject, pair: Pair) -> Claim:
    """Rows are removed, and what that does to the values at equal places."""
    before, after = pair
    count = min(len(before.values), len(after.values))
    grows = float((after.values[:count] - before.values[:count]).max())
    good = grows <= 1e-9 * before.largest if before.rank else None
    grown = f"a median grows by {grows:.2g}; the activation is no ReLU, or {subject.why_other}"
    why = {True: "", False: grown, None: "the layer does not depend on the input"}
    return Claim(
        "ReLU removes rows, and the largest singular value does not grow (Lemma 8)",
        f"stage {before.stage + 1} to {after.stage + 1}: the largest {before.largest:.3g} to {after.largest:.3g}, and "
        f"{'none' if grows <= 1e-9 * before.largest else 'some'} of the {count} values at equal places is larger; "
        f"{before.rank:g} to {after.rank:g} are not zero",
        good,
        why[good],
    )


__all__ = ["figure5", "figure7", "figure9", "figure10", "growing", "last_layer", "relu_effect", "shrinking", "similar"]
