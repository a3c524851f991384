"""What all tests share: shape checking of the package, deterministic properties, the folder of external models."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

sys.path.insert(0, str(Path(__file__).parent))  # cases.py and oracles.py, for tests in all folders

install_import_hook(
    "fiberscope", "beartype.beartype"
)  # before anything imports fiberscope: shapes are checked as it runs

hypothesis.settings.register_profile("fiberscope", derandomize=True, deadline=None, database=None, print_blob=False)
hypothesis.settings.load_profile("fiberscope")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--every-moment``: minutes instead of seconds of audits that are killed."""
    parser.addoption(
        "--every-moment", action="store_true", help="kill audits at every file and at 50 random moments, not at some"
    )


@pytest.fixture(scope="session")
def external() -> Path:
    """The folder of models and data that are not part of the project; skips where there is none."""
    folder = os.environ.get("FIBERSCOPE_EXTERNAL")
    if not folder:
        pytest.skip("FIBERSCOPE_EXTERNAL is not set: no external models and data here")
    if not Path(folder).is_dir():
        pytest.skip(f"FIBERSCOPE_EXTERNAL names {folder}, which is no folder")
    return Path(folder)
