"""What is not settled is said, with its reason and margin: a degenerate layer, and no budget for the exact method."""

from __future__ import annotations

import pytest

import fiberscope as fs
from fiberscope.preimages import budget

# All inputs on the line x1 + 2 x2 = -1: every row is tight on it, so that only exact arithmetic can show a point.
DEGENERATE = fs.ReLULayer([[1, 2], [-1, -2], [3, 6]], [1, -1, 3])


@pytest.fixture
def no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """No exact pivots at all."""
    monkeypatch.setattr(budget, "DEFAULT_EXACT_SECONDS", 0.0)


@pytest.mark.usefixtures("no_budget")
def test_undecided_says_why() -> None:
    p = fs.preimage(DEGENERATE, y=[0, 0, 0], domain=fs.HalfSpaces([[1, 2]], [-1]))
    assert p.kind == fs.Kind.UNDECIDED
    assert p.dimension is None
    assert (p.certificate.kind, p.certificate.dimension) == (fs.Kind.UNDECIDED, None)
    assert fs.Certificate.from_bytes(p.certificate.to_bytes()) is not None
    assert 0.0 <= p.margin <= 1.0
    assert "exact pivot" in p.reason


@pytest.mark.usefixtures("no_budget")
def test_undecided_proves_nothing_and_has_no_shape() -> None:
    p = fs.preimage(DEGENERATE, y=[0, 0, 0], domain=fs.HalfSpaces([[1, 2]], [-1]))
    assert "undecided: nothing is claimed" in fs.verify(p).reason
    assert not fs.verify(p, exact=True)
    for ask in (p.point, p.bounding_box, p.chebyshev_center, lambda: p.width([1, 0]), lambda: p.sample(1, 0)):
        with pytest.raises(fs.InputError, match="undecided"):
            ask()
    with pytest.raises(fs.NotASingleton):
        p.recover()


def test_the_same_question_is_settled_with_the_budget() -> None:
    p = fs.preimage(DEGENERATE, y=[0, 0, 0], domain=fs.HalfSpaces([[1, 2]], [-1]))
    assert (p.kind, p.dimension) == (fs.Kind.UNBOUNDED, 1)
    assert fs.verify(p, exact=True)


def test_progress_tells_what_is_done_and_changes_nothing() -> None:
    told: list[str] = []
    question = {"layer": DEGENERATE, "y": [0, 0, 0], "domain": fs.HalfSpaces([[1, 2]], [-1])}
    p = fs.preimage(**question, progress=told.append)
    assert p.kind == fs.preimage(**question).kind
    assert any("exact pivot" in doing for doing in told)
    assert all(told), "every step has a name"


@pytest.mark.usefixtures("unchecked")
def test_progress_is_a_function() -> None:
    with pytest.raises(fs.InputError, match=r"progress: expected a function, or None, got 'bar'"):
        fs.preimage(DEGENERATE, x=[0, 0], progress="bar")
