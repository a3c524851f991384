"""Numbers of things, in words."""

from __future__ import annotations

import pytest

from fiberscope.report.counting import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 samples"), (1, "1 sample"), (2, "2 samples"), (1000, "1,000 samples")]
)
def test_one_thing_is_in_the_singular(number: int, text: str) -> None:
    assert counted(number, "sample") == text
