"""The command ``fiberscope verify``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fiberscope.commands.status import FAILED, FINE
from fiberscope.errors import ResultsError

if TYPE_CHECKING:
    from fiberscope.audits.store import Results
    from fiberscope.audits.verify import ChunkVerification
    from fiberscope.audits.verify_leakage import LeakVerification
    from fiberscope.audits.verify_spectra import SpectraVerification


def verify(
    folder: Annotated[Path, Parameter(name="DIR")], /, *, exact: Annotated[bool, Parameter(negative="")] = False
) -> int:
    """Check every certificate, all singular values and all invariance examples of an audit again.

    From the model and the results alone. Verdicts about the network up to a layer are derived again from those about
    layers. Of fiberscope leakage, what it claims as proved is proved again. Exit status 0 if all verdicts and claims,
    and all examples stored as proved, are proved and all singular values confirmed, 1 if one is not, 2 if the folder is
    damaged, holds something else, or an audit that is not complete.

    Args:
        folder: the folder of the results.
        exact: use rational arithmetic only for the certificates; slower.
    """
    from fiberscope.audits.store import Results
    from fiberscope.files import is_file

    results = Results(folder)
    if is_file(results.leakage.manifest_path):
        about = [results.leakage, *([results] if is_file(results.manifest_path) else [])]
    else:
        about = [results]
    statuses = [_leakage(each) if each.manifest().leakage else _audit(each, exact=exact) for each in reversed(about)]
    return max(statuses)


def _leakage(results: Results) -> int:
    """Check what features give away."""
    from fiberscope.audits.verify_leakage import verify_leakage
    from fiberscope.report.progress import progress_on_stderr
    from fiberscope.report.verification import leakage_lines

    manifest = results.manifest()
    chunks = list(manifest.plan.leak_chunks())
    written = sum(results.to_be_checked(manifest, chunk) for chunk in chunks)
    checked: list[LeakVerification] = []
    with progress_on_stderr() as progress:
        for chunk in verify_leakage(results):
            checked.append(chunk)
            progress.show("verifying leakage, layers and samples", len(checked), written)
    for line in leakage_lines(checked):
        print(line)
    if any(chunk.failures for chunk in checked):
        return FAILED
    changed = [*(path for chunk in checked for path in chunk.changed), *results.leaks.changed_table()]
    _require_whole(results, changed, len(chunks), written)
    return FINE


def _audit(results: Results, *, exact: bool) -> int:
    """Check verdicts, singular values and examples."""
    from fiberscope.audits.network_table import verify_network
    from fiberscope.audits.plan import Chunk, SpectraChunk
    from fiberscope.audits.verify import verify_results
    from fiberscope.audits.verify_examples import changed_invariance, verify_examples
    from fiberscope.audits.verify_spectra import verify_spectra
    from fiberscope.report.progress import progress_on_stderr
    from fiberscope.report.verification import example_lines, network_lines, spectra_lines, verdict_lines

    manifest = results.manifest()
    chunks = list(manifest.plan.every_chunk())
    written = [chunk for chunk in chunks if results.to_be_checked(manifest, chunk)]
    total = Counter(map(type, written))
    checked: list[ChunkVerification] = []
    spectra: list[SpectraVerification] = []
    with progress_on_stderr() as progress:
        for chunk in verify_results(results, exact=exact):
            checked.append(chunk)
            progress.show("verifying", len(checked), total[Chunk])
        for sample in verify_spectra(results):
            spectra.append(sample)
            progress.show("verifying singular values, samples", len(spectra), total[SpectraChunk])
        network = verify_network(results)
        examples = list(verify_examples(results))
    for line in (*verdict_lines(checked), *network_lines(network), *spectra_lines(spectra), *example_lines(examples)):
        print(line)
    every = (*checked, network, *spectra)
    if any(each.failures for each in every) or any(example.failed for example in examples):
        return FAILED
    changed = [*(path for each in every for path in each.changed), *changed_invariance(results)]
    _require_whole(results, changed, len(chunks), len(written))
    return FINE


def _require_whole(results: Results, changed: Sequence[str], chunks: int, written: int) -> None:
    """ResultsError where files were changed, or some are missing that are still to come."""
    if changed:
        names = ", ".join(changed[:3])
        raise ResultsError(f"everything holds, but files are not as the audit wrote them: {names}", path=changed[0])
    if not results.manifest().complete:
        raise ResultsError(
            f"what is there holds, but the audit in {results.folder} is not complete: {written} of {chunks} chunks "
            "are written; continue it with the command that began it and --resume",
            path=str(results.folder),
        )


__all__ = ["verify"]
