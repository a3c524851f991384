"""Many verdicts proved together: nothing false, nothing that one proof alone would refuse, and whatever is shared."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import fuzz_certificates
import fuzz_questions
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csr_array

import fiberscope as fs
from cases import CASES, Case
from drawn_examples import examples
from fiberscope.checker import system, verdicts
from fiberscope.preimages.certificate import Certificate, Direction, Face, Multipliers, Relations
from fiberscope.preimages.verify import verify_in_float, verify_many

Array = np.ndarray[Any, Any]
Kind = fs.Kind
UNIT_BOX = fs.Box(0, 1)


def one_by_one(claims: list[Any]) -> list[bool]:
    return [bool(verify_in_float(claim)) for claim in claims]


def claim(layer: fs.ReLULayer, x: Any, kind: Kind, certificate: Any, domain: Any = None, **more: Any) -> Any:
    """A claim of the dimension that the rank of P gives."""
    x = np.asarray(x, dtype=np.float64)
    rank = np.linalg.matrix_rank(layer.weight[layer(x) > 0]) if (layer(x) > 0).any() else 0
    said: dict[str, Any] = {"dimension": layer.inputs - int(rank), "y": None} | more
    return SimpleNamespace(layer=layer, x=x, domain=domain, kind=kind, certificate=certificate, **said)


def generator_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def nearby(seed: int, m: int, n: int, positives: int) -> tuple[fs.ReLULayer, Array]:
    """A layer of float32 numbers, and nearby samples with about so many positive outputs."""
    generator = generator_of(seed)
    weight = generator.standard_normal((m, n)).astype(np.float32).astype(np.float64)
    center = generator.standard_normal(n)
    layer = fs.ReLULayer(weight, np.full(m, -np.sort(weight @ center)[-positives]))
    return layer, center + 0.05 * generator.standard_normal((12, n))


def direction_for(rows: Array, strict: Array) -> Array | None:
    """A direction that is zero on rows and negative on strict ones, by a linear program."""
    basis = scipy.linalg.null_space(rows) if len(rows) else np.eye(strict.shape[1])
    k = basis.shape[1]
    reduced = np.column_stack([strict @ basis, np.ones(len(strict))])
    found = linprog(np.eye(k + 1)[k] * -1, A_ub=reduced, b_ub=np.zeros(len(strict)), bounds=[(-1, 1)] * (k + 1))
    return basis @ found.x[:k] if found.x is not None and found.x[k] > 1e-6 else None


def multipliers_for(free: Array, positive: Array) -> Array | None:
    """Weights of rows that cancel, of at least one on the second ones."""
    rows = np.concatenate([free, positive])
    bounds = [(None, None)] * len(free) + [(1, 50)] * len(positive)
    found = linprog(np.zeros(len(rows)), A_eq=rows.T, b_eq=np.zeros(rows.shape[1]), bounds=bounds)
    if found.x is None:
        return None
    return found.x - np.linalg.pinv(rows.T) @ (rows.T @ found.x)


def along(layer: fs.ReLULayer, active: Array, d: Array) -> Direction:
    """A direction, with what is to be proved of the rows that hold it."""
    return Direction(np.flatnonzero(active), d, 0.01 * np.linalg.svd(layer.weight[active], compute_uv=False).min())


def unbounded(seed: int) -> list[Any]:
    """Samples of different dimensions that share one direction of the recession cone."""
    layer, X = nearby(seed, 24, 20, 4)
    active = (layer(X) > 0).any(axis=0)
    d = direction_for(layer.weight[active], layer.weight[~active])
    assert d is not None
    certificate = Certificate(Kind.UNBOUNDED, None, recession=Face(None, along(layer, active, d)))
    return [claim(layer, x, Kind.UNBOUNDED, certificate) for x in X]


def bounded(seed: int) -> list[Any]:
    """Samples that share multipliers, with any sign on what is positive for all of them."""
    layer, X = nearby(seed, 60, 12, 6)
    always = (layer(X) > 0).all(axis=0)
    order = np.concatenate([np.flatnonzero(always), np.flatnonzero(~always)])
    values = multipliers_for(layer.weight[always], layer.weight[~always])
    assert values is not None
    sigma = 0.01 * np.linalg.svd(layer.weight, compute_uv=False).min()
    certificate = Certificate(Kind.BOUNDED, None, recession=Face(Multipliers(order, values, sigma)))
    claims = [claim(layer, x, Kind.BOUNDED, certificate) for x in X]
    return [c for c in claims if c.dimension > 0]


def singletons_by_rank(seed: int) -> list[Any]:
    layer, X = nearby(seed, 60, 12, 25)
    certificate = Certificate(Kind.SINGLETON, None)
    return [c for c in (claim(layer, x, Kind.SINGLETON, certificate) for x in X) if c.dimension == 0]


def in_a_box(seed: int) -> list[Any]:
    """Samples with different coordinates at 0 that share a direction into their preimages."""
    generator = generator_of(seed)
    n = 30
    X = np.where((generator.random((12, n)) < 0.3) & (np.arange(n) < 10), 0.0, generator.uniform(0.1, 0.9, (12, n)))
    weight = generator.standard_normal((20, n))
    layer = fs.ReLULayer(weight, -np.median(weight @ X.T, axis=1))
    active, zero = (layer(X) > 0).any(axis=0), (X == 0).any(axis=0)
    d = direction_for(weight[active], -np.eye(n)[zero])
    assert d is not None
    certificate = Certificate(Kind.BOUNDED, None, tangent=Face(None, along(layer, active, d)))
    return [claim(layer, x, Kind.BOUNDED, certificate, UNIT_BOX) for x in X]


def singletons_in_a_box(seed: int) -> list[Any]:
    """Samples with the same coordinates at 0, which only the bounds tell from all other inputs."""
    generator = generator_of(seed)
    n, zeros = 12, 9
    weight = np.concatenate([generator.standard_normal((8, n)), np.ones((1, n))])
    X = np.concatenate([np.zeros((10, zeros)), generator.uniform(0.1, 0.9, (10, n - zeros))], axis=1)
    layer = fs.ReLULayer(weight, np.append(np.full(8, 9.0), 0.5))
    values = multipliers_for(weight, -np.eye(n)[:zeros])
    assert values is not None
    rows = np.concatenate([np.arange(9), 9 + np.arange(zeros)])
    sigma = 0.01 * np.linalg.svd(weight[:, zeros:], compute_uv=False).min()
    certificate = Certificate(Kind.SINGLETON, None, tangent=Face(Multipliers(rows, values, sigma)))
    return [claim(layer, x, Kind.SINGLETON, certificate, UNIT_BOX, dimension=0) for x in X]


FAMILIES = (unbounded, bounded, singletons_by_rank, in_a_box, singletons_in_a_box)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_shared_certificates_are_proved_together(family: Any, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = family(seed)
    assert len(claims) > 1
    assert all(one_by_one(claims)), "the certificate proves each alone"
    assert all(fs.verify(c, exact=True) for c in claims[:2])
    looks: list[int] = []
    cones_at = system.Rows.cones_at
    monkeypatch.setattr(
        system.Rows, "cones_at", lambda rows, X, *more: (looks.append(len(X)), cones_at(rows, X, *more))[1]
    )
    assert verify_many(claims).all()
    assert looks == [len(claims)], "all of them at once"


@pytest.mark.parametrize(("seed", "size"), [(0, 2.0**-1000), (1, 2.0**-30), (2, 1.0)])
def test_outputs_of_different_precision_are_proved_together(
    seed: int, size: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sample has its own precision in each unit; those of none, and of some, share a certificate."""
    rng, looks, cones_at = generator_of(seed), list[int](), system.Rows.cones_at
    claims = unbounded(seed)
    layer = claims[0].layer
    loose = [
        SimpleNamespace(**vars(c) | {"within": size * rng.uniform(0.5, 1, layer.outputs), "dimension": layer.inputs})
        for c in claims
    ]
    partly = [SimpleNamespace(**vars(c) | {"within": c.within * (rng.random(layer.outputs) < 0.5)}) for c in loose]
    mixed = [c for three in zip(claims, loose, partly, strict=True) for c in three]
    monkeypatch.setattr(
        system.Rows, "cones_at", lambda rows, X, *more: (looks.append(len(X)), cones_at(rows, X, *more))[1]
    )
    proved = verify_many(mixed)
    assert looks == [len(mixed)], "all of them at once"
    assert proved.tolist() == one_by_one(mixed)
    assert proved[0::3].all()
    assert proved[1::3].all(), "the larger the precision, the larger the preimage"


@pytest.mark.parametrize("family", FAMILIES)
def test_users_of_one_part_are_looked_at_in_blocks(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "BLOCK", 2)
    claims = family(0)
    lies = [SimpleNamespace(**vars(c) | {"x": -3 * c.x}) for c in claims if c.kind == Kind.UNBOUNDED]
    assert verify_many([*claims, *lies]).tolist() == [True] * len(claims) + [False] * len(lies)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_thread_that_flushes_subnormal_numbers_proves_nothing(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread of the pool has its own mode, which the one that starts it does not see."""
    claims, main = family(0), threading.get_ident()
    monkeypatch.setattr(verdicts.matrices, "flushes_subnormal_numbers", lambda: threading.get_ident() != main)
    assert not verify_many(claims, threads=2).any()


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_agrees_with_one_proof_alone(case: Case) -> None:
    p = fs.preimage(fs.ReLULayer(case.weight, case.bias), **case.question)
    assert verify_many([p, p]).tolist() == one_by_one([p, p])


def test_neither_threads_nor_order_matter() -> None:
    claims = [c for family in FAMILIES for seed in range(2) for c in family(seed)]
    broken = [SimpleNamespace(**vars(c) | {"dimension": c.dimension + 1}) for c in claims[::5]]
    claims += [c for c in broken if c.kind != Kind.SINGLETON]
    order = generator_of(1).permutation(len(claims))
    proved = verify_many(claims)
    assert 0 < np.count_nonzero(~proved) < len(broken) + 1
    assert verify_many(claims, threads=3).tolist() == proved.tolist()
    assert verify_many([claims[k] for k in order], threads=2).tolist() == proved[order].tolist()


def test_zero_rows_and_parallel_rows_are_proved_together() -> None:
    claims = unbounded(0)
    layer, part = claims[0].layer, claims[0].certificate.recession.direction
    held, m = part.held, layer.outputs
    weight = np.concatenate([layer.weight, 4 * layer.weight, -0.5 * layer.weight[held], np.zeros((2, layer.inputs))])
    bias = np.concatenate([layer.bias, 4 * layer.bias, np.full(len(held), -20.0), [1.0, -1.0]])
    wider = fs.ReLULayer(weight, bias)
    wide = Direction(np.concatenate([held, m + held, 2 * m + np.arange(len(held) + 1)]), part.values, part.sigma, held)
    pairs = [*zip(m + held, held, strict=True), *zip(2 * m + np.arange(len(held)), held, strict=True)]
    factors = np.concatenate([np.tile([1.0, -4.0], len(held)), np.tile([1.0, 0.5], len(held))])
    parallel = Relations(np.arange(0, 2 * len(pairs) + 1, 2), np.array(pairs).ravel(), factors)
    certificate = Certificate(Kind.UNBOUNDED, None, recession=Face(None, wide), relations=parallel)
    copies = [claim(wider, c.x, c.kind, certificate, dimension=c.dimension) for c in claims]
    assert all(one_by_one(copies))
    assert verify_many(copies).all()
    alone = replace(certificate, relations=None)
    assert not verify_many([SimpleNamespace(**vars(c) | {"certificate": alone}) for c in copies]).any()


# What lies is refused


def with_part(c: Any, **changes: Any) -> Any:
    """The claim with another direction, or other multipliers, in its certificate."""
    name = "tangent" if c.certificate.tangent is not None else "recession"
    face = copy.copy(getattr(c.certificate, name))
    sort = "multipliers" if face.multipliers is not None else "direction"
    part = copy.copy(getattr(face, sort))
    for field, value in changes.items():  # past the shape checking of the tests: the reader must refuse it
        object.__setattr__(part, field, value)
    object.__setattr__(face, sort, part)
    return SimpleNamespace(**vars(c) | {"certificate": replace(c.certificate, **{name: face})})


def corrupted(c: Any, name: str) -> Any:
    certificate = c.certificate
    face = certificate.tangent or certificate.recession
    part = face.multipliers or face.direction
    field = "rows" if isinstance(part, Multipliers) else "held"
    rows, values = getattr(part, field), part.values
    positive = int(np.flatnonzero(c.layer(c.x) > 0)[0])
    return {
        "a positive row is missing": lambda: with_part(c, **{field: rows[rows != positive]}),
        "another vector": lambda: with_part(c, values=np.roll(values, 1)),
        "reversed": lambda: with_part(c, values=-values),
        "a large singular value": lambda: with_part(c, sigma=1e6 * part.sigma),
        "a singular value of 0": lambda: with_part(c, sigma=0.0),
        "NaN": lambda: with_part(c, values=np.where(np.arange(len(values)) == 1, np.nan, values)),
        "zero": lambda: with_part(c, values=0 * values),
        "float16": lambda: with_part(c, values=values.astype(np.float16)),
        "too short": lambda: with_part(c, values=values[:-1]),
        "too long": lambda: with_part(c, values=np.append(values, 1.0)),
        "a list": lambda: with_part(c, values=list(values)),
        "rows named twice": lambda: with_part(c, **{field: np.append(rows[:-1], rows[0])}),
        "rows of floats": lambda: with_part(c, **{field: rows.astype(np.float64)}),
        "a row that does not exist": lambda: with_part(c, **{field: np.append(rows[:-1], 10**6)}),
        "a negative row number": lambda: with_part(c, **{field: np.append(rows[:-1], -1)}),
        "no certificate": lambda: SimpleNamespace(**vars(c) | {"certificate": None}),
        "another kind": lambda: SimpleNamespace(**vars(c) | {"kind": Kind.EMPTY}),
        "no part": lambda: SimpleNamespace(**vars(c) | {"certificate": Certificate(c.kind, None)}),
        "another dimension": lambda: SimpleNamespace(**vars(c) | {"dimension": c.dimension + 1}),
        "a dimension of another type": lambda: SimpleNamespace(**vars(c) | {"dimension": float(c.dimension)}),
        "another dimension named": lambda: SimpleNamespace(
            **vars(c) | {"certificate": replace(certificate, dimension=c.dimension - 1)}
        ),
        "x outside": lambda: SimpleNamespace(**vars(c) | {"x": c.x * np.nan}),
        "x of another length": lambda: SimpleNamespace(**vars(c) | {"x": c.x[:-1]}),
        "x and y": lambda: SimpleNamespace(**vars(c) | {"y": c.layer(c.x)}),
    }[name]()


CORRUPTIONS = (
    *("a large singular value", "a singular value of 0"),
    *("another vector", "reversed", "NaN", "zero", "float16", "too short", "too long", "a list", "rows named twice"),
    *("rows of floats", "a row that does not exist", "a negative row number", "no certificate", "another kind"),
    *("no part", "another dimension", "a dimension of another type", "another dimension named", "x outside"),
    *("x of another length", "x and y", "a positive row is missing"),
)


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("family", [unbounded, bounded, in_a_box, singletons_in_a_box])
def test_what_is_corrupted_is_refused(family: Any, name: str) -> None:
    honest = family(0)
    claims = [corrupted(c, name) for c in honest]
    proved = verify_many([*claims, *honest])
    assert proved.tolist() == one_by_one([*claims, *honest])
    assert proved[len(claims) :].all(), "what lies does not spoil what does not"
    assert not proved[: len(claims)].any()


def test_certificates_of_other_samples() -> None:
    claims = [*unbounded(0), *bounded(0), *singletons_by_rank(0)]
    others = [*unbounded(1), *bounded(1), *singletons_by_rank(1)]
    for shift in range(1, len(claims), 5):
        swapped = [
            SimpleNamespace(**vars(c) | {"certificate": o.certificate, "kind": o.kind})
            for c, o in zip(claims, [*others[shift:], *others[:shift]], strict=False)
        ]
        assert verify_many(swapped).tolist() == one_by_one(swapped)


def test_a_direction_for_some_of_its_samples_only() -> None:
    claims = unbounded(0)
    layer = claims[0].layer
    far = [claim(layer, -3 * c.x, Kind.UNBOUNDED, c.certificate) for c in claims]
    assert not any(one_by_one(far)), "their positive rows are others"
    assert verify_many([*claims, *far]).tolist() == [True] * len(claims) + [False] * len(far)


def test_claims_of_different_sorts_side_by_side() -> None:
    layer = fs.ReLULayer([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [-1.0, -1.0, -1.0])
    sparse = fs.ReLULayer(csr_array(layer.weight), layer.bias)
    X = [[2, 2], [0, 0], [2, 0]]
    by_input = [fs.preimage(one, x=x, domain=d) for one in (layer, sparse) for d in (None, fs.NonNegative()) for x in X]
    by_output = [fs.preimage(layer, y=[1.0, 1.0, 0.0]), fs.preimage(layer, y=[-1.0, 0.0, 0.0])]
    odd = [SimpleNamespace(**vars(by_input[0]) | {"layer": None}), SimpleNamespace(**vars(by_input[1]) | {"domain": 3})]
    claims = [*by_output, *by_input, *odd, *odd]
    expected = one_by_one(claims)
    assert verify_many(claims).tolist() == expected
    assert sum(expected) == len(by_input) + len(by_output)
    assert verify_many([]).tolist() == []


def test_a_certificate_that_is_another_at_each_look() -> None:
    claims = unbounded(0)
    genuine, empty = claims[0].certificate, Certificate(Kind.SINGLETON, 0)

    class Changing(SimpleNamespace):
        looks = 0

        @property
        def certificate(self) -> Certificate:
            Changing.looks += 1
            return genuine if Changing.looks % 2 else empty

    said = {name: value for name, value in vars(claims[0]).items() if name != "certificate"}
    for kind, dimension in ((Kind.SINGLETON, 0), (Kind.UNBOUNDED, said["dimension"] + 1)):
        lying = [Changing(**said | {"kind": kind, "dimension": dimension}) for _ in range(3)]
        assert not verify_many(lying).any()


def random_claims(seed: int) -> list[Any]:
    """Points of a small layer, with true and untrue verdicts, with certificates put together from several."""
    group = fuzz_questions.group(seed)
    rng = generator_of(seed)
    writer = fuzz_certificates.Writer(group, rng)
    asked = [question for question in group.questions if question.x is not None]
    claims: list[Any] = []
    for _ in range(6):
        shared = writer.certificate()
        for question in asked:
            kind, dimension = question.truth if rng.random() < 0.5 else (str(shared.kind), shared.dimension)
            said = {"kind": Kind(kind), "dimension": dimension, "domain": group.domain, "within": question.within}
            claims.append(
                SimpleNamespace(
                    layer=group.layer, x=question.x, y=None, truth=question.truth, certificate=shared, **said
                )
            )
    return claims


@pytest.mark.exhaustive
@examples(60)
@given(st.integers(0, 10**6))
def test_what_is_proved_together_is_proved_alone_and_true(seed: int) -> None:
    claims = random_claims(seed)
    proved = verify_many(claims)
    assert proved.tolist() == one_by_one(claims)
    for c, closes in zip(claims, proved, strict=True):
        assert not closes or (c.kind == c.truth[0] and c.dimension in (None, c.truth[1]))
