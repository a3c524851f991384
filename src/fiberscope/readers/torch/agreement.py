"""Comparing a converted network with the program that it was made from, and that with the model itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fiberscope.errors import ModelError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.network.original import Original
from fiberscope.readers.comparison import check_agreement

if TYPE_CHECKING:
    from fiberscope.readers.torch.program import Program

COMPARISON_TOLERANCE = 1e-9
"""How far the program may be from the model, both in float64, relative to the largest value on the way.

Rounding leaves about 1e-15 per operation; an operation that was left out or misread changes leading digits.
"""


def with_agreement(
    network: Network,
    program: Program,
    model: Callable[[Tensor], Tensor],
    *,
    name: str,
    is_batched: bool,
    notes: tuple[str, ...],
) -> Network:
    """The network with how well it agrees with the model, and with what runs that.

    The network is compared with the program stage by stage, one sample at a time; the program's output with that of the
    model, for one sample and for several.

    Args:
        network: the converted network.
        program: what it was converted from.
        model: runs the model in float64 on a batch of samples.
        name: what the model is, for messages.
        is_batched: whether the model takes several samples at once.
        notes: those that the network is to have, to which others may be added.

    Raises:
        ModelError: a difference beyond rounding, or a model that mixes samples.
    """
    wanted = frozenset(stage.origin for stage in network.stages)
    runs = _Runs(program, wanted)
    agreement = check_agreement(network, runs, name=name, dtype="float64")
    note = _compare(runs, model, name, is_batched=is_batched)
    all_notes = (*notes, *filter(None, [note]))
    return replace(network, agreement=agreement, notes=all_notes, originals=_originals(program, wanted, name))


def _originals(program: Program, wanted: frozenset[str], name: str) -> tuple[Original, ...]:
    """The program in float64, and in float32 if its numbers are."""

    def in_double(X: FloatArray) -> Mapping[str, NDArray[Any]]:
        return _Runs(program, wanted)(X)

    def in_single(X: FloatArray) -> Mapping[str, NDArray[Any]]:
        samples = [x[None] if program.sample_axis else x for x in torch.tensor(X)]
        rows = [{program.input: x, **program.run_in_float32(x, wanted)} for x in samples]
        return {key: torch.stack([row[key] for row in rows]).numpy() for key in rows[0].keys() & wanted}

    double = Original(name, "float64", in_double)
    return (Original(name, "float32", in_single), double) if program.is_float32 else (double,)


@dataclass(eq=False)
class _Runs:
    """Runs a program on one sample after the other.

    Attributes:
        program: the program.
        wanted: the names of the nodes whose values are asked for.
        inputs: what it was run on.
        outputs: what it gave, flat: (N, m).
        largest: the largest value that was seen on the way.
    """

    program: Program
    wanted: frozenset[str]
    inputs: list[Tensor] = field(default_factory=list[Tensor])
    outputs: list[Tensor] = field(default_factory=list[Tensor])
    largest: float = 1.0

    def __call__(self, X: FloatArray) -> Mapping[str, NDArray[Any]]:
        state = self.program.state()
        rows: list[dict[str, Tensor]] = []
        for x in torch.tensor(X):
            sample = x[None] if self.program.sample_axis else x
            output, seen = self.program.run(state, sample, self.wanted)
            self.inputs.append(sample)
            self.outputs.append(output.ravel())
            rows.append({self.program.input: sample, **seen})
            self.largest = max([self.largest, *(float(value.abs().max()) for value in seen.values())])
        names = rows[0].keys() & self.wanted
        return {name: torch.stack([row.pop(name) for row in rows]).numpy() for name in names}


def _compare(runs: _Runs, model: Callable[[Tensor], Tensor], name: str, *, is_batched: bool) -> str:
    """Refuse a model that computes something else than its program (a hook, say, that torch.export did not see).

    Returns:
        What a reader of results must know; may be empty.
    """
    count, theirs = len(runs.inputs), torch.stack(runs.outputs)
    tolerance = COMPARISON_TOLERANCE * runs.largest
    failure: ModelError | None = None
    together: Tensor | None = None
    if is_batched:
        try:
            together = model(torch.cat(runs.inputs))
        except ModelError as error:
            failure = error
        if together is not None and together.shape[:1] == (count,) and _off(together, theirs) <= tolerance:
            return ""
    alone = torch.stack([model(x).ravel() for x in runs.inputs])
    off = _off(alone, theirs)
    if not off <= tolerance:  # NaN is no agreement either
        raise ModelError(
            f"the converted network differs from {name}: expected agreement within {tolerance:.1g}, got a difference "
            f"of {off:.3g}; torch.export does not see all that {name} does: remove hooks and code that changes values"
        )
    if together is not None:
        raise ModelError(
            f"{name} mixes samples: expected for {count} samples at once what it gives for each alone, got outputs of "
            f"shape {tuple(together.shape)} and a difference of {_off(together, theirs):.3g}; only models that treat "
            "every sample by itself have preimages of single samples"
        )
    return "" if failure is None else f"{name} takes only one sample at a time"


def _off(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference between two batches of flat outputs; infinite if they are not of one size."""
    ours = ours.detach().cpu().double()
    if ours.numel() != theirs.numel():
        return float(np.inf)
    return float((ours.reshape(theirs.shape) - theirs).abs().max())


__all__ = ["COMPARISON_TOLERANCE", "with_agreement"]
