"""The picture of directions: what pixels mean, and that it is written whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import fiberscope as fs
from fiberscope.report.direction_pictures import direction_rows, write_direction_pictures
from fiberscope.showing.pictures import PictureFormat, direction_pixels


def stability(shape: tuple[int, ...], outputs: int = 5, **arguments) -> fs.InverseStability:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 16), nn.ReLU(), nn.Linear(16, outputs))
    net = fs.from_torch(module.double().eval(), input_shape=shape)
    return fs.inverse_stability(net, np.random.default_rng(0).random(shape), **arguments)


def test_zero_is_white_and_the_ends_are_blue_and_red():
    direction = np.array([[-0.5, 0.0], [0.25, 0.5]])
    pixels = direction_pixels(direction, PictureFormat(2, 2, 1, 0.0, 1.0))
    assert pixels.shape == (2, 2, 3)
    assert pixels[0, 1].tolist() == [255, 255, 255]
    red, blue = pixels[1, 1].astype(int), pixels[0, 0].astype(int)
    assert red[0] > red[1] + 100 < red[0] + 100
    assert blue[2] > blue[0] + 100
    np.testing.assert_allclose(pixels[1, 0], (255 + red) / 2, atol=1)


def test_colours_are_deviations_from_grey():
    direction = np.zeros((3, 1, 2))
    direction[:, 0, 0] = [0.2, -0.4, 0.1]
    pixels = direction_pixels(direction, PictureFormat(1, 2, 3, 0.0, 1.0))
    assert pixels[0].tolist() == [[191, 0, 159], [128, 128, 128]]


def test_a_direction_that_is_zero_is_blank():
    assert (direction_pixels(np.zeros(4), PictureFormat(2, 2, 1, 0.0, 1.0)) == 255).all()


@pytest.mark.exhaustive
@pytest.mark.parametrize("shape", [(784,), (9, 7), (1, 6, 6), (3, 6, 8)])
def test_pictures_are_written_for_grey_and_colour_images(shape, tmp_path):
    found = stability(shape)
    path = tmp_path / "new" / "directions.png"
    assert write_direction_pictures(found, path, changes={"noise": np.ones(shape)}) == path
    with Image.open(path) as image:
        assert min(image.size) > 400
        assert len(np.unique(np.asarray(image).reshape(-1, 4), axis=0)) > 50
    assert [file.name for file in path.parent.iterdir()] == ["directions.png"]


def test_what_is_not_computed_is_not_drawn(tmp_path):
    found = stability((1, 6, 6), max_bytes=1, boundary=False)
    with Image.open(write_direction_pictures(found, tmp_path / "some.png")) as image:
        few = image.size
    with Image.open(write_direction_pictures(stability((1, 6, 6)), tmp_path / "all.png")) as image:
        assert image.size[1] > few[1]
    with pytest.raises(fs.InputError, match="was not written out"):
        write_direction_pictures(found, tmp_path / "change.png", changes={"x": np.ones((1, 6, 6))})
    assert not (tmp_path / "change.png").exists()


@pytest.mark.parametrize(("outputs", "weakest"), [(2, 0), (3, 0), (4, 1), (5, 2), (6, 3), (7, 3)])
def test_the_strongest_directions_are_not_shown_again_as_the_weakest(outputs, weakest):
    found = stability((1, 6, 6), outputs)
    assert found.rank == outputs
    rows = {row.title: row for row in direction_rows(found, {})}
    shown = [row for title, row in rows.items() if title != "invariant"]
    assert [len(row.vectors) for row in shown] == [len(row.labels) for row in shown]
    assert [len(row.vectors) for row in shown] == [min(3, outputs), *([weakest] if weakest else [])]
    vectors = np.concatenate([np.reshape(row.vectors, (-1, 36)) for row in shown])
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(vectors)), atol=1e-9)
    if weakest:
        assert rows["weakest"].labels[-1].startswith(f"|J v| = {found.smallest_nonzero:.3g}\n")


def test_the_zero_map_can_be_drawn(tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.ReLU()).double().eval()
    nn.init.constant_(module[1].bias, -100.0)
    found = fs.inverse_stability(fs.from_torch(module, input_shape=(1, 4, 4)), np.zeros((1, 4, 4)))
    assert write_direction_pictures(found, tmp_path / "zero.png").exists()


def test_inputs_that_are_no_images_are_refused(tmp_path):
    with pytest.raises(fs.InputError, match="images"):
        write_direction_pictures(stability((6,)), tmp_path / "none.png")
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(fs.ResultsError):
        write_direction_pictures(stability((1, 4, 4)), tmp_path / "file" / "directions.png")
