"""The manifest: what was audited, with what, how, and how far it got."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from math import inf, isfinite
from textwrap import shorten
from typing import Any

from fiberscope import __version__
from fiberscope.audits.accuracy import fit_of
from fiberscope.audits.plan import EXACT, Place, Plan, Reads, known_precision, places_of
from fiberscope.audits.subject import Subject
from fiberscope.errors import ResultsError
from fiberscope.seals import BLANK, is_sealed, seal

FORMAT = "fiberscope results 9"
"""Names the layout of the folder; a reader refuses any other."""

_PACKAGES = ("numpy", "scipy", "highspy", "python-flint", "pyarrow", "safetensors", "torch")


@dataclass(frozen=True)
class Layer:
    """A ReLU layer by name, size, and where it lies; of the bounds of its inputs, None is an infinite one."""

    name: str
    inputs: int
    outputs: int
    reads: Reads
    region: bool
    bounds: tuple[float | None, float | None] | None = None

    @property
    def place(self) -> Place:
        """Where it lies."""
        if self.bounds is None:
            return Place(self.reads, self.region)
        low, high = self.bounds
        return Place(self.reads, self.region, (-inf if low is None else low, inf if high is None else high))


@dataclass(frozen=True)
class Run:
    """One stretch of work on the audit; a run that was killed leaves none.

    Attributes:
        started: when, in ISO 8601.
        seconds: how long, singular values included.
        chunks: the number of chunks of verdicts.
        workers: the number of processes that judged.
        spectra: the number of samples at which singular values were computed.
        spectra_seconds: how long that took.
        spectra_workers: the number of processes that computed them.
        surveyed: the number of samples at which it was computed how far invariance reaches.
        survey_seconds: how long that took, examples apart.
    """

    started: str
    seconds: float
    chunks: int
    workers: int
    spectra: int = 0
    spectra_seconds: float = 0.0
    spectra_workers: int = 0
    surveyed: int = 0
    survey_seconds: float = 0.0


@dataclass(frozen=True)
class Manifest:
    """What was audited, with what, how, and how far it got.

    Attributes:
        fiberscope: the version of fiberscope.
        versions: the versions of Python and of the packages that numbers depend on.
        model: what the network is called.
        model_digest: ``Network.digest()``.
        input_shape: the shape of one sample.
        network_layers: all ReLU layers of the network.
        notes: what the reader of the model had to leave off or fold.
        agreement: how well the network agrees with the model file, in words; empty where it was not read from one.
        training: how the model was trained and how well it does, in words; may be empty.
        demo: whether this is the built-in demo.
        data: what the data is called.
        data_description: what the data is, in words.
        data_digest: ``Subject.data_digest()``.
        classes: what the labels 0, 1, ... are called; empty where they have no names.
        samples_requested: the number of samples asked for; None for all.
        samples: the number of samples.
        layers: the layers that are audited.
        domain: the box that the input is said to lie in, or None.
        blocks: samples per chunk, of each of ``layers``.
        status: "running" or "complete".
        counts: number of findings by layer, domain and kind; filled in at the end.
        network_counts: number of samples by layer and verdict about the network up to it; filled in at the end.
        runs: the stretches of work.
        shards: SHA-256 by chunk and folder; at the end those of the ledger (``ledger.py``), from which they are read.
        digests: the SHA-256 of the ledger; filled in at the end.
        spectra: the number of samples at which singular values are computed.
        spectra_counts: the number of samples by stage, computed and left out, with the reason; filled in at the end.
        invariance: the number of samples at which it is computed how far invariance reaches.
        examples: the files of the examples that belong to it; filled in at the end.
        output: the name of the model's output that is audited, where the model has several; otherwise empty.
        correct: the number of samples that the network classifies correctly; None where that is not known.
        warnings: why the data may be others than the network was made for.
        seconds: how long deciding was allowed to take, per sample, layer and domain; None for no limit.
        precision: a precision to which outputs are known, at which is judged as well; "exact" for none.
        steps: of 8-bit codes, the step in each of ``layers``; of leakage, 0 where all outputs are 0.
        leakage: the precisions at which it is asked what features give away; then nothing else is.
    """

    fiberscope: str
    versions: dict[str, str]
    model: str
    model_digest: str
    input_shape: tuple[int, ...]
    network_layers: tuple[Layer, ...]
    notes: tuple[str, ...]
    agreement: str
    training: str
    demo: bool
    data: str
    data_description: str
    data_digest: str
    samples_requested: int | None
    samples: int
    layers: tuple[int, ...]
    domain: tuple[float, float] | None
    blocks: tuple[int, ...]
    status: str = "running"
    counts: tuple[dict[str, Any], ...] = ()
    runs: tuple[Run, ...] = ()
    shards: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    spectra: int = 0
    spectra_counts: tuple[dict[str, Any], ...] = ()
    invariance: int = 0
    classes: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    output: str = ""
    correct: int | None = None
    warnings: tuple[str, ...] = ()
    seconds: float | None = None
    network_counts: tuple[dict[str, Any], ...] = ()
    precision: str = EXACT
    steps: tuple[float, ...] = ()
    leakage: tuple[str, ...] = ()
    digests: str = ""

    @property
    def plan(self) -> Plan:
        """The plan that the audit follows."""
        places = tuple(layer.place for layer in self.network_layers)
        numbers = (self.domain, self.blocks, places, self.spectra, self.invariance, self.seconds)
        return Plan(self.layers, self.samples, *numbers, self.precision, self.steps, self.leakage)

    @property
    def complete(self) -> bool:
        """Whether every chunk was computed."""
        return self.status == "complete"

    def to_json(self) -> bytes:
        """Write the manifest as JSON, sealed."""
        told = asdict(replace(self, shards={}))
        told.pop("shards")
        text = json.dumps({"format": FORMAT, **told, "seal": BLANK}, indent=2) + "\n"
        return seal(text.encode())

    @classmethod
    def from_json(cls, text: bytes, path: str) -> Manifest:
        """Read what ``to_json`` wrote.

        Raises:
            ResultsError: the text is something else, or was changed since.
        """
        try:
            data = json.loads(text)
            if data.pop("format") != FORMAT:
                raise ValueError("another format")  # noqa: TRY301 - one way out for everything that is not a manifest
            data.pop("seal")
            if "shards" in data:
                raise ValueError("digests that belong into the ledger")  # noqa: TRY301 - as above
            data["network_layers"] = tuple(_layer(**layer) for layer in data["network_layers"])
            data["runs"] = tuple(Run(**run) for run in data["runs"])
            for name in _TUPLES:
                data[name] = tuple(data[name])
            data["domain"] = None if data["domain"] is None else tuple(float(bound) for bound in data["domain"])
            data["seconds"] = None if data["seconds"] is None else float(data["seconds"])
            data["correct"] = None if data["correct"] is None else int(data["correct"])
            manifest = cls(**data)
            manifest._check()
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ResultsError(
                f"{path} is not the manifest of a fiberscope audit ({type(error).__name__}: {error}); "
                "it is damaged, foreign, or of another version",
                path=path,
            ) from error
        if not is_sealed(text):
            raise ResultsError(
                f"{path} was changed since the audit wrote it; bring back the original, or begin in another folder",
                path=path,
            )
        return manifest

    def _check(self) -> None:
        """Raise ValueError or TypeError where a plan could not be made of the numbers."""
        available = range(len(self.network_layers))
        if not self.layers or not all(layer in available for layer in self.layers):
            raise ValueError(f"layers {list(self.layers)} of {len(available)}")
        if len(self.blocks) != len(self.layers) or min(self.samples, *self.blocks) < 1:
            raise ValueError(f"{self.samples} samples in blocks of {list(self.blocks)}")
        if not 0 <= self.spectra <= self.samples:
            raise ValueError(f"spectra at {self.spectra} of {self.samples} samples")
        if not 0 <= self.invariance <= self.samples or (self.invariance and self.domain is None):
            raise ValueError(f"a survey of invariance at {self.invariance} of {self.samples} samples")
        if self.domain is not None and len(self.domain) != 2:
            raise ValueError(f"domain {self.domain}")
        if self.seconds is not None and not 0 < self.seconds < inf:
            raise ValueError(f"a budget of {self.seconds} seconds")
        if self.correct is not None and not 0 <= self.correct <= self.samples:
            raise ValueError(f"{self.correct} of {self.samples} samples classified correctly")
        "".join(
            (*self.classes, *self.examples, *self.warnings, self.output, self.digests)
        )  # a TypeError for anything but texts
        if "int8" in (self.precision, *self.leakage) and len(self.steps) != len(self.layers):
            raise ValueError(f"{len(self.steps)} steps of {len(self.layers)} layers")
        if self.precision not in (EXACT, known_precision(self.precision)):
            raise ValueError(f"precision {self.precision}")
        if not all(each == known_precision(each) for each in self.leakage) or (self.leakage and self.domain is None):
            raise ValueError(f"leakage at {self.leakage}")
        if not all(0.0 < step < inf or (self.leakage and step == 0.0) for step in self.steps):
            raise ValueError(f"steps {self.steps}")

    def differences(self, asked: Manifest) -> list[str]:
        """What differs between the audit in the folder (this one) and the one asked for now, in words.

        Singular values or a survey at more samples are no difference: what is there stays as it is. Where another
        number of samples is asked for, whether the data are the same cannot be told.
        """
        cut = self.samples_requested != asked.samples_requested
        told = {name: words for name, words in _MUST_AGREE.items() if not (cut and name in _OF_CUT_DATA)}
        if self.layers != asked.layers:
            told.pop("blocks")  # are those of the layers
        fewer = [name for name in ("spectra", "invariance") if getattr(asked, name) < getattr(self, name)]
        return [
            f"{words}: {_shown(getattr(self, name))} in the folder, {_shown(getattr(asked, name))} now"
            for name, words in told.items()
            if getattr(self, name) != getattr(asked, name)
        ] + [f"--{name}: {getattr(self, name)} in the folder, {getattr(asked, name)} now" for name in fewer]

    def finished(
        self,
        counts: tuple[dict[str, Any], ...],
        spectra_counts: tuple[dict[str, Any], ...],
        digests: str,
        examples: tuple[str, ...],
        network_counts: tuple[dict[str, Any], ...] = (),
    ) -> Manifest:
        """The manifest of the same audit, complete."""
        filled: dict[str, Any] = {
            "counts": counts,
            "network_counts": network_counts,
            "spectra_counts": spectra_counts,
            "digests": digests,
        }
        return replace(self, status="complete", examples=examples, **filled)


_TUPLES = (
    "input_shape",
    "blocks",
    "notes",
    "layers",
    "counts",
    "network_counts",
    "spectra_counts",
    "classes",
    "examples",
    "warnings",
    "steps",
    "leakage",
)
"""What JSON holds as lists."""

_MUST_AGREE = {
    "fiberscope": "version of fiberscope",
    "demo": "built-in demo",
    "output": "--output",
    "model_digest": "model (SHA-256)",
    "data_digest": "data (SHA-256)",
    "classes": "names of the classes",
    "samples_requested": "--samples",
    "samples": "number of samples",
    "layers": "--layers",
    "domain": "--domain",
    "blocks": "--block",
    "precision": "--precision",
    "leakage": "--precision",
}

_OF_CUT_DATA = ("data_digest", "samples")
"""What depends on how many samples are asked for."""

_SHOWN_LETTERS = 200
"""So much of a value is shown: more than of any but the names of many classes."""


def _shown(value: object) -> str:
    return shorten(repr(value), _SHOWN_LETTERS, placeholder=" ...")


def new_manifest(subject: Subject, plan: Plan, samples_requested: int | None) -> Manifest:
    """The manifest of an audit that is about to begin."""
    network = subject.network
    fit = fit_of(subject)
    layers = zip(network.layer_names, network.relu_layers, places_of(network), strict=True)
    return Manifest(
        fiberscope=__version__,
        versions=_versions(),
        model=subject.model_name,
        model_digest=network.digest(),
        input_shape=tuple(network.input_shape),
        network_layers=tuple(
            Layer(name, layer.inputs, layer.outputs, place.reads, place.region, _finite(place.bounds))
            for name, layer, place in layers
        ),
        notes=network.all_notes,
        agreement="" if network.agreement is None else str(network.agreement),
        training=subject.training,
        demo=subject.demo,
        data=subject.data_name,
        data_description=subject.data_description,
        data_digest=subject.data_digest(),
        samples_requested=samples_requested,
        samples=plan.samples,
        layers=plan.layers,
        domain=plan.box,
        blocks=tuple(map(plan.block, plan.layers)),
        spectra=plan.spectra,
        invariance=plan.invariance,
        leakage=plan.leakage,
        seconds=plan.seconds,
        classes=subject.classes,
        output=network.output,
        correct=fit.correct,
        warnings=fit.warnings,
        precision=plan.precision,
        steps=plan.steps,
    )


def _layer(reads: str, bounds: list[float | None] | None, **others: Any) -> Layer:
    """A layer as JSON has it."""
    if bounds is None:
        return Layer(reads=Reads(reads), **others)
    low, high = (None if bound is None else float(bound) for bound in bounds)
    return Layer(reads=Reads(reads), bounds=(low, high), **others)


def _finite(bounds: tuple[float, float] | None) -> tuple[float | None, float | None] | None:
    """The same bounds for JSON, which has no infinity."""
    if bounds is None:
        return None
    low, high = (bound if isfinite(bound) else None for bound in bounds)
    return low, high


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


__all__ = ["FORMAT", "Layer", "Manifest", "Run", "new_manifest"]
