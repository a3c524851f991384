"""The files of leakage: for each layer and sample a table of rows, and an archive of what proves them.

The folder of a leakage is a results folder of its own, ``leakage/`` below the one that it was asked into, so that it is
begun, continued and kept from others like an audit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fiberscope.audits import shards
from fiberscope.audits.archives import archive_from_bytes
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.plan import LeakChunk
from fiberscope.errors import ResultsError
from fiberscope.files import is_file, read_file
from fiberscope.recovery.leak import SCHEMA, Leak, rows_of
from fiberscope.seals import is_sealed

LEAKS, PROOFS = "leaks", "proofs"
"""The parts of the folder: rows, which name their proofs by SHA-256, and proofs, which are written first."""

FOLDER, TABLE, PAGE = "leakage", "leakage.parquet", "leakage.html"
"""What a leakage writes into the folder that it was asked into."""


@dataclass(frozen=True, eq=False)
class StoredLeaks:
    """The files of one layer and sample, read.

    Attributes:
        chunk: which.
        rows: one for each precision.
        claims: what proves them; see ``leak_claims``. Empty where the file is missing.
        changed: the files that are not, byte for byte, what was written.
    """

    chunk: LeakChunk
    rows: tuple[Leak, ...]
    claims: dict[str, NDArray[Any]]
    changed: tuple[str, ...]


@dataclass(frozen=True)
class LeakFiles:
    """The files of all layers and samples.

    Args:
        folder: the results folder.
    """

    folder: Path

    def path(self, part: str, chunk: LeakChunk) -> Path:
        """One of a chunk's files."""
        return self.folder / part / f"{chunk.name}{'.parquet' if part == LEAKS else '.npz'}"

    def read(self, manifest: Manifest, chunk: LeakChunk) -> StoredLeaks:
        """Read the files of one layer and sample.

        Raises:
            ResultsError: a file is missing or cannot be read, or holds the rows of something else.
        """
        path, beside = self.path(LEAKS, chunk), self.path(PROOFS, chunk)
        data, proofs = read_file(path), read_file(beside) if is_file(beside) else b""
        table = shards.table_from_bytes(data, SCHEMA, str(path))
        rows = tuple(rows_of(table))
        wanted = [(chunk.sample, chunk.layer, precision) for precision in manifest.leakage]
        if [(row.sample, row.layer, row.precision) for row in rows] != wanted:
            words = "its rows are not the precisions at this layer and sample"
            raise ResultsError(f"{path} is damaged: {words}", path=str(path))
        recorded = manifest.shards.get(chunk.name, {})
        metadata: dict[bytes, bytes] = table.schema.metadata or {}
        named = metadata.get(PROOFS.encode(), b"").decode(errors="replace")
        digests = {LEAKS: shards.sha256(data), PROOFS: shards.sha256(proofs) if proofs else "missing"}
        changed = {part for part, digest in digests.items() if recorded.get(part, digest) != digest}
        changed |= set() if is_sealed(data) else {LEAKS}
        changed |= set() if named == digests[PROOFS] else {PROOFS}
        claims = archive_from_bytes(proofs, str(beside)) if proofs and PROOFS not in changed else {}
        return StoredLeaks(chunk, rows, claims, tuple(str(self.path(part, chunk)) for part in sorted(changed)))

    def changed_table(self) -> list[str]:
        """The one table beside the folder, if it is not as it was written."""
        path = self.folder.with_name(TABLE)
        return [str(path)] if is_file(path) and not is_sealed(read_file(path)) else []


def rows_to_bytes(table: Any, proofs: bytes) -> bytes:
    """Write rows, which vouch for their proofs."""
    return shards.table_to_bytes(table.replace_schema_metadata({PROOFS.encode(): shards.sha256(proofs).encode()}))


__all__ = ["FOLDER", "LEAKS", "PAGE", "PROOFS", "TABLE", "LeakFiles", "StoredLeaks", "rows_to_bytes"]
