"""What an audit measured, in the form that thresholds are held against: a quantity, a place, a value per sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from fiberscope.audits.findings import FindingsTable
from fiberscope.audits.network_table import read_network
from fiberscope.audits.plan import EXACT, NamedDomain, Plan, reach_name
from fiberscope.audits.quantities import Quantity
from fiberscope.audits.shards import texts
from fiberscope.audits.store import Results
from fiberscope.audits.thresholds import DomainKind, Measured, Place, Threshold, Violation, check_thresholds, violations
from fiberscope.errors import ResultsError
from fiberscope.labels import label
from fiberscope.network.domains import Box, NonNegative
from fiberscope.network.network import Network
from fiberscope.preimages.kind import Kind
from fiberscope.recovery.ambiguity import LEVELS
from fiberscope.recovery.leak import Leak
from fiberscope.recovery.recovery import Scope
from fiberscope.recovery.verdict import Verdict

_OF_KIND = {
    Quantity.EMPTY: Kind.EMPTY,
    Quantity.SINGLETON: Kind.SINGLETON,
    Quantity.BOUNDED: Kind.BOUNDED,
    Quantity.UNBOUNDED: Kind.UNBOUNDED,
}

_OF_VERDICT = {Quantity.RECOVERABLE: Verdict.RECOVERABLE, Quantity.NOT_RECOVERABLE: Verdict.NOT_RECOVERABLE}


def places(plan: Plan, network: Network) -> list[Place]:
    """Every place where an audit measures something.

    Layers on domains, the network up to each layer, stages if there are singular values, and the network up to each
    layer for all that features may differ by, if there is a survey; or what features give away, at each layer and
    precision.
    """
    if plan.leakage:
        return leak_places(plan, network)
    at_layers = [
        Place(
            f"layer {label(layer, network.layer_names[layer])}, {named.label}",
            layer=layer,
            domain=_domain_kind(named),
            domain_name=named.name,
            precision=named.precision,
        )
        for layer in plan.layers
        for named in plan.domains(layer)
    ]
    up_to_layers = [
        Place(f"the network up to layer {label(layer, network.layer_names[layer])}", layer=layer, at="network")
        for layer in plan.layers
    ]
    asked = [*(_stages(network) if plan.spectra else ()), *(_surveyed(plan, network) if plan.invariance else ())]
    return [*at_layers, *up_to_layers, *asked]


def _surveyed(plan: Plan, network: Network) -> list[Place]:
    """The network up to each layer, for everything that features may differ by."""
    return [
        Place(reach_label(label(layer, network.layer_names[layer]), name), layer=layer, precision=name, at="survey")
        for layer in plan.layers
        for name in plan.reach_names()
    ]


def reach_label(layer: str, name: str) -> str:
    """The network up to a layer, and what features may differ by, in words."""
    where = "" if name == EXACT else f" at {name}{' of the largest feature' if name.endswith('%') else ''}"
    return f"the network up to layer {layer}{where}"


def _stages(network: Network) -> list[Place]:
    """Every stage, with the layer that ends there."""
    layers = {placed.stage: position for position, placed in enumerate(network.placed_layers)}
    return [
        Place(f"stage {label(number, stage.name)}", layer=layers.get(number), stage=number)
        for number, stage in enumerate(network.stages)
    ]


def _domain_kind(named: NamedDomain) -> DomainKind:
    match named.domain:
        case None:
            return DomainKind.EVERYTHING
        case Box():
            return DomainKind.BOX
        case NonNegative():
            return DomainKind.NONNEGATIVE
        case _:
            raise AssertionError(f"a plan has no domain such as {named.name}")


def check_against(thresholds: Sequence[Threshold], plan: Plan, network: Network) -> None:
    """Check, before any work, that an audit will measure what thresholds are about.

    Raises:
        InputError: it will not.
    """
    check_thresholds(thresholds, places(plan, network), plan.samples)


def violations_of(results: Results, thresholds: Sequence[Threshold]) -> list[Violation]:
    """Every threshold that a finished audit fails, at every place where it does.

    Raises:
        InputError: a threshold is about what the audit did not measure.
        ResultsError: the audit is not finished, or damaged.
    """
    manifest, network = results.manifest(), results.subject().network
    require_complete(results)
    check_against(thresholds, manifest.plan, network)
    found = measured(results.findings(manifest), results.spectra_table(manifest), manifest.plan, network)
    up_to_layers = measured_of_network(read_network(results, manifest), manifest.plan, network)
    survey = measured_of_survey(results.survey_table(manifest), manifest.plan, network)
    return violations(thresholds, [*found, *up_to_layers, *survey])


def require_complete(results: Results) -> None:
    """Check that an audit is finished, so that shares and medians are those of all samples.

    Raises:
        ResultsError: it is not.
    """
    if not results.manifest().complete:
        path = str(results.folder)
        raise ResultsError(
            f"the audit in {path} is not finished; continue it with: fiberscope audit ... --resume", path=path
        )


def measured(findings: FindingsTable, spectra: Any, plan: Plan, network: Network) -> Iterator[Measured]:
    """Every quantity in every place.

    Args:
        findings: the findings of all layers and domains.
        spectra: a table of ``SPECTRA_SCHEMA``.
        plan: what was audited.
        network: the network.
    """
    for place in places(plan, network):
        if place.stage is not None:
            numbers = np.array(list(condition_numbers(spectra, place.stage).values()), dtype=np.float64)
            samples = len(nonzero_values(spectra, place.stage))
            yield Measured(Quantity.CONDITION, place, numbers, samples - len(numbers))
            radii = np.array(
                [r for r in _by_sample(spectra, place.stage, "stability_radius").values() if r is not None],
                dtype=np.float64,
            )
            yield Measured(Quantity.STABILITY_RADIUS, place, radii, samples - len(radii))
        elif place.layer is not None and place.at == "domain":
            yield from _of_group(findings.at(place.layer, place.domain_name, place.precision), place)


def measured_of_network(verdicts: Any, plan: Plan, network: Network) -> Iterator[Measured]:
    """The quantities of the network up to each layer, from its verdicts about samples."""
    layer = verdicts["layer"].to_numpy()
    said = texts(verdicts["verdict"])
    for place in places(plan, network):
        if place.at == "network":
            own = said[layer == place.layer]
            decided = own[own != Verdict.UNDECIDED]
            for quantity, verdict in _OF_VERDICT.items():
                yield Measured(quantity, place, (decided == verdict).astype(np.float64), len(own) - len(decided))


def measured_of_survey(survey: Any, plan: Plan, network: Network) -> Iterator[Measured]:
    """How far inputs reach, pair by pair of a sample and a target.

    Args:
        survey: a table of ``SURVEY_SCHEMA``.
        plan: what was audited.
        network: the network.
    """
    reached = reach_by_pair(survey, plan.precision)
    for place in places(plan, network):
        if place.at == "survey" and place.layer is not None:
            here = reached.get((place.layer, place.precision), {})
            values = np.array([value for value in here.values() if not np.isnan(value)], dtype=np.float64)
            unknown = plan.invariance - len({sample for (sample, _), value in here.items() if not np.isnan(value)})
            yield Measured(Quantity.REACH, place, values, unknown)


def reach_by_pair(survey: Any, precision: str) -> dict[tuple[int, str], dict[tuple[int, int], float]]:
    """By layer and what features may differ by, and then by sample and target, how far inputs reach.

    Args:
        survey: a table of ``SURVEY_SCHEMA``.
        precision: that of the audit.
    """
    found: dict[tuple[int, str], dict[tuple[int, int], float]] = {}
    for row in survey.to_pylist():
        if not row["reason"]:
            place = (row["layer"], reach_name(row["eps"], precision))
            found.setdefault(place, {})[row["sample"], row["target"]] = row["reached"]
    return found


def _of_group(group: FindingsTable, place: Place) -> Iterator[Measured]:
    """The quantities of one layer on one domain: what holds of decided samples may hold of undecided ones, too."""
    decided = group.kind != Kind.UNDECIDED
    undecided = int((~decided).sum())
    for quantity, kind in _OF_KIND.items():
        yield Measured(quantity, place, (group.kind[decided] == kind).astype(np.float64), undecided)
    yield Measured(Quantity.UNDECIDED, place, (~decided).astype(np.float64))
    proved = decided & (group.certificate != "")
    yield Measured(Quantity.UNPROVED, place, (~proved).astype(np.float64))
    dimension = group.dimension[group.has_dimension].astype(np.float64)
    unknown = (group.kind != Kind.EMPTY) & ~group.has_dimension
    yield Measured(Quantity.DIMENSION, place, dimension, int(unknown.sum()))
    yield Measured(Quantity.MARGIN, place, group.margin[decided], undecided)


def condition_numbers(spectra: Any, stage: int) -> dict[int, float]:
    """By sample, where the stage was not left out and some singular value is not zero."""
    numbers = _by_sample(spectra, stage, "condition_number")
    return {sample: number for sample, number in numbers.items() if number is not None and not np.isnan(number)}


def nonzero_values(spectra: Any, stage: int) -> dict[int, int | None]:
    """The number of singular values that are told from zero, by sample; None where the stage was left out."""
    return _by_sample(spectra, stage, "rank")


def _by_sample(spectra: Any, stage: int, column: str) -> dict[int, Any]:
    rows = spectra.filter(spectra["stage"].to_numpy() == stage)
    return dict(zip(rows["sample"].to_pylist(), rows[column].to_pylist(), strict=True))


# ---- of what features give away


def is_rebuilt(row: Leak, span: float) -> bool:
    """Whether the attack's root mean square error is at most half a step of the grey levels."""
    return bool(row.rebuilt_error <= span / (LEVELS - 1) / 2.0)


def leak_places(plan: Plan, network: Network) -> list[Place]:
    """Every layer at every precision."""
    return [_leak_place(layer, precision, network.layer_names) for layer in plan.layers for precision in plan.leakage]


def measured_of_leakage(rows: Sequence[Leak], names: Sequence[str], span: float) -> Iterator[Measured]:
    """Every quantity at each layer and precision.

    Args:
        rows: in order.
        names: what layers are called.
        span: the width of the domain.
    """
    for (layer, precision), group in groupby(rows, key=lambda row: (row.layer, row.precision)):
        here, place = list(group), _leak_place(layer, precision, names)
        ran = [row for row in here if row.rebuilt_error == row.rebuilt_error]
        radii = [row.radius if row.scope == Scope.DOMAIN else np.inf for row in here]
        for quantity, values in (
            (Quantity.RECOVERABLE, [float(row.recoverable) for row in here]),
            (Quantity.REBUILT, [float(is_rebuilt(row, span)) for row in ran]),
            (Quantity.BITS, [row.ambiguity_bits for row in here]),
            (Quantity.RADIUS, radii),
        ):
            yield Measured(quantity, place, np.array(values), len(here) - len(values))


def _leak_place(layer: int, precision: str, names: Sequence[str]) -> Place:
    words = f"layer {label(layer, names[layer])} at {precision}"
    return Place(words, layer=layer, precision=precision, at="network")


__all__ = [
    "check_against",
    "condition_numbers",
    "is_rebuilt",
    "measured",
    "measured_of_leakage",
    "measured_of_survey",
    "nonzero_values",
    "places",
    "reach_by_pair",
    "reach_label",
    "require_complete",
    "violations_of",
]
