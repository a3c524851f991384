"""Nothing imports itself in a circle, imports of rooms point one way, and the drawings are what is imported."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
spec = spec_from_file_location("rooms", ROOT / "tools" / "rooms.py")
assert spec is not None
assert spec.loader is not None
rooms = module_from_spec(spec)
spec.loader.exec_module(rooms)


@pytest.fixture(name="graph", scope="module")
def _graph() -> dict[str, set[str]]:
    return rooms.imports(rooms.PACKAGE)


def test_no_module_imports_itself_in_a_circle(graph: dict[str, set[str]]) -> None:
    assert len(graph) > 300
    TopologicalSorter(graph).prepare()  # names the modules of a circle


def test_no_room_imports_itself_in_a_circle(graph: dict[str, set[str]]) -> None:
    home = {module: name for name, modules in rooms.rooms(graph).items() for module in modules if name != rooms.GROUND}
    sides = {(home[a], home[b]) for a, below in graph.items() for b in below if a in home and b in home}
    of_rooms = {room: {b for a, b in sides if a == room and a != b} for room in set(home.values())}
    assert of_rooms["checker"] == set()
    TopologicalSorter(of_rooms).prepare()


@pytest.mark.parametrize(
    "back",
    [
        "from package import above",
        "from package.above import name",
        "import package.above",
        "from . import above",
        "def later():\n    from package.above import name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from package.above import name",
    ],
)
def test_every_way_to_import_is_seen(tmp_path: Path, back: str) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "above.py").write_text("from package.below import name\n")
    (package / "below.py").write_text("import os\n")
    TopologicalSorter(rooms.imports(package)).prepare()
    (package / "below.py").write_text(back)
    with pytest.raises(CycleError) as found:
        TopologicalSorter(rooms.imports(package)).prepare()
    assert set(found.value.args[1]) == {"package.above", "package.below"}


def test_modules_import_lower_lines_only(graph: dict[str, set[str]]) -> None:
    for modules in rooms.rooms(graph).values():
        lines = rooms.levels(modules, graph)
        assert sorted(each for line in lines for each in line) == modules
        for place, line in enumerate(lines):
            seen = {below for module in line for below in graph[module] & set(modules)}
            assert seen <= {each for lower in lines[place + 1 :] for each in lower}


def test_the_drawings_are_what_is_imported(graph: dict[str, set[str]]) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert rooms.drawn(text, graph) == text, "run python tools/rooms.py"
    for room in rooms.rooms(graph):
        assert rooms.drawing(room, graph) in text, room
