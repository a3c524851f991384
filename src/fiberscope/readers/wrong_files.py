"""Files that are not what their name says: what they are instead, by how they begin, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fiberscope.errors import ModelError
from fiberscope.readers.archives import archive_of

PICKLED = (".pt", ".pth", ".pkl", ".pickle", ".bin")
"""Suffixes of files that can run any code when they are loaded."""

_DATA = (".npz", ".npy")
"""Suffixes of files that hold samples."""

_LONGEST = 512
"""Bytes that tell what a file is."""

_POINTER = b"version https://git-lfs.github.com/spec/"

_UNPACK = "unpack it, and name the file inside"

_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"

_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))

_LOAD = "load it in torch if you trust it, and pass the module to fiberscope.from_torch"

_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (_POINTER, "a pointer of Git LFS in place of the file", "fetch the file itself with: git lfs pull"),
    (b"\x1f\x8b\x08", "a file packed with gzip", _UNPACK),
    (b"BZh", "a file packed with bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", "a file packed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a file packed with zstd", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (_ZIP, "a zip archive", f"{_UNPACK}; if torch.export or Keras wrote it, name it .pt2 or .keras"),
    (_HDF5, "an HDF5 file", "if Keras wrote it, name it .h5"),
    *((pickle, "a pickle, which can run any code when it is loaded", _LOAD) for pickle in _PICKLES),
)
"""How a file begins, what it is, and what to do."""

_RIGHT: dict[str, tuple[bytes, ...]] = {
    ".pt2": (_ZIP,),
    ".keras": (_ZIP,),
    ".h5": (_HDF5,),
    ".hdf5": (_HDF5,),
    **dict.fromkeys(PICKLED, (_ZIP, *_PICKLES)),
}
"""How files do begin, where their suffix is right."""

_NAMES = {
    ".onnx": "an ONNX model",
    ".pt2": "a program of torch.export",
    ".safetensors": "a file written by Network.save of fiberscope",
    **dict.fromkeys((".keras", ".h5", ".hdf5"), "a file that Keras 3 wrote with model.save(...)"),
}

_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml")


@dataclass(frozen=True)
class Kind:
    """What a file is.

    Attributes:
        begins: how it begins.
        what: what that means.
        hint: what to do.
        is_safetensors: whether it may as well be made of tensors, whose files begin with any number.
    """

    begins: bytes
    what: str
    hint: str
    is_safetensors: bool

    @property
    def is_pointer(self) -> bool:
        """Whether it is a text that stands for a file kept elsewhere."""
        return self.begins == _POINTER


def check_kind(path: Path, suffix: str) -> None:
    """Refuse a file that is plainly something else than its suffix says, before anything parses it.

    Args:
        path: a file.
        suffix: its suffix in lower case.

    Raises:
        ModelError: says what it is, and what to do.
    """
    if suffix in _DATA:
        raise ModelError(f"{path}: expected a model, got a file of arrays; the model is named first, then the samples")
    found = kind_of(path)
    if found is None or found.begins in _RIGHT.get(suffix, ()):
        return
    if suffix == ".safetensors" and found.is_safetensors:  # its length, which comes first, may look like anything
        return
    got = archive_of(path) if found.begins == _ZIP else ""
    raise ModelError(
        f"{path}: expected {_NAMES.get(suffix, 'a model')}, got {got or f'{found.what}; {found.hint}'}",
        unsupported=(suffix,),
    )


def kind_of(path: Path) -> Kind | None:
    """What a file is that no model is; None where nothing is known.

    Files that cannot be read are left to those who will read them whole.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_LONGEST)
    except OSError:
        return None
    is_safetensors = head[8:9] == b"{"
    for begins, what, hint in _BEGINNINGS:
        if head.startswith(begins):
            return Kind(begins, what, hint, is_safetensors)
    page = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for begins in _PAGES:
        if page.startswith(begins):
            return Kind(
                begins, "a page of the web", "download the file itself, which the page shows or links to", False
            )
    return None


__all__ = ["PICKLED", "Kind", "check_kind", "kind_of"]
