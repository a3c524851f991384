"""The singular values of every stage at many samples [section 3.2, figures 4, 5, 7, 9 and 10]."""

# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyarrow has no types

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import pyarrow
import torch

from fiberscope.errors import InputError
from fiberscope.memory import MATRIX_BYTES
from fiberscope.network.network import Network, check_network
from fiberscope.scalars import as_number, as_several
from fiberscope.stability.factorizations import Method
from fiberscope.stability.linearization import Linearization, checked_stage
from fiberscope.stability.local_network import local_network
from fiberscope.stability.singular_values import check_gram, checked_method, local_spectrum
from fiberscope.stability.spectrum import Spectrum

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

pa: Any = pyarrow  # has no types

SCHEMA: Any = pa.schema(
    [
        pa.field("sample", pa.int64(), nullable=False),
        pa.field("stage", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("outputs", pa.int64(), nullable=False),
        pa.field("rank", pa.int64(), nullable=False),
        pa.field("largest", pa.float64(), nullable=False),
        pa.field("smallest_nonzero", pa.float64(), nullable=False),
        pa.field("condition_number", pa.float64(), nullable=False),
        pa.field("values", pa.list_(pa.float64()), nullable=False),
        pa.field("error_bound", pa.list_(pa.float64()), nullable=False),
        pa.field("method", pa.string(), nullable=False),
    ]
)


def spectra(
    network: Network,
    X: Tensor | ArrayLike,
    stages: Sequence[int] | None = None,
    *,
    method: str = "auto",
    max_bytes: int = MATRIX_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> pyarrow.Table:
    """All singular values of the local linear map up to every stage, at many samples.

    The rows of the map are carried from stage to stage, as windows of the input outside which they are zero; a ReLU
    only removes rows. What comes before any activation is the same at all samples and is done once.

    Args:
        network: the network.
        X: (N, *input_shape) samples.
        stages: numbers of stages; negative ones count from the end. None for all.
        method: as in ``singular_values``.
        max_bytes: how much the rows of a stage, or a Gram matrix, may take.
        progress: told how many of all pairs of sample and stage are done.

    Returns:
        A table of pyarrow with a row per sample and stage: sample, stage, name, outputs, rank, largest,
        smallest_nonzero, condition_number, values, error_bound and method, as in ``Spectrum``.

    Raises:
        InputError: no such stage, X does not fit or is not finite, or a stage is too large.
    """
    check_network(network)
    max_bytes = int(as_number(max_bytes, "max_bytes", least=0.0, below=inf))
    chosen = range(len(network.stages)) if stages is None else as_several(stages, "stages")
    numbers = sorted({checked_stage(network, stage) for stage in chosen})
    if not numbers:
        raise InputError("stages", expected="at least one stage", got="none")
    samples = network.flat(X)
    way = checked_method(method)
    for number in numbers:
        check_gram((network.stages[number].outputs, network.inputs), max_bytes)
    rows: list[dict[str, Any]] = []
    shared: dict[int, Spectrum] = {}
    for sample, x in enumerate(samples):
        for number, spectrum in _at(network, torch.tensor(x), numbers, shared, way, max_bytes):
            rows.append(_row(network, sample, number, spectrum))
            if progress is not None:
                progress(len(rows), len(samples) * len(numbers))
    rows.sort(key=lambda row: (row["sample"], row["stage"]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _at(
    network: Network,
    x: torch.Tensor,
    numbers: list[int],
    shared: dict[int, Spectrum],
    method: Method,
    max_bytes: int,
) -> Iterator[tuple[int, Spectrum]]:
    """The spectra of some stages at one sample; those that do not depend on the sample are kept in ``shared``."""
    yield from ((number, shared[number]) for number in numbers if number in shared)
    wanted = [number for number in numbers if number not in shared]
    if not wanted:
        return
    local = local_network(network, x, wanted[-1])
    for number, rows in local.rows(wanted, max_bytes=max_bytes):
        spectrum = local_spectrum(Linearization(local, number), rows, method)
        if not any(before in local.before for before in network.needed_for(number)):
            shared[number] = spectrum
        yield number, spectrum


def _row(network: Network, sample: int, number: int, spectrum: Spectrum) -> dict[str, Any]:
    return {
        "sample": sample,
        "stage": number,
        "name": network.stages[number].name,
        "outputs": network.stages[number].outputs,
        "rank": spectrum.rank,
        "largest": spectrum.largest,
        "smallest_nonzero": spectrum.smallest_nonzero,
        "condition_number": spectrum.condition_number,
        "values": spectrum.values,
        "error_bound": spectrum.error_bound,
        "method": str(spectrum.method),
    }


__all__ = ["SCHEMA", "spectra"]
