"""Leakage in a results folder: continued where it was cut off, proved again, and noticed where it was changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import fiberscope.files
from fiberscope.audits import shards
from fiberscope.audits.archives import archive_from_bytes, archive_to_bytes
from fiberscope.audits.leak_store import LEAKS, PROOFS, rows_to_bytes
from fiberscope.audits.plan import LeakChunk
from fiberscope.audits.store import Results
from fiberscope.audits.verify_leakage import verify_leakage
from fiberscope.cli import main
from fiberscope.network.affine import Dense
from fiberscope.network.domains import Box
from fiberscope.network.network import Network
from fiberscope.network.stage import Stage, affine_stage, relu_stage
from fiberscope.recovery.leak import Leak, table_of
from fiberscope.recovery.leak_question import LeakQuestion
from small_audits import change_digests

STORED = (np.arange(256) / 255).astype(np.float32)
ASKED = ("--precision", "float32,int8,0.01", "--samples", "2", "--seconds", "1")
CHUNKS = [LeakChunk(sample, layer) for layer in (0, 1) for sample in (0, 1)]


@pytest.fixture(scope="module", name="given")
def written_subject(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two layers of four pixels, both of which tell them to a precision."""
    folder, rng = tmp_path_factory.mktemp("given"), np.random.default_rng(1)
    stages = (
        affine_stage("a", Dense(np.vstack([np.eye(4), rng.random((5, 4))]), np.full(9, 0.5))),
        relu_stage("r", 9),
        affine_stage("b", Dense(rng.standard_normal((12, 9)), np.ones(12))),
        relu_stage("s", 12),
    )
    Network(stages, (1, 2, 2)).save(folder / "net.safetensors")
    np.savez(folder / "x.npz", x=rng.choice(STORED, (4, 1, 2, 2)))
    return [str(folder / "net.safetensors"), str(folder / "x.npz")]


@pytest.fixture(scope="module", name="whole")
def written_leakage(given: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    assert main(["leakage", *given, "--out", str(out), *ASKED]) == 0
    return out


@pytest.fixture(name="copied")
def of_its_own(whole: Path, tmp_path: Path) -> Results:
    """A copy of the leakage that may be changed."""
    import shutil

    shutil.copytree(whole, tmp_path / "out")
    return Results(tmp_path / "out").leakage


def rewritten(results: Results, chunk: LeakChunk, rows: list[Leak], claims: dict[str, Any]) -> None:
    """Write rows and claims as the run would have, with a manifest that names no digests."""
    proofs = archive_to_bytes(claims)
    results.write(chunk, {PROOFS: proofs, LEAKS: rows_to_bytes(table_of(rows), proofs)})
    change_digests(results.folder, {})


def failures(results: Results) -> list[str]:
    return [f"{failure.claim}: {failure.reason}" for each in verify_leakage(results) for failure in each.failures]


def test_everything_that_is_claimed_is_proved_again(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked = list(verify_leakage(Results(whole).leakage))
    assert [each.chunk for each in checked] == CHUNKS
    assert all(not each.failures and not each.changed and not each.others["unkept"] for each in checked)
    assert sum(each.proved for each in checked) >= 12
    assert main(["verify", str(whole)]) == 0
    assert "0 not proved" in capsys.readouterr().out


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize(
    ("column", "changed"),
    [
        ("recoverable", lambda row: not row.recoverable),
        ("radius", lambda row: row.radius / 2.0),
        ("pixel_median", lambda row: row.pixel_median / 2.0),
        ("pixel_max", lambda row: row.pixel_max * (1 - 2.0**-40)),
        ("ambiguity_bits", lambda row: row.ambiguity_bits + 1.0),
        ("rebuilt_error", lambda row: row.rebuilt_error * 1.001),
        ("eps", lambda row: row.eps / 2.0),
        ("scope", lambda row: "ball" if row.scope == "domain" else "domain"),
        ("coarsest_eps", lambda row: 2.0 if row.coarsest_eps == float("inf") else row.coarsest_eps / 2.0 + 1.0),
    ],
)
def test_a_row_that_says_something_else_is_not_proved(copied: Results, column: str, changed: Any) -> None:
    chunk = CHUNKS[0]
    stored = copied.leaks.read(copied.manifest(), chunk)
    row = stored.rows[2]
    rows = [*stored.rows[:2], replace(row, **{column: changed(row)})]
    rewritten(copied, chunk, rows, stored.claims)
    assert len(failures(copied)) == 1


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("narrowed", ["low", "high", "numbers", "features", "within", "x"])
def test_bounds_that_are_narrower_than_proved_are_not_proved(copied: Results, narrowed: str) -> None:
    """Rows made to agree with claims that no longer follow."""
    chunk, manifest = CHUNKS[0], copied.manifest()
    stored, k = copied.leaks.read(manifest, chunk), 2
    claims = dict(stored.claims)
    low, high = claims[f"{k}/low"], claims[f"{k}/high"]
    row = stored.rows[k]
    assert row.scope == "domain"
    match narrowed:
        case "low":
            claims[f"{k}/low"] = low + (high - low) * 0.5
        case "high":
            claims[f"{k}/high"] = high - (high - low) * 0.5
        case "numbers":
            claims[f"{k}/numbers"] = claims[f"{k}/numbers"] * np.array([1.0, 0.01, 1.0])
        case "features":
            claims[f"{k}/features"] = claims[f"{k}/features"] + 0.02
        case "within":
            claims[f"{k}/within"] = claims[f"{k}/within"] * 0.5
        case _:
            claims[f"{k}/x"] = claims[f"{k}/x"] + 0.25
    subject = copied.subject()
    from fiberscope.audits.leak_claims import stored_recovery
    from fiberscope.audits.leakage import question_of
    from fiberscope.recovery.leak_question import rebuilt_error, what_is_proved

    asked = question_of(manifest.plan, chunk, subject.network.flat(subject.x[:1]).reshape(1, 2, 2))
    found = stored_recovery(subject.network, chunk.layer, Box(0.0, 1.0), claims, k)
    said = what_is_proved(asked.levels, found) | {"rebuilt_error": rebuilt_error(found, asked.x)}
    rewritten(copied, chunk, [*stored.rows[:k], replace(row, **said)], claims)
    assert len(failures(copied)) == 1


def test_claims_without_their_proof_are_not_proved(copied: Results) -> None:
    chunk = CHUNKS[0]
    stored = copied.leaks.read(copied.manifest(), chunk)
    bare = {name: array for name, array in stored.claims.items() if "/ball/" not in name and "/step/" not in name}
    rewritten(copied, chunk, list(stored.rows), bare)
    assert failures(copied)
    rewritten(copied, chunk, list(stored.rows), {})
    assert len(failures(copied)) >= len(stored.rows)


@pytest.mark.exhaustive
def test_a_changed_byte_is_noticed_in_every_file(copied: Results, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(copied.folder.parent)
    for path in sorted(path for path in copied.folder.parent.rglob("*.*") if path.suffix not in (".lock", ".html")):
        data = path.read_bytes()
        for at in (len(data) // 3, len(data) - 2):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert main(["verify", folder]) in (1, 2), path
        path.unlink()
        gone = main(["verify", folder])
        assert gone in (1, 2) or path.name == "leakage.parquet", path  # a copy of what is checked
        path.write_bytes(data)
    assert main(["verify", folder]) == 0
    capsys.readouterr()


def test_a_run_that_was_cut_off_goes_on_and_computes_nothing_twice(
    given: list[str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut off before each file that it writes; a file appears whole or not at all."""
    answered: list[tuple[int, int]] = []
    computed, write = LeakQuestion.answered, fiberscope.files.atomic_path

    def counted(self: LeakQuestion, net: Network) -> Any:
        answered.append((self.layer, self.sample))
        return computed(self, net)

    monkeypatch.setattr(LeakQuestion, "answered", counted)
    out, left = tmp_path / "out", 0

    def dying(path: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return write(path)

    command = ["leakage", *given, "--out", str(out), *ASKED, "--resume"]
    monkeypatch.setattr(fiberscope.files, "atomic_path", dying)
    for _ in range(40):
        left = 7
        if main(command) == 0:
            break
    monkeypatch.undo()
    assert {*answered} == {(chunk.layer, chunk.sample) for chunk in CHUNKS}
    assert len(answered) <= len(CHUNKS) + 4, "at most the one under way is lost each time"
    assert main(["verify", str(out)]) == 0
    same = ["sample", "layer", "precision", "eps", "bounded"]  # the rest depends on the time
    now, then = (pq.read_table(folder / "leakage.parquet").select(same) for folder in (out, whole))
    assert now.equals(then)
    capsys.readouterr()


def test_the_report_of_an_audit_has_a_section(given: list[str], whole: Path, tmp_path: Path) -> None:
    """Whichever of the two comes first, and again when the report is written anew."""
    import shutil

    audit = ["audit", *given, "--domain", "0,1", "--samples", "3", "--out"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*audit, str(one)]) == 0
    assert 'id="leakage"' not in (one / "report.html").read_text()
    assert main(["leakage", *given, "--out", str(one), *ASKED]) == 0
    assert not (one / "leakage.html").exists()
    shutil.copytree(whole, two)
    assert main([*audit, str(two)]) == 0
    for folder in (one, two):
        assert main(["report", str(folder)]) == 0
        page = (folder / "report.html").read_text()
        assert page.count('id="leakage"') == 1
        summary = page[page.index('id="summary"') : page.index('id="leakage"')]
        assert summary.index("Whoever holds what the network gives") < summary.index("Each layer by itself")
        assert main(["verify", str(folder)]) == 0


def test_another_network_in_the_same_folder_is_refused(
    given: list[str], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Network((affine_stage("a", Dense(np.eye(4), np.ones(4))), relu_stage("r", 4)), (1, 2, 2))
    other.save(tmp_path / "other.safetensors")
    audit = ["audit", str(tmp_path / "other.safetensors"), given[1], "--domain", "0,1", "--out", str(tmp_path / "a")]
    assert main(audit) == 0
    before = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert main(["leakage", *given, "--out", str(tmp_path / "a"), *ASKED]) == 2
    assert "results of another network" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == before
    assert json.loads((whole / "leakage" / "manifest.json").read_text())["status"] == "complete"
    assert main(["leakage", *given, "--out", str(whole), *ASKED[:2], "--samples", "1", "--resume"]) == 2
    assert "it differs in" in capsys.readouterr().err


def test_a_budget_of_no_time_says_so_and_takes_none() -> None:
    rng = np.random.default_rng(2)
    stages = []
    for k in range(3):
        stages += [affine_stage(f"a{k}", Dense(rng.standard_normal((40, 40)), rng.standard_normal(40)))]
        stages += [relu_stage(f"r{k}", 40)]
    net = Network(tuple(stages), (40,))
    asked = LeakQuestion(2, 0, rng.random(40), Box(0.0, 1.0), ("float32", "0.01"), None, 1e-3)
    begun = process_time()
    answer = asked.answered(net)
    assert process_time() - begun < 20.0
    assert [row.recoverable for row in answer.rows] == [False, False]
    assert all(row.reason for row in answer.rows)


def test_rows_vouch_for_their_proofs(whole: Path) -> None:
    results = Results(whole).leakage
    for chunk in CHUNKS:
        data, proofs = (results.path(part, chunk).read_bytes() for part in (LEAKS, PROOFS))
        table = pq.read_table(results.path(LEAKS, chunk))
        assert table.schema.metadata[PROOFS.encode()].decode() == shards.sha256(proofs)
        assert results.manifest().shards[chunk.name] == {LEAKS: shards.sha256(data), PROOFS: shards.sha256(proofs)}
        assert archive_from_bytes(proofs, "proofs")["received"].ndim == 1


def test_a_proof_that_is_too_large_is_not_kept_and_everyone_says_so(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fiberscope.audits.leak_claims.LARGEST_PROOF", 10)
    out = tmp_path / "out"
    assert main(["leakage", *given, "--out", str(out), *ASKED, "--layers", "0"]) == 0
    checked = list(verify_leakage(Results(out).leakage))
    assert sum(each.others["unkept"] for each in checked) == 6
    assert not any(each.failures for each in checked)
    assert main(["verify", str(out)]) == 0
    assert "6 rows have a proof too large to be kept" in capsys.readouterr().out
    assert "they are not re-checkable there" in (out / "leakage.html").read_text()


def test_layers_in_which_branches_meet_are_proved_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    stages = (
        affine_stage("a", Dense(rng.standard_normal((6, 3)), np.ones(6))),
        relu_stage("r", 6),
        affine_stage("b", Dense(rng.standard_normal((6, 6)), np.ones(6))),
        relu_stage("s", 6),
        Stage("sum", (Dense(rng.standard_normal((9, 6)), np.ones(9)), Dense(np.ones((9, 6)))), sources=(3, 1)),
        relu_stage("t", 9),
    )
    Network(stages, (3,)).save(tmp_path / "net.safetensors")
    np.save(tmp_path / "x.npy", rng.random((2, 3)))
    given = [str(tmp_path / "net.safetensors"), str(tmp_path / "x.npy")]
    assert main(["leakage", *given, "--out", str(tmp_path / "out"), *ASKED]) == 0
    rows = pq.read_table(tmp_path / "out" / "leakage.parquet").to_pylist()
    checked = list(verify_leakage(Results(tmp_path / "out").leakage))
    assert [failure for each in checked for failure in each.failures] == []
    assert sum(each.proved for each in checked) >= sum(row["bounded"] for row in rows) + len(checked)
