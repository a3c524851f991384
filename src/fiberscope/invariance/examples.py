"""Invariance examples within the linear region of an input [section 4, appendix A7]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fiberscope.errors import InputError, shown
from fiberscope.invariance.example import InvarianceExample
from fiberscope.invariance.feature_bands import Within, checked_allowance
from fiberscope.invariance.feature_stage import Layer, stage_of
from fiberscope.invariance.objective import Goal, Objective, checked_objective
from fiberscope.invariance.region_optimizer import Answer, Effort, Search, search_region
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.network import Network, check_network
from fiberscope.network.original import Arithmetic, checked_arithmetic
from fiberscope.preimages.linear_program import Status
from fiberscope.preimages.system import check_inside
from fiberscope.scalars import as_count, as_number, as_several
from fiberscope.threads import checked_threads, in_threads, one_thread

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

TOGETHER = 16
"""Targets that share a linear program and its last basis."""


def invariance_example(
    network: Network,
    x: Tensor | ArrayLike,
    target: Tensor | ArrayLike | None = None,
    layer: Layer = 0,
    domain: Domain | None = None,
    *,
    objective: Objective | str = Objective.INNER_PRODUCT,
    keep: ArrayLike | None = None,
    fraction: float = 0.5,
    arithmetic: Arithmetic = "float32",
    max_programs: int | None = None,
    starts: int = 3,
    seed: int = 0,
    within: Within = 0.0,
) -> InvarianceExample:
    """Find another input with the same features as x, the best one of the linear region of x.

    The inputs of the region with the features of x are a polytope: ``E x' = f, G x' <= h`` and the domain. Over it the
    paper maximises ``<c, x'>`` for a target c, ``fiberscope.Objective`` has the variants. Inequalities are held with
    the room that rounding in the model's arithmetic needs, where there is any. With ``within``, every feature may
    differ by so much, ``|F(x')_i - F(x)_i| <= eps_i``, which widens the polytope; what is found is never worse for it.

    Args:
        network: the network.
        x: the source, of the network's input shape or flat.
        target: c, of the same shape; None for the objectives that need none (farthest).
        layer: the number of the ReLU layer whose output counts as the features, negative from the end; or "output" for
            that of the network.
        domain: where inputs lie; None for all of R^n, where most objectives are unbounded.
        objective: what the example is to be best at.
        keep: the pixels that must stay as they are: a mask of the input's shape, or flat numbers.
        fraction: of the smallest change: what share of the way to the target must be gone, in (0, 1].
        arithmetic: what the model computes in: float32 needs more room than float64.
        max_programs: of the farthest input in L-infinity: the most linear programs, None for two per pixel.
        starts: of the farthest input in L1 and L2: the number of ascents.
        seed: of random directions.
        within: eps, by how much every feature may differ: a number of at least 0, one for each, or "float32" for what
            rounding the layer's own sums in float32 may make of its output at x.

    Returns:
        The example. If no other input does better, it is x itself, and says so.

    Raises:
        InputError: wrong shapes, x outside of the domain, a negative ``within``, an unbounded objective (the direction
            is named), or a fraction that no input of the region reaches.
        ModelError: a smooth activation before the layer.
    """
    (example,) = invariance_examples(
        network, x, [target], layer, domain, objective=objective, keep=keep, fraction=fraction, arithmetic=arithmetic,
        max_programs=max_programs, starts=starts, seed=seed, within=within,
    )  # fmt: skip
    return example


def invariance_examples(
    network: Network,
    x: Tensor | ArrayLike,
    targets: Sequence[Tensor | ArrayLike | None],
    layer: Layer = 0,
    domain: Domain | None = None,
    *,
    objective: Objective | str = Objective.INNER_PRODUCT,
    keep: ArrayLike | None = None,
    fraction: float = 0.5,
    arithmetic: Arithmetic = "float32",
    max_programs: int | None = None,
    starts: int = 3,
    seed: int = 0,
    threads: int | None = None,
    within: Within = 0.0,
) -> list[InvarianceExample]:
    """One example for each of many targets of one source; see ``invariance_example``.

    The region and its rows are shared, and among ``TOGETHER`` targets the linear program with its last basis. Which of
    several optima is found may depend on the targets before, but not on the threads.

    Args:
        network: as in ``invariance_example``, like all that is not named here.
        x: the source.
        targets: as many targets c as examples are wanted; None where the objective needs none.
        layer: whose output counts as the features.
        domain: where inputs lie.
        objective: what the examples are to be best at.
        keep: pixels that must stay.
        fraction: of the smallest change.
        arithmetic: what the model computes in.
        max_programs: of the farthest input in L-infinity.
        starts: of the farthest input in L1 and L2.
        seed: of random directions.
        threads: how many linear programs are solved at a time; None for one per core.
        within: by how much every feature may differ.

    Returns:
        The examples, one for each target, in their order.

    Raises:
        InputError, ModelError: as ``invariance_example``.
    """
    check_network(network)
    asked = checked_objective(objective)
    source = network.flat_sample(x)
    wanted = as_several(targets, "targets")
    goals = [None if target is None else network.flat_sample(target, "target") for target in wanted]
    if asked.needs_target and any(goal is None for goal in goals):
        hint = "pass target=, or ask for farthest_l2, say, which needs none"
        raise InputError("target", expected=f"an input, for the objective {str(asked)!r}", got="None", hint=hint)
    fraction = as_number(fraction, "fraction", above=0.0, most=1.0)
    arithmetic = checked_arithmetic(arithmetic)
    stage, kept = stage_of(network, layer), kept_pixels(network, keep)
    allowed = checked_allowance(network, stage, source, within)
    polyhedron = as_polyhedron(domain, network.inputs)
    check_inside(polyhedron, source)
    most = None if max_programs is None else as_count(max_programs, "max_programs")
    effort = Effort(most, as_count(starts, "starts"), as_count(seed, "seed", 0))
    workers = checked_threads(threads)
    groups = [goals[start : start + TOGETHER] for start in range(0, len(goals), TOGETHER)]
    with one_thread():
        search = search_region(network, stage, source, polyhedron, kept, arithmetic, allowed)

        def found(group: list[FloatArray | None]) -> list[InvarianceExample]:
            own = search.afresh() if len(groups) > 1 else search
            bare = [_example(own, stage, asked, goal, fraction, effort, domain, kept) for goal in group]
            return [replace(example, within=allowed) for example in bare]

        return [example for part in in_threads(found, groups, min(workers, len(groups))) for example in part]


def _example(
    search: Search,
    stage: int,
    asked: Objective,
    target: FloatArray | None,
    fraction: float,
    effort: Effort,
    domain: Domain | None,
    kept: IntArray,
) -> InvarianceExample:
    network, source = search.region.network, search.source
    found = search.best(asked, target, fraction, effort)
    _check_status(asked, fraction, found)
    x, is_optimal = found.x, found.is_optimal
    if found.status is not Status.OPTIMAL:
        x, is_optimal, reason = source, False, f"no example was found: {found.status}"
    elif (x == source).all():
        reason = _why_trivial(search, asked, effort, found)
    elif is_optimal:
        reason = ""
    elif asked.goal is Goal.FARTHEST:
        reason = "a local optimum; the bound says how much better another input may be"
    else:
        reason = "it is not proved to be the best; the bound says how much better another input may be"
    value = asked.at(x, source, target)
    # an optimum that meets its bound may pass it by rounding
    bound = max(found.bound, value) if asked.is_maximum else min(found.bound, value)
    shape = network.input_shape
    example = InvarianceExample(
        network=network,
        stage=stage,
        source=source.reshape(shape),
        x=x.reshape(shape),
        domain=domain,
        kept=kept,
        target=None if target is None else target.reshape(shape),
        asked=asked,
        objective=value,
        bound=bound,
        is_optimal=is_optimal,
        fraction=fraction if asked.goal is Goal.SMALLEST_CHANGE else None,
        is_trivial=bool((x == source).all()),
        reason=reason,
    )
    return example if search.exact is not None else _target_itself(example)


def _target_itself(example: InvarianceExample) -> InvarianceExample:
    """The target in place of an input next to it, where it has the features itself, which is proved first.

    Programs keep room for rounding, so that a target on a kink is none of their points.
    """
    if example.asked.goal is not Goal.NEAREST or example.target is None or example.objective == 0.0:
        return example
    itself = replace(example, x=example.target, objective=0.0, bound=0.0, is_optimal=True, reason="", is_trivial=False)
    return itself if itself.feature_units <= 1.0 and itself.verify() else example


def _why_trivial(search: Search, asked: Objective, effort: Effort, found: Answer) -> str:
    if search.is_only_source(effort.seed):
        return "x is the only input of its linear region with these features, up to the tolerance of linear programs"
    if found.room_costs:
        return f"no other input that keeps room for rounding is better at {str(asked)!r} than x itself"
    if found.is_optimal:
        return f"no other input of the linear region is better at {str(asked)!r} than x itself"
    return "no better input was found; the bound says how much better one may be"


def _check_status(asked: Objective, fraction: float, found: Answer) -> None:
    if found.status is Status.UNBOUNDED:
        raise unbounded(f"the objective {str(asked)!r}", found.x)
    if found.status is Status.INFEASIBLE and asked.goal is Goal.SMALLEST_CHANGE:
        raise InputError(
            "fraction",
            expected=f"at most {found.bound:.6g}, which is how far inputs of this region go towards the target",
            got=f"{fraction:g}",
        )


def unbounded(what: str, direction: FloatArray) -> InputError:
    """The error that there is no best input, because a direction leads on for ever."""
    largest = int(np.abs(direction).argmax())
    return InputError(
        "domain",
        expected=f"one that bounds {what}",
        got=f"an unbounded program: along a direction that changes input {largest} most "
        f"({direction[largest]:+.3g}) the features stay the same for ever",
        hint="pass a domain such as Box(0, 1)",
    )


def kept_pixels(network: Network, keep: Any) -> IntArray:
    """The numbers of the pixels to be kept."""
    if keep is None:
        return np.zeros(0, dtype=np.int64)
    expected = f"a mask of shape {network.input_shape}, or numbers from 0 to {network.inputs - 1}"
    try:
        given = np.asarray(keep.detach().cpu() if hasattr(keep, "detach") else keep)
    except ValueError as error:
        raise InputError("keep", expected=expected, got="lists of different lengths") from error
    if given.dtype == np.bool_ and given.shape in (network.input_shape, (network.inputs,)):
        return np.flatnonzero(given)
    numbers = given.reshape(-1)
    whole = numbers.size == 0 or numbers.dtype.kind in "iu"
    if given.dtype == np.bool_ or not whole or (numbers < 0).any() or (numbers >= network.inputs).any():
        raise InputError(
            "keep",
            expected=expected,
            got=shown(numbers.tolist()),
            hint="a mask has as many truth values as the input has numbers",
        )
    return np.unique(numbers.astype(np.int64))


__all__ = ["invariance_example", "invariance_examples", "kept_pixels", "unbounded"]
