"""What checking an audit again gave, in lines."""

from __future__ import annotations

from collections.abc import Iterable

from fiberscope.audits.checks import Failure, Rechecked

_SHOWN_FAILURES = 20


def verdict_lines(found: Rechecked) -> list[str]:
    """The verdicts that are not proved, and how many are."""
    counts = f"{found.proved} verdicts proved, {len(found.failures)} not proved, {found.others['undecided']} undecided"
    return [*_not_proved(found.failures), counts]


def leakage_lines(found: Rechecked) -> list[str]:
    """The claims of leakage that are not proved, and how many are; nothing where there is no leakage."""
    if found.is_empty:
        return []
    counts = f"leakage: {found.proved} claims proved, {len(found.failures)} not proved"
    unkept = found.others["unkept"]
    note = [f"{unkept} rows have a proof too large to be kept: computed again by fiberscope leakage alone"]
    nothing = f"{counts}; {found.others['nothing']} rows claim nothing about the input"
    return [*_not_proved(found.failures), nothing, *(note if unkept else [])]


def network_lines(found: Rechecked) -> list[str]:
    """The verdicts about the network that do not follow, and how many do; nothing where there are none."""
    if found.is_empty:
        return []
    proved, failed, undecided = found.proved, len(found.failures), found.others["undecided"]
    counts = f"{proved} derived again, {failed} not proved, {undecided} undecided"
    total = proved + failed + undecided
    return [*_not_proved(found.failures), f"of {total} verdicts about the network up to a layer {counts}"]


def spectra_lines(found: Rechecked) -> list[str]:
    """The singular values that are not confirmed, and how many are; nothing where there are none."""
    if found.is_empty:
        return []
    of = found.others
    how = f"{of['recomputed']} recomputed in full, {of['tested']} tested with random vectors"
    return [
        *([f"stability radii proved again: {of['balls']}"] if of["balls"] else []),
        *_not_proved(found.failures, "not confirmed"),
        f"{found.proved} spectra confirmed ({how}), {len(found.failures)} not confirmed, {of['left out']} left out by "
        "the audit",
    ]


def example_lines(found: Rechecked) -> list[str]:
    """The invariance examples that are not proved, and how many are; nothing where there are none."""
    if found.is_empty:
        return []
    wrong, every = sum(failure.is_claimed for failure in found.failures), found.proved + len(found.failures)
    counts = f"{found.proved} of {every} invariance examples proved, {wrong} claimed wrongly"
    return [*_not_proved(found.failures), counts]


def _not_proved(failures: Iterable[Failure], word: str = "not proved") -> list[str]:
    lines = [f"{word}{'' if f.is_claimed else ', nor by the audit'}: {f.claim}: {f.reason}" for f in failures]
    more = [f"and {len(lines) - _SHOWN_FAILURES} more"] if len(lines) > _SHOWN_FAILURES else []
    return lines[:_SHOWN_FAILURES] + more


__all__ = ["example_lines", "leakage_lines", "network_lines", "spectra_lines", "verdict_lines"]
