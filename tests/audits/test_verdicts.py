from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

import fiberscope as fs
from fiberscope.audits.findings import certificate_id
from fiberscope.audits.plan import Chunk, NamedDomain, Plan
from fiberscope.audits.subject import Subject
from fiberscope.audits.verdicts import ChunkResult, Task, Verdicts, judge
from small_audits import LAYERS, small_data, small_network


def judged(samples: int, plan: Plan) -> Iterator[tuple[Task, ChunkResult]]:
    """All chunks of a plan, computed here."""
    network, verdicts = small_network(), Verdicts()
    subject = Subject(network, small_data(samples), None, "net", "data", "")
    for chunk in verdicts.chunks(plan):
        task = verdicts.task(subject, plan, chunk)
        yield task, verdicts.compute(network, task, threads=1)


def test_findings_are_those_of_preimage_sample_by_sample() -> None:
    network = small_network()
    plan = Plan(tuple(range(LAYERS)), 12, (0.0, 1.0), blocks=(5,) * LAYERS)
    seen = set()
    for task, result in judged(12, plan):
        layer = network.relu_layers[result.chunk.layer]
        domains = {named.name: named.domain for named in plan.domains(result.chunk.layer)}
        for finding in result.findings:
            seen.add((finding.layer, finding.sample, finding.domain))
            point = task.inputs[finding.sample - result.chunk.start]
            p = fs.preimage(layer, x=point, domain=domains[finding.domain])
            assert (finding.kind, finding.dimension) == (p.kind, p.dimension)
            assert finding.positives == int((layer(point) > 0).sum())
            certificate = fs.Certificate.from_bytes(result.certificates[finding.certificate])
            assert fs.verify(replace(p, certificate=certificate))
    assert seen == {(chunk.layer, sample, domain) for chunk in plan.chunks() for sample, domain, _ in plan.rows(chunk)}


def test_layers_receive_what_the_network_computes() -> None:
    network, x = small_network(), small_data(7)
    for task, _ in judged(7, Plan((0, 1, 2), 7, blocks=(3, 3, 3))):
        chunk = task.chunk
        assert np.array_equal(task.inputs, network.layer_input(chunk.layer, x)[chunk.start : chunk.stop])


def test_an_input_outside_the_domain_is_undecided_with_its_reason() -> None:
    layer = fs.ReLULayer([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    inputs = np.array([[1.0, 2.0], [-1.0, 2.0], [0.0, 1.0]])
    result = judge(layer, Task(Chunk(1, 0, 0, 3), inputs, (NamedDomain("x >= 0", fs.NonNegative()),)))
    inside, outside, border = result.findings
    assert (inside.kind, border.kind) == (fs.Kind.SINGLETON, fs.Kind.SINGLETON)
    assert (outside.kind, outside.dimension, outside.certificate, outside.positives) == (fs.Kind.UNDECIDED, None, "", 2)
    assert "does not lie in x >= 0" in outside.reason
    assert [finding.sample for finding in result.findings] == [0, 1, 2]


def test_every_certificate_has_the_id_of_its_bytes_and_is_named() -> None:
    for _, result in judged(9, Plan((0,), 9, (0.0, 1.0))):
        assert all(certificate_id(data) == identity for identity, data in result.certificates.items())
        assert {finding.certificate for finding in result.findings} == set(result.certificates)
