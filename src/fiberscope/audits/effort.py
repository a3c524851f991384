"""How much work an audit is: in what pieces, how many processes these are worth, and how much memory each takes.

Of memory these are estimates that measured peaks stay below, by as little as they allow. Their factors count arrays of
float64 at the peak. They were fitted to measured peaks of dense and convolutional layers of 256 to 3,072 inputs, with
up to a thousand samples per chunk, and a test compares them with others.
"""

from __future__ import annotations

from fiberscope.audits.plan import BLOCK_SAMPLES, Plan
from fiberscope.network.affine import AffineMap, Dense
from fiberscope.network.layer import Layer
from fiberscope.network.layers import PlacedLayer
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import is_sparse
from fiberscope.stability.matrix_size import MATRIX_BYTES
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

_BYTES = 8
_BYTES_PER_SPARSE_ENTRY = 16
"""A float64 number and its column."""

_PROCESS = 350 * 10**6
"""Of a process that has loaded torch, the solvers and all else, before it reads a network."""

_COPIES_OF_WEIGHTS = 2
"""The parameters as they were read, and in the form that is computed with."""

_ROWS, _SQUARES, _PER_SAMPLE = 9, 9, 8
"""Of a shared search and its proofs: copies of the rows, square matrices in the number of inputs, and what is kept of a
sample: numbers per row and bound."""

_ROWS_IF_SPARSE, _SQUARES_IF_SPARSE = 5, 6
"""The same of sparse rows: proofs do not write them out."""

_SQUARES_ALONE = 3
"""Square matrices in the number of inputs that a proof of one sample holds."""

_OF_LARGE = 250
"""Bytes per row and coordinate of a layer that is judged by products alone, one sample after the other."""

_ROWS_OF_PROGRAMS = 3
"""Copies of the rows and bounds that linear programs hold."""

_MATRICES, _GRAMS = 2, 2
"""The rows of a stage and of the one before it; a Gram matrix, and what computing its eigenvalues takes."""


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


def process_bytes(network: Network) -> int:
    """Bytes that a process takes before it computes anything."""
    return _PROCESS + _COPIES_OF_WEIGHTS * _BYTES * network.parameters


def judging_bytes(network: Network, placed: PlacedLayer, samples: int) -> int:
    """Bytes that judging so many samples of a layer together takes."""
    # these load solvers, which checking stored results must not
    from fiberscope.preimages.classify import MAX_DENSE_ENTRIES, MAX_ENTRIES, MAX_INPUTS
    from fiberscope.preimages.large_windows import MOST

    n, m, layer = placed.layer.inputs, placed.layer.outputs, placed.layer
    if layer.is_large:
        inner = sum(affine.outputs for affine in maps_of(network, placed)) if isinstance(layer, RegionLayer) else 0
        return _OF_LARGE * (m + n + 2 * inner) + _SQUARES_ALONE * _BYTES * min(n, MOST) ** 2
    of_samples = _PER_SAMPLE * _BYTES * samples * (m + 2 * n)
    if isinstance(layer, ReLULayer) and n <= MAX_INPUTS:
        sparse = is_sparse(layer.weight)
        if m * n <= (MAX_ENTRIES if sparse else MAX_DENSE_ENTRIES):
            rows, squares = (_ROWS_IF_SPARSE, _SQUARES_IF_SPARSE) if sparse else (_ROWS, _SQUARES)
            return of_samples + _BYTES * n * (rows * m + squares * n)
    entries = max((_entries(affine) for affine in maps_of(network, placed)), default=0)
    return of_samples + entries * _BYTES_PER_SPARSE_ENTRY + _SQUARES_ALONE * _BYTES * n * n


def maps_of(network: Network, placed: PlacedLayer) -> list[AffineMap]:
    """The affine maps that a layer is made of."""
    first = placed.source + 1
    return [affine for stage in network.stages[first : placed.stage] for affine in stage.maps]


def chunk_bytes(network: Network, plan: Plan) -> int:
    """Bytes that a chunk of verdicts takes, of the layer that takes most."""
    samples = {layer: min(plan.block(layer), plan.samples) for layer in plan.layers}
    return max(judging_bytes(network, network.placed_layers[layer], count) for layer, count in samples.items())


def spectra_bytes(network: Network) -> int:
    """Bytes that the singular values at one sample take. Stages whose rows take more than is allowed are left out."""
    n = network.inputs

    def stage_bytes(outputs: int) -> int:
        return _MATRICES * min(_BYTES * n * outputs, MATRIX_BYTES) + _GRAMS * _BYTES * min(n, outputs) ** 2

    return max(stage_bytes(stage.outputs) for stage in network.stages)


def survey_bytes(network: Network, plan: Plan) -> int:
    """Bytes that the survey of invariance at one sample takes, of the layer that takes most."""
    n, outputs = network.inputs, (network.placed_layers[layer].layer.outputs for layer in plan.layers)
    return _ROWS_OF_PROGRAMS * _BYTES * n * (max(outputs) + 2 * n)


def _entries(affine: AffineMap) -> int:
    if isinstance(affine, Dense):
        return affine.inputs * affine.outputs
    return min(affine.terms * affine.outputs, affine.inputs * affine.outputs)


__all__ = [
    "LARGE_WORK",
    "chunk_bytes",
    "has_large_matrices",
    "judging_bytes",
    "maps_of",
    "process_bytes",
    "sensible_blocks",
    "sensible_spectra_workers",
    "sensible_survey_workers",
    "sensible_workers",
    "spectra_bytes",
    "survey_bytes",
]
