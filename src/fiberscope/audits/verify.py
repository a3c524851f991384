"""Checking results again, from the model, the stored inputs and the certificates alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, lru_cache, partial

import numpy as np

from fiberscope.audits.checks import Check, Failure, Rechecked, checked
from fiberscope.audits.compute import ModelFile
from fiberscope.audits.effort import sensible_workers
from fiberscope.audits.findings import Finding, certificate_id
from fiberscope.audits.plan import Chunk, place_label
from fiberscope.audits.store import INPUTS, ChunkData, Results
from fiberscope.audits.unit_counts import counts_at
from fiberscope.checker.curves import Curves
from fiberscope.checker.matrices import NotProvedError, is_written
from fiberscope.checker.monotone import prove_outputs
from fiberscope.checker.precision import FLOATS, within
from fiberscope.checker.reading import LayerRows, LocalRows, StoredLayer, read_network
from fiberscope.checker.system import System
from fiberscope.checker.unwritten import Unwritten
from fiberscope.checker.verdicts import Claim
from fiberscope.errors import FiberscopeError, ModelError, ResultsError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.layer import Layer
from fiberscope.network.monotone import Curve, Monotone
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import MAX_WRITTEN, ReLULayer
from fiberscope.preimages.compact import expanded
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.sides import sides_at_inputs
from fiberscope.preimages.verification import MalformedError
from fiberscope.preimages.verify import dimensions
from fiberscope.threads import one_thread

INPUT_AGREEMENT = 1e-9
"""How far the stored inputs of a layer may be from recomputed ones, relative to the largest: some thousand roundings.
Matrix products round differently from machine to machine, so they cannot be asked to be equal."""

NOT_TRIED = "it was not tried"

AT_ONCE = 2**22
"""Entries of rows that are written out for counting, at a time."""

RADIUS_AGREEMENT = 1e-9
"""By how much, relatively, a radius that is computed again may be larger than the stored one, for the same reason."""


def verify_results(results: Results, *, exact: bool = False, workers: int | None = None) -> Iterator[Rechecked]:
    """Check every certificate of an audit again; of one that is not complete, those that are there.

    Args:
        results: the folder.
        exact: whether to use rational arithmetic only.
        workers: the number of processes; None to choose.

    Yields:
        What was found of each chunk; the others of its findings are "undecided".

    Raises:
        ResultsError: the folder is not an audit's, or is damaged.
    """
    manifest, subject = results.manifest(), results.subject()
    processes = workers or sensible_workers(subject.network, manifest.plan)
    yield from checked(partial(_verified, exact=exact), results, subject, manifest.plan.chunks(), processes)


def _verified(network: Network, check: Check[Chunk], *, exact: bool) -> Rechecked:
    """Check the certificates of one chunk.

    The network that decided says what the layer receives; the rows and domains that verdicts are about are the
    checker's own reading of the files.
    """
    chunk, data = check.chunk, check.results.read_chunk(check.manifest, check.chunk)
    with one_thread():
        _check_inputs(network, check, data)
        decided = [finding for finding in data.findings.rows() if finding.kind is not Kind.UNDECIDED]
        model = ModelFile(check.results.model_path, check.manifest.model_digest)
        subject = network.relu_layers[chunk.layer]
        reasons = _why_not_proved(decided, subject, model, data, exact=exact)
    failures = tuple(_failure(finding, reason) for finding, reason in zip(decided, reasons, strict=True) if reason)
    undecided = Counter(undecided=len(data.findings) - len(decided))
    return Rechecked(len(decided) - len(failures), failures, data.changed, undecided, chunk)


def _failure(f: Finding, reason: str) -> Failure:
    claim = f"layer {f.layer}, sample {f.sample}, {place_label(f.domain, f.precision)}: {f.kind}"
    return Failure(claim, reason, (f.layer, f.sample, f.domain))


@lru_cache(maxsize=1)
def _read_layer(model: ModelFile, number: int) -> tuple[StoredLayer, LayerRows | None]:
    """A layer in the checker's own reading, with its rows where they do not depend on the sample.

    Chunks of a layer follow each other, and writing out a large convolution takes seconds.
    """
    layers = read_network(model.path).layers
    if number >= len(layers):
        raise ModelError(f"it has {len(layers)} layers that can be judged")
    layer = layers[number]
    return layer, None if layer.inner else layer.system_rows()


def _why_not_proved(
    decided: list[Finding], subject: Layer, model: ModelFile, data: ChunkData, *, exact: bool
) -> list[str]:
    """Why each verdict about a layer is not proved; empty if it is."""
    if not decided:
        return []
    try:
        layer, rows = _read_layer(model, data.chunk.layer)
        if rows is not None:
            return _reasons(decided, layer, rows, data, exact=exact)
        reasons: dict[int, list[str]] = {}
        for sample in {finding.sample: None for finding in decided}:
            some = [finding for finding in decided if finding.sample == sample]
            reasons[sample] = [NOT_TRIED] * len(some)
            for local in _forms(layer, subject, data.inputs[sample - data.chunk.start]):
                left = [k for k, reason in enumerate(reasons[sample]) if reason]
                found = _reasons([some[k] for k in left], layer, local, data, exact=exact)
                for k, reason in zip(left, found, strict=True):
                    reasons[sample][k] = reason
                if not any(found):
                    break
        return [reasons[finding.sample].pop(0) for finding in decided]
    except FiberscopeError as error:
        return [f"the stored network cannot be read for a proof: {error}"] * len(decided)


def _forms(layer: StoredLayer, subject: Layer, x: FloatArray) -> Iterator[LocalRows]:
    """What a layer in which branches meet is around x, in the forms in which it may have been decided.

    All of them say the same; a certificate is about the coordinates of one.
    """
    assert isinstance(subject, RegionLayer), "branches meet in it"
    if not subject.is_large:
        yield layer.at(x)
    if not subject.is_of_convolutions:
        return
    local = layer.at(x, by_products=True)
    yield local
    if subject.is_large and _entries(local.rows.weight) <= 2 * MAX_WRITTEN:
        yield replace(local, rows=replace(local.rows, weight=local.rows.weight[np.arange(len(local.rows.bias))]))


def _reasons(
    findings: list[Finding], layer: StoredLayer, numbers: LayerRows | LocalRows, data: ChunkData, *, exact: bool
) -> list[str]:
    """Why each verdict about a layer with these numbers is not proved; those of one domain are proved together."""
    samples = list({finding.sample: None for finding in findings})
    points = data.inputs[[sample - data.chunk.start for sample in samples]]
    rows = numbers if isinstance(numbers, LayerRows) else numbers.rows
    points = points if isinstance(numbers, LayerRows) else numbers.x[None]
    inputs = dict(zip(samples, points, strict=True))
    reasons: dict[int, str] = {}
    plain = cache(expanded)  # of many findings that name one certificate
    for domain, precision in {(finding.domain, finding.precision): None for finding in findings}:
        members = [
            k for k, finding in enumerate(findings) if (finding.domain, finding.precision) == (domain, precision)
        ]
        system, X = numbers.on(*layer.domain(domain)), np.stack([inputs[findings[k].sample] for k in members])
        try:
            if precision in FLOATS and isinstance(numbers, LocalRows):
                raise NotProvedError("a runtime forms no such sums where branches meet")  # noqa: TRY301 - as below
            known = within(system, rows.curves, X, precision, data.step)
        except (NotProvedError, ValueError) as error:
            reasons |= dict.fromkeys(members, f"its precision says nothing: {error}")
            continue
        claims = [_claim(findings[k], x, slack, data, plain) for k, x, slack in zip(members, X, known, strict=True)]
        stored = [findings[k].radius for k in members]
        proofs = _proofs(system, rows.curves, claims, stored, exact=exact)
        counts = _counts(rows, X, known)
        reasons |= {
            k: reason or _miscounted(findings[k], count)
            for k, reason, count in zip(members, proofs, counts, strict=True)
        }
    return [reasons[k] for k in range(len(findings))]


def _claim(
    finding: Finding, x: FloatArray, slack: FloatArray, data: ChunkData, plain: Callable[[bytes], bytes]
) -> Claim | str:
    """What the finding says of x, or why it says nothing."""
    certificate = data.certificates.get(finding.certificate)
    if certificate is None:
        return "its certificate is missing"
    if certificate_id(certificate) != finding.certificate:
        return "its certificate is not the one that was stored under this id"
    kind, dimension, bounds = str(finding.kind), finding.dimension, finding.dimension_bounds
    if dimension is not None and bounds is not None:
        return f"its dimension is {dimension}, and lies in {bounds[0]} to {bounds[1]}"
    try:
        return Claim(x, None, slack, kind, dimensions(kind, dimension, bounds), plain(certificate))
    except MalformedError as error:
        return str(error)


def _proofs(
    system: System, curves: Curves, claims: list[Claim | str], stored: list[float], *, exact: bool
) -> list[str]:
    """Why each claim, or how large its preimage is said to be at most, is not proved.

    Rational arithmetic is tried where float64 is not enough, or alone.
    """
    reasons = [claim if isinstance(claim, str) else NOT_TRIED for claim in claims]
    for rational in (True,) if exact else (False, True):
        left = {k: claim for k, claim in enumerate(claims) if reasons[k] and isinstance(claim, Claim)}
        centers = [claim.x for claim in left.values() if claim.x is not None]
        found = prove_outputs(system, curves, list(left.values()), centers, rational=rational)
        for k, (reason, size) in zip(left, found, strict=True):
            large = not size <= stored[k] * (1.0 + RADIUS_AGREEMENT)
            said = f"a radius of {stored[k]:.6g} is stored, {size:.6g} is proved" if large else ""
            reasons[k] = reason or said
    return reasons


def _counts(rows: LayerRows, X: FloatArray, known: FloatArray) -> list[tuple[int, int]]:
    """The numbers of positive and saturated outputs at each input; sparse layers are large, and their inputs few."""
    if is_written(rows.weight):
        return _counted(rows, X, known)
    total = np.zeros((len(X), 2), dtype=np.int64)
    for units in np.array_split(np.arange(rows.definitions, len(rows.bias)), 1 + _entries(rows.weight) // AT_ONCE):
        bias, low, high, curves = rows.bias[units], rows.low[units], rows.high[units], rows.curves.of(units)
        some = LayerRows(rows.weight[units], bias, low, high, curves)
        total += np.array(_counted(some, X, known[..., units]), dtype=np.int64)
    return [(int(positive), int(saturated)) for positive, saturated in total]


def _entries(weight: Unwritten) -> int:
    """How many numbers a matrix has that are not 0, were it written out."""
    return int(np.sum(weight.entrywise(np.sign) @ np.ones(weight.shape[1])))


def _counted(rows: LayerRows, X: FloatArray, known: FloatArray) -> list[tuple[int, int]]:
    """The same of rows that are written out."""
    curves = rows.curves
    monotone = Monotone(np.where(curves.monotone, curves.curve, Curve.OTHER), curves.alpha, curves.beta)
    layer = ReLULayer(
        rows.weight, rows.bias, curves.monotone, rows.definitions, low=rows.low, high=rows.high, monotone=monotone
    )
    if known.any():
        found = sides_at_inputs(layer, X, known)
        counted = [(found.positive.sum(axis=1), found.saturated(layer).sum(axis=1))]
    else:
        batches = [X] if isinstance(layer.weight, np.ndarray) else [x[None] for x in X]
        counted = [counts_at(layer, batch) for batch in batches]
    pairs = (pair for batch in counted for pair in zip(*batch, strict=True))
    return [(int(positive) - rows.definitions, int(saturated)) for positive, saturated in pairs]


def _miscounted(finding: Finding, counts: tuple[int, int]) -> str:
    """Which number of outputs is not what is stored; empty if both are."""
    stored_counts = (finding.positives, finding.saturated)
    for name, stored, have in zip(("positive", "saturated"), stored_counts, counts, strict=True):
        if stored != have:
            return f"{stored} {name} outputs are stored, there are {have}"
    return ""


def _check_inputs(network: Network, check: Check[Chunk], data: ChunkData) -> None:
    """Check that the stored inputs are, up to rounding, what the network hands to the layer.

    Where that is NaN or infinite nothing can be decided.
    """
    layer = check.chunk.layer
    recomputed = network.layer_input(layer, check.x)
    finite = np.isfinite(recomputed)
    allowed = INPUT_AGREEMENT * float(np.abs(recomputed[finite]).max(initial=0.0))
    agree = np.allclose(data.inputs, recomputed, rtol=0.0, atol=allowed, equal_nan=True)
    if not agree or (not finite.all() and (data.findings.kind != Kind.UNDECIDED).any()):
        path = str(check.results.path(INPUTS, check.chunk))
        raise ResultsError(f"{path} is damaged: it is not what the network hands to layer {layer}", path=path)


__all__ = ["INPUT_AGREEMENT", "verify_results"]
