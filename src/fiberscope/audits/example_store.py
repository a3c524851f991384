"""The part of a results folder that holds invariance examples: one file for each, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from fiberscope.audits.archives import archive_from_bytes, archive_to_bytes
from fiberscope.errors import ResultsError
from fiberscope.files import read_file, write_file
from fiberscope.network.arrays import FloatArray
from fiberscope.seals import is_sealed

_ARRAYS = ("source", "target", "corners", "within")


@dataclass(frozen=True)
class ExampleFacts:
    """What is told about an invariance example.

    Attributes:
        model: the name of the network.
        model_digest: its SHA-256.
        data: what the samples are.
        layer: the layer whose features stay the same, by its position, or "output".
        layer_name: its name in the model.
        source: the position of the sample x.
        target: that of the sample that the example goes towards.
        source_class: what the class of x is called; empty if there is none.
        target_class: that of the target.
        low: the least number that an input of the example may be.
        high: the largest.
        objective: what was sought.
        value: the objective at the example.
        bound: what no other input does better than; infinite if not known.
        bound_over: which inputs that is said of; empty if not known.
        reached: the share of the way from x to the target, ``<c - x, x' - x> / |c - x|^2``.
        distance: ``|x' - x|``.
        pixels_changed: how many input coordinates differ.
        residual: the largest difference of features, in float64.
        units: the same as a share of what rounding explains.
        original: what ran the original model, and in which arithmetic; empty if none was run.
        original_units: the largest difference of its features, as a share of what its rounding explains; 0 if none.
        agrees: whether features agree up to rounding on the whole way, in float64 and in the original.
        proved: whether it is proved in exact arithmetic, too.
        verification: how it was verified, or why it could not be.
        regions: how many activation regions the way from x goes through.
        connected: whether a way leads to it on which features stay the same.
        seconds: how long the search took.
        warnings: why the data may be others than the network was made for.
        within: by how much every feature may differ, a number or "float32"; "0" for not at all.
    """

    model: str
    model_digest: str
    data: str
    layer: str
    layer_name: str
    source: int
    target: int
    source_class: str
    target_class: str
    low: float
    high: float
    objective: str
    value: float
    bound: float
    bound_over: str
    reached: float
    distance: float
    pixels_changed: int
    residual: float
    units: float
    original: str
    original_units: float
    agrees: bool
    proved: bool
    verification: str
    regions: int
    connected: bool
    seconds: float
    warnings: tuple[str, ...] = ()
    within: str = "0"

    @property
    def domain(self) -> str:
        """Where the example was looked for, in words."""
        return f"the box from {self.low:g} to {self.high:g}"

    @property
    def compared_features(self) -> str:
        """By how much features differ, where they were computed."""
        words = ["the same numbers in float64"]
        if self.within != "0":
            allowed = "what rounding the layer's sums in float32 may do" if self.within == "float32" else self.within
            words = [f"differ by at most {self.residual:.1e} in float64, where {allowed} is allowed"]
            return "; ".join([*words, *([f"compared in {self.original}, too"] if self.original else [])])
        if self.residual:
            words = [f"differ by at most {self.residual:.1e} in float64, {self.units:.2g} of what rounding explains"]
        if self.original and not self.original_units:
            words.append(f"the same numbers in {self.original}")
        elif self.original:
            words.append(f"in {self.original}, by {self.original_units:.2g} of what its rounding explains")
        return "; ".join(words)

    @property
    def compared_with_best(self) -> str:
        """The objective, and how good any other input can be."""
        if not self.bound_over:
            return f"{self.value:.6g}"
        return f"{self.value:.6g}, and no input of {self.bound_over} does better than {self.bound:.6g}"


@dataclass(frozen=True, eq=False)
class StoredExample:
    """An invariance example as it is stored.

    Attributes:
        facts: what is told about it.
        source: x, in the shape of the data.
        target: the sample that it goes towards.
        corners: (k, ...) the way from x, the first, to the example, the last, in straight pieces; everywhere on it the
            features are the same. Without a way, x and the example.
        within: by how much every feature may differ, a number or (m,) of them.
    """

    facts: ExampleFacts
    source: FloatArray
    target: FloatArray
    corners: FloatArray
    within: FloatArray

    @property
    def x(self) -> FloatArray:
        """The example."""
        return self.corners[-1]


@dataclass(frozen=True)
class ExampleStore:
    """The invariance examples in a results folder.

    Args:
        folder: where they are, or will be.
    """

    folder: Path

    def path(self, layer: str, source: int, target: int) -> Path:
        """The file of an example: its layer, or "output", and the positions of its samples."""
        return self.folder / f"layer-{layer}-sample-{source:06d}-towards-{target:06d}.npz"

    def write(self, example: StoredExample) -> Path:
        """Write an example; one of the same layer and samples is replaced."""
        facts = np.frombuffer(json.dumps(asdict(example.facts)).encode(), dtype=np.uint8)
        arrays = {"facts": facts, **{name: getattr(example, name) for name in _ARRAYS}}
        path = self.path(example.facts.layer, example.facts.source, example.facts.target)
        write_file(path, archive_to_bytes(arrays))
        return path

    def read(self) -> list[StoredExample]:
        """All examples, by layer and sample.

        Raises:
            ResultsError: a file is damaged.
        """
        return [_read(path) for path in self._paths()]

    def is_whole(self, layer: str, source: int, target: int) -> bool:
        """Whether an example is there, as it was written."""
        path = self.path(layer, source, target)
        return path.is_file() and is_sealed(read_file(path))

    def changed(self) -> list[str]:
        """The files that are not, byte for byte, as they were written."""
        return [str(path) for path in self._paths() if not is_sealed(read_file(path))]

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("layer-*.npz"))


def _read(path: Path) -> StoredExample:
    content = archive_from_bytes(read_file(path), str(path))
    try:
        about: dict[str, Any] = json.loads(content["facts"].tobytes())
        about, content = {"within": "0"} | about, {"within": np.zeros(())} | content  # as before there were any
        arrays = {name: np.asarray(content[name], dtype=np.float64) for name in _ARRAYS}
        about["warnings"] = tuple(map(str, about["warnings"]))
        facts = ExampleFacts(**{field.name: about[field.name] for field in fields(ExampleFacts)})
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{path} is damaged: it is no invariance example ({error}); remove it, and make it again", path=str(path)
        ) from error
    if arrays["corners"].shape[1:] != arrays["source"].shape or arrays["target"].shape != arrays["source"].shape:
        raise ResultsError(f"{path} is damaged: its pictures differ in shape; remove it", path=str(path))
    return StoredExample(facts, **arrays)


__all__ = ["ExampleFacts", "ExampleStore", "StoredExample"]
