"""The network and the data of a results folder, written and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fiberscope.audits.archives import map_archive, write_archive
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.subject import Subject
from fiberscope.errors import FiberscopeError, ResultsError
from fiberscope.files import is_file
from fiberscope.network.network import Network

MODEL, DATA = "model.safetensors", "data.npz"


def write_subject(folder: Path, subject: Subject) -> None:
    """Write the model and the data."""
    subject.network.save(folder / MODEL)
    arrays: dict[str, NDArray[Any]] = {"x": subject.x} if subject.y is None else {"x": subject.x, "y": subject.y}
    write_archive(folder / DATA, arrays)


def read_subject(folder: Path, manifest: Manifest, network: Network | None = None) -> Subject:
    """Read the network and the data. The samples stay in the file, of which parts are read as they are looked at.

    Args:
        folder: the results folder.
        manifest: its manifest.
        network: the network, if it is read already, and known to be the one that the manifest names.

    Raises:
        ResultsError: they are damaged, or not those that the manifest names.
    """
    try:
        return _subject(folder, manifest, network)
    except ResultsError as error:
        advice = "bring back the original, or begin in another folder"
        if not manifest.demo:
            advice = "bring back the original, or let the command that began the audit write it again with --resume"
        raise ResultsError(f"{error}; {advice}", path=error.path) from error


def _subject(folder: Path, manifest: Manifest, network: Network | None) -> Subject:
    x, y = _data(folder / DATA)
    subject = Subject(
        network=network or _network(folder / MODEL),
        x=x,
        y=y,
        model_name=manifest.model,
        data_name=manifest.data,
        data_description=manifest.data_description,
        demo=manifest.demo,
        training=manifest.training,
        classes=manifest.classes,
    )
    for what, path, digest, want in (
        ("model", folder / MODEL, subject.network.digest, manifest.model_digest),
        ("data", folder / DATA, subject.data_digest, manifest.data_digest),
    ):
        have = want if what == "model" and network else digest()
        if have != want:
            digests = f"SHA-256 {have[:12]} instead of {want[:12]}"
            raise ResultsError(f"{path} is not the {what} that manifest.json names: {digests}", path=str(path))
    return subject


def _network(path: Path) -> Network:
    from fiberscope.readers.files import load

    if not is_file(path):
        raise ResultsError(f"{path} is missing", path=str(path))
    try:
        return load(path)
    except FiberscopeError as error:
        raise ResultsError(f"{path} is damaged: {error}", path=str(path)) from error


def _data(path: Path) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    if not is_file(path):
        raise ResultsError(f"{path} is missing", path=str(path))
    arrays = map_archive(path)
    if "x" not in arrays:
        raise ResultsError(f"{path} is damaged: it has no samples", path=str(path))
    return arrays["x"], arrays.get("y")


@runtime_checkable
class _Folder(Protocol):
    """A results folder."""

    @property
    def folder(self) -> Path: ...

    @property
    def manifest_path(self) -> Path: ...

    def manifest(self) -> Manifest: ...

    def subject(self) -> Subject: ...


def require_same(results: _Folder, subject: Subject) -> None:
    """Check that what a folder holds, if anything, is about a network and, as far as both go, its samples.

    Raises:
        ResultsError: it is about another network or other samples.
    """
    if not is_file(results.manifest_path):
        return
    manifest, where = results.manifest(), str(results.folder)
    if manifest.model_digest != subject.network.digest():
        words = f"{where} holds results of another network, {manifest.model}; choose another folder"
        raise ResultsError(words, path=where)
    there = results.subject().x
    both = min(len(there), subject.samples)
    if not np.array_equal(there[:both], subject.x[:both]):
        words = f"{where} holds results of other samples, of {manifest.data}; choose another folder"
        raise ResultsError(words, path=where)


__all__ = ["DATA", "MODEL", "read_subject", "require_same", "write_subject"]
