"""Checking the stability radii that an audit stored: a ball around a sample, and a modulus on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fiberscope.checker.matrices import FloatArray, NotProvedError
from fiberscope.checker.modulus import chain_to, exceeds, never_bends
from fiberscope.checker.reading import StoredNetwork
from fiberscope.errors import ModelError


def why_no_ball(read: Callable[[], StoredNetwork], x: FloatArray, stage: int, row: dict[str, Any]) -> str:
    """Why the ball of a row is not proved; empty where it is, and where the row claims none.

    Args:
        read: gives the network.
        x: (n,) the sample.
        stage: the number of the stage.
        row: its ``region_distance``, ``stability_radius``, ``modulus`` and ``radius_reason``.
    """
    numbers = [row["region_distance"], row["stability_radius"], row["modulus"]]
    if any(value is None or not value >= 0 for value in numbers) or not numbers[2] < np.inf:
        return "a distance, a radius or a modulus is missing, or negative, or no number"
    _, radius, modulus = numbers
    if (radius > 0) != (modulus > 0) or (radius > 0) == bool(row["radius_reason"]):
        return "a radius without a modulus, or without a reason for none, or with one"
    if radius == 0:
        return ""
    try:
        chain = chain_to(read(), stage)
        if radius == np.inf and not never_bends(chain):
            return "the stability radius has no end, but the network bends somewhere"
        proved = exceeds(chain, np.asarray(x, dtype=np.float64), 0.0 if radius == np.inf else radius, modulus)
    except (NotProvedError, ModelError) as error:
        return f"the stability radius is not proved: {error}"
    return "" if proved else f"the stability radius {radius:.6g} with the modulus {modulus:.6g} is not proved"


__all__ = ["why_no_ball"]
