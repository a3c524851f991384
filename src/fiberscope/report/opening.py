"""The pictures that a report begins with: a sample, what can be rebuilt of it, and another input with its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute

from fiberscope.audits.accuracy import predictions
from fiberscope.audits.example_store import StoredExample
from fiberscope.audits.examples import ExampleRequest, make_examples
from fiberscope.audits.findings import FindingsTable
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.plan import EXACT, Reads
from fiberscope.audits.subject import Subject
from fiberscope.errors import FiberscopeError
from fiberscope.invariance.objective import Objective
from fiberscope.labels import label
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Box
from fiberscope.network.region_layer import RegionLayer
from fiberscope.preimages.kind import Kind
from fiberscope.recovery.attack import guesses
from fiberscope.recovery.question import Subject as Attacked
from fiberscope.recovery.verdict import Verdict
from fiberscope.report.counting import number
from fiberscope.showing.pictures import PictureFormat, picture
from fiberscope.threads import one_thread

pc: Any = pyarrow.compute  # has no types

_LARGEST_PROGRAM = 2**24
"""Bytes of the equations and inequalities of a search up to which it is made for the page, within seconds."""


@dataclass(frozen=True)
class OpeningPicture:
    """One picture: a data URI, what it is, and what is said of it."""

    image: str
    title: str
    text: str


@dataclass(frozen=True)
class Opening:
    """What a report begins with.

    Attributes:
        pictures: in the order in which they are looked at.
        sentence: what they show.
    """

    pictures: tuple[OpeningPicture, ...]
    sentence: str


def opening(
    manifest: Manifest,
    findings: FindingsTable,
    network: Any,
    subject: Subject,
    layout: PictureFormat | None,
    examples: Sequence[StoredExample],
) -> Opening | None:
    """The pictures; None where samples are none, no bounds of inputs are known, or nothing can be shown.

    Args:
        manifest: what was audited.
        findings: the verdicts.
        network: the verdicts about the network, a table of ``network_verdicts``.
        subject: the network and the samples.
        layout: how a sample becomes a picture.
        examples: the invariance examples that begin at samples of the audit; of them the one that reaches furthest is
            shown, and where there is none, one is looked for in small networks.
    """
    if layout is None or manifest.domain is None:
        return None
    with one_thread():  # so that the page is the same whatever the machine has
        example = _furthest(examples) or _found(manifest, network, subject)
        sample = example.facts.source if example is not None else 0
        rebuilt = _rebuilt(manifest, findings, subject, layout, sample)
    if example is None and rebuilt is None:
        return None
    shown = () if example is None else _example_pictures(subject, example, layout)
    source = OpeningPicture(picture(subject.x[sample], layout), f"sample {sample}", _taken_for(subject, sample))
    sentences = [*([rebuilt[1]] if rebuilt else []), *([_same(example)] if example is not None else [])]
    return Opening((source, *([rebuilt[0]] if rebuilt else []), *shown), " ".join(sentences))


def _furthest(examples: Sequence[StoredExample]) -> StoredExample | None:
    """The one that gets furthest, a proved one first; of equal ones that of the earliest layer, which says most.

    Examples whose features may differ, or do by more than rounding, are not shown: the page says that they are equal.
    """
    same = [example for example in examples if example.facts.within == "0" and example.facts.agrees]
    known = [example for example in same if example.facts.layer.isdecimal() and example.facts.distance > 0]
    ordered = sorted(known, key=lambda example: int(example.facts.layer))
    return max(ordered, key=lambda each: (each.facts.proved, round(each.facts.reached, 2)), default=None)


def _found(manifest: Manifest, network: Any, subject: Subject) -> StoredExample | None:
    """One that is looked for now: towards a sample of another class, at the first layer that mixes a sample up."""
    mixed = network.filter(pc.equal(network["verdict"], str(Verdict.NOT_RECOVERABLE)))
    if not len(mixed) or manifest.domain is None:
        return None
    (first,) = mixed.sort_by([("layer", "ascending"), ("sample", "ascending")]).slice(0, 1).to_pylist()
    layer, target = int(first["layer"]), _other(subject, int(first["sample"]))
    rows = sum(each.outputs for each in subject.network.relu_layers[: layer + 1])
    if target is None or 8 * rows * subject.network.inputs > _LARGEST_PROGRAM:
        return None
    wanted = ExampleRequest(layer, int(first["sample"]), target, manifest.domain, Objective.TOWARDS)
    try:
        return _furthest(make_examples(subject, wanted))
    except FiberscopeError:  # a sample outside of its bounds, say
        return None


def _other(subject: Subject, source: int) -> int | None:
    """The first sample of another class, or any other one."""
    differs = np.arange(subject.samples) != source if subject.y is None else subject.y != subject.y[source]
    return int(np.argmax(differs)) if differs.any() else None


def _rebuilt(
    manifest: Manifest, findings: FindingsTable, subject: Subject, layout: PictureFormat, sample: int
) -> tuple[OpeningPicture, str] | None:
    """What the first audited layer gives away of a sample, if it receives the input itself; and a sentence."""
    layer = manifest.layers[0]
    if manifest.plan.place(layer).reads is not Reads.INPUT:
        return None
    network = subject.network
    described = network.relu_layers[layer]
    found = findings.at(layer, manifest.plan.domains(layer)[-1].name, EXACT)
    kinds = found.kind[found.sample == sample]
    if 8 * described.inputs * described.outputs > _LARGEST_PROGRAM or not len(kinds):
        return None
    if kinds[0] not in (Kind.SINGLETON, Kind.BOUNDED) or isinstance(described, RegionLayer):
        return None
    x = np.asarray(subject.x[sample], dtype=np.float64)
    features = described(network.layer_input(layer, x[None]))
    assert manifest.domain is not None
    exactly = np.zeros(described.outputs)
    try:
        guess, _ = guesses(Attacked.of(network, layer), features, Box(*manifest.domain), exactly, np.inf)
    except FiberscopeError:  # a layer that the attack is not made for
        return None
    name = label(layer, manifest.network_layers[layer].name)
    rebuilt = guess.x.reshape(x.shape)
    text = f"off by at most {number(float(np.abs(rebuilt - x).max()))}"
    title = f"rebuilt from layer {name}"
    return OpeningPicture(_drawn(rebuilt, layout), title, text), _sentence(kinds[0], name, manifest)


def _drawn(x: FloatArray, layout: PictureFormat) -> str:
    return picture(np.clip(x, layout.low, layout.high), layout)


def _sentence(kind: Any, name: str, manifest: Manifest) -> str:
    """What the verdict about the first layer says."""
    assert manifest.domain is not None
    among = f"among all inputs from {manifest.domain[0]:g} to {manifest.domain[1]:g}"
    if kind == Kind.SINGLETON:
        return f"Layer {name} hides nothing of the sample: no other one has its output, {among}, which is proved."
    return f"Layer {name} leaves open which of several inputs the sample is, {among}; the guess is one attack’s."


def _same(example: StoredExample) -> str:
    facts = example.facts
    proved = "which is proved" if facts.proved else "as far as floating point can tell"
    return (
        f"Layer {label(int(facts.layer), facts.layer_name)} cannot tell the sample from another input, drawn towards "
        f"sample {facts.target}: all of its features are the same, {proved}."
    )


def _example_pictures(subject: Subject, example: StoredExample, layout: PictureFormat) -> tuple[OpeningPicture, ...]:
    """The example, and what it was drawn towards."""
    facts = example.facts
    same = predictions(subject.network, np.asarray(example.x)[None], None if subject.y is None else subject.y[:1])
    taken = "" if same is None else f"; taken for {subject.class_name(int(same[0]))}"
    target = f"a {facts.target_class}: " if facts.target_class else ""
    where = f"same features in layer {label(int(facts.layer), facts.layer_name)}"
    return (
        OpeningPicture(_drawn(example.x, layout), "another input", f"{where}{taken}"),
        OpeningPicture(picture(example.target, layout), f"sample {facts.target}", f"{target}what it was drawn towards"),
    )


def _taken_for(subject: Subject, sample: int) -> str:
    """The class of a sample, and what the network takes it for."""
    if subject.y is None:
        return ""
    found = predictions(subject.network, subject.x[sample : sample + 1], subject.y[sample : sample + 1])
    own = f"a {subject.class_of(sample)}"
    return own if found is None else f"{own}, taken for {subject.class_name(int(found[0]))}"


__all__ = ["Opening", "OpeningPicture", "opening"]
