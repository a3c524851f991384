"""What changed from one audit to another: tables, sentences, and plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from fiberscope.audits.changes import Changes, LayerChange, NetworkChange, ReachChange, Signs, StageChange
from fiberscope.audits.pairing import Pair, Side
from fiberscope.audits.plan import known_share
from fiberscope.labels import listed
from fiberscope.recovery.verdict import Verdict
from fiberscope.report.counting import middle, number
from fiberscope.report.summary import SHOWN_KINDS
from fiberscope.report.terminal_tables import plain_table

CHANCE = 0.05
"""The p value from which on a difference is said to be no more than chance explains."""

_SHOWN_SAMPLES = 5


def opening_lines(pair: Pair) -> list[str]:
    """Which audits are compared."""
    same = pair.before.manifest.model_digest == pair.after.manifest.model_digest
    return [
        f"before: {_side(pair.before)}",
        f"after:  {_side(pair.after)}{', the same network as before' if same else ''}",
        f"{pair.samples} samples, the same in both; layers and stages correspond by position.",
    ]


_KINDS_EXPLAINED = (
    "samples of each kind; dimension: directions in which the layer's input can change and its output does not"
)
_STAGES_EXPLAINED = (
    "ratio: after by before; fell, rose: samples at which it did; p: how often chance differs as much, by "
    "an exact sign test; nonzero values: their median number before → after"
)


def _side(side: Side) -> str:
    return f"{side.manifest.model} on {side.manifest.data}, in {side.results.folder}"


def layers_table(layers: Sequence[LayerChange]) -> Table:
    """Kinds and dimensions before and after, a row per layer and domain, for a terminal of 80 columns."""
    kinds = [kind for kind in SHOWN_KINDS if any(kind in step for layer in layers for step in layer.transitions)]
    table = plain_table("Kinds before → after", _KINDS_EXPLAINED)
    table.add_column("layer and domain", overflow="fold", min_width=20)
    for heading in (*(str(kind) for kind in kinds), "median\ndimension"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in layers:
        counts = [
            f"{sum(n for (before, _), n in layer.transitions.items() if before == kind)} → "
            f"{sum(n for (_, after), n in layer.transitions.items() if after == kind)}"
            for kind in kinds
        ]
        table.add_row(escape(layer.label), *counts, _both(layer.dimension))
    return table


def _both(medians: tuple[float, float] | None) -> str:
    return "-" if medians is None else f"{middle(medians[0])} → {middle(medians[1])}"


def stages_table(stages: Sequence[StageChange]) -> Table:
    """Condition numbers before and after, a row per stage, for a terminal of 80 columns."""
    title = "Median condition numbers before → after, at the samples where both are known"
    table = plain_table(title, _STAGES_EXPLAINED)
    table.add_column("stage", overflow="fold")
    for heading in ("samples", "before", "after", "median\nratio", "fell", "rose", "p", "nonzero\nvalues"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stage in stages:
        medians = ("-", "-") if stage.medians is None else tuple(map(number, stage.medians))
        ratio = number(float(np.median(stage.ratios))) if len(stage.ratios) else "-"
        counts = (str(stage.signs.fell), str(stage.signs.rose), _p(stage.signs))
        nonzero = _both(stage.nonzero)
        label = escape(stage.label.removeprefix("stage "))
        table.add_row(label, str(len(stage.ratios)), *medians, ratio, *counts, nonzero)
    return table


def _p(signs: Signs) -> str:
    return "-" if signs.p is None else f"{signs.p:.2g}"


def layer_sentences(layer: LayerChange) -> list[str]:
    """What changed in a layer, in plain words; then what went where."""
    fell, rose = layer.openness.fell, layer.openness.rose
    lines = [f"{layer.label}: {_verdict(layer)}"]
    if fell + rose:
        kinds = f"{layer.by_kind[0] + layer.by_kind[1]} by the kind of their preimage"
        finer = f", {fell + rose - sum(layer.by_kind)} by its dimension" if layer.same_inputs else ""
        lines.append(f"  of these {kinds}{finer}; exact sign test: p = {_p(layer.openness)}")
    steps = [f"{b} → {a}: {n}" for (b, a), n in layer.transitions.items() if b != a]
    if steps:
        lines.append(f"  {', '.join(steps)}; samples {_few(layer.changed)}")
    if not layer.same_inputs:
        sizes = f"{layer.sizes[0][0]} before, {layer.sizes[1][0]} now"
        lines.append(f"  the number of its inputs differs ({sizes}), so only kinds are compared, not dimensions")
    if layer.saturated is not None:
        lines.append(f"  saturated outputs: {_both(layer.saturated)} (median)")
    if layer.margin_ratio is not None:
        lines.append(f"  margins where the kind is the same: {number(layer.margin_ratio)} times as large (median)")
    return lines


def network_sentence(change: NetworkChange) -> str:
    """What is known of the network up to a layer, before and after."""
    counts = [
        f"{verdict} {sum(n for (before, _), n in change.transitions.items() if before is verdict)} → "
        f"{sum(n for (_, after), n in change.transitions.items() if after is verdict)}"
        for verdict in Verdict
        if any(verdict in step for step in change.transitions)
    ]
    changed = f"; it changed at samples {_few(change.changed)}" if change.changed else ""
    return f"{change.label}, input from output: {', '.join(counts)}{changed}"


def reach_sentences(changes: Changes) -> list[str]:
    """How far inputs with the same features reach, before and after; those for shares of a feature are in the data."""
    return [_reach(change) for change in changes.reach if not known_share(change.place.precision)]


def _reach(change: ReachChange) -> str:
    pairs = len(change.before)
    if not pairs:
        return f"{change.label}, reach: not known of any pair in both audits"
    medians = (
        f"{number(float(np.median(change.before)))} → {number(float(np.median(change.after)))} of the way (median)"
    )
    fell, rose = int((change.differences < 0).sum()), int((change.differences > 0).sum())
    return f"{change.label}, reach: {medians}; less far in {fell} of {pairs} pairs, farther in {rose}"


def _verdict(layer: LayerChange) -> str:
    fell, rose, decided = layer.openness.fell, layer.openness.rose, layer.samples - layer.undecided
    if not decided:
        return f"it cannot be said what changed: all {layer.samples} samples are undecided in one of the audits"
    of, left = f"{decided} samples", ""
    if layer.undecided:
        of, left = f"{decided} samples decided in both", f"; {layer.undecided} are undecided in one of the audits"
    counts = f"{fell} of {of} leave less open than before, {rose} leave more{left}"
    if not fell + rose:
        return f"as invertible as before: {counts}"
    if layer.openness.p is not None and layer.openness.p >= CHANCE:
        return f"no clear change: {counts}, no more of a difference than chance explains"
    return f"became {'more' if fell > rose else 'less'} invertible: {counts}"


def _few(samples: Sequence[int]) -> str:
    more = f" and {len(samples) - _SHOWN_SAMPLES} more" if len(samples) > _SHOWN_SAMPLES else ""
    return ", ".join(map(str, samples[:_SHOWN_SAMPLES])) + more


def closing_lines(changes: Changes) -> list[str]:
    """What was not compared, and how the p values are to be read."""
    lines = list(changes.pair.left_out)
    lost = [f"{stage.label} ({stage.nonzero_signs.fell})" for stage in changes.stages if stage.nonzero_signs.fell]
    if lost:
        lines.append(
            "a smaller condition number is no improvement where directions are lost: fewer singular values are told "
            f"from zero than before at some samples of {listed(lost)}"
        )
    if any(signs.p is not None for signs in _all_signs(changes)):
        lines.append(
            "p: how likely chance alone splits the samples that changed at least as unevenly, if they are drawn "
            "independently; each stands for itself, and of many some are small by chance."
        )
    return lines


def _all_signs(changes: Changes) -> list[Signs]:
    return [*(layer.openness for layer in changes.layers), *(stage.signs for stage in changes.stages)]


def as_data(changes: Changes) -> dict[str, Any]:
    """The same as plain data, for other programs; numbers that are not there are None."""
    pair = changes.pair
    return {
        "format": "fiberscope comparison 1",
        "before": _side_data(pair.before),
        "after": _side_data(pair.after),
        "samples": pair.samples,
        "network": [_network_data(change) for change in changes.network],
        "layers": [_layer_data(layer) for layer in changes.layers],
        "stages": [_stage_data(stage) for stage in changes.stages],
        "reach": [_reach_data(reach) for reach in changes.reach],
        "left_out": list(pair.left_out),
    }


def _side_data(side: Side) -> dict[str, Any]:
    manifest = side.manifest
    digests = {"model_digest": manifest.model_digest, "data_digest": manifest.data_digest}
    return {"folder": str(side.results.folder), "model": manifest.model, "data": manifest.data, **digests}


def _network_data(change: NetworkChange) -> dict[str, Any]:
    return {
        "layer": change.layer,
        "transitions": [
            {"before": str(before), "after": str(after), "samples": n}
            for (before, after), n in change.transitions.items()
        ],
        "changed_at": list(change.changed),
    }


def _layer_data(layer: LayerChange) -> dict[str, Any]:
    return {
        "layer": layer.place.layer,
        "domain": layer.place.domain_name,
        "sizes": {"before": list(layer.sizes[0]), "after": list(layer.sizes[1])},
        "samples": layer.samples,
        "transitions": [
            {"before": str(before), "after": str(after), "samples": n}
            for (before, after), n in layer.transitions.items()
        ],
        "kind_changed_at": list(layer.changed),
        "more_invertible": layer.openness.fell,
        "less_invertible": layer.openness.rose,
        "undecided": layer.undecided,
        "by_kind": {"more": layer.by_kind[0], "less": layer.by_kind[1]},
        "sign_test_p": layer.openness.p,
        "median_dimension": None if layer.dimension is None else list(layer.dimension),
        "median_saturated": None if layer.saturated is None else list(layer.saturated),
        "median_margin_ratio": layer.margin_ratio,
    }


def _stage_data(stage: StageChange) -> dict[str, Any]:
    return {
        "stage": stage.place.stage,
        "samples": len(stage.ratios),
        "median_condition_number": None if stage.medians is None else list(stage.medians),
        "median_ratio": float(np.median(stage.ratios)) if len(stage.ratios) else None,
        "fell": stage.signs.fell,
        "rose": stage.signs.rose,
        "sign_test_p": stage.signs.p,
        "median_nonzero_values": None if stage.nonzero is None else list(stage.nonzero),
        "nonzero_values_fell": stage.nonzero_signs.fell,
        "nonzero_values_rose": stage.nonzero_signs.rose,
    }


def _reach_data(reach: ReachChange) -> dict[str, Any]:
    """Medians that are infinite are None, as JSON has no such numbers."""
    medians = [float(np.median(each)) for each in (reach.before, reach.after) if len(each)]
    differences = reach.differences
    return {
        "layer": reach.place.layer,
        "within": reach.place.precision,
        "pairs": len(differences),
        "median_reach": [each if np.isfinite(each) else None for each in medians] or None,
        "fell": int((differences < 0).sum()),
        "rose": int((differences > 0).sum()),
        "unknown": reach.unknown,
    }


__all__ = [
    "as_data",
    "closing_lines",
    "layer_sentences",
    "layers_table",
    "network_sentence",
    "opening_lines",
    "reach_sentences",
    "stages_table",
]
