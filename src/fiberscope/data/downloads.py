"""Fetching the paper's data sets and one that stands in, each file checked by its SHA-256 before it gets its name."""

from __future__ import annotations

import hashlib
import os
import tarfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from fiberscope.data.datasets import DATA_VARIABLE
from fiberscope.errors import InputError
from fiberscope.files import atomic_path

TIMEOUT = 30.0
"""Seconds to wait for a server that says nothing."""

BLOCK = 2**20
"""Bytes that are read at a time."""


def data_folder() -> Path:
    """The folder that the environment names for data sets.

    Raises:
        InputError: it names none.
    """
    named = os.environ.get(DATA_VARIABLE)
    if not named:
        expected = f"{DATA_VARIABLE} set to the folder where data sets are kept"
        raise InputError("--download", expected=expected, got="no such variable")
    return Path(named)


Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RemoteFile:
    """A file that is known by its contents.

    Attributes:
        url: where it is.
        sha256: of its contents, in hexadecimal.
        name: what it is called here.
        members: of an archive: the files in it that are wanted, and nothing else is taken out.
    """

    url: str
    sha256: str
    name: str
    members: tuple[str, ...] = ()


_MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/"

_FASHION_MNIST = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"  # there is no https, hence the hashes

_BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")

_IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
"""Of MNIST, and of data sets that are made like it."""


def _idx_files(address: str, *hashes: str) -> tuple[RemoteFile, ...]:
    return tuple(RemoteFile(f"{address}{name}", sha256, name) for name, sha256 in zip(_IDX_FILES, hashes, strict=True))


FILES: dict[str, tuple[RemoteFile, ...]] = {
    "mnist": _idx_files(
        _MNIST,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    "fashion-mnist": _idx_files(
        _FASHION_MNIST,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    "cifar10": (
        RemoteFile(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            "cifar-10-binary.tar.gz",
            tuple(f"cifar-10-batches-bin/{batch}" for batch in _BATCHES),
        ),
    ),
}
"""The files of the data sets, and the hashes under which they are known."""


def download(
    name: str, folder: Path, progress: Report | None = None, *, files: tuple[RemoteFile, ...] | None = None
) -> None:
    """Fetch a data set into ``folder/NAME``, where ``load_data`` finds it; what is there already stays.

    Args:
        name: ``mnist``, ``fashion-mnist`` or ``cifar10``.
        folder: the folder of data sets.
        progress: told about megabytes.
        files: other files than the known ones.

    Raises:
        InputError: no such data set, no network, or a file of other contents, which is not kept.
        ResultsError: the folder cannot be written to.
    """
    known = FILES.get(name) if files is None else files
    if known is None:
        raise InputError("the data set", expected=f"one of {', '.join(FILES)}", got=repr(name))
    for file in known:
        target = folder / name / file.name
        if not _is_there(target, file):
            _fetch(file, target, progress)
        for member in file.members:
            if not (folder / name / member).is_file():
                _extract(target, member, folder / name / member)


def _is_there(target: Path, file: RemoteFile) -> bool:
    if not target.is_file():
        return False
    with target.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256


def _fetch(file: RemoteFile, target: Path, progress: Report | None) -> None:
    digest = hashlib.sha256()
    with atomic_path(target) as temporary:
        try:
            with urllib.request.urlopen(file.url, timeout=TIMEOUT) as source, temporary.open("wb") as opened:
                total, done = int(source.headers.get("Content-Length") or 0), 0
                while block := source.read(BLOCK):
                    digest.update(block)
                    opened.write(block)
                    done += len(block)
                    if progress is not None:
                        progress(f"downloading {file.name}, MB", done // BLOCK, max(total, done) // BLOCK)
        except (OSError, ValueError, HTTPException) as error:  # URLError is an OSError
            raise InputError(
                file.url,
                expected="a network, and the file there",
                got=f"{getattr(error, 'reason', None) or f'{type(error).__name__}: {error}'}",
                hint=f"get {file.name} elsewhere and set {DATA_VARIABLE} to its folder, or leave --download out",
            ) from error
        _check_contents(file, digest.hexdigest())


def _check_contents(file: RemoteFile, sha256: str) -> None:
    if sha256 != file.sha256:
        hint = "it is not the known one and was not kept"
        raise InputError(file.url, expected=f"a file with the SHA-256 {file.sha256}", got=sha256, hint=hint)


def _extract(archive: Path, member: str, target: Path) -> None:
    """Copy one file out of an archive; names in the archive decide nothing."""
    try:
        with tarfile.open(archive) as opened:
            source = opened.extractfile(member)
            data = None if source is None else source.read()
    except (OSError, EOFError, KeyError, tarfile.TarError) as error:
        raise InputError(str(archive), expected=f"an archive with the file {member}", got=str(error)) from error
    if data is None:
        raise InputError(
            str(archive), expected=f"an archive with the file {member}", got="a folder or link of that name"
        )
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


__all__ = ["FILES", "RemoteFile", "data_folder", "download"]
