"""The checker before this one is an independent witness: both prove what deciding finds, and neither anything else.

The old checker reads candidates, as deciding finds them; this one the certificates that they are written down as.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import fiberscope as fs
import old_checker
from cases import CASES, Case
from fiberscope.network.domains import as_polyhedron
from fiberscope.preimages import decide
from fiberscope.preimages.candidate import Candidate
from fiberscope.preimages.system import MixedSystem
from random_layers import random_layers


@pytest.fixture
def candidates(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[Any, Candidate]]:
    """What each certificate was written from; with the certificate, so that no other one takes its place."""
    found: dict[int, tuple[Any, Candidate]] = {}
    elaborate = decide.elaborate

    def recorded(question: fs.Preimage, candidate: Candidate, system: MixedSystem) -> Any:
        certificate = elaborate(question, candidate, system)
        found[id(certificate)] = certificate, candidate
        return certificate

    monkeypatch.setattr(decide, "elaborate", recorded)
    return found


def agreed(p: fs.Preimage, candidate: Candidate, truth: tuple[str, int], statements: bool) -> bool:
    """Both prove no other statement, and this one the truth, also in rational numbers alone; if the old one does."""
    witnessed = True
    asked = {"layer": p.layer, "domain": p.domain, "x": p.x, "y": p.y}
    n = p.layer.inputs
    possible = [
        ("empty", -1),
        ("singleton", 0),
        *((kind, d) for kind in ("bounded", "unbounded") for d in (1, n - 1, n)),
    ]
    for kind, dimension in dict.fromkeys([truth, *possible] if statements else [truth]):
        said: dict[str, Any] = {"kind": fs.Kind(kind), "dimension": dimension}
        before = SimpleNamespace(**asked, **said, certificate=replace(candidate, **said))
        now = replace(p, **said, certificate=replace(p.certificate, **said))
        expected = (kind, dimension) == truth
        for exact in (False, True) if statements else (False,):
            said_before = bool(old_checker.verify(before, exact=exact))
            witnessed &= said_before or not expected
            assert expected or not said_before, (kind, dimension, exact)
            assert bool(fs.verify(now, exact=exact)) == expected, (kind, dimension, exact)
    return witnessed


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_checkers_say_the_same_of_the_table(case: Case, candidates: dict[int, tuple[Any, Candidate]]) -> None:
    p = fs.preimage(fs.ReLULayer(case.weight, case.bias), **case.question)
    witnessed = agreed(p, candidates[id(p.certificate)][1], (case.kind, case.dimension), not case.is_large)
    box = as_polyhedron(p.domain, p.layer.inputs)
    assert witnessed or (box.low == box.high).any(), "rows that see only fixed coordinates are left out today"


@pytest.mark.exhaustive
def test_both_checkers_say_the_same_of_random_layers(candidates: dict[int, tuple[Any, Candidate]]) -> None:
    witnessed = 0
    for case in random_layers(25, seed=77, inputs=4, outputs=8):
        p = fs.preimage(fs.ReLULayer(case.weight, case.bias), **case.question)
        assert p.dimension is not None
        witnessed += agreed(p, candidates[id(p.certificate)][1], (str(p.kind), p.dimension), statements=True)
    assert witnessed >= 22  # multipliers whose signs alone prove it are none to the old checker, which asks for a rank
