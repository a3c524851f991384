"""Figures 4, 5, 7 and 8 for a small network, against numpy, and claims that come out either way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import fiberscope as fs
from fiberscope.data.datasets import DataSet
from fiberscope.network.affine import Dense
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.stability.stage_medians import StageMedians
from fiberscope_paper import kept_spectra, spectra_subjects
from fiberscope_paper.architectures import table3
from fiberscope_paper.context import Context
from fiberscope_paper.decay_figures import (
    figure5,
    figure7,
    figure9,
    figure10,
    growing,
    last_layer,
    relu_effect,
    shrinking,
    similar,
)
from fiberscope_paper.figure4 import figure4, more_invariance, stronger_effect, thin_loses_values
from fiberscope_paper.figure8 import CONSTANTS, figure8
from fiberscope_paper.outcome import Outcome
from fiberscope_paper.spectra_subjects import Subject
from small_audits import small_data, small_network, small_spectra_oracle, write_model_and_data

SAMPLES = 5


@pytest.fixture(name="context")
def _context(tmp_path: Path) -> Context:
    model, data = write_model_and_data(tmp_path, SAMPLES)
    return Context(tmp_path / "networks", model=Path(model), data=data, samples=SAMPLES)


def oracle() -> list[np.ndarray]:
    """The median singular values of every stage."""
    each = [small_spectra_oracle(x) for x in small_data(SAMPLES)]
    return [np.median([values[stage] for values in each], axis=0) for stage in range(len(small_network().stages))]


def test_figure_4_has_the_medians_of_numpy(context: Context) -> None:
    outcome = figure4(context)
    (facts,) = outcome.facts.values()
    for found, stage, expected in zip(facts, small_network().stages, oracle(), strict=False):
        assert found["outputs"] == stage.outputs
        assert found["largest"] == pytest.approx(expected[0], rel=1e-9)
    assert [found["stage"] for found in facts] == list(range(1, len(facts) + 1))
    assert outcome.samples == SAMPLES
    assert "digits.npz" in outcome.caption
    assert len(outcome.claims) == 1, "ThinCIFAR is not shown for a network from a file"


def test_figures_5_and_7_draw_what_numpy_computes(context: Context) -> None:
    expected = oracle()
    numbers = figure5(context).numbers
    assert numbers is not None
    assert sorted(set(numbers["stage"])) == [2, 4, 6][: len(set(numbers["stage"]))]
    for stage in set(numbers["stage"]):
        values = [value for value, of in zip(numbers["value"], numbers["stage"], strict=True) if of == stage]
        np.testing.assert_allclose(values, expected[stage - 1], atol=1e-9 * expected[stage - 1][0])
    effect = figure7(context)
    assert effect.numbers is not None
    assert set(effect.numbers["stage"]) <= {1, 2, 3, 4, 5, 6}
    assert all(claim.holds for claim in effect.claims), "removing rows never makes a value larger"


@pytest.mark.parametrize(("figure", "layers"), [(figure9, 1), (figure10, 2)])
def test_figures_9_and_10_show_decay_and_effect_at_once(
    context: Context, figure: Callable[[Context], Outcome], layers: int
) -> None:
    both, effect = figure(context), figure7(context)
    assert both.numbers is not None
    expected = oracle()
    for stage in sorted(set(both.numbers["stage"])):
        values = [v for v, of in zip(both.numbers["value"], both.numbers["stage"], strict=True) if of == stage]
        np.testing.assert_allclose(values, expected[stage - 1], atol=1e-9 * expected[stage - 1][0])
    assert {claim.paper for claim in both.claims} == {claim.paper for claim in effect.claims}
    assert both.figure is not None
    left, right = both.figure.axes
    assert len(left.lines) == 2 * layers, "before and after ReLU, and layer 5 is here layer 2"
    assert len(right.lines) == sum(stage.activation is not None for stage in small_network().stages[:-1])
    drawn = np.concatenate([np.asarray(line.get_ydata()) for line in right.lines])
    assert set(drawn) <= set(both.numbers["value"])


def test_singular_values_are_kept_and_a_damaged_file_is_named(context: Context, monkeypatch) -> None:
    first = figure4(context)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(kept_spectra, "spectra", never)
    assert figure4(context).facts == first.facts
    assert figure4(replace(context, samples=2)).samples == 2, "of the first ones all are there"
    kept = sorted(context.networks.glob("spectra-*.parquet"))[0]
    kept.write_bytes(kept.read_bytes()[:50])
    with pytest.raises(fs.ResultsError, match="is damaged"):
        figure4(context)


def test_kept_singular_values_that_are_not_all_there_are_refused(context: Context) -> None:
    figure4(context)
    kept = sorted(context.networks.glob("spectra-*.parquet"))[0]
    whole = pq.read_table(kept)
    first = whole["stage"][0].as_py()
    cases = [
        (whole.drop(["largest"]), "expected the columns sample, stage, .*got sample"),
        (whole.set_column(4, "rank", whole["rank"].cast("float64")), "expected the columns"),
        (whole.slice(1), rf"a row for each of the stages \[{first}, "),
        (whole.slice(0, 0), r"got \[\]"),
        (pa.concat_tables([whole, whole]), "a row for each of the stages"),
    ]
    for table, message in cases:
        pq.write_table(table, kept)
        with pytest.raises(fs.ResultsError, match=rf"{message}.*remove it to compute again"):
            figure4(context)
    kept.unlink()
    assert figure4(context).samples == SAMPLES


def test_figure_8_counts_as_the_appendix_says(context: Context) -> None:
    outcome = figure8(replace(context, samples=1))
    network, x = small_network(), small_data(SAMPLES)[0]
    stage = outcome.facts["stage"] - 1
    J = fs.linearize(network, x, stage).matrix()
    z = network.evaluated(x[None], stage)[0]
    kept, removed = J[z > 0], J[(z <= 0) & J.any(axis=1)]
    assert outcome.facts["kept_rows"] == len(kept)
    assert outcome.numbers is not None
    for c, count in list(zip(CONSTANTS, outcome.numbers["rows"], strict=True))[::10]:
        limits = c * np.linalg.norm(removed, axis=1) / np.sqrt(len(kept))
        counts = (np.abs(removed @ kept.T) <= limits[:, None] * (1 + 1e-12)).sum(axis=1)
        assert count == counts.max()
    smallest = [value for value in np.linalg.svd(kept, compute_uv=False) if value > 1e-12]
    assert outcome.facts["smallest_nonzero"] == pytest.approx(min(smallest), rel=1e-9)
    assert outcome.facts["projected_bound"] >= min(smallest) * (1 - 1e-9)


def medians(stage: int, values: list[float]) -> StageMedians:
    nonzero = [value for value in values if value > 0]
    return StageMedians(
        stage, f"stage {stage}", len(values), 1, 0, "", float(len(nonzero)), nonzero[0] / nonzero[-1],
        nonzero[0], nonzero[-1], np.array(values), np.zeros(len(values)),
    )  # fmt: skip


def deep(layers: int) -> fs.Network:
    """So many layers of two units."""
    stages = [(affine_stage(f"dense{i}", Dense(np.eye(2))), relu_stage(f"relu{i}", 2)) for i in range(layers)]
    return fs.Network(tuple(stage for pair in stages for stage in pair), (2,))


def subject(context: Context, *values: list[float]) -> Subject:
    """A network whose stages have these values."""
    known = spectra_subjects.wide(context, with_medians=False)
    used = replace(known.used, network=deep(-(-len(values) // 2)))
    return replace(known, used=used, medians=tuple(medians(stage, each) for stage, each in enumerate(values)))


def layers(context: Context, *values: list[float]) -> Subject:
    """The same of layers, whose ReLUs change nothing."""
    return subject(context, *(each for each in values for _ in range(2)))


FLAT = [[1.0, 0.5, 0.2]] * 4


@pytest.mark.parametrize(("last", "holds"), [([4.0, 0.6, 0.05], True), ([0.9, 0.2, 0.19], False)])
def test_claims_about_the_decay_come_out_either_way(context: Context, last: list[float], holds: bool) -> None:
    shown = layers(context, *FLAT, last)
    assert [claim(shown).holds for claim in (growing, shrinking, similar)] == [holds] * 3
    assert last_layer(shown).holds is None, "there is no layer 6"
    assert last_layer(layers(context, *FLAT, last, [1.0, 0.5, 0.0])).holds is True
    assert last_layer(layers(context, *FLAT, last, [1.0, 0.5, 0.1])).holds is False


@pytest.mark.parametrize("count", [1, 4])
def test_claims_about_five_layers_are_not_judged_by_fewer(context: Context, count: int) -> None:
    shown = layers(context, *FLAT[:count])
    for claim in (growing, shrinking, similar, last_layer):
        found = claim(shown)
        assert (found.holds, found.why) == (None, f"of such layers, the network has {count}")


def test_figures_of_a_network_with_one_activation(context: Context, tmp_path: Path) -> None:
    network = deep(1)
    network.save(tmp_path / "one.safetensors")
    np.savez(tmp_path / "two.npz", x=np.ones((5, 2)), y=np.zeros(5))
    one = replace(context, model=tmp_path / "one.safetensors", data=str(tmp_path / "two.npz"))
    assert [claim.holds for claim in figure5(one).claims] == [None] * 4
    assert [claim.holds for claim in figure7(one).claims] == [True], "the one layer, once"


def test_a_constant_layer_proves_nothing_about_relu(context: Context) -> None:
    constant = replace(medians(0, [1.0, 1.0]), values=np.zeros(2), rank=0.0, largest=0.0)
    assert relu_effect(subject(context, [1.0], [1.0]), (constant, constant)).holds is None


def test_values_that_grow_by_an_activation_are_said_so(context: Context) -> None:
    shown = subject(context, [2.0, 1.0], [2.5, 0.5])
    assert relu_effect(shown, (shown.medians[0], shown.medians[1])).holds is False


@pytest.mark.parametrize("place", [5, 9])
@pytest.mark.parametrize(
    ("after", "holds"), [([2.0, 1.0, 0.0], True), ([2.0, 1.0, 0.9], False), ([9.0, 0.1, 0.0], False)]
)
def test_the_claim_about_layer_5_of_thincifar(context: Context, place: int, after: list[float], holds: bool) -> None:
    stages = [[2.0, 1.0, 0.5]] * place + [after] + [[2.0, 1.0, 0.1]] * (11 - place)
    assert thin_loses_values(subject(context, *stages)).holds is holds


@pytest.mark.parametrize(("after", "more", "stronger"), [([1.0, 0.0], True, True), ([2.0, 1.0], None, False)])
def test_claims_that_compare_thincifar_with_widecifar(
    context: Context, after: list[float], more: bool | None, stronger: bool
) -> None:
    wide = subject(context, *[[2.0, 1.0]] * 4)
    thin = subject(context, *[[2.0, 1.0]] * 3, after)
    assert more_invariance(wide, thin).holds is more
    assert stronger_effect(wide, thin).holds is stronger
    if more:
        assert more_invariance(thin, wide).holds is False


def test_figure_8_takes_the_first_sample_at_which_rows_are_removed_and_kept(context: Context, tmp_path: Path) -> None:
    deep(1).save(tmp_path / "one.safetensors")
    np.savez(tmp_path / "two.npz", x=np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]))
    one = replace(context, model=tmp_path / "one.safetensors", data=str(tmp_path / "two.npz"), samples=3)
    assert "number 2, counted from 0" in figure8(one).caption
    with pytest.raises(fs.InputError, match="none among the first 2"):
        figure8(replace(one, samples=2))


def test_grey_pictures_are_padded_to_the_size_of_cifar() -> None:
    x = np.random.default_rng(0).uniform(size=(2, 28, 28))
    padded = spectra_subjects._padded(DataSet("digits", x, None, "Digits."))
    assert padded.x.shape == (2, 3, 32, 32)
    np.testing.assert_array_equal(padded.x[:, 1, 2:30, 2:30], x)
    assert padded.x.sum() == pytest.approx(3 * x.sum())
    assert "black border" in padded.description
    with torch.no_grad():
        assert table3()(torch.tensor(padded.x, dtype=torch.float32)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(3, 32, 32), (3072,), (28, 28)])
def test_pictures_are_halved_at_quick_scale(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).uniform(size=(2, *shape))
    data = DataSet("pictures", x, None, "Pictures.")
    halved = spectra_subjects._fitted(data, spectra_subjects.HALVED)
    whole = spectra_subjects._padded(data).x.reshape(2, 3, 32, 32)
    for channel, row, column in [(0, 0, 0), (1, 3, 8), (2, 15, 15)]:
        block = whole[1, channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert halved.x[1, channel, row, column] == pytest.approx(block.sum() / 4)
    assert halved.description.endswith("averaged over two by two pixels: 3 x 16 x 16")
    with torch.no_grad():
        assert table3(spectra_subjects.HALVED)(torch.tensor(halved.x, dtype=torch.float32)).shape == (2, 10)


def test_pictures_of_other_sizes_are_left_to_the_check_of_sizes() -> None:
    data = DataSet("numbers", np.ones((2, 7)), None, "Numbers.")
    assert spectra_subjects._fitted(data, spectra_subjects.HALVED) is data
