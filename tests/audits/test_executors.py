"""What an audit finds does not depend on who computes it, how many do, in what order, and what befalls them."""

from __future__ import annotations

import multiprocessing
import shutil
from concurrent.futures import BrokenExecutor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import fiberscope.audits.spectra
import fiberscope.audits.survey
import fiberscope.audits.verdicts
from fiberscope.audits.compute import ModelFile, Orders, Threads, read_model, write_chunk_from_file, write_failed
from fiberscope.audits.execution import Job, Written
from fiberscope.audits.job import Options, build_job
from fiberscope.audits.plan import AnyChunk, Chunk, SpectraChunk, SurveyChunk
from fiberscope.audits.pool import Here
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.audits.verdicts import Verdicts
from fiberscope.cli import main
from fiberscope.errors import ResultsError
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from small_audits import small_data, small_network, write_model_and_data

SAMPLES = 11
OPTIONS = Options(block=4, domain=(0.0, 1.0), spectra=3, invariance=2, workers=1)
PARTS = ("preimages", "certificates", "inputs", "spectra", "invariance")


def subject() -> Subject:
    return Subject(small_network(), small_data(SAMPLES), np.arange(SAMPLES) % 10, "net", "data", "")


def job(folder: Path, options: Options = OPTIONS) -> Job:
    return build_job(Results(folder), subject(), options)


def files(folder: Path) -> dict[str, bytes]:
    """All that was computed, byte for byte."""
    return {f"{part}/{path.name}": path.read_bytes() for part in PARTS for path in (folder / part).iterdir()}


@pytest.fixture(name="alone", scope="module")
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audit as one process computes it; nobody writes into it."""
    folder = tmp_path_factory.mktemp("alone")
    assert not any(written.failed for written in job(folder).run())
    return folder


@pytest.fixture(scope="module")
def scheduler():
    """The address of a dask scheduler with two workers."""
    distributed = pytest.importorskip("distributed", reason="dask's package distributed is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0", memory_limit=0
    ) as cluster:
        yield cluster.scheduler_address


class TwoHere(Here):
    """Two workers, as far as the audit knows, that finish many chunks at a time."""

    workers = 2
    ahead = 9


def with_pool(pool: Here, folder: Path) -> list[Written]:
    """Run an audit with a pool of one's own."""
    return list(job(folder, replace(OPTIONS, workers=2)).run(pool))


# ---- the same, whoever computes


def test_two_processes(alone: Path, tmp_path: Path) -> None:
    assert len(list(job(tmp_path, replace(OPTIONS, workers=2)).run())) == 14
    assert files(tmp_path) == files(alone)


def test_chunks_that_finish_in_another_order(alone: Path, tmp_path: Path) -> None:
    order = [written.chunk for written in with_pool(TwoHere(), tmp_path)]
    assert order != list(job(alone).chunks)
    assert files(tmp_path) == files(alone)


@pytest.mark.fault
def test_the_workers_of_a_dask_cluster(scheduler: str, tmp_path: Path, alone: Path) -> None:
    arguments = ["audit", *write_model_and_data(tmp_path, SAMPLES), "--block", "4", "--domain", "0,1"]
    arguments += ["--spectra", "3", "--invariance", "2", "--scheduler", scheduler, "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert files(tmp_path / "out") == files(alone)
    assert main(["verify", str(tmp_path / "out")]) == 0


# ---- workers that die


@pytest.mark.fault
def test_processes_that_are_killed_cost_nothing(alone: Path, tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    seen = []
    for written in job(tmp_path, replace(OPTIONS, workers=2)).run():
        if not seen:
            victims = set(multiprocessing.active_children()) - before
            assert len(victims) == 2
            for victim in victims:
                victim.kill()
        seen.append(written)
    assert not any(written.failed for written in seen)
    assert len(seen) == 14
    assert files(tmp_path) == files(alone)


class Deadly(TwoHere):
    """Workers that die of some chunks whenever they are tried."""

    losses = (BrokenExecutor,)

    def __init__(self, chunks: set[AnyChunk]) -> None:
        self.chunks, self.deaths = chunks, 0

    def submit(self, function: Any, task: Any) -> Future[Any]:
        if task not in self.chunks:
            return super().submit(function, task)
        self.deaths += 1
        future: Future[Any] = Future()
        future.set_exception(BrokenExecutor("the process ended"))
        return future


WEIGHT = np.array([[1e200, 1e200], [1e200, -1e200]])

FATAL: set[AnyChunk] = {Chunk(1, 1, 4, 8), SpectraChunk(1), SurveyChunk(0)}


def failed_rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows that say that they were not computed, by part."""
    found: dict[str, list[dict[str, Any]]] = {}
    for part in ("preimages", "spectra", "invariance"):
        rows = [row for path in sorted((folder / part).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
        found[part] = [row for row in rows if row["reason"].startswith("the computation failed: ")]
    return found


def check_failures(folder: Path, alone: Path, cause: str) -> None:
    """The rows of the fatal chunks, and only these, are undecided and say why; the rest is as it would be."""
    rows = failed_rows(folder)
    verdicts = rows["preimages"]
    assert [(row["sample"], row["domain"]) for row in verdicts] == [
        (sample, domain) for domain in ("R^n", "x >= 0") for sample in range(4, 8)
    ]
    layer, inputs = small_network().relu_layers[1], small_network().layer_input(1, small_data(SAMPLES))
    for row in verdicts:
        assert (row["layer"], row["kind"], row["dimension"], row["certificate"]) == (1, "undecided", None, "")
        assert row["positives"] == (layer(inputs[row["sample"]]) > 0).sum()
    assert [(row["sample"], row["stage"]) for row in rows["spectra"]] == [(1, stage) for stage in range(6)]
    assert [(row["sample"], row["layer"]) for row in rows["invariance"]] == [(0, layer) for layer in range(3)]
    numbers = [row[name] for row in rows["spectra"] for name in ("rank", "largest", "values", "error_bound")]
    numbers += [row[name] for row in rows["invariance"] for name in ("dimension", "reached", "width")]
    assert set(numbers) == {None}
    assert all(cause in row["reason"] for part in rows.values() for row in part)
    now, then = files(folder), files(alone)
    assert {name.rsplit(".", 1)[0] for name in then if now[name] != then[name]} == {
        "preimages/layer-01-block-0001",
        "certificates/layer-01-block-0001",
        "spectra/sample-000001",
        "invariance/sample-000000",
    }


def test_chunks_of_which_workers_die_are_undecided_and_tried_again(alone: Path, tmp_path: Path) -> None:
    pool = Deadly(FATAL)
    written = with_pool(pool, tmp_path)
    assert {each.chunk for each in written if each.failed} == FATAL
    assert pool.deaths == 3 * len(FATAL)
    check_failures(tmp_path, alone, "ended unexpectedly, 3 times")
    assert Results(tmp_path).manifest().complete
    assert main(["verify", str(tmp_path)]) == 0
    again = list(job(tmp_path).run())
    assert {each.chunk for each in again} == FATAL, "what succeeded is not computed again"
    assert files(tmp_path) == files(alone)


# ---- computations that fail


def test_chunks_that_fail_are_undecided_and_tried_again(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = small_data(SAMPLES)
    inputs = small_network().layer_input(1, x)[4:8]
    classify, spectra = fiberscope.audits.verdicts.classify, fiberscope.audits.spectra.spectra
    survey_curve = fiberscope.audits.survey.survey_curve

    def failing_classify(layer, X, **words):
        if np.array_equal(X, inputs):
            raise MemoryError("no\nmore")
        return classify(layer, X, **words)

    def failing_spectra(network, X, *words, **more):
        if (X[0] == x[1]).all():
            raise MemoryError("no\nmore")
        return spectra(network, X, *words, **more)

    def failing_survey(network, layer, sample, *words):
        if sample.number == 0:
            raise MemoryError("no\nmore")
        return survey_curve(network, layer, sample, *words)

    with monkeypatch.context() as patch:
        patch.setattr(fiberscope.audits.verdicts, "classify", failing_classify)
        patch.setattr(fiberscope.audits.spectra, "spectra", failing_spectra)
        patch.setattr(fiberscope.audits.survey, "survey_curve", failing_survey)
        written = list(job(tmp_path).run())
    assert {each.chunk for each in written if each.failed} == FATAL
    check_failures(tmp_path, alone, "MemoryError: no more")
    assert {each.chunk for each in job(tmp_path).run()} == FATAL
    assert files(tmp_path) == files(alone)


def test_numbers_that_overflow_within_the_network_are_undecided(tmp_path: Path) -> None:
    stages = [stage for n in range(3) for stage in (affine_stage(f"a{n}", Dense(WEIGHT)), relu_stage(f"r{n}", 2))]
    Network(tuple(stages), (2,)).save(tmp_path / "huge.safetensors")
    np.save(tmp_path / "x.npy", [[1.0, 2.0], [0.0, 0.0]])
    arguments = [str(tmp_path / name) for name in ("huge.safetensors", "x.npy")]
    assert main(["audit", *arguments, "--block", "1", "--workers", "1", "--out", str(tmp_path / "out")]) == 2
    rows = failed_rows(tmp_path / "out")["preimages"]
    assert {(row["layer"], row["sample"]) for row in rows} == {(2, 0)}, "the other sample is zero all the way"
    assert all(row["kind"] == "undecided" and "finite" in row["reason"] for row in rows)
    assert all("0 stands for their number" in row["reason"] and row["positives"] == 0 for row in rows)
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_the_command_says_that_chunks_failed(
    again: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the cause")

    with monkeypatch.context() as patch:
        patch.setattr(fiberscope.audits.verdicts, "classify", failing)
        options = ["--layers", "2", "--workers", "1", "--fail-on", "undecided>0@R^n"]
        assert main([*again, "--out", str(tmp_path), *options]) == 2, "an error, not only a threshold that fails"
    said = capsys.readouterr()
    last = said.err.splitlines()[-1]
    assert "error: 3 of 3 chunks failed and are undecided: the computation failed: ZeroDivisionError: the cause" in last
    assert "--resume tries them again" in last
    assert "1 of 1 threshold failed" in said.out
    assert "the cause" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert main(["report", str(tmp_path), "--fail-on", "unbounded>0@R^n"]) == 1
    expected = "0 of 13 samples (0 %), but 13 undecided samples may miss it"
    assert f"unbounded>0@R^n: layer 2 dense2, R^n: {expected}" in capsys.readouterr().out
    assert main([*again, "--out", str(tmp_path), "--layers", "2", "--workers", "1", "--resume"]) == 0
    assert "failed" not in capsys.readouterr().err


def test_a_results_folder_that_cannot_be_written_ends_the_audit(
    tmp_path: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(alone, tmp_path / "out"))
    (out / "spectra/sample-000001.parquet").unlink()

    def full(*_: object, **__: object) -> None:
        raise ResultsError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Results, "write", full)
        with pytest.raises(ResultsError, match="the disk is full"):
            list(job(out).run())
    assert not Results(out).manifest().complete
    assert [written.chunk for written in job(out).run()] == [SpectraChunk(1)]


# ---- workers and the model


def test_a_worker_that_does_not_see_the_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"does not see .*absent.safetensors; it must have the results folder"):
        read_model(ModelFile(tmp_path / "absent.safetensors", "0" * 64))


def test_a_worker_that_sees_another_model_says_so(tmp_path: Path) -> None:
    small_network(seed=5).save(tmp_path / "model.safetensors")
    with pytest.raises(ResultsError, match=r"sees another model in .*model.safetensors, SHA-256 \w{12} instead of"):
        read_model(ModelFile(tmp_path / "model.safetensors", small_network(seed=7).digest()))


def test_a_worker_reads_a_model_once(tmp_path: Path) -> None:
    small_network(seed=3).save(tmp_path / "model.safetensors")
    model = ModelFile(tmp_path / "model.safetensors", small_network(seed=3).digest())
    network = read_model(model)
    (tmp_path / "model.safetensors").unlink()
    assert read_model(model) is network


def orders(folder: Path) -> Orders:
    results = Results(folder)
    return Orders(Verdicts(), Threads(1, 1), results, replace(results.manifest(), shards={}))


def test_a_worker_needs_the_folder_and_the_name_of_a_chunk(alone: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(alone, tmp_path / "out"))
    chunk, told = Chunk(1, 1, 4, 8), orders(out)
    for part in ("preimages", "certificates", "inputs"):
        Results(out).path(part, chunk).unlink()
    written = write_chunk_from_file(told, chunk)
    assert written.entry == Results(out).entry(chunk)
    assert files(out) == files(alone)


def test_a_chunk_that_another_worker_wrote_meanwhile_is_left_as_it_is(alone: Path, tmp_path: Path) -> None:
    """Clusters hand a task out again when they lose sight of a worker that goes on."""
    out = Path(shutil.copytree(alone, tmp_path / "out"))
    chunk, told = Chunk(1, 1, 4, 8), orders(out)
    before = Results(out).entry(chunk)
    assert write_chunk_from_file(told, chunk).entry == before
    assert write_failed(told, told.subject(), chunk, "the cause").failed == ""
    assert Results(out).entry(chunk) == before, "not even written again"
    path = Results(out).path("certificates", chunk)
    path.write_bytes(path.read_bytes()[:-1])
    assert write_chunk_from_file(told, chunk).entry.files["certificates"].digest == before.files["certificates"].digest
    assert files(out) == files(alone), "what is damaged is no reason to stop"


def test_a_worker_that_sees_other_data_says_so(alone: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(alone, tmp_path / "out"))
    told = orders(out)
    data = (out / "data.npz").read_bytes()
    (out / "data.npz").write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    told = replace(
        told, manifest=replace(told.manifest, data_digest="0" * 64)
    )  # what is read already is not read again
    with pytest.raises(ResultsError, match=r"the worker process \d+ on .* cannot use the data: .*data.npz is damaged"):
        write_chunk_from_file(told, Chunk(1, 1, 4, 8))
