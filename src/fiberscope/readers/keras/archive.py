"""Inspecting a ``.keras`` file before Keras sees it: its members, its description, and its weights.

Nothing is unpacked to disk, and no more is read into memory than the file declares and the limits here allow.
"""

from __future__ import annotations

import io
import json
import re
import stat
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, cast

from fiberscope.errors import ModelError
from fiberscope.readers.keras.library import h5py_library

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
"""The members of the archive that Keras writes."""

LIMITS = {METADATA: 2**20, CONFIG: 2**26, WEIGHTS: 2**33}
"""Bytes that each member may have when it is unpacked: descriptions of large models have some megabytes."""

COMPRESSION_LIMIT = 100
"""How many times its packed size a large member may have: Keras packs nothing, and weights hardly shrink."""

LARGE = 2**28
"""Bytes from which that is checked."""

FILTERS = (1, 2, 3, 32000)
"""Filters that come with HDF5 and h5py (deflate, shuffle, checksum, lzf); others are loaded as code."""

VERSION = re.compile(r"[0-9]+\.[0-9]{1,4}[0-9a-zA-Z.+-]{0,20}")
"""What a version looks like: what a file says is not repeated unseen."""

NUMBERS = "fiuV"
"""Kinds of arrays that weights may be: numbers, and the opaque bytes of bfloat16."""

EXPECTED = "expected a file that Keras 3 wrote with model.save(...)"

_UNREADABLE = (
    OSError, zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, EOFError, NotImplementedError, OverflowError,
    IndexError, KeyError,
)  # fmt: skip
"""What zipfile raises for damaged archives."""


@dataclass(frozen=True, eq=False)
class Contents:
    """What an archive holds.

    Attributes:
        config: the description of the model.
        weights: the number of stored numbers.
        extra: members that only layers with files of their own need.
    """

    config: dict[str, Any]
    weights: int
    extra: tuple[str, ...]


def contents_of(path: Path) -> Contents:
    """Inspect an archive.

    Raises:
        ModelError: no archive, damaged, with members outside or links, too large, or with weights that lie elsewhere.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            extra = _checked_members(path, archive.infolist())
            config: Any = json.loads(archive.read(CONFIG))
            weights = io.BytesIO(archive.read(WEIGHTS))
            archive.read(METADATA)
    except (*_UNREADABLE, RecursionError) as error:
        raise ModelError(f"{path}: the archive is damaged ({error}); {EXPECTED}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: {CONFIG} describes no model; {EXPECTED}")
    return Contents(cast("dict[str, Any]", config), _count_of_numbers(path, weights), extra)


def version_in(path: Path) -> str:
    """The version of Keras that a file names as its writer; empty where it names none, or cannot be read."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open(METADATA) as member:
                metadata: Any = json.loads(member.read(LIMITS[METADATA]))
            found: Any = metadata.get("keras_version", "")
        else:
            with h5py_library().File(path, "r") as file:
                found = file.attrs.get("keras_version", "")
    except Exception:  # whatever libhdf5, zipfile or json report for damaged files
        return ""
    text = found.decode(errors="replace") if isinstance(found, bytes) else str(found)
    return text if VERSION.fullmatch(text) else ""


def is_without_model(path: Path) -> bool:
    """Whether an HDF5 file holds weights alone, as ``model.save_weights`` writes them."""
    try:
        with h5py_library().File(path, "r") as file:
            return "model_config" not in file.attrs
    except Exception:  # no HDF5 file, or a damaged one
        return False


def _checked_members(path: Path, members: list[zipfile.ZipInfo]) -> tuple[str, ...]:
    """Refuse members that could do harm; the names of those that Keras writes only for some layers."""
    names = Counter(member.filename for member in members)
    for member in members:
        name = member.filename
        parts = name.replace("\\", "/").split("/")
        if not name or name.startswith(("/", "\\")) or ".." in parts or ":" in name or names[name] > 1:
            raise ModelError(f"{path}: the archive has a member {name!r}, outside of it or twice; {EXPECTED}")
        packed = member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if stat.S_ISLNK(member.external_attr >> 16) or member.flag_bits & 1 or packed:
            raise ModelError(f"{path}: the member {name!r} is a link, encrypted, or packed unusually; {EXPECTED}")
        limit = LIMITS.get(name, LIMITS[WEIGHTS])
        packed_well = member.file_size > LARGE and member.file_size > COMPRESSION_LIMIT * member.compress_size
        if member.file_size > limit or packed_well:
            raise ModelError(
                f"{path}: {name} unpacks from {member.compress_size:,} to {member.file_size:,} bytes; expected at most "
                f"{limit:,}, and at most {COMPRESSION_LIMIT} times its packed size; {EXPECTED}"
            )
    missing = [name for name in LIMITS if name not in names]
    if missing:
        raise ModelError(f"{path}: the archive has no {', '.join(missing)}; {EXPECTED}")
    return tuple(name for name in names if name not in LIMITS)


def _count_of_numbers(path: Path, weights: io.BytesIO) -> int:
    """The number of stored numbers; refuses weights that are not all in the file itself."""
    h5py = h5py_library()
    stored = len(weights.getbuffer())
    try:
        with h5py.File(weights, "r") as file:
            datasets = _datasets(h5py, file)
            found = [_problem(dataset) for dataset in datasets]
            sizes = [prod(dataset.shape) for dataset in datasets]
            total = sum(dataset.dtype.itemsize * size for dataset, size in zip(datasets, sizes, strict=True))
    except ModelError as error:
        raise ModelError(f"{path}: {error}; {EXPECTED}") from error
    except Exception as error:  # whatever libhdf5 reports
        raise ModelError(f"{path}: {WEIGHTS} is damaged ({error}); {EXPECTED}") from error
    problems = list(filter(None, found))
    if problems:
        raise ModelError(f"{path}: {WEIGHTS} holds {problems[0]}; {EXPECTED}")
    if (total > LARGE and total > COMPRESSION_LIMIT * stored) or total > LIMITS[WEIGHTS]:
        raise ModelError(f"{path}: {WEIGHTS} declares {total:,} bytes of weights in {stored:,} bytes; {EXPECTED}")
    return sum(sizes)


def _datasets(h5py: Any, file: Any) -> list[Any]:
    """All arrays of an HDF5 file; groups that are reached twice are looked into once."""
    found: list[Any] = []
    seen: set[Any] = set()
    waiting: list[Any] = [file]
    while waiting:
        group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            continue
        seen.add(address)
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ModelError(f"{WEIGHTS} holds a link to elsewhere at {group.name}/{name}")
            entry = group[name]
            if isinstance(entry, h5py.Group):
                waiting.append(entry)
            elif isinstance(entry, h5py.Dataset):
                found.append(entry)
            else:
                raise ModelError(f"{WEIGHTS} holds a {type(entry).__name__} at {group.name}/{name}")
    return found


def _problem(dataset: Any) -> str:
    """Why an array is not accepted, in words; empty if it is."""
    if dataset.shape is None or dataset.dtype.kind not in NUMBERS:
        return f"{dataset.name}, which is no array of numbers"
    if dataset.external or dataset.is_virtual:
        return f"{dataset.name}, whose numbers lie in other files"
    settings = dataset.id.get_create_plist()
    filters = [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]
    if any(number not in FILTERS for number in filters):
        return f"{dataset.name}, which needs a filter that is loaded as code"
    return ""


__all__ = ["Contents", "contents_of"]
