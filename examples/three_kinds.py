"""Draw one preimage of each kind in the plane, from computed and proved verdicts.

python examples/three_kinds.py docs/three-kinds.svg
"""

from __future__ import annotations

import sys

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import fiberscope as fs

# Each panel: weights, biases, and the input (a dot) whose output's preimage is asked for.
PANELS = {
    "singleton": ([[2, 1], [-1, 1], [0.5, -1.2]], [0.5, 0.9, -0.6], [0.3, -0.2]),
    "bounded": ([[1, 0.3], [-1, 0.6], [0.2, -1], [-0.2, 1]], [-1.0, -0.9, -0.8, -1.1], [0.1, 0.0]),
    "unbounded": ([[1, 0.4], [-0.6, 1], [0.3, 1]], [-0.7, -0.9, -1.0], [0.1, -0.2]),
}
REACH = 2.0
COLOR = "#2563a8"


def main(path: str) -> None:
    """Draw the panels into one SVG file."""
    mpl.rcParams["svg.hashsalt"] = "fiberscope"  # the same picture gives the same file
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, len(PANELS))
    for ax, (name, (weight, bias, x)) in zip(axes, PANELS.items(), strict=True):
        preimage = fs.preimage(fs.ReLULayer(weight, bias), x=x)
        if preimage.kind != name or not fs.verify(preimage):
            raise SystemExit(f"expected a proved {name} preimage, got {preimage.kind}")
        draw(ax, preimage)
        ax.set_title(f"{preimage.kind}, dimension {preimage.dimension}, proved", fontsize=11)
    figure.savefig(path, metadata={"Date": None})


def draw(ax: Axes, preimage: fs.Preimage) -> None:
    """Shade the preimage, draw the hyperplanes of the neurons with their normals, and mark the input."""
    grid = np.linspace(-REACH, REACH, 400)
    X, Y = np.meshgrid(grid, grid)
    points = np.column_stack([X.ravel(), Y.ravel()])
    same = np.isclose(preimage.layer(points), preimage.layer(preimage.x), rtol=0, atol=1e-9).all(axis=1)
    ax.contourf(X, Y, same.reshape(X.shape).astype(float), levels=[0.5, 1.5], colors=[COLOR], alpha=0.25)
    for normal, offset in zip(preimage.layer.weight, preimage.layer.bias, strict=True):
        foot = -offset * normal / (normal @ normal)
        along = np.array([-normal[1], normal[0]]) / np.linalg.norm(normal)
        ends = np.array([foot - 5 * along, foot + 5 * along])
        active = normal @ preimage.x + offset > 0
        ax.plot(ends[:, 0], ends[:, 1], color="0.45", lw=1.0, ls="--" if active else "-")
        tip = 0.35 * normal / np.linalg.norm(normal)
        ax.annotate("", foot + tip, foot, arrowprops={"arrowstyle": "->", "color": "0.45"})
    ax.plot(*preimage.x, "o", color=COLOR, ms=7)
    ax.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal", xticks=[], yticks=[])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "three-kinds.svg")
