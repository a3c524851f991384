"""How far invariance reaches in a network: layer by layer, at many samples, towards other samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
from jaxtyping import Float64, Int64

from fiberscope.errors import ModelError
from fiberscope.invariance.feature_bands import Within, checked_allowance
from fiberscope.invariance.feature_projection import held_rows
from fiberscope.invariance.feature_region import FeatureRegion, RegionRows, feature_region, features_at, pieces_at
from fiberscope.invariance.independent_rows import independent_rows
from fiberscope.invariance.interior import interior
from fiberscope.invariance.pairs import checked_labels, targets_of
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.invariance.region_restriction import Around, row_units
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Domain, Polyhedron, as_polyhedron
from fiberscope.network.network import Network, check_network
from fiberscope.network.rows import sparse
from fiberscope.network.sparse_rows import below
from fiberscope.preimages.linear_program import Status
from fiberscope.scalars import as_count, as_position, as_several

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
        pa.field("positives", pa.int64(), nullable=False),
        pa.field("dimension", pa.int64(), nullable=False),
        pa.field("target", pa.int64(), nullable=False),
        pa.field("target_class", pa.int64()),
        pa.field("reached", pa.float64(), nullable=False),
        pa.field("width", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True, eq=False)
class SurveyedSample:
    """A sample x, and the samples to go towards from it.

    Attributes:
        number: the position of x in the data.
        label: its class; None if it is not known.
        x: (n,).
        targets: the positions of the targets.
        target_labels: their classes; None where they are not known.
        goals: (k, n) the targets.
    """

    number: int
    label: int | None
    x: Float64[FloatArray, " n"]
    targets: tuple[int, ...]
    target_labels: tuple[int | None, ...]
    goals: Float64[FloatArray, "k n"]


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
) -> pyarrow.Table:
    """How large the set of inputs with the features of a sample is, within its activation region, layer by layer.

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

    Returns:
        A table of pyarrow with a row per layer, sample x and target c: layer, name, sample, class, positives; the
        dimension of the set, as floating point sees it; target, target_class; ``reached``, the largest
        ``<c - x, x' - x> / |c - x|^2`` over all x' with the same features: 1 is as far as the target; ``width``, the
        extent of the set along ``c - x``. NaN where no linear program answered.

    Raises:
        InputError: samples, classes, layers or domain do not fit.
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
    rows: list[dict[str, Any]] = []
    for done, (layer, sample) in enumerate(((layer, sample) for layer in chosen for sample in surveyed), start=1):
        rows += survey_rows(network, layer, sample, polyhedron, within)
        if progress is not None:
            progress(done, len(chosen) * len(samples))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


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


def survey_rows(
    network: Network, layer: int, sample: SurveyedSample, domain: Polyhedron, within: Within = 0.0
) -> list[dict[str, Any]]:
    """The rows of ``invariance_survey`` at one layer and sample.

    Raises:
        InputError: this is nothing that features may differ by.
        ModelError: the layer lies behind a smooth activation.
    """
    placed, x = network.placed_layers[layer], sample.x
    exact = features_at(network, x, placed.stage)
    features = features_at(network, x, placed.stage, checked_allowance(network, placed.stage, x, within))
    region = feature_region(network, features, pieces_at(network, x, placed.stage))
    rows = region.rows()
    about = {
        "layer": layer,
        "name": placed.name,
        "sample": sample.number,
        "class": sample.label,
        "positives": len(exact.fixed),
        "dimension": local_dimension(region, domain, x, rows),
    }
    program = RegionProgram(Around.of(region, domain, x, rows))
    found: list[dict[str, Any]] = []
    for goal, target, label in zip(sample.goals, sample.targets, sample.target_labels, strict=True):
        direction = goal - x
        length = float(np.linalg.norm(direction))
        ahead, behind = (_furthest(program, sign * direction) for sign in (1.0, -1.0))
        reached, width = (ahead / length**2, (ahead + behind) / length) if length else (0.0, 0.0)
        found.append(about | {"target": target, "target_class": label, "reached": reached, "width": width})
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
    around = Around.of(region, bounds, x, rows)
    program = RegionProgram(around)
    units = row_units(around.inequalities(np.arange(len(around.sides))), program.columns)
    inside = interior(program, ROOM / np.where(units > 0, units, np.inf))
    return n - len(independent_rows(held_rows(around, inside).rows))


def _furthest(program: RegionProgram, direction: FloatArray) -> float:
    """The largest ``<c, x' - x>``; infinite where there is none, NaN where HiGHS failed."""
    found = program.maximize(direction)
    if found.status is Status.UNBOUNDED:
        return np.inf
    if not found.optimal:
        return np.nan
    return max(0.0, found.value)


__all__ = ["SCHEMA", "SurveyedSample", "invariance_survey", "local_dimension", "survey_rows", "surveyed_sample"]
