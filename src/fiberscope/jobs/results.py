"""An audit in a folder, as Python holds it."""

# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyarrow has no types

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fiberscope.errors import FiberscopeError, InputError, ResultsError, shown
from fiberscope.jobs.checking import check_folder
from fiberscope.jobs.comparison import Comparison, compare
from fiberscope.jobs.page import Page, TemporaryFolder
from fiberscope.jobs.words import errors_in_python, in_python
from fiberscope.showing.shown import Shown, Table

if TYPE_CHECKING:
    import pyarrow
    from matplotlib.axes import Axes

    from fiberscope.audits.store import Results
    from fiberscope.network.network import Network
    from fiberscope.report.summary import LayerSummary


@dataclass(frozen=True, eq=False, repr=False)
class AuditVerification(Shown):
    """Whether everything that an audit claims is proved; truthy iff it is.

    Attributes:
        proved: whether all verdicts and examples are proved, all singular values confirmed, and the folder is whole.
        lines: what is proved and what is not, in words, as ``fiberscope verify`` prints it.
        reason: what is in the way; empty where all is proved.
    """

    proved: bool
    lines: tuple[str, ...]
    reason: str = ""

    def __bool__(self) -> bool:
        return self.proved

    def _line(self) -> str:
        return f"{'proved' if self.proved else 'not proved'}: {self.reason or '; '.join(self.lines)}"

    def _tables(self) -> Sequence[Table]:
        return (Table(("what was checked",), tuple((line,) for line in self.lines)),)

    def _facts(self) -> Mapping[str, str]:
        return {"reason": self.reason} if self.reason else {}


@dataclass(frozen=True, eq=False, repr=False)
class AuditResults(Shown):
    """The results of an audit: a folder, which ``fiberscope audit`` writes as well, and what is in it.

    Attributes:
        folder: where they are. One that nobody named is removed when nothing refers to the results any more; ``keep``
            copies it.
        fail_on: the thresholds that the audit was asked to be held against.
    """

    folder: Path
    fail_on: tuple[str, ...] = ()
    _held: TemporaryFolder | None = field(default=None, repr=False)

    @property
    def findings(self) -> pyarrow.Table:
        """A row per sample, layer, domain and precision: kind, dimension, positives, margin, radius, reason.

        Raises:
            ResultsError: the folder is damaged, or holds no findings yet.
        """
        from fiberscope.audits.shards import findings_to_table

        with errors_in_python():
            results = self._results()
            return findings_to_table(results.findings(results.manifest()))

    @property
    def spectra(self) -> pyarrow.Table:
        """A row per sample and stage, with the singular values, as ``fiberscope.spectra`` gives them.

        Raises:
            ResultsError: the folder is damaged.
        """
        with errors_in_python():
            results = self._results()
            return results.spectra_table(results.manifest())

    @property
    def verdicts(self) -> pyarrow.Table:
        """A row per sample and layer: whether the input can be computed back from what the network gives up to there.

        Raises:
            ResultsError: the folder is damaged.
        """
        from fiberscope.audits.network_table import read_network

        with errors_in_python():
            results = self._results()
            return read_network(results, results.manifest())

    @property
    def network(self) -> Network:
        """The network that was audited.

        Raises:
            ResultsError: the folder is damaged.
        """
        with errors_in_python():
            return self._results().subject().network

    @property
    def complete(self) -> bool:
        """Whether the audit is finished."""
        with errors_in_python():
            return self._results().manifest().complete

    def verify(self, exact: bool = False, *, progress: bool = True) -> AuditVerification:
        """Check every certificate, all singular values and all invariance examples again, from the folder alone.

        Args:
            exact: use rational arithmetic only for the certificates; slower.
            progress: whether progress is shown.

        Returns:
            The verification; never an exception: of a folder that is damaged it says so.
        """
        from fiberscope.audits.store import Results
        from fiberscope.report.progress import shown_if

        lines: list[str] = []
        try:
            for checked in check_folder(Results(Path(self.folder)), shown_if(progress), exact=exact):
                lines += checked.lines
                if checked.failed:
                    return AuditVerification(False, tuple(lines), next(iter(checked.lines)))
                checked.require_whole()
        except FiberscopeError as error:
            return AuditVerification(False, tuple(lines), in_python(str(error)))
        except Exception:  # a changed claim may name anything as its folder
            return AuditVerification(False, tuple(lines), "the results are malformed: a part of them cannot be read")
        return AuditVerification(True, tuple(lines))

    def violations(self, *thresholds: str) -> list[str]:
        """The thresholds that the audit fails, and where, as ``fiberscope audit --fail-on`` prints them.

        Args:
            thresholds: such as "unbounded>10%@layer0"; those that the audit was asked for where there are none.

        Raises:
            InputError: a threshold means nothing, or is about what was not measured.
            ResultsError: the audit is not finished, or damaged.
        """
        from fiberscope.audits.measurements import violations_of
        from fiberscope.audits.threshold_language import parse_thresholds

        with errors_in_python():
            return list(map(str, violations_of(self._results(), parse_thresholds(thresholds or self.fail_on))))

    def report(self, open: bool | None = None) -> Page:
        """Write the report and show it: in a notebook where the call is, elsewhere in a browser.

        Args:
            open: whether to open a browser; None does where Python is used interactively outside of a notebook.

        Raises:
            ResultsError: the folder is damaged, holds no findings yet, or cannot be written.
        """
        from fiberscope.report.html import write_report

        with errors_in_python():
            results = self._results()
            write_report(results)
        return Page(results.report_path, held=self._held).opened(open)

    def compare(self, *others: str | os.PathLike[str]) -> Comparison:
        """What changed from this audit to others of the same data; see ``fiberscope.compare``."""
        return compare(self, *others)

    def keep(self, folder: str | os.PathLike[str]) -> AuditResults:
        """Copy the results into a folder that stays.

        Args:
            folder: a folder that is empty, or not there.

        Returns:
            The results there.

        Raises:
            ResultsError: something is there already, or it cannot be written.
        """
        target = Path(folder)
        try:
            if target.exists() and any(target.iterdir()):
                raise ResultsError(f"{target} is not empty; choose another folder", path=str(target))
            shutil.copytree(self.folder, target, dirs_exist_ok=True)
        except OSError as error:
            words = f"cannot copy {self.folder} to {target}: {error.strerror or 'not all files could be copied'}"
            raise ResultsError(f"{words}; choose another folder", path=str(target)) from error
        return AuditResults(target, self.fail_on)

    def __fspath__(self) -> str:
        return str(self.folder)

    def _results(self) -> Results:
        from fiberscope.audits.store import Results

        return Results(Path(self.folder))

    def _summaries(self) -> list[LayerSummary]:
        from fiberscope.report.summary import summarise

        results = self._results()
        manifest = results.manifest()
        return summarise(manifest, results.findings(manifest))

    def _line(self) -> str:
        manifest = self._results().manifest()
        state = "" if manifest.complete else ", not complete"
        return f"{manifest.model} on {manifest.data}: {manifest.samples} samples, {len(manifest.layers)} layers{state}"

    def _facts(self) -> Mapping[str, str]:
        manifest = self._results().manifest()
        notes = {"warnings": "; ".join(manifest.warnings)} if manifest.warnings else {}
        return {"folder": f"{self.folder}{' (temporary)' if self._held else ''}", "status": manifest.status, **notes}

    def _tables(self) -> Sequence[Table]:
        from fiberscope.report.summary import SHOWN_KINDS

        summaries = self._summaries()
        kinds = [kind for kind in SHOWN_KINDS if any(summary.counts.get(kind, 0) for summary in summaries)]
        rows = [
            (
                f"{summary.label}, {summary.place}",
                *(str(summary.counts.get(kind, 0)) for kind in kinds),
                _median(summary),
            )
            for summary in summaries
        ]
        return (Table(("layer and domain", *map(str, kinds), "median dimension"), tuple(rows)),)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The share of the samples of each kind, a bar for each layer, domain and precision.

        Args:
            ax: axes of matplotlib; None for new ones.

        Raises:
            ResultsError: the folder is damaged, or holds no findings yet.
        """
        from fiberscope.plots.kinds import kinds_by_layer

        return kinds_by_layer(self.findings, ax)


def _median(summary: LayerSummary) -> str:
    return "-" if summary.median_dimension is None else f"{summary.median_dimension:g}"


def open_results(folder: str | os.PathLike[str]) -> AuditResults:
    """The results of an earlier audit, of ``fiberscope.audit`` or the command.

    Args:
        folder: where they are.

    Returns:
        The results; nothing is read before it is asked for.

    Raises:
        InputError: no path.
        ResultsError: there are none, or they are damaged.
    """
    if not isinstance(folder, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError("folder", expected="the folder of an audit", got=shown(folder))
    from fiberscope.audits.store import Results

    results = Results(Path(folder))
    with errors_in_python():
        results.manifest()
    return AuditResults(results.folder)


__all__ = ["AuditResults", "AuditVerification", "open_results"]
