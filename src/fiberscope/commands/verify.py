"""The command ``fiberscope verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fiberscope.commands import FAILED, FINE


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
    from fiberscope.jobs.checking import check_folder
    from fiberscope.report.progress import progress_on_stderr

    statuses: list[int] = []
    for checked in check_folder(Results(folder), progress_on_stderr, exact=exact):
        for line in checked.lines:
            print(line)
        if not checked.failed:
            checked.require_whole()
        statuses.append(FAILED if checked.failed else FINE)
    return max(statuses)


__all__ = ["verify"]
