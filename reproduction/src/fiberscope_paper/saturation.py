"""Activations that are injective, in place of ReLU: what their flat parts cost the inverse, from layer to layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from fiberscope.demo.training import torch_threads
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.readers.torch import from_torch
from fiberscope.stability.linearization import linearize
from fiberscope.stability.saturation import saturation as flatness
from fiberscope.stability.singular_values import singular_values
from fiberscope_paper.context import Context
from fiberscope_paper.control_training import LEARNING_RATE, Samples, accuracy, fitted, prepared
from fiberscope_paper.control_variants import WIDE
from fiberscope_paper.drawing import new_figure
from fiberscope_paper.outcome import Claim, Outcome
from fiberscope_paper.sources import UsedData

DEPTH = 4

COSTLY = 2.0
"""From what factor that slopes add to the condition number an inverse counts as less stable by saturation."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "leaky ReLU, 0.3": partial(nn.LeakyReLU, 0.3),
    "leaky ReLU, 0.1": partial(nn.LeakyReLU, 0.1),
    "leaky ReLU, 0.01": partial(nn.LeakyReLU, 0.01),
    "ELU": nn.ELU,
    "tanh": nn.Tanh,
}


@dataclass(frozen=True)
class Depth:
    """The map J from the input up to and with a layer, at some samples.

    Attributes:
        activation: of all layers.
        trained: whether the network is; otherwise it has its initial weights.
        accuracy: of the network, over all test samples.
        layer: number, from 1.
        injective: the share of samples where J has a rank of as many as there are inputs.
        condition_number: of J, median; infinite where it is not injective.
        of_weights: the condition number of the product of the weights, without slopes.
        flat: the share of units of the layer with a slope of at most 1% of the steepest, mean.
    """

    activation: str
    trained: bool
    accuracy: float
    layer: int
    injective: float
    condition_number: float
    of_weights: float
    flat: float

    @property
    def amplified(self) -> float:
        """What slopes add to the condition number of the weights, as a factor."""
        return self.condition_number / self.of_weights


def saturation(context: Context) -> Outcome:
    """Train deep networks with every activation, and measure how stable the inverse is behind every layer."""
    data, training, test = prepared(context, 2_000, 4_000)
    count = min(len(test.x), context.samples or context.at_scale(quick=8, paper=16))
    epochs = context.epochs or context.at_scale(quick=4, paper=20)
    found: list[Depth] = []
    with torch_threads(1):
        for number, name in enumerate(ACTIVATIONS, start=1):
            for passes in (0, epochs):
                module = fitted(_network(name, training, context.seed), training, passes, context.seed)
                found += _depths(name, module, passes > 0, test, count)
            context.progress("activations", number, len(ACTIVATIONS))
    title = f"Injective activations and the stability of the inverse, {data.where}"
    return Outcome(
        title,
        _caption(data, training, epochs, count, context),
        {"depths": [_facts(each) for each in found], "epochs": epochs, "training_samples": len(training.x)},
        claims(found),
        figure=_draw(found, title),
        numbers={name: [getattr(each, name) for each in found] for name in Depth.__annotations__},
        text=_table(found),
        data=data,
        samples=count,
    )


def _caption(data: UsedData, training: Samples, epochs: int, count: int, context: Context) -> str:
    inputs = training.x.shape[1]
    side = round(inputs**0.5)
    return (
        f"{DEPTH} layers of {round(WIDE * inputs)} units on pictures of {side} x {side} pixels, means of those of "
        f"{data.title}, and one number per class: trained with Adam, learning rate {LEARNING_RATE:g}, for {epochs} "
        f"epochs on {len(training.x):,} samples, seed {context.seed}. Medians over {count} test samples of the "
        f"condition number of the map from the input up to each layer (solid; not drawn where it is infinite), and of "
        f"the product of the weights, without slopes (dashed). Flat: units with a slope of at most 1% of the steepest."
    )


def _network(name: str, samples: Samples, seed: int) -> nn.Sequential:
    inputs, classes = samples.x.shape[1], int(samples.y.max()) + 1
    units = round(WIDE * inputs)
    parts: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for size in (inputs, *[units] * (DEPTH - 1)):
            parts += [nn.Linear(size, units), ACTIVATIONS[name]()]
        return nn.Sequential(*parts, nn.Linear(units, classes))


def _depths(name: str, module: nn.Sequential, trained: bool, test: Samples, count: int) -> list[Depth]:
    network, right = from_torch(module), accuracy(module, test)
    X = test.x[:count].double().numpy()
    flat = flatness(network, X)
    product, found = np.eye(network.inputs), list[Depth]()
    for layer in range(DEPTH):
        product = module[2 * layer].get_parameter("weight").detach().double().numpy() @ product
        conditions = np.array([_condition(network, x, 2 * layer + 1) for x in X])
        injective = float(np.isfinite(conditions).mean())
        sigma = np.linalg.svd(product, compute_uv=False)
        share = float(flat[layer].saturated.mean())
        found.append(Depth(name, trained, right, layer + 1, injective, float(np.median(conditions)),
                           float(sigma[0] / sigma[-1]), share))  # fmt: skip
    return found


def _condition(network: Network, x: FloatArray, stage: int) -> float:
    spectrum = singular_values(linearize(network, x, stage=stage))
    return spectrum.condition_number if spectrum.rank == network.inputs else inf


def claims(found: Sequence[Depth]) -> tuple[Claim, ...]:
    """What section 4 of the paper says of them, about trained networks."""
    trained = [each for each in found if each.trained and each.activation != "ReLU"]
    relu = next(each for each in found if each.trained and each.activation == "ReLU")
    first, last = ([each for each in trained if each.layer == layer] for layer in (1, DEPTH))
    injective = all(each.injective == 1.0 for each in trained)
    lost = min(last, key=lambda each: each.injective)
    return (
        Claim(
            "injective activation functions (tanh, leaky ReLU, ELU) remove the discussed preimages",
            "behind the last layer, samples at which the map is injective: "
            + ", ".join(f"{each.activation} {each.injective:.0%}" for each in last),
            injective,
            "" if injective else f"to rounding, the rank is lost with {lost.activation}",
        ),
        _unstable("behind the first layer", first, relu.condition_number),
        _unstable(f"behind layer {DEPTH}", last, None),
    )


def _unstable(where: str, part: Sequence[Depth], relu: float | None) -> Claim:
    few = [each.activation for each in part if each.amplified < COSTLY]
    beside = "" if relu is None else f"; ReLU {relu:.3g}"
    return Claim(
        f"they immediately transfer to an instable inverse due to saturation: {where}",
        "condition numbers "
        + ", ".join(f"{e.activation} {e.condition_number:.3g} ({e.amplified:.2g} times that of the weights, "
                    f"{e.flat:.0%} flat)" for e in part) + beside,
        not few,
        "" if not few else f"slopes add less than a factor of {COSTLY:g} with {', '.join(few)}",
    )  # fmt: skip


_COLUMNS = ("layer", "injective", "condition number", "of the weights alone", "factor", "flat units")


def _table(found: Sequence[Depth]) -> str:
    parts: list[str] = []
    for trained, title in ((False, "Initial weights"), (True, "Trained")):
        lines = [f"## {title}", "", f"| {' | '.join(('activation', 'accuracy', *_COLUMNS))} |", "|" + " --- |" * 8]
        for e in (each for each in found if each.trained is trained):
            numbers = f"{e.condition_number:.3g} | {e.of_weights:.3g} | {e.amplified:.2g}"
            lines.append(
                f"| {e.activation} | {e.accuracy:.3f} | {e.layer} | {e.injective:.0%} | {numbers} | {e.flat:.0%} |"
            )
        parts.append("\n".join([*lines, ""]))
    return "\n".join(parts)


def _facts(each: Depth) -> dict[str, Any]:
    """As JSON data, which has no infinite numbers."""
    numbers = {**asdict(each), "amplified": each.amplified}
    return {k: v if not isinstance(v, float) or np.isfinite(v) else str(v) for k, v in numbers.items()}


def _draw(found: Sequence[Depth], title: str) -> Figure:
    figure, axes = new_figure(9.0, 3.4, title, columns=2)
    for place, trained in zip(axes, (False, True), strict=True):
        for number, name in enumerate(ACTIVATIONS):
            part = [each for each in found if each.activation == name and each.trained is trained]
            layers, colour = [each.layer for each in part], f"C{number}"
            finite = [each.condition_number if each.condition_number < inf else np.nan for each in part]
            place.semilogy(layers, finite, color=colour, marker=".", label=name)
            place.semilogy(layers, [each.of_weights for each in part], color=colour, linestyle="--", linewidth=0.7)
        place.set_xticks(range(1, DEPTH + 1))
        place.set_xlabel("layer", fontsize=8)
        place.set_ylabel("condition number", fontsize=8)
        place.set_title("trained" if trained else "initial weights")
    axes[0].legend(fontsize=6)
    return figure


__all__ = ["Depth", "claims", "saturation"]
