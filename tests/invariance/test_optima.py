"""Optima of one region against exact enumeration, at any size of inputs and weights, and where solvers fail."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import highspy
import numpy as np
import pytest
from scipy.optimize import linprog, minimize

import fiberscope as fs
from all_regions import cases
from feature_networks import network, one_layer
from fiberscope.preimages.linear_program import Solver, Status

OBJECTIVES = list(fs.Objective)

ROOM = 1e-4
"""More than what an objective of size one may lose to the room that float32 needs."""


# ---- exact answers for small layers


def reduced(rows: list[list[Fraction]]) -> list[list[Fraction]]:
    """The reduced row echelon form, without rows of zeros; the last column is the right-hand side."""
    rows, done = [list(row) for row in rows], 0
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((i for i in range(done, len(rows)) if rows[i][column] != 0), None)
        if pivot is None:
            continue
        rows[done], rows[pivot] = rows[pivot], rows[done]
        rows[done] = [value / rows[done][column] for value in rows[done]]
        for i in range(len(rows)):
            if i != done and rows[i][column] != 0:
                rows[i] = [a - rows[i][column] * b for a, b in zip(rows[i], rows[done], strict=True)]
        done += 1
    return rows[:done]


def dot(a, b) -> Fraction:
    return sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0))


class Exact:
    """``E x' = f, G x' <= h`` of a layer at x in the unit box, in rational numbers."""

    def __init__(self, W, b, x) -> None:
        W, x = [[Fraction(v) for v in row] for row in W.tolist()], [Fraction(v) for v in x.tolist()]
        z = [dot(row, x) + Fraction(c) for row, c in zip(W, b.tolist(), strict=True)]
        self.n = len(x)
        unit = [[Fraction(int(i == j)) for j in range(self.n)] for i in range(self.n)]
        pairs = list(zip(W, z, b.tolist(), strict=True))
        self.equations = [[*row, value - Fraction(c)] for row, value, c in pairs if value > 0]
        self.inequalities = [[*row, -Fraction(c)] for row, value, c in pairs if value <= 0]
        self.inequalities += [[*row, Fraction(1)] for row in unit]
        self.inequalities += [[*[-v for v in row], Fraction(0)] for row in unit]

    def holds(self, point) -> bool:
        return all(dot(row[:-1], point) == row[-1] for row in self.equations) and all(
            dot(row[:-1], point) <= row[-1] for row in self.inequalities
        )

    def vertices(self):
        missing = self.n - len(reduced(self.equations))
        for chosen in combinations(self.inequalities, missing):
            rows = reduced([*self.equations, *chosen])
            if len(rows) == self.n and all(any(row[:-1]) for row in rows):
                point = [row[-1] for row in rows]
                if self.holds(point):
                    yield point

    def squared_distance(self, goal) -> Fraction:
        """Of the region to a point: the least of the projections onto its faces that lie in it."""
        best, missing = None, self.n - len(reduced(self.equations))
        for count in range(missing + 1):
            for chosen in combinations(self.inequalities, count):
                rows = reduced([*self.equations, *chosen])
                if not all(any(row[:-1]) for row in rows):
                    continue
                gram = [[*(dot(p[:-1], q[:-1]) for q in rows), p[-1] - dot(p[:-1], goal)] for p in rows]
                weights = [row[-1] for row in reduced(gram)]
                point = [g + sum((w * row[j] for w, row in zip(weights, rows, strict=True)), Fraction(0))
                         for j, g in enumerate(goal)]  # fmt: skip
                if self.holds(point):
                    square = sum(((p - g) ** 2 for p, g in zip(point, goal, strict=True)), Fraction(0))
                    best = square if best is None else min(best, square)
        assert best is not None
        return best


def small_layers(count: int):
    """Layers of small whole numbers, whose rows depend on each other often, at corners and inside of the box."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        n, m = int(rng.integers(2, 5)), int(rng.integers(1, 5))
        W, b = rng.integers(-1, 2, size=(m, n)).astype(float), rng.integers(-1, 2, size=m).astype(float)
        x, c = (rng.integers(0, 3, size=n) / 2.0 for _ in range(2))
        yield W, b, x, c


def measured(objective, x, c, vertices):
    """What an objective that is largest at a vertex is at most."""
    values = []
    for vertex in vertices:
        away = [p - Fraction(v) for p, v in zip(vertex, x.tolist(), strict=True)]
        values.append(
            {
                "inner_product": lambda v=vertex: dot(map(Fraction, c.tolist()), v),
                "towards": lambda a=away: dot(map(Fraction, (c - x).tolist()), a),
                "farthest_l1": lambda a=away: sum(map(abs, a)),
                "farthest_l2": lambda a=away: float(sum(v * v for v in a)) ** 0.5,
                "farthest_linf": lambda a=away: max(map(abs, a)),
            }[objective]()
        )
    return max(values)


@pytest.mark.exhaustive
def test_maxima_are_those_of_exact_vertices():
    better = 0
    for W, b, x, c in small_layers(20):
        vertices = list(Exact(W, b, x).vertices())
        for objective in ("inner_product", "towards", "farthest_l1", "farthest_l2", "farthest_linf"):
            e = fs.invariance_example(one_layer(W, b), x, c, 0, fs.Box(0, 1), objective=objective)
            best = measured(objective, x, c, vertices)
            assert Fraction(e.bound) >= best
            assert e.objective <= float(best) + 1e-12
            assert e.objective >= e.asked.at(x, x, c)
            if e.is_optimal:
                assert e.objective >= float(best) - ROOM
            assert e.is_optimal or objective in ("farthest_l1", "farthest_l2")
            better += not e.is_trivial
    assert better >= 30


@pytest.mark.exhaustive
def test_the_nearest_is_that_of_exact_faces():
    moved = 0
    for W, b, x, c in small_layers(20):
        exact = Exact(W, b, x)
        for goal in (c, x):
            square = exact.squared_distance([Fraction(v) for v in goal.tolist()])
            e = fs.invariance_example(one_layer(W, b), x, goal, 0, fs.Box(0, 1), objective="nearest_l2")
            assert Fraction(e.bound) ** 2 <= square
            assert e.objective >= float(square) ** 0.5 - 1e-12
            assert e.objective <= float(square) ** 0.5 + ROOM
            assert e.is_optimal
            moved += not e.is_trivial
    assert moved >= 6


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_other_programs_of_binary_layers_find_nothing_nearer(norm):
    """Rows that depend on each other where pixels are on their bounds."""
    for seed in range(15):
        rng = np.random.default_rng(seed)
        W = (rng.random((5, 9)) < 0.5).astype(float)
        x, c = ((rng.random(9) < 0.5).astype(float) for _ in range(2))
        expected = nearest_by_scipy(W, np.zeros(5), x, c, norm)
        e = fs.invariance_example(one_layer(W, np.zeros(5)), x, c, 0, fs.Box(0, 1), objective=f"nearest_{norm}")
        assert e.objective <= expected + ROOM  # SLSQP gives up early, now and then
        assert e.gap <= ROOM
        assert e.is_optimal
        assert e.feature_units <= 1
        assert "no other input was found" not in e.reason


def test_dependent_rows_are_no_obstacle():
    net = one_layer([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], [0.0, 0.0])
    e = fs.invariance_example(net, [0, 1, 0], [1, 0, 0], 0, fs.Box(0, 1), objective="nearest_l2")
    assert e.x.tolist() == [1.0, 0.0, 0.0]
    assert e.objective == e.bound == 0.0
    assert e.is_optimal


# ---- changes of any size


def program(W, b, x, scale):
    """E, G, h and the bounds of the changes ``d / scale`` of x that keep the features of a layer in the unit box."""
    z = W @ x + b
    return W[z > 0], W[z <= 0], -z[z <= 0] / scale, np.stack([-x / scale, (1 - x) / scale], axis=1)


def nearest_by_scipy(W, b, x, c, norm, along=None):
    """The least ``|x + d - c|``; with ``along`` the least ``|d|`` that goes this share of the way."""
    scale = float(np.abs(c - x).max()) or 1.0
    E, G, h, bounds = program(W, b, x, scale)
    _, singular, basis = np.linalg.svd(E)  # rows may depend on each other
    E = basis[: int((singular > 1e-9).sum())]
    step, n = (c - x) / scale, len(x)
    goal = step if along is None else np.zeros(n)
    if along is not None:
        G, h = np.vstack([G, -step]), np.append(h, -along * step @ step)
    if norm == "l2":
        parts = [{"type": "eq", "fun": lambda d: E @ d, "jac": lambda _: E}] if len(E) else []
        parts += [{"type": "ineq", "fun": lambda d: h - G @ d, "jac": lambda _: -G}] if len(G) else []
        found = minimize(lambda d: ((d - goal) ** 2).sum() / 2, np.zeros(n), jac=lambda d: d - goal, bounds=bounds,
                         constraints=parts, method="SLSQP", options={"ftol": 1e-15, "maxiter": 1000})  # fmt: skip
        return float(np.linalg.norm(found.x - goal)) * scale
    cover = np.eye(n) if norm == "l1" else np.ones((n, 1))
    k = cover.shape[1]
    rows = np.block([[G, np.zeros((len(G), k))], [np.eye(n), -cover], [-np.eye(n), -cover]])
    sides, cost = np.concatenate([h, goal, -goal]), np.concatenate([np.zeros(n), np.ones(k)])
    found = linprog(cost, rows, sides, np.hstack([E, np.zeros((len(E), k))]), np.zeros(len(E)),
                    bounds=[*map(tuple, bounds), *[(0, None)] * k])  # fmt: skip
    return float(found.fun) * scale


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("size", [1e-2, 1e-5, 1e-7, 1e-8])
def test_targets_next_to_the_source(norm, size):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        W, b = rng.standard_normal((6, 12)) / 3, rng.standard_normal(6) / 3
        x, d = rng.uniform(0.1, 0.9, size=12), rng.standard_normal(12)
        c = np.clip(x + size * d, 0, 1)
        for objective, along in (("nearest", None), ("smallest_change", 0.3)):
            expected = nearest_by_scipy(W, b, x, c, norm, along)
            e = fs.invariance_example(
                one_layer(W, b), x, c, 0, fs.Box(0, 1), objective=f"{objective}_{norm}", fraction=0.3
            )
            assert e.objective == pytest.approx(expected, rel=1e-5)
            assert e.bound == pytest.approx(expected, rel=1e-5)
            assert e.is_optimal
            if along is not None:
                assert (c - x) @ (e.x - x) >= along * (c - x) @ (c - x)


@pytest.mark.exhaustive(every=6)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_powers_of_two_scale_answers_and_change_nothing_else(objective):
    """Inputs, weights and rows: the same numbers to the last digit, and the same words."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        W, b = rng.standard_normal((4, 6)), rng.standard_normal(4) / 3
        x, c = np.clip(rng.uniform(-0.3, 1.3, size=(2, 6)), 0, 1)

        def asked(inputs=0, weights=0, rows=0, W=W, b=b, x=x, c=c):
            scale = np.zeros(4, dtype=int) + weights + rows
            net = one_layer(np.ldexp(W, scale[:, None]), np.ldexp(b, scale + inputs))
            e = fs.invariance_example(net, np.ldexp(x, inputs), np.ldexp(c, inputs), 0, fs.Box(0, 2.0**inputs),
                                      objective=objective, fraction=1 / 64)  # fmt: skip
            power = inputs * (2 if e.asked.goal == "linear" else 1)
            values = [float(np.ldexp(value, -power)) for value in (e.objective, e.bound)]
            return [*np.ldexp(e.x, -inputs).tolist(), *values, e.is_optimal, e.reason]

        expected = asked()
        changes = ({"inputs": 40}, {"inputs": -40}, {"weights": 40}, {"inputs": 17, "weights": -40},
                   {"rows": rng.integers(-40, 41, size=4)})  # fmt: skip
        for change in changes:
            assert asked(**change) == expected, change


def test_pixels_in_other_units_have_the_same_optimum():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        W, b, x, c = rng.standard_normal((4, 7)), rng.standard_normal(4) / 3, rng.random(7), rng.standard_normal(7)
        one = fs.invariance_example(one_layer(W, b), x, c, 0, fs.Box(0, 1))
        k = rng.integers(-30, 31, size=7)
        other = fs.invariance_example(
            one_layer(np.ldexp(W, -k), b), np.ldexp(x, k), np.ldexp(c, -k), 0, fs.Box(0, np.ldexp(1.0, k))
        )
        assert other.objective == pytest.approx(one.objective, rel=1e-7)
        assert other.bound == pytest.approx(one.bound, rel=1e-9)
        assert other.is_optimal


@pytest.mark.exhaustive
@pytest.mark.parametrize("k", [-40, 40])
def test_walks_mixed_integer_programs_and_surveys_scale_as_well(k):
    for _, net, x, c in cases(1):
        scaled = scaled_by(net, k)
        box, small = fs.Box(0, 1), fs.Box(0, 2.0**k)
        one = fs.walk_regions(net, x, c, 1, box, max_regions=6)
        other = fs.walk_regions(scaled, np.ldexp(x, k), np.ldexp(c, k), 1, small, max_regions=6)
        assert np.ldexp(other.x, -k).tolist() == one.x.tolist()
        assert [v.outcome for v in other.visits] == [v.outcome for v in one.visits]
        assert other.ended == one.ended
        one, other = (
            fs.optimal_over_regions(net, x, c, 1, box),
            fs.optimal_over_regions(scaled, np.ldexp(x, k), np.ldexp(c, k), 1, small),
        )
        assert np.ldexp(other.value, -2 * k) == one.value
        assert np.ldexp(other.bound, -2 * k) == one.bound
        assert other.status == one.status
        X = np.random.default_rng(0).uniform(size=(3, 6))
        one, other = (
            fs.invariance_survey(net, X, domain=box, targets=1).to_pylist(),
            fs.invariance_survey(scaled, np.ldexp(X, k), domain=small, targets=1).to_pylist(),
        )
        assert [{**row, "width": float(np.ldexp(row["width"], -k))} for row in other] == one


def scaled_by(net, k):
    """The network whose inputs, and with them all values, are 2^k times as large."""
    stages = [
        type(stage)(**{**vars(stage), "maps": tuple(with_bias(affine, k) for affine in stage.maps)})
        if stage.maps
        else stage
        for stage in net.stages
    ]
    return fs.Network(tuple(stages), net.input_shape)


def with_bias(affine, k):
    return type(affine)(affine.weight.numpy(), np.ldexp(affine.bias.numpy(), k))


def test_a_region_much_smaller_than_the_domain_is_resolved():
    """HiGHS's tolerance is relative to the optimum, not to the domain."""
    rng = np.random.default_rng(0)
    W = rng.standard_normal((12, 6))
    net, x, c = one_layer(W, np.full(12, -1.0)), np.zeros(6), rng.standard_normal(6)
    small, large = (
        fs.invariance_example(net, x, c, 0, fs.Box(-size, size), arithmetic="float64") for size in (8.0, 2.0**16)
    )
    assert large.objective == pytest.approx(small.objective, rel=1e-4)
    assert large.bound == pytest.approx(small.bound, rel=1e-4)
    assert large.is_optimal


def test_kept_pixels_and_open_domains_scale_as_well():
    """Columns that are always 0, and columns without bounds, have no units of their own."""
    rng = np.random.default_rng(1)
    W, b, (x, c) = rng.standard_normal((4, 7)), rng.standard_normal(4) / 3, rng.random((2, 7))
    for k in (-40, 40):
        for objective in ("nearest_l1", "nearest_l2", "smallest_change_linf"):
            answers = [
                fs.invariance_example(
                    one_layer(W, np.ldexp(b, e)), np.ldexp(x, e), np.ldexp(c, e), 0, domain, objective=objective,
                    fraction=1 / 64, keep=[0, 3],
                )
                for e, domain in (
                    (0, fs.Box([0] * 4 + [-np.inf] * 3, 1)), (k, fs.Box([0] * 4 + [-np.inf] * 3, 2.0**k))
                )
            ]  # fmt: skip
            assert np.ldexp(answers[1].x, -k).tolist() == answers[0].x.tolist()
            assert answers[1].is_optimal
            assert answers[0].x[[0, 3]].tolist() == x[[0, 3]].tolist()


# ---- where x itself is the best, and where nothing is known


@pytest.mark.exhaustive(every=6)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_on_a_kink_no_answer_is_worse_than_the_source(objective):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        W, x, c = rng.integers(-4, 5, size=(3, 6)).astype(float), rng.integers(0, 9, size=6) / 8, rng.random(6)
        net = one_layer(W, -W @ x + np.array([0.25, 0.0, 0.0]))
        for target in (c, x, x + 1e-9 * (c - x)):
            e = fs.invariance_example(net, x, target, 0, fs.Box(0, 1), objective=objective, fraction=0.01)
            assert e.objective <= e.bound if e.asked.is_maximum else e.objective >= e.bound
            if "smallest" not in objective:
                value, at_x = e.objective, e.asked.at(x, x, target)
                assert value >= at_x if e.asked.is_maximum else value <= at_x
            elif not e.is_trivial:
                step = target - x
                assert step @ (e.x - x) >= 0.01 * step @ step
            if target is x and "farthest" not in objective and objective != "inner_product":
                assert e.objective == e.bound == 0.0
                assert e.is_optimal
            assert e.feature_units <= 1


@pytest.mark.parametrize("objective", ["nearest_l1", "nearest_l2", "nearest_linf"])
@pytest.mark.parametrize("scale", [1.0, 2.0**-40, 1e6])
def test_a_target_with_the_features_is_the_nearest_itself_on_a_kink_as_well(objective, scale):
    """Programs keep room for rounding, in which such a target does not lie."""
    net = one_layer([[1, -1, 0], [0, 1, -1]], [0, 0])
    for source in ([0.5, 0.5, 0.5], [0, 0, 0], [0.25, 0.75, 0.75]):
        for target, same in (([0, 1, 1], True), ([0, 0, 1], True), ([1, 0, 0], False)):
            x, c = scale * np.array(source, dtype=np.float64), scale * np.array(target, dtype=np.float64)
            e = fs.invariance_example(net, x, c, domain=fs.Box(0.0, scale), objective=objective)
            assert e.verify()
            assert (e.x == c).all() == (e.objective == 0.0) == same
            assert e.is_optimal
    kept = fs.invariance_example(net, x, c, domain=fs.Box(0.0, scale), objective=objective, keep=[2])
    assert kept.x[2] == x[2]


def test_only_inputs_are_called_so_at_every_size():
    for k in (-40, 0, 40):
        box = fs.Box(0, 2.0**k)
        single = fs.invariance_example(one_layer(np.eye(2), [0, 0]), np.full(2, 2.0 ** (k - 1)), np.ones(2), 0, box)
        assert "only input" in single.reason
        free = fs.invariance_example(one_layer([[1.0, 1.0]], [0]), np.full(2, 2.0 ** (k - 1)), np.zeros(2), 0, box)
        assert "only input" not in free.reason


@pytest.mark.exhaustive(every=13)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("status", [Status.FAILED, Status.TIME, Status.INFEASIBLE])
def test_failed_solves_find_nothing_and_say_so(monkeypatch, objective, status):
    monkeypatch.setattr(Solver, "run", lambda _, seconds=None: status)
    monkeypatch.setattr("fiberscope.invariance.quadratic.MAX_ITERATIONS", 1)
    monkeypatch.setattr("fiberscope.invariance.box_optimum.PATIENCE", 0)
    rng = np.random.default_rng(0)
    net, (x, c) = one_layer(rng.standard_normal((3, 6)), np.zeros(3)), rng.random((2, 6))
    e = fs.invariance_example(net, x, c, 0, fs.Box(0, 1), objective=objective)
    assert e.is_trivial
    assert not e.is_optimal
    assert e.reason.startswith("no example was found")
    rows = fs.invariance_survey(net, np.stack([x, c]), domain=fs.Box(0, 1), targets=1).to_pylist()
    assert all(np.isnan(row["reached"]) and np.isnan(row["width"]) for row in rows)
    assert not fs.optimal_over_regions(network("dense"), rng.random(12), rng.random(12), 1, fs.Box(0, 1)).optimal


def test_who_used_highs_before_does_not_matter():
    rng = np.random.default_rng(0)
    net, (x, c) = one_layer(rng.standard_normal((3, 6)), np.zeros(3)), rng.random((2, 6))
    expected = [
        fs.invariance_example(net, x, c, 0, fs.Box(0, 1), objective=o, fraction=0.1).objective for o in OBJECTIVES
    ]
    for threads in (0, 2, 4):
        other = highspy.Highs()
        other.setOptionValue("output_flag", False)
        other.setOptionValue("threads", threads)
        other.addVar(0.0, 1.0)
        other.run()
        again = [
            fs.invariance_example(net, x, c, 0, fs.Box(0, 1), objective=o, fraction=0.1).objective for o in OBJECTIVES
        ]
        assert again == expected
        assert other.run() == highspy.HighsStatus.kOk  # and it goes on
