from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fiberscope.audits.subject import Subject, check_box, first_samples, fitted
from fiberscope.errors import InputError, ModelError
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from small_audits import small_data, small_network


def subject(x: Any, network: Network | None = None) -> Subject:
    return Subject(network or small_network(), np.asarray(x), None, "model", "data", "")


@pytest.mark.parametrize(
    ("shape", "input_shape"),
    [((6,), (6,)), ((6,), (1, 2, 3)), ((2, 3), (6,)), ((2, 3), (1, 2, 3)), ((1, 2, 3), (2, 3)), ((3, 2, 2), (3, 2, 2))],
)
def test_matching_and_flat_samples_are_accepted(shape: tuple[int, ...], input_shape: tuple[int, ...]) -> None:
    x = np.arange(4.0 * np.prod(shape)).reshape(4, *shape)
    given = fitted(x, input_shape)
    assert given.shape == (4, *input_shape)
    assert np.array_equal(given.ravel(), x.ravel())


@pytest.mark.parametrize(
    ("shape", "input_shape"),
    [((5,), (6,)), ((2, 2, 3), (3, 2, 2)), ((3, 2), (2, 3)), ((7,), (2, 3)), ((2, 3), (7,))],
)
def test_other_sizes_and_moved_axes_are_refused(shape: tuple[int, ...], input_shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="data: expected samples of shape"):
        fitted(np.zeros((4, *shape)), input_shape)


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        fitted(np.array([[0.0, np.nan]]), (2,))


def test_first_samples_takes_labels_along() -> None:
    x, y = first_samples(np.arange(12.0).reshape(6, 2), [5, 4, 3, 2, 1, 0], 2)
    assert x.shape == (2, 2)
    assert y is not None
    assert y.tolist() == [5, 4]


@pytest.mark.parametrize("samples", [0, -1, 7])
def test_more_samples_than_there_are_is_refused(samples: int) -> None:
    with pytest.raises(InputError, match="1 to 6"):
        first_samples(np.zeros((6, 2)), None, samples)


def test_labels_must_belong_to_the_samples() -> None:
    with pytest.raises(InputError, match="labels"):
        first_samples(np.zeros((6, 2)), np.zeros(5), None)


def test_a_sample_outside_the_box_is_named_with_its_pixel() -> None:
    x = small_data(5)
    x[3, 2] = 1.5
    with pytest.raises(InputError, match=r"1\.5.* in sample 3 at pixel 2"):
        check_box(subject(x), (0.0, 1.0))
    check_box(subject(x), (0.0, 1.5))


def test_the_pixel_of_a_picture_has_all_its_coordinates() -> None:
    x = np.zeros((2, 2, 3))
    x[1, 0, 2] = -1.0
    network = Network(small_network().stages, (2, 3))
    with pytest.raises(InputError, match=r"sample 1 at pixel \(0, 2\)"):
        check_box(subject(x, network), (0.0, 1.0))


def test_a_box_is_refused_where_the_first_layer_sees_something_else() -> None:
    weight = np.eye(2)
    stages = (relu_stage("first", 2), affine_stage("dense", Dense(weight, np.zeros(2))), relu_stage("second", 2))
    network = Network(stages, (2,))
    with pytest.raises(ModelError, match="--domain"):
        check_box(subject([[0.5, 0.5]], network), (-1.0, 1.0))


def test_the_digest_depends_on_samples_labels_type_and_shape() -> None:
    x, y = np.zeros((2, 6)), np.zeros(2, dtype=np.int64)
    network = small_network()
    variants = [
        Subject(network, x, y, "m", "d", ""),
        Subject(network, x, None, "m", "d", ""),
        Subject(network, x.astype(np.float32), y, "m", "d", ""),
        Subject(network, x.reshape(2, 2, 3), y, "m", "d", ""),
        Subject(network, x + 1, y, "m", "d", ""),
    ]
    assert len({variant.data_digest() for variant in variants}) == len(variants)
