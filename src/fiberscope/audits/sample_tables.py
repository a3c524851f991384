"""The parts of the results folder that hold a table per sample: one Parquet file for each, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow

from fiberscope.audits import shards
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.plan import SampleChunk
from fiberscope.errors import ResultsError
from fiberscope.files import read_file
from fiberscope.seals import is_sealed

pa: Any = pyarrow  # has no types


@dataclass(frozen=True)
class SampleTables:
    """A table for each of some samples.

    Args:
        folder: where they are, or will be; its name is that of the part among the manifest's digests.
        schema: the columns, among them ``sample``.
        counted: the column whose numbers are those of the rows, from 0; empty if there is none.
    """

    folder: Path
    schema: Any
    counted: str = ""

    def path(self, chunk: SampleChunk) -> Path:
        """The file of one sample."""
        return self.folder / f"{chunk.name}.parquet"

    def read(self, manifest: Manifest, chunk: SampleChunk) -> tuple[Any, bool]:
        """Read the table of one sample.

        Returns:
            The table, and whether the file is, byte for byte, what the audit wrote.

        Raises:
            ResultsError: the file is missing or cannot be read, or holds the values of something else.
        """
        path = self.path(chunk)
        data = read_file(path)
        table = shards.table_from_bytes(data, self.schema, str(path))
        numbers: list[Any] = table[self.counted].to_pylist() if self.counted else []
        if set(table["sample"].to_pylist()) != {chunk.sample} or numbers != list(range(len(numbers))):
            rows = f"the {self.counted}s at this sample" if self.counted else "those of this sample"
            raise ResultsError(f"{path} is damaged: its rows are not {rows}", path=str(path))
        recorded = manifest.shards.get(chunk.name, {}).get(self.folder.name)
        return table, is_sealed(data) and recorded in (None, shards.sha256(data))

    def table(self, manifest: Manifest, chunks: Iterable[SampleChunk], columns: Sequence[str] | None = None) -> Any:
        """All rows of some samples that are there, sample by sample.

        Args:
            manifest: the manifest.
            chunks: which samples.
            columns: what to keep; None for all, which can take much memory.

        Raises:
            ResultsError: a file is damaged.
        """
        names: Sequence[str] = columns or self.schema.names
        parts = [
            self.read(manifest, chunk)[0].replace_schema_metadata(None).select(names)
            for chunk in chunks
            if self.path(chunk).is_file()
        ]
        return pa.concat_tables(parts) if parts else self.schema.empty_table().select(names)


__all__ = ["SampleTables"]
