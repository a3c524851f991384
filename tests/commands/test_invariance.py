"""What ``fiberscope invariance`` seeks where nothing is said."""

from __future__ import annotations

import numpy as np
import pytest

from fiberscope.commands.invariance import usual_objective


@pytest.mark.parametrize(
    ("shape", "regions", "objective"),
    [
        ((2, 1, 8, 8), "1", "nearest_l2"),
        ((2, 3, 4, 6), "1", "nearest_l2"),
        ((2, 784), "1", "nearest_l2"),
        ((2, 5), "1", "inner_product"),
        ((2, 1, 8, 8), "2", "inner_product"),
    ],
)
def test_pictures_in_one_region_are_to_look_like_the_target(shape: tuple[int, ...], regions: str, objective: str):
    assert usual_objective(np.zeros(shape), regions) == objective
