"""An audit into a folder, begun or continued."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from fiberscope.audits.dask_workers import check_scheduler, is_local
from fiberscope.audits.effort import sensible_blocks
from fiberscope.audits.execution import KINDS, Job
from fiberscope.audits.finished import finished
from fiberscope.audits.lock import require_none_running, running_alone
from fiberscope.audits.manifest import Manifest, new_manifest
from fiberscope.audits.measurements import check_against
from fiberscope.audits.plan import EXACT, Plan, Reads, chosen_layers, places_of
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject, check_box, first_samples, fitted
from fiberscope.audits.thresholds import Threshold, check_asked
from fiberscope.audits.work import Capacity, cluster_capacity, local_capacity
from fiberscope.errors import InputError, ModelError, ResultsError
from fiberscope.files import is_file
from fiberscope.network.network import Network
from fiberscope.preimages.precision import code_step
from fiberscope.threads import cores


@dataclass(frozen=True)
class Options:
    """What the caller asks for.

    Args:
        layers: positions of the ReLU layers; None for all.
        samples: how many of the first samples; None for all.
        domain: the box that the input is said to lie in, or None.
        workers: the number of processes; None to choose.
        resume: whether to continue what the folder holds.
        block: samples per chunk; None to choose.
        spectra: at how many of the first samples to compute singular values.
        invariance: at how many of the first samples to compute how far invariance reaches; needs a domain.
        fail_on: thresholds that the findings will be held against.
        scheduler: the address of a dask scheduler, or "local" for a cluster of ``workers`` processes that is started;
            empty to do without.
        seconds: how long deciding may take, per sample, layer and domain, on average over a chunk; None for no limit.
        precision: a precision to which outputs are known, at which to judge as well.
        leakage: the precisions at which it is asked what features give away; then nothing else is. Needs a domain.
    """

    layers: tuple[int, ...] | None = None
    samples: int | None = None
    domain: tuple[float, float] | None = None
    workers: int | None = None
    resume: bool = False
    block: int | None = None
    spectra: int = 0
    invariance: int = 0
    fail_on: tuple[Threshold, ...] = ()
    scheduler: str = ""
    seconds: float | None = None
    precision: str = EXACT
    leakage: tuple[str, ...] = ()


@contextmanager
def open_folder(folder: Path, *, resume: bool) -> Generator[tuple[Results, bool]]:
    """Look at the folder before any work is done, and keep other audits out of it.

    Yields:
        The folder, and whether it holds an audit to continue.

    Raises:
        ResultsError: it holds something else, holds an audit that was not asked to be continued, or another audit is
            running in it.
    """
    results = Results(folder)
    if is_file(folder):
        raise ResultsError(f"{folder} is a file, not a folder; choose another name", path=str(folder))
    require_none_running(folder)
    if not resume:
        results.require_empty()
    holds_audit = results.holds_audit()
    results.require_writable()
    with running_alone(folder):
        yield results, holds_audit


def check_options(options: Options) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        InputError: numbers that make no sense, or no scheduler at its address.
    """
    for name, value in (("samples", options.samples), ("workers", options.workers), ("block", options.block)):
        if value is not None and value < 1:
            raise InputError(f"--{name}", expected="a number of at least 1", got=str(value))
    for name, value in (("spectra", options.spectra), ("invariance", options.invariance)):
        if value < 0:
            raise InputError(f"--{name}", expected="a number of at least 0", got=str(value))
    if options.seconds is not None and not 0 < options.seconds < inf:
        raise InputError("--seconds", expected="a positive number of seconds", got=f"{options.seconds:g}")
    if options.invariance and options.domain is None:
        raise InputError("--domain", expected="LOW,HIGH, within which inputs with the same features lie", got="none")
    counts = {"stage": options.spectra, "survey": options.invariance}
    check_asked(options.fail_on, {what for what, count in counts.items() if count})
    if options.scheduler:
        check_scheduler(options.scheduler)


def build_subject(network: Any, x: Any, y: Any, options: Options, **words: Any) -> Subject:
    """Fit the data to the network.

    Args:
        network: the network.
        x: samples.
        y: labels, or None.
        options: how many samples are asked for.
        **words: the names and descriptions of ``Subject``.

    Raises:
        InputError: the data does not fit.
    """
    inputs, labels = first_samples(x, y, options.samples)
    return Subject(network=network, x=fitted(inputs, network.input_shape), y=labels, **words)


def build_job(results: Results, subject: Subject, options: Options) -> Job:
    """Begin the audit in its folder, or take it up again.

    Raises:
        InputError: an option does not fit the network or the data.
        ModelError: there is nothing to audit.
        ResultsError: the folder holds the audit of something else, or cannot be written.
    """
    if nothing := subject.network.nothing_to_judge():
        raise ModelError(f"nothing to audit: {nothing}")
    layers = chosen_layers(options.layers, len(subject.network.relu_layers))
    given = (options.block,) * len(layers) if options.block else None
    blocks = given or sensible_blocks(subject.network, layers)
    places = places_of(subject.network)
    steps = _steps(subject, layers, min(blocks)) if "int8" in (options.precision, *options.leakage) else ()
    steps = steps if options.leakage else tuple(step or 1.0 for step in steps)
    numbers = (options.domain, blocks, places, options.spectra, options.invariance, options.seconds)
    plan = Plan(layers, subject.samples, *numbers, options.precision, steps, options.leakage)
    for name, value in (("spectra", options.spectra), ("invariance", options.invariance)):
        if value > subject.samples:
            expected = f"at most {subject.samples}, as many samples as are audited"
            raise InputError(f"--{name}", expected=expected, got=str(value))
    if options.domain is not None:
        check_box(subject, options.domain)
    check_against(options.fail_on, plan, subject.network)
    asked = new_manifest(subject, plan, options.samples)
    if results.holds_audit():
        manifest = _matching(results, asked)
        results.remove_leftovers()
    else:
        manifest = asked
        results.remove_leftovers()
        results.begin(subject, manifest)
    stored = _stored(results, subject)
    done = finished(results, manifest)
    capacities = _capacities(stored.network, plan, options)
    return Job(
        results,
        manifest,
        stored,
        subject.network,
        done,
        processes=tuple(capacity.processes for capacity in capacities),
        scheduler=options.scheduler,
        notes=(*_unused_box(subject, plan), *(capacity.note for capacity in capacities if capacity.note)),
    )


def _steps(subject: Subject, layers: tuple[int, ...], block: int) -> tuple[float, ...]:
    """The step of each layer's 8-bit codes, of all samples together; 0 where all outputs are 0."""
    network, starts = subject.network, range(0, subject.samples, block)
    steps: list[float] = []
    for i in layers:
        inputs = (network.layer_input(i, subject.x[start : start + block]) for start in starts)
        steps.append(max(code_step(network.relu_layers[i], X) for X in inputs))
    return tuple(steps)


def _unused_box(subject: Subject, plan: Plan) -> list[str]:
    """A note if a box was asked for that changes nothing; the demo has one unasked, and a survey stays within it."""
    used = any(plan.place(layer).reads is Reads.INPUT for layer in plan.layers)
    if plan.box is None or plan.invariance or plan.leakage or subject.demo or used:
        return []
    return ["none of the audited layers receives the model's input, so --domain has no effect"]


def _stored(results: Results, subject: Subject) -> Subject:
    """The network and data in the folder, which the manifest says are these; written again if they are damaged."""
    try:
        return results.subject()
    except ResultsError:
        results.write_subject(subject)
        return results.subject()


def _capacities(network: Network, plan: Plan, options: Options) -> list[Capacity]:
    if options.scheduler and not is_local(options.scheduler):
        return [cluster_capacity(work, network, plan, options.workers) for work in KINDS]
    asked = options.workers or (cores() if options.scheduler else None)
    return [local_capacity(work, network, plan, asked) for work in KINDS]


def _matching(results: Results, asked: Manifest) -> Manifest:
    manifest = results.manifest()
    asked = replace(asked, steps=manifest.steps)  # which round differently on other machines
    differences = manifest.differences(asked)
    if differences:
        raise ResultsError(
            f"{results.folder} holds another audit, of {manifest.model} on {manifest.data}; it differs in "
            + "; ".join(differences)
            + "; ask for the same again, or choose another folder",
            path=str(results.folder),
        )
    # more than the folder was begun with, or as many; another budget is for what is left
    return replace(manifest, spectra=asked.spectra, invariance=asked.invariance, seconds=asked.seconds)


__all__ = ["Options", "build_job", "build_subject", "check_options", "open_folder"]
