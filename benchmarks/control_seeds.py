"""Ten seeds of what training controls: each penalty at its usual weight against the network trained without one.

    python benchmarks/control_seeds.py [--data fashion-mnist] [--seeds 10] [--only NAME] [--smoke]

The layers, data and measurements of ``fiberscope reproduce control`` at quick scale: pictures of 7 x 7 pixels, 61 units
or 39. Of every seed, the network with the penalty and its twin begin with the same weights and see the same batches in
the same order. Shown are the median, the smallest and the largest over the seeds of the accuracy, of its difference
from the twin's in points, of the share of samples that are alone with their features in the box (proved), of the
condition number, and of the error of what an attack rebuilds; and with how many of the seeds the layer is easier to
invert than the twin, and harder (as the table of the experiment says it).
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from fiberscope.demo.training import torch_threads
from fiberscope_paper.context import Context
from fiberscope_paper.control_claims import effect
from fiberscope_paper.control_measuring import Measured, measured
from fiberscope_paper.control_training import prepared, train
from fiberscope_paper.control_variants import NARROW, WIDE, Variant, variants

QUICK = {"training": 2_000, "epochs": 4, "count": 16, "few": 4}

SMOKE = {"training": 400, "epochs": 1, "count": 2, "few": 1}


def main() -> None:
    """Print a line per penalty and width."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist-5k")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", action="append", default=[], help="lines that begin so")
    parser.add_argument("--smoke", action="store_true", help="two seeds of one penalty, with little training")
    options = parser.parse_args()
    seeds, size = (2, SMOKE) if options.smoke else (options.seeds, QUICK)
    for width in (WIDE, NARROW):
        tried = [v for v in variants((1.0,)) if v.width == width and v.wish != "architecture"]
        if options.only and not any(title(v).startswith(tuple(options.only)) for v in tried):
            continue
        twins = [run(tried[0], options.data, seed, size) for seed in range(seeds)]
        print(line(twins, twins), flush=True)
        asked = [v for v in tried[1:] if not options.only or title(v).startswith(tuple(options.only))]
        for variant in asked[:1] if options.smoke else asked:
            print(line([run(variant, options.data, seed, size) for seed in range(seeds)], twins), flush=True)


def run(variant: Variant, data: str, seed: int, size: dict[str, int]) -> Measured:
    """Train and measure with one seed."""
    context = Context(Path(), data=data, seed=seed)
    _, training, test = prepared(context, size["training"], size["training"])
    with torch_threads(1):
        module = train(variant, training, int(training.y.max()) + 1, size["epochs"], seed)
        return measured(variant, module, test, size["count"], size["few"])


def line(found: list[Measured], twins: list[Measured]) -> str:
    """Over seeds."""
    variant = found[0].variant
    told = [effect(each, twin) for each, twin in zip(found, twins, strict=True)]
    parts = [
        title(variant),
        f"accuracy {spread([each.accuracy for each in found])}",
        f"points {spread([100 * (a.accuracy - b.accuracy) for a, b in zip(found, twins, strict=True)])}",
        f"singletons {spread([each.singletons for each in found])}",
        f"condition number {spread([each.condition_number for each in found])}",
        f"rebuilt {spread([each.rebuilt for each in found])}",
        f"easier {sum(each.startswith('yes') for each in told)}, harder {sum('harder' in each for each in told)}",
        f"unproved {sum(each.unproved + each.undecided for each in found)}",
    ]
    return "; ".join(parts)


def title(variant: Variant) -> str:
    return f"{variant.width:g} units per input, {variant.label}"


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


if __name__ == "__main__":
    main()
