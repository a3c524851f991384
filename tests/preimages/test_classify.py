"""Many samples at once: order, counts, and the table."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import fiberscope as fs
from fiberscope.data.datasets import load_data
from fiberscope.preimages.route import Route
from fiberscope.preimages.verify import verify_many

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
    judged = fs.Classification((open_question,), np.array([0]), np.array([0]))
    assert judged.dimension.tolist() == [-2]
    row = judged.to_table().to_pylist()[0]
    assert (row["kind"], row["dimension"], row["reason"]) == ("undecided", None, "too large")
    assert judged.verify().tolist() == [False]


def _layer(outputs: int, inputs: int, seed: int) -> tuple[fs.ReLULayer, np.ndarray]:
    """A layer and clustered nonnegative samples, some entries exactly 0 and 1: all kinds occur in the unit box."""
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((outputs, inputs)) + 0.15
    centers = generator.random((6, inputs)) * (generator.random((6, inputs)) < 0.6)
    X = np.clip(centers[generator.integers(0, 6, 120)] + generator.normal(0, 0.03, (120, inputs)), 0, 1)
    X[:, : inputs // 3] *= generator.random((120, inputs // 3)) < 0.5
    return fs.ReLULayer(weight, generator.normal(-1.2, 0.5, outputs)), X


DOMAINS = {
    "all of R^n": None,
    "box": fs.Box(0, 1),
    "orthant": fs.NonNegative(),
    "half-spaces": fs.Box(0, 1) & fs.HalfSpaces(-np.ones((1, 24)), [0]),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS.keys())
@pytest.mark.parametrize("outputs", [60, 110])
def test_many_samples_get_the_verdicts_of_each_alone(domain: fs.Domain | None, outputs: int) -> None:
    layer, X = _layer(outputs, 24, outputs)
    judged = fs.classify(layer, X, domain=domain)
    alone = [fs.preimage(layer, x=x, domain=domain) for x in X[::3]]
    assert judged.kind[::3].tolist() == [str(p.kind) for p in alone]
    assert judged.dimension[::3].tolist() == [p.dimension for p in alone]
    assert judged.positives[::3].tolist() == [p.positives for p in alone]
    assert judged.verify().all()
    assert judged.verify(exact=True)[:10].all()
    assert judged.certificates < len(X)
    assert sum(judged.statistics.samples.values()) == len(X)
    shared = {id(p.certificate) for p in judged}
    assert judged.certificates == len(shared)


@pytest.mark.parametrize("domain", [None, fs.Box(0, 1)], ids=["all of R^n", "box"])
def test_verdicts_depend_on_nothing_but_the_sample(domain: fs.Domain | None) -> None:
    layer, X = _layer(80, 24, 7)
    first = fs.classify(layer, X, domain=domain, threads=1)
    again = fs.classify(layer, X, domain=domain, threads=1)
    assert first.margin.tolist() == again.margin.tolist()
    assert [p.certificate.to_bytes() for p in first] == [p.certificate.to_bytes() for p in again]
    three = fs.classify(layer, X, domain=domain, threads=3)
    assert [p.certificate.to_bytes() for p in first] == [p.certificate.to_bytes() for p in three]
    order = np.random.default_rng(0).permutation(len(X))
    shuffled = fs.classify(layer, X[order], domain=domain)
    parts = [fs.classify(layer, X[start : start + 17], domain=domain) for start in range(0, len(X), 17)]
    on_device = fs.classify(fs.ReLULayer(torch.tensor(layer.weight), layer.bias), X, domain=domain)
    for kind, dimension in (
        (three.kind, three.dimension),
        (shuffled.kind[np.argsort(order)], shuffled.dimension[np.argsort(order)]),
        (np.concatenate([part.kind for part in parts]), np.concatenate([part.dimension for part in parts])),
        (on_device.kind, on_device.dimension),
    ):
        assert kind.tolist() == first.kind.tolist()
        assert dimension.tolist() == first.dimension.tolist()


@pytest.mark.parametrize("domain", [None, fs.Box(-5, 5), fs.NonNegative()], ids=["all of R^n", "box", "orthant"])
def test_samples_with_ties_share_as_well(domain: fs.Domain | None) -> None:
    """Small integers put samples exactly on the hyperplanes of neurons that are positive at other samples."""
    generator = np.random.default_rng(0)
    weight = generator.integers(-2, 3, (12, 40)).astype(np.float64)
    X = generator.integers(0, 2, (150, 40)).astype(np.float64)
    ties = (X @ weight.T == 0).any(axis=1)
    assert 20 < ties.sum() < 130
    judged = fs.classify(fs.ReLULayer(weight), X, domain=domain)
    assert judged.verify().all()
    assert judged.statistics.samples.get(Route.SINGLY, 0) < 5
    assert judged.certificates < 100


def test_margins_lie_between_0_and_1() -> None:
    generator = np.random.default_rng(1)
    for _ in range(15):
        weight = generator.integers(-2, 3, (generator.integers(1, 9), generator.integers(1, 5))).astype(np.float64)
        X = generator.integers(0, 3, (8, weight.shape[1])).astype(np.float64)
        for domain in (None, fs.Box(0, 2)):
            margins = fs.classify(fs.ReLULayer(weight), X, domain=domain).margin
            assert ((margins >= 0) & (margins <= 1)).all()


@pytest.mark.parametrize("threads", [0, -1])
def test_no_thread_is_refused(threads: int) -> None:
    with pytest.raises(fs.InputError, match="threads: expected a whole number, at least 1"):
        fs.classify(LAYER, SAMPLES, threads=threads)


def test_equal_samples_share_one_certificate() -> None:
    layer, X = _layer(60, 24, 1)
    judged = fs.classify(layer, np.repeat(X[:3], 50, axis=0))
    assert judged.certificates <= 3
    assert judged.verify().all()


@pytest.mark.exhaustive
def test_dead_and_duplicated_neurons_cost_no_verdict() -> None:
    layer, X = _layer(60, 24, 2)
    weight = np.concatenate([layer.weight, np.zeros((5, 24)), layer.weight[:4], -layer.weight[4:8]])
    bias = np.concatenate([layer.bias, [0, -1, 2, 0, 1], layer.bias[:4], -layer.bias[4:8]])
    for domain in (None, fs.Box(0, 1)):
        judged = fs.classify(fs.ReLULayer(weight, bias), X, domain=domain)
        alone = [fs.preimage(fs.ReLULayer(weight, bias), x=x, domain=domain) for x in X[:20]]
        assert judged.kind[:20].tolist() == [str(p.kind) for p in alone]
        assert judged.dimension[:20].tolist() == [p.dimension for p in alone]
        assert judged.verify().all()


def test_progress_ends_at_all_samples_and_an_interruption_ends_the_work() -> None:
    layer, X = _layer(60, 24, 3)
    for domain in (None, fs.Box(0, 1), fs.NonNegative()):
        seen: list[tuple[int, int]] = []
        note = seen.append
        fs.classify(layer, X, domain=domain, progress=lambda done, total, note=note: note((done, total)))
        assert seen[-1] == (len(X), len(X))
        assert all(0 < done <= total == len(X) for done, total in seen)

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fs.classify(layer, X, progress=interrupted, threads=2)


@pytest.mark.external
def test_the_trained_layer_at_real_images() -> None:
    """Sharing among a hundred of the images, compared with each alone, and every proof closed in float64."""
    root = os.environ.get("FIBERSCOPE_EXTERNAL")
    path = Path(root or "") / "models" / "fashion_mlp_3500_784.safetensors"
    if not root or not path.exists():
        pytest.skip("the trained layer is not here: FIBERSCOPE_EXTERNAL names no folder that has it")
    try:
        images = load_data("fashion-mnist").x
    except fs.InputError as error:
        pytest.skip(f"Fashion-MNIST is not here: {error}")
    tensors = load_file(path)
    layer = fs.ReLULayer(tensors["0.weight"], tensors["0.bias"])
    X = images.reshape(len(images), -1)[:120]
    for domain in (None, fs.Box(0, 1)):
        judged = fs.classify(layer, X, domain=domain)
        assert verify_many(judged.preimages, 2).all()
        assert judged.certificates < 0.9 * len(X)
        for i in np.random.default_rng(0).choice(len(X), 3, replace=False):
            alone = fs.preimage(layer, x=X[i], domain=domain)
            assert (judged[i].kind, judged[i].dimension) == (alone.kind, alone.dimension)
            assert judged.positives[i] == alone.positives
