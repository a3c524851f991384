"""Remove each condition of the checker in turn: every time, a false claim must be proved.

    python tests/checker/mutate_conditions.py [--only TEXT] [--list]

Mutants are made in a copy of the package: every refusal (``raise NotProvedError`` under an ``if``, every reason that is
returned under one, and every alternative of an ``or`` there), and comparisons and conjuncts of the table below, which
weaken what is asked. Each runs in a process of its own, against the claims of ``false_claims``, those of
``test_underflow``, and a few hundred random ones. Exit code 1 where a mutant lives that is not listed with a reason.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src" / "fiberscope"
FILES = ("conditions", "facts", "arithmetic", "certificates", "verdicts", "system", "exact", "matrices", "radius")

WEAKER: tuple[tuple[str, str, str], ...] = (
    (
        "conditions",
        "if not low <= self.lowest[i] <= self.highest[i] <= high:",
        "if not low <= self.lowest[i] <= self.highest[i]:",
    ),
    (
        "conditions",
        "if not low <= self.lowest[i] <= self.highest[i] <= high:",
        "if not self.lowest[i] <= self.highest[i] <= high:",
    ),
    ("conditions", '"singleton": self.highest[i] == 0', '"singleton": True'),
    ("conditions", "self.lowest[i] >= 1 and self.ends[i]", "self.lowest[i] >= 1"),
    ("conditions", "self.lowest[i] >= 1 and self.runs[i]", "self.lowest[i] >= 1"),
    ("conditions", "self._left(tangent.equal | tangent.one_sided)", "self._left(tangent.equal)"),
    ("conditions", "self._left(tangent.equal | tangent.one_sided)", "self._left(tangent.one_sided)"),
    ("conditions", "self._left(cone.equal | cone.one_sided)", "self._left(cone.equal)"),
    ("conditions", "self._left(cone.equal | cone.one_sided)", "self._left(cone.one_sided)"),
    ("conditions", "np.where(_respects(lead, tangent), 0, -1)", "0"),
    ("conditions", 'return "" if most < 0 else', 'return "" if most <= 0 else'),
    ("conditions", 'return "" if most < 0 else', 'return "" if most < np.inf else'),
    (
        "conditions",
        "(admitted[:, None] & implicit.named & (implicit.sign != 0))",
        "(implicit.named & (implicit.sign != 0))",
    ),
    ("conditions", "spanned = admitted & implicit.spans", "spanned = admitted & True"),
    ("conditions", "spanned = admitted & implicit.spans", "spanned = implicit.spans | ~admitted"),
    ("conditions", "strict = ~(upper | lower).any(axis=1)", "strict = ~lower.any(axis=1)"),
    ("conditions", "strict = ~(upper | lower).any(axis=1)", "strict = ~upper.any(axis=1)"),
    (
        "conditions",
        "((equalities & ~lead.null) | (upper & ~lead.below) | (lower & ~lead.above))",
        "((upper & ~lead.below) | (lower & ~lead.above))",
    ),
    (
        "conditions",
        "((equalities & ~lead.null) | (upper & ~lead.below) | (lower & ~lead.above))",
        "((equalities & ~lead.null) | (lower & ~lead.above))",
    ),
    (
        "conditions",
        "((equalities & ~lead.null) | (upper & ~lead.below) | (lower & ~lead.above))",
        "((equalities & ~lead.null) | (upper & ~lead.below))",
    ),
    ("conditions", "(upper & ~lead.below) | (lower & ~lead.above))", "(upper & lead.above) | (lower & lead.below))"),
    ("conditions", "return np.where(strict, self.rows.n - most, -1)", "return np.where(True, self.rows.n - most, -1)"),
    ("conditions", "and not (lead.moved & ~columns).any()", "and True"),
    ("conditions", "if len(chosen) <= columns.sum():", "if True:"),
    (
        "conditions",
        "members[:, chosen].sum(axis=1) if self._rank(chosen, columns) else",
        "members[:, chosen].sum(axis=1) if True else",
    ),
    (
        "conditions",
        "np.where(members[:, chosen].all(axis=1), self._rank(chosen, columns), 0)",
        "np.where(True, self._rank(chosen, columns), 0)",
    ),
    (
        "conditions",
        "return min(len(numbers), int(columns.sum())) if proved else 0",
        "return min(len(numbers), int(columns.sum()))",
    ),
    (
        "conditions",
        "self._rank(np.flatnonzero(member & supported), inside)",
        "self._rank(np.flatnonzero(member), inside)",
    ),
    (
        "conditions",
        "self._rank(np.flatnonzero(member & supported), inside)",
        "self._rank(np.flatnonzero(supported), inside)",
    ),
    ("conditions", "(conditions & reads)", "(conditions & ~reads)"),
    (
        "conditions",
        "(live[: self.rows.m], inside, live[self.rows.m :])",
        "(live[: self.rows.m], False, live[self.rows.m :])",
    ),
    (
        "conditions",
        "(live[: self.rows.m], inside, live[self.rows.m :])",
        "(live[: self.rows.m] & False, inside, False)",
    ),
    (
        "conditions",
        "cone.equal[:, self.rows.coordinates].all(axis=1)",
        "cone.equal[:, self.rows.coordinates].any(axis=1)",
    ),
    ("conditions", "_admitted(fact, cone) & fact.spans", "_admitted(fact, cone)"),
    ("conditions", "_admitted(fact, cone) & fact.spans", "np.full(len(cone.equal), fact.spans)"),
    ("conditions", "if away is None or not away.nonzero:", "if away is None:"),
    ("conditions", "return fewer | _respects(away, cone)", "return fewer | True"),
    ("conditions", "(sign > 0 and sides.has_high[row])", "(sign > 0)"),
    ("conditions", "(sign < 0 and sides.has_low[row])", "(sign < 0)"),
    ("conditions", "if sign == 0 and weight == 0 and fact.radius == 0:", "if sign == 0:"),
    ("conditions", "if sign == 0 and weight == 0 and fact.radius == 0:", "if sign == 0 and weight == 0:"),
    ("conditions", "if sign == 0 and weight == 0 and fact.radius == 0:", "if sign == 0 and fact.radius == 0:"),
    ("conditions", "total += Fraction(fact.radius) * exact.root_above(squares)", "pass"),
    (
        "conditions",
        "_at_most(weight + sign * bound, sides, row) for sign in (-1, 1)",
        "_at_most(weight, sides, row) for sign in (-1, 1)",
    ),
    ("conditions", "for sign in (-1, 1)]", "for sign in (-1,)]"),
    ("conditions", "for sign in (-1, 1)]", "for sign in (1,)]"),
    (
        "conditions",
        "            if None in ends:\n                return np.inf",
        "            ends = [end or Fraction(0) for end in ends]",
    ),
    ("conditions", "if not (sides.has_high if weight > 0 else sides.has_low)[row]:", "if False:"),
    (
        "conditions",
        "allowed = cone.equal | (cone.upper & (fact.sign > 0)) | (cone.lower & (fact.sign < 0))",
        "allowed = cone.equal | cone.upper | (cone.lower & (fact.sign < 0))",
    ),
    (
        "conditions",
        "allowed = cone.equal | (cone.upper & (fact.sign > 0)) | (cone.lower & (fact.sign < 0))",
        "allowed = cone.equal | (cone.upper & (fact.sign > 0)) | cone.lower",
    ),
    ("conditions", "(cone.equal & ~lead.null) | (cone.upper", "(cone.upper"),
    (
        "conditions",
        "(cone.equal & ~lead.null) | (cone.upper & ~lead.below & ~lead.null) |",
        "(cone.equal & ~lead.null) |",
    ),
    ("conditions", " | (cone.lower & ~lead.above & ~lead.null)", ""),
    ("facts", "if free == 0 or self.sigma is not None:", "if True:"),
    (
        "facts",
        "return free <= len(self.joined) and self.rows.exceed(self.joined, self.columns, 0.0)",
        "return self.rows.exceed(self.joined, self.columns, 0.0)",
    ),
    (
        "facts",
        "return free <= len(self.joined) and self.rows.exceed(self.joined, self.columns, 0.0)",
        "return free <= len(self.joined)",
    ),
    ("facts", "sigma = part.sigma if (live == columns).all() else None", "sigma = part.sigma"),
    ("facts", "bounds = error + matrices.shift_above(sizes, radius)", "bounds = error * 0"),
    ("facts", "bounds = error + matrices.shift_above(sizes, radius)", "bounds = error"),
    (
        "facts",
        "signs(values_of(weights), np.full(len(joined), radius))",
        "signs(values_of(weights), np.zeros(len(joined)))",
    ),
    ("facts", "np.where(absorbed, -signs(sums, bounds), 0)", "np.where(absorbed, signs(sums, bounds), 0)"),
    ("facts", "columns = ~(absorbed | fixed)\n", "columns = ~(absorbed | fixed) & (sizes > 0)\n"),
    ("facts", "bounds = error + matrices.shift_above(rows.norms, radius)", "bounds = error"),
    (
        "facts",
        "bounds = error + matrices.shift_above(rows.norms, radius)",
        "bounds = matrices.shift_above(rows.norms, radius)",
    ),
    ("facts", "signs(at, np.where(moved, radius, 0.0))", "signs(at, np.zeros(rows.n))"),
    ("facts", "reached = support(d) if radius == 0 else moved", "reached = support(d)"),
    ("facts", "null[rows.places[left]] = ~rows.live(left, reached)", "null[rows.places[left]] = True"),
    (
        "facts",
        "    null[rows.coordinates] |= ~reached\n    if radius",
        "    null[rows.coordinates] |= True\n    if radius",
    ),
    ("facts", "if radius == 0 and value.dtype == object:", "if value.dtype == object:"),
    ("facts", "if radius == 0 and value.dtype == object:", "if radius == 0:"),
    ("facts", "bool(support(d).any()) if radius == 0 else", "True if radius == 0 else"),
    ("facts", "else not isinstance(d, tuple) and matrices.norm_below(d) > radius", "else True"),
    ("facts", "null: BoolArray = held & sides.equal", "null: BoolArray = held.copy()"),
    ("facts", "null: BoolArray = held & sides.equal", "null: BoolArray = sides.equal.copy()"),
    ("facts", "    known |= radius == 0 and value.dtype == object\n", "    known |= value.dtype == object\n"),
    ("facts", "null |= has & known & (sign == 0)", "null |= has & known"),
    ("facts", "null |= has & known & (sign == 0)", "null |= has & (sign == 0)"),
    ("facts", "beside[upper] = has & ((sign < 0) if upper else (sign > 0))", "beside[upper] = has & (sign != 0)"),
    ("facts", "and _is_met(rows, v, numbers, sides):", "and True:"),
    ("facts", "(part.sigma == 0 or rows.rational) and", "True and"),
    ("facts", "return all(value == 0 for value in values)", "return True"),
    ("facts", "has[row] and value == sides.exactly(int(row), up)", "has[row]"),
    ("facts", "has[row] and value == sides.exactly(int(row), up)", "value == sides.exactly(int(row), up)"),
    ("facts", "if not live[0] or not _cancels(rows.block(places, columns), factors):", "if not live[0]:"),
    ("facts", "if not live[0] or not _cancels", "if not _cancels"),
    ("facts", "inside += members <= own", "inside += 1"),
    ("facts", "if exactly.all() and (left == -right).all():", "if exactly.all():"),
    ("facts", "if exactly.all() and (left == -right).all():", "if (left == -right).all():"),
    (
        "facts",
        "    return all(value == 0 for value in exact.products(np.ascontiguousarray(dense.T), factors))",
        "    return True",
    ),
    ("arithmetic", "else norm_above(np.abs(values) + errors)", "else norm_above(np.abs(values))"),
    ("verdicts", 'if there.inside[i] else "x lies outside the domain"', 'if True else "x lies outside the domain"'),
    ("certificates", "named(numbers, among) and (np.bincount(numbers) <= 1).all()", "named(numbers, among)"),
    (
        "certificates",
        "named(numbers, among) and (np.bincount(numbers) <= 1).all()",
        "(np.bincount(numbers) <= 1).all()",
    ),
    ("certificates", "return bool(inside and among[numbers].all())", "return bool(inside)"),
    ("certificates", "return bool(inside and among[numbers].all())", "return bool(among[numbers].all())"),
    ("system", "self.gram is not None and columns.all() and self.gram", "self.gram is not None and self.gram"),
    ("system", "(lower & upper & ~within.any(axis=1), pinned, False)", "(lower & upper, pinned, False)"),
    ("system", "& upper & ~mono & ~loose", "& upper & ~mono"),
    ("system", "& lower & ~mono & ~loose", "& lower & ~mono"),
    ("system", "(above > 0) & room", "(above > 0)"),
    ("system", "(below < 0) & head", "(below < 0)"),
    ("system", "& room & limited[:, 0]", "& room"),
    ("system", "& head & limited[:, 1]", "& head"),
    ("system", "np.where(np.isinf(threshold), y, y + slack)", "y + slack - threshold + threshold"),
    ("system", "np.argwhere((sign == 0) & (slack != 0) & np.isfinite(threshold))", "()"),
    ("matrices", "if (places < 0).any():", "if False:"),
    (
        "matrices",
        "return 0.0 if residual == 0 else max(residual / s * ROUNDING, SMALLEST_NORMAL)",
        "return residual / s * ROUNDING",
    ),
    (
        "matrices",
        "above = row_norms * distance * ROUNDING + SMALLEST_NORMAL",
        "above = row_norms * distance * ROUNDING",
    ),
    (
        "exact",
        "return nmod_mat(fmpz_mat(columns), PRIME).rank() > read.shape[1]",
        "return nmod_mat(fmpz_mat(columns), PRIME).rank() >= read.shape[1]",
    ),
    ("radius", "total += 4.0 * len(given) * SMALLEST_NORMAL", "total += 0.0"),
)
"""A file, what it says, and something weaker."""

GIVEN = "(x is None) != (low is not None) or (low is None) != (high is None) or (within < 0).any()"
RELATED = "not fits or not named(rows, said.stack)"
MONOTONE = "self.monotone.dtype != np.bool_ or self.monotone.shape != (m,) or (not (self.low <= self.high).all())"
UNITS = "what such a unit gives is not said anywhere, or "
FAILS = "what follows fails, which proves nothing"
EQUIVALENT: dict[str, str] = {
    "facts: if part.sigma == 0": "a division by 0 proves nothing",
    "facts: if sides is not None and (not (live": "a point on the upper sides of other rows is one, too",
    "certificates: if len(text) > MAX_BITS // 4": "it takes longer",
    "certificates: if rows.shape != (said.stack.sum(),)": "whatever the exponents, all is scaled by them, or " + FAILS,
    "certificates: if value is None": "all rows are held, or " + FAILS,
    "certificates: if start != len(data)": "what is not named is not read",
    "certificates: if (version := said.said.get('version')) != VERSION": "what is read is proved, whatever its name",
    f"certificates: if {RELATED}: not not fits": FAILS,
    "certificates: named(numbers, among) and (np.bincount(numbers) <= 1).all() -> (np": FAILS,
    "certificates: return bool(inside and among[numbers].all()) -> return bool(inside)": (
        "another row is named, of which the same is asked"
    ),
    "certificates: return bool(inside and among[numbers].all()) -> return bool(among": FAILS,
    "certificates: if array is not None and array.dtype != np.int64": FAILS,
    "certificates: if array is None or": "NaN is above no bound, integers become floats, or " + FAILS,
    "certificates: if len(numerators) != length": "signs turn above and below, or " + FAILS,
    f"verdicts: if {GIVEN}: not (low is None)": FAILS,
    "verdicts: if claim.kind not in DIMENSIONS": FAILS,
    "verdicts: if certificate.kind != claim.kind": "what is proved is the claim, whatever its certificate calls it",
    **{
        f"system: if {MONOTONE}: not {part}": UNITS + FAILS
        for part in ("self.monotone.shape", "not (self.low <= self.high)")
    },
    "exact: if min(rows, columns) > MAX_ELIMINATION": "it takes longer",
    "exact: if count > MAX_ENTRIES": "it takes longer",
    "conditions: if sign == 0 and weight == 0 and fact.radius == 0: -> if sign == 0 and fact.radius == 0:": (
        "an exact weight without a sign is 0"
    ),
    "facts: (part.sigma == 0 or rows.rational) and": "what is met exactly is met",
    "facts: has[row] and value ==": "only equations are held, and they have both sides",
    "certificates: if dtype not in": "each reader asks for its own type, some bytes are read twice, or " + FAILS,
    "certificates: if value is not None and type(value) is not int": "a dimension is only compared",
}
"""Mutants that prove nothing more, and why. The beginning of a mutant's name."""

BROKEN = "does not run:"
"""What is said of a mutant that falls over: it is no proof of anything."""


@dataclass(frozen=True)
class Mutant:
    """A changed file."""

    file: str
    name: str
    text: str


def mutants(package: Path) -> Iterator[Mutant]:
    """All of them."""
    for file in FILES:
        text = (package / "checker" / f"{file}.py").read_text()
        yield from _without_refusals(file, text)
    for file, before, after in WEAKER:
        text = (package / "checker" / f"{file}.py").read_text()
        assert text.count(before) == 1, f"{file} says {text.count(before)} times: {before}"
        yield Mutant(file, f"{file}: {before.strip()} -> {after.strip()}", text.replace(before, after))


def _without_refusals(file: str, text: str) -> Iterator[Mutant]:
    """Files in which one refusal, or one reason for it, is gone."""
    tree = ast.parse(text)
    found = [node for node in ast.walk(tree) if isinstance(node, ast.If) and _refuses(node.body[-1])]
    for index, node in enumerate(found):
        test = ast.unparse(node.test)
        parts = node.test.values if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.Or) else []
        for gone in [None, *range(len(parts))]:
            changed = copy.deepcopy(tree)
            target = [n for n in ast.walk(changed) if isinstance(n, ast.If) and _refuses(n.body[-1])][index]
            if gone is None:
                target.test = ast.Constant(False)
                name = f"{file}: if {test}"
            else:
                assert isinstance(target.test, ast.BoolOp)
                name = f"{file}: if {test}: not {ast.unparse(target.test.values[gone])}"
                del target.test.values[gone]
                if len(target.test.values) == 1:
                    target.test = target.test.values[0]
            yield Mutant(file, name, ast.unparse(ast.fix_missing_locations(changed)))


def _refuses(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        return statement.exc is not None and "NotProvedError" in ast.unparse(statement.exc)
    value = statement.value if isinstance(statement, ast.Return) else None
    return isinstance(value, ast.JoinedStr) or (
        isinstance(value, ast.Constant) and isinstance(value.value, str) and bool(value.value)
    )


def lives(mutant: Mutant, package: Path, claims: int) -> str:
    """What kills a mutant; empty where nothing does. In a process of its own, with the package from a copy."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder, "fiberscope")
        shutil.copytree(package, copied)
        (copied / "checker" / f"{mutant.file}.py").write_text(mutant.text)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            sys.path[:0] = [folder, str(HERE), str(HERE.parent)]
            try:
                said = _attack(copied, claims)
            except BaseException as error:
                said = f"{BROKEN} {type(error).__name__}: {error}"
            os.write(writer, said.encode()[:4000])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return said


def _attack(expected: Path, claims: int) -> str:
    """The first false claim that is proved."""
    import false_claims
    import test_underflow

    import fiberscope

    assert Path(fiberscope.__file__).parent == expected, "the copy is not what is tested"
    for lie in false_claims.all_of_them():
        if lie.proved():
            return lie.name
    if short := false_claims.short_radii():
        return short[0]
    for name, test in vars(test_underflow).items():
        if name.startswith("test_"):
            for arguments in _arguments(test):
                try:
                    test(**arguments)
                except AssertionError:
                    return name
    from fuzz import fuzz

    try:
        fuzz(7, claims, certificates=8)
    except AssertionError:
        return "random claims"
    return ""


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
    parser.add_argument("--list", action="store_true", help="print their names, and run none")
    options = parser.parse_args()
    import numpy, scipy.sparse, flint  # noqa: F401, E401, I001 - loaded once, not in every process

    began, counts = time.perf_counter(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:  # as it is now, whatever happens to it meanwhile
        package = Path(folder, "fiberscope")
        shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
        assert not lives(Mutant("verdicts", "", (package / "checker" / "verdicts.py").read_text()), package, 0)
        for mutant in mutants(package):
            if options.only in mutant.name:
                print(mutant.name if options.list else _judged(mutant, package, counts), flush=True)
    print(f"{dict(counts)}, {time.perf_counter() - began:.0f} s")
    return int(counts["LIVES"] > 0)


def _judged(mutant: Mutant, package: Path, counts: Counter[str]) -> str:
    reason = next((why for name, why in EQUIVALENT.items() if mutant.name.startswith(name)), "")
    killer = lives(mutant, package, claims=0 if reason else 600)
    assert not killer.startswith(BROKEN), (mutant.name, killer)
    counts["killed" if killer else "equivalent" if reason else "LIVES"] += 1
    said = f"killed by {killer!r}" if killer else f"equivalent, {reason}" if reason else "LIVES"
    return f"{said:44} | {' '.join(mutant.name.split())}"


if __name__ == "__main__":
    sys.exit(main())
