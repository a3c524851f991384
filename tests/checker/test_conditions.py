"""Each condition of the checker refuses something that would be proved without it."""

from __future__ import annotations

import pytest
from false_claims import False_, all_of_them, short_radii


@pytest.mark.parametrize("lie", all_of_them(), ids=lambda lie: lie.name)
def test_a_false_claim_is_refused(lie: False_) -> None:
    assert not lie.proved()


def test_no_radius_is_too_short() -> None:
    assert not short_radii()
