from __future__ import annotations

import pytest

from fiberscope.audits.plan import Place, Plan, Reads, chosen_layers
from fiberscope.errors import InputError


def names(plan: Plan, layer: int) -> list[str]:
    return [named.name for named in plan.domains(layer)]


def test_first_layer_is_judged_without_and_with_the_box() -> None:
    assert names(Plan((0,), 10), 0) == ["R^n"]
    assert names(Plan((0,), 10, (0.0, 1.0)), 0) == ["R^n", "box [0,1]"]
    assert names(Plan((0,), 10, (-0.5, 1.25)), 0) == ["R^n", "box [-0.5,1.25]"]


def test_later_layers_are_judged_on_the_orthant_whatever_the_box() -> None:
    assert names(Plan((0, 1), 10), 1) == names(Plan((0, 1), 10, (0.0, 1.0)), 1) == ["R^n", "x >= 0"]


def test_domains_follow_what_a_layer_receives() -> None:
    places = (Place(Reads.INPUT), Place(Reads.INPUT), Place(Reads.ANYTHING), Place(Reads.NONNEGATIVE, region=True))
    plan = Plan((0, 1, 2, 3), 10, (0.0, 1.0), places=places)
    assert names(plan, 0) == names(plan, 1) == ["R^n", "box [0,1]"]
    assert names(plan, 2) == ["R^n"]
    assert names(plan, 3) == ["R^n, linear region", "x >= 0, linear region"]


def test_chunks_cover_every_sample_of_every_layer_once() -> None:
    plan = Plan((0, 2), 11, (0.0, 1.0), blocks=(4, 4))
    covered = [(chunk.layer, sample) for chunk in plan.chunks() for sample in chunk.samples]
    assert covered == [(layer, sample) for layer in (0, 2) for sample in range(11)]
    assert [chunk.name for chunk in plan.chunks()][:3] == [f"layer-00-block-{block:04d}" for block in range(3)]


def test_rows_of_a_chunk_are_one_per_domain_and_sample() -> None:
    plan = Plan((1,), 3, blocks=(2,))
    last = list(plan.chunks())[-1]
    assert plan.rows(last) == [(2, "R^n", "exact"), (2, "x >= 0", "exact")]
    loose = Plan((1,), 3, blocks=(2,), precision="0.5")
    assert loose.rows(last) == [*plan.rows(last), (2, "R^n", "0.5"), (2, "x >= 0", "0.5")]
    assert [named.label for named in loose.domains(1)] == ["R^n", "x >= 0", "R^n at 0.5", "x >= 0 at 0.5"]


def test_layers_default_to_all_and_are_sorted() -> None:
    assert chosen_layers(None, 3) == (0, 1, 2)
    assert chosen_layers((2, 0), 3) == (0, 2)


@pytest.mark.parametrize("requested", [(3,), (-1,), (0, 0), ()])
def test_bad_layers_are_refused_and_the_message_says_how_many_there_are(requested: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="3 ReLU layers, numbered 0 to 2"):
        chosen_layers(requested, 3)
