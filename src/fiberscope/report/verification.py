"""What checking an audit again gave, in lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fiberscope.audits.network_table import NetworkVerification
from fiberscope.audits.plan import place_label
from fiberscope.audits.verify import ChunkVerification
from fiberscope.audits.verify_examples import ExampleVerification
from fiberscope.audits.verify_spectra import SpectraVerification

if TYPE_CHECKING:  # it brings what decides, which verdicts are checked without
    from fiberscope.audits.verify_leakage import LeakVerification

_SHOWN_FAILURES = 20


def verdict_lines(checked: Sequence[ChunkVerification]) -> list[str]:
    """The verdicts that are not proved, and how many are."""
    failures = sorted(
        (failure for chunk in checked for failure in chunk.failures),
        key=lambda failure: (failure.finding.layer, failure.finding.sample, failure.finding.domain),
    )
    lines = [
        f"not proved: layer {f.layer}, sample {f.sample}, {place}: {f.kind}: {failure.reason}"
        for failure in failures
        for f, place in ((failure.finding, place_label(failure.finding.domain, failure.finding.precision)),)
    ]
    proved, undecided = sum(chunk.proved for chunk in checked), sum(chunk.undecided for chunk in checked)
    return [*_shortened(lines), f"{proved} verdicts proved, {len(failures)} not proved, {undecided} undecided"]


def leakage_lines(checked: Sequence[LeakVerification]) -> list[str]:
    """The claims of leakage that are not proved, and how many are; nothing where there is no leakage."""
    if not checked:
        return []
    lines = [
        f"not proved: leakage, layer {f.row.layer}, sample {f.row.sample}, {f.row.precision}: {f.claim}: {f.reason}"
        for chunk in checked
        for f in chunk.failures
    ]
    proved, nothing = sum(chunk.proved for chunk in checked), sum(chunk.nothing for chunk in checked)
    counts = f"leakage: {proved} claims proved, {len(lines)} not proved; {nothing} rows claim nothing about the input"
    unkept = sum(chunk.unkept for chunk in checked)
    note = [f"{unkept} rows have a proof too large to be kept: computed again by fiberscope leakage alone"]
    return [*_shortened(lines), counts, *(note if unkept else [])]


def network_lines(checked: NetworkVerification) -> list[str]:
    """The verdicts about the network that do not follow, and how many do; nothing where there are none."""
    total = checked.derived + checked.undecided + len(checked.failures)
    if not total:
        return []
    lines = [
        f"not proved: the network up to layer {f.layer}, sample {f.sample}: {f.stored} is stored, {f.derived} follows"
        for f in checked.failures
    ]
    counts = f"{checked.derived} derived again, {len(checked.failures)} not proved, {checked.undecided} undecided"
    return [*_shortened(lines), f"of {total} verdicts about the network up to a layer {counts}"]


def spectra_lines(checked: Sequence[SpectraVerification]) -> list[str]:
    """The singular values that are not confirmed, and how many are; nothing where there are none."""
    if not checked:
        return []
    failures = sorted((f for sample in checked for f in sample.failures), key=lambda f: (f.stage, f.sample))
    lines = [
        f"not confirmed: singular values, stage {f.stage} {f.name}, sample {f.sample}: {f.reason}" for f in failures
    ]
    recomputed, tested = sum(sample.recomputed for sample in checked), sum(sample.tested for sample in checked)
    left_out = sum(sample.left_out for sample in checked)
    confirmed = f"{recomputed + tested} spectra confirmed"
    how = f"{recomputed} recomputed in full, {tested} tested with random vectors"
    balls = sum(sample.balls for sample in checked)
    return [
        *([f"stability radii proved again: {balls}"] if balls else []),
        *_shortened(lines),
        f"{confirmed} ({how}), {len(failures)} not confirmed, {left_out} left out by the audit",
    ]


def example_lines(checked: Sequence[ExampleVerification]) -> list[str]:
    """The invariance examples that are not proved, and how many are; nothing where there are none."""
    if not checked:
        return []
    lines = [
        f"not proved{'' if each.failed else ', nor by the audit'}: invariance example, layer {each.layer}, sample "
        f"{each.source} towards {each.target}: {each.reason}"
        for each in checked
        if not each.proved
    ]
    proved, failed = sum(each.proved for each in checked), sum(each.failed for each in checked)
    return [*_shortened(lines), f"{proved} of {len(checked)} invariance examples proved, {failed} claimed wrongly"]


def _shortened(lines: list[str]) -> list[str]:
    more = [f"and {len(lines) - _SHOWN_FAILURES} more"] if len(lines) > _SHOWN_FAILURES else []
    return lines[:_SHOWN_FAILURES] + more


__all__ = ["example_lines", "leakage_lines", "network_lines", "spectra_lines", "verdict_lines"]
