"""How far invariance reaches from one sample, layer by layer: where that can be said, and elsewhere why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow

from fiberscope.audit.plan import Plan, SurveyChunk
from fiberscope.audit.shards import SURVEY_SCHEMA
from fiberscope.audit.subject import Subject
from fiberscope.audit.task import SurveyTask
from fiberscope.errors import ModelError
from fiberscope.invariance.pairs import checked_labels
from fiberscope.invariance.survey import survey_rows, surveyed_sample
from fiberscope.network.domains import Box, written_out
from fiberscope.network.network import Network
from fiberscope.threads import one_thread

pa: Any = pyarrow  # has no types

TARGETS = 9
"""Samples to go towards from each: one of every other class, where there are ten."""

ExecuteSurvey = Callable[[Iterable[SurveyTask]], Iterable[tuple[SurveyTask, Any]]]
"""Surveys samples, here or elsewhere, and gives tasks back with their tables in any order."""


def survey_tasks(subject: Subject, plan: Plan, chunks: Iterable[SurveyChunk]) -> Iterator[SurveyTask]:
    """What is to be computed at some samples.

    Targets are found among all samples of the audit: of other classes, unless all are of one.
    """
    assert plan.box is not None, "a survey has a box"
    samples, labels = subject.network.flat(subject.x), checked_labels(subject.y, subject.samples)
    if labels is not None and len(np.unique(labels)) == 1:
        labels = None
    for chunk in chunks:
        sample = surveyed_sample(samples, labels, chunk.sample, TARGETS, seed=0)
        yield SurveyTask(chunk, sample, plan.layers, plan.box)


def survey_here(network: Network) -> ExecuteSurvey:
    """Survey in this process, one sample after the other."""

    def execute(tasks: Iterable[SurveyTask]) -> Iterator[tuple[SurveyTask, Any]]:
        for task in tasks:
            yield task, survey_at(network, task)

    return execute


def survey_at(network: Network, task: SurveyTask) -> Any:
    """A table of ``SURVEY_SCHEMA`` with a row per layer and target. Of a layer that is left out, it has the reason."""
    number = task.sample.number
    domain = written_out(Box(*task.box), network.inputs)
    rows: list[dict[str, Any]] = []
    with one_thread():
        for layer in task.layers:
            left_out = {"layer": layer, "name": network.placed_layers[layer].name, "sample": number}
            if not task.sample.targets:
                rows.append(left_out | {"reason": "there is no other sample to go towards"})
                continue
            try:
                rows += [row | {"reason": ""} for row in survey_rows(network, layer, task.sample, domain)]
            except ModelError as error:
                rows.append(left_out | {"reason": str(error)})
    return pa.Table.from_pylist(rows, schema=SURVEY_SCHEMA)


__all__ = ["TARGETS", "ExecuteSurvey", "survey_at", "survey_here", "survey_tasks"]
