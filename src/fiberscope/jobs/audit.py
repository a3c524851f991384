"""The whole audit from Python."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fiberscope.errors import InputError, shown
from fiberscope.jobs.page import TemporaryFolder
from fiberscope.jobs.results import AuditResults
from fiberscope.jobs.words import errors_in_python, in_python
from fiberscope.scalars import as_count, as_flag, as_number, as_several

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor, nn

    from fiberscope.audits.job import Options
    from fiberscope.data.datasets import DataSet
    from fiberscope.network.domains import Box
    from fiberscope.network.network import Network


def audit(
    model: str | os.PathLike[str] | nn.Module | Network | None = None,
    data: str | os.PathLike[str] | DataSet | Tensor | ArrayLike | None = None,
    out: str | os.PathLike[str] | None = None,
    domain: tuple[float, float] | Box | None = None,
    *,
    precision: str | float | None = None,
    layers: Sequence[int] | None = None,
    samples: int | None = None,
    trust_model: bool = False,
    output: str | None = None,
    input_shape: int | Sequence[int] | None = None,
    resume: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    block: int | None = None,
    spectra: int | None = None,
    invariance: int | None = None,
    seconds: float | None = None,
    fail_on: str | Sequence[str] = (),
    progress: bool = True,
) -> AuditResults:
    """Decide and prove, for every ReLU layer and sample, which inputs the layer mixes up: ``fiberscope audit``.

    What the command prints as notes and warnings are warnings here, and so are samples that could not be judged, which
    are undecided. Ctrl-C ends it like the command; what is written in ``out`` is continued with ``resume=True``.

    Args:
        model: a path, a torch module in evaluation mode, a Keras model, or a network; with no data either: the built-in
            demo, a real network trained on real digits.
        data: a name ("mnist", "mnist-5k", "fashion-mnist", "cifar10"), a path, an array (N, ...), samples and labels
            (x, y), or what ``load_data`` gives. Arrays are taken as they are.
        out: the folder for the results; None for a temporary one, removed when nothing refers to the results.
        domain: (low, high), bounds of every input coordinate; the first layer is judged within them as well.
        precision: a number, "float32", "float16" or "int8": judge every layer also where its outputs are known only so
            well.
        layers: positions of the ReLU layers to audit; None for all.
        samples: audit the first so many samples; None for all.
        trust_model: load a model format that can run code when it is loaded.
        output: the name of the output to take, where an ONNX model has several.
        input_shape: the shape of one sample where the model leaves it open; by default that of the samples.
        resume: continue the audit that ``out`` holds.
        workers: number of processes. A script that starts some needs ``if __name__ == "__main__"``.
        scheduler: the address of a dask scheduler, or "local".
        block: samples per chunk; None to choose.
        spectra: compute singular values at the first so many samples.
        invariance: compute how far invariance reaches from the first so many samples; needs a domain.
        seconds: how long deciding a sample may take on each domain of a layer, on average over a chunk.
        fail_on: thresholds, such as "unbounded>10%@layer0"; see ``AuditResults.violations``.
        progress: whether progress is shown.

    Returns:
        The results.

    Raises:
        InputError: an argument makes no sense, or does not fit the model or the data.
        ModelError: the model cannot be read, or has nothing to audit.
        ResultsError: the folder holds something else, or cannot be written.
        KeyboardInterrupt: Ctrl-C was pressed; says how much is written.
    """
    from fiberscope.jobs.running import Request, failure_message, run_audit
    from fiberscope.report.progress import shown_if

    thresholds = (fail_on,) if isinstance(fail_on, str) else tuple(fail_on)
    with errors_in_python():
        options = _options(
            domain, precision, layers, seconds, thresholds, samples=samples, workers=workers, block=block
        )
        options = replace(options, resume=as_flag(resume, "resume"), scheduler=scheduler or "")
        request = Request(
            model,
            data,
            options,
            _count(spectra, "spectra", 0),
            _count(invariance, "invariance", 0),
            trust_model,
            output,
            input_shape,
        )
        if not isinstance(out, str | os.PathLike | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError("out", expected="a folder, or None for a temporary one", got=shown(out))
        held = TemporaryFolder() if out is None else None
        folder = Path(cast("str | os.PathLike[str]", out)) if held is None else held.path
        try:
            ran = run_audit(request, folder, shown_if(progress), _warn)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(_interrupted(str(interrupt), kept=held is None)) from None
    if failed := failure_message(ran):
        _warn("failed", failed)
    return AuditResults(folder, thresholds, held)


def _interrupted(message: str, *, kept: bool) -> str:
    if kept:
        return in_python(message)
    return f"{message.partition(';')[0]} into a temporary folder, which is removed; name one with out=, to continue"


def _warn(kind: str, text: str) -> None:
    del kind  # a note, a warning, or what failed: the text says it
    warnings.warn(in_python(text), UserWarning, stacklevel=2)


def _options(
    domain: Any, precision: Any, layers: Any, seconds: Any, thresholds: tuple[str, ...], **counts: Any
) -> Options:
    from fiberscope.audits.job import Options
    from fiberscope.audits.plan import EXACT, checked_precision
    from fiberscope.audits.threshold_language import parse_thresholds

    numbers: dict[str, Any] = {name: _count(value, name, 1) for name, value in counts.items()}
    return Options(
        domain=_bounds(domain),
        precision=EXACT if precision is None else checked_precision(precision),
        layers=None if layers is None else tuple(as_count(each, "layers", 0) for each in as_several(layers, "layers")),
        seconds=None if seconds is None else as_number(seconds, "seconds", above=0.0, below=inf),
        fail_on=parse_thresholds(thresholds),
        **numbers,
    )


def _count(value: Any, name: str, least: int) -> int | None:
    return None if value is None else as_count(value, name, least)


def _bounds(domain: Any) -> tuple[float, float] | None:
    """The bounds that all coordinates have."""
    from fiberscope.network.domains import Box

    if domain is None:
        return None
    expected, hint = "(low, high), the same for all coordinates", "such as domain=(0, 1)"
    pair = (domain.low, domain.high) if isinstance(domain, Box) else domain
    if not isinstance(pair, tuple | list) or len(cast("tuple[Any, ...]", pair)) != 2:
        raise InputError("domain", expected=expected, got=shown(domain), hint=hint)
    sides: list[float] = []
    for side in cast("tuple[Any, ...]", pair):
        if getattr(side, "ndim", 0) and side.size and (side != side.flat[0]).any():
            got = "bounds that differ from coordinate to coordinate"
            raise InputError("domain", expected=expected, got=got, hint=hint)
        sides.append(as_number(side.flat[0] if getattr(side, "ndim", 0) else side, "domain"))
    low, high = sides
    if not (low <= high and abs(low) < inf and abs(high) < inf):
        raise InputError(
            "domain", expected="(low, high) with low at most high, both finite", got=f"({low:g}, {high:g})"
        )
    return low, high


__all__ = ["audit"]
