"""Every run of the readers' tests builds the same modules: torch's generator starts from the same seed."""

from __future__ import annotations

import pytest
import torch

torch.manual_seed(0)  # for modules in tables of cases, which are made when the tests are collected


@pytest.fixture(autouse=True)
def _the_same_modules_in_every_run() -> None:
    torch.manual_seed(0)
