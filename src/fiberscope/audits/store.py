"""The results folder: every file in it appears whole or not at all, and the findings of a chunk last of its files.

Files are sealed (``seals``), but for those that another vouches for: the model, which the manifest names by its digest,
and a chunk's inputs and certificates.

======================================  =========================================================
``manifest.json``                       what was audited, with what, how, and how far it got
``model.safetensors``                   the network
``data.npz``                            the samples and labels as they came
``inputs/CHUNK.npy``                    what the layer received; the verdicts are about exactly these numbers
``certificates/CHUNK.parquet``          ``id``, ``data``: each certificate of the chunk once
``preimages/CHUNK.parquet``             the findings; names its chunk's other files by SHA-256
``network/verdicts.parquet``            whether inputs can be computed back from what the network up to each layer gives
``network/SAMPLE-LAYER.npz``            what proves that through several layers (``network_proofs.py``)
``leakage/``                            what features give away, a folder like this one (``leak_store.py``)
``leakage.parquet``, ``leakage.html``   the same as one table, and as a page where there is no audit
``spectra/SAMPLE.parquet``              the singular values of every stage at one sample
``invariance/SAMPLE.parquet``           how far invariance reaches from one sample, layer by layer
``examples/``                           invariance examples, one file for each
``report.html``                         the report
``digests.jsonl``                       the ledger: the digests of all chunks' files (``ledger.py``)
``audit.lock``, ``running.json``        that an audit is running here, and which (``lock.py``)
======================================  =========================================================
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, assert_never

import numpy as np

from fiberscope.audits import shards
from fiberscope.audits.example_store import ExampleStore
from fiberscope.audits.findings import FindingsTable
from fiberscope.audits.leak_store import FOLDER, LEAKS, PAGE, PROOFS, TABLE, LeakFiles
from fiberscope.audits.ledger import Entry, Ledger, Stamp, stamp_of
from fiberscope.audits.lock import LOCK, RUNNING
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.plan import AnyChunk, Chunk, LeakChunk, SpectraChunk, SurveyChunk
from fiberscope.audits.sample_tables import SampleTables
from fiberscope.audits.stored_subject import DATA, MODEL, read_subject, write_subject
from fiberscope.audits.subject import Subject
from fiberscope.errors import ResultsError
from fiberscope.files import is_file, is_temporary, read_file, write_file
from fiberscope.network.arrays import FloatArray
from fiberscope.seals import is_sealed

PREIMAGES, CERTIFICATES, INPUTS = "preimages", "certificates", "inputs"
SPECTRA, SURVEY = "spectra", "invariance"

_OF_VERDICTS = (PREIMAGES, CERTIFICATES, INPUTS)
_SUFFIX = {INPUTS: ".npy", PROOFS: ".npz"}
_BESIDE = (LOCK, RUNNING, FOLDER, TABLE, PAGE)
"""What may be in a folder before an audit begins there."""

_BEFORE_THE_MANIFEST = (MODEL, DATA, *_BESIDE)


@dataclass(frozen=True, eq=False)
class ChunkData:
    """The files of one chunk, read.

    Attributes:
        chunk: which layer and samples.
        findings: the findings.
        certificates: the certificates by id.
        inputs: (chunk's samples, n) what the layer received.
        changed: the files that are not, byte for byte, what the audit wrote.
        step: of the layer's 8-bit codes, where it is judged at them.
    """

    chunk: Chunk
    findings: FindingsTable
    certificates: dict[str, bytes]
    inputs: FloatArray
    changed: tuple[str, ...]
    step: float | None = None


@dataclass(frozen=True)
class Results:
    """A results folder.

    Args:
        folder: where it is, or will be.
    """

    folder: Path

    @property
    def manifest_path(self) -> Path:
        """The manifest: a folder with one holds an audit."""
        return self.folder / "manifest.json"

    @property
    def model_path(self) -> Path:
        """The network."""
        return self.folder / MODEL

    @property
    def spectra(self) -> SampleTables:
        """The singular values."""
        return SampleTables(self.folder / SPECTRA, shards.SPECTRA_SCHEMA, counted="stage")

    @property
    def survey(self) -> SampleTables:
        """How far invariance reaches."""
        return SampleTables(self.folder / SURVEY, shards.SURVEY_SCHEMA)

    @property
    def leaks(self) -> LeakFiles:
        """What features give away."""
        return LeakFiles(self.folder)

    @property
    def leakage(self) -> Results:
        """The folder of what features give away, below that of an audit of the same."""
        return Results(self.folder / FOLDER)

    @property
    def examples(self) -> ExampleStore:
        """The invariance examples."""
        return ExampleStore(self.folder / "examples")

    @property
    def ledger(self) -> Ledger:
        """Which chunks are written, and their digests."""
        return Ledger(self.folder)

    @property
    def report_path(self) -> Path:
        """The report."""
        return self.folder / "report.html"

    def path(self, part: str, chunk: AnyChunk) -> Path:
        """One of a chunk's files."""
        return self.folder / part / f"{chunk.name}{_SUFFIX.get(part, '.parquet')}"

    # ---- beginning and ending an audit

    def holds_audit(self) -> bool:
        """Whether an audit was begun here.

        Raises:
            ResultsError: something else is here.
        """
        if is_file(self.manifest_path):
            return True
        others = [path.name for path in _listed(self.folder) if not _may_precede_manifest(path)]
        if others:
            raise ResultsError(
                f"{self.folder} has no manifest.json but holds {', '.join(sorted(others)[:3])}: "
                "not the results of an audit; choose another folder",
                path=str(self.folder),
            )
        return False

    def require_empty(self) -> None:
        """Check that a new audit may begin here.

        Raises:
            ResultsError: something is here already.
        """
        if any(path.name not in _BESIDE for path in _listed(self.folder)):
            raise ResultsError(
                f"{self.folder} is not empty; continue what is in it with --resume, or choose another folder",
                path=str(self.folder),
            )

    def require_writable(self) -> None:
        """Make the folder and check that files can be made in it, before hours of work are put into them.

        Raises:
            ResultsError: they cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ResultsError(
                f"cannot write into {self.folder}: {error.strerror}; choose another folder", path=str(self.folder)
            ) from error

    def begin(self, subject: Subject, manifest: Manifest) -> None:
        """Write the model and the data, and then the manifest, which makes the folder an audit."""
        self.write_subject(subject)
        self.write_manifest(manifest)

    def write_subject(self, subject: Subject) -> None:
        """Write the model and the data."""
        write_subject(self.folder, subject)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write or replace the manifest."""
        write_file(self.manifest_path, manifest.to_json())

    def manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            ResultsError: there is none, or it is damaged.
        """
        path = self.manifest_path
        if not is_file(path):
            raise ResultsError(
                f"{self.folder} holds no audit: there is no manifest.json; name the folder that was --out of the audit",
                path=str(path),
            )
        manifest = Manifest.from_json(read_file(path), str(path))
        return replace(manifest, shards=self.ledger.digests(manifest.digests)) if manifest.complete else manifest

    def subject(self) -> Subject:
        """Read the network and the data of the audit.

        Raises:
            ResultsError: they are damaged, or not those that the manifest names.
        """
        return read_subject(self.folder, self.manifest())

    # ---- chunks

    def write(self, chunk: AnyChunk, files: Mapping[str, bytes], *, failed: bool = False) -> Entry:
        """Write the files of a chunk, by part and in their order; the last one makes the chunk whole."""
        stamps: dict[str, Stamp] = {}
        for part, data in files.items():
            write_file(self.path(part, chunk), data)
            stamps[part] = stamp_of(self.path(part, chunk), data)
        return Entry(chunk.name, stamps, failed)

    def read_chunk(self, manifest: Manifest, chunk: Chunk) -> ChunkData:
        """Read the files of a chunk. A missing file of certificates reads as one without certificates.

        Raises:
            ResultsError: a file is missing or cannot be read, or holds the findings of something else.
        """
        paths = {part: self.path(part, chunk) for part in _OF_VERDICTS}
        data = {part: read_file(path) for part, path in paths.items() if part != CERTIFICATES or is_file(path)}
        findings, siblings = shards.findings_from_bytes(data[PREIMAGES], str(paths[PREIMAGES]))
        _check_rows(findings, manifest, chunk, str(paths[PREIMAGES]))
        inputs = shards.array_from_bytes(data[INPUTS], str(paths[INPUTS]))
        expected = (len(chunk.samples), manifest.network_layers[chunk.layer].inputs)
        if inputs.shape != expected:
            path = str(paths[INPUTS])
            raise ResultsError(f"{path} is damaged: shape {inputs.shape} instead of {expected}", path=path)
        certificates = {}
        if CERTIFICATES in data:
            certificates = shards.certificates_from_bytes(data[CERTIFICATES], str(paths[CERTIFICATES]))
        recorded = dict.fromkeys((INPUTS, CERTIFICATES), "") | siblings | manifest.shards.get(chunk.name, {})
        changed = {part for part in _OF_VERDICTS if part in recorded and recorded[part] != _digest(data.get(part))}
        changed |= set() if is_sealed(data[PREIMAGES]) else {PREIMAGES}
        named, step = tuple(str(paths[part]) for part in sorted(changed)), manifest.plan.step(chunk.layer)
        return ChunkData(chunk, findings, certificates, inputs, named, step)

    def is_written(self, chunk: AnyChunk) -> bool:
        """Whether the last file of a chunk is there."""
        return is_file(self.path(parts_of(chunk)[-1], chunk))

    def to_be_checked(self, manifest: Manifest, chunk: AnyChunk) -> bool:
        """Whether a chunk must be there: every one of a complete audit; else those that are, and others are to come."""
        return manifest.complete or self.is_written(chunk)

    def entry(self, chunk: AnyChunk, *, failed: bool = False) -> Entry:
        """A chunk whose files are there, for the ledger."""
        return Entry(chunk.name, {part: stamp_of(self.path(part, chunk)) for part in parts_of(chunk)}, failed)

    def findings(self, manifest: Manifest) -> FindingsTable:
        """All findings of the chunks that are there.

        Raises:
            ResultsError: a file is damaged, or there is none.
        """
        parts: list[FindingsTable] = []
        for chunk in manifest.plan.chunks():
            path = self.path(PREIMAGES, chunk)
            if is_file(path):
                findings, _ = shards.findings_from_bytes(read_file(path), str(path))
                _check_rows(findings, manifest, chunk, str(path))
                parts.append(findings)
        if not parts:
            path = str(self.folder)
            raise ResultsError(f"{path} holds no findings yet; continue the audit with --resume", path=path)
        columns = FindingsTable.__dataclass_fields__
        return FindingsTable(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns})

    def spectra_table(self, manifest: Manifest, columns: Sequence[str] | None = None) -> Any:
        """All singular values that are there: a table of ``SPECTRA_SCHEMA``, by sample and stage.

        Args:
            manifest: the manifest.
            columns: what to keep of it; None for all, which can take much memory.

        Raises:
            ResultsError: a file is damaged.
        """
        return self.spectra.table(manifest, manifest.plan.spectra_chunks(), columns)

    def survey_table(self, manifest: Manifest) -> Any:
        """How far invariance reaches: a table of ``SURVEY_SCHEMA``, by sample, layer and target.

        Raises:
            ResultsError: a file is damaged.
        """
        return self.survey.table(manifest, manifest.plan.survey_chunks())

    def remove_leftovers(self) -> int:
        """Remove the temporary files of a run that was killed; returns how many there were."""
        leftovers = list(_temporary_files(self.folder))
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)


def parts_of(chunk: AnyChunk) -> tuple[str, ...]:
    """The parts that a chunk has files in, in the order in which they are written."""
    match chunk:
        case Chunk():
            return INPUTS, CERTIFICATES, PREIMAGES
        case SpectraChunk():
            return (SPECTRA,)
        case SurveyChunk():
            return (SURVEY,)
        case LeakChunk():
            return PROOFS, LEAKS
        case _:
            assert_never(chunk)


def _check_rows(findings: FindingsTable, manifest: Manifest, chunk: Chunk, path: str) -> None:
    names = (findings.sample, findings.domain, findings.precision)
    rows = list(zip(*(column.tolist() for column in names), strict=True))
    if rows != manifest.plan.rows(chunk) or (findings.layer != chunk.layer).any():
        raise ResultsError(f"{path} is damaged: its rows are not the samples and domains of this chunk", path=path)


def _digest(data: bytes | None) -> str:
    return "missing" if data is None else shards.sha256(data)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"cannot read {folder}: {error.strerror}; choose another folder"
        raise ResultsError(message, path=str(folder)) from error


def _may_precede_manifest(path: Path) -> bool:
    return path.name in _BEFORE_THE_MANIFEST or is_temporary(path)


def _temporary_files(folder: Path) -> Iterator[Path]:
    results = Results(folder)
    parts = (results.spectra.folder, results.survey.folder, results.examples.folder)
    for place in (folder, folder / "network", *parts, *(folder / part for part in (*_OF_VERDICTS, PROOFS, LEAKS))):
        yield from (path for path in _listed(place) if is_temporary(path))


__all__ = ["CERTIFICATES", "INPUTS", "PREIMAGES", "SPECTRA", "SURVEY", "ChunkData", "Results", "parts_of"]
