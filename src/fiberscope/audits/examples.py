"""Invariance examples of a network and its data: which pairs, what was found, and whether it was verified."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, TypedDict

import numpy as np
from jaxtyping import Float64

from fiberscope.audits.accuracy import fit_of
from fiberscope.audits.example_store import ExampleFacts, StoredExample
from fiberscope.audits.subject import Subject
from fiberscope.errors import InputError
from fiberscope.invariance.example import InvarianceExample
from fiberscope.invariance.examples import invariance_examples
from fiberscope.invariance.feature_stage import stage_of
from fiberscope.invariance.mixed_integer import Optimum, optimal_over_regions
from fiberscope.invariance.objective import Objective
from fiberscope.invariance.pairs import Pair, checked_labels, pairs_of_few_positives, targets_of
from fiberscope.invariance.region_search import MAX_REGIONS
from fiberscope.invariance.rounding_bound import rounding_bound
from fiberscope.invariance.same_features import Connected
from fiberscope.invariance.walk import Walk, walk_regions
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Box
from fiberscope.network.network import Network
from fiberscope.network.original import Arithmetic

SOURCES, TARGETS = 10, 3
"""Where no samples are named: the samples with the fewest positive outputs, and targets for each, to choose from."""

MOST_NODES = 20_000
"""Of a mixed-integer program, after which it gives up: minutes for a network of some hundred units."""

LOOKED_AT = 256
"""Samples that tell whether the data are such as the network was made for."""

SAME = 1e-6
"""Objectives that differ by less, relative to their size, count as equal: the solver's tolerance."""


class _Options(TypedDict):
    objective: Objective
    arithmetic: Arithmetic
    within: float | str


@dataclass(frozen=True)
class ExampleRequest:
    """What examples are asked for.

    Attributes:
        layer: the ReLU layer by position, or "output".
        source: the position of the sample; None to choose among those with the fewest positive outputs.
        target: that of the target; None to choose among samples of other classes.
        domain: bounds of every input.
        objective: what is sought.
        regions: how many activation regions the search may go through; 1 is that of the sample. With "all", a
            mixed-integer program says how good an input can be in any of them: for small networks.
        count: how many examples, those with the largest change.
        seed: of what is chosen at random.
        within: by how much every feature may differ: a number, or "float32"; see ``invariance_example``.
    """

    layer: int | Literal["output"] = 0
    source: int | None = None
    target: int | None = None
    domain: tuple[float, float] = (0.0, 1.0)
    objective: Objective = Objective.INNER_PRODUCT
    regions: int | Literal["all"] = 1
    count: int = 1
    seed: int = 0
    within: float | str = 0.0


@dataclass(frozen=True, eq=False)
class _Found:
    """An example before it is verified."""

    pair: Pair
    result: InvarianceExample | Walk | Optimum
    bound: float
    seconds: float


def make_examples(
    subject: Subject, wanted: ExampleRequest, progress: Callable[[int, int], None] | None = None
) -> list[StoredExample]:
    """Look for examples, keep those with the largest change, and verify them.

    Args:
        subject: the network and the samples.
        wanted: what is asked for.
        progress: told how many of all pairs are done.

    Raises:
        InputError: no such samples or layer, a sample outside of the domain, or an unbounded objective.
    """
    pairs = _pairs(subject, wanted)
    found: list[_Found] = []
    for result in _searched(subject, wanted, pairs):
        found.append(result)
        if progress is not None:
            progress(len(found), len(pairs))
    found.sort(key=lambda each: -each.result.distance)
    digest, fit = subject.network.digest(), fit_of(subject, LOOKED_AT)
    return [_stored(subject, wanted, each, digest, fit.warnings) for each in found[: wanted.count]]


def furthest_pairs(survey: Any) -> dict[int, Pair]:
    """Of every layer of a survey, the pair in which inputs with exactly the same features go furthest to the target.

    Args:
        survey: a table of ``SURVEY_SCHEMA``.
    """
    best: dict[int, dict[str, Any]] = {}
    for row in survey.to_pylist():
        if row["eps"] == 0.0 and row["reached"] > max(0.0, best.get(row["layer"], {"reached": 0.0})["reached"]):
            best[row["layer"]] = row
    return {layer: Pair(row["sample"], row["target"]) for layer, row in sorted(best.items())}


def _pairs(subject: Subject, wanted: ExampleRequest) -> list[Pair]:
    count, labels = subject.samples, checked_labels(subject.y, subject.samples)
    for name, number in (("source", wanted.source), ("target", wanted.target)):
        if number is not None and not 0 <= number < count:
            raise InputError(f"--{name}", expected=f"a sample from 0 to {count - 1}", got=str(number))
    if wanted.source is None and wanted.target is not None:
        raise InputError("--source", expected="a sample, because --target names one", got="none")
    if wanted.source is None:
        stage = stage_of(subject.network, wanted.layer)
        return pairs_of_few_positives(
            subject.network, subject.x, subject.y, stage, SOURCES, targets=TARGETS, seed=wanted.seed
        )
    if wanted.target is not None:
        return [Pair(wanted.source, wanted.target)]
    generator = np.random.default_rng(wanted.seed)
    goals = targets_of(wanted.source, count, labels, max(TARGETS, wanted.count), generator)
    if not goals:
        raise InputError("--target", expected="a sample of another class", got="none in the data")
    return [Pair(wanted.source, goal) for goal in goals]


def _searched(subject: Subject, wanted: ExampleRequest, pairs: list[Pair]) -> Iterator[_Found]:
    samples = subject.network.flat(subject.x)
    for source, group in groupby(pairs, key=lambda pair: pair.source):
        of_source = list(group)
        if wanted.regions == 1:
            yield from _in_one_region(subject.network, wanted, samples, source, of_source)
            continue
        for pair in of_source:
            yield _across_regions(subject.network, wanted, samples[source], samples[pair.target], pair)


def _in_one_region(
    network: Network, wanted: ExampleRequest, samples: Float64[FloatArray, "N n"], source: int, pairs: list[Pair]
) -> Iterator[_Found]:
    began = time.perf_counter()
    goals = [samples[pair.target] for pair in pairs]
    results = invariance_examples(
        network, samples[source], goals, wanted.layer, Box(*wanted.domain), objective=wanted.objective,
        seed=wanted.seed, within=wanted.within,
    )  # fmt: skip
    seconds = (time.perf_counter() - began) / len(pairs)
    yield from (_Found(pair, result, result.bound, seconds) for pair, result in zip(pairs, results, strict=True))


def _across_regions(
    network: Network, wanted: ExampleRequest, x: Float64[FloatArray, " n"], goal: Float64[FloatArray, " n"], pair: Pair
) -> _Found:
    """What a walk finds; with all regions, the optimum, and the walk to it if that gets there."""
    began = time.perf_counter()
    asked = (network, x, goal, wanted.layer, Box(*wanted.domain))
    options: _Options = {"objective": wanted.objective, "arithmetic": "float32", "within": wanted.within}
    most = MAX_REGIONS if wanted.regions == "all" else wanted.regions
    walk = walk_regions(*asked, max_regions=most, **options)
    if wanted.regions != "all":
        return _Found(pair, walk, np.inf, time.perf_counter() - began)
    best = optimal_over_regions(*asked, max_nodes=MOST_NODES, **options)
    further = best.value > walk.value + SAME * max(1.0, abs(best.value))
    return _Found(pair, best if further else walk, best.bound, time.perf_counter() - began)


def _stored(
    subject: Subject, wanted: ExampleRequest, found: _Found, digest: str, warnings: tuple[str, ...]
) -> StoredExample:
    network, result = subject.network, found.result
    target = network.flat(subject.x[found.pair.target][None])[0].reshape(network.input_shape)
    stage = stage_of(network, wanted.layer)
    names = {placed.stage: placed.name for placed in network.placed_layers}
    agrees, proved, words = _verified(result)
    original, original_units = in_the_original(network, stage, result.corners)
    facts = ExampleFacts(
        model=subject.model_name,
        model_digest=digest,
        data=subject.data_name,
        layer=str(wanted.layer),
        layer_name=names.get(stage, network.stages[stage].name),
        source=found.pair.source,
        target=found.pair.target,
        source_class=subject.class_of(found.pair.source),
        target_class=subject.class_of(found.pair.target),
        low=wanted.domain[0],
        high=wanted.domain[1],
        objective=str(wanted.objective).replace("_", " "),
        value=result.objective if isinstance(result, InvarianceExample) else result.value,
        bound=found.bound,
        bound_over="" if np.isinf(found.bound) else "any region" if wanted.regions == "all" else "the region",
        reached=reached(result.source, target, result.x),
        distance=result.distance,
        pixels_changed=result.pixels_changed,
        residual=result.feature_residual,
        units=result.feature_units,
        original=original,
        original_units=original_units,
        agrees=agrees,
        proved=proved,
        verification=words,
        within=wanted.within if isinstance(wanted.within, str) else repr(wanted.within) if wanted.within else "0",
        regions=len(result.route) if isinstance(result, Walk) else 1,
        connected=isinstance(result, Connected),
        seconds=found.seconds,
        warnings=warnings,
    )
    shape = subject.x.shape[1:]  # the network may take pictures flat
    corners, within = result.corners.reshape(-1, *shape), np.asarray(result.within, dtype=np.float64)
    return StoredExample(facts, result.source.reshape(shape), target.reshape(shape), corners, within)


def _verified(result: InvarianceExample | Walk | Optimum) -> tuple[bool, bool, str]:
    """Whether features agree up to rounding, whether that is proved, and what is to be said."""
    verification = result.verify()
    agrees = verification.proved or not result.compare().failure
    where = "on the whole way" if isinstance(result, Connected) else "at the example"
    same = "features that differ by no more than is allowed" if np.any(result.within) else "the same features"
    return agrees, verification.proved, verification.reason or f"the original model gives {same} {where}"


def in_the_original(network: Network, stage: int, corners: Float64[FloatArray, "k n"]) -> tuple[str, float]:
    """What ran the original, and the largest difference of its features, relative to what its rounding explains."""
    origin = network.stages[stage].origin
    for original in network.originals:
        found = original.run(corners.reshape(-1, *network.input_shape))
        if origin in found:
            theirs = np.asarray(found[origin], dtype=np.float64).reshape(len(corners), -1)
            _, allowed = rounding_bound(network, corners, stage, original.arithmetic)
            share = np.abs(theirs - theirs[0]) / (allowed + allowed[0])
            return f"{original.name}, in {original.arithmetic}", float(share.max(initial=0.0))
    return "", 0.0


def reached(source: FloatArray, target: FloatArray, x: FloatArray) -> float:
    """``<c - x, x' - x> / |c - x|^2``: how far x' is on the way from x to c."""
    way = (target - source).ravel()
    square = float(way @ way)
    return float(way @ (x - source).ravel()) / square if square else 0.0


__all__ = ["SOURCES", "TARGETS", "ExampleRequest", "furthest_pairs", "in_the_original", "make_examples", "reached"]
