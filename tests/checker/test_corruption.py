"""Certificates that lie: whatever is done to one, neither arithmetic proves a false statement, and nothing raises.

A statement is a kind and a dimension, about one layer, one input or output and one domain. Its truth comes from an
exact oracle. A corrupted certificate of a true statement may still prove it (a perturbed direction is often a
direction); of a false statement it never may.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
import oracles
from cases import CASES
from fiberscope.preimages.certificate import (
    Certificate,
    Direction,
    Face,
    Multipliers,
    Rational,
    Relations,
    Scaling,
)
from random_layers import random_layers

pytestmark = pytest.mark.skipif(
    not oracles.cdd_available(), reason="cddexec_gmp (Debian package libcdd-tools) is not installed"
)

PARTS = ("tangent", "recession", "basis", "zero", "counted", "relations", "scaling")
KINDS = ("empty", "singleton", "bounded", "unbounded", "undecided")


@dataclass(frozen=True, eq=False)
class Subject:
    """A decided preimage and the truth about it."""

    preimage: fs.Preimage
    truth: tuple[str, int]
    name: str = ""


def _truth(p: Any) -> tuple[str, int]:
    answer = oracles.cdd_answer(oracles.mixed_system(p.layer.weight, p.layer.bias, x=p.x, y=p.y, domain=p.domain))
    return answer.kind, answer.dimension


def _with(thing: Any, **changes: Any) -> Any:
    """A copy with other attributes, without asking the class whether they make sense."""
    changed = copy.copy(thing)
    for name, value in changes.items():
        object.__setattr__(changed, name, value)
    return changed


def _make(cls: type, **fields: Any) -> Any:
    """An instance with any content, without asking the class."""
    instance = object.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(instance, name, value)
    return instance


def _claim(subject: Subject, statement: tuple[Any, Any], **parts: Any) -> Any:
    """The subject's question, with this statement and these parts of the certificate."""
    kind, dimension = statement
    certificate = _with(subject.preimage.certificate, kind=kind, dimension=dimension, **parts)
    return _with(subject.preimage, kind=kind, dimension=dimension, certificate=certificate)


def _never_a_false_proof(claim: Any, truth: tuple[str, int]) -> int:
    """Run both checkers; return how many of them proved the statement, which is allowed only where it is true."""
    proofs = 0
    for exact in (False, True):
        verification = fs.verify(claim, exact=exact)
        assert "TypeCheckError" not in verification.reason, (
            "the reader, not the tests' shape checking, must refuse this"
        )
        assert "Beartype" not in verification.reason, "the reader, not the tests' shape checking, must refuse this"
        if verification.proved:
            said = truth[1] if claim.dimension is None else claim.dimension  # a kind alone is a statement, too
            assert (str(claim.kind), said) == truth, f"{verification.method} proves it; in truth {truth}"
            assert type(said) is int
            proofs += 1
        else:
            assert verification.reason
            break  # what was tried last, in vain, was rational arithmetic
    return proofs


def _false_statements(subject: Subject) -> list[tuple[Any, Any]]:
    """All other statements that are at least possible for some preimage in R^n."""
    n = subject.preimage.layer.inputs
    possible = [
        ("empty", -1),
        ("singleton", 0),
        *((kind, d) for kind in ("bounded", "unbounded") for d in range(1, n + 1)),
    ]
    return [(fs.Kind(kind), d) for kind, d in possible if (kind, d) != subject.truth]


def _subject(layer: fs.ReLULayer, name: str, **question: Any) -> Subject:
    p = fs.preimage(layer, **question)
    truth = _truth(p)
    assert (str(p.kind), p.dimension) == truth, name
    return Subject(p, truth, name)


@pytest.fixture(scope="module")
def family() -> list[Subject]:
    """Points, outputs and domains of every kind for one layer, so that certificates fit one another's shapes."""
    layer = fs.ReLULayer(
        [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 1], [1, 1, 1], [2, 0, 0], [0, 0, 0]], [0, 0, -1, 0, -2, -1, -1]
    )
    domains = (None, fs.Box(-1, 3), fs.NonNegative(), fs.HalfSpaces([[0, 0, 1], [0, 0, -1]], [2, 1]))
    points = ([0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 2, 2], [1, 0, 1], [0, 0, 2], [2, 3, 1], [0.5, 0, 0])
    outputs = (
        [0, 0, 0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0, 0, 0],
        [1, 0, 1, 0, 1, 1, 0],
        [0, 0, 4, 0, 3, 0, 0],
        [0, -1, 0, 0, 0, 0, 0],
        [3, 0, 0, 1, 3, 5, 0],
    )
    subjects = [
        _subject(layer, f"x={x} {type(d).__name__}", x=np.array(x, float), domain=d) for x in points for d in domains
    ]
    subjects += [
        _subject(layer, f"y={y} {type(d).__name__}", y=np.array(y, float), domain=d) for y in outputs for d in domains
    ]
    assert {subject.truth[0] for subject in subjects} == {"empty", "singleton", "bounded", "unbounded"}
    return subjects


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    """Different layers, all kinds, by point and by output, certificates with every part."""
    names = {
        *("simplex at its apex", "simplex with room", "directions, nowhere strict", "singleton at thirds"),
        *("implicit equalities with room elsewhere", "barely omnidirectional", "barely not omnidirectional"),
        *("y misses by one rounding", "half-spaces that exclude each other", "touches nothing of the domain"),
        *("some pixels on the box", "nonnegative ray"),
    }
    chosen = [case for case in CASES if case.name in names]
    assert len(chosen) == len(names)
    made = [_subject(fs.ReLULayer(case.weight, case.bias), case.name, **case.question) for case in chosen]
    made += [
        _subject(fs.ReLULayer(q.weight, q.bias), str(q), **q.question)
        for q in random_layers(10, seed=31, inputs=3, outputs=6)
    ]
    faces = [face for s in made for face in (s.preimage.certificate.tangent, s.preimage.certificate.recession) if face]
    for part in ("multipliers", "direction"):
        assert any(getattr(face, part) is not None for face in faces), f"no certificate has {part}"
    return made


def test_the_certificates_are_good_before_anything_is_done_to_them(
    family: list[Subject], subjects: list[Subject]
) -> None:
    for subject in family + subjects:
        assert (
            _never_a_false_proof(_claim(subject, (subject.preimage.kind, subject.preimage.dimension)), subject.truth)
            == 2
        ), subject.name


@pytest.mark.exhaustive
def test_the_genuine_certificate_under_every_false_statement(family: list[Subject], subjects: list[Subject]) -> None:
    for subject in family + subjects:
        for statement in _false_statements(subject):
            assert _never_a_false_proof(_claim(subject, statement), subject.truth) == 0
            half = _with(subject.preimage, kind=statement[0], dimension=statement[1])
            assert _never_a_false_proof(half, subject.truth) == 0, "verdict and certificate disagree"


def test_statements_that_are_none(subjects: list[Subject]) -> None:
    strange_kinds = (
        "undecided",
        fs.Kind.UNDECIDED,
        "",
        "Bounded",
        None,
        3,
        float("nan"),
        [],
        b"empty",
        np.array(["bounded"]),
    )
    strange_dimensions = (True, 1.0, "1", -2, 10**30, float("nan"), [], np.array([1]), np.array(1.5), 1j)
    for subject in subjects:
        for kind in strange_kinds:
            assert _never_a_false_proof(_claim(subject, (kind, subject.truth[1])), subject.truth) == 0
        for dimension in strange_dimensions:
            assert not fs.verify(_claim(subject, (subject.preimage.kind, dimension)))
            assert not fs.verify(_claim(subject, (subject.preimage.kind, dimension)), exact=True)


@pytest.mark.exhaustive
def test_certificates_swapped_between_samples(family: list[Subject]) -> None:
    proofs = 0
    for subject, other in itertools.product(family, family[::3]):
        swapped = other.preimage.certificate
        claim = _with(subject.preimage, kind=swapped.kind, dimension=swapped.dimension, certificate=swapped)
        proofs += _never_a_false_proof(claim, subject.truth)
    assert proofs > len(family[::3]), (
        "some certificates do serve other samples, so the comparison with the truth was made"
    )


@pytest.mark.exhaustive
def test_parts_of_certificates_mixed_at_random(family: list[Subject]) -> None:
    generator = np.random.default_rng(0)
    pool = {part: [getattr(s.preimage.certificate, part) for s in family] for part in PARTS}
    for _ in range(800):
        subject = family[generator.integers(len(family))]
        statements = _false_statements(subject)
        statement = statements[generator.integers(len(statements))]
        parts = {part: pool[part][generator.integers(len(family))] for part in PARTS if generator.random() < 0.8}
        assert _never_a_false_proof(_claim(subject, statement, **parts), subject.truth) == 0


def _vectors(length: int) -> Iterator[Any]:
    """Bad and extreme vectors."""
    for value in (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 1e308, -1e308, 5e-324, 2.0**-1060):
        yield np.full(length, value)
    yield from (
        np.ones(length + 1),
        np.ones(max(length - 1, 0)),
        np.zeros(0),
        np.ones((length, 1)),
        np.ones((1, length)),
        np.array(1.0),
    )
    yield from (np.ones(length, int), np.ones(length, complex), np.ones(length, np.float32), np.ones(length, bool))
    yield from (
        np.array(["a"] * length),
        np.array([None] * length, dtype=object),
        np.ma.masked_all(length),
    )
    yield from (None, 1.0, "1", b"1", [1.0] * length, [[1.0], [1.0, 2.0]], {}, object(), lambda: 1)
    rational = (
        ((1,) * length, 0),
        ((1,) * length, -1),
        ((-1,) * length, -1),
        ((1,) * length, 10**400),
        ((10**400,) * length, 1),
    )
    more = (
        ((), 1),
        ((0,) * length, 1),
        ((1,) * (length + 1), 1),
        ((1.5,) * length, 1),
        (("1",) * length, 1),
        ((1,) * length, 1.5),
    )
    last = (
        ((None,) * length, 1),
        ((1,) * length, None),
        (None, 1),
        ((True,) * length, True),
        ((math.nan,) * length, 1),
        ([1] * length, 1),
    )
    for numerators, denominator in (*rational, *more, *last):
        yield _make(Rational, numerators=numerators, denominator=denominator)


def _row_lists(rows: Any, count: int) -> Iterator[Any]:
    """Bad and misleading lists of row numbers; ``count`` is the number of all rows."""
    rows = np.asarray(rows)
    yield from (
        -1 - rows,
        rows + count,
        np.append(rows, -1),
        np.append(rows, count),
        np.append(rows, 2**62),
        rows[::-1],
    )
    yield from (
        np.append(rows, rows),
        rows[:-1],
        np.zeros(0, np.int64),
        np.arange(count),
        np.arange(count)[::-1],
        rows * 0,
    )
    yield from (
        rows.astype(float),
        rows + 0.5,
        rows.astype(bool),
        rows.astype(np.uint64),
        rows.astype(object),
        rows[:, None],
    )
    yield from (
        None,
        3,
        "012",
        rows.tolist(),
        [None],
        [[0], [0, 1]],
        {0, 1},
        object(),
        np.array(0),
        rows.astype(np.int8),
    )


def _length(thing: Any) -> int:
    try:
        return len(thing)
    except TypeError:
        return 1


def _replacements(part: Any, n: int, count: int) -> Iterator[Any]:
    """Everything that may stand where a part of a certificate stood."""
    yield from (None, 0, "part", b"", [], {}, object(), np.zeros(3), math.nan, lambda: None)
    yield from _row_lists(np.arange(2), count)
    multipliers, direction = getattr(part, "multipliers", None), getattr(part, "direction", None)
    rows = getattr(multipliers, "rows", np.arange(2))
    values = getattr(multipliers, "values", np.ones(len(rows)))
    held = getattr(direction, "held", np.arange(1))
    for sigma in (0.0, 1e-3, -1.0, math.nan, math.inf, "1", None, 10**400):
        yield Face(_make(Multipliers, rows=rows, values=values, sigma=sigma))
        yield Face(None, _make(Direction, held=held, values=-np.eye(n)[0], sigma=sigma, basis=None))
    for sigma in (0.0, 1e-3):
        for vector in _vectors(len(rows)):
            yield Face(_make(Multipliers, rows=rows, values=vector, sigma=sigma), direction)
        for vector in _vectors(n):
            yield Face(multipliers, _make(Direction, held=held, values=vector, sigma=sigma, basis=None))
        for numbers in _row_lists(rows, count):
            yield Face(_make(Multipliers, rows=numbers, values=np.ones(_length(numbers)), sigma=sigma), direction)
            yield Face(multipliers, _make(Direction, held=numbers, values=-np.eye(n)[0], sigma=sigma, basis=None))
            yield Face(multipliers, _make(Direction, held=held, values=np.eye(n)[0], sigma=sigma, basis=numbers))
    for numbers in _row_lists(np.arange(2), count):
        yield _make(Relations, starts=numbers, rows=np.arange(2), values=np.ones(2))
        yield _make(Relations, starts=np.array([0, _length(numbers)]), rows=numbers, values=np.ones(_length(numbers)))
        yield _make(Scaling, rows=numbers, columns=np.zeros(n, np.int64))
    for vector in _vectors(2):
        yield _make(Relations, starts=np.array([0, 2]), rows=np.arange(2), values=vector)
    for exponent in (-(2**63), 2**63 - 1, -4201, 5000, 1000, -1000, 1):
        yield Scaling(np.full(count - n, exponent), np.full(n, exponent))
    yield from (_make(sort) for sort in (Face, Multipliers, Direction, Relations, Scaling, Rational))
    yield from (Face(_make(Multipliers)), Face(None, _make(Direction)))


@pytest.mark.exhaustive(every=0)
@pytest.mark.parametrize("part", PARTS)
def test_every_part_replaced_by_garbage(subjects: list[Subject], part: str) -> None:
    generator = np.random.default_rng(PARTS.index(part))
    for subject in subjects[PARTS.index(part) :: 10]:
        p = subject.preimage
        G = getattr(p.domain, "G", np.zeros((0, 0)))
        count = p.layer.outputs + p.layer.inputs + len(G)
        false = _false_statements(subject)
        for replacement in _replacements(getattr(p.certificate, part), p.layer.inputs, count):
            if generator.random() < 0.25:
                _never_a_false_proof(_claim(subject, (p.kind, p.dimension), **{part: replacement}), subject.truth)
            statement = false[generator.integers(len(false))]
            assert _never_a_false_proof(_claim(subject, statement, **{part: replacement}), subject.truth) == 0


def _disturbed(values: Any, generator: np.random.Generator) -> Any:
    """Numbers changed a little or much, at one place or all."""
    if isinstance(values, Rational):
        numerators = list(values.numerators)
        k = generator.integers(len(numerators)) if numerators else 0
        numerators[k : k + 1] = (
            [int(generator.choice([0, 1, -1, 7])) + numerators[k] * int(generator.choice([1, -1]))]
            if numerators
            else []
        )
        return Rational(tuple(numerators), values.denominator * int(generator.choice([1, 2])))
    array = np.array(values, dtype=float)
    if not array.size:
        return array
    match generator.integers(6):
        case 0:
            return array * (1 + generator.choice([2.0**-52, 1e-9, 0.1]) * generator.normal(size=array.size))
        case 1:
            return array + generator.choice([2.0**-60, 1e-12, 1.0]) * generator.normal(size=array.size)
        case 2:
            return array * generator.choice([-1.0, 1.0], array.size)
        case 3:
            return generator.permutation(array)
        case 4:
            array[generator.integers(array.size)] = generator.choice(
                [0.0, math.nan, math.inf, -math.inf, 1e300, 5e-324, -1.0]
            )
            return array
        case _:
            return array * generator.choice([1e-300, 1e300, 2.0**-1074, -1.0])


def test_numbers_disturbed_at_random(family: list[Subject], subjects: list[Subject]) -> None:
    generator = np.random.default_rng(1)
    for subject in family[::3] + subjects:
        certificate = subject.preimage.certificate
        for _ in range(12):
            parts: dict[str, Any] = {}
            for name in ("tangent", "recession"):
                face = getattr(certificate, name) or Face()
                disturbed = [
                    part if part is None else _with(part, values=_disturbed(part.values, generator))
                    for part in (face.multipliers, face.direction)
                    if part is None or part.values is not None
                ]
                parts[name] = Face(*disturbed[:1], *disturbed[1:2])
            _never_a_false_proof(
                _claim(subject, (subject.preimage.kind, subject.preimage.dimension), **parts), subject.truth
            )


def _other_questions(p: Any, generator: np.random.Generator) -> Iterator[Any]:
    """The same certificate beside a layer, an input, an output or a domain that is not the one it was made for."""
    A, b = np.array(p.layer.weight), np.array(p.layer.bias)
    i, j = generator.integers(A.shape[0]), generator.integers(A.shape[1])
    for change in (np.nextafter(A[i, j], math.inf), -A[i, j], 0.0, A[i, j] + 1):
        weight = A.copy()
        weight[i, j] = change
        yield _with(p, layer=fs.ReLULayer(weight, b))
    for change in (np.nextafter(b[i], math.inf), np.nextafter(b[i], -math.inf), b[i] + 1, b[i] - 1):
        bias = b.copy()
        bias[i] = change
        yield _with(p, layer=fs.ReLULayer(A, bias))
    order = generator.permutation(A.shape[0])
    yield _with(p, layer=fs.ReLULayer(A[order], b[order]))
    yield _with(p, layer=fs.ReLULayer(np.vstack([A, -A[:1]]), np.append(b, -b[0])))
    given, name = (p.x, "x") if p.y is None else (p.y, "y")
    for change in (np.nextafter(given[0], math.inf), np.nextafter(given[0], -math.inf), 0.0, given[0] + 1):
        moved = given.copy()
        moved[0] = change
        yield _with(p, **{name: moved})
    for domain in (None, fs.NonNegative(), fs.Box(-1, 1), fs.Box(0, np.inf), fs.Box(0.5, 0.5)):
        yield _with(p, domain=domain)


def test_the_certificate_of_another_question(subjects: list[Subject]) -> None:
    """Also where x lies outside the new domain: then nothing that is said to hold x may be proved."""
    generator = np.random.default_rng(2)
    compared = 0
    for subject in subjects[::2]:
        for claim in _other_questions(subject.preimage, generator):
            if any(fs.verify(claim, exact=exact) for exact in (False, True)):
                if claim.y is None:
                    system = oracles.mixed_system(claim.layer.weight, claim.layer.bias, x=claim.x, domain=claim.domain)
                    assert system.holds(claim.x), "x lies outside the domain"
                assert (str(claim.kind), claim.dimension) == _truth(claim)
                compared += 1
    assert compared >= 20


def _neighbours() -> Iterator[tuple[tuple[Any, dict[str, Any]], tuple[Any, dict[str, Any]]]]:
    """Pairs of questions (weight and keyword arguments) on two sides of a border."""
    tiny, at_zero, square = 2.0**-60, {"x": [0.0, 0.0]}, fs.Box(0, 1)
    yield ([[1, tiny], [-1, tiny], [0, -1]], at_zero), ([[1, -tiny], [-1, -tiny], [0, -1]], at_zero)
    yield ([[1, 1], [1, 1 + 2.0**-52]], {"x": [1.0, 1.0]}), ([[1, 1], [1, 1]], {"x": [1.0, 1.0]})
    yield ([[0.1, 0.3], [-0.3, -0.9]], at_zero), ([[0.1, 0.3], [-0.2, -0.6]], at_zero)
    yield ([[1, 1]], {"y": [2.0], "domain": square}), ([[1, 1]], {"y": [2 + 2.0**-51], "domain": square})
    rows = [[1, 0], [0, 1], [1, 1]]
    yield (rows, {"y": [1.0, 1.0, 2.0]}), (rows, {"y": [1.0, 1.0, 2 + 2.0**-51]})
    yield ([[1], [-1]], {"x": [0.0]}), ([[1], [-1]], {"y": [0.0, 5e-324]})
    origin = {"x": [0.0, 0.0, 0.0]}
    yield ([[3, 0, 1], [-3, tiny, 0], [0, -1, -1]], origin), ([[3, 0, 1], [-3, 0, 0], [0, -1, -1]], origin)
    pairs = [[1, 0], [-1, 0], [0, 1], [0, -1]]
    yield (pairs, at_zero), ([[1, 0], [-1, 2.0**-1074], [0, 1], [0, -1]], at_zero)


def test_neighbouring_questions_with_one_rounding_between_them() -> None:
    """Questions that differ in the last bit and have different kinds: certificates prove their own only."""
    for pair in _neighbours():
        made = [_subject(fs.ReLULayer(A, np.zeros(len(A))), str(A), **question) for A, question in pair]
        for own, other in (made, made[::-1]):
            foreign = other.preimage.certificate
            claim = _with(own.preimage, kind=foreign.kind, dimension=foreign.dimension, certificate=foreign)
            _never_a_false_proof(claim, own.truth)
            for statement in _false_statements(own):
                parts = {part: getattr(foreign, part) for part in PARTS}
                assert _never_a_false_proof(_claim(own, statement, **parts), own.truth) == 0


def test_what_is_not_a_certificate_or_not_a_question(subjects: list[Subject]) -> None:
    for subject in subjects[::4]:
        p = subject.preimage
        for garbage in (None, 0, "certificate", b"", [], {}, object(), np.zeros(3), fs.Kind.EMPTY, type):
            assert not fs.verify(_with(p, certificate=garbage))
            assert not fs.verify(_with(p, certificate=garbage), exact=True)
        n = p.layer.inputs
        for x in (
            np.full(n, math.nan),
            np.full(n, math.inf),
            np.zeros(n + 1),
            np.zeros(0),
            "x",
            object(),
            np.zeros(n, complex),
            np.zeros((1, n)),
        ):
            _never_a_false_proof(_with(p, x=x, y=None, kind=fs.Kind.UNBOUNDED, dimension=n + 1), subject.truth)
            assert not fs.verify(_with(p, x=x, y=None))
            assert not fs.verify(_with(p, x=x, y=None), exact=True)
        assert not fs.verify(_with(p, x=np.zeros(n), y=np.zeros(p.layer.outputs))), "both x and y"
        assert not fs.verify(_with(p, x=None, y=None)), "neither x nor y"


def test_bytes_flipped_and_cut(subjects: list[Subject]) -> None:
    """What still reads as a certificate proves nothing false; what does not is an InputError."""
    generator = np.random.default_rng(3)
    read = 0
    for subject in subjects:
        data = subject.preimage.certificate.to_bytes()
        for _ in range(25):
            damaged = bytearray(data)
            damaged[generator.integers(len(data))] ^= 1 << int(generator.integers(8))
            if generator.random() < 0.2:
                damaged = damaged[: generator.integers(len(data) + 1)]
            try:
                certificate = Certificate.from_bytes(bytes(damaged))
            except fs.InputError:
                continue
            read += 1
            claim = _with(
                subject.preimage, kind=certificate.kind, dimension=certificate.dimension, certificate=certificate
            )
            _never_a_false_proof(claim, subject.truth)
    assert read >= 20


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 8,
        b"\xff" * 40,
        b"{}",
        (2**62).to_bytes(8, "little") + b"{}",
        b"\2" + b"\0" * 7 + b"{}",
        b"\4" + b"\0" * 7 + b"null",
    ],
)
def test_bytes_that_never_were_a_certificate(data: bytes) -> None:
    with pytest.raises(fs.InputError):
        Certificate.from_bytes(data)
