"""The modulus of a chain on a ball: never above what pairs of inputs and the pieces of the network show."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "recovery"))

from networks import as_network, as_rows, in_ball, outputs, random_chain

from fiberscope.checker.center import center_of
from fiberscope.checker.curves import TANH, Curves
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.midpoint import Ball
from fiberscope.checker.modulus import attained, chain_of, chain_to, modulus, near
from fiberscope.checker.reading import LayerRows, read_network
from fiberscope.errors import ModelError
from fiberscope.network.activations import Maximum
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import Stage, affine_stage, relu_stage

CHAINS = 150


def random_case(generator: np.random.Generator):
    n = int(generator.integers(1, 5))
    depth = int(generator.integers(1, 4))
    chain = random_chain(generator, (n, *(int(generator.integers(n, 4 * n + 4)) for _ in range(depth))))
    return chain, generator.standard_normal(n), float(10.0 ** generator.uniform(-3, 0.3))


def smallest_ratio(chain, X, Y):
    apart = np.linalg.norm(X - Y, axis=1)
    ratio = np.linalg.norm(outputs(chain, X) - outputs(chain, Y), axis=1) / np.where(apart > 0, apart, 1.0)
    return float(ratio[apart > 1e-6 * apart.max()].min())


def test_no_pair_of_inputs_is_closer_than_the_modulus_says():
    generator, proved = np.random.default_rng(0), 0
    for _ in range(CHAINS):
        chain, center, radius = random_case(generator)
        found = modulus(as_rows(chain), center, radius)
        X = in_ball(generator, center, radius, 200)
        assert found.lower <= smallest_ratio(chain, X, generator.permutation(X)) * (1 + 1e-8)
        proved += found.lower > 0
    assert proved > CHAINS // 5  # what proves nothing would pass as well


def test_without_what_unsure_units_may_add_it_would_be_violated():
    # the midpoint product alone is no bound: a test that this one can fail
    generator, violated = np.random.default_rng(1), 0
    for _ in range(100):
        chain, center, radius = random_case(generator)
        if len(chain) < 2:
            continue
        hidden = as_rows([(A, b, -np.inf, np.inf) for A, b, _, _ in chain])
        X = in_ball(generator, center, radius, 200)
        violated += modulus(hidden, center, radius).lower > smallest_ratio(chain, X, generator.permutation(X))
    assert violated > 10


def test_one_layer_is_the_smallest_singular_value_of_the_rows_that_are_on():
    generator = np.random.default_rng(2)
    for _ in range(50):
        chain = random_chain(generator, (3, 20), clips=0.0)
        (A, b, *_), center, radius = chain[0], generator.standard_normal(3), float(generator.uniform(0, 0.3))
        on = A @ center + b > radius * np.linalg.norm(A, axis=1)
        found = modulus(as_rows(chain), center, radius)
        exact = np.linalg.svd(A[on], compute_uv=False)[-1] if on.sum() >= 3 else 0.0
        assert found.rows == on.sum()
        assert exact * 0.998 <= found.lower <= exact


def test_on_a_line_it_is_below_every_piece_that_the_ball_meets():
    # one input: the pieces of a network with one hidden layer lie between the zeros of its units
    generator, proved = np.random.default_rng(3), 0
    for _ in range(200):
        chain = random_chain(generator, (1, 5, 8), clips=0.0)
        (A, b, *_), (B, c, *_) = chain
        center, radius = generator.standard_normal(1), float(generator.uniform(0.01, 1.0))
        ends = center[0] - radius, center[0] + radius
        kinks = {float(-v / a) for (a,), v in zip(A, b, strict=True)}
        for k, row in enumerate(B):  # those of the outputs, piece by piece
            points = sorted({*ends, *(t for t in kinks if ends[0] < t < ends[1])})
            for left, right in pairwise(points):
                on = (A[:, 0] * (left + right) / 2 + b) > 0
                slope, shift = row @ (A[:, 0] * on), row @ (b * on) + c[k]
                if slope:
                    kinks = kinks | {float(-shift / slope)} if left < -shift / slope < right else kinks
        points = sorted({*ends, *(t for t in kinks if ends[0] < t < ends[1])})
        slopes = []
        for left, right in pairwise(points):
            on = (A[:, 0] * (left + right) / 2 + b) > 0
            above = B @ np.maximum(A[:, 0] * (left + right) / 2 + b, 0) + c > 0
            slopes.append(float(np.linalg.norm((B @ (A[:, 0] * on)) * above)))
        found = modulus(as_rows(chain), center, radius)
        assert found.lower <= min(slopes) * (1 + 1e-12)
        proved += found.lower > 0
    assert proved > 20


def test_a_larger_ball_has_no_more_rows_that_are_on():
    generator = np.random.default_rng(4)
    chain, center = random_chain(generator, (3, 20, 30)), generator.standard_normal(3)
    found = [modulus(as_rows(chain), center, radius) for radius in (0.0, 1e-3, 1e-2, 0.1, 1.0, np.inf)]
    assert [each.rows for each in found] == sorted((each.rows for each in found), reverse=True)
    assert [each.unsure for each in found] == sorted(each.unsure for each in found)
    assert found[0].lower > 0
    assert found[-1].unsure[0] == 20


@pytest.mark.parametrize("power", [-60, -3, 40])
def test_scaling_by_powers_of_two_scales_it(power):
    generator, scale = np.random.default_rng(5), 2.0**power
    for _ in range(20):
        chain, center, radius = random_case(generator)
        lower = modulus(as_rows(chain), center, radius).lower
        inputs = [(chain[0][0] / scale, *chain[0][1:]), *chain[1:]]
        assert modulus(as_rows(inputs), center * scale, radius * scale).lower == pytest.approx(lower / scale, rel=1e-9)
        out = [*chain[:-1], tuple(part * scale for part in chain[-1])]
        assert modulus(as_rows(out), center, radius).lower == pytest.approx(lower * scale, rel=1e-9)


def test_rounding_at_the_center_makes_a_unit_unsure():
    # 1/3 + 1/3 + 1/3 - 1 in floats is 0 or a little above it in some order; exactly it is below
    A, center = np.array([[1.0, 1.0, 1.0, 0.0]] * 4 + [[0.0, 0.0, 0.0, 1.0]]), np.array([1 / 3, 1 / 3, 1 / 3, 1.0])
    chain = as_rows([(A, np.array([-1.0, -1.0, -1.0, -1.0, 0.0]), 0.0, np.inf)])
    assert sum(map(Fraction, center[:3])) < 1
    assert modulus(chain, center, 0.0).rows == 1


def test_rounding_of_a_layer_before_makes_a_unit_unsure():
    """Terms cancel to 0.01, rounded by more than the next layer rounds: exactly, its only unit is off."""
    for seed in range(50):
        center = np.random.default_rng(seed).standard_normal(999)
        center = np.append(center, 0.01 - center.sum())
        rounded, exact = float((np.ones((1, 1000)) @ center)[0]), sum(map(Fraction, center))
        if rounded - exact > 2.0**-48:
            break
    between = float((Fraction(rounded) + exact) / 2)
    assert exact < between < rounded
    chain = as_rows([(np.ones((1, 1000)), np.zeros(1), 0.0, np.inf), (np.eye(1), np.array([-between]), 0.0, np.inf)])
    assert modulus(chain, center, 0.0).rows == 0


def test_inputs_with_the_features_lie_where_it_says():
    generator, found = np.random.default_rng(6), 0
    for _ in range(200):
        chain, center, _ = random_case(generator)
        rows, radius = as_rows(chain), float(10.0 ** generator.uniform(-4, -1))
        x = in_ball(generator, center, radius, 2)[0]
        eps = float(10.0 ** generator.uniform(-9, -2)) * radius
        y = outputs(chain, x) + eps * generator.uniform(-1, 1, len(chain[-1][1]))
        where = near(rows, center, radius, y - eps, y + eps, int(generator.integers(1, 4)))
        assert np.linalg.norm(x - center) <= where.distance
        assert (np.abs(x - center) <= where.widths).all()
        found += where.distance < radius
    assert found > 30


def test_layers_of_a_stored_network_are_read_as_they_are():
    generator = np.random.default_rng(7)
    chain, center = random_chain(generator, (3, 9, 12)), generator.standard_normal(3)
    stored = read_network(as_network(chain).to_bytes())
    for layer in (0, 1):
        read, given = chain_of(stored, layer), as_rows(chain[: layer + 1])
        assert vars(modulus(read, center, 0.01)) == vars(modulus(given, center, 0.01))
    with pytest.raises(NotProvedError, match="no layer 2"):
        chain_of(stored, 2)


def test_what_is_no_chain_is_refused():
    generator = np.random.default_rng(8)
    rows = as_rows(random_chain(generator, (3, 4, 5)))
    center, bent = np.zeros(3), Curves(np.full(5, TANH), np.ones(5), np.ones(5))
    bad = {
        "another order": (rows[::-1], center, 1.0),
        "a center of another size": (rows, np.zeros(4), 1.0),
        "a center of two axes": (rows, np.zeros((3, 1)), 1.0),
        "an end in other units": ((rows[0], replace(rows[1], curves=bent)), center, 1.0),
        "no center": (rows, np.array([0.0, np.nan, 0.0]), 1.0),
        "a negative radius": (rows, center, -1.0),
        "no radius": (rows, center, np.nan),
        "no layers": ((), center, 1.0),
        "another activation": ((replace(rows[0], curves=Curves.unknown(np.ones(4, dtype=bool))), rows[1]), center, 1.0),
        "coordinates that rows define": ((replace(rows[0], definitions=1), rows[1]), center, 1.0),
        "no number": ((replace(rows[0], weight=rows[0].weight * np.nan), rows[1]), center, 1.0),
        "an infinite one": ((replace(rows[0], bias=rows[0].bias + np.inf), rows[1]), center, 1.0),
        "a clip upside down": ((replace(rows[0], low=np.ones(4), high=np.zeros(4)), rows[1]), center, 1.0),
    }
    taken = [what for what, (chain, at, radius) in bad.items() if _proves(chain, at, radius)]
    assert taken == []
    assert _proves(rows, center, 1.0)


def _proves(chain, center, radius) -> bool:
    try:
        modulus(chain, center, radius)
    except NotProvedError:
        return False
    return True


def test_numbers_that_overflow_prove_nothing():
    A = np.full((3, 2), 1e200) + np.eye(3, 2)
    rows = tuple(
        LayerRows(weight, np.zeros(len(weight)), np.zeros(len(weight)), np.full(len(weight), np.inf),
                  Curves.unknown(np.zeros(len(weight), dtype=bool)))
        for weight in (A, np.full((4, 3), 1e200))
    )  # fmt: skip
    assert modulus(rows, np.array([1.0, 2.0]), 0.1).lower == 0.0


# ---- bounds from above, and what is refused


def test_a_region_that_ends_at_the_point_counts():
    """relu(relu(x - 1/2) + 1) at 1/2: the modulus on [1/2, 1] is 1, though half of it is the mean of both sides."""
    chain = as_rows([(np.ones((1, 1)), np.array([-0.5]), 0.0, np.inf), (np.ones((1, 1)), np.ones(1), 0.0, np.inf)])
    assert attained(chain, np.array([0.5]), np.ones(1)) >= 1.0
    out = as_rows([(np.ones((2, 1)), np.array([-0.5, 1.0]), 0.0, np.inf)])  # the first output is on at one side
    assert attained(out, np.array([0.5]), np.ones(1)) >= np.sqrt(2.0)


def test_what_is_attained_is_above_what_the_rounded_product_says():
    """Along rows that cancel but for 2^-46, which sums in float64 lose a part of."""
    tiny, lost = np.full(256, 2.0**-54), 0
    for seed in range(5):
        terms = np.random.default_rng(seed).permutation(np.concatenate([[1.0], tiny, [-1.0]]))
        first, second = terms[:, None], np.ones((1, len(terms)))
        lost += float((second @ first)[0, 0]) < 2.0**-46
        chain = as_rows([(first, np.full(len(terms), 4.0), 0.0, np.inf), (second, np.ones(1), 0.0, np.inf)])
        assert attained(chain, np.zeros(1), np.ones(1)) >= 2.0**-46
    assert lost >= 1


def test_fewer_rows_than_the_direction_has_numbers_attain_nothing():
    chain = as_rows([(np.array([[1.0, 2.0]]), np.ones(1), 0.0, np.inf)])
    assert attained(chain, np.zeros(2), np.array([1.0, 1.0])) == 0.0
    assert attained(chain, np.zeros(2), np.array([0.0, 1.0])) >= 2.0


def test_no_direction_and_other_sizes_are_refused():
    chain = as_rows([(np.eye(2), np.ones(2), 0.0, np.inf)])
    for direction in (np.ones(1), np.ones((1, 2)), np.ones(3), np.array([np.nan, 1.0]), np.zeros(2)):
        with pytest.raises(NotProvedError):
            attained(chain, np.zeros(2), direction)
    for low, high in ((np.zeros(1), np.ones(1)), (np.zeros(2), np.ones(1)), (np.zeros(3), np.ones(3))):
        with pytest.raises(NotProvedError):
            near(chain, np.zeros(2), 1.0, low, high, 1)


def test_outputs_on_an_end_of_their_clip_tell_no_number():
    """1 may come from any z of at least 1, and 0 from any of at most 0."""
    chain = as_rows([(np.array([[1.0], [-1.0]]), np.array([0.0, 1.0]), 0.0, 1.0)])
    for x in (1.5, -0.5):
        y = np.clip(np.array([x, 1.0 - x]), 0.0, 1.0)
        found = near(chain, np.array([0.5]), 2.0, y, y, 2)
        assert found.distance >= abs(x - 0.5)
        assert found.widths[0] >= abs(x - 0.5)


def test_intervals_count_to_both_sides():
    chain = as_rows([(np.eye(1), np.ones(1), 0.0, np.inf)])
    for low, high in ((0.5, 1.0), (1.0, 1.5)):
        found = near(chain, np.zeros(1), 2.0, np.array([low]), np.array([high]), 1)
        assert found.distance >= 0.5
        assert found.widths[0] >= 0.5


def test_stages_that_are_no_end_of_a_chain_are_refused():
    first, second = (Dense(np.eye(2), np.ones(2)) for _ in range(2))
    straight = (affine_stage("a", first), relu_stage("r", 2), affine_stage("b", second))
    skipping = (*straight[:2], Stage("both", (first, second), sources=(1, -1)), relu_stage("s", 2))
    beside = (*straight[:2], Stage("b", (second,), sources=(-1,)), relu_stage("s", 2))
    largest = Stage("max", activation=Maximum(np.array([[0, 1]]), 2))
    around = (
        *straight[:2],
        largest,
        Stage("both", (Dense(np.ones((2, 1))), first), sources=(2, 1)),
        relu_stage("s", 2),
    )
    read = [read_network(Network(stages, (2,)).to_bytes()) for stages in (straight, skipping, beside, around)]
    assert [len(chain_to(read[0], stage)) for stage in (0, 1, 2)] == [1, 1, 2]
    for place, stage in ((0, 3), (0, 9), (1, 2), (1, 3), (2, 2), (2, 3), (3, 2), (3, 3), (3, 4)):
        with pytest.raises((NotProvedError, ModelError)):
            chain_to(read[place], stage)


def test_no_bound_holds_where_small_numbers_are_flushed(monkeypatch):
    chain = as_rows([(np.eye(2), np.ones(2), 0.0, np.inf)])
    monkeypatch.setattr("fiberscope.checker.center.flushes_subnormal_numbers", lambda: True)
    assert not _proves(chain, np.zeros(2), 0.5)


def test_units_that_are_said_to_stay_on_or_off_do_so_at_the_inputs_that_move_them_most():
    generator, met = np.random.default_rng(5), 0
    for _ in range(60):
        n, radius = int(generator.integers(1, 4)), float(10.0 ** generator.uniform(-1, 0.5))
        chain = random_chain(generator, (n, *(int(generator.integers(2, 6)) for _ in range(3))))
        rows, center = as_rows(chain), generator.standard_normal(n)
        ball = Ball(center_of(rows, center), radius)
        on, off = ball.pieces()
        X = np.concatenate([in_ball(generator, center, radius, 60), center[None]])
        for _ in range(3):  # on along the gradients, to the border of the ball
            slope, z = np.broadcast_to(np.eye(n), (len(X), n, n)), X
            for layer in rows:
                pre = z @ layer.weight.T + layer.bias
                slope, z = layer.weight @ slope, np.clip(pre, layer.low, layer.high)
                last, slope = slope, np.where(((pre > layer.low) & (pre < layer.high))[:, :, None], slope, 0.0)
            lengths = np.linalg.norm(last, axis=2, keepdims=True)
            steps = (radius * last / np.where(lengths > 0, lengths, 1.0)).reshape(-1, n)
            X = center + np.concatenate([steps, -steps])[generator.permutation(2 * len(steps))[:200]]
            values = X
            for layer in rows[:-1]:
                values = np.clip(values @ layer.weight.T + layer.bias, layer.low, layer.high)
            pre = values @ rows[-1].weight.T + rows[-1].bias
            room = 1e-9 * np.abs(pre).max(initial=1.0)
            assert ((pre > rows[-1].low - room) & (pre < rows[-1].high + room))[:, on].all()
            assert ((pre < rows[-1].low + room) | (pre > rows[-1].high - room))[:, off].all()
        met += int(on.sum() + off.sum())
    assert met > 60
