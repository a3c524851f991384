"""The atlas as a page: what was measured of public networks, in tables and one picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

COLORS = {
    "singleton": "#0072b2",
    "bounded": "#56b4e9",
    "unbounded": "#d55e00",
    "undecided": "#bbbbbb",
    "recoverable": "#0072b2",
    "not recoverable": "#d55e00",
}
"""Told apart by everybody (Okabe & Ito)."""

PAGE = """# Atlas

What fiberscope says of public networks from the benchmarks of VNN-COMP, the competition of verifiers. Written by
`python tools/atlas.py page` from the results of `python tools/atlas.py measure`, which names the repository, path and
SHA-256 of every network; do not edit it. Nothing of the networks is kept here but what was measured.

Samples are real where there are real ones: digits of MNIST, and 83 test images of CIFAR-10. For the other networks they
are drawn uniformly from a box, which may not be what the network sees in use; their rows say so. Eight samples are
judged, for two seconds each at every layer; three have their singular values and stability radii computed; and each
question about a network has some minutes, on cores that were busy with other work. So numbers are medians of few, and
"undecided" and "no answer in ..." say that the time was over.

{networks} networks, {layers} layers, {asked:,} verdicts about preimages, of which {proved:,} are proved.

![Kinds, condition numbers and stability radii across networks]({picture})

## Networks

{sizes}
## Layers by themselves

Each layer as a map of its own input: the first within the box of inputs, later ones where inputs are not negative.
s: singleton, b: bounded, u: unbounded, ?: undecided.

{kinds}
## Inverse stability

Condition number of the local linear map up to each ReLU, with the number of nonzero singular values. The radius: on the
ball around a sample, features of the first ReLU tell all inputs apart, proved; it is 0 where fewer outputs than inputs
are on. The region is the distance to the end of the linear region.

{stability}
## The network up to each layer

Whether the network's own input can be computed back exactly, among all inputs of the box: r recoverable,
n not recoverable, ? undecided. Reach: how far an input with the same features goes towards another sample, within a
linear region; 1 is all the way.

{verdicts}
## Leakage at 8 bits

Digits have 256 grey levels, so that features can be asked what they give away. Rebuilt: the root mean square error of
an attack that sees 8-bit features of the layer; width: the proved interval of a pixel, median. Ten seconds a row.

{leaks}
## Where they come from

{sources}
The command for one of them, with a clone of its repository:

    python tools/atlas.py measure --from vnncomp2022_benchmarks --only mnist-256x2
"""


def write_page(entries: Sequence[Any], results: Path, page: Path, picture: str) -> None:
    """The page and its picture, from all results that are there."""
    measured = read(entries, results)
    page.write_text(text(entries, measured, f"atlas/{picture}"), encoding="utf-8")
    draw(measured, results / picture)


def read(entries: Iterable[Any], results: Path) -> list[dict[str, Any]]:
    """What was measured, in the order of the entries."""
    paths = [results / f"{entry.name}.json" for entry in entries]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def text(entries: Sequence[Any], measured: Sequence[dict[str, Any]], picture: str) -> str:
    """The page in markdown."""
    of = {entry.name: entry for entry in entries}
    verdicts = [row for each in measured for row in rows(each, "kinds")]
    return PAGE.format(
        networks=len(measured),
        layers=sum(len(each["shape"]["outputs"]) for each in measured),
        asked=sum(sum(row["free"].values()) + sum(row["domain"].values()) for row in verdicts),
        proved=sum(row["proved"] for row in verdicts),
        picture=picture,
        sizes=table(
            ["network", "inputs", "units of its layers", "samples", "classified correctly"],
            [[e["name"], *sizes_of(e), samples_of(of[e["name"]]), accuracy_of(e)] for e in measured],
        ),
        kinds=table(["network", "kinds, layer by layer"], [[e["name"], kinds_of(e)] for e in measured]),
        stability=table(
            ["network", "condition number (rank), ReLU by ReLU", "radius", "region", "ratio"],
            [[e["name"], conditions_of(e), *radius_of(e)] for e in measured],
        ),
        verdicts=table(
            ["network", "verdicts, layer by layer", "reach, layer by layer"],
            [[e["name"], network_of(e), reach_of(e)] for e in measured],
        ),
        leaks=table(
            ["network", "rebuilt, layer by layer", "width"], [[e["name"], *leaks_of(e)] for e in measured if e["leaks"]]
        ),
        sources=table(
            ["network", "repository", "path", "SHA-256 of the ONNX file begins"],
            [[e["name"], *source_of(of[e["name"]])] for e in measured],
        ),
    )


def table(head: Sequence[str], body: Iterable[Sequence[Any]]) -> str:
    """A table in markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def rows(each: dict[str, Any], question: str) -> list[dict[str, Any]]:
    """The rows of an answer, of layers that have one; none where there is a reason instead."""
    answer = each[question]
    return [row for row in answer if "reason" not in row] if isinstance(answer, list) else []


def sizes_of(each: dict[str, Any]) -> tuple[str, str]:
    """Inputs, and the units of every layer."""
    return f"{each['shape']['inputs']:,}", ", ".join(f"{outputs:,}" for outputs in each["shape"]["outputs"])


def source_of(entry: Any) -> tuple[str, str, str]:
    """Where a network comes from."""
    return f"[{entry.repository}](https://github.com/{entry.repository})", f"`{entry.path}`", f"`{entry.sha256[:16]}`"


def samples_of(entry: Any) -> str:
    """Which samples a network was asked about."""
    if entry.samples == "uniform":
        return f"uniform in [{entry.box[0]:g}, {entry.box[1]:g}]"
    return {"mnist": "MNIST", "cifar10": "CIFAR-10"}[entry.samples]


def accuracy_of(each: dict[str, Any]) -> str:
    """The share of samples that are classified correctly, of how many."""
    value = each["shape"]["accuracy"]
    return "" if value is None else f"{value:.1%} of {each['shape']['tested']}"


def number(value: float | None) -> str:
    """A number with two digits."""
    return "?" if value is None else f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def listed(each: dict[str, Any], question: str, cell: Callable[[dict[str, Any]], str]) -> str:
    """The cells of all layers one after the other, or why there are none."""
    answer = each[question]
    return " · ".join(row.get("reason") or cell(row) for row in ([answer] if isinstance(answer, dict) else answer))


def marks(counts: dict[str, int], letters: dict[str, str]) -> str:
    """Counts by letters: 6u 2b."""
    return " ".join(f"{counts[word]}{letter}" for word, letter in letters.items() if counts.get(word))


def kinds_of(each: dict[str, Any]) -> str:
    """The kinds in every layer."""
    letters = {"singleton": "s", "bounded": "b", "unbounded": "u", "undecided": "?"}
    return listed(each, "kinds", lambda row: marks(row["domain"], letters))


def network_of(each: dict[str, Any]) -> str:
    """The verdicts about the network."""
    letters = {"recoverable": "r", "not recoverable": "n", "undecided": "?"}
    return listed(each, "network", lambda row: marks(row, letters))


def conditions_of(each: dict[str, Any]) -> str:
    """Condition numbers with ranks."""
    return listed(each, "conditions", lambda row: f"{number(row['condition'])} ({number(row['rank'])})")


def radius_of(each: dict[str, Any]) -> tuple[str, str, str]:
    """The stability radius, the region's distance, and their ratio."""
    found = each["radius"]
    if found.get("radius") is None or found.get("region") is None:
        return "not proved", "", ""
    ratio = found["radius"] / found["region"] if found["region"] else 0.0
    return number(found["radius"]), number(found["region"]), number(ratio) if ratio else ""


def reach_of(each: dict[str, Any]) -> str:
    """How far examples go."""
    return listed(each, "reach", lambda row: number(row["reached"]))


def leaks_of(each: dict[str, Any]) -> tuple[str, str]:
    """What is rebuilt, and what is proved."""
    rebuilt, width = (listed(each, "leaks", lambda row, name=name: number(row[name])) for name in ("rebuilt", "width"))
    return rebuilt, width


def draw(measured: Sequence[dict[str, Any]], path: Path) -> None:
    """Kinds of all layers, condition numbers over depth, radii against regions."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "fiberscope"  # the same results give the same file
    figure = Figure(figsize=(9, 0.3 * len(measured) + 1.2), layout="constrained")
    axes = figure.subplot_mosaic([["kinds", "conditions"], ["kinds", "radii"]])
    draw_kinds(axes["kinds"], measured)
    draw_conditions(axes["conditions"], measured)
    draw_radii(axes["radii"], measured)
    handles, labels = axes["kinds"].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False)
    figure.savefig(path, metadata={"Date": None})


def draw_kinds(ax: Any, measured: Sequence[dict[str, Any]]) -> None:
    """A bar for each network: what share of all verdicts is of each kind."""
    for place, each in enumerate(measured):
        counts = [row["domain"] for row in rows(each, "kinds")]
        total, start = sum(sum(row.values()) for row in counts) or 1, 0.0
        for kind in ("singleton", "bounded", "unbounded", "undecided"):
            width = sum(row.get(kind, 0) for row in counts) / total
            ax.barh(place, width, left=start, color=COLORS[kind], label=kind if place == 0 else None)
            start += width
    ax.set_yticks(range(len(measured)), [each["name"] for each in measured])
    ax.invert_yaxis()
    ax.set(title="kinds, all layers", xlabel="share of verdicts", xlim=(0, 1))


def draw_conditions(ax: Any, measured: Sequence[dict[str, Any]]) -> None:
    """A line for each network: the condition number from ReLU to ReLU."""
    for each in measured:
        found = [row["condition"] for row in rows(each, "conditions") if row["condition"]]
        ax.semilogy(range(1, len(found) + 1), found, marker="o", markersize=3, linewidth=1, color="#0072b2", alpha=0.6)
    ax.set(title="condition number", xlabel="ReLU, counted from the input")


def draw_radii(ax: Any, measured: Sequence[dict[str, Any]]) -> None:
    """A point for each network whose features tell inputs apart on a ball."""
    for each in measured:
        radius, region = each["radius"].get("radius"), each["radius"].get("region")
        if radius and region:
            ax.loglog(region, radius, "o", color="#d55e00", markersize=4)
            ax.annotate(each["name"], (region, radius), fontsize=6, xytext=(4, 0), textcoords="offset points")
    ends = ax.get_xlim()
    ax.loglog(ends, ends, color="#888888", linewidth=0.8)
    ax.set(title="proved radius against region", xlabel="distance to the end of the region", ylabel="radius")
