"""Which module imports which, and the drawings of the rooms in CONTRIBUTING.md that follow from it.

``python tools/rooms.py`` writes the drawings anew. A room is a folder of the package; the files beside these are the
ground. In a drawing a module imports modules of lower lines only.
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "fiberscope"
GROUND = "ground"
WIDTH = 118

Graph = dict[str, set[str]]


def imports(package: Path) -> Graph:
    """The modules of a package that each of its modules imports, anywhere in it: in functions and for types as well."""
    folder, files = package.parent, sorted(package.rglob("*.py"))
    names = {_name(path.relative_to(folder)): path for path in files}
    return {name: _imported(name, path, set(names)) - {name} for name, path in names.items()}


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imported(name: str, path: Path, known: set[str]) -> set[str]:
    found: set[str] = set()
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            found |= {each if (each := f"{source}.{alias.name}") in known else source for alias in node.names}
    return found & known


def rooms(graph: Graph) -> dict[str, list[str]]:
    """The modules of every room."""
    out: dict[str, list[str]] = {}
    for module in sorted(graph):
        parts = module.split(".")
        package = len(parts) == 2 and any(other.startswith(f"{module}.") for other in graph)
        if len(parts) > 1 and not package:
            out.setdefault(parts[1] if len(parts) > 2 else GROUND, []).append(module)
    return out


def levels(modules: list[str], graph: Graph) -> list[list[str]]:
    """Modules by the longest way down to one that imports no other, from above; there must be no circle."""
    inside, depth = set(modules), dict[str, int]()

    def of(module: str) -> int:
        if module not in depth:
            depth[module] = 1 + max((of(each) for each in graph[module] & inside), default=-1)
        return depth[module]

    height = max(map(of, modules))
    return [[each for each in modules if depth[each] == level] for level in range(height, -1, -1)]


def drawing(room: str, graph: Graph) -> str:
    """A room: its modules from above, then the rooms that they import."""
    every = rooms(graph)
    home = {module: name for name, modules in every.items() for module in modules}
    below = {home[each] for module in every[room] for each in graph[module] if each in home} - {room}
    prefix = 1 if room == GROUND else 2
    lines = [
        line
        for level in levels(every[room], graph)
        for line in textwrap.wrap(
            "  ".join("/".join(module.split(".")[prefix:]) for module in level),
            WIDTH, initial_indent="| ", subsequent_indent="|    ", break_on_hyphens=False,
        )
    ]  # fmt: skip
    return "\n".join([*lines, f"+-> {', '.join(sorted(below))}" if below else "+-> nothing"])


def drawn(text: str, graph: Graph) -> str:
    """A document with the drawings of the rooms whose names its headings are."""

    def anew(found: re.Match[str]) -> str:
        return f"{found[1]}{drawing(found[2], graph)}\n```"

    return re.sub(r"(^#### `(\w+)`\n.*?^```text\n).*?^```", anew, text, flags=re.MULTILINE | re.DOTALL)


if __name__ == "__main__":
    page = ROOT / "CONTRIBUTING.md"
    page.write_text(drawn(page.read_text(encoding="utf-8"), imports(PACKAGE)), encoding="utf-8")
