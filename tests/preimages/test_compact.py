"""Long arrays of certificates are stored compactly, and nothing is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fiberscope.checker.certificates import VERSION, NotProvedError, Reader
from fiberscope.errors import InputError
from fiberscope.preimages.certificate import Certificate, Direction, Face, Multipliers
from fiberscope.preimages.compact import LONG, LONGEST, expanded, packed, unpacked
from fiberscope.preimages.kind import Kind

N = 4 * LONG


def vectors() -> dict[str, tuple[str, np.ndarray]]:
    """By what they are: the form that is expected, and numbers."""
    rng = np.random.default_rng(0)
    few = np.zeros(N)
    few[[3, 77, N - 1]] = rng.normal(size=3)
    negative_zero = few.copy()
    negative_zero[5] = -0.0
    return {
        "single": ("<f4", rng.normal(size=N).astype(np.float32).astype(np.float64)),
        "double": ("<f8", rng.normal(size=N)),
        "too large for float32": ("<f8", np.full(N, 1e300)),
        "subnormal in float32": ("<f8", np.full(N, 1e-60)),
        "few": ("sparse", few),
        "negative zero": ("sparse", negative_zero),
        "none": ("sparse", np.zeros(N)),
        "a set": ("set", np.flatnonzero(rng.uniform(size=2 * N) < 0.5)),
        "far apart": ("<i4", np.sort(rng.choice(2**30, size=N, replace=False))),
        "in no order": ("<i4", rng.permutation(N)),
        "large": ("<i8", np.arange(N) + 2**40),
        "short": ("<f8", np.ones(LONG)),
    }


@pytest.mark.parametrize("name", list(vectors()))
def test_both_readers_get_every_number_back(name: str):
    form, numbers = vectors()[name]
    found, data = packed(numbers)
    assert found == form
    assert form == "<f8" or form == "<i8" or len(data) < 4.1 * len(numbers)
    read, end = unpacked(found, len(numbers), b"before" + data, 6)
    assert end == 6 + len(data)
    assert read.dtype == numbers.dtype
    assert read.tobytes() == numbers.tobytes()


def test_a_certificate_is_the_same_after_storing():
    (_, weights), (_, rows), (_, few) = (vectors()[name] for name in ("single", "a set", "few"))
    part = Multipliers(rows[: len(weights)], weights[: len(rows)][: len(rows)], 0.5)
    certificate = Certificate(Kind.BOUNDED, None, recession=Face(part, Direction(rows, few)))
    data = certificate.to_bytes()
    back = Certificate.from_bytes(data)
    assert back.to_bytes() == data
    assert back.recession is not None
    assert back.recession.multipliers is not None
    assert back.recession.multipliers.values.tobytes() == part.values.tobytes()
    assert len(data) < 6 * len(weights)
    plain = certificate.to_bytes(compact=False)
    assert expanded(data) == plain
    assert expanded(plain) is plain
    read = Reader(3 * N, N, 0).read(plain).recession
    assert read.multipliers.values.tobytes() == part.values.tobytes()
    assert read.direction.values.tobytes() == few.tobytes()


@pytest.mark.parametrize(
    ("form", "count", "data"),
    [
        ("set", 2, (1).to_bytes(8, "little") + bytes([7])),
        ("sparse", 4, (1).to_bytes(8, "little") + np.array([4]).tobytes() + np.array([1.0]).tobytes()),
        ("sparse", LONGEST + 1, (0).to_bytes(8, "little")),
        ("<f2", 1, bytes(2)),
        ("<f8", -1, bytes(8)),
        ("set", -1, (1).to_bytes(8, "little") + bytes([0])),
        ("set", 2, (2**64 - 1).to_bytes(8, "little") + bytes([7])),
        ("sparse", 4, (2**64 - 1).to_bytes(8, "little") + bytes(16)),
    ],
)
def test_what_is_no_such_array_stays_as_it_is_and_the_checker_refuses_it(form: str, count: int, data: bytes):
    header = json.dumps({"certificate": {"version": VERSION}, "arrays": {"zero": [form, [count]]}}).encode()
    written = len(header).to_bytes(8, "little") + header + data
    assert expanded(written) == written
    with pytest.raises((NotProvedError, ValueError)):
        Reader(2, 2, 0).read(written)
    with pytest.raises(InputError):
        Certificate.from_bytes(written)
