"""What can be controlled by training, and at what price: the question that section 4 of the paper leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from math import inf
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fiberscope.demo.training import torch_threads
from fiberscope_paper.context import Context, Scale
from fiberscope_paper.control_claims import AFFORDABLE, best_weights, claims, effect
from fiberscope_paper.control_kept import NUMBERS, KeptMeasurements
from fiberscope_paper.control_measuring import LEVELS, Measured, measured
from fiberscope_paper.control_training import ATTACKED, LEARNING_RATE, PENALISED, REACH, Samples, prepared, train
from fiberscope_paper.control_variants import NARROW, WIDE, Variant, variants
from fiberscope_paper.drawing import BLUE, GREY, RED, new_figure
from fiberscope_paper.outcome import Outcome
from fiberscope_paper.sources import UsedData

TRAINING_QUICK, TRAINING_PAPER = 2_000, 4_000

EPOCHS_QUICK, EPOCHS_PAPER = 4, 10

SAMPLES_QUICK, SAMPLES_PAPER = 16, 32

FACTORS_QUICK, FACTORS_PAPER = (1.0,), (0.3, 1.0, 3.0)
"""Times the usual weight of a penalty."""


def control(context: Context) -> Outcome:
    """Train a layer with every penalty, weight and activation, and measure what it tells of its inputs.

    What was measured is kept with the networks, variant by variant: an interrupted run continues.
    """
    data, training, test = prepared(context, TRAINING_QUICK, TRAINING_PAPER)
    count = min(len(test.x), context.samples or context.at_scale(quick=SAMPLES_QUICK, paper=SAMPLES_PAPER))
    epochs = context.epochs or context.at_scale(quick=EPOCHS_QUICK, paper=EPOCHS_PAPER)
    tried = variants(FACTORS_QUICK if context.scale is Scale.QUICK else FACTORS_PAPER)
    few = max(1, count // 4)

    def measure(variant: Variant) -> Measured:
        module = train(variant, training, int(training.y.max()) + 1, epochs, context.seed)
        return measured(variant, module, test, count, few)

    counts = {"inputs": training.x.shape[1], "training": len(training.x), "count": count, "few": few, "epochs": epochs}
    kept = KeptMeasurements.of(context, data, counts)
    found: list[Measured] = []
    before = 0.0
    with torch_threads(1):
        for number, variant in enumerate(tried, start=1):
            each, took = kept.measured(variant, partial(measure, variant))
            found.append(each)
            before += took
            context.progress("variants", number, len(tried))
    title = f"What training controls, {data.where}"
    return Outcome(
        title,
        _caption(data, training, epochs, count, context),
        {"variants": [_facts(each) for each in found], "epochs": epochs, "training_samples": len(training.x)},
        claims(found),
        figure=_draw(found, title),
        numbers=_numbers(found),
        text=_table(found),
        data=data,
        samples=count,
        unproved=sum(each.unproved + each.undecided for each in found),
        seconds_before=before,
    )


def _caption(data: UsedData, training: Samples, epochs: int, count: int, context: Context) -> str:
    inputs = training.x.shape[1]
    side = round(inputs**0.5)
    return (
        f"A layer of {round(WIDE * inputs)} units (narrow: {round(NARROW * inputs)}) on pictures of {side} x {side} "
        f"pixels, means of those of {data.title}, with one number per class behind it: trained with Adam, learning "
        f"rate {LEARNING_RATE:g}, for {epochs} epochs on {len(training.x):,} samples, seed {context.seed}, plainly, "
        f"with a penalty on {PENALISED} samples of each step, or with another activation. Measured at {count} test "
        f"samples (radius, reach, precision and rebuilding at {max(1, count // 4)}). Singletons: in the box [0, 1]. "
        f"Rebuilt: error of an attack on features of {LEVELS + 1} levels. Adversarial: after moving pixels by "
        f"{REACH:g}, of the first {ATTACKED:,} at most."
    )


_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("accuracy", "accuracy", ".3f"),
    ("adversarial accuracy", "adversarial", ".3f"),
    ("kept units", "kept", ".0f"),
    ("singletons", "singletons", ".0%"),
    ("bounded on R^n", "bounded", ".0%"),
    ("coarsest precision", "coarsest", ".2g"),
    ("radius", "radius", ".2g"),
    ("condition number", "condition_number", ".3g"),
    ("rebuilt", "rebuilt", ".2g"),
    ("reach", "reach", ".2g"),
)


def _table(found: Sequence[Measured]) -> str:
    """Of wide layers, then of narrow ones, each against the plain one of its width; then of the best weights."""
    parts = [_section(title, part, part[0]) for title, part in _parts(found)]
    (_, wide), _ = _parts(found)
    best = best_weights(wide)
    if len(best) < len(wide):
        title = (
            f"The best weight of each penalty, at {100 * AFFORDABLE:g} points of accuracy at most where there is one"
        )
        parts.append(_section(title, best, wide[0]))
    return "\n".join(parts)


def _section(title: str, part: Sequence[Measured], plain: Measured) -> str:
    names = ["trained with", *(name for name, _, _ in _COLUMNS), "easier to invert than plain"]
    lines = [f"## {title}", "", f"| {' | '.join(names)} |", "|" + " --- |" * len(names)]
    for each in part:
        cells = [_shown(getattr(each, attribute), form) for _, attribute, form in _COLUMNS]
        lines.append(f"| {each.variant.label} | {' | '.join(cells)} | {effect(each, plain)} |")
    return "\n".join([*lines, ""])


def _parts(found: Sequence[Measured]) -> list[tuple[str, list[Measured]]]:
    narrow = [each for each in found if each.variant.width == NARROW]
    wide = [each for each in found if each.variant.width != NARROW]
    return [("More units than inputs", wide), ("Fewer units than inputs", narrow)]


def _shown(value: float, form: str) -> str:
    return "-" if np.isnan(value) else f"{value:{form}}"


def _facts(each: Measured) -> dict[str, Any]:
    """As JSON data, which has no infinite numbers."""
    numbers = {name: value for name, value in asdict(each).items() if name != "variant"}
    told = {name: value if np.isfinite(value) else str(value) for name, value in numbers.items()}
    variant: Variant = each.variant
    return {"name": variant.name, "wish": variant.wish, "weight": variant.weight, "width": variant.width, **told}


def _numbers(found: Sequence[Measured]) -> dict[str, Any]:
    facts = [{**_facts(each), **{name: getattr(each, name) for name in NUMBERS}} for each in found]
    return {name: [each[name] for each in facts] for name in facts[0]}


_COLOURS = {"invert": BLUE, "hide": RED}


def _draw(found: Sequence[Measured], title: str) -> Figure:
    """Bars of the wide layers, and of the narrow ones their singletons."""
    (_, wide), (_, narrow) = _parts(found)
    figure, axes = new_figure(13.0, 1.5 + 0.17 * len(wide), title, columns=4)
    panels = (
        (wide, "condition_number", "condition number", True),
        (wide, "rebuilt", "error of what is rebuilt", True),
        (wide, "accuracy", "accuracy", False),
        (narrow, "singletons", "singletons, of fewer units than inputs", False),
    )
    for place, (part, attribute, name, is_log) in zip(axes, panels, strict=True):
        values = [getattr(each, attribute) for each in part]
        most = max([value for value in values if value < inf], default=1.0)
        lengths = [value if value < inf else 10.0 * most for value in values]
        colours = [_COLOURS.get(each.variant.wish, GREY) for each in part]
        place.barh(range(len(part)), lengths, color=colours, log=is_log)
        place.set_yticks(range(len(part)), [each.variant.label for each in part], fontsize=6)
        place.axvline(lengths[0], color="black", linewidth=0.7)
        place.invert_yaxis()
        place.set_xlabel(name + (" (longest: infinite)" if inf in values else ""), fontsize=8)
    return figure


__all__ = ["control"]
