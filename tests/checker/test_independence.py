"""The checker shares no code with anything else, and rational checking needs no solver at all."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import fiberscope as fs

SOURCE = Path(fs.__file__).parent
CHECKER = SOURCE / "checker"
ALLOWED = (
    *("__future__", "abc", "collections", "concurrent.futures", "contextlib", "dataclasses", "enum", "fractions"),
    *("functools", "hashlib", "itertools", "json", "math", "os", "pathlib", "re", "struct", "threading", "typing"),
    *("zipfile", "io"),
    *("numpy", "scipy.sparse", "flint", "fiberscope.errors", "fiberscope.checker"),
    *(f"scipy.linalg.{name}" for name in ("cho_solve", "cho_solve_banded", "cholesky_banded")),  # numpy has no bands
    "scipy.linalg.solve_triangular",  # nor solutions by triangles
)
FORBIDDEN = ("scipy.sparse.linalg", "numpy.ctypeslib")
LOADED_BY_CHECKING = tuple(
    f"fiberscope.preimages.{name}"
    for name in [
        "certificate",
        "compact",
        "interval",
        "kind",
        "no_claim",
        "preimage",
        "verdict",
        "verification",
        "verify",
    ]
)
SOLVERS = ("highspy", "scipy.optimize", "torch")


def _imports(tree: ast.AST) -> Iterator[str]:
    """Every module that the code imports when it runs, also inside functions; not those for annotations only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides where it comes from"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield f"<imported by name: {ast.unparse(node)}>"
        else:
            yield from _imports(node)


def _is_under(name: str, folders: tuple[str, ...]) -> bool:
    return any(name == folder or name.startswith(f"{folder}.") for folder in folders)


@pytest.mark.parametrize("path", sorted(CHECKER.rglob("*.py")), ids=lambda path: path.name)
def test_a_checker_imports_nothing_that_decides(path: Path) -> None:
    foreign = [
        name
        for name in _imports(ast.parse(path.read_text()))
        if not _is_under(name, ALLOWED) or _is_under(name, FORBIDDEN)
    ]
    assert not foreign


def test_there_are_checkers_to_look_at() -> None:
    assert len(list(CHECKER.rglob("*.py"))) >= 8
    assert list(_imports(ast.parse("def f():\n    if True:\n        from scipy.optimize import linprog"))) == [
        "scipy.optimize.linprog"
    ]


LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
LARGEST = 1_845
"""Lines of the checker of verdicts. Whoever adds some looks first for what may go."""


def code_lines(text: str) -> int:
    """Lines with code: no blank ones, no comments, no documentation."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


def trusted(name: str) -> dict[str, int]:
    """The lines of a file of the checker, and of all files of it that are imported with it."""
    found: dict[str, int] = {}
    left = [name]
    while left:
        text = CHECKER.joinpath(f"{(name := left.pop())}.py").read_text()
        found[name] = code_lines(text)
        parts = [each.split(".")[2] for each in _imports(ast.parse(text)) if each.startswith("fiberscope.checker.")]
        left += {part for part in parts if part not in found}
    return found


def test_lines_with_code_are_counted():
    assert (
        code_lines('"""What."""\n\n# why\nx = [\n    1,  # one\n]\n\n\ndef f():\n    """Says."""\n    return x\n') == 5
    )


def test_the_checker_of_verdicts_is_as_small_as_the_documents_say():
    verdicts, reading = trusted("verdicts"), trusted("reading")
    assert sum(verdicts.values()) <= LARGEST
    assert {"radius", "windows", "precision", "spectra", "estimates"}.isdisjoint(verdicts)
    beside = sum(size for name, size in reading.items() if name not in verdicts)
    page = (SOURCE.parents[1] / "docs" / "certificates.md").read_text()
    said = re.search(r"verdicts has ([\d,]+) lines of code.*?networks, ([\d,]+) lines", page, re.DOTALL)
    assert said is not None
    figures = [int(figure.replace(",", "")) for figure in said.groups()]
    assert figures == [round(size, -1) for size in (sum(verdicts.values()), beside)]


_SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import fiberscope as fs
folder = Path(sys.argv[1])
data = np.load(folder / "layer.npz")
certificate = fs.Certificate.from_bytes((folder / "certificate").read_bytes())
domain = fs.Box(0, 2) if sys.argv[2] == "box" else None
p = fs.Preimage(
    layer=fs.ReLULayer(data["weight"], data["bias"]), domain=domain, x=data["x"], y=None,
    kind=certificate.kind, dimension=certificate.dimension, margin=0.0, certificate=certificate, reason="",
)
verification = fs.verify(p, exact=True)
assert verification.proved, verification.reason
print("\\n".join(sorted(sys.modules)))
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("domain", ["box", "none"])
def test_rational_checking_of_a_stored_certificate_loads_no_solver(tmp_path: Path, domain: str) -> None:
    generator = np.random.default_rng(4)
    layer = fs.ReLULayer(generator.integers(-3, 4, (9, 4)), generator.integers(-3, 4, 9))
    x = np.array([0.0, 1.0, 2.0, 0.0])
    p = fs.preimage(layer, x=x, domain=fs.Box(0, 2) if domain == "box" else None)
    np.savez(tmp_path / "layer.npz", weight=layer.weight, bias=layer.bias, x=x)
    (tmp_path / "certificate").write_bytes(p.certificate.to_bytes())
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path), domain]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(), timeout=120)
    assert run.returncode == 0, run.stderr
    loaded = run.stdout.split()
    assert "fiberscope.preimages.certificate" in loaded
    assert not [name for name in loaded if _is_under(name, SOLVERS)]
    deciding = [
        name for name in loaded if name.startswith("fiberscope.preimages.") and not _is_under(name, LOADED_BY_CHECKING)
    ]
    assert not deciding


def test_importing_the_package_loads_nothing_heavy() -> None:
    command = [sys.executable, "-c", "import fiberscope, sys; print('\\n'.join(sys.modules))"]
    loaded = subprocess.run(
        command, capture_output=True, text=True, check=True, env=_environment(), timeout=120
    ).stdout.split()
    heavy = ("torch", "scipy", "highspy", "flint", "matplotlib", "plotly", "pyarrow", "jinja2")
    assert not [name for name in loaded if _is_under(name, heavy)]


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
