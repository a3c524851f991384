"""Results that show themselves: one line in a terminal, a small card in a notebook, never the numbers of an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, cast

LONGEST = 120
"""Characters of a line."""

_FEW = 4
"""Numbers that are written out, and not counted."""


@dataclass(frozen=True)
class Table:
    """A few rows of a card.

    Attributes:
        heads: what the columns are.
        rows: a text for each column; every row begins with what it is about.
        colours: of the rows, as a mark before their first text; empty for none.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    colours: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A picture of a card.

    Attributes:
        caption: what it shows.
        uri: the image as a data URI.
    """

    caption: str
    uri: str


MALFORMED = "malformed: a part of it cannot be read"
"""The line of a claim that was changed into none."""


class Shown:
    """A result that shows itself. What a class says of itself stands in the methods that begin with an underscore.

    Nothing is computed for that but what is there: a line costs microseconds, a card milliseconds.
    """

    __slots__ = ()

    def _line(self) -> str:
        """What the line says between the brackets; by default the facts."""
        return ", ".join(f"{name}={text}" for name, text in self._facts().items())

    def _facts(self) -> Mapping[str, str]:
        """What is known, by name: by default the fields that a person can read."""
        return facts_of(self)

    def _tables(self) -> Sequence[Table]:
        """Tables of a card."""
        return ()

    def _pictures(self) -> Sequence[Picture]:
        """Pictures of a card."""
        return ()

    def __repr__(self) -> str:
        name = type(self).__name__
        try:
            line = self._line()
        except Exception:  # a changed claim may hold anything, and whoever looks for the fault wants to see it
            line = MALFORMED
        return one_line(f"{name}({line})")

    def _repr_html_(self) -> str:
        name = type(self).__name__
        try:
            return card(name, self._line(), self._facts(), self._tables(), self._pictures())
        except Exception:  # as above
            return card(name, MALFORMED, {})


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
    from fiberscope.showing.templates import environment

    template = environment("showing").get_template("card.html")
    return template.render(name=name, line=line, facts=facts, tables=tables, pictures=pictures)


def one_line(text: str) -> str:
    """A text without line breaks and at most ``LONGEST`` characters long; what is cut off are dots."""
    text = " ".join(text.split())
    if len(text) <= LONGEST:
        return text
    end = " ...)" if text.endswith(")") else " ..."
    return text[: LONGEST - len(end)].rstrip(" ,;") + end


def answer(holds: bool | None, margin: float, reason: str) -> str:
    """Yes or no and by how much, or why not."""
    says = "undecided" if holds is None else f"holds, margin {margin:.3g}" if holds else "does not hold"
    return f"{says}: {reason}" if reason else says


def facts_of(result: Any) -> dict[str, str]:
    """The fields of a dataclass that are to be shown, as ``told`` says them; without those that are None or empty."""
    if not is_dataclass(result):
        return {}
    values = {each.name: getattr(result, each.name) for each in fields(result) if each.repr}
    return {name: told(value) for name, value in values.items() if not _is_nothing(value)}


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str | tuple | dict | list) and not value)


def told(value: Any) -> str:
    """A value in a few words: numbers rounded, arrays by their shape, many things by how many they are."""
    if isinstance(value, bool | str) or value is None:
        return str(value.value if isinstance(value, Enum) else value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**12 else f"{_digits(value)} digits"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Shown):
        return repr(value)
    if isinstance(value, tuple | list):
        return _several(cast("tuple[Any, ...] | list[Any]", value))
    from fiberscope.errors import shown

    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape and hasattr(value, "dtype"):
        sizes = cast("tuple[int, ...]", shape)
        return f"{sizes[0]} numbers" if len(sizes) == 1 else " x ".join(map(str, sizes))
    return told(value.item()) if shape == () and hasattr(value, "item") else shown(value)


def _digits(value: int) -> int:
    """About as many decimal digits as a whole number has, which may be thousands."""
    return int(value.bit_length() * 0.30103) + 1


def _several(values: Sequence[Any]) -> str:
    plain = len(values) <= _FEW and all(isinstance(each, bool | int | float | str) for each in values)
    return f"({', '.join(map(told, values))})" if plain else f"{len(values)} items"


__all__ = ["LONGEST", "Picture", "Shown", "Table", "answer", "card", "facts_of", "one_line", "told"]
