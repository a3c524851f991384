from __future__ import annotations

from pathlib import Path

import pytest

from fiberscope.cli import main
from small_audits import write_model_and_data

SPECTRA = 4


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a finished audit; nobody writes into it."""
    folder = tmp_path_factory.mktemp("audited")
    out = folder / "out"
    assert main(["audit", *write_model_and_data(folder, 10), "--out", str(out), "--domain", "0,1"]) == 0
    return out


@pytest.fixture(scope="session")
def decomposed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a finished audit with singular values; nobody writes into it."""
    folder = tmp_path_factory.mktemp("decomposed")
    out = folder / "out"
    options = ["--out", str(out), "--layers", "2", "--spectra", str(SPECTRA)]
    assert main(["audit", *write_model_and_data(folder, 10), *options]) == 0
    return out
