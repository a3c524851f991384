"""How much work an audit is: how many processes it is worth, and in what pieces."""

from __future__ import annotations

from dataclasses import dataclass

from fiberscope.audits.plan import BLOCK_SAMPLES, Plan
from fiberscope.network.layer import Layer
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import is_sparse
from fiberscope.threads import cores

LARGE_WORK = 1e8
"""Verdicts times weights from which starting processes costs less than it saves: some seconds of work."""

_LEAST_WEIGHTS = 50_000
"""A verdict about a smaller layer takes as long as one about a layer of this size."""

CHUNK_SECONDS = 60.0
"""What a chunk of verdicts may take at most by the laws below: so much is lost at most where a machine dies."""

LEAST_BLOCK = 12
"""Samples per chunk at least. So many of a layer that is judged within linear regions, where each sample has a layer of
its own: seconds each."""

_DENSE_SECONDS, _DENSE_POWER = 1e-6, 1.63
"""Seconds a verdict about a dense layer with n inputs takes: 1e-6 n^1.63, as measured (docs/scaling.md)."""

_SPARSE_SECONDS = 2e-4
"""Seconds a verdict takes for each input of a layer with sparse rows, where samples share nothing."""


LARGE_SPECTRA = 1e11
"""Multiplications in all singular values from which starting processes costs less than it saves."""

LARGE_MATRIX = 2**26
"""Bytes of a network's largest matrix from which linear algebra uses all cores well, and processes side by side would
want too much memory."""


MANY_SURVEYS = 30
"""Pairs of layer and sample, of a second or so each, from which starting processes costs less than it saves."""


@dataclass(frozen=True)
class Effort:
    """What the chunks of one kind of work take.

    Attributes:
        processes: how many are worth computing side by side on this machine.
        memory: bytes that each takes, an estimate.
        algebra: how many threads linear algebra uses in each. The last digits depend on it.
    """

    processes: int
    memory: int
    algebra: int = 1


def sensible_workers(network: Network, plan: Plan) -> int:
    """One process per core where the work is large, otherwise one."""
    layers = network.relu_layers
    weights = {i: max(layers[i].inputs * layers[i].outputs, _LEAST_WEIGHTS) for i in plan.layers}
    work = sum(weights[i] * plan.samples * len(plan.domains(i)) for i in plan.layers)
    chunks = sum(1 for _ in plan.chunks())
    return min(cores(), chunks) if work >= LARGE_WORK else 1


def sensible_blocks(network: Network, chosen: tuple[int, ...]) -> tuple[int, ...]:
    """Samples per chunk of each layer: many where a verdict takes little, so that few tasks are to be handed out.

    By a law rather than by a clock, so that they are the same on every machine and the same when an audit is continued.
    """
    return tuple(_block(network.relu_layers[i]) for i in chosen)


def _block(layer: Layer) -> int:
    if not isinstance(layer, ReLULayer):
        return LEAST_BLOCK
    dense = _DENSE_SECONDS * layer.inputs**_DENSE_POWER
    seconds = _SPARSE_SECONDS * layer.inputs if is_sparse(layer.weight) else dense
    return int(min(BLOCK_SAMPLES, max(LEAST_BLOCK, CHUNK_SECONDS / seconds)))


def has_large_matrices(network: Network) -> bool:
    """Whether the matrix of some stage's local linear map is large; the same on every machine."""
    return 8 * network.inputs * max(stage.outputs for stage in network.stages) >= LARGE_MATRIX


def sensible_spectra_workers(network: Network, samples: int) -> int:
    """One process per core where much is to be computed on small matrices, otherwise one."""
    n = network.inputs
    work = samples * sum(n * stage.outputs * min(n, stage.outputs) for stage in network.stages)
    return min(cores(), samples) if work >= LARGE_SPECTRA and not has_large_matrices(network) else 1


def sensible_survey_workers(plan: Plan) -> int:
    """One process per core where many linear programs are to be solved, otherwise one."""
    return min(cores(), plan.invariance) if plan.invariance * len(plan.layers) >= MANY_SURVEYS else 1


__all__ = [
    "LARGE_WORK",
    "Effort",
    "has_large_matrices",
    "sensible_blocks",
    "sensible_spectra_workers",
    "sensible_survey_workers",
    "sensible_workers",
]
