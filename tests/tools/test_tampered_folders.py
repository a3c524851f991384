"""Every column and every file of a results folder, changed: what both checkers must see, and what says nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fiberscope.audits.store import Results
from fiberscope.audits.verify import verify_results
from fiberscope.errors import FiberscopeError
from result_folders import FIRST, SAMPLES, check_certificates, findings, reseal, rewrite, write_audit
from small_audits import change_manifest, small_data, small_network


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audit(tmp_path_factory.mktemp("audit") / "results", small_network(), small_data(SAMPLES)).folder


@pytest.fixture
def changed(audit: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(audit, tmp_path / "changed"))


def proved(folder: Path) -> tuple[int, int]:
    """How many verdicts the script proves, and how many fiberscope does; none of a folder that cannot be read."""
    try:
        check_certificates.main(folder)
        script = PRINTED[-1]
    except Exception:  # the script says then that nothing is proved
        script = 0
    try:
        own = sum(chunk.proved for chunk in verify_results(Results(folder), workers=1) if not chunk.changed)
    except FiberscopeError:
        own = 0
    return script, own


PRINTED: list[int] = []

TOTAL = 36
"""Verdicts of the audit."""


@pytest.fixture(autouse=True)
def _counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the script prints last, in a list."""

    def said(*words: Any, **_: Any) -> None:
        last = str(words[-1]).splitlines()[-1].split() if words else []
        PRINTED[:] = [int(last[1])] if last[:1] == ["proved"] else PRINTED

    PRINTED[:] = [0]
    monkeypatch.setattr(check_certificates, "print", said, raising=False)


def test_both_prove_all_of_what_was_written(audit: Path):
    assert sum(len(findings(audit, path.stem)) for path in (audit / "preimages").iterdir()) == TOTAL
    assert proved(audit) == (TOTAL, TOTAL)


# ---- columns

Row = dict[str, Any]
VERDICTS: dict[str, list[Callable[[Row], Any]]] = {
    "sample": [lambda row: row["sample"] + 1, lambda row: -1],
    "layer": [lambda row: row["layer"] + 1, lambda row: -1],
    "domain": [lambda row: "R^n" if row["domain"] == "x >= 0" else "x >= 0", lambda row: "box [0,2]", lambda row: ""],
    "precision": [lambda row: "float32", lambda row: "0.1", lambda row: ""],
    "positives": [lambda row: row["positives"] + 1, lambda row: row["positives"] - 1],
    "saturated": [lambda row: 1, lambda row: -1],
    "kind": [
        (lambda row, kind=kind: kind if row["kind"] != kind else "empty")
        for kind in ("singleton", "bounded", "unbounded", "empty")
    ],
    "dimension": [lambda row: (row["dimension"] or 0) + 1, lambda row: -1],
    "dimension_low": [lambda row: row["dimension_low"] - 1, lambda row: row["dimension_low"] + 1, lambda row: -2],
    "dimension_high": [lambda row: row["dimension_high"] - 1, lambda row: row["dimension_high"] + 1],
    "certificate": [lambda row: "0" * 32, lambda row: "", lambda row: row["certificate"][::-1]],
}
"""What a verdict says, and other things that it might say."""

BESIDE: dict[str, list[Callable[[Row], Any]]] = {
    "margin": [lambda row: 2.0, lambda row: 0.0],
    "reason": [lambda row: "because", lambda row: ""],
    "radius": [lambda row: 1e9 if row["radius"] < np.inf else np.inf],
}
"""What is no part of it. A radius is a claim of its own: a smaller one is found by fiberscope alone."""


def test_there_is_a_change_of_every_column(audit: Path):
    names = pq.read_table(audit / "preimages" / f"{FIRST}.parquet").schema.names
    assert sorted(names) == sorted({**VERDICTS, **BESIDE})


@pytest.mark.exhaustive(every=3)  # every column, in one chunk at least
@pytest.mark.parametrize(("name", "k"), [(name, k) for name, changes in VERDICTS.items() for k in range(len(changes))])
@pytest.mark.parametrize("stem", [FIRST, "layer-01-block-0001"])
def test_another_verdict_is_seen_by_both(name: str, k: int, stem: str, changed: Path):
    place = -1
    value = VERDICTS[name][k](findings(changed, stem)[place])
    rewrite(changed, "preimages", lambda rows: rows[place].update({name: value}), stem)
    script, own = proved(changed)
    assert script < TOTAL
    assert own < TOTAL


@pytest.mark.parametrize(("name", "k"), [(name, k) for name, changes in BESIDE.items() for k in range(len(changes))])
def test_what_is_no_part_of_a_verdict_changes_none(name: str, k: int, changed: Path):
    rewrite(changed, "preimages", lambda rows: [row.update({name: BESIDE[name][k](row)}) for row in rows])
    assert proved(changed) == (TOTAL, TOTAL)


def test_a_smaller_radius_is_seen(changed: Path):

    def shrink(rows: list[Row]) -> None:
        for row in rows:
            row["radius"] = row["radius"] / 2 if row["kind"] == "bounded" else row["radius"]

    rewrite(changed, "preimages", shrink)
    script, own = proved(changed)
    bounded = sum(row["kind"] == "bounded" for row in findings(changed))
    assert (script, TOTAL - own) == (TOTAL, bounded)
    assert bounded > 0


# ---- files


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


FILES = ["manifest.json", "digests.jsonl", "model.safetensors", "data.npz"]
FILES += [f"{part}/{{stem}}{end}" for part, end in (("inputs", ".npy"), ("certificates", ".parquet"))]
FILES += ["preimages/{stem}.parquet"]
DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda data: None,
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b" ",
    **{
        f"a bit at {place} of 8": (lambda data, place=place: _flipped(data, len(data) * place // 8))
        for place in range(8)
    },
}


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_there_is_a_damage_of_every_file(audit: Path):
    stems = [path.stem for path in (audit / "preimages").iterdir()]
    assert sorted({file.format(stem=stem) for file in FILES for stem in stems}) == names(audit)


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_seen_by_both(file: str, damage: str, audit: Path, changed: Path):
    path = changed / file.format(stem="layer-01-block-0000")
    data = DAMAGES[damage](path.read_bytes())
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    script, own = proved(changed)
    assert script < TOTAL or _says_the_same(path, audit / path.name)
    assert own < TOTAL


def _says_the_same(path: Path, original: Path) -> bool:
    """Whether the numbers of a network, or of data, are those that were written."""
    if path.suffix == ".npz":
        (x,), (y,) = (list(np.load(file).values()) for file in (path, original))
        return bool(np.array_equal(x, y))
    if path.suffix == ".safetensors":
        digests = {check_certificates.Network(file.read_bytes(), np.zeros((1, 6))).digest for file in (path, original)}
        return len(digests) == 1
    return False


@pytest.mark.parametrize("file", [file for file in FILES if "/" in file])
def test_a_file_of_another_chunk_is_seen_by_both_even_if_no_digest_shows_it(file: str, changed: Path):
    path, other = (changed / file.format(stem=stem) for stem in ("layer-01-block-0000", "layer-00-block-0000"))
    path.write_bytes(other.read_bytes())
    reseal(changed)
    script, own = proved(changed)
    assert script < TOTAL
    assert own < TOTAL


# ---- the manifest

SAYS: dict[str, Callable[[Any], Any]] = {
    "format": lambda value: "fiberscope results 1",
    "model_digest": lambda value: "0" * 64,
    "data_digest": lambda value: "0" * 64,
    "digests": lambda value: "0" * 64,
    "network_layers": lambda value: [layer | {"reads": "anything"} for layer in value],
    "layers": lambda value: [*value[:-1], len(value)],
    "samples": lambda value: value + 1,
    "blocks": lambda value: [size + 1 for size in value],
    "domain": lambda value: [0.0, 2.0],
    "precision": lambda value: "float32",
}
"""What says which verdicts there must be, and about what."""


@pytest.mark.parametrize("name", SAYS)
def test_a_manifest_that_says_something_else_is_seen_by_both_even_if_it_is_sealed(name: str, changed: Path):
    value = json.loads((changed / "manifest.json").read_text())[name]
    change_manifest(changed, {name: SAYS[name](value)})
    script, own = proved(changed)
    assert script < TOTAL
    assert own < TOTAL


def test_the_rest_of_a_manifest_changes_no_verdict(changed: Path):
    manifest = json.loads((changed / "manifest.json").read_text())
    other = {name: f"{value} or not" for name, value in manifest.items() if isinstance(value, str)}
    kept = {*SAYS, "seal", "status"}
    change_manifest(changed, {name: value for name, value in other.items() if name not in kept})
    assert proved(changed) == (TOTAL, TOTAL)
