"""The findings in words, on results whose numbers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fiberscope.audit.store import Results
from fiberscope.preimage.kind import Kind
from fiberscope.report.headlines import headlines
from fiberscope.report.summary import LayerSummary, summarise
from fiberscope.report.survey import ReachSummary
from fiberscope.stability.stage_medians import StageMedians, stage_medians
from small_audits import rows, spectra_rows


def layer(position: int, domain: str, dimension: float | None = 3.0, **counts: int) -> LayerSummary:
    known = {kind: counts.get(str(kind), 0) for kind in Kind}
    samples = sum(known.values())
    return LayerSummary(position, f"dense{position}", 6, 9, domain, samples, known, 4.0, dimension, 1.0)


def stage(position: int, condition: float, samples: int = 4) -> StageMedians:
    return StageMedians(
        position, f"s{position}", 9, samples, 0, "", 3.0, condition, condition, 1.0, np.ones(3), np.zeros(3)
    )


def reach(position: int, *reached: float) -> ReachSummary:
    return ReachSummary(position, f"dense{position}", len(reached), 0, "", 4.0, 2.0, 1.0, np.array(reached), 2.0)


TWO = (layer(0, "R^n", unbounded=10), layer(0, "box [0,1]", singleton=3, bounded=7), layer(1, "R^n", unbounded=10))


def test_what_can_be_recovered_is_told_of_the_first_layer_on_its_smallest_domain() -> None:
    first, *_ = headlines(TWO, (), (), ())
    assert first.figure == "3 of 10"
    assert first.claim == "inputs can be computed back from the output of layer 0 dense0, on the domain box [0,1]."
    assert first.detail == (
        "For the median sample, 3 of 6 input directions can change without this layer noticing. "
        "Of the inputs of the last layer, 1 dense1, 0 can be computed back."
    )


def test_what_is_not_proved_comes_first() -> None:
    summaries = (*TWO, layer(2, "R^n", None, undecided=2, singleton=8))
    first, *others = headlines(summaries, (), (), [("it takes too long", 2)])
    assert (first.figure, first.detail) == ("2 of 40", "Most often: it takes too long.")
    assert not any("proved" in headline.claim for headline in others)


def test_where_the_inverse_becomes_unstable() -> None:
    stages = (stage(0, 4.0), stage(1, 3.0), stage(2, 90.0), stage(3, 1.2e4 / 7), stage(4, float("nan")))
    (told,) = [headline for headline in headlines(TWO, stages, (), ()) if "times" in headline.figure]
    assert told.figure == "1,700 times"
    assert "up to stage 3 s3;" in told.claim
    assert told.detail.endswith("It rises most, by a factor of 30, at stage 2 s2.")


@pytest.mark.parametrize(("value", "text"), [(44_023_456.0, "44,000,000"), (2.61, "2.6"), (3.4e12, "3.4e+12")])
def test_large_ratios_are_written_out_as_far_as_they_can_be_read(value: float, text: str) -> None:
    assert f"{text} times" in [headline.figure for headline in headlines(TWO, (stage(0, value),), (), ())]


def test_how_far_one_can_go_is_told_of_the_layer_where_it_is_farthest() -> None:
    (told,) = [h for h in headlines(TWO, (), (reach(0, 0.1, 0.6), reach(1, 0.7, 0.9)), ()) if "searches" in h.claim]
    assert told.figure == "100 %"
    assert "layer 1 dense1" in told.claim
    assert told.detail.startswith("The median search there got 80% of the way")


def test_unbounded_preimages_on_the_smallest_domains_are_told_apart_from_those_that_bounds_remove() -> None:
    _, blind, proved = headlines(TWO, (), (), ())
    assert (blind.figure, blind.detail) == ("10 of 20", "Their layers: 1 dense1.")
    assert (proved.figure, proved.claim) == ("all 30", "verdicts are proved.")
    _, blind, _ = headlines(TWO[:2], (), (), ())
    assert blind.figure == "10 of 10"
    assert "with the bounds that are known, none is" in blind.claim


def test_the_numbers_are_those_of_the_results(decomposed: Path) -> None:
    results = Results(decomposed)
    manifest = results.manifest()
    stages = stage_medians(results.spectra_table(manifest))
    first, second, _ = headlines(summarise(manifest, results.findings(manifest)), stages, (), ())
    group = [row for row in rows(decomposed) if row[1:3] == (2, "x >= 0")]
    assert first.figure == f"{sum(row[4] == 'singleton' for row in group)} of {len(group)}"
    conditions = [[r["condition_number"] for r in spectra_rows(decomposed) if r["stage"] == i] for i in range(6)]
    assert second.figure == f"{max(np.nanmedian(each) for each in conditions):.2g} times"
