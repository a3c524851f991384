"""Folders of results that the standalone script reads, and how somebody may change them without a trace."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import fiberscope as fs
from fiberscope.audits import shards
from fiberscope.audits.manifest import new_manifest
from fiberscope.audits.plan import Plan, places_of
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.audits.verdicts import Verdicts
from small_audits import change_digests

SCRIPT = Path(__file__).parents[1] / "tools" / "check_certificates.py"
PARTS = {"inputs": ".npy", "certificates": ".parquet", "preimages": ".parquet"}
SAMPLES, BLOCK = 6, 4
FIRST = "layer-00-block-0000"
Rows = list[dict[str, Any]]

spec = importlib.util.spec_from_file_location("check_certificates", SCRIPT)
assert spec is not None
assert spec.loader is not None
check_certificates: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_certificates)


def write_audit(folder: Path, network: fs.Network, x: Any, box: tuple[float, float] | None = (0.0, 1.0)) -> Results:
    """The verdicts of an audit, and what belongs to them, in a folder."""
    layers = tuple(range(len(network.relu_layers)))
    plan = Plan(layers, len(x), box, (BLOCK,) * len(layers), places_of(network))
    subject, results, work = Subject(network, x, None, "model", "data", ""), Results(folder), Verdicts()
    folder.mkdir()
    manifest = new_manifest(subject, plan, None)
    results.begin(subject, manifest)
    tasks = [work.task(subject, plan, chunk) for chunk in plan.chunks()]
    entries = [results.write(task.chunk, work.files(task, work.compute(network, task, 1))) for task in tasks]
    results.write_manifest(manifest.finished((), (), results.ledger.rewrite(entries), ()))
    return results


def reseal(folder: Path) -> None:
    """Write all digests anew, as somebody would who wants a change not to show."""
    told: dict[str, dict[str, str]] = {}
    for path in sorted((folder / "preimages").iterdir()):
        files = {part: folder / part / f"{path.stem}{end}" for part, end in PARTS.items()}
        siblings = {part: shards.sha256(file.read_bytes()) for part, file in files.items() if part != "preimages"}
        table = pq.read_table(path)
        path.write_bytes(shards.table_to_bytes(table.replace_schema_metadata(siblings)))
        told[path.stem] = {part: shards.sha256(file.read_bytes()) for part, file in files.items()}
    change_digests(folder, told)


def rewrite(folder: Path, part: str, change: Callable[[Rows], object], stem: str = FIRST) -> None:
    """Change the rows of a table, and leave no other trace."""
    path = folder / part / f"{stem}.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    path.write_bytes(shards.table_to_bytes(pa.Table.from_pylist(rows, schema=table.schema)))
    reseal(folder)


def findings(folder: Path, stem: str = FIRST) -> Rows:
    return pq.read_table(folder / "preimages" / f"{stem}.parquet").to_pylist()


def stored(folder: Path, stem: str = FIRST) -> dict[str, bytes]:
    rows = pq.read_table(folder / "certificates" / f"{stem}.parquet").to_pylist()
    return {row["id"]: row["data"] for row in rows}
