"""What an audit says about the network up to each layer: one table, put together when all layers are judged.

The verdicts about layers by themselves are there by then, with their certificates; what else a verdict about the
network rests on, bounds on exact values and counts, is computed in one pass. Then what is left undecided is tried to be
proved through several layers at once, sample by sample, as long as there is time. Second inputs that take a search are
not looked for here; ``fiberscope.network_verdicts`` does that.

``verify_network`` derives the whole table again, from the stored verdicts about layers, which are proved by their own
certificates, and from the stored network and data; what the table claims to be proved through layers is proved again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.audits import shards
from fiberscope.audits.checks import Failure, Rechecked
from fiberscope.audits.findings import FindingsTable
from fiberscope.audits.finished import Failed, says_failed
from fiberscope.audits.ledger import Entry, stamp_of
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.network_proofs import NetworkProofs
from fiberscope.audits.store import INPUTS, PREIMAGES, Results
from fiberscope.audits.subject import Subject
from fiberscope.errors import ResultsError
from fiberscope.files import is_file, read_file, write_file
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Box
from fiberscope.network.network import Network
from fiberscope.preimages.budget import Budget
from fiberscope.recovery.judging import THROUGH, Judging, Searched, Through, Told, untold
from fiberscope.recovery.verdict import SCHEMA, Verdict, verdict_table
from fiberscope.seals import is_sealed
from fiberscope.threads import one_thread

BLOCK = 2**25
"""Numbers of samples that are judged together: 256 MB."""

NETWORK, VERDICTS = "network", "verdicts"
"""The part of the results folder, and the stem of its one file."""

SECONDS = 60.0
"""For proofs through several layers of all samples, where ``--seconds`` does not say how long a verdict may take."""

_FROM = b"from"
"""The key under which the table names what it was put together from, by SHA-256."""


def path_of(results: Results) -> Path:
    """The file of the table."""
    return results.folder / NETWORK / f"{VERDICTS}.parquet"


def read_network(results: Results, manifest: Manifest) -> Any:
    """The stored table, of ``SCHEMA``; without rows where none is stored yet.

    Raises:
        ResultsError: the file is damaged, or holds the verdicts of something else.
    """
    path = path_of(results)
    if not is_file(path):
        return SCHEMA.empty_table()
    table = shards.table_from_bytes(read_file(path), SCHEMA, str(path))
    samples, layers = np.repeat(np.arange(manifest.samples), len(manifest.layers)), manifest.layers * manifest.samples
    known = set(table["verdict"].unique().to_pylist()) <= set(map(str, Verdict))
    placed = np.array_equal(table["sample"], samples) and np.array_equal(table["layer"], layers)
    if not placed or not known:
        raise ResultsError(f"{path} is damaged: its rows are not the samples and layers of the audit", path=str(path))
    return table


def write_network(
    results: Results, manifest: Manifest, subject: Subject, entries: Iterable[Entry], told: Told = untold
) -> Entry:
    """Put the table together and write it, unless it is there and the verdicts about layers are as they were.

    Args:
        results: the folder, with all findings.
        manifest: what was audited.
        subject: its network and data.
        entries: the chunks, as the ledger has them.
        told: of how far proofs through several layers are.

    Returns:
        The entry of the table.
    """
    path, key = path_of(results), _key(entries)
    if is_file(path) and (data := read_file(path)) and is_sealed(data):
        try:
            table = shards.table_from_bytes(data, SCHEMA, str(path))
        except ResultsError:  # it is written anew
            table = SCHEMA.empty_table()
        metadata: dict[bytes, bytes] = table.schema.metadata or {}
        if metadata.get(_FROM) == key and _is_whole(results, table):
            return Entry(VERDICTS, {NETWORK: stamp_of(path, data)})
    asked = SECONDS if manifest.seconds is None else manifest.seconds * manifest.samples * len(manifest.layers)
    budget = Budget.of(asked)
    derived = derive(results, manifest, subject, lambda first: Searched(budget, _proofs(results, first).keep), told)
    data = shards.table_to_bytes(derived.replace_schema_metadata({_FROM: key}))
    write_file(path, data)
    return Entry(VERDICTS, {NETWORK: stamp_of(path, data)})


def _proofs(results: Results, first: int = 0) -> NetworkProofs:
    return NetworkProofs(results.folder / NETWORK, first)


def _is_whole(results: Results, table: Any) -> bool:
    """Whether nothing failed that may succeed now, and every proof through several layers is there."""
    proofs = _proofs(results)
    rows = zip(*(table[name].to_pylist() for name in ("sample", "layer", "reason")), strict=True)
    return not any(
        says_failed(reason) or (reason == THROUGH and not proofs.is_kept(sample, layer))
        for sample, layer, reason in rows
    )


def _key(entries: Iterable[Entry]) -> bytes:
    """What the table is put together from: the findings and inputs of all chunks of verdicts."""
    of_verdicts = [(entry.name, entry.files) for entry in entries if PREIMAGES in entry.files]
    parts = [(name, files[PREIMAGES].digest, files[INPUTS].digest) for name, files in of_verdicts]
    return hashlib.sha256(repr(sorted(parts)).encode()).hexdigest().encode()


def derive(
    results: Results,
    manifest: Manifest,
    subject: Subject,
    through: Callable[[int], Through] | None,
    told: Told = untold,
) -> Any:
    """The table of ``SCHEMA``, as it follows from the stored findings; undecided where that fails.

    Args:
        results: the folder.
        manifest: what was audited.
        subject: its network and data.
        through: gives proofs through several layers, of samples from a number on; None for none.
        told: of how far these are.
    """
    layers = list(manifest.layers)
    try:
        with one_thread():
            found = [(each.verdicts, each.reasons) for each in _judged(results, manifest, subject, through, told)]
            verdicts, reasons = (np.concatenate(parts) for parts in zip(*found, strict=True))
            return verdict_table(verdicts, reasons, layers)
    except ResultsError:
        raise
    except Exception as error:
        shape = manifest.samples, max(layers) + 1
        nothing, reason = (np.full(shape, each, dtype=object) for each in (Verdict.UNDECIDED, Failed.of(error).reason))
        return verdict_table(nothing, reason, layers)


def _judged(
    results: Results, manifest: Manifest, subject: Subject, through: Callable[[int], Through] | None, told: Told
) -> Iterator[Judging]:
    """Block by block, since samples lie in a file that may be larger than the memory."""
    network: Network = subject.network
    box, findings = None if manifest.domain is None else Box(*manifest.domain), results.findings(manifest)
    block, last = max(1, BLOCK // network.inputs), manifest.layers[-1]
    for first in range(0, subject.samples, block):
        own, X = _Stored(results, manifest, findings, first), network.flat(subject.x[first : first + block])
        proofs = None if through is None else through(first)
        of_all = partial(_of_all, told, first * (last + 1), subject.samples * (last + 1))
        judging = Judging(network, X, box, last, own, proofs, told=of_all)
        judging.judge()
        yield judging


def _of_all(told: Told, before: int, total: int, done: int, _: int) -> None:
    """What is done of a block as a part of all."""
    told(before + done, total)


@dataclass(frozen=True, eq=False)
class _Stored:
    """The kinds of layers by themselves as the audit stored them, on the smallest domain of each, of a block."""

    results: Results
    manifest: Manifest
    findings: FindingsTable
    first: int

    def __call__(self, layer: int, samples: IntArray) -> tuple[NDArray[np.object_], FloatArray]:
        plan = self.manifest.plan
        if layer not in plan.layers:
            return np.full(len(samples), "", dtype=object), np.zeros((len(samples), 0))
        found, wanted = self.findings.at(layer, plan.domains(layer)[-1].name), samples + self.first
        kinds = found.kind[np.searchsorted(found.sample, wanted)]
        chunks = [each for each in plan.chunks() if each.layer == layer]
        read = [each for each in chunks if each.start <= wanted.max() and wanted.min() < each.stop]
        paths = [self.results.path(INPUTS, each) for each in read]
        inputs = [shards.array_from_bytes(read_file(path), str(path)) for path in paths]
        return kinds, np.concatenate(inputs)[wanted - read[0].start]


def count_verdicts(table: Any) -> tuple[dict[str, Any], ...]:
    """The number of samples of each verdict by layer, as plain data."""
    rows = Counter(zip(table["layer"].to_pylist(), table["verdict"].to_pylist(), strict=True))
    layers = sorted({layer for layer, _ in rows})
    return tuple(
        {"layer": layer, "verdicts": {str(v): rows[layer, str(v)] for v in Verdict if rows[layer, str(v)]}}
        for layer in layers
    )


def verify_network(results: Results, told: Told = untold) -> Rechecked:
    """Derive every verdict about the network again from what is stored about layers; the others are "undecided".

    Args:
        results: the folder.
        told: of how far proofs through several layers are.

    Raises:
        ResultsError: the audit is complete and the file is missing, or it is damaged.
    """
    manifest, path = results.manifest(), path_of(results)
    if not manifest.complete:  # the table is the last that is written
        return Rechecked()
    data = read_file(path)
    table = read_network(results, manifest)
    stored, changed = shards.texts(table["verdict"]), list[str]()
    proofs = partial(NetworkProofs, path.parent, changed=changed) if any(path.parent.glob("*.npz")) else None
    derived = shards.texts(derive(results, manifest, results.subject(), proofs, told)["verdict"])
    claims = stored != Verdict.UNDECIDED
    failures = tuple(
        _refuted(table["sample"][row].as_py(), table["layer"][row].as_py(), stored[row], derived[row])
        for row in np.flatnonzero(claims & (stored != derived)).tolist()
    )
    recorded = manifest.shards.get(VERDICTS, {}).get(NETWORK)
    same = is_sealed(data) and recorded in (None, shards.sha256(data))
    changed += [] if same else [str(path)]
    undecided = Counter(undecided=int((~claims).sum()))
    return Rechecked(int(claims.sum()) - len(failures), failures, tuple(changed), undecided)


def _refuted(sample: int, layer: int, stored: str, derived: str) -> Failure:
    claim = f"the network up to layer {layer}, sample {sample}"
    return Failure(claim, f"{stored} is stored, {derived} follows", (sample, layer))


__all__ = [
    "NETWORK",
    "VERDICTS",
    "count_verdicts",
    "derive",
    "read_network",
    "verify_network",
    "write_network",
]
