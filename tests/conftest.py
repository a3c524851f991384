"""What all tests share: which of them are quick, shape checking, deterministic properties, the external models.

``make test`` runs what is marked with none of ``fault``, ``browser``, ``external`` and ``exhaustive``, and what is
marked ``quick``. With FIBERSCOPE_SHAPES in the environment, as ``make test-all`` sets it, the shapes and types of all
arguments and results within the package are checked while tests run: in every test the first calls of each function,
and some of the later ones (``shape_checks.py``).
"""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import config as shape_checking

sys.path.insert(0, str(Path(__file__).parent))  # cases.py, oracles.py and others, for tests in all folders

import drawn_examples
import shape_checks

SHAPES = bool(os.environ.get("FIBERSCOPE_SHAPES"))

if SHAPES:  # before anything imports fiberscope
    shape_checks.install("fiberscope", "fiberscope_paper")

drawn_examples.register_profiles()
hypothesis.settings.load_profile(drawn_examples.ALL)  # unless the command line names another


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--every-moment``: minutes instead of seconds of audits that are killed."""
    parser.addoption(
        "--every-moment", action="store_true", help="kill audits at every file and at 50 random moments, not at some"
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """All modules and tests stay: no garbage is looked for while they come, nor among them later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who asks for external models is ``external``; the first case of a sweep is ``quick``, or every n-th, or none."""
    cases: Counter[str] = Counter()
    for item in items:
        test, sweep = item.nodeid.split("[")[0], item.get_closest_marker("exhaustive")
        if "external" in getattr(item, "fixturenames", ()):
            item.add_marker("external")
        elif sweep is not None and "[" in item.nodeid:
            every = sweep.kwargs.get("every", sys.maxsize)
            if every and cases[test] % every == 0:
                item.add_marker("quick")
        cases[test] += 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Check the first calls in each test."""
    shape_checks.begin_test()
    shape_checking.update("jaxtyping_disable", False)
    return (yield)


@pytest.fixture
def unchecked() -> None:
    """Check nothing in this test, for what is to be refused by the functions themselves."""
    shape_checking.update("jaxtyping_disable", True)


@pytest.fixture
def by_products(monkeypatch: pytest.MonkeyPatch) -> Generator[pytest.MonkeyPatch]:
    """Every layer of convolutions is held to be too large to be written out."""
    from fiberscope.network import region_layer, relu_layer

    with monkeypatch.context() as patch:
        patch.setattr(region_layer, "MAX_WRITTEN", 0)
        patch.setattr(relu_layer, "MAX_FACTORED", 0)
        yield patch


@pytest.fixture(scope="session")
def external() -> Path:
    """The folder of models and data that are not part of the project; skips where there is none."""
    folder = os.environ.get("FIBERSCOPE_EXTERNAL")
    if not folder:
        pytest.skip("FIBERSCOPE_EXTERNAL is not set: no external models and data here")
    if not Path(folder).is_dir():
        pytest.skip(f"FIBERSCOPE_EXTERNAL names {folder}, which is no folder")
    return Path(folder)
