"""Every public result shows itself: a short line without arrays, and a small, escaped, valid card."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.preimages.geometry import Recovered
from fiberscope.showing.shown import LONGEST, Shown

NAME = '<b title="x">&amp;</b>'
"""A name that is no HTML, given to whatever has one."""

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0.1, 0.9, size=(3, 6, 6))
A = RNG.normal(size=(8, 3))


@cache
def network() -> Network:
    rng = np.random.default_rng(1)
    stages = [
        affine_stage(NAME, Dense(rng.normal(size=(20, 36)) / 6, np.full(20, 0.5))),
        relu_stage("relu", 20),
        affine_stage("out", Dense(rng.normal(size=(4, 20)), None)),
    ]
    return Network(tuple(stages), (6, 6), notes=(NAME,))


@cache
def layer() -> fs.ReLULayer:
    return fs.ReLULayer(A, np.full(8, 0.1))


@cache
def small() -> fs.Preimage:
    return fs.preimage(layer(), x=np.array([0.5, 0.2, 0.1]), domain=fs.Box(0, 1))


@cache
def one_input() -> fs.Preimage:
    return fs.preimage(fs.ReLULayer(np.vstack([np.eye(3), -np.eye(3)])), x=np.ones(3))


def certificate_part(part: type) -> Any:
    zeros, rows = np.zeros(3), np.arange(3)
    parts: dict[type, Any] = {
        fs.Multipliers: fs.Multipliers(rows, zeros),
        fs.Direction: fs.Direction(rows, zeros, 0.5, rows),
        fs.Face: fs.Face(fs.Multipliers(rows, zeros), None),
        fs.Relations: fs.Relations(rows, rows, zeros),
        fs.Scaling: fs.Scaling(rows, rows),
    }
    return parts[part]


@cache
def example() -> fs.InvarianceExample:
    return fs.invariance_example(network(), IMAGES[0], IMAGES[1], domain=fs.Box(0, 1))


@cache
def coarsest() -> fs.CoarsestPrecisions:
    found = fs.coarsest_precision(layer(), RNG.uniform(size=(2, 3)))
    assert isinstance(found, fs.CoarsestPrecisions)
    return found


@cache
def audited() -> fs.AuditResults:
    return fs.audit(network(), (IMAGES, [0, 1, 2]), domain=(0, 1), progress=False)


RESULTS: dict[type, Callable[[], Any]] = {
    fs.AuditResults: audited,
    fs.AuditVerification: lambda: audited().verify(progress=False),
    fs.Comparison: lambda: audited().compare(audited()),
    fs.DataSet: lambda: fs.DataSet(NAME, IMAGES, np.arange(3), NAME, (NAME,) * 2),
    fs.Admissibility: lambda: fs.is_admissible(layer(), [0, 1]),
    fs.Box: lambda: fs.Box(np.zeros(784), 1),
    fs.Certificate: lambda: small().certificate,
    fs.Classification: lambda: fs.classify(network().relu_layers[0], IMAGES, fs.Box(0, 1)),
    fs.CoarsestPrecision: lambda: coarsest()[0],
    fs.CoarsestPrecisions: coarsest,
    fs.CorrelationBound: lambda: fs.correlation_bound(A, [0, 1, 2, 3], 5),
    fs.CorrelationCounts: lambda: fs.correlation_counts(A, [0, 1, 2, 3], [0.1, 1.0]),
    fs.Direction: lambda: certificate_part(fs.Direction),
    fs.Enclosure: lambda: small().enclosure(),
    fs.ExtremeValues: lambda: fs.extreme_singular_values(A, 2),
    fs.Face: lambda: certificate_part(fs.Face),
    fs.HalfSpaces: lambda: fs.HalfSpaces(A, np.ones(8)),
    fs.Injectivity: lambda: fs.injectivity(layer(), fs.Box(0, 1), seconds=2),
    fs.InputDirections: lambda: fs.inverse_stability(network(), IMAGES[0], 1).strongest,
    fs.InterlacingBound: lambda: fs.interlacing_bound(A, [0, 1, 2, 3]),
    fs.Interval: lambda: fs.Interval(np.zeros(100), np.inf),
    fs.InvarianceExample: example,
    fs.InverseModulus: lambda: fs.inverse_modulus(network(), IMAGES[0], 0.01, 1),
    fs.InverseStability: lambda: fs.inverse_stability(network(), IMAGES[0], 1),
    fs.Linearization: lambda: fs.linearize(network(), IMAGES[0]),
    fs.Multipliers: lambda: certificate_part(fs.Multipliers),
    fs.Network: network,
    fs.NonNegative: fs.NonNegative,
    fs.Omnidirectionality: lambda: fs.omnidirectional(A),
    fs.Optimum: lambda: fs.optimal_over_regions(network(), IMAGES[0], IMAGES[1], domain=fs.Box(0, 1)),
    fs.Precision: lambda: fs.Precision("int8", 0.01),
    fs.Preimage: lambda: fs.preimage(network().relu_layers[0], x=IMAGES[0]),
    fs.Rational: lambda: fs.Rational(tuple(range(1000)), 3**5000),
    fs.ReLULayer: layer,
    fs.Recovery: lambda: fs.recover(network(), network().relu_layers[0](IMAGES[:1])[0], 0),
    fs.RegionBoundary: lambda: fs.linearize(network(), IMAGES[0]).nearest_boundary,
    fs.Relations: lambda: certificate_part(fs.Relations),
    fs.Saturation: lambda: fs.saturation(network(), IMAGES)[0],
    fs.Scaling: lambda: certificate_part(fs.Scaling),
    fs.SpectralDensity: lambda: fs.spectral_density(A, probes=2, steps=3),
    fs.Spectrum: lambda: fs.singular_values(A),
    fs.StabilityRadius: lambda: fs.stability_radius(network(), IMAGES[0], 1),
    fs.UniqueSolution: lambda: fs.unique_solution(A, np.zeros(8), np.zeros(3)),
    fs.Verification: lambda: fs.verify(replace(small(), kind=fs.Kind.EMPTY)),
    fs.VisitedPatterns: lambda: fs.visited_patterns(fs.ReLULayer(A[:3]), RNG.normal(size=(5, 3))),
    fs.Walk: lambda: fs.walk_regions(network(), IMAGES[0], IMAGES[1], domain=fs.Box(0, 1), max_regions=3),
}


def changed(result: Any, name: str, value: Any) -> Any:
    """A copy that holds something else than its types say, past every check."""
    copied = copy(result)
    object.__setattr__(copied, name, value)
    return copied


FURTHER: dict[str, Callable[[], Any]] = {
    "an intersection": lambda: fs.Box(0, 1) & fs.HalfSpaces(A, np.ones(8)) & fs.NonNegative(),
    "a layer of a network": lambda: network().relu_layers[0],
    "a stage": lambda: network().stages[0],
    "an undecided preimage": lambda: replace(
        small(), kind=fs.Kind.UNDECIDED, dimension=None, dimension_bounds=(0, 3), reason=f"{NAME} " * 99
    ),
    "a malformed preimage": lambda: changed(small(), "layer", None),
    "a malformed recovery": lambda: changed(RESULTS[fs.Recovery](), "x", None),
    "a changed enclosure": lambda: replace(
        small().enclosure(), low=np.full(3, -np.inf), reached_low=np.full(3, np.nan)
    ),
    "no samples": lambda: fs.Classification((), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)),
}


def test_the_table_has_every_public_result():
    public = {getattr(fs, name) for name in fs.__all__}
    results = {each for each in public if inspect.isclass(each) and not issubclass(each, (Exception, str))}
    assert results == RESULTS.keys()


CASES = [*((each.__name__, make) for each, make in RESULTS.items()), *FURTHER.items()]


@pytest.mark.parametrize(("name", "make"), CASES, ids=[name for name, _ in CASES])
def test_a_result_shows_itself(name: str, make: Callable[[], Any]):
    result = make()
    assert isinstance(result, Shown)
    line = repr(result)
    assert line.startswith(f"{type(result).__name__}(")
    assert line.endswith(")")
    assert len(line) <= LONGEST
    for wrong in ("\n", "array", "tensor", "np.float64", "object at", "  "):
        assert wrong not in line
    assert ("malformed" in line) == ("malformed" in name)
    page = result._repr_html_()
    assert_valid(page)
    assert NAME not in page
    assert "array" not in page.replace("arrays", "")
    assert len(page) < 100_000


class Checked(HTMLParser):
    """Counts tags and sees that each is closed, in order; attributes have values; nothing comes from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        for attribute, value in attrs:
            assert value is not None, attribute
            assert attribute in ("class", "scope", "style", "alt", "src"), attribute
            assert attribute != "src" or value.startswith("data:image/png;base64,")
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def assert_valid(page: str) -> Checked:
    checked = Checked()
    checked.feed(page)
    checked.close()
    assert not checked.open
    assert checked.found[0] == "div"
    assert set(checked.found) <= {
        "div", "style", "strong", "span", "figure", "img", "figcaption", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    return checked


def test_the_check_of_html_can_fail():
    for wrong in ("<div><b></div>", "<div>", "<div><img src='http://x'></div>", "<div><script></script></div>"):
        with pytest.raises(AssertionError):
            assert_valid(wrong)


def test_names_from_outside_are_escaped_and_seen():
    page = network()._repr_html_()
    assert "&lt;b title=" in page
    assert "&amp;amp;" in page


def test_pictures_are_shown_of_pictures_alone():
    assert assert_valid(example()._repr_html_()).found.count("img") == 4  # the input, its like, the target, the change
    assert assert_valid(small()._repr_html_()).found.count("img") == 0
    stability = fs.inverse_stability(network(), IMAGES[0], 1, count=2)
    assert assert_valid(stability._repr_html_()).found.count("img") == 7


def test_the_kinds_of_many_samples_are_counted():
    found = RESULTS[fs.Classification]()
    kinds = found.kind.tolist()
    assert f"3 samples: {kinds.count(kinds[0])} {kinds[0]}" in repr(found)
    page = found._repr_html_()
    for kind in set(kinds):
        assert f"{kind}</th><td>{kinds.count(kind)}</td>" in page


def test_long_lines_end_in_dots():
    line = repr(FURTHER["an undecided preimage"]())
    assert len(line) == LONGEST or line.endswith(" ...)")
    assert line.endswith(" ...)")


def test_a_recovered_input_shows_no_numbers():
    recovered = one_input().recover()
    assert isinstance(recovered, Recovered)
    assert repr(recovered) == "Recovered(3 numbers, error at most 0)"


def test_a_line_says_what_is_known():
    assert repr(fs.Box(0, 1)) == "Box(0, 1)"
    assert repr(fs.Box(-np.inf, 0.1)) == "Box(-inf, 0.1)"
    assert repr(fs.Precision("float32")) == "Precision('float32')"
    assert repr(one_input()) == "Preimage(singleton, dimension 0 of 3)"
    assert repr(fs.verify(one_input())) == "Verification(proved, float)"
    assert repr(fs.NonNegative()) == "NonNegative()"
