"""What was measured of each variant, on disk: an interrupted run continues behind the last one."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fiberscope import __version__
from fiberscope.errors import ResultsError
from fiberscope.files import is_file, read_file, write_file
from fiberscope.seals import BLANK, is_sealed, seal
from fiberscope_paper.context import Context
from fiberscope_paper.control_measuring import Measured
from fiberscope_paper.control_variants import Variant
from fiberscope_paper.sources import UsedData, data_digest

NUMBERS = tuple(name for name in Measured.__annotations__ if name != "variant")


@dataclass(frozen=True)
class KeptMeasurements:
    """Files of one run of the experiment, one for each variant.

    Attributes:
        folder: where they are.
        run: everything that what is measured depends on, besides the variant.
    """

    folder: Path
    run: dict[str, Any]

    @staticmethod
    def of(context: Context, data: UsedData, counts: dict[str, int]) -> KeptMeasurements:
        """Of the data, the numbers of samples and epochs, the seed, and the versions that compute."""
        assert data.training is not None, "no model takes the place of training here"
        run = {
            "training_sha256": data_digest(data.training),
            "test_sha256": data_digest(data.test),
            **counts,
            "seed": context.seed,
            "versions": [__version__, torch.__version__, torch.backends.cpu.get_cpu_capability()],
        }
        return KeptMeasurements(context.networks, run)

    def measured(self, variant: Variant, measure: Callable[[], Measured]) -> tuple[Measured, float]:
        """What is measured now and written into the file; or what the file says, and the seconds that it had taken.

        Raises:
            ResultsError: the file is damaged, or cannot be written.
        """
        wanted = {**self.run, "variant": [variant.label, variant.width]}
        path = self.folder / f"control-{hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]}.json"
        if is_file(path):
            return _read(path, variant)
        began = time.process_time()
        found = measure()
        seconds = time.process_time() - began
        numbers = {name: getattr(found, name) for name in NUMBERS}
        text = json.dumps({**wanted, "measured": numbers, "seconds": round(seconds, 2), "seal": BLANK}, indent=2)
        write_file(path, seal(f"{text}\n".encode()))
        return found, 0.0


def _read(path: Path, variant: Variant) -> tuple[Measured, float]:
    data = read_file(path)
    if not is_sealed(data):
        expected = "what was measured, as it was written"
        message = f"{path}: expected {expected}, got a damaged or changed file; remove it to measure again"
        raise ResultsError(message, path=str(path))
    facts: dict[str, Any] = json.loads(data)
    return Measured(variant, **facts["measured"]), float(facts["seconds"])


__all__ = ["NUMBERS", "KeptMeasurements"]
