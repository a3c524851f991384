"""Twice the chunks take twice the steps: nothing that reads a results folder looks at all chunks for each of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fiberscope.audits.execution import count_findings
from fiberscope.audits.job import Options, build_job
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.audits.verify import verify_results
from fiberscope.audits.verify_spectra import verify_spectra
from small_audits import small_data, small_network

FEW = 8
OPTIONS = Options(block=1, domain=(0.0, 1.0), workers=1, layers=(0, 2))
READERS: dict[str, Callable[[Results], Any]] = {
    "resume": lambda results: build_job(results, subject_of(results), options_of(results)),
    "findings": lambda results: count_findings(results.findings(results.manifest())),
    "spectra": lambda results: results.spectra_table(results.manifest()),
    "verify": lambda results: list(verify_results(results, workers=1)),
    "verify_spectra": lambda results: list(verify_spectra(results, workers=1)),
}


def audited(folder: Path, samples: int) -> Results:
    subject = Subject(small_network(), small_data(samples), None, "net", "data", "")
    results = Results(folder)
    list(build_job(results, subject, Options(**{**vars(OPTIONS), "spectra": samples})).run())
    return results


def subject_of(results: Results) -> Subject:
    return results.subject()


def options_of(results: Results) -> Options:
    return Options(**{**vars(OPTIONS), "spectra": results.manifest().samples})


@pytest.fixture(name="folders", scope="module")
def _folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Results]:
    """Two audits, one of twice as many samples."""
    few, many = (audited(tmp_path_factory.mktemp("audit"), samples) for samples in (FEW, 2 * FEW))
    return few, many


def steps(work: Callable[[], object]) -> int:
    """How many functions are called, in Python and in C: a measure of work that is the same on every machine."""
    count = 0

    def counted(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.exhaustive
@pytest.mark.parametrize("reader", READERS)
def test_twice_the_chunks_take_twice_the_steps(reader: str, folders: tuple[Results, Results]) -> None:
    few, many = folders
    READERS[reader](few)  # imports and first calls
    ratio = steps(lambda: READERS[reader](many)) / steps(lambda: READERS[reader](few))
    assert 1.0 < ratio < 2.1


@pytest.mark.parametrize("reader", READERS)
def test_the_manifest_is_read_a_fixed_number_of_times(
    reader: str, folders: tuple[Results, Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names every chunk, so that it must not be read for every chunk."""
    reads: list[int] = []
    manifest, subject = Results.manifest, Results.subject
    for results in folders:
        count = 0

        def counting(self: Results, read: Callable[[Results], Any] = manifest) -> Any:
            nonlocal count
            count += 1
            return read(self)

        def counting_all(self: Results, read: Callable[[Results], Any] = subject) -> Any:
            nonlocal count
            count += 1
            return read(self)

        monkeypatch.setattr(Results, "manifest", counting)
        monkeypatch.setattr(Results, "subject", counting_all)
        READERS[reader](results)
        reads.append(count)
    assert reads[0] == reads[1] > 0
