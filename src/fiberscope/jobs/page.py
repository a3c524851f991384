"""What is on disk for as long as somebody holds it: folders, and pages, which show themselves where they are asked."""

from __future__ import annotations

import shutil
import sys
import tempfile
import weakref
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from fiberscope.files import read_file
from fiberscope.showing.notebooks import in_notebook
from fiberscope.showing.shown import one_line

_HEIGHT = 640
"""Pixels of a page within a notebook."""


class TemporaryFolder:
    """A new folder, removed when nothing refers to this object any more, or Python ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="fiberscope-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # a copy in another process does not remove the folder


@dataclass(frozen=True, eq=False, repr=False)
class Page:
    """A page of HTML that needs nothing else.

    Attributes:
        path: the file.
        held: what the file is there for as long as; None where it stays.
    """

    path: Path
    held: Any = field(default=None, repr=False)

    def opened(self, wanted: bool | None) -> Page:
        """The page, in a browser where that is wanted; None wants it where Python is used interactively."""
        interactive = hasattr(sys, "ps1") and not in_notebook()
        if interactive if wanted is None else wanted:
            import webbrowser

            webbrowser.open(self.path.resolve().as_uri())
        return self

    def __repr__(self) -> str:
        return one_line(f"Page({self.path})")

    def _repr_html_(self) -> str:
        page = escape(read_file(self.path).decode("utf-8"))
        return f'<iframe srcdoc="{page}" width="100%" height="{_HEIGHT}" style="border: 0"></iframe>'


__all__ = ["Page", "TemporaryFolder"]
