"""Cards: what notebooks show of a result. They take the ground and the text of the page, light or dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from fiberscope.showing.shown import Picture, Table

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("fiberscope", "showing")
    words = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return words.get_template("card.html")


def card(
    name: str, line: str, facts: Mapping[str, str], tables: Sequence[Table] = (), pictures: Sequence[Picture] = ()
) -> str:
    """A result as HTML that needs nothing else; every text is escaped.

    Args:
        name: of the class.
        line: what its line says.
        facts: texts by name.
        tables: tables.
        pictures: pictures.
    """
    return _template().render(name=name, line=line, facts=facts, tables=tables, pictures=pictures)


__all__ = ["card"]
