"""How much memory the chunks of an audit take: estimates that measured peaks stay below, by as little as they allow.

The factors count arrays of float64 at the peak. They were fitted to measured peaks of dense and convolutional layers of
256 to 3,072 inputs, with up to a thousand samples per chunk, and a test compares them with others.
"""

from __future__ import annotations

from fiberscope.audits.plan import Plan
from fiberscope.network.affine import AffineMap, Dense
from fiberscope.network.layers import PlacedLayer
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import is_sparse
from fiberscope.preimages.classify import MAX_DENSE_ENTRIES, MAX_ENTRIES, MAX_INPUTS
from fiberscope.preimages.large_windows import MOST
from fiberscope.stability.matrix_size import MATRIX_BYTES

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


def process_bytes(network: Network) -> int:
    """Bytes that a process takes before it computes anything."""
    return _PROCESS + _COPIES_OF_WEIGHTS * _BYTES * network.parameters


def judging_bytes(network: Network, placed: PlacedLayer, samples: int) -> int:
    """Bytes that judging so many samples of a layer together takes."""
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


__all__ = ["chunk_bytes", "judging_bytes", "maps_of", "process_bytes", "spectra_bytes", "survey_bytes"]
