"""The network and the data that stand on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fiberscope.audits.job import Options
    from fiberscope.audits.subject import Subject


def given_subject(model: Path, data: str, options: Options, *, trust: bool, output: str | None) -> Subject:
    """Read both and fit the data to the network."""
    from fiberscope.audits.job import build_subject
    from fiberscope.paper.datasets import load_data
    from fiberscope.readers.files import load

    network, samples = load(model, trust=trust, output=output), load_data(data)
    return build_subject(
        network,
        samples.x,
        samples.y,
        options,
        model_name=model.name,
        data_name=samples.name,
        data_description=samples.description,
        classes=samples.classes,
    )


__all__ = ["given_subject"]
