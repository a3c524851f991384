"""What changed from one audit to others, for the command and for Python."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fiberscope.audits.changes import Changes
from fiberscope.audits.changes import compare as changes_of
from fiberscope.audits.pairing import pair
from fiberscope.audits.store import Results
from fiberscope.errors import InputError, shown
from fiberscope.files import write_file
from fiberscope.jobs.page import Page, TemporaryFolder
from fiberscope.jobs.words import errors_in_python
from fiberscope.showing.shown import Shown, Table

if TYPE_CHECKING:
    from fiberscope.audits.thresholds import Threshold, Violation

PAGE = ".html"
"""The end of the names of pages."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Shown):
    """What changed from one audit to others of the same data.

    Attributes:
        changes: from the first audit to each of the others.
    """

    changes: tuple[Changes, ...]
    _held: tuple[Any, ...] = field(default=(), repr=False)

    def lines(self) -> list[str]:
        """What changed, in sentences: layer by layer, and what is known of the network."""
        from fiberscope.report.changes import (
            closing_lines,
            layer_sentences,
            network_sentence,
            opening_lines,
            reach_sentences,
        )

        return [
            line
            for each in self.changes
            for line in (
                *opening_lines(each.pair),
                *map(network_sentence, each.network),
                *reach_sentences(each),
                *(sentence for layer in each.layers for sentence in layer_sentences(layer)),
                *closing_lines(each),
            )
        ]

    def data(self) -> dict[str, Any]:
        """The same as plain data, as ``fiberscope compare --out changes.json`` writes it."""
        from fiberscope.report.changes import as_data

        several = [as_data(each) for each in self.changes]
        return several[0] if len(several) == 1 else {"format": "fiberscope comparisons 1", "comparisons": several}

    def violations(self, *thresholds: str) -> list[str]:
        """The thresholds that fail, and where, as ``fiberscope compare --fail-on`` prints them.

        Args:
            thresholds: such as "less-invertible>5%@layer0".

        Raises:
            InputError: a threshold means nothing, or is about what was not compared.
        """
        from fiberscope.audits.quantities import OF_COMPARISON
        from fiberscope.audits.threshold_language import parse_thresholds

        with errors_in_python():
            return list(map(str, self.violated(parse_thresholds(thresholds, OF_COMPARISON))))

    def violated(self, thresholds: Sequence[Threshold]) -> list[Violation]:
        """The same of thresholds that were read already."""
        from fiberscope.audits.thresholds import check_thresholds, violations

        found: list[Violation] = []
        for each in self.changes:
            check_thresholds(thresholds, (*each.pair.groups, *each.pair.stages, *each.pair.surveys), each.pair.samples)
            failed = violations(thresholds, list(each.measured()))
            which = f" in {each.pair.after.results.folder}" if len(self.changes) > 1 else ""
            found += [replace(violation, where=f"{violation.where}{which}") for violation in failed]
        return found

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write a page with plots where the name ends in .html, otherwise JSON; the file appears whole or not at all.

        Raises:
            ResultsError: the file cannot be written.
        """
        from fiberscope.report.comparison import render_comparison

        target = Path(path)
        if target.suffix.lower() == PAGE:
            write_file(target, render_comparison(self.changes).encode())
        else:
            write_file(target, (json.dumps(self.data(), indent=2, allow_nan=False) + "\n").encode())
        return target

    def report(self, path: str | os.PathLike[str] | None = None, open: bool | None = None) -> Page:
        """Write the page and show it: in a notebook where the call is, elsewhere in a browser.

        Args:
            path: the file, whose name ends in .html; None for a temporary one.
            open: whether to open a browser; None does where Python is used interactively outside of a notebook.

        Raises:
            InputError: another name.
            ResultsError: the file cannot be written.
        """
        held = TemporaryFolder() if path is None else None
        target = Path(cast("str | os.PathLike[str]", path)) if held is None else held.path / "comparison.html"
        if target.suffix.lower() != PAGE:
            raise InputError("path", expected="a name that ends in .html", got=shown(str(target)))
        return Page(self.write(target), held=held).opened(open)

    def _line(self) -> str:
        models = [
            self.changes[0].pair.before.manifest.model,
            *(each.pair.after.manifest.model for each in self.changes),
        ]
        return f"{len(self.changes) + 1} audits, {self.changes[0].pair.samples} samples: {', '.join(models)}"

    def _facts(self) -> Mapping[str, str]:
        return {"to look at it": ".report() writes a page with plots, .lines() says it in sentences"}

    def _tables(self) -> Sequence[Table]:
        rows = [
            (layer.label, str(layer.openness.fell), str(layer.openness.rose), str(layer.undecided))
            for each in self.changes
            for layer in each.layers
        ]
        return (Table(("layer and domain", "more invertible", "less invertible", "undecided"), tuple(rows)),)


def compare(before: str | os.PathLike[str], *others: str | os.PathLike[str]) -> Comparison:
    """What became more or less invertible from one audit to others of the same data: ``fiberscope compare``.

    Layers and stages correspond by position, and samples are compared one by one: a sample became more invertible in a
    layer if its preimage leaves less open, by its kind or, for the same kind, by its dimension.

    Args:
        before: the first audit: its results, or its folder.
        others: at least one other, each compared with the first.

    Returns:
        What changed, with a page of plots.

    Raises:
        InputError: there is no other, or something that is no audit.
        ResultsError: an audit is not finished or damaged, they are of different data, or have no layer in common.
    """
    if not others:
        raise InputError("compare", expected="at least two audits", got="one")
    audits = (before, *others)
    with errors_in_python():
        folders = [_folder(each) for each in audits]
        return Comparison(compared(folders), tuple(getattr(each, "_held", None) for each in audits))


def compared(folders: Sequence[Path]) -> tuple[Changes, ...]:
    """The changes from the audit in the first folder to those in the others."""
    return tuple(changes_of(pair(Results(folders[0]), Results(each))) for each in folders[1:])


def _folder(audit: Any) -> Path:
    if not isinstance(audit, str | os.PathLike):
        expected = "the results of fiberscope.audit, or their folder"
        raise InputError("compare", expected=expected, got=shown(audit))
    return Path(cast("str | os.PathLike[str]", audit))


__all__ = ["Comparison", "compare", "compared"]
