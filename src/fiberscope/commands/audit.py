"""The command ``fiberscope audit``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fiberscope.commands.arguments import parse_domain, parse_layers, parse_precision
from fiberscope.commands.report import print_report
from fiberscope.errors import FiberscopeError


def audit(
    model: Path | None = None,
    data: str | None = None,
    /,
    *,
    out: Annotated[Path, Parameter(name="--out")],
    domain: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    precision: str | None = None,
    layers: str | None = None,
    samples: int | None = None,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
    output: str | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    workers: int | None = None,
    scheduler: str | None = None,
    block: int | None = None,
    spectra: int | None = None,
    invariance: int | None = None,
    seconds: float | None = None,
    fail_on: Annotated[list[str] | None, Parameter(negative="")] = None,
    config: Path | None = None,
) -> int:
    """Decide and prove, for every ReLU layer and sample, which inputs the layer mixes up.

    With neither MODEL nor DATA: the built-in demo, a real network trained on real digits. Exit status 1 if a threshold
    fails; 2 if something could not be computed, which is undecided, and is tried again by --resume.

    Args:
        model: the network: .onnx, .pt2 (torch.export), .keras, .h5, or .safetensors written by Network.save.
        data: the samples: .npz (arrays x, optional y), .npy, IDX (.gz too), a folder of images, or a name: mnist,
            mnist-5k, fashion-mnist, cifar10.
        out: the folder for the results.
        domain: LOW,HIGH: bounds of every input coordinate; the first layer is judged within them as well as without.
        precision: EPS, float32, float16 or int8: judge every layer also where its outputs are known only so well: each
            up to EPS, or as numbers of that type, or as 8-bit codes; beside the verdicts about exact outputs. What
            --invariance computes is computed for such outputs, too.
        layers: positions of the ReLU layers to audit, such as 0,2; all by default.
        samples: audit the first so many samples; all by default.
        trust_model: load a model format that can run code when it is loaded (.pt2, .h5, .keras with code of its own).
        output: the name of the output to take, where an ONNX model has several; --resume goes on with the same.
        resume: continue the audit that the folder holds, computing nothing twice but what failed.
        workers: number of processes; by default one per core where the work is large. Never more than memory allows.
        scheduler: the address of a dask scheduler whose workers compute, such as tcp://10.0.0.1:8786; they must see DIR
            and have this version of fiberscope. local: a dask cluster of as many processes as --workers says.
        block: samples per chunk, which is what a killed run may have to compute again; by default 1000; 125 where a
            layer has sparse rows, such as a large convolution; 12 where one has more than a thousand inputs or is
            judged within linear regions.
        spectra: also compute, at the first so many samples, the singular values of the local linear map up to every
            stage: how stable the inverse is; by default at none, and at 50 in the demo.
        invariance: also compute, from the first so many samples, how far inputs with the same features reach towards
            other samples, with an example for every layer; needs --domain; by default from none, and from 2 in the
            demo.
        seconds: how long deciding a sample may take on each domain of a layer, on average over a chunk; past it the
            rest of the chunk is undecided, with the reason. What is decided then depends on the machine. No limit by
            default but one on exact arithmetic, which looks at no clock.
        fail_on: a threshold; may be repeated. The audit is finished all the same, and ends with exit status 1 if one
            fails. QUANTITY>NUMBER[@layerK][@DOMAIN], with >, >=, < or <=. A number behind recoverable or
            not-recoverable (of the network up to @layerK), or behind singleton, bounded, unbounded, undecided or
            unproved (of a layer by itself) is a share of the samples, 0.1 or 10%; a count says so: '3 samples'.
            dimension, margin and condition are compared by their median, or as dimension.max or .min. DOMAIN is R^n,
            box or nonnegative; @int8 or another precision asks for the verdicts at it. Condition numbers are those up
            to @layerK or @stageK, and need --spectra. reach, which needs --invariance, is the share of the way to
            another sample that inputs with the same features go, @layerK; where features may differ by a share of the
            largest, @1%, or a precision, @float32. What is undecided may be anything: a threshold that it could miss
            fails.
        config: a TOML file with these options; the command line overrides it.
    """
    del config  # read before the options were parsed
    box, positions, known = parse_domain(domain), parse_layers(layers), parse_precision(precision)
    from fiberscope.audits.job import Options
    from fiberscope.audits.threshold_language import parse_thresholds
    from fiberscope.jobs.running import Request, failure_message, run_audit
    from fiberscope.report.progress import progress_on_stderr

    options = Options(
        positions,
        samples,
        box,
        workers,
        resume,
        block,
        fail_on=parse_thresholds(fail_on or ()),
        scheduler=scheduler or "",
        seconds=seconds,
        precision=known,
    )
    request = Request(model, data, options, spectra, invariance, trust_model, output)
    ran = run_audit(request, out, progress_on_stderr, lambda kind, text: print(f"{kind}: {text}", file=sys.stderr))
    status = print_report(ran.job.results, options.fail_on)
    if failed := failure_message(ran):  # said last, and above every threshold: whoever asked for a verdict has none
        raise FiberscopeError(failed)
    return status


__all__ = ["audit"]
