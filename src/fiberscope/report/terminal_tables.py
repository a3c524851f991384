"""Tables for a terminal, which say below what their columns mean."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table


def plain_table(title: str, explained: str) -> Table:
    """An empty table.

    Args:
        title: what it is about.
        explained: what its columns mean; empty where that stands elsewhere.
    """
    return Table(
        box=SIMPLE_HEAD,
        title=title,
        title_justify="left",
        caption=explained or None,
        caption_justify="left",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


__all__ = ["plain_table"]
