"""What proves verdicts through several layers: ``network/SAMPLE-LAYER.npz``, a sealed archive of steps for each.

Steps (``fiberscope.checker.relaxation``) are found by a search; to evaluate them takes a fortieth of that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fiberscope.audits.archives import archive_from_bytes, archive_to_bytes
from fiberscope.audits.multiplier_arrays import arrays_of_steps, stored_steps
from fiberscope.files import is_file, read_file, write_file
from fiberscope.network.arrays import FloatArray
from fiberscope.seals import is_sealed

if TYPE_CHECKING:
    from fiberscope.checker.relaxation import Step
    from fiberscope.recovery.only_input import OnlyInputs


@dataclass(frozen=True, eq=False)
class NetworkProofs:
    """The proofs of a folder, which are evaluated where a verdict is asked for.

    Attributes:
        folder: where they lie.
        first: the number of the first sample that is judged.
        changed: files that were met and are not as they were written.
    """

    folder: Path
    first: int = 0
    changed: list[str] = field(default_factory=list[str])

    @property
    def is_over(self) -> bool:
        """Never: to evaluate a proof takes little."""
        return False

    def path(self, sample: int, layer: int) -> Path:
        """The file of one."""
        return self.folder / f"{sample + self.first:06d}-{layer:03d}.npz"

    def keep(self, sample: int, layer: int, steps: tuple[Step, ...]) -> None:
        """Write one."""
        write_file(self.path(sample, layer), archive_to_bytes(arrays_of_steps(steps)))

    def is_kept(self, sample: int, layer: int) -> bool:
        """Whether one is there as it was written."""
        path = self.path(sample, layer)
        return is_file(path) and is_sealed(read_file(path))

    def missing(self, only: OnlyInputs, sample: int, layer: int, x: FloatArray) -> str:
        """Why no proof of x being the only input with its features after a layer is there; empty where one is."""
        path = self.path(sample, layer)
        if not is_file(path):
            return "no proof through all layers is stored"
        data = read_file(path)
        if not is_sealed(data):
            self.changed.append(str(path))
        try:
            proved = only.has_one(layer, x, stored_steps(archive_from_bytes(data, str(path))))
        except Exception:  # what is stored may be anything
            proved = False
        return "" if proved else "what is stored proves nothing"


__all__ = ["NetworkProofs"]
