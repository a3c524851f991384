from __future__ import annotations

from dataclasses import replace

import numpy as np

import fiberscope as fs
from fiberscope.audit.findings import certificate_id
from fiberscope.audit.plan import Chunk, NamedDomain, Plan
from fiberscope.audit.run import audit, judge
from fiberscope.audit.task import Task
from small_audits import LAYERS, small_data, small_network


def test_findings_are_those_of_preimage_sample_by_sample() -> None:
    network, x = small_network(), small_data(12)
    plan = Plan(tuple(range(LAYERS)), 12, (0.0, 1.0), block=5)
    seen = set()
    for task, result in audit(network, x, plan):
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
    assert seen == {(chunk.layer, sample, domain) for chunk in plan.chunks() for sample, domain in plan.rows(chunk)}


def test_layers_receive_what_the_network_computes() -> None:
    network, x = small_network(), small_data(7)
    for task, _ in audit(network, x, Plan((0, 1, 2), 7, block=3)):
        chunk = task.chunk
        assert np.array_equal(task.inputs, network.layer_input(chunk.layer, x)[chunk.start : chunk.stop])


def test_chunks_that_are_done_are_left_out() -> None:
    plan = Plan((0, 1), 6, block=3)
    done = list(plan.chunks())[1:3]
    results = [result.chunk for _, result in audit(small_network(), small_data(6), plan, done=done)]
    assert results == [chunk for chunk in plan.chunks() if chunk not in done]


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
    for _, result in audit(small_network(), small_data(9), Plan((0,), 9, (0.0, 1.0))):
        assert all(certificate_id(data) == identity for identity, data in result.certificates.items())
        assert {finding.certificate for finding in result.findings} == set(result.certificates)
