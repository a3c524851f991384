"""The best input with the features of x over all regions, by a mixed-integer program, for small networks.

A binary per piece of every unit that may be on several: tens of them are solved to optimality, hundreds hardly. What
the solver proves is an upper bound for every region, also where it does not finish. It is a proof of floating point:
up to the tolerances of HiGHS, among them 1e-6 for integrality.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fiberscope.invariance.across_regions import Problem, problem
from fiberscope.invariance.bound_tightening import tightened
from fiberscope.invariance.feature_bands import Within
from fiberscope.invariance.feature_stage import Layer
from fiberscope.invariance.milp_encoding import MilpEncoding, milp_encoding
from fiberscope.invariance.objective import Objective
from fiberscope.invariance.same_features import SameFeatures
from fiberscope.invariance.stage_bounds import Interval, box_of, interval_bounds
from fiberscope.invariance.vertex import vertex
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain
from fiberscope.network.network import Network
from fiberscope.network.original import Arithmetic
from fiberscope.network.stage import INPUT
from fiberscope.preimages.linear_program import Solver, Status
from fiberscope.scalars import as_count, as_number
from fiberscope.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

RELATIVE_GAP = 1e-9
"""Difference of bound and value, relative to the value, at which the solver stops."""

TOLERANCE = 1e-9
"""Of rows and bounds in the solver."""

MAX_NODES = 1_000_000
"""Nodes after which the solver gives up. A count, not a time, so that answers repeat."""


MISSED = 1e-6
"""The share of what the objective may change by in the domain that an optimum may miss of its bound: the solver's
tolerance for binaries."""


class Ended(StrEnum):
    """How the mixed-integer program ended."""

    OPTIMAL = "optimal"
    NODES = "the node limit was reached; the bound holds"
    TIME = "the time limit was reached; the bound holds"
    UNSETTLED = "the solver's optimum could not be put onto the equations; the bound holds"
    FAILED = "HiGHS failed; the bound is that of the domain"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Optimum(SameFeatures):
    """The best input that was found over all regions; whether a way with the same features leads to it is not known.

    Attributes:
        value: the objective ``<c, x>`` there.
        bound: no input with the features has a larger objective, up to the solver's tolerances.
        status: how the solver ended.
        nodes: of the search tree.
        binaries: of the program: one per piece of every unit that may be on several.
        units: how many of these units there are.
    """

    value: float
    bound: float
    status: Ended
    nodes: int
    binaries: int
    units: int

    @property
    def gap(self) -> float:
        """How much better another input might be."""
        return self.bound - self.value

    @property
    def optimal(self) -> bool:
        """Whether the solver proved that none is better."""
        return self.status is Ended.OPTIMAL

    def _line(self) -> str:
        return f"{self.value:.4g}, at best {self.bound:.4g}, {self.nodes} nodes: {self.status}"


def optimal_over_regions(
    network: Network,
    x: Tensor | ArrayLike,
    target: Tensor | ArrayLike,
    layer: Layer = 0,
    domain: Domain | None = None,
    *,
    objective: Objective | str = Objective.INNER_PRODUCT,
    arithmetic: Arithmetic | None = None,
    max_nodes: int = MAX_NODES,
    seconds: float | None = None,
    within: Within = 0.0,
) -> Optimum:
    """Find the best input with the features of x, whatever region it lies in.

    maximize ``<c, x'>`` subject to ``z_fixed(x') = z_fixed(x)``, the features' inequalities, and the domain, where z is
    the network itself, written with binaries; see ``fiberscope.invariance.milp_encoding``. With ``within``, features
    may differ by numbers: then the program for features that do not differ is solved first, and its optimum is where
    the other one begins.

    Args:
        network: the network.
        x: the source, of the network's input shape or flat.
        target: c, of the same shape.
        layer: the number of the ReLU layer whose output counts as the features, negative from the end; or "output" for
            that of the network.
        domain: where inputs lie; it must be bounded.
        objective: ``inner_product`` to maximise ``<c, x'>``, ``towards`` for ``<c - x, x'>``.
        arithmetic: units that the features cut off keep the room that rounding in this arithmetic needs, as far as they
            have it at x; None for no room.
        max_nodes: of the search tree.
        seconds: after which the solver gives up; answers then depend on the machine. None for no limit.
        within: by how much every feature may differ, as in ``invariance_example``.

    Returns:
        The best input that was found, and a bound that holds even where the search did not finish.

    Raises:
        InputError: something does not fit, x lies outside of the domain, or the domain is not bounded.
        ModelError: the layer lies behind a smooth activation.
    """
    max_nodes = as_count(max_nodes, "max_nodes", 0)
    seconds = None if seconds is None else as_number(seconds, "seconds", above=0.0)
    asked = problem(network, x, target, layer, domain, objective=objective, arithmetic=arithmetic, within=within)
    box, start = box_of(asked.polyhedron), asked.source
    if asked.features.widths.any():
        start = optimal_over_regions(
            network, x, target, layer, domain, objective=objective, arithmetic=arithmetic, max_nodes=max_nodes,
            seconds=seconds,
        ).x.ravel()  # fmt: skip
    with one_thread():
        choice = milp_encoding(asked, tightened(asked, interval_bounds(asked, {INPUT: box})))
        answer = _solved(choice, choice.at(asked, start), max_nodes, seconds)
        point = _landed(asked, choice, answer.values, start)
    value, status = asked.value(point), answer.status
    bound = answer.bound if np.isfinite(answer.bound) else _largest(asked, box)
    size = float(np.abs(asked.objective) @ (box.high - box.low))
    if status is Ended.OPTIMAL and bound - value > MISSED * size:
        status = Ended.UNSETTLED
    return Optimum(
        network=network,
        stage=asked.features.stage,
        source=asked.source.reshape(network.input_shape),
        x=point.reshape(network.input_shape),
        domain=domain,
        within=asked.within,
        value=value,
        bound=max(bound, value),
        status=status,
        nodes=answer.nodes,
        binaries=int(choice.integral.sum()),
        units=len(choice.choices),
    )


class _Answer(NamedTuple):
    """What HiGHS says; the values are those of the source if it says nothing better."""

    status: Ended
    values: FloatArray
    bound: float
    nodes: int


def _solved(choice: MilpEncoding, start: FloatArray, max_nodes: int, seconds: float | None) -> _Answer:
    options = {
        "mip_rel_gap": RELATIVE_GAP,
        "mip_abs_gap": RELATIVE_GAP,
        "mip_max_nodes": max_nodes,
        "mip_feasibility_tolerance": TOLERANCE,
        "primal_feasibility_tolerance": TOLERANCE,
    }
    solver = Solver(replace(choice.program, integral=choice.integral), options)
    solver.begin_at(start)
    ended = solver.run(seconds)
    status = {Status.OPTIMAL: Ended.OPTIMAL, Status.NODES: Ended.NODES, Status.TIME: Ended.TIME}.get(
        ended, Ended.FAILED
    )
    if status is Ended.FAILED:
        return _Answer(status, start, np.inf, solver.nodes)
    # without a binary the program is a linear one, and HiGHS gives no bound of its own
    known = choice.integral.any() or ended is Status.OPTIMAL
    bound = (solver.bound if choice.integral.any() else solver.value) if known else np.inf
    return _Answer(status, solver.point if solver.feasible else start, bound, solver.nodes)


def _landed(asked: Problem, choice: MilpEncoding, values: FloatArray, start: FloatArray) -> FloatArray:
    """The optimum of the region that was chosen; the start if the solver's region holds nothing better."""
    domain = asked.polyhedron
    program = asked.program(choice.pieces(values), np.clip(values[: len(asked.source)], domain.low, domain.high))
    found = program.maximize(asked.objective)
    landed = vertex(program, found, asked.objective) if found.optimal else None
    if landed is None or asked.value(landed.x) < asked.value(start):
        return start
    return landed.x


def _largest(asked: Problem, box: Interval) -> float:
    c = asked.objective
    return float(np.where(c > 0, c * box.high, c * box.low).sum())


__all__ = ["Ended", "Optimum", "optimal_over_regions"]
