"""The findings in words, on results whose numbers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fiberscope.audits.store import Results
from fiberscope.preimages.kind import Kind
from fiberscope.report.counting import number
from fiberscope.report.headlines import LayerSpectra, headlines
from fiberscope.report.summary import LayerSummary, summarise
from fiberscope.report.survey import ReachSummary
from fiberscope.stability.stage_medians import StageMedians, stage_medians
from small_audits import rows, spectra_rows


def layer(position: int, domain: str, dimension: float | None = 3.0, **counts: int) -> LayerSummary:
    known = {kind: counts.get(str(kind), 0) for kind in Kind}
    samples = sum(known.values())
    return LayerSummary(position, f"dense{position}", 6, 9, domain, samples, known, 4.0, None, dimension, 1.0)


def spectra(position: int, condition: float, samples: int = 4, rank: float = 3.0) -> LayerSpectra:
    numbers = (samples, 0, "", rank, condition, condition, 1.0, np.ones(3), np.zeros(3))
    return LayerSpectra(position, f"{position} dense{position}", StageMedians(2 * position + 1, "relu", 9, *numbers))


def reach(position: int, *reached: float) -> ReachSummary:
    return ReachSummary(position, f"dense{position}", len(reached), 0, "", 4.0, 2.0, 1.0, np.array(reached), 1.0, 2.0)


TWO = (layer(0, "R^n", unbounded=10), layer(0, "box [0,1]", singleton=3, bounded=7), layer(1, "R^n", unbounded=10))


def test_what_can_be_recovered_is_told_of_the_first_layer_on_its_smallest_domain() -> None:
    first, *_ = headlines(TWO, (), 6, (), ())
    assert first.figure == "3 of 10"
    claim = "inputs of layer 0 dense0, by itself, can be computed back from its output, on the domain box [0,1]."
    assert first.claim == claim
    assert first.detail == (
        "At the median sample, the layer’s input can change in 3 of its 6 dimensions without the layer noticing. "
        "Of what the last audited layer, 1 dense1, receives, 0 of 10 can; that says nothing about the network’s input."
    )


def test_where_some_are_undecided_what_can_be_recovered_is_a_range() -> None:
    some, none = layer(0, "R^n", singleton=3, unbounded=5, undecided=2), layer(1, "R^n", None, undecided=10)
    _, told, *_ = headlines((some, none), (), 6, (), ())
    assert told.figure == "3 to 5 of 10"
    assert told.detail.startswith("Of 2 inputs this is not settled. At the median settled sample, ")
    assert "last audited layer" not in told.detail, "of 0 to 10 of 10, nothing is said"


def test_where_all_are_undecided_nothing_is_said_about_what_can_be_recovered() -> None:
    (told,) = headlines((layer(0, "R^n", None, undecided=10),), (), 6, (), ())
    assert "could not be settled" in told.claim


def test_what_is_not_proved_comes_first() -> None:
    summaries = (*TWO, layer(2, "R^n", None, undecided=2, singleton=8))
    first, *others = headlines(summaries, (), 6, (), [("it takes too long", 2)])
    assert (first.figure, first.detail) == ("2 of 40", "Most often: it takes too long.")
    assert not any("proved" in headline.claim for headline in others)


def test_where_the_inverse_becomes_unstable() -> None:
    stages = (spectra(0, 4.0), spectra(1, 3.0), spectra(2, 90.0), spectra(3, 1.2e4 / 7), spectra(4, float("nan")))
    (told,) = [headline for headline in headlines(TWO, stages, 6, (), ()) if "times" in headline.figure]
    assert told.figure == "1,710 times"
    assert "up to layer 3 dense3;" in told.claim
    assert "than another of the same size that is felt, too" in told.claim
    assert "errors can grow as much" in told.claim
    assert told.detail.startswith(
        "This is the median condition number at 4 samples; 3 of 6 directions of the input are "
    )
    assert told.detail.endswith("rises most, by a factor of 30, at layer 2 dense2.")


def test_a_rise_over_layers_that_are_not_known_is_no_rise_at_one_layer() -> None:
    (told,) = [h for h in headlines(TWO, (spectra(0, 2.0), spectra(2, 90.0)), 6, (), ()) if "times" in h.figure]
    assert "rises" not in told.detail


def test_where_all_changes_are_felt_alike_nothing_is_unstable() -> None:
    assert not [h for h in headlines(TWO, (spectra(0, 1.0), spectra(1, 1.004)), 6, (), ()) if "times" in h.figure]


def test_one_of_a_thing_is_in_the_singular() -> None:
    only = (layer(0, "R^n", 0.0, singleton=1), layer(1, "R^n", unbounded=1))
    recovered, unstable, far = headlines(only, (spectra(0, 4.0, samples=1, rank=1.0),), 1, (reach(0, 0.1),), ())
    assert recovered.detail.startswith("At the median sample, no other input of the layer has the same output.")
    assert "at 1 sample; 1 of 1 direction of" in unstable.detail
    assert far.detail.endswith("from 1 sample.")
    blind = headlines(only, (), 1, (), ())[1]
    assert (blind.figure, blind.claim[:23]) == ("1 of 2", "preimages is unbounded,")


@pytest.mark.parametrize(("value", "text"), [(44_023_456.0, "44,000,000"), (2.614, "2.61"), (3.4e12, "3.40e+12")])
def test_large_ratios_are_written_out_as_far_as_they_can_be_read(value: float, text: str) -> None:
    assert f"{text} times" in [headline.figure for headline in headlines(TWO, (spectra(0, value),), 6, (), ())]


def test_how_far_one_can_go_is_told_of_the_layer_where_it_is_farthest() -> None:
    (told,) = [h for h in headlines(TWO, (), 6, (reach(0, 0.1, 0.6), reach(1, 0.7, 0.9)), ()) if "searches" in h.claim]
    assert told.figure == "100 %"
    assert "layer 1 dense1" in told.claim
    assert told.detail.startswith("The median search there got 80.0 % of the way")


def test_unbounded_preimages_on_the_smallest_domains_are_told_apart_from_those_that_bounds_remove() -> None:
    _, blind, proved = headlines(TWO, (), 6, (), ())
    assert (blind.figure, blind.detail) == ("10 of 20", "Their layers and domains: 1 dense1 (R^n).")
    assert (proved.figure, proved.claim) == ("30 of 30", "verdicts are proved.")
    _, blind, _ = headlines(TWO[:2], (), 6, (), ())
    assert blind.figure == "10 of 10"
    assert "within the bounds that are known, none is" in blind.claim
    assert "can lie apart is then limited by what is known" in blind.detail, "they need not be kept apart"


def test_that_bounds_leave_nothing_unbounded_is_said_only_if_it_is_proved() -> None:
    open_box = (layer(0, "R^n", unbounded=10), layer(0, "box [0,1]", bounded=6, undecided=4))
    assert not [h for h in headlines(open_box, (), 6, (), ()) if "unbounded" in h.claim]
    blind_box = (layer(0, "R^n", unbounded=10), layer(0, "x >= 0", unbounded=6, undecided=4))
    assert "at least 6 of 10" in [h.figure for h in headlines(blind_box, (), 6, (), ())]


def test_the_numbers_are_those_of_the_results(decomposed: Path) -> None:
    results = Results(decomposed)
    manifest = results.manifest()
    by_stage = {stage.stage: stage for stage in stage_medians(results.spectra_table(manifest))}
    stage = results.subject().network.placed_layers[2].stage
    only = (LayerSpectra(2, "2 dense2", by_stage[stage]),)
    first, second, _ = headlines(summarise(manifest, results.findings(manifest)), only, 6, (), ())
    group = [row for row in rows(decomposed) if row[1:3] == (2, "x >= 0")]
    assert first.figure == f"{sum(row[4] == 'singleton' for row in group)} of {len(group)}"
    condition = np.nanmedian([row["condition_number"] for row in spectra_rows(decomposed) if row["stage"] == stage])
    assert second.figure == f"{number(float(condition))} times"
    page = (decomposed / "report.html").read_text(encoding="utf-8")
    assert f"<strong>{second.figure}</strong>" in page, "of the audited layer, not of one that no table is about"


@pytest.mark.parametrize("value", [6.0, 1e-7, 123456.0, 0.0])
def test_numbers_have_three_digits_wherever_they_stand(value: float) -> None:
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=5e-3)
    assert len(number(value).replace(",", "").strip("0").split("e")[0].replace(".", "")) <= 3
