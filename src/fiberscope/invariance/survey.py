"""How far invariance reaches in a network: layer by layer, at many samples, towards other samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
from jaxtyping import Float64, Int64

from fiberscope.errors import InputError, ModelError
from fiberscope.invariance.feasible_steps import FeasibleSteps, row_units
from fiberscope.invariance.feature_bands import Within, checked_allowance
from fiberscope.invariance.feature_projection import held_rows
from fiberscope.invariance.feature_region import FeatureRegion, RegionRows, feature_region, features_at, pieces_at
from fiberscope.invariance.independent_rows import independent_rows
from fiberscope.invariance.interior import interior
from fiberscope.invariance.pairs import checked_labels, targets_of
from fiberscope.invariance.reach_bound import largest_gains
from fiberscope.invariance.reach_curve import furthest, reach_curve
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.invariance.surveyed import SurveyedSample
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Domain, Polyhedron, as_polyhedron
from fiberscope.network.network import Network, check_network
from fiberscope.network.rows import sparse
from fiberscope.network.sparse_rows import below
from fiberscope.scalars import as_count, as_number, as_position, as_several

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

pa: Any = pyarrow  # has no types

ROOM = 1e-9
"""The room that a row of size one must have somewhere to count as no equation; far above rounding."""

SCHEMA: Any = pa.schema(
    [
        pa.field("layer", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("sample", pa.int64(), nullable=False),
        pa.field("class", pa.int64()),
        pa.field("eps", pa.float64()),
        pa.field("positives", pa.int64(), nullable=False),
        pa.field("dimension", pa.int64()),
        pa.field("target", pa.int64(), nullable=False),
        pa.field("target_class", pa.int64()),
        pa.field("reached", pa.float64(), nullable=False),
        pa.field("bound", pa.float64(), nullable=False),
        pa.field("width", pa.float64()),
    ]
)


def invariance_survey(  # pyright: ignore[reportUnknownParameterType] - pyarrow has no types
    network: Network,
    X: Tensor | ArrayLike,
    y: ArrayLike | None = None,
    *,
    layers: Sequence[int] | None = None,
    domain: Domain | None = None,
    targets: int = 9,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    within: Within = 0.0,
    eps: Sequence[float] | None = None,
) -> pyarrow.Table:
    """How large the set of inputs with the features of a sample is, within its activation region, layer by layer.

    With several ``eps`` it is a curve of reach against eps: features may then differ by eps times the largest feature
    of the sample at the layer, and what is reached at one eps is never less than at a smaller one.

    Args:
        network: the network.
        X: (N, *input_shape) samples.
        y: (N,) classes; targets are then of other classes than the sample.
        layers: positions of ReLU layers; None for all.
        domain: where inputs lie; None for all of R^n.
        targets: how many other samples to go towards from each, at random.
        seed: of the choice.
        progress: told how many of all pairs of layer and sample are done.
        within: by how much every feature may differ, as in ``invariance_example``.
        eps: the same, relative to the largest absolute feature of the sample at the layer: numbers of at least 0, with
            rows for each; not together with ``within``.

    Returns:
        A table of pyarrow with a row per layer, sample x, eps and target c: layer, name, sample, class, eps (null for
        a ``within`` other than 0), positives; the dimension of the set, as floating point sees it; target,
        target_class; ``reached``, the largest ``<c - x, x' - x> / |c - x|^2`` over all x' of the region with the same
        features: 1 is as far as the target; ``bound``, what no input of the domain with these features exceeds, in
        whatever region it lies (that of the domain alone behind more than 12 units); ``width``, the extent of the set
        along ``c - x``. Dimension and width are null at an eps other than 0. NaN where no linear program answered.

    Raises:
        InputError: samples, classes, layers or domain do not fit, or eps has a negative number or comes with within.
        ModelError: a layer lies behind a smooth activation, or there is no layer to judge.
    """
    check_network(network)
    if not network.placed_layers:
        raise ModelError(network.nothing_to_judge())
    samples = network.flat(X)
    labels = checked_labels(y, len(samples))
    count = len(network.placed_layers)
    given = range(count) if layers is None else as_several(layers, "layers")
    chosen = [as_position(layer, count, "layers") for layer in given]
    targets, seed = as_count(targets, "targets", 0), as_count(seed, "seed", 0)
    polyhedron = as_polyhedron(domain, network.inputs)
    everything = range(len(samples))
    surveyed = [surveyed_sample(samples.__getitem__, labels, i, len(samples), targets, seed) for i in everything]
    sizes = _checked_eps(eps, within)
    rows: list[dict[str, Any]] = []
    for done, (layer, sample) in enumerate(((layer, sample) for layer in chosen for sample in surveyed), start=1):
        if sizes is None:
            rows += survey_rows(network, layer, sample, polyhedron, within)
        else:
            rows += survey_curve(network, layer, sample, polyhedron, sizes)
        if progress is not None:
            progress(done, len(chosen) * len(samples))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _checked_eps(eps: Sequence[float] | None, within: Within) -> tuple[float, ...] | None:
    """The sizes in ascending order, each once; None for those of ``within``."""
    if eps is None:
        return None
    if isinstance(within, str) or np.any(np.asarray(within) != 0):
        raise InputError("eps", expected="no within= beside it", got="both", hint="pass one of them")
    return tuple(sorted({as_number(each, "eps", least=0.0, below=np.inf) for each in as_several(eps, "eps")}))


def surveyed_sample(
    at: Callable[[list[int]], Float64[FloatArray, "k n"]],
    labels: Int64[IntArray, " N"] | None,
    number: int,
    count: int,
    targets: int,
    seed: int,
) -> SurveyedSample:
    """One of so many samples, with targets that depend on its position and the seed alone; ``at`` gives samples."""
    chosen = targets_of(number, count, labels, targets, np.random.default_rng([seed, number]))
    known = [None if labels is None else int(labels[i]) for i in (number, *chosen)]
    x, *goals = at([number, *chosen])
    return SurveyedSample(number, known[0], x, tuple(chosen), tuple(known[1:]), np.array(goals).reshape(-1, len(x)))


def survey_curve(
    network: Network,
    layer: int,
    sample: SurveyedSample,
    domain: Polyhedron,
    sizes: Sequence[float],
    targets: int | None = None,
) -> list[dict[str, Any]]:
    """The rows of ``invariance_survey`` at one layer and sample, for each of some eps in ascending order.

    At an eps other than 0, only the first so many targets are gone to; None for all.

    Raises:
        ModelError: the layer lies behind a smooth activation.
    """
    stage, x, few = network.placed_layers[layer].stage, sample.x, sample.towards(targets)
    rows = survey_rows(network, layer, sample, domain) if 0.0 in sizes else []
    largest = float(np.abs(network.evaluated(x[None], stage)[0]).max(initial=0.0))
    loose: dict[float | None, float | FloatArray] = {eps: eps * largest for eps in sizes if eps > 0}
    if loose:
        rows += _loose_rows(network, layer, few, domain, loose)
    _never_less(rows)
    return rows


def precise_rows(
    network: Network,
    layer: int,
    sample: SurveyedSample,
    domain: Polyhedron,
    within: Within,
    exact: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """The rows at one layer and sample where features may differ by a precision, without an eps.

    None where that allows nothing. The numbers of the rows at eps 0 are put in order with them.

    Raises:
        InputError: this is nothing that features of the layer may differ by.
        ModelError: the layer lies behind a smooth activation.
    """
    allowed = checked_allowance(network, network.placed_layers[layer].stage, sample.x, within)
    if not np.any(allowed):
        return []
    rows = _loose_rows(network, layer, sample, domain, {None: allowed})
    _never_less([*exact, *rows])
    return rows


def _never_less(rows: Sequence[dict[str, Any]]) -> None:
    """Put the numbers of every target in order."""
    curves: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        curves.setdefault(row["target"], []).append(row)
    for curve in curves.values():
        _in_order(curve)


def _in_order(curve: Sequence[dict[str, Any]]) -> None:
    """Make numbers of one target never fall with eps.

    Sets of larger eps contain those of smaller ones. So what is reached at one eps is reached at the next, where its
    linear program may miss it by its tolerance; and what is no more than a bound at one eps is none at one before.
    """
    for smaller, larger in pairwise(curve):
        larger["reached"] = float(np.fmax(larger["reached"], smaller["reached"]))
        larger["bound"] = float(np.fmax(larger["bound"], larger["reached"]))
    for larger, smaller in pairwise(reversed(curve)):
        smaller["bound"] = float(np.fmin(smaller["bound"], larger["bound"]))


def _loose_rows(
    network: Network,
    layer: int,
    sample: SurveyedSample,
    domain: Polyhedron,
    allowances: Mapping[float | None, float | Float64[FloatArray, " m"]],
) -> list[dict[str, Any]]:
    """The rows of some eps, each with what features may differ by, in ascending order, without dimension and width."""
    stage, x = network.placed_layers[layer].stage, sample.x
    positives = len(features_at(network, x, stage).fixed)
    directions = [goal - x for goal in sample.goals]
    rows: list[dict[str, Any]] = []
    curve = reach_curve(network, stage, x, domain, directions, list(allowances.values()))
    for (eps, within), ahead in zip(allowances.items(), curve.tolist(), strict=True):
        bounds = largest_gains(network, features_at(network, x, stage, within), x, domain, directions, ahead)
        about = _about(network, layer, sample, eps, positives, None)
        rows += _rows(about, sample, directions, ahead, bounds, None)
    return rows


def survey_rows(
    network: Network, layer: int, sample: SurveyedSample, domain: Polyhedron, within: Within = 0.0
) -> list[dict[str, Any]]:
    """The rows of ``invariance_survey`` at one layer and sample.

    Raises:
        InputError: this is nothing that features may differ by.
        ModelError: the layer lies behind a smooth activation.
    """
    stage, x = network.placed_layers[layer].stage, sample.x
    positives = len(features_at(network, x, stage).fixed)
    features = features_at(network, x, stage, checked_allowance(network, stage, x, within))
    region = feature_region(network, features, pieces_at(network, x, stage))
    rows = region.rows()
    dimension = local_dimension(region, domain, x, rows)
    program = RegionProgram(FeasibleSteps.of(region, domain, x, rows))
    directions = [goal - x for goal in sample.goals]
    ahead = [furthest(program, direction) for direction in directions]
    behind = [furthest(program, -direction) for direction in directions]
    bounds = largest_gains(network, features, x, domain, directions, ahead)
    about = _about(network, layer, sample, None if features.widths.any() else 0.0, positives, dimension)
    return _rows(about, sample, directions, ahead, bounds, behind)


def _about(
    network: Network, layer: int, sample: SurveyedSample, eps: float | None, positives: int, dimension: int | None
) -> dict[str, Any]:
    """What all targets have in common."""
    return {
        "layer": layer,
        "name": network.placed_layers[layer].name,
        "sample": sample.number,
        "class": sample.label,
        "eps": eps,
        "positives": positives,
        "dimension": dimension,
    }


def _rows(
    about: dict[str, Any],
    sample: SurveyedSample,
    directions: Sequence[FloatArray],
    ahead: Sequence[float],
    bounds: Sequence[float],
    behind: Sequence[float] | None,
) -> list[dict[str, Any]]:
    """A row per target, from gains along the directions and, for the width, against them."""
    found: list[dict[str, Any]] = []
    for i, (target, label) in enumerate(zip(sample.targets, sample.target_labels, strict=True)):
        length = float(np.linalg.norm(directions[i]))
        reached, bound = (gain / length**2 if length else 0.0 for gain in (ahead[i], bounds[i]))
        width = None if behind is None else (ahead[i] + behind[i]) / length if length else 0.0
        numbers = {"reached": reached, "bound": bound, "width": width}
        found.append(about | {"target": target, "target_class": label} | numbers)
    return found


def local_dimension(region: FeatureRegion, domain: Polyhedron, x: Float64[FloatArray, " n"], rows: RegionRows) -> int:
    """``n - rank`` of the equations and of the inequalities, bounds of pixels included, that leave no room anywhere."""
    n = domain.dimension
    low, high = np.flatnonzero(domain.low > -np.inf), np.flatnonzero(domain.high < np.inf)
    unit: FloatArray = np.eye(n)
    bounds = Polyhedron(
        np.full(n, -np.inf),
        np.full(n, np.inf),
        below([sparse(-unit[low]), sparse(unit[high]), sparse(domain.G)]),
        np.concatenate([-domain.low[low], domain.high[high], domain.h]),
    )
    feasible = FeasibleSteps.of(region, bounds, x, rows)
    program = RegionProgram(feasible)
    units = row_units(feasible.inequalities(np.arange(len(feasible.sides))), program.columns)
    inside = interior(program, ROOM / np.where(units > 0, units, np.inf))
    return n - len(independent_rows(held_rows(feasible, inside).rows))


__all__ = [
    "SCHEMA",
    "invariance_survey",
    "local_dimension",
    "precise_rows",
    "survey_curve",
    "survey_rows",
    "surveyed_sample",
]
