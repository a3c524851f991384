"""What the features of one layer give away of one sample, at every precision, as a kind of work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fiberscope.audits.archives import archive_to_bytes
from fiberscope.audits.effort import judging_bytes
from fiberscope.audits.leak_claims import claims_of
from fiberscope.audits.leak_store import LEAKS, PROOFS, rows_to_bytes
from fiberscope.audits.plan import LeakChunk, Plan
from fiberscope.audits.subject import Subject
from fiberscope.audits.work import Effort
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Box
from fiberscope.network.network import Network
from fiberscope.recovery.leak import table_of
from fiberscope.recovery.leak_question import LeakAnswer, LeakQuestion


@dataclass(frozen=True, eq=False)
class LeakTask:
    """A layer and a sample.

    Attributes:
        chunk: which.
        question: what is asked.
    """

    chunk: LeakChunk
    question: LeakQuestion


def question_of(plan: Plan, chunk: LeakChunk, x: FloatArray) -> LeakQuestion:
    """What is asked of a layer and a sample, x as the network takes it."""
    assert plan.box is not None, "leakage has a domain"
    step = plan.step(chunk.layer) or None
    return LeakQuestion(chunk.layer, chunk.sample, x, Box(*plan.box), plan.leakage, step, plan.seconds)


class Leakage:
    """The kind of work that asks what features give away; see ``Work``."""

    name = "leakage"

    def chunks(self, plan: Plan) -> Iterator[LeakChunk]:
        """All layers and samples."""
        return plan.leak_chunks()

    def effort(self, network: Network, plan: Plan) -> Effort:
        """One process: what is proved depends on the time, which processes side by side would share."""
        return Effort(1, max(judging_bytes(network, network.placed_layers[layer], 1) for layer in plan.layers))

    def task(self, subject: Subject, plan: Plan, chunk: LeakChunk) -> LeakTask:
        """The sample and what is asked of it."""
        x = subject.network.flat(subject.x[chunk.sample][None]).reshape(subject.network.input_shape)
        return LeakTask(chunk, question_of(plan, chunk, x))

    def compute(self, network: Network, task: LeakTask, threads: int) -> LeakAnswer:
        """All precisions, one after the other."""
        del threads  # one sample is one search
        return task.question.answered(network)

    def failed(self, network: Network, task: LeakTask, reason: str) -> LeakAnswer:
        """Rows that claim nothing."""
        del network
        return LeakAnswer(task.question.unknown(reason))

    def files(self, task: LeakTask, result: LeakAnswer) -> dict[str, bytes]:
        """The proofs, and then the rows that name them."""
        del task
        proofs = archive_to_bytes(claims_of(result))
        return {PROOFS: proofs, LEAKS: rows_to_bytes(table_of(result.rows), proofs)}


__all__ = ["LeakTask", "Leakage", "question_of"]
