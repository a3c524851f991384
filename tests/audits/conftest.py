from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fiberscope.cli import main
from small_audits import write_model_and_data

SAMPLES, BLOCK = 13, 5


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, data, and their finished audit in ``out``; nobody writes into it."""
    folder = tmp_path_factory.mktemp("finished")
    arguments = write_model_and_data(folder, SAMPLES)
    options = ["--out", str(folder / "out"), "--domain", "0,1", "--block", str(BLOCK), "--workers", "1"]
    assert main(["audit", *arguments, *options]) == 0
    return folder


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished audit's results, to be damaged."""
    return Path(shutil.copytree(finished / "out", tmp_path / "out"))


@pytest.fixture
def again(finished: Path) -> list[str]:
    """The arguments of the finished audit, without the folder."""
    files = [str(finished / name) for name in ("model.safetensors", "digits.npz")]
    return ["audit", *files, "--domain", "0,1", "--block", str(BLOCK)]


SPECTRA = 5


@pytest.fixture(scope="session")
def decomposed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, data, and their finished audit with singular values in ``out``; nobody writes into it."""
    folder = tmp_path_factory.mktemp("decomposed")
    options = ["--out", str(folder / "out"), "--layers", "2", "--spectra", str(SPECTRA), "--workers", "1"]
    assert main(["audit", *write_model_and_data(folder, SAMPLES), *options]) == 0
    return folder


@pytest.fixture
def spectra_out(decomposed: Path, tmp_path: Path) -> Path:
    """A copy of its results, to be damaged."""
    return Path(shutil.copytree(decomposed / "out", tmp_path / "out"))


@pytest.fixture
def decompose(decomposed: Path) -> list[str]:
    """The arguments of that audit, without the folder and without ``--spectra``."""
    files = [str(decomposed / name) for name in ("model.safetensors", "digits.npz")]
    return ["audit", *files, "--layers", "2"]
