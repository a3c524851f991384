"""What a domain that fixes coordinates leaves of a large convolution: the units that read any other coordinate.

A unit that reads fixed coordinates alone gives one output on the whole domain. So it says nothing about inputs of the
domain with the same output as x, and its row is zero on both cones: a claim about x is one about the other units.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.matrices import IntArray
from fiberscope.checker.system import System

MAX_SEEN, MAX_CHANGING = 2**24, 2**14
"""Entries of a convolution's rows that are written out, and coordinates that may change then."""


def seen(system: System) -> tuple[System, IntArray | None]:
    """The system of the units that read a coordinate which the domain does not fix, and their numbers.

    Of a convolution, where these can be written out; else the system itself, and None.
    """
    fixed, weight = system.box_low == system.box_high, system.weight
    if not isinstance(weight, Convolution) or not fixed.any() or fixed.all():
        return system, None
    system.check()
    units = np.flatnonzero(weight.reads(~fixed))
    entries = len(units) * weight.weight[0].size
    if not len(units) or entries > MAX_SEEN or (~fixed).sum() > MAX_CHANGING:
        return system, None
    parts = {name: getattr(system, name)[units] for name in ("bias", "low", "high")}
    return replace(system, weight=weight[units], **parts), units


__all__ = ["seen"]
