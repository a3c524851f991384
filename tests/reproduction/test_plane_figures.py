"""Figures 1 and 2 against recomputation by other means; their claims can come out False."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from fiberscope_paper import figure1, figure2


def omnidirectional_in_the_plane(A: np.ndarray) -> bool:
    """By angles: no gap between neighbouring rows is half a turn or more."""
    angles = np.sort(np.arctan2(A[:, 1], A[:, 0]))
    gaps = np.diff([*angles, angles[0] + 2 * np.pi])
    return bool(gaps.max() < np.pi - 1e-12)


def test_verdicts_of_figure_1_are_those_of_the_angles():
    for shown in figure1.tuples():
        verdict = figure1.judged(shown)
        assert verdict.rows.holds == omnidirectional_in_the_plane(shown.A)
        meets = np.abs(shown.A @ shown.p + shown.b).max() == 0
        assert verdict.whole.holds == (verdict.rows.holds and meets)
        assert verdict.proved
        assert figure1.claim(verdict).holds


def test_half_spaces_of_figure_1_hold_no_row():
    free = [figure1.judged(shown).vector_free for shown in figure1.tuples()]
    assert [direction is not None for direction in free] == [False, True, True, False]
    for shown, direction in zip(figure1.tuples(), free, strict=True):
        if direction is not None:
            assert (shown.A @ direction <= 1e-12).all()
            assert np.linalg.norm(direction) == pytest.approx(1)


def test_claims_of_figure_1_can_fail():
    for shown in figure1.tuples():
        for other in (
            replace(shown, directional=not shown.directional),
            replace(shown, A=-shown.A, meets=not shown.meets),
        ):
            claim = figure1.claim(figure1.judged(other))
            wanted = (other.directional, other.directional and other.meets)
            rows = omnidirectional_in_the_plane(other.A)
            whole = rows and not (other.A @ other.p + other.b).any()
            assert claim.holds == ((rows, whole) == wanted)
    assert figure1.claim(figure1.judged(replace(figure1.tuples()[0], directional=False))).holds is False


def test_the_printed_algorithm_is_wrong_only_on_the_border():
    verdicts = [figure1.judged(shown) for shown in figure1.tuples()]
    assert [v.printed == v.rows.holds for v in verdicts] == [True, True, False, True]
    assert figure1.printed_claim(verdicts).holds is False
    assert figure1.printed_claim(verdicts[:2]).holds is True
    recession = verdicts[2].rows.certificate.recession
    assert recession is not None
    assert recession.direction is not None


def test_singular_values_of_figure_2_are_numpys():
    for system in figure2.systems():
        found = figure2.measured(system)
        kept = [i for i in range(3) if system.A[i] @ system.x + system.b[i] > 0]
        assert kept == [0, 1]
        np.testing.assert_allclose(found.before.values, np.linalg.svd(system.A, compute_uv=False), rtol=1e-12)
        np.testing.assert_allclose(found.after.values, np.linalg.svd(system.A[kept], compute_uv=False), rtol=1e-12)
        assert all(claim.holds for claim in figure2.claims(found))


def test_claims_of_figure_2_can_fail():
    system = figure2.systems()[0]
    spread = replace(system, A=np.array([[1.0, 1.0], [1.0, -1.0], [0.5, 3.0]]), x=np.array([1.2, -0.3]))
    assert spread.removed == (2,)
    holds = [claim.holds for claim in figure2.claims(figure2.measured(spread))]
    assert holds[:3] == [False, False, False]
    alone = replace(system, A=np.array([[1.0, 0.1], [1.0, 0.1], [0.0, 1.0]]))
    assert figure2.claims(figure2.measured(alone))[4].holds is False, "Lemma 9 asks for more than that"


def area(corners: np.ndarray) -> float:
    x, y = corners.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def test_regions_of_figure_2_fill_the_panel_and_have_their_signs():
    for system in figure2.systems():
        total = 0.0
        for signs in product((False, True), repeat=3):
            corners = figure2.region(system, signs)
            if len(corners):
                total += area(corners)
                assert (((system.A @ corners.mean(axis=0) + system.b) > 0) == signs).all()
        assert total == pytest.approx((2 * figure2.SIDE) ** 2)
