"""Running experiments and writing what they give, whole files only."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from fiberscope import __version__
from fiberscope.errors import InputError
from fiberscope.files import write_file
from fiberscope_paper.context import Context
from fiberscope_paper.outcome import Outcome
from fiberscope_paper.registry import WITH_MODEL, Experiment

_LIBRARIES = ("numpy", "scipy", "torch", "matplotlib", "highspy", "pyarrow")


@dataclass(frozen=True, eq=False)
class Written:
    """An experiment whose files are there.

    Attributes:
        outcome: what it gave.
        files: what was written, the facts last.
        seconds: how long it took.
    """

    outcome: Outcome
    files: tuple[Path, ...]
    seconds: float


def check_options(chosen: Sequence[Experiment], context: Context) -> None:
    """InputError if the user asks for a model, data or their like, and nothing that is asked for heeds them."""
    heeded = {name for each in chosen for name in each.heeds}
    unheeded = [name for name in WITH_MODEL if getattr(context, name) is not None and name not in heeded]
    if unheeded:
        names = ", ".join(each.name for each in chosen)
        takes = f"which takes {'no model' if heeded else 'no model and no data'}"
        raise InputError(f"--{unheeded[0]}", expected=f"no such option for {names}, {takes}",
                         got=str(getattr(context, unheeded[0])), hint="leave it out")  # fmt: skip


def run_experiment(experiment: Experiment, context: Context, folder: Path) -> Written:
    """Compute one figure or table and write its files; the ``.json`` comes last and says that all are there.

    Raises:
        InputError: the data or the model are not there or do not fit.
        ResultsError: a file cannot be written.
    """
    asked = replace(context, **dict.fromkeys(name for name in WITH_MODEL if name not in experiment.heeds))
    began, worked = time.perf_counter(), time.process_time()
    outcome = experiment.run(asked)
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    written: dict[Path, bytes] = {folder / name: data for name, data in _contents(experiment, outcome).items()}
    for path, data in written.items():
        write_file(path, data)
    facts = _facts(experiment, outcome, asked)
    facts.update(seconds=round(seconds, 1), processor_seconds=round(processor + outcome.seconds_before, 1))
    facts["files"] = {path.name: hashlib.sha256(data).hexdigest() for path, data in written.items()}
    last = folder / f"{experiment.name}.json"
    write_file(last, (json.dumps(facts, indent=2, allow_nan=False) + "\n").encode())
    return Written(outcome, (*written, last), seconds)


def _contents(experiment: Experiment, outcome: Outcome) -> dict[str, bytes]:
    """The files besides the facts, by name."""
    contents: dict[str, bytes] = {}
    if outcome.figure is not None:
        from fiberscope_paper.drawing import png_bytes, svg_bytes

        contents[f"{experiment.name}.png"] = png_bytes(outcome.figure)
        contents[f"{experiment.name}.svg"] = svg_bytes(outcome.figure)
    if outcome.numbers is not None:
        contents[f"{experiment.name}.parquet"] = _parquet(dict(outcome.numbers))
    if outcome.text:
        contents[f"{experiment.name}.md"] = f"# {outcome.title}\n\n{outcome.caption}\n\n{outcome.text}".encode()
    return contents


def _parquet(columns: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    table: Any = pa.table(columns)  # pyright: ignore[reportUnknownVariableType] - pyarrow has no types
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _facts(experiment: Experiment, outcome: Outcome, context: Context) -> dict[str, Any]:
    return {
        "name": experiment.name,
        "title": outcome.title,
        "caption": outcome.caption,
        "claims": [
            {"paper": claim.paper, "measured": claim.measured, "holds": claim.holds, "why": claim.why}
            for claim in outcome.claims
        ],
        "facts": dict(outcome.facts),
        "data": None if outcome.data is None else outcome.data.facts(),
        "network": None if outcome.network is None else dict(outcome.network.facts),
        "other_networks": [dict(network.facts) for network in outcome.other_networks],
        "samples": outcome.samples,
        "unproved": outcome.unproved,
        "seed": context.seed,
        "scale": str(context.scale),
        "command": command_line(experiment.name, context),
        "versions": _versions(),
    }


def command_line(what: str, context: Context) -> str:
    """The command that asks for the same; DIR stands for the folder, which does not matter."""
    words = ["fiberscope", "reproduce", what, "--out", "DIR", "--scale", str(context.scale)]
    for option in WITH_MODEL:
        value = getattr(context, option)
        words += [] if value is None else [f"--{option}", str(value)]
    words += [] if context.seed == 0 else ["--seed", str(context.seed)]
    words += ["--trust-model"] if context.trust_model else []
    return shlex.join(words)


def _versions() -> dict[str, str]:
    # what torch uses of the processor decides how training rounds
    capability = torch.backends.cpu.get_cpu_capability()
    versions = {"fiberscope": __version__, "python": platform.python_version(), "processor": capability}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # vendored, or built from source
            versions[name] = "unknown"
    return versions


__all__ = ["Written", "check_options", "command_line", "run_experiment"]
