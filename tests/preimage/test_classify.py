"""Many samples at once: order, counts, and the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import fiberscope as fs

LAYER = fs.ReLULayer([[1, 0], [0, 1], [-1, -1]], [-1, -1, -1])
SAMPLES = [[2, 2], [0, 0], [2, 0]]


def test_the_table_has_one_row_a_sample_in_their_order() -> None:
    judged = fs.classify(LAYER, SAMPLES)
    assert judged.to_table().select(["sample", "positives", "kind", "dimension"]).to_pydict() == {
        "sample": [0, 1, 2],
        "positives": [2, 0, 1],
        "kind": ["singleton", "bounded", "bounded"],
        "dimension": [0, 2, 1],
    }
    assert judged.to_table().column("margin").to_pylist() == judged.margin.tolist()
    assert judged.verify().tolist() == [True, True, True]


def test_what_is_undecided_has_no_dimension() -> None:
    certificate = fs.Certificate(fs.Kind.UNDECIDED, None)
    blank = fs.preimage(LAYER, x=[0, 0])
    open_question = replace(blank, kind=fs.Kind.UNDECIDED, dimension=None, certificate=certificate, reason="too large")
    judged = fs.Classification((open_question,), np.array([0]))
    assert judged.dimension.tolist() == [-2]
    row = judged.to_table().to_pylist()[0]
    assert (row["kind"], row["dimension"], row["reason"]) == ("undecided", None, "too large")
    assert judged.verify().tolist() == [False]
