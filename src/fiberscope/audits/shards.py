"""The files of a chunk, in and out of bytes: findings, certificates and spectra as Parquet, layer inputs as arrays.

Parquet files are sealed: the checksums of the format itself cover the pages, and nothing else.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from fiberscope.audits.findings import UNDECIDED_DIMENSION, Finding, FindingsTable
from fiberscope.errors import ResultsError
from fiberscope.network.arrays import FloatArray
from fiberscope.seals import BLANK, seal

pa: Any = pyarrow  # has no types
pq: Any = pyarrow.parquet

FINDINGS_SCHEMA: Any = pa.schema(
    [
        pa.field("sample", pa.int64(), nullable=False),
        pa.field("layer", pa.int32(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("positives", pa.int32(), nullable=False),
        pa.field("saturated", pa.int32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("dimension", pa.int32()),  # null where undecided, or known to bounds
        pa.field("margin", pa.float64(), nullable=False),
        pa.field("certificate", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("radius", pa.float64(), nullable=False),  # inf where none is proved
        pa.field("dimension_low", pa.int32(), nullable=False),
        pa.field("dimension_high", pa.int32(), nullable=False),
        pa.field("precision", pa.string(), nullable=False),  # "exact", or to which the output is known
    ]
)

CERTIFICATES_SCHEMA: Any = pa.schema(
    [pa.field("id", pa.string(), nullable=False), pa.field("data", pa.binary(), nullable=False)]
)

SPECTRA_SCHEMA: Any = pa.schema(
    [
        pa.field("sample", pa.int64(), nullable=False),
        pa.field("stage", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("outputs", pa.int64(), nullable=False),
        pa.field("rank", pa.int64()),  # this and all numbers below are null where the stage was left out
        pa.field("largest", pa.float64()),
        pa.field("smallest_nonzero", pa.float64()),
        pa.field("condition_number", pa.float64()),
        pa.field("values", pa.list_(pa.float64())),
        pa.field("error_bound", pa.list_(pa.float64())),
        pa.field("method", pa.string(), nullable=False),
        pa.field(
            "region_distance", pa.float64()
        ),  # to the end of the linear region; this and the next two are null, too
        pa.field("stability_radius", pa.float64()),  # of a ball beyond it; 0 where none was found
        pa.field("modulus", pa.float64()),  # what is proved on that ball; 0 where there is none
        pa.field("radius_reason", pa.string(), nullable=False),  # why no ball was found; empty where one was
        pa.field("reason", pa.string(), nullable=False),  # why the stage was left out; empty where it was not
    ]
)
"""The columns of ``fiberscope.spectra``, those of ``stability.radii.StageRadius``, and why a stage was left out."""

SURVEY_SCHEMA: Any = pa.schema(
    [
        pa.field("layer", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("sample", pa.int64(), nullable=False),
        pa.field("class", pa.int64()),
        pa.field("eps", pa.float64()),  # this and all numbers below are null where the layer was left out
        pa.field("positives", pa.int64()),
        pa.field("dimension", pa.int64()),  # at eps 0, as is the width
        pa.field("target", pa.int64()),
        pa.field("target_class", pa.int64()),
        pa.field("reached", pa.float64()),
        pa.field("bound", pa.float64()),
        pa.field("width", pa.float64()),
        pa.field("reason", pa.string(), nullable=False),  # why the layer was left out; empty where it was not
    ]
)
"""The columns of ``fiberscope.invariance_survey``, and why a layer was left out."""


def sha256(data: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def findings_to_bytes(findings: Sequence[Finding], siblings: Mapping[str, str]) -> bytes:
    """Write findings as Parquet.

    Args:
        findings: the findings of one chunk.
        siblings: the SHA-256 of the chunk's other files; kept in the file, so that it vouches for them.
    """
    columns = {name: [getattr(finding, name) for finding in findings] for name in FINDINGS_SCHEMA.names}
    columns["kind"] = [str(kind) for kind in columns["kind"]]
    return table_to_bytes(pa.table(columns, schema=FINDINGS_SCHEMA.with_metadata(dict(siblings))))


def findings_from_bytes(data: bytes, path: str) -> tuple[FindingsTable, dict[str, str]]:
    """Read what ``findings_to_bytes`` wrote: the findings and the hashes of the chunk's other files.

    Raises:
        ResultsError: the bytes are something else, or not all there.
    """
    table = table_from_bytes(data, FINDINGS_SCHEMA, path)
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    siblings = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in metadata.items()}
    dimension = table["dimension"].fill_null(UNDECIDED_DIMENSION)
    words = {name: texts(table[name]) for name in ("domain", "kind", "certificate", "reason", "precision")}
    whole = ("sample", "layer", "positives", "saturated", "dimension_low", "dimension_high")
    integers = {name: table[name].to_numpy().astype(np.int64) for name in whole}
    floats = {name: table[name].to_numpy() for name in ("margin", "radius")}
    columns: dict[str, Any] = {**integers, **floats, **words}
    return FindingsTable(**columns, dimension=dimension.to_numpy().astype(np.int64)), siblings


def findings_to_table(findings: FindingsTable) -> Any:
    """Findings as a table of ``FINDINGS_SCHEMA``."""
    unknown = findings.dimension == UNDECIDED_DIMENSION
    columns = [
        pa.array(getattr(findings, column.name), column.type, mask=unknown if column.name == "dimension" else None)
        for column in FINDINGS_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=FINDINGS_SCHEMA)


def texts(column: Any) -> NDArray[np.object_]:
    """The strings of a column, of which equal ones are one object: there may be millions."""
    encoded = column.combine_chunks().dictionary_encode()
    return np.array(encoded.dictionary.to_pylist(), dtype=object)[encoded.indices.to_numpy()]


def certificates_to_bytes(certificates: Mapping[str, bytes]) -> bytes:
    """Write certificates as Parquet, sorted by id."""
    ids = sorted(certificates)
    columns = {"id": ids, "data": [certificates[identity] for identity in ids]}
    return table_to_bytes(pa.table(columns, schema=CERTIFICATES_SCHEMA))


def certificates_from_bytes(data: bytes, path: str) -> dict[str, bytes]:
    """Read what ``certificates_to_bytes`` wrote.

    Raises:
        ResultsError: the bytes are something else, or not all there.
    """
    table = table_from_bytes(data, CERTIFICATES_SCHEMA, path)
    return dict(zip(table["id"].to_pylist(), table["data"].to_pylist(), strict=True))


def array_to_bytes(array: FloatArray) -> bytes:
    """Write an array in NumPy's format."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(data: bytes, path: str) -> FloatArray:
    """Read a float64 matrix that ``array_to_bytes`` wrote.

    Raises:
        ResultsError: the bytes are something else, or not all there.
    """
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # NumPy evaluates a part of the file, and lets through whatever Python's parser raises
        raise _damaged(path, error) from error
    if array.dtype != np.float64 or array.ndim != 2:
        got = f"{array.dtype} of shape {array.shape}"
        raise ResultsError(f"{path} is damaged: expected a float64 matrix, got {got}", path=path)
    return array


def table_to_bytes(table: Any) -> bytes:
    """Write a table as Parquet."""
    buffer = io.BytesIO()
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    blank = table.replace_schema_metadata(metadata | {b"seal": BLANK.encode()})
    pq.write_table(blank, buffer, compression="zstd", write_page_checksum=True)
    return seal(buffer.getvalue())


def table_from_bytes(data: bytes, schema: Any, path: str) -> Any:
    """Read what ``table_to_bytes`` wrote.

    Raises:
        ResultsError: the bytes are something else, or not all there.
    """
    try:
        # without threads of pyarrow's own: some are still starting when a process ends at once, which aborts it
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        table = file.read(use_threads=False)
        table.validate(full=True)
    except Exception as error:  # Arrow's own types, and those of what it calls
        raise _damaged(path, error) from error
    if not table.schema.equals(schema, check_metadata=False):
        expected, got = (", ".join(names) for names in (schema.names, table.schema.names))
        raise ResultsError(f"{path} is damaged or foreign: expected the columns {expected}, got {got}", path=path)
    return table


def _damaged(path: str, error: Exception) -> ResultsError:
    return ResultsError(f"{path} is damaged ({error}); compute it again with: fiberscope audit ... --resume", path=path)


__all__ = [
    "CERTIFICATES_SCHEMA",
    "FINDINGS_SCHEMA",
    "SPECTRA_SCHEMA",
    "SURVEY_SCHEMA",
    "array_from_bytes",
    "array_to_bytes",
    "certificates_from_bytes",
    "certificates_to_bytes",
    "findings_from_bytes",
    "findings_to_bytes",
    "findings_to_table",
    "sha256",
    "table_from_bytes",
    "table_to_bytes",
    "texts",
]
