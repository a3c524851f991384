"""Remove each condition of the checker in turn: every time, a false claim must be proved.

    python tests/checker/mutate_conditions.py [--above] [--only TEXT] [--list]

Mutants are made in a copy of the package: every refusal (``raise NotProvedError`` under an ``if``, every reason that
is returned under one, and every alternative of an ``or`` there), and the comparisons and conjuncts that
``weaker_conditions`` and ``weaker_above`` weaken. Each runs in a process of its own: what proves verdicts and their
radii against the claims of ``false_claims``, those of ``test_underflow``, and a few hundred random ones; with
``--above``, what stands above it against its own tests, which takes half an hour of one core. Exit code 1 where a
mutant lives that is not listed with a reason. Those that are listed as equivalent are run with ``--only`` alone.

Not covered are the exact values and the rows below what is above (``dyadic.py``, ``enclosed.py``), and what
``enclosures.py`` says of shapes; their tests have false claims of their own.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import copy
import gc
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import cache_from_source
from pathlib import Path

import pytest
import weaker_above
from weaker_conditions import EQUIVALENT, WEAKER

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src" / "fiberscope"
FILES = ("conditions", "facts", "arithmetic", "certificates", "verdicts", "system", "exact", "matrices", "radius")
ABOVE = {
    "same_features": ("checker/test_false_features.py", "checker/test_same_features.py"),
    "linearization": ("checker/test_false_features.py", "checker/test_same_features.py"),
    "relaxation": ("checker/test_relaxation.py",),
    "modulus": ("checker/test_modulus.py",),
    "center": ("checker/test_modulus.py",),
    "midpoint": ("checker/test_modulus.py",),
    "bands": ("checker/test_bands.py",),
    "duality": ("checker/test_enclosures.py",),
    "injectivity": ("checker/test_injectivity.py",),
    "convolutions": ("checker/test_convolutions.py",),
    "independence": ("checker/test_tiles.py",),
    "tiles": ("checker/test_tiles.py",),
    "strips": ("checker/test_strips.py",),
    "blocks": ("checker/test_blocks.py",),
    "unwritten": ("checker/test_convolutions.py", "checker/test_blocks.py"),
    "cholesky": ("checker/test_cholesky.py", "checker/test_singular_values.py"),
    "feature_domain": ("checker/test_false_features.py", "checker/test_hostile_systems.py"),
    "near_features": ("checker/test_near_features.py",),
    "anchored": ("checker/test_enclosures.py",),
    "membership": ("checker/test_enclosures.py",),
    "unsure": ("checker/test_unsure.py",),
    "rounded": ("checker/test_unsure.py", "checker/test_modulus.py"),
    "precision": ("audits/test_precision.py",),
    "spectra": ("audits/test_verify_spectra.py",),
    "monotone": ("checker/test_received.py",),
    "inverses": ("checker/test_received.py", "checker/test_monotone.py"),
    "curves": ("checker/test_received.py", "checker/test_monotone.py"),
}
"""Files above these, or with tests of their own, and what tests them."""

BROKEN = "does not run:"
"""What is said of a mutant that falls over: it is no proof of anything."""


@dataclass(frozen=True)
class Mutant:
    """A changed file; its text is made when it is asked for."""

    file: str
    name: str
    text: Callable[[], str]


def mutants(package: Path) -> Iterator[Mutant]:
    """All of them."""
    for file in (*FILES, *ABOVE):
        text = (package / "checker" / f"{file}.py").read_text()
        yield from _without_refusals(file, text)
    for file, before, after in (*WEAKER, *weaker_above.WEAKER):
        text = (package / "checker" / f"{file}.py").read_text()
        assert text.count(before) == 1, f"{file} says {text.count(before)} times: {before}"
        yield Mutant(file, f"{file}: {before.strip()} -> {after.strip()}", partial(text.replace, before, after))


def _without_refusals(file: str, text: str) -> Iterator[Mutant]:
    """Files in which one refusal, or one reason for it, is gone."""
    tree = ast.parse(text)
    found = [node for node in ast.walk(tree) if isinstance(node, ast.If) and _refuses(node.body[-1])]
    for index, node in enumerate(found):
        test = ast.unparse(node.test)
        parts = node.test.values if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.Or) else []
        for gone in [None, *range(len(parts))]:
            name = f"{file}: if {test}" if gone is None else f"{file}: if {test}: not {ast.unparse(parts[gone])}"
            yield Mutant(file, name, partial(_without, tree, index, gone))


def _without(tree: ast.Module, index: int, gone: int | None) -> str:
    """A file without one of its refusals, or without one of several reasons for it."""
    changed = copy.deepcopy(tree)
    target = [node for node in ast.walk(changed) if isinstance(node, ast.If) and _refuses(node.body[-1])][index]
    if gone is None:
        target.test = ast.Constant(False)
    else:
        assert isinstance(target.test, ast.BoolOp)
        del target.test.values[gone]
        if len(target.test.values) == 1:
            target.test = target.test.values[0]
    return ast.unparse(ast.fix_missing_locations(changed))


def _refuses(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        return statement.exc is not None and "NotProvedError" in ast.unparse(statement.exc)
    value = statement.value if isinstance(statement, ast.Return) else None
    return isinstance(value, ast.JoinedStr) or (
        isinstance(value, ast.Constant) and isinstance(value.value, str) and bool(value.value)
    )


def lives(mutant: Mutant, package: Path, claims: int) -> str:
    """What kills a mutant; empty where nothing does. In a process of its own, with the package as it is changed."""
    with _changed(mutant, package):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            sys.path[:0] = [str(package.parent), str(HERE), str(HERE.parent)]
            try:
                said = _tested(mutant.file) if mutant.file in ABOVE else _attack(package, claims)
            except BaseException as error:
                said = f"{BROKEN} {type(error).__name__}: {error}"
            os.write(writer, said.encode()[:4000])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return said


@contextmanager
def _changed(mutant: Mutant, package: Path) -> Iterator[None]:
    """A file is another meanwhile; what Python compiled of it is put aside, and back, with it."""
    source = package / "checker" / f"{mutant.file}.py"
    text, files = mutant.text(), (source, Path(cache_from_source(str(source))))
    for file in files:
        file.rename(file.with_suffix(".aside"))
    source.write_text(text)
    try:
        yield
    finally:
        for file in files:
            file.with_suffix(".aside").replace(file)


def _attack(expected: Path, claims: int) -> str:
    """The first false claim that is proved."""
    import false_claims
    import test_singular_values
    import test_underflow

    import fiberscope

    assert Path(fiberscope.__file__).parent == expected, "the copy is not what is tested"
    for lie in false_claims.all_of_them():
        if lie.proved():
            return lie.name
    if short := false_claims.short_radii():
        return short[0]
    for name, test in [*vars(test_underflow).items(), *vars(test_singular_values).items()]:
        if name.startswith("test_"):
            for arguments in _arguments(test):
                try:
                    test(**arguments)
                except AssertionError:
                    return name
    if not claims:
        return ""
    from fuzz import fuzz  # loads torch, which most mutants do not live to need

    try:
        fuzz(7, claims, certificates=8)
    except AssertionError:
        return "random claims"
    return ""


def _tested(file: str) -> str:
    """The first test of a file above that fails."""
    failed: list[str] = []

    class Plugin:
        @staticmethod
        def pytest_runtest_logreport(report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(report.nodeid.partition("::")[2])

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    tests = [str(HERE.parent / test) for test in ABOVE[file]]
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests], plugins=[Plugin()])
    assert code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), f"the tests ended with {code}"
    return failed[0] if failed else ""


def _arguments(test: object) -> list[dict[str, object]]:
    """The cases of a test."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    if not marks:
        return [{}]
    names, values = marks[0].args
    many = isinstance(names, tuple)
    return [dict(zip(names, value, strict=True)) if many else {names: value} for value in values]


def main() -> int:
    """Print who lives."""
    parser = argparse.ArgumentParser(description="Remove each condition of the checker in turn.")
    parser.add_argument("--only", default="", help="mutants whose name holds this")
    parser.add_argument("--above", action="store_true", help="of what stands above the checker of verdicts")
    parser.add_argument("--list", action="store_true", help="print their names, and run none")
    options = parser.parse_args()
    _load_once()
    began, counts = time.perf_counter(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:  # as it is now, whatever happens to it meanwhile
        package = Path(folder, "fiberscope")
        shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
        assert compileall.compile_dir(package / "checker", quiet=1)
        unchanged = ABOVE if options.above else ("verdicts",)
        for file in unchanged if not (options.only or options.list) else ():  # what is not changed passes
            assert not lives(Mutant(file, "", (package / "checker" / f"{file}.py").read_text), package, 0), file
        for mutant in mutants(package):
            if options.only in mutant.name and (mutant.file in ABOVE) == options.above:
                if mutant.file in ABOVE and not options.list:
                    import torch  # noqa: F401 - likewise
                print(mutant.name if options.list else _judged(mutant, package, counts, bool(options.only)), flush=True)
    print(f"{dict(counts)}, {time.perf_counter() - began:.0f} s")
    return int(counts["LIVES"] > 0)


def _load_once() -> None:
    """Load what is no part of the package here, not in every process."""
    for name in ("asyncio", "flint", "lazy_loader", "scipy.linalg", "scipy.sparse.csgraph", "unittest.mock"):
        importlib.import_module(name)
    gc.freeze()  # no process looks for garbage among it


def _judged(mutant: Mutant, package: Path, counts: Counter[str], thorough: bool) -> str:
    equivalent = EQUIVALENT | weaker_above.EQUIVALENT
    reason = next((why for name, why in equivalent.items() if mutant.name.startswith(name)), "")
    killer = "" if reason and not thorough else lives(mutant, package, claims=0 if reason else 600)
    assert not killer.startswith(BROKEN), (mutant.name, killer)
    counts["killed" if killer else "equivalent" if reason else "LIVES"] += 1
    said = f"killed by {killer!r}" if killer else f"equivalent, {reason}" if reason else "LIVES"
    return f"{said:44} | {' '.join(mutant.name.split())}"


if __name__ == "__main__":
    sys.exit(main())
