"""A network in tables: its stages, its layers, and what an audit of them takes."""

from __future__ import annotations

from math import isinf
from typing import assert_never

from rich.markup import escape
from rich.table import Table

from fiberscope.audits.effort import judging_bytes, maps_of
from fiberscope.audits.plan import Place, Reads, places_of
from fiberscope.memory import gigabytes
from fiberscope.network.layers import PlacedLayer
from fiberscope.network.network import Network
from fiberscope.network.stage import INPUT
from fiberscope.preimages.method import method_of


def stage_table(network: Network) -> Table:
    """One row per stage: what it is, what it takes, its shape and its parameters."""
    table = Table(title=f"{len(network.stages)} stages, input {_shape(network.input_shape)}", title_justify="left")
    for heading in ("stage", "name", "kind", "takes", "output shape", "parameters"):
        table.add_column(heading, justify="right" if heading in ("stage", "parameters") else "left", overflow="fold")
    for number, stage in enumerate(network.stages):
        takes = ", ".join("input" if source == INPUT else str(source) for source in network.sources(number))
        kind = ", ".join(affine.kind for affine in stage.maps) or stage.kind
        parameters = f"{stage.parameters:,}" if stage.parameters else ""
        table.add_row(str(number), escape(stage.name), kind, takes, _shape(stage.shape), parameters)
    return table


def layer_table(network: Network) -> Table:
    """One row per layer that can be judged: its size, what it receives, and what judging a sample takes.

    Judged on the whole domain, or within the sample's linear region. Memory, the method, and seconds on one core, where
    a count of operations gives an idea of these.
    """
    table = Table(title=f"{len(network.relu_layers)} layers to judge", title_justify="left")
    for heading in ("layer", "name", "inputs", "neurons", "receives", "judged on", "memory", "method", "seconds"):
        right = heading in ("layer", "inputs", "neurons", "memory", "seconds")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for number, (placed, place) in enumerate(zip(network.placed_layers, places_of(network), strict=True)):
        method = method_of(placed.layer, maps_of(network, placed), placed.received)
        table.add_row(
            str(number),
            escape(placed.name),
            str(placed.layer.inputs),
            str(placed.layer.outputs),
            _receives(network, placed, place),
            "region" if place.region else "domain",
            gigabytes(judging_bytes(network, placed, samples=1)),
            method.name,
            "" if method.seconds is None else _seconds(method.seconds),
        )
    return table


def closing_lines(network: Network) -> list[str]:
    """Sizes, agreement with the original, and notes."""
    lines = [f"parameters: {network.parameters:,}"]
    if network.agreement is not None:
        lines.append(f"checked: {network.agreement}")
    nothing = network.nothing_to_judge(most=None)
    notes = network.notes if nothing else network.all_notes  # what is not judged is said already
    return lines + ([nothing] if nothing else []) + [f"note: {note}" for note in notes]


def _receives(network: Network, placed: PlacedLayer, place: Place) -> str:
    match place.reads:
        case Reads.INPUT:
            return "the input"
        case Reads.NONNEGATIVE:
            known = ", never negative"
        case Reads.CLIPPED:
            assert place.bounds is not None, "what is clipped has bounds"
            known = f", {_interval(*place.bounds)}"
        case Reads.ANYTHING:
            known = ""
        case _:
            assert_never(place.reads)
    return escape(f"{network.stages[placed.source].name}{known}")


def _seconds(value: float) -> str:
    """About how many."""
    return "below 1" if value < 1 else f"about {value:.0f}" if value < 100 else f"about {round(value, -1):.0f}"


def _interval(low: float, high: float) -> str:
    if isinf(high):
        return f"at least {low:g}"
    return f"at most {high:g}" if isinf(low) else f"{low:g} to {high:g}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


__all__ = ["closing_lines", "layer_table", "stage_table"]
