"""What is told about a chosen sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import fiberscope as fs
from fiberscope.audits.example_store import StoredExample
from fiberscope.audits.shards import SURVEY_SCHEMA
from fiberscope.audits.subject import Subject
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.report import sample_pages as module
from fiberscope.report.sample_pages import examples_of, sample_pages
from fiberscope.report.sample_selection import ChosenSample
from fiberscope.showing.pictures import picture_format
from small_audits import small_network

EMPTY = SURVEY_SCHEMA.empty_table()
CHOSEN = [ChosenSample(1, ("has singular values",))]


def subject() -> Subject:
    x = np.random.default_rng(2).random((4, 6))
    return Subject(small_network(), x, None, "a network", "numbers", "")


def test_directions_and_numbers_are_those_of_the_whole_network() -> None:
    given = subject()
    layout = picture_format(given.x.reshape(4, 2, 3))
    (page,) = sample_pages(CHOSEN, given, layout, EMPTY, [])
    expected = fs.inverse_stability(given.network, given.x[1])
    assert f"{expected.invariant_dimension} of 6 independent directions" in page.stability
    assert f"the others it moves by {expected.smallest_nonzero:.3g} to {expected.largest:.3g} times" in page.stability
    assert expected.rank == len(page.rows[0].directions), "so few that none is left to be among the weakest alone"
    assert [row.title for row in page.rows] == ["strongest", "invariant"]
    assert page.rows[0].directions[0].label.startswith(f"|J v| = {expected.largest:.3g}\n")
    assert page.picture.startswith("data:image/png;base64,")


def test_of_inputs_that_are_no_pictures_and_of_large_networks_there_are_no_directions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = subject()
    (page,) = sample_pages(CHOSEN, given, None, EMPTY, [])
    assert (page.picture, page.rows, page.stability) == ("", (), "")
    monkeypatch.setattr(module, "_LARGEST_MATRIX", 8 * 6 * 4 - 1)
    (page,) = sample_pages(CHOSEN, given, picture_format(given.x.reshape(4, 2, 3)), EMPTY, [])
    assert (page.rows, page.stability) == ((), "")
    assert page.picture


def test_a_network_that_is_constant_around_the_sample_is_said_to_be() -> None:
    dead = Network((affine_stage("dense", Dense(np.eye(6), np.full(6, -9.0))), relu_stage("relu", 6)), (6,))
    given = replace(subject(), network=dead)
    (page,) = sample_pages(CHOSEN, given, picture_format(given.x.reshape(4, 2, 3)), EMPTY, [])
    assert page.stability == "Close to the sample, no change of the input moves the network’s output."
    assert [row.title for row in page.rows] == ["invariant"]


def test_reach_is_told_layer_by_layer_with_the_best_way() -> None:
    def row(layer: int, sample: int, target: int, reached: float, width: float) -> dict[str, object]:
        return {
            "layer": layer, "name": f"dense{layer}", "sample": sample, "eps": 0.0, "dimension": 3,
            "target": target,
            "reached": reached, "width": width, "reason": "",
        }  # fmt: skip

    left_out = {"layer": 2, "name": "dense2", "sample": 1, "reason": "it is smooth"}
    survey = pa.Table.from_pylist(
        [row(0, 1, 2, 0.4, 5.0), row(0, 1, 3, 0.9, 2.0), row(1, 1, 2, 0.1, 1.0), row(0, 2, 3, 0.99, 9.0), left_out],
        schema=SURVEY_SCHEMA,
    )
    (page,) = sample_pages(CHOSEN, subject(), None, survey, [])
    assert [(each.layer, each.widths, each.reached, each.target) for each in page.reach] == [
        ("0 dense0", (2.0, 5.0), 0.9, 3),
        ("1 dense1", (1.0, 1.0), 0.1, 2),
    ]


def test_examples_that_begin_at_other_data_are_told_apart(example) -> None:
    given = subject()
    own = example(1, given.x[1], given.x[2])
    other = example(1, given.x[1] + 0.25, given.x[2])
    beyond = example(9, given.x[1], given.x[2])
    found, elsewhere = examples_of(given, [other, own, beyond])
    assert found == [own]
    assert elsewhere == [other, beyond]


@pytest.fixture(name="example")
def _example():
    """Makes a stored example that begins at a sample."""
    from dataclasses import fields

    from fiberscope.audits.example_store import ExampleFacts

    empty = {"str": "", "int": 0, "float": 0.0, "bool": False, "tuple[str, ...]": ()}

    def make(number: int, source: np.ndarray, target: np.ndarray) -> StoredExample:
        values = {field.name: empty[str(field.type)] for field in fields(ExampleFacts)}
        facts = ExampleFacts(**(values | {"source": number}))
        return StoredExample(facts, source, target, np.stack([source, target]), np.zeros(()))

    return make
