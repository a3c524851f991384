"""What ``make test-all`` checks as tests run: wrong shapes and wrong types are found, right ones pass."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jaxtyping
import numpy as np
import pytest

import shape_checks

SOURCE = """
from __future__ import annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING
import numpy as np
from jaxtyping import Float64
if TYPE_CHECKING:
    from nowhere import Unknown

Square = Float64[np.ndarray, "n n"]

def product(A: Float64[np.ndarray, "m n"], x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " m"]:
    return A @ x

def wrong(A: Float64[np.ndarray, "m n"], x: Float64[np.ndarray, " n"]) -> tuple[Float64[np.ndarray, " m"], int]:
    return x, 1

def trace(A: Square) -> float:
    return float(A.trace())

def count(n: int) -> str:
    return n * "a" if n else None

def unknown(x: Unknown, n: int) -> int:
    return n

@dataclass(frozen=True)
class Pair:
    A: Float64[np.ndarray, "m n"]
    b: Float64[np.ndarray, " m"]

    @property
    def rows(self) -> int:
        return str(len(self.b))

    @classmethod
    def of(cls, n: int) -> Pair:
        return cls(np.eye(n), np.zeros(n))

@dataclass
class Named:
    name: str

def outer(n: int) -> list[int]:
    def inner(each: str) -> int:
        return each
    return [inner(each) for each in range(n)]
"""
names = (f"some_package_{number}" for number in itertools.count())


@pytest.fixture(name="checked")
def _checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module whose shapes are checked."""
    name = next(names)
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(jaxtyping, "jaxtyped", jaxtyping.jaxtyped)
    was = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", False)
    shape_checks.install(name)
    yield importlib.import_module(name)
    jaxtyping.config.update("jaxtyping_disable", was)


def test_what_is_right_passes(checked: ModuleType) -> None:
    assert checked.product(np.ones((2, 3)), np.ones(3)).tolist() == [3.0, 3.0]
    assert checked.trace(np.eye(3)) == 3.0
    assert checked.count(2) == "aa"
    assert checked.unknown("anything", 1) == 1
    assert checked.Pair.of(2).b.tolist() == [0.0, 0.0]
    assert checked.outer(2) == [0, 1], "functions within others are left to pyright"


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("product", (np.ones((2, 3)), np.ones(2))),
        ("product", (np.ones((2, 3)), np.ones(3, dtype=np.float32))),
        ("product", (np.ones((2, 3)), [1.0, 1.0, 1.0])),
        ("wrong", (np.ones((2, 3)), np.ones(3))),
        ("trace", (np.ones((2, 3)),)),
        ("count", ("a",)),
        ("count", (0,)),
        ("unknown", (1, "a")),
        ("Pair", (np.ones((2, 3)), np.ones(3))),
        ("Named", (1,)),
        ("outer", (1.5,)),
    ],
)
def test_what_is_wrong_is_found(checked: ModuleType, function: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(Exception, match=r"Type-check error|violates type hint"):
        getattr(checked, function)(*arguments)


@pytest.mark.parametrize(("function", "arguments"), [("trace", (np.ones((2, 3)),)), ("count", (0,))])
def test_nothing_is_checked_where_it_is_switched_off(
    checked: ModuleType, function: str, arguments: tuple[object, ...]
) -> None:
    jaxtyping.config.update("jaxtyping_disable", True)
    assert getattr(checked, function)(*arguments) == {"trace": 2.0, "count": None}[function]


def test_the_first_calls_in_each_test_are_checked_and_some_later_ones(checked: ModuleType) -> None:
    def found() -> bool:
        try:
            return checked.count(0) is not None
        except Exception as error:
            return "violates type hint" in str(error)

    def trace_found() -> bool:
        try:
            return bool(np.isnan(checked.trace(np.eye(2)[:, :1])))
        except Exception as error:
            return "Type-check error" in str(error)

    for call in (found, trace_found):
        for _ in range(2):
            shape_checks.begin_test()
            were = [call() for _ in range(2 * shape_checks.ONE_OF_LATER)]
            later = were[shape_checks.FIRST_CALLS :]
            assert all(were[: shape_checks.FIRST_CALLS])
            assert sum(later) == 2


def test_methods_and_properties_are_checked(checked: ModuleType) -> None:
    with pytest.raises(Exception, match=r"Type-check error|violates type hint"):
        _ = checked.Pair.of(2).rows
    with pytest.raises(Exception, match=r"Type-check error|violates type hint"):
        checked.Pair.of("2")
