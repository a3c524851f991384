"""The atlas page says what was measured, and measuring refuses files that are not those that are named."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent


def tool(name: str) -> ModuleType:
    """A file of tools/ as a module."""
    path = ROOT / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


atlas, page = tool("atlas"), tool("atlas_page")


def test_the_page_is_what_was_measured() -> None:
    measured = page.read(atlas.ENTRIES, ROOT / "docs" / "atlas")
    written = page.text(atlas.ENTRIES, measured, f"atlas/{atlas.PICTURE}")
    assert len(measured) >= 15
    assert (ROOT / "docs" / "atlas.md").read_text(encoding="utf-8") == written


def test_every_result_is_of_a_network_that_is_named() -> None:
    names = [entry.name for entry in atlas.ENTRIES]
    assert len(set(names)) == len(names)
    assert {path.stem for path in (ROOT / "docs" / "atlas").glob("*.json")} <= set(names)


def test_another_file_by_the_same_name_is_refused(tmp_path: Path) -> None:
    entry = atlas.ENTRIES[0]
    assert atlas.file_of(entry, [tmp_path]) is None
    (tmp_path / Path(entry.path).name.removesuffix(".gz")).write_bytes(b"another network")
    with pytest.raises(SystemExit, match="another file"):
        atlas.file_of(entry, [tmp_path])


def test_medians_leave_out_what_is_not_known() -> None:
    assert atlas.middle([3.0, None, float("inf"), 1.0]) == 2.0
    assert atlas.middle([None]) is None


def test_a_layer_without_an_answer_says_so() -> None:
    class Busy:
        """Has no time for the second layer."""

        def __init__(self) -> None:
            self.shares: list[float] = []

        def ask(self, question: object, seconds: float, *arguments: object) -> dict[str, object]:
            self.shares.append(seconds)
            return {"reason": f"no answer in {seconds:.0f} s"} if arguments[-1] == 1 else {"reached": 0.5}

    entry, worker = next(each for each in atlas.ENTRIES if each.samples != "mnist"), Busy()
    rows = atlas.by_layer(atlas.reach, worker, 60.0, "", entry, 3)
    assert [row["layer"] for row in rows] == [0, 1, 2]
    assert worker.shares == pytest.approx([20.0, 30.0, 60.0], rel=0.01), "what is left is shared by the layers to come"
    assert page.reach_of({"reach": rows}) == "0.5 · no answer in 30 s · 0.5"
    assert page.rows({"reach": rows}, "reach") == [rows[0], rows[2]]
    assert page.reach_of({"reach": {"reason": "no answer in 120 s"}}) == "no answer in 120 s"
    assert atlas.by_layer(atlas.leaks, worker, 60.0, "", entry, 3) == [], "no digits, no 8 bits"
