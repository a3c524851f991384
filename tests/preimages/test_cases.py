"""Every case of the table: the oracles confirm what the table says, and the package answers and proves it."""

from __future__ import annotations

import dataclasses
import json
from functools import cache

import numpy as np
import pytest

import fiberscope as fs
import oracles
from cases import CASES, Case

# A warning from inside is noise that a caller cannot act on; of what a processor's BLAS raises see pyproject.toml.
pytestmark = pytest.mark.filterwarnings("error", "ignore:[a-z ]+ encountered in matmul:RuntimeWarning")


def _name(case: Case) -> str:
    return case.name


EACH_CASE = pytest.mark.parametrize("case", CASES, ids=_name)


def _system(case: Case) -> oracles.System:
    return oracles.mixed_system(case.weight, case.bias, x=case.x, y=case.y, domain=case.domain)


@cache  # every case is decided once
def _preimage(case: Case) -> fs.Preimage:
    return fs.preimage(fs.ReLULayer(case.weight, case.bias), **case.question)


@pytest.mark.skipif(not oracles.cdd_available(), reason="cddexec_gmp (Debian package libcdd-tools) is not installed")
@pytest.mark.parametrize("case", [case for case in CASES if not case.is_large], ids=_name)
def test_the_table_is_right_by_vertices(case: Case) -> None:
    answer = oracles.cdd_answer(_system(case))
    assert (answer.kind, answer.dimension) == (case.kind, case.dimension)


@pytest.mark.exhaustive(every=4)
@pytest.mark.skipif(not oracles.esolver_available(), reason="esolver (Debian package qsopt-ex) is not installed")
@pytest.mark.parametrize("case", [case for case in CASES if not case.wide_range], ids=_name)
def test_the_table_is_right_by_exact_linear_programming(case: Case) -> None:
    answer = oracles.esolver_answer(_system(case))
    assert (answer.kind, answer.dimension) == (case.kind, case.dimension)


def test_the_table_holds_every_kind_and_no_name_twice() -> None:
    assert {case.kind for case in CASES} == {"empty", "singleton", "bounded", "unbounded"}
    assert not any(case.is_large and case.wide_range for case in CASES), "one oracle at least confirms each"
    assert len({case.name for case in CASES}) == len(CASES) >= 60


@EACH_CASE
def test_kind_and_dimension(case: Case) -> None:
    p = _preimage(case)
    assert (str(p.kind), p.dimension) == (case.kind, case.dimension), case.why
    assert isinstance(p.kind, fs.Kind)
    assert p.certificate.kind == p.kind
    assert p.certificate.dimension == p.dimension


@EACH_CASE
def test_margin_is_a_share_and_empty_says_why(case: Case) -> None:
    p = _preimage(case)
    assert 0 <= p.margin <= 1
    if case.kind == "empty":
        assert p.reason


@EACH_CASE
def test_verify_proves_it(case: Case) -> None:
    verification = fs.verify(_preimage(case))
    assert verification, verification.reason
    assert verification.proved is True
    assert verification.method in ("float", "exact")


@pytest.mark.exhaustive(every=4)
@EACH_CASE
def test_rational_arithmetic_proves_it(case: Case) -> None:
    verification = fs.verify(_preimage(case), exact=True)
    assert verification, verification.reason
    assert verification.method == "exact"


@EACH_CASE
def test_certificate_survives_serialisation(case: Case) -> None:
    p = _preimage(case)
    data = p.certificate.to_bytes()
    restored = dataclasses.replace(p, certificate=fs.Certificate.from_bytes(data))
    assert restored.certificate.to_bytes() == data
    assert fs.verify(restored)
    assert fs.verify(restored, exact=True)


@EACH_CASE
def test_certificate_arrays_and_json(case: Case) -> None:
    p = _preimage(case)
    metadata, arrays = p.certificate.to_arrays()
    restored = fs.Certificate.from_arrays(json.loads(json.dumps(metadata)), arrays)
    assert restored.to_bytes() == p.certificate.to_bytes()
    assert (restored.kind, restored.dimension) == (case.kind, case.dimension)


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("case", [case for case in CASES if case.x is not None], ids=_name)
def test_classify_gives_the_same_answer(case: Case) -> None:
    layer = fs.ReLULayer(case.weight, case.bias)
    X = np.stack([case.x, case.x])
    c = fs.classify(layer, X, domain=case.domain)
    assert list(c.kind) == [case.kind] * 2
    assert list(c.dimension) == [case.dimension] * 2
    positives = sum(v > 0 for v in oracles.exact_output(case.weight, case.bias, case.x))
    assert list(c.positives) == [positives] * 2
    assert c.verify().all()
    assert str(c[1].kind) == case.kind
    assert fs.verify(c[1], exact=True)


@pytest.mark.parametrize("scale", [1.0, -1.0])
def test_y_of_an_input_is_never_claimed_to_hold_it_inexactly(scale: float) -> None:
    """Five float products of three unknowns: the exact answer to ``y=`` is empty, and the reason gives the distance."""
    generator = np.random.default_rng(3)
    weight = generator.normal(size=(5, 3)) * scale
    layer = fs.ReLULayer(weight, np.full(5, 10.0))
    y = layer(generator.normal(size=3))
    truth = oracles.esolver_answer(oracles.mixed_system(weight, layer.bias, y=y))
    p = fs.preimage(layer, y=y)
    assert (str(p.kind), p.dimension) == (truth.kind, truth.dimension) == ("empty", -1)
    assert "away" in p.reason
