"""What newcomers type: each wrong call is one line that says what was expected, what came, and what to do.

The tests' own type checking would stop most of these calls first, so it is switched off.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.errors import shown

NOT_PLAIN = re.compile(
    r"np\.|numpy\.\w|torch\.Size|PosixPath|WindowsPath|tensor\(|array\(|<class|object at|<U\d|Traceback"
)
"""How Python shows what numpy, torch and pathlib hold; no message shows it so."""


def things() -> SimpleNamespace:
    """A network, layers, and what can be made of them, for the calls below."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    images = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)).eval()
    network = fs.from_torch(module)
    X = np.random.default_rng(0).random((5, 4))
    example = fs.invariance_example(network, X[0], target=X[1], domain=fs.Box(0, 1))
    return SimpleNamespace(
        module=module,
        images=images,
        network=network,
        layer=network.relu_layers[0],
        X=X,
        x=X[0],
        p=fs.preimage(network.relu_layers[0], x=X[0], domain=fs.Box(0, 1)),
        example=example,
        J=fs.linearize(network, X[0]),
        torch=torch,
        linear=nn.Linear(4, 6),
    )


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "load a module": (lambda t: fs.load(t.module), r"fiberscope\.from_torch"),
    "load weights": (lambda t: fs.load(t.module.state_dict()), "load_state_dict"),
    "load a network": (lambda t: fs.load(t.network), "pass it on as it is"),
    "load nothing": (lambda t: fs.load(None), "path of a model file"),
    "load an empty name": (lambda t: fs.load(""), "name a file"),
    "load a missing path": (lambda t: fs.load(Path("missing.onnx")), "nothing of that name; "),
    "load a folder": (lambda t: fs.load(Path(__file__).parent), "a folder; name a file"),
    "trust in a text": (lambda t: fs.load("m.onnx", trust="no"), "nothing of that name|True or False"),
    "from_torch of a path": (lambda t: fs.from_torch("m.pt"), r"fiberscope\.load\(path\)"),
    "a batch in the shape": (lambda t: fs.from_torch(t.images, (None, 1, 6, 6)), r"input_shape=\(1, 6, 6\)"),
    "a shape in quotes": (lambda t: fs.from_torch(t.module, "4"), "input_shape=4"),
    "a device that is not there": (lambda t: fs.linearize(t.network, t.x, device="cuda:99"), "'cpu'.*leave it out"),
    "a device of no name": (lambda t: fs.inverse_stability(t.network, t.x, device="gpu"), "device: expected"),
    "a device without numbers": (lambda t: fs.saturation(t.network, t.x, device="meta"), "device: expected"),
    "a stage in quotes": (lambda t: fs.linearize(t.network, t.x, "3"), "stage: expected a number from 0 to 2, got '3'"),
    "a stage beyond": (lambda t: fs.linearize(t.network, t.x, 99), "got 99"),
    "a stage between": (lambda t: fs.spectra(t.network, t.X, [1.5]), "got 1.5"),
    "a stage that is true": (lambda t: fs.saturation(t.network, t.x, True), "got True"),
    "stages in quotes": (lambda t: fs.spectra(t.network, t.X, "12"), "write it in brackets"),
    "a module for a network": (lambda t: fs.linearize(t.module, t.x), "network: .*from_torch"),
    "a path for a network": (lambda t: fs.spectra("m.onnx", t.X), r"network: .*fiberscope\.load"),
    "a layer for a network": (lambda t: fs.invariance_example(t.layer, t.x, t.x), "network that the layer belongs to"),
    "arguments in the wrong order": (lambda t: fs.walk_regions(t.x, t.network, t.x), "network: expected"),
    "verify a network": (lambda t: fs.verify(t.network), r"preimage\(network\.relu_layers\[0\]"),
    "verify an example": (lambda t: fs.verify(t.example), r"call its own verify\(\)"),
    "verify a classification": (lambda t: fs.verify(fs.classify(t.layer, t.X)), r"call its own verify\(\)"),
    "verify a cone's owner": (lambda t: fs.verify(fs.omnidirectional(t.layer.weight)), "verify its cone"),
    "verify several": (lambda t: fs.verify([t.p, t.p]), "one after the other"),
    "verify nothing": (lambda t: fs.verify(None), "verify: expected a preimage"),
    "verify exactly in a text": (lambda t: fs.verify(t.p, exact="no"), "True or False"),
    "bounds for a box": (lambda t: fs.preimage(t.layer, x=t.x, domain=(0, 1)), r"fiberscope\.Box\(0, 1\)"),
    "a list for a box": (lambda t: fs.classify(t.layer, t.X, [0, 1]), r"fiberscope\.Box\(0, 1\)"),
    "a text for a box": (lambda t: fs.preimage(t.layer, x=t.x, domain="-1,2"), r"fiberscope\.Box\(-1, 2\)"),
    "a list of domains": (lambda t: fs.preimage(t.layer, x=t.x, domain=[fs.NonNegative(), fs.Box(0, 1)]), "with &"),
    "a class of domains": (lambda t: fs.preimage(t.layer, x=t.x, domain=fs.Box), "pass an object"),
    "outside of the box": (lambda t: fs.preimage(t.layer, x=t.x, domain=fs.Box(0, 0.01)), r"got 0\.\d+ there"),
    "a network for a layer": (lambda t: fs.preimage(t.network, x=t.x), r"network\.relu_layers\[0\]"),
    "a position for a layer": (lambda t: fs.classify(0, t.X), r"network\.relu_layers\[0\]"),
    "all layers for a layer": (lambda t: fs.classify(t.network.relu_layers, t.X), r"network\.relu_layers\[0\]"),
    "a module's part for a layer": (
        lambda t: fs.preimage(t.linear, x=t.x),
        r"ReLULayer\(linear\.weight, linear\.bias\)",
    ),
    "many for one": (lambda t: fs.preimage(t.layer, x=t.X), "classify takes many"),
    "many outputs for one": (lambda t: fs.preimage(t.layer, y=np.zeros((1, 6))), r"\[0\]"),
    "text for numbers": (lambda t: fs.preimage(t.layer, x=["1", "2", "3", "4"]), "convert it to numbers"),
    "complex numbers": (lambda t: fs.preimage(t.layer, x=t.x + 1j), "take the real part"),
    "holes in numbers": (lambda t: fs.preimage(t.layer, x=[None, 1, 2, 3]), "holds None"),
    "numbers that are too long": (lambda t: fs.preimage(t.layer, x=[10**20] * 4), "beyond 64 bits"),
    "a list of tensors that learn": (
        lambda t: fs.preimage(t.layer, x=[t.torch.ones(2, requires_grad=True), t.torch.ones(3)]),
        "x: expected",
    ),
    "a count in quotes": (lambda t: t.p.sample("3", 0), "count=3"),
    "a seed below 0": (lambda t: t.p.sample(3, -1), "seed: expected a whole number, at least 0, got -1"),
    "a seed between": (lambda t: fs.singular_values(t.J, seed=1.5), "seed: "),
    "threads in quotes": (lambda t: fs.classify(t.layer, t.X, threads="2"), "threads: "),
    "progress that cannot be called": (lambda t: fs.classify(t.layer, t.X, progress=3), "expected a function"),
    "bytes in words": (lambda t: fs.spectra(t.network, t.X, max_bytes="1GB"), "max_bytes: expected a number"),
    "no method": (lambda t: fs.singular_values(t.J, None), "method: "),
    "a network for a matrix": (lambda t: fs.singular_values(t.network), r"fiberscope\.linearize"),
    "a tolerance in quotes": (lambda t: fs.extreme_singular_values(t.J, 1, tolerance="0.1"), "tolerance=0.1"),
    "a share that is none": (lambda t: fs.spectral_density(t.J).quantile("half"), "share: "),
    "a layer of a text": (lambda t: fs.invariance_example(t.network, t.x, t.x, "0"), "layer: .*got '0'"),
    "a layer that is true": (lambda t: fs.invariance_example(t.network, t.x, t.x, True), "layer: .*got True"),
    "a fraction in words": (
        lambda t: fs.invariance_example(
            t.network, t.x, t.X[1], domain=fs.Box(0, 1), objective="smallest_change_l1", fraction="half"
        ),
        "fraction: expected a number above 0 and at most 1",
    ),
    "a type for an arithmetic": (
        lambda t: fs.invariance_example(t.network, t.x, t.X[1], domain=fs.Box(0, 1), arithmetic=np.float32),
        "'float32' or 'float64', got the class float32",
    ),
    "an arithmetic of no name": (
        lambda t: fs.walk_regions(t.network, t.x, t.X[1], domain=fs.Box(0, 1), arithmetic="half"),
        "'float32' or 'float64'",
    ),
    "pixels of different lengths": (
        lambda t: fs.invariance_example(t.network, t.x, t.X[1], domain=fs.Box(0, 1), keep=[[1], [2, 3]]),
        "keep: expected",
    ),
    "no targets": (lambda t: fs.invariance_examples(t.network, t.x, None), "targets: expected a list"),
    "layers in quotes": (lambda t: fs.invariance_survey(t.network, t.X, layers="0"), "layers: expected a list"),
    "targets in quotes": (lambda t: fs.invariance_survey(t.network, t.X, targets="9"), "targets=9"),
    "regions in words": (lambda t: fs.walk_regions(t.network, t.x, t.x, max_regions="all"), "max_regions: "),
    "seconds that are none": (
        lambda t: fs.optimal_over_regions(t.network, t.x, t.x, domain=fs.Box(0, 1), seconds=np.nan),
        "seconds: expected a number above 0, got nan",
    ),
    "steps in quotes": (lambda t: t.example.path("5"), "steps=5"),
    "a window that is none": (lambda t: t.J.window("left"), "np.s_"),
    "a complex tensor": (lambda t: t.J @ t.torch.zeros(4, dtype=t.torch.complex64), "complex numbers"),
    "decisions in words": (lambda t: fs.visited_patterns(t.layer, t.X, "many"), "max_decisions: "),
    "a row in quotes": (lambda t: fs.correlation_bound(t.layer.weight, [0], "1"), "row: .*got '1'"),
    "a file of no name": (lambda t: t.network.save(None), r"path: .*\.safetensors"),
}


@pytest.fixture(name="given", scope="module")
def _given() -> SimpleNamespace:
    return things()


CHANGED: dict[str, dict[str, Any]] = {
    "p": {
        "layer": [None, "layer", fs.NonNegative()], "domain": [(0, 1), "box"], "x": [None, "x", np.zeros(9)],
        "kind": [None, "foo"], "dimension": ["2", 9], "dimension_bounds": [(9, 9), "no"], "certificate": [None],
    },
    "example": {
        "network": [None, "m.onnx"], "stage": ["0", 99, -1, None], "x": [None, "x", np.zeros(9), np.zeros((4,), "U1")],
        "source": [None], "domain": [(0, 1)], "kept": ["0", np.array([99])], "asked": ["best"], "objective": [5.0, "5"],
        "target": [None, "9"], "within": [-1.0, "float32"],
    },
}  # fmt: skip
"""What people put into a result, part by part, that it does not claim."""


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("what", "part"), [(what, part) for what, parts in CHANGED.items() for part in parts])
def test_a_changed_result_is_not_proved_and_says_why_in_words(given: SimpleNamespace, what: str, part: str) -> None:
    result = getattr(given, what)
    for value in CHANGED[what][part]:
        changed = replace(result, **{part: value})
        verification = fs.verify(changed) if what == "p" else changed.verify()
        assert not verification
        assert verification.reason
        for said in (verification.reason, repr(changed)):
            assert not NOT_PLAIN.search(said)
            assert not re.search(r"\w+Error|has no attribute", said)


def test_a_network_for_the_layer_of_a_claim_is_named(given: SimpleNamespace) -> None:
    reason = fs.verify(replace(given.p, layer=given.network)).reason
    assert reason == "the claim is malformed: its layer has no weights, it is a Network"


@pytest.mark.usefixtures("unchecked")
def test_numbers_of_stages_may_be_an_array(given: SimpleNamespace) -> None:
    assert fs.spectra(given.network, given.X, np.array([0, 2])) == fs.spectra(given.network, given.X, [0, 2])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", WRONG)
def test_every_wrong_call_is_one_line_that_says_what_to_do(given: SimpleNamespace, name: str) -> None:
    call, words = WRONG[name]
    with pytest.raises(fs.FiberscopeError) as caught:
        call(given)
    said = str(caught.value)
    if "np.s_" in words:  # there, numpy's name is what to write
        said, words = said.replace("np.s_", "s_"), "s_"
    assert "\n" not in said
    assert not NOT_PLAIN.search(said)
    assert re.search(words, said)


def test_one_sample_is_a_batch_of_one(given: SimpleNamespace) -> None:
    (alone,) = fs.classify(given.layer, given.x, fs.Box(0, 1))
    assert (alone.kind, alone.dimension) == (given.p.kind, given.p.dimension)
    images = fs.from_torch(given.images, (1, 6, 6))
    x = np.random.default_rng(1).random((1, 6, 6))
    for one in (x, x.ravel()):
        assert len(fs.classify(images.relu_layers[0], one)) == 1


def test_features_may_have_the_shape_of_an_image(given: SimpleNamespace) -> None:
    """The output as the module gives it is the output at x; a transposed one is refused, not judged as another."""
    layer = fs.from_torch(given.images, (1, 6, 6)).relu_layers[0]
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, (2, 4, 4)) * 0.0
    y[1, 2, 3] = 0.25
    assert layer.output_shape == (2, 4, 4)
    flat, image = fs.preimage(layer, y=y.ravel()), fs.preimage(layer, y=y)
    assert (image.kind, image.dimension) == (flat.kind, flat.dimension)
    assert image.positives == 1
    assert np.flatnonzero(image.y).tolist() == [1 * 16 + 2 * 4 + 3]
    with pytest.raises(fs.InputError, match=r"\(32,\) or \(2, 4, 4\), got shape \(4, 4, 2\)"):
        fs.preimage(layer, y=y.transpose(1, 2, 0))
    with pytest.raises(fs.InputError, match=r"such as the first, \[0\]"):
        fs.preimage(layer, y=y[None])


@pytest.mark.parametrize(("y", "unit"), [([0.0, -0.5, 0.0], 1), ([-1e-300, 0.0, 2.0], 0), ([0.0, -1.0, -2.0], 2)])
def test_negative_outputs_name_the_unit(y: list[float], unit: int) -> None:
    empty = fs.preimage(fs.ReLULayer(np.eye(3)), y=y)
    assert empty.kind == fs.Kind.EMPTY
    assert fs.verify(empty, exact=True)
    assert f"a ReLU gives no negative number, but y is {y[unit]} at unit {unit}" in empty.reason


def test_values_are_shown_as_python_has_them() -> None:
    import torch

    for value, words in (
        (np.float64(0.5), "0.5"),
        (np.int64(3), "3"),
        (np.bool_(True), "True"),
        (torch.Size([1, 2]), "(1, 2)"),
        ((np.float32(0.1), np.int8(2)), "(0.1, 2)"),
        (Path("a") / "b.npz", repr(str(Path("a") / "b.npz"))),
        (np.zeros((2, 3)), "an array of shape (2, 3)"),
        (torch.zeros(2, 3), "an array of shape (2, 3)"),
        (np.float32, "the class float32"),
        (fs.NonNegative(), "a NonNegative"),
        (slice(None, np.int64(3)), ":3"),
    ):
        assert shown(value) == words
    assert len(shown("x" * 10_000)) <= 124
    assert len(shown(list(range(10_000)))) <= 124


def test_errors_survive_the_way_from_one_process_to_another() -> None:
    for error in (
        fs.InputError("x", expected="a", got="b", hint="c"),
        fs.ModelError("m", unsupported=("Op",)),
        fs.ResultsError("r", path="p"),
        fs.NotASingleton("bounded", 2),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(fs.ModelError("first\n  second\n")) == "first second"


@pytest.mark.usefixtures("unchecked")
def test_parts_of_nothing_are_told_in_words_by_every_claim(given: SimpleNamespace) -> None:
    enclosure = given.p.enclosure()
    precision = fs.coarsest_precision(given.layer, given.x)
    for result, part in (
        (enclosure, "directions"),
        (enclosure, "multipliers"),
        (enclosure, "low"),
        (precision, "layer"),
    ):
        for value in (None, "a", np.zeros(9)):
            verification = replace(result, **{part: value}).verify()
            assert not verification
            assert not re.search(r"\w+Error|has no attribute|not enough values", verification.reason)
