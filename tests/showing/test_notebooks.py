"""What is shown in a notebook: bars that are replaced, with no more than IPython."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fiberscope.report.progress import progress_on_stderr
from fiberscope.showing.notebooks import in_notebook


@pytest.fixture(name="pages")
def _pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a notebook would show, one page after the other."""
    shown: list[str] = []

    def display(page: str, *, display_id: bool) -> Any:
        assert display_id
        shown.append(page)
        return SimpleNamespace(update=shown.append)

    ipython, module = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    module.display, module.HTML = display, str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


def test_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not in_notebook()
    ipython = ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    for shell in (None, SimpleNamespace()):
        ipython.get_ipython = lambda shell=shell: shell  # type: ignore[attr-defined]
        assert not in_notebook()


def test_bars_are_replaced_and_nothing_is_printed(pages: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert in_notebook()
    with progress_on_stderr() as progress:
        for done in range(1001):
            progress.show("one <b>", done, 1000)
        progress.show("two", 1, 1)
    assert capsys.readouterr() == ("", "")
    assert len(pages) < 100, "not every step is sent to the browser"
    last = pages[-1]
    assert last.count("<progress") == 2
    assert 'value="1000" max="1000"' in last
    assert "one &lt;b&gt;: 1000 of 1000" in last
    assert "two: 1 of 1" in last
