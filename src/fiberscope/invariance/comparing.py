"""Comparing features: of the network in float64, and of the original model in its own arithmetic, at several inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from fiberscope.invariance.rounding_bound import rounding_bound
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.network.original import Arithmetic, Original

SLACK = 4.0
"""Times the bound on rounding: originals also round folded constants, and sum in several steps."""

NO_ORIGINAL = "there is no original model in this process: the network itself was run, in float64"

AnyOriginal = Original | Callable[[FloatArray], Any] | None
"""What runs the model, or a function that gives the features of a batch; None for what the network was read from."""


class Comparison(NamedTuple):
    """Whether features are the same up to rounding.

    Attributes:
        failure: where they are not; empty if they are.
        notes: what else is to be said.
    """

    failure: str = ""
    notes: tuple[str, ...] = ()


def compare_features(
    network: Network,
    stage: int,
    X: Float64[FloatArray, "N ..."],
    original: AnyOriginal,
    within: Float64[FloatArray, " m"] | None = None,
) -> Comparison:
    """Compare the features of several inputs with those of the first, in float64 and in the original's arithmetic.

    Args:
        network: the network.
        stage: the number of the stage that gives the features.
        X: the inputs.
        original: what runs the model.
        within: by how much every feature may differ beyond rounding; None for not at all.
    """
    ours, allowed = rounding_bound(network, X.reshape(len(X), -1), stage, "float64")
    extra = np.zeros(ours.shape[1]) if within is None else within
    difference = _difference(ours, allowed, 1.0, "the network, in float64", extra)
    if difference:
        return Comparison(difference)
    notes: list[str] = []
    for run in _originals(network, stage, X, original):
        answer = _recomputed(network, stage, run, X, extra)
        if answer.failure:
            return Comparison(answer.failure)
        notes += [answer.note] if answer.note else []
    if original is None and not network.originals:
        notes.append(NO_ORIGINAL)
    return Comparison("", tuple(notes))


class _Recomputed(NamedTuple):
    """What is to be said about the features that an original gives: why they are not the same, or a note."""

    failure: str = ""
    note: str = ""


def _originals(network: Network, stage: int, X: FloatArray, original: AnyOriginal) -> tuple[Original, ...]:
    if original is None:
        return network.originals
    if isinstance(original, Original):
        return (original,)
    origin = network.stages[stage].origin
    probe = _as_array(original(X[:1]))
    arithmetic: Arithmetic = "float64" if probe.dtype == np.float64 else "float32"
    return (Original("the original", arithmetic, lambda X: {origin: _as_array(original(X))}),)


def _recomputed(network: Network, stage: int, original: Original, X: FloatArray, extra: FloatArray) -> _Recomputed:
    """Compare the features that an original gives."""
    origin = network.stages[stage].origin
    name = f"{original.name}, in {original.arithmetic}"
    try:
        values = original.run(X)
    except Exception as error:  # whatever a foreign library raises
        return _Recomputed(failure=f"{name}: cannot be run on the path: {type(error).__name__}: {error}")
    if origin not in values:
        shown = network.stages[stage].name
        return _Recomputed(note=f"{name}: does not show the values of {shown!r}, which were not compared")
    theirs = np.asarray(values[origin], dtype=np.float64).reshape(len(X), -1)
    flat = X.reshape(len(X), -1)
    ours, allowed = rounding_bound(network, flat, stage, original.arithmetic)
    if theirs.shape != ours.shape:
        return _Recomputed(failure=f"{name}: gives {theirs.shape[1]} features, the network {ours.shape[1]}")
    return _Recomputed(failure=_difference(theirs, allowed, SLACK, name, extra))


def _difference(values: FloatArray, allowed: FloatArray, slack: float, name: str, extra: FloatArray) -> str:
    """Where features differ from those of the first input by more than rounding, and what is allowed; or empty."""
    difference = np.abs(values[1:] - values[0])
    limit = slack * (allowed[1:] + allowed[0]) + extra
    if (difference <= limit).all():  # NaN is no agreement
        return ""
    with np.errstate(all="ignore"):
        excess = np.nan_to_num(difference / limit, nan=np.inf)
    point, unit = divmod(int(excess.argmax()), values.shape[1])
    where = "the example" if point == 0 else f"point {point} of the path"
    explained = "rounding explains" if not extra[unit] else f"rounding, and the {extra[unit]:.3g} allowed, explain"
    return (
        f"{name}: feature {unit} of {where} differs from that of the source by {difference[point, unit]:.3g}; "
        f"{explained} {limit[point, unit]:.3g}"
    )


def _as_array(values: Any) -> FloatArray:
    return np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)


__all__ = ["NO_ORIGINAL", "AnyOriginal", "Comparison", "compare_features"]
