"""Figure 3: bounded and unbounded preimages of a layer against the number of positive outputs [section 2.2]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.layer import Layer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages.kind import Kind
from fiberscope_paper.context import Context
from fiberscope_paper.figure3_claims import claims
from fiberscope_paper.figure3_drawing import draw
from fiberscope_paper.figure3_measuring import (
    Measured,
    Printed,
    Verdicts,
    ask_printed,
    fresh_layer,
    judge,
    may_be_printed,
    spread,
    strip_of,
    tight_coordinates,
    unit_box,
)
from fiberscope_paper.networks import UsedNetwork, used_network
from fiberscope_paper.outcome import Outcome
from fiberscope_paper.sources import UsedData, used_data
from fiberscope_paper.table2_training import table2_training

QUICK_SAMPLES, QUICK_PRINTED, PAPER_PRINTED = 200, 2, 40
"""Samples at quick scale, and how many of them the printed algorithm is asked about, at some seconds each."""


def figure3(context: Context) -> Outcome:
    """Count the kinds of preimages of the first layer over the test set."""
    data = used_data(context, paper="mnist", stand_ins=("fashion-mnist", "mnist-5k"))
    used = used_network(context, *table2_training(context, data))
    layer, X = _first_layer(used, data, context)
    measured = _measure(layer, fresh_layer(used.network, context.seed), X, context)
    judged = [v for v in (measured.verdicts, measured.boxed, measured.fresh, measured.fresh_boxed) if v is not None]
    title = f"Preimages of a {layer.inputs}-{layer.outputs} ReLU layer {data.where}"
    return Outcome(
        title,
        _caption(used, data, measured),
        _facts(measured),
        claims(measured, data, used, context),
        figure=draw(measured, title),
        numbers=_numbers(measured),
        data=data,
        network=used,
        samples=len(X),
        unproved=sum(int((~verdicts.proved).sum()) for verdicts in judged),
    )


def _first_layer(used: UsedNetwork, data: UsedData, context: Context) -> tuple[Layer, FloatArray]:
    network = used.network
    if not network.relu_layers:
        name = used.facts["name"]
        raise InputError("--model", expected="a network with a ReLU layer", got=f"{name}, which has none")
    count = context.samples or context.at_scale(quick=QUICK_SAMPLES, paper=len(data.test))
    samples = data.test.x[:count]
    return network.relu_layers[0], network.layer_input(0, samples.reshape(len(samples), *network.input_shape))


def _measure(layer: Layer, fresh: Layer | None, X: FloatArray, context: Context) -> Measured:
    box, untrained, untrained_boxed = unit_box(X), None, None
    verdicts = judge(layer, X, None, "samples on all of R^n", context.progress)
    boxed = None if box is None else judge(layer, X, box, "samples in the box", context.progress)
    if fresh is not None:
        untrained = judge(fresh, X, None, "untrained layer, samples on all of R^n", context.progress)
        if box is not None:
            untrained_boxed = judge(fresh, X, box, "untrained layer, in the box", context.progress)
    printed: Printed | None = None
    if may_be_printed(layer):
        assert isinstance(layer, ReLULayer)
        chosen = spread(verdicts, layer.inputs, context.at_scale(quick=QUICK_PRINTED, paper=PAPER_PRINTED))
        printed = ask_printed(layer, X, verdicts, chosen, context.progress)
    tight = tight_coordinates(X)
    return Measured(layer.inputs, layer.outputs, verdicts, boxed, untrained, untrained_boxed, tight, printed)


def _caption(used: UsedNetwork, data: UsedData, measured: Measured) -> str:
    strip, count = strip_of(measured.verdicts), len(measured.tight)
    shown = "No finite and unbounded preimages overlap."
    if strip.overlaps:
        shown = f"Grey: both kinds occur, from {strip.smallest_finite} to {strip.largest_unbounded} positive outputs."
    printed = measured.printed
    asked = (
        "" if printed is None else f" Black marks: the {len(printed.samples)} samples that Algorithm 1 was asked about."
    )
    return (
        f"{used.description} Data: {data.test.description}; the first {count:,} of them are judged, and "
        f"{int(measured.verdicts.proved.sum()):,} verdicts are proved. Above: how many samples have finite (bounded or "
        "a single point) and unbounded preimages under the first layer, by positive outputs. "
        f"{shown}{asked} Middle: the share of finite preimages, for the network{_beside(measured)}; dashed: Wendel's "
        f"share for as many random directions. {_below(measured)}"
    )


def _beside(measured: Measured) -> str:
    if measured.fresh is None:
        return " alone, whose first layer is neither a matrix nor a convolution that could be drawn anew"
    return " and for the same layer with fresh Glorot weights at the same samples"


def _below(measured: Measured) -> str:
    if measured.boxed is None:
        return "Below: nothing, for the inputs do not lie in the box [0, 1]."
    return (
        "Below: the share of single points in the box [0, 1]; dashed: Donoho and Tanner's for random rows and as many "
        "coordinates on the border of the box."
    )


def _facts(measured: Measured) -> dict[str, Any]:
    verdicts, strip, printed = measured.verdicts, strip_of(measured.verdicts), measured.printed
    below = verdicts.positives < measured.inputs
    singletons = verdicts.has(Kind.SINGLETON)
    facts: dict[str, Any] = {
        "inputs": measured.inputs,
        "outputs": measured.outputs,
        "counts": verdicts.counts(),
        "counts_in_box": None if measured.boxed is None else measured.boxed.counts(),
        "counts_untrained": None if measured.fresh is None else measured.fresh.counts(),
        "counts_untrained_in_box": None if measured.fresh_boxed is None else measured.fresh_boxed.counts(),
        "smallest_finite": strip.smallest_finite,
        "largest_unbounded": strip.largest_unbounded,
        "in_strip": _in_strip(verdicts),
        "singletons_below_inputs": int((singletons & below).sum()),
        "positives": _quantiles(verdicts.positives),
        "positives_untrained": None if measured.fresh is None else _quantiles(measured.fresh.positives),
        "border_coordinates": _quantiles(measured.tight),
    }
    if printed is not None:
        facts["algorithm1"] = {"asked": len(printed.samples), "wrong": int(printed.wrong.sum())}
    if measured.boxed is not None and measured.boxed.has(Kind.SINGLETON).any():
        facts["smallest_singleton_in_box"] = int(verdicts.positives[measured.boxed.has(Kind.SINGLETON)].min())
    return facts


def _in_strip(verdicts: Verdicts) -> dict[str, int]:
    """How many samples of either kind have a number of positives at which both occur."""
    strip = strip_of(verdicts)
    if not strip.overlaps or strip.smallest_finite is None or strip.largest_unbounded is None:
        return {"finite": 0, "unbounded": 0}
    inside = (verdicts.positives >= strip.smallest_finite) & (verdicts.positives <= strip.largest_unbounded)
    unbounded = verdicts.has(Kind.UNBOUNDED)
    return {"finite": int((inside & verdicts.finite).sum()), "unbounded": int((inside & unbounded).sum())}


def _quantiles(values: IntArray) -> dict[str, int | float]:
    return {"smallest": int(values.min()), "median": float(np.median(values)), "largest": int(values.max())}


def _numbers(measured: Measured) -> Mapping[str, Any]:
    """One row per sample; what the printed algorithm was not asked is null."""
    answers: list[bool | None] = [None] * len(measured.tight)
    if measured.printed is not None:
        for i, finite in zip(measured.printed.samples, measured.printed.finite, strict=True):
            answers[int(i)] = bool(finite)
    columns: dict[str, Any] = {"sample": np.arange(len(measured.tight)), "border_coordinates": measured.tight}
    parts = (("", measured.verdicts), ("box_", measured.boxed), ("fresh_", measured.fresh))
    for prefix, verdicts in (*parts, ("fresh_box_", measured.fresh_boxed)):
        if verdicts is not None:
            columns[f"{prefix}kind"] = verdicts.kinds.tolist()
            columns[f"{prefix}positives"] = verdicts.positives
            columns[f"{prefix}proved"] = verdicts.proved
    return {**columns, "algorithm1_finite": answers}


__all__ = ["Measured", "figure3"]
