"""``fiberscope reproduce control``: what is trained, measured and judged, with a few of its variants."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest
import torch

from fiberscope.cli import main
from fiberscope.errors import InputError, ResultsError
from fiberscope_paper import control as module
from fiberscope_paper.context import Context
from fiberscope_paper.control import control
from fiberscope_paper.control_claims import INJECTIVE, NOTHING, best_weights, claims, conditions, effect, kinds
from fiberscope_paper.control_measuring import Measured
from fiberscope_paper.control_training import Samples, accuracy, adversarial_accuracy, train
from fiberscope_paper.control_variants import NARROW, WIDE, Variant, variants


def made(name: str, wish: str, width: float, **changes: float) -> Measured:
    usual = Measured(Variant(name, wish, width=width), 0.9, 0.2, 50.0, 0.5, 1.0, 0, 0, 0.3, 0.1, 100.0, 1.0, 0.01, 0.0)
    return replace(usual, **changes)


def narrow(name: str, wish: str, **changes: float) -> Measured:
    return made(name, wish, NARROW, condition_number=inf, **changes)


def activations(**changes: float) -> list[Measured]:
    return [made(name, "architecture", WIDE, singletons=1.0, **changes) for name in ("leaky ReLU", "ELU", "tanh")]


def test_an_effect_is_a_clear_one():
    wide, thin = made("plain", "plain", WIDE), narrow("plain", "plain")
    assert effect(wide, wide) == ""
    for value, said in ((60.0, "yes"), (80.0, NOTHING), (140.0, NOTHING), (160.0, "no, harder"), (inf, "no, harder")):
        assert effect(made("p", "invert", WIDE, condition_number=value), wide) == said
    lost = made("plain", "plain", WIDE, condition_number=inf)
    assert effect(made("p", "invert", WIDE, condition_number=inf), lost) == NOTHING
    assert effect(made("p", "invert", WIDE, condition_number=50.0), lost) == "yes"
    for changes, said in (
        ({"singletons": 0.65}, "yes"), ({"singletons": 0.35}, "no, harder"), ({"singletons": 0.55}, NOTHING),
        ({"rebuilt": 0.02}, "no, harder, to rebuild"), ({"rebuilt": 0.005}, "yes, to rebuild"),
    ):  # fmt: skip
        assert effect(narrow("p", "invert", **changes), thin) == said


def test_claims_are_judged_by_what_was_measured():
    plain = [made("plain", "plain", WIDE), narrow("plain", "plain")]
    both_ways = [
        narrow("p", "invert", singletons=0.9), narrow("p", "hide", singletons=0.0),
        made("p", "invert", WIDE, condition_number=10.0), made("p", "hide", WIDE, condition_number=1e4),
        made("all correlations", "baseline", WIDE, condition_number=50.0),
    ]  # fmt: skip
    found = [*plain, *both_ways, *activations(amplified=30.0)]
    assert [claim.holds for claim in claims(found)] == [True] * 5
    idle = [replace(each, singletons=0.5, condition_number=100.0) for each in both_ways[2:]]
    idle += [replace(each, singletons=0.5) for each in both_ways[:2]]
    found = [*plain, *idle, *activations(bounded=0.9)]
    judged = claims(found)
    assert [claim.holds for claim in judged] == [False] * 5
    assert "nothing happens with p" in judged[0].measured


@pytest.mark.parametrize(("plain", "moved", "holds"), [(0.0, 0.5, True), (0.0, 0.05, False), (1.0, 0.5, True)])
def test_where_there_is_no_room_one_direction_is_enough(plain: float, moved: float, holds: bool):
    part = [narrow("plain", "plain", singletons=plain), narrow("p", "invert", singletons=moved)]
    assert kinds(part).holds is holds
    wide = [made("plain", "plain", WIDE, condition_number=inf), made("p", "invert", WIDE, condition_number=50.0)]
    assert conditions(wide).holds
    assert not conditions([wide[0], replace(wide[1], condition_number=inf)]).holds


def test_the_best_weight_is_the_one_with_most_effect_that_accuracy_affords():
    def weighed(weight: float, wish: str = "invert", **changes: float) -> Measured:
        each = made("p", wish, WIDE, **changes)
        return replace(each, variant=replace(each.variant, weight=weight))

    plain = made("plain", "plain", WIDE)
    cheap, best = weighed(1.0, condition_number=50.0, accuracy=0.89), weighed(2.0, condition_number=20.0, accuracy=0.86)
    dear = weighed(3.0, condition_number=2.0, accuracy=0.8)
    assert best_weights([plain, cheap, best, dear]) == [plain, best]
    assert best_weights([plain, replace(cheap, accuracy=0.7), dear]) == [plain, dear]
    lost = [weighed(1.0, condition_number=inf, rebuilt=0.2), weighed(2.0, condition_number=inf, rebuilt=0.1)]
    assert best_weights([plain, *lost]) == [plain, lost[1]]
    hidden = [replace(each, variant=replace(each.variant, wish="hide")) for each in lost]
    assert best_weights([plain, *lost, *hidden]) == [plain, lost[1], hidden[0]]


def test_an_interrupted_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """To the same numbers, infinite and missing ones among them; and only of the same seed, epochs and samples."""
    names = ("plain", "active margin", "all correlations", *INJECTIVE)
    chosen = [each for each in variants((1.0,)) if each.name in names]
    measured_now: list[str] = []

    def measured(variant: Variant, *others: object) -> Measured:
        measured_now.append(variant.label)
        return replace(
            made("", "", WIDE, condition_number=inf, radius=nan), variant=variant, kept=float(len(measured_now))
        )

    def interrupted(variant: Variant, *others: object) -> Measured:
        if len(measured_now) == 3:
            raise KeyboardInterrupt
        return measured(variant)

    monkeypatch.setattr(module, "variants", lambda factors: chosen)
    monkeypatch.setattr(module, "train", lambda *others: None)
    monkeypatch.setattr(module, "_draw", lambda *others: None)
    monkeypatch.setattr(module, "measured", interrupted)
    context = Context(tmp_path, data="mnist-5k", samples=4, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        control(context)
    monkeypatch.setattr(module, "measured", measured)
    facts = control(context).facts["variants"]
    assert measured_now == [each.label for each in chosen]
    assert [each["kept"] for each in facts] == list(range(1, len(chosen) + 1))
    assert (facts[0]["condition_number"], facts[0]["radius"]) == ("inf", "nan")
    measured_now.clear()
    for other in (replace(context, seed=1), replace(context, epochs=2), replace(context, samples=3)):
        control(other)
    assert len(measured_now) == 3 * len(chosen)
    for path in tmp_path.glob("control-*.json"):
        path.write_bytes(path.read_bytes().replace(b'"accuracy": 0.9', b'"accuracy": 1.0'))
    with pytest.raises(ResultsError, match="damaged or changed"):
        control(context)


def test_variants_have_labels_of_their_own_and_a_twin():
    tried = variants((0.3, 1.0))
    assert len({(each.label, each.width) for each in tried}) == len(tried)
    for each in tried:
        assert (each.penalty is None) == (each.weight == 0)
        x = torch.rand(20, 10)
        network = each.network(10, 3)
        assert network(x).shape == (20, 3)
        if each.penalty is not None:
            assert torch.isfinite(each.penalty(network)(x))


def test_training_depends_on_the_seed_alone():
    samples = Samples(torch.rand(200, 10), torch.randint(0, 3, (200,)))
    plain = Variant("plain", "plain")
    first, second, third = (train(plain, samples, 3, 1, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["0.weight"], third["0.weight"])


def test_an_attack_finds_what_moves_the_answer():
    """Of a linear classifier of one pixel, exactly the samples near its threshold."""
    net = torch.nn.Linear(1, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        net.bias.copy_(torch.tensor([0.5, -0.5]))
    x = torch.linspace(0, 1, 41)[:, None]
    samples = Samples(x, (x[:, 0] > 0.5).long())
    assert accuracy(net, samples) == 1.0
    kept = float(((x - 0.5).abs() > 0.1 + 1e-6).double().mean())
    assert adversarial_accuracy(net, samples) == pytest.approx(kept, abs=1 / 41 + 1e-9)


@pytest.mark.exhaustive
def test_it_runs_and_says_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = ("plain", "active margin", "leaky ReLU", "ELU", "tanh", "all correlations")
    chosen = [each for each in variants((1.0,)) if each.name in kept]
    monkeypatch.setattr(module, "variants", lambda factors: chosen)
    outcome = control(Context(tmp_path, data="mnist-5k", samples=4, epochs=1))
    assert outcome.unproved == 0
    assert outcome.samples == 4
    assert outcome.text.count("\n| plain |") == 2
    assert len(outcome.facts["variants"]) == len(chosen) == len(outcome.numbers["name"])
    assert [len(axes.patches) for axes in outcome.figure.axes] == [7, 7, 7, 3]


def test_it_takes_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["reproduce", "control", "--out", str(tmp_path), "--model", "x.onnx", "--data", "mnist-5k"]) == 2
    assert "--model: expected no such option for control" in capsys.readouterr().err


def test_data_of_other_shapes_are_refused(tmp_path: Path):
    import numpy as np

    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((100, 6)), y=np.arange(100) % 10)
    with pytest.raises(InputError, match="28 x 28"):
        control(Context(tmp_path, data=str(tmp_path / "d.npz")))
