"""Scripts of this folder are modules for its tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _claims_are_anything(unchecked: None) -> None:
    """What is refused here the checker refuses itself, not the tests' checking of types."""
