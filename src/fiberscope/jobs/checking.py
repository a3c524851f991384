"""Everything that a results folder claims, checked again: for the command, and for Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fiberscope.audits.plan import Chunk, SpectraChunk
from fiberscope.audits.store import Results
from fiberscope.errors import ResultsError
from fiberscope.files import is_file

if TYPE_CHECKING:
    from fiberscope.audits.checks import Rechecked
    from fiberscope.report.progress import Progress

Show = Callable[[], "AbstractContextManager[Progress]"]
"""How progress is shown."""


@dataclass(frozen=True, eq=False)
class Checked:
    """What checking one audit gave, or what checking leakage did.

    Attributes:
        results: the folder.
        lines: what is proved and what is not, in words.
        failed: whether something is not proved.
        changed: the files that are not as the audit wrote them.
        chunks: how many chunks there are to be.
        written: how many there are.
    """

    results: Results
    lines: tuple[str, ...]
    failed: bool
    changed: tuple[str, ...]
    chunks: int
    written: int

    def require_whole(self) -> None:
        """Check that the files are those of the audit, and that none is still to come.

        Raises:
            ResultsError: files were changed, or some are missing that are still to come.
        """
        if self.changed:
            names = ", ".join(self.changed[:3])
            words = f"everything holds, but files are not as the audit wrote them: {names}"
            raise ResultsError(words, path=self.changed[0])
        if not self.results.manifest().complete:
            folder = self.results.folder
            raise ResultsError(
                f"what is there holds, but the audit in {folder} is not complete: {self.written} of {self.chunks} "
                "chunks are written; continue it with the command that began it and --resume",
                path=str(folder),
            )


def check_folder(results: Results, show: Show, *, exact: bool) -> Iterator[Checked]:
    """Check what a folder holds: an audit, what features give away, or both.

    Raises:
        ResultsError: the folder is damaged, or holds nothing of the kind.
    """
    about = [results]
    if is_file(results.leakage.manifest_path):
        about = [*([results] if is_file(results.manifest_path) else []), results.leakage]
    for each in about:
        yield _leakage(each, show) if each.manifest().leakage else _audit(each, show, exact=exact)


def _leakage(results: Results, show: Show) -> Checked:
    """Check what features give away."""
    from fiberscope.audits.verify_leakage import verify_leakage
    from fiberscope.report.verification import leakage_lines

    manifest = results.manifest()
    chunks = list(manifest.plan.leak_chunks())
    written = sum(results.to_be_checked(manifest, chunk) for chunk in chunks)
    with show() as progress:
        found = _all(verify_leakage(results), progress, "verifying leakage, layers and samples", written)
    changed = () if found.failed else (*found.changed, *results.leaks.changed_table())
    return Checked(results, tuple(leakage_lines(found)), found.failed, changed, len(chunks), written)


def _audit(results: Results, show: Show, *, exact: bool) -> Checked:
    """Check verdicts, singular values and examples."""
    from fiberscope.audits.checks import together
    from fiberscope.audits.network_table import verify_network
    from fiberscope.audits.verify import verify_results
    from fiberscope.audits.verify_examples import changed_invariance, verify_examples
    from fiberscope.audits.verify_spectra import verify_spectra
    from fiberscope.report.verification import example_lines, network_lines, spectra_lines, verdict_lines

    manifest = results.manifest()
    chunks = list(manifest.plan.every_chunk())
    written = [chunk for chunk in chunks if results.to_be_checked(manifest, chunk)]
    total = Counter(map(type, written))
    with show() as progress:
        verdicts = _all(verify_results(results, exact=exact), progress, "verifying", total[Chunk])
        words = "verifying singular values, samples"
        spectra = _all(verify_spectra(results), progress, words, total[SpectraChunk])
        through = partial(progress.show, "verifying proofs through layers, samples and layers")
        network, examples = verify_network(results, through), verify_examples(results)
    lines = (*verdict_lines(verdicts), *network_lines(network), *spectra_lines(spectra), *example_lines(examples))
    found = together((verdicts, network, spectra, examples))
    changed = () if found.failed else (*found.changed, *changed_invariance(results))
    return Checked(results, lines, found.failed, changed, len(chunks), len(written))


def _all(parts: Iterable[Rechecked], progress: Progress, words: str, count: int) -> Rechecked:
    """What was found of all parts, with progress shown."""
    from fiberscope.audits.checks import together

    found: list[Rechecked] = []
    for part in parts:
        found.append(part)
        progress.show(words, len(found), count)
    return together(found)


__all__ = ["Checked", "Show", "check_folder"]
