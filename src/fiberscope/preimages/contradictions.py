"""Why an output has no preimage, written down: Farkas multipliers, or rows that are inconsistent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fiberscope.preimages.candidate import Candidate, Inconsistent
from fiberscope.preimages.candidate import Multipliers as FoundMultipliers
from fiberscope.preimages.certificate import Certificate, Face, Multipliers, Rational
from fiberscope.preimages.multipliers import Signed, Weighed, signed, weigh
from fiberscope.preimages.scalings import Units
from fiberscope.preimages.sided_rows import Ends, Sides


def written_contradiction(
    units: Units, sides: Sides, ends: Ends | None, candidate: Candidate
) -> tuple[Certificate, bool]:
    """The certificate of a candidate that is empty, and whether its proof in floats seems to close."""
    part, closes = _contradiction(units, sides, ends, candidate)
    tangent = None if part is None else Face(part)
    return Certificate(candidate.kind, candidate.dimension, tangent, scaling=units.scaling), closes


def _contradiction(
    units: Units, sides: Sides, ends: Ends | None, candidate: Candidate
) -> tuple[Multipliers | None, bool]:
    part, rows = candidate.infeasible, units.rows
    if isinstance(part, Inconsistent):
        return Multipliers(rows.renumbered(part.rows)[0], None), False
    if not isinstance(part, FoundMultipliers) or ends is None or (ends.low > ends.high).any():
        return None, True  # one row contradicts itself
    given = signed(rows, part.rows, part.values, np.zeros(rows.count, dtype=np.bool_))
    if isinstance(given.values, Rational):
        return Multipliers(given.rows, given.values), False
    # coordinates that are bounded on both sides absorb what is left in their columns, whichever its sign
    boxed = np.isfinite(ends.low) & np.isfinite(ends.high)
    boxed[: rows.m] = boxed[rows.m + rows.n :] = False
    weights = np.zeros(rows.count)
    weights[given.rows] = given.values
    named = np.union1d(given.rows, np.flatnonzero(boxed))
    cone = replace(sides.homogeneous, equal=sides.equal & ~boxed)
    spare = rows.split(np.flatnonzero(cone.equal & units.nonzero))[0]
    asked = Weighed(cone, spare, boxed, spanning=False, sides=(ends.high, ends.low))
    weighing = weigh(units, Signed(named, weights[named]), asked)
    return weighing.part, weighing.closes


__all__ = ["written_contradiction"]
