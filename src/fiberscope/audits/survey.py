"""How far invariance reaches from one sample, layer by layer: where that can be said, and elsewhere why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow

from fiberscope.audits import shards
from fiberscope.audits.effort import sensible_survey_workers, survey_bytes
from fiberscope.audits.plan import EXACT, REACH_EPS, Plan, SurveyChunk
from fiberscope.audits.shards import SURVEY_SCHEMA
from fiberscope.audits.store import SURVEY
from fiberscope.audits.subject import Subject
from fiberscope.audits.work import Effort
from fiberscope.errors import InputError, ModelError
from fiberscope.invariance.feature_bands import Within
from fiberscope.invariance.pairs import checked_labels
from fiberscope.invariance.survey import precise_rows, survey_curve, surveyed_sample
from fiberscope.invariance.surveyed import SurveyedSample
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Box, as_polyhedron
from fiberscope.network.network import Network

pa: Any = pyarrow  # has no types

TARGETS = 9
"""Samples to go towards from each: one of every other class, where there are ten."""

LOOSE_TARGETS = 3
"""Of these, to how many it is gone where features may differ: a curve costs about as much as all targets at eps 0."""


@dataclass(frozen=True, eq=False)
class SurveyTask:
    """A sample from which it is to be computed how far invariance reaches.

    Attributes:
        chunk: which sample.
        sample: it, and what to go towards.
        layers: positions of the ReLU layers.
        box: bounds of every input.
        within: a precision at which it is computed as well, of every layer; empty for none.
    """

    chunk: SurveyChunk
    sample: SurveyedSample
    layers: tuple[int, ...]
    box: tuple[float, float]
    within: tuple[Within, ...] = ()


class Survey:
    """The kind of work that computes how far invariance reaches; see ``Work``."""

    name = "surveys of invariance"

    def chunks(self, plan: Plan) -> Iterator[SurveyChunk]:
        """All samples that it is asked of."""
        return plan.survey_chunks()

    def effort(self, network: Network, plan: Plan) -> Effort:
        """Processes where many linear programs are to be solved."""
        return Effort(processes=sensible_survey_workers(plan), memory=survey_bytes(network, plan))

    def task(self, subject: Subject, plan: Plan, chunk: SurveyChunk) -> SurveyTask:
        """The sample and its targets, found among all samples: of other classes, unless all are of one."""
        assert plan.box is not None, "a survey has a box"
        labels = checked_labels(subject.y, subject.samples)
        several = labels is not None and len(np.unique(labels)) > 1

        def at(numbers: list[int]) -> FloatArray:
            return subject.network.flat(subject.x[numbers])

        known = labels if several else None
        sample = surveyed_sample(at, known, chunk.sample, subject.samples, TARGETS, seed=0)
        within = () if plan.precision == EXACT else tuple(map(plan.within, plan.layers))
        return SurveyTask(chunk, sample, plan.layers, plan.box, within)

    def compute(self, network: Network, task: SurveyTask, threads: int) -> Any:
        """All layers, eps and targets, one after the other."""
        del threads  # targets share their work
        return survey_at(network, task)

    def failed(self, network: Network, task: SurveyTask, reason: str) -> Any:
        """Rows without numbers, of every layer."""
        return _table([_left_out(network, task, layer, reason) for layer in task.layers])

    def files(self, task: SurveyTask, result: Any) -> dict[str, bytes]:
        """The table."""
        del task
        return {SURVEY: shards.table_to_bytes(result)}


def survey_at(network: Network, task: SurveyTask) -> Any:
    """A table of ``SURVEY_SCHEMA`` with a row for each layer, eps and target; or the reason why a layer is left out."""
    domain = as_polyhedron(Box(*task.box), network.inputs)
    rows: list[dict[str, Any]] = []
    for layer, within in zip(task.layers, task.within or (0.0,) * len(task.layers), strict=True):
        if not task.sample.targets:
            rows.append(_left_out(network, task, layer, "there is no other sample to go towards"))
            continue
        try:
            curve = survey_curve(network, layer, task.sample, domain, REACH_EPS, LOOSE_TARGETS)
        except ModelError as error:
            rows.append(_left_out(network, task, layer, str(error)))
            continue
        try:
            exact, few = [row for row in curve if row["eps"] == 0.0], task.sample.towards(LOOSE_TARGETS)
            precise = precise_rows(network, layer, few, domain, within, exact)
        except InputError as error:  # a precision may not hold what the layer gives
            precise = [_left_out(network, task, layer, str(error))]
        rows += [{"reason": ""} | row for row in (*curve, *precise)]
    return _table(rows)


def _left_out(network: Network, task: SurveyTask, layer: int, reason: str) -> dict[str, Any]:
    name = network.placed_layers[layer].name
    return {"layer": layer, "name": name, "sample": task.sample.number, "reason": reason}


def _table(rows: list[dict[str, Any]]) -> Any:
    return pa.Table.from_pylist(rows, schema=SURVEY_SCHEMA)


__all__ = ["LOOSE_TARGETS", "TARGETS", "Survey", "survey_at"]
