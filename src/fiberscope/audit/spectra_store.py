"""The part of the results folder that holds singular values: one Parquet file per sample, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow

from fiberscope.audit import shards
from fiberscope.audit.manifest import Manifest
from fiberscope.audit.plan import SpectraChunk
from fiberscope.errors import ResultsError
from fiberscope.files import read_file, write_file

pa: Any = pyarrow  # has no types

SPECTRA = "spectra"
"""The name of the part, in the folder and among the manifest's digests."""


@dataclass(frozen=True)
class SpectraStore:
    """The singular values in a results folder.

    Args:
        folder: where they are, or will be.
    """

    folder: Path

    def path(self, chunk: SpectraChunk) -> Path:
        """The file of one sample."""
        return self.folder / f"{chunk.name}.parquet"

    def write(self, chunk: SpectraChunk, table: Any) -> None:
        """Write the singular values of one sample, a table of ``SPECTRA_SCHEMA``."""
        write_file(self.path(chunk), shards.spectra_to_bytes(table))

    def read(self, manifest: Manifest, chunk: SpectraChunk) -> tuple[Any, bool]:
        """Read the singular values of one sample.

        Returns:
            The table, and whether the file is, byte for byte, what the audit wrote, as far as the manifest knows.

        Raises:
            ResultsError: the file is missing or cannot be read, or holds the values of something else.
        """
        path = self.path(chunk)
        data = read_file(path)
        table = shards.spectra_from_bytes(data, str(path))
        stages = table["stage"].to_pylist()
        if set(table["sample"].to_pylist()) != {chunk.sample} or stages != list(range(len(stages))):
            raise ResultsError(f"{path} is damaged: its rows are not the stages at this sample", path=str(path))
        recorded = manifest.shards.get(chunk.name, {}).get(SPECTRA)
        return table, recorded in (None, shards.sha256(data))

    def is_whole(self, manifest: Manifest, chunk: SpectraChunk) -> bool:
        """Whether a sample's file was written completely and is unchanged since."""
        if not self.path(chunk).is_file():
            return False
        try:
            _, unchanged = self.read(manifest, chunk)
        except ResultsError:
            return False
        return unchanged

    def digests(self, chunk: SpectraChunk) -> dict[str, str]:
        """The SHA-256 of a sample's file."""
        return {SPECTRA: shards.sha256(read_file(self.path(chunk)))}

    def table(self, manifest: Manifest) -> Any:
        """All rows that are there: a table of ``SPECTRA_SCHEMA``, by sample and stage.

        Raises:
            ResultsError: a file is damaged.
        """
        present = (chunk for chunk in manifest.plan.spectra_chunks() if self.path(chunk).is_file())
        parts = [self.read(manifest, chunk)[0].replace_schema_metadata(None) for chunk in present]
        return pa.concat_tables(parts) if parts else shards.SPECTRA_SCHEMA.empty_table()


__all__ = ["SPECTRA", "SpectraStore"]
