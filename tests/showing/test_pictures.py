from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fiberscope.showing.pictures import picture, picture_format
from fiberscope.showing.thumbnails import width_as_picture


def decoded(uri: str) -> np.ndarray:
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize(
    ("shape", "size"),
    [((784,), (28, 28)), ((784, 1), (28, 28)), ((12, 9), (12, 9)), ((1, 12, 9), (12, 9)), ((3, 8, 10), (8, 10, 3))],
)
def test_a_picture_shows_the_numbers_from_black_to_white(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 256, size=(4, *shape)) / 255.0
    x[0].flat[:2] = 0.0, 1.0
    layout = picture_format(x)
    assert layout is not None
    expected = (255 * x[1]).round().astype(np.uint8)
    expected = np.moveaxis(expected, 0, -1) if len(shape) == 3 else expected
    assert np.array_equal(decoded(picture(x[1], layout)), expected.reshape(size))


def test_numbers_on_another_scale_are_shown_from_the_least_to_the_largest() -> None:
    x = np.array([[[-3.0, 1.0], [0.0, 5.0]]])
    layout = picture_format(x)
    assert layout is not None
    assert decoded(picture(x[0], layout)).tolist() == [[0, 128], [96, 255]]


def test_a_blank_picture_is_black() -> None:
    x = np.full((1, 4, 4), 7.0)
    layout = picture_format(x)
    assert layout is not None
    assert decoded(picture(x[0], layout)).max() == 0


def test_large_pictures_are_thinned_out() -> None:
    x = np.zeros((1, 3, 300, 200))
    layout = picture_format(x)
    assert layout is not None
    assert decoded(picture(x[0], layout)).shape == (75, 50, 3)


@pytest.mark.parametrize("shape", [(6,), (783,), (1, 5), (2, 8, 8), (5, 2, 2, 2)])
def test_other_inputs_are_no_pictures(shape: tuple[int, ...]) -> None:
    assert picture_format(np.zeros((2, *shape))) is None


def test_widths_are_white_where_they_are_largest_and_black_where_nothing_is_open() -> None:
    def pixels(width: Any) -> list[int]:
        (shown,) = width_as_picture(width, (2, 2))
        data = base64.b64decode(shown.uri.partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(data))).ravel().tolist()

    assert pixels(np.ones(4)) == [255] * 4
    assert pixels(np.array([0.0, 1.0, 2.0, 2.0])) == [0, 128, 255, 255]
    assert pixels(np.zeros(4)) == [0] * 4
    assert width_as_picture(np.array([0.0, 1.0, np.inf, 1.0]), (2, 2)) == ()
    assert width_as_picture(np.ones(4), (4,)) == ()
