"""What plots draw: the data of their artists are those of the results."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import fiberscope as fs
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.plots.intervals import intervals, uncertainty
from fiberscope.plots.kinds import kinds_by_positives
from fiberscope.plots.spectra import spectrum
from fiberscope.showing.colours import KINDS

IMAGES = np.random.default_rng(0).uniform(0.1, 0.9, size=(4, 6, 6))


@cache
def network() -> Network:
    rng = np.random.default_rng(1)
    first, second = Dense(rng.normal(size=(20, 36)) / 6, np.full(20, 0.5)), Dense(rng.normal(size=(8, 20)), None)
    stages = (affine_stage("dense", first), relu_stage("relu", 20), affine_stage("out", second))
    return Network(stages, (6, 6))


def axes() -> Any:
    return Figure().subplots()


def drawn_kinds(ax: Any) -> dict[str, float]:
    """By the colour of a bar the sum of their lengths, of upright and of lying bars."""
    total: Counter[str] = Counter()
    for bars in ax.containers:
        for bar in bars:
            total[to_hex(bar.get_facecolor())] += bar.get_height() if ax.get_ylabel() == "samples" else bar.get_width()
    return dict(total)


def test_kinds_are_counted_over_positives() -> None:
    positives = np.array([1, 1, 2, 5, 90, 91])
    kinds = np.array(["bounded", "singleton", "singleton", "unbounded", "singleton", "bounded"])
    ax = kinds_by_positives(positives, kinds, 12, axes())
    assert drawn_kinds(ax) == {KINDS["bounded"]: 2, KINDS["singleton"]: 3, KINDS["unbounded"]: 1}
    first = [bars[0] for bars in ax.containers]
    assert [bar.get_y() for bar in first] == [0, 2, 3], "stacked: two singletons, then the bounded one"
    assert [line.get_xdata()[0] for line in ax.lines] == [12]
    assert not kinds_by_positives(positives, kinds, 2000, axes()).lines, "far away"
    found = fs.classify(network().relu_layers[0], IMAGES, fs.Box(0, 1))
    assert drawn_kinds(found.plot(axes())) == {KINDS[kind]: n for kind, n in Counter(found.kind.tolist()).items()}


def test_kinds_by_layer_are_shares() -> None:
    found = fs.audit(network(), IMAGES, domain=(0, 1), progress=False)
    ax = found.plot(axes())
    rows = found.findings.to_pylist()
    places = list(dict.fromkeys((row["layer"], row["domain"]) for row in rows))
    assert [label.get_text() for label in ax.get_yticklabels()] == [f"layer {a}, {b}" for a, b in places]
    kinds = Counter(row["kind"] for row in rows)
    assert drawn_kinds(ax) == pytest.approx({KINDS[kind]: n / len(IMAGES) for kind, n in kinds.items()})


def test_a_spectrum_is_drawn_with_its_bounds() -> None:
    values, bounds = np.array([4.0, 2.0, 1e-9, 0.0]), np.array([0.5, 0.25, 1e-8, 1e-8])
    ax = spectrum(values, bounds, 1e-8, axes())
    assert ax.get_yscale() == "log"
    known, unknown = ax.lines
    assert known.get_xydata().tolist() == [[1, 4], [2, 2]]
    assert unknown.get_xydata().tolist() == [[3, 1e-9]]
    (band,) = ax.collections
    corners = {tuple(point) for point in band.get_paths()[0].vertices.tolist()}
    assert {(1.0, 3.5), (1.0, 4.5), (2.0, 1.75), (2.0, 2.25)} <= corners
    J = fs.linearize(network(), IMAGES[0])
    found = fs.singular_values(J)
    assert found.plot(axes()).lines[0].get_ydata().tolist() == found.values[: found.rank].tolist()
    assert "zero" in fs.singular_values(np.zeros((2, 2))).plot(axes()).texts[0].get_text()


@pytest.mark.parametrize("exponent", [-900, 900])
def test_a_spectrum_of_any_size_looks_the_same(exponent: int) -> None:
    values, bounds = np.array([4.0, 2.0, 1e-9]), np.array([0.5, 0.25, 1e-8])
    power = 2.0**exponent
    ax = spectrum(values * power, bounds * power, 1e-8 * power, axes())
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 1]
    assert (ax.lines[0].get_ydata() / power).tolist() == [4.0, 2.0]


def test_tables_of_spectra_are_drawn_over_the_stages() -> None:
    table = fs.spectra(network(), IMAGES)
    rows = table.to_pylist()
    ax = fs.plots.condition_numbers(table, axes())
    (median,) = ax.lines
    for stage, value in median.get_xydata().tolist():
        assert value == np.median([row["condition_number"] for row in rows if row["stage"] == stage])
    ax = fs.plots.decay(table, stages=[0, 2], ax=axes())
    assert [line.get_label() for line in ax.lines] == ["0 dense", "2 out"]
    values = np.median([row["values"] for row in rows if row["stage"] == 2], axis=0)
    assert ax.lines[1].get_ydata().tolist() == values[values > 0].tolist()
    with pytest.raises(fs.InputError, match="stages: expected some of 0, 1, 2, got 7"):
        fs.plots.decay(table, stages=[7])
    assert "no condition numbers" in fs.plots.condition_numbers(table.slice(0, 0), axes()).texts[0].get_text()


def test_leakage_is_drawn_layer_by_layer() -> None:
    columns = ("sample", "layer", "precision", "pixel_median", "radius")
    rows = [(0, 0, "float32", 1e-6, 1.0), (1, 0, "float32", 3e-6, 1.0), (0, 1, "float32", np.inf, 1.0),
            (0, 0, "int8", 0.1, 1.0), (0, 1, "int8", None, 1.0)]  # fmt: skip
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)})
    ax = fs.plots.leakage(table, ax=axes())
    assert [line.get_label() for line in ax.lines] == ["float32", "int8"]
    assert ax.lines[0].get_ydata()[0] == pytest.approx(2e-6)
    assert np.isnan(ax.lines[0].get_ydata()[1])
    assert ax.lines[1].get_ydata()[0] == 0.1
    assert ax.get_yscale() == "log"
    with pytest.raises(fs.InputError, match="column: expected one of pixel_median"):
        fs.plots.leakage(table, "kind")


def test_intervals_end_at_their_bounds_and_arrows_say_where_there_are_none() -> None:
    low, high = np.array([0.0, -np.inf, 0.5]), np.array([1.0, 1.0, np.inf])
    ax = intervals(low, high, (np.array([0.2, np.nan, 0.6]), np.array([0.4, np.nan, 0.7])), ax=axes())
    proved, attained = (collection.get_segments() for collection in ax.collections)
    assert proved[0].tolist() == [[0, 0], [0, 1]]
    assert attained[0].tolist() == [[0, 0.2], [0, 0.4]]
    below, above = ax.lines
    assert (below.get_xdata().tolist(), above.get_xdata().tolist()) == ([1], [2])
    assert below.get_ydata()[0] < 0
    assert above.get_ydata()[0] > 1
    assert "no bounds" in intervals(-np.full(2, np.inf), np.full(2, np.inf), ax=axes()).texts[0].get_text()


def test_an_enclosure_is_drawn_as_intervals_and_as_a_picture() -> None:
    found = fs.preimage(network().relu_layers[0], x=IMAGES[0], domain=fs.Box(0, 1)).enclosure(seconds=5)
    segments = found.plot(axes()).collections[0].get_segments()
    assert np.array([s[:, 1] for s in segments]) == pytest.approx(np.stack([found.low, found.high], axis=1))
    image = found.plot(axes(), picture=True).images[0].get_array()
    assert np.asarray(image) == pytest.approx((found.high - found.low).reshape(6, 6))
    some = fs.preimage(network().relu_layers[0], x=IMAGES[0], domain=fs.Box(0, 1)).enclosure(np.ones((1, 36)), 5)
    with pytest.raises(fs.InputError, match="an enclosure of all coordinates"):
        some.plot(picture=True)


def test_a_recovery_is_drawn_like_an_enclosure() -> None:
    found = fs.recover(network(), network().relu_layers[0](IMAGES[:1].reshape(1, -1))[0], 0, seconds=5)
    assert isinstance(found, fs.Recovery)
    ax = found.plot(axes())
    assert ax.lines[0].get_ydata().tolist() == found.x.ravel().tolist()
    image = found.plot(axes(), picture=True).images[0].get_array()
    assert np.asarray(image) == pytest.approx(found.high - found.low)


def test_of_colour_pictures_the_widest_channel_is_drawn() -> None:
    width = np.zeros((3, 2, 2))
    width[1, 0, 1], width[2, 1, 1] = 0.5, np.inf
    image = np.ma.asarray(uncertainty(width.ravel(), (3, 2, 2), axes()).images[0].get_array())
    assert image[0, 1] == 0.5
    assert image.filled(np.nan)[0, 0] == 0
    assert np.isnan(image.filled(np.nan)[1, 1])


def test_an_example_is_drawn_with_its_way() -> None:
    found = fs.invariance_example(network(), IMAGES[0], IMAGES[1], domain=fs.Box(0, 1))
    ax = found.plot(axes(), steps=4)
    captions = [text.get_text() for text in ax.texts]
    assert captions == [
        "the input",
        "33% of the way",
        "67% of the way",
        "the same features",
        "the target",
        "the change",
    ]
    assert len(ax.images) == 6
    stack = np.stack([*found.path(4), IMAGES[1]])
    scaled = np.round(255 * (stack - stack.min()) / (stack.max() - stack.min()))
    for image, pixels in zip(ax.images[:5], scaled, strict=True):
        assert np.asarray(image.get_array())[:, :, 0] == pytest.approx(pixels)
    optimum = fs.optimal_over_regions(network(), IMAGES[0], IMAGES[1], domain=fs.Box(0, 1))
    assert [text.get_text() for text in optimum.plot(axes()).texts] == ["the input", "the same features", "the change"]


def test_directions_are_drawn_as_pictures() -> None:
    found = fs.inverse_stability(network(), IMAGES[0], 1, count=2)
    assert len(found.plot(axes()).images) == 7
    ax = found.strongest.plot(axes())
    strongest = np.asarray(ax.images[0].get_array()).astype(int)
    vector = found.strongest.vectors[0]
    assert ((strongest[:, :, 0] > strongest[:, :, 2]) == (vector > 0)).mean() > 0.9, "red above 0, blue below"
    flat = fs.inverse_stability(Network(network().stages, (36,)), IMAGES[0].ravel(), 1)
    with pytest.raises(fs.InputError, match="grey or colour pictures"):
        flat.plot(axes())


def test_axes_are_made_where_none_are_given_and_nothing_else_is_taken() -> None:
    import matplotlib.pyplot as plt

    ax = fs.singular_values(np.eye(2)).plot()
    assert ax.figure is plt.gcf()
    plt.close(ax.figure)
    with pytest.raises(fs.InputError, match="ax: expected axes of matplotlib"):
        fs.singular_values(np.eye(2)).plot(3)  # type: ignore[arg-type]


@pytest.mark.exhaustive
def test_without_matplotlib_it_is_said_what_to_do() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = sys.modules['matplotlib.axes'] = None\n"
        "import fiberscope as fs, numpy as np\n"
        "try:\n    fs.singular_values(np.eye(2)).plot()\n"
        "except fs.FiberscopeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "plots need matplotlib; install it with: pip install matplotlib\n"
