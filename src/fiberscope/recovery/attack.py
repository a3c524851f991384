"""The attack: an input whose features are as near to given ones as a descent finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from fiberscope.errors import InputError, shown
from fiberscope.network.activations import Pointwise
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Domain, Polyhedron, as_polyhedron
from fiberscope.network.monotone import Monotone
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense
from fiberscope.preimages.sides import check_loose
from fiberscope.recovery.box_steps import is_written_out
from fiberscope.recovery.least_squares import fit
from fiberscope.recovery.linearized import AffineModel, Model, NetworkModel
from fiberscope.recovery.question import Subject
from fiberscope.recovery.reach import reach
from fiberscope.recovery.starts import Start, layer_by_layer, middle, sides, uniform
from fiberscope.recovery.targets import Targets
from fiberscope.scalars import as_count

STARTS = (Start.GREY, Start.LAYERS, Start.RANDOM, Start.RANDOM)
"""One after the other, until the features are met."""

MET = 2.0**-20
"""Residuals of that share of the features' length are what float32 leaves: another start would not come nearer.

So are residuals of the half widths of intervals. A descent goes on below both all the same: stopped there, what it
finds from 8-bit features is up to twice as far from the input.
"""


INSIDE = 2.0**-7
"""The share of an interval's half width by which its inside is asked for, beyond what rounding could decide."""


@dataclass(frozen=True, eq=False, repr=False)
class Guess:
    """Inputs that have nearly the features that were asked for: guesses, of which nothing is proved.

    Attributes:
        x: (N, n) the inputs.
        residual: (N,) the largest distance of an output from the interval that is known of it, in its unit.
        steps: (N,) linearizations, of all starts together.
        start: (N,) where the descent began that ended at x.
    """

    x: Float64[FloatArray, "N n"]
    residual: Float64[FloatArray, " N"]
    steps: Int64[IntArray, " N"]
    start: tuple[Start, ...]

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        worst = float(self.residual.max())
        return f"Guess({len(self)} inputs, residual at most {worst:.2g}, {int(self.steps.sum())} steps)"


def attack(
    network: Network,
    layer: int,
    features: Float64[FloatArray, "N m"],
    domain: Domain | None = None,
    *,
    within: Float64[FloatArray, " m"] | float = 0.0,
    starts: Sequence[str] = STARTS,
    seconds: float | None = None,
    seed: int = 0,
) -> Guess:
    """Minimise the distance of a layer's output from given features over the box of a domain.

    ``min 1/2 |z(x) - y|^2`` over the units of which y tells the number z before the activation, plus the squares of
    what lies beyond the sides of the others: an inactive unit asks for z <= 0, a saturated one for z >= the clip's end.

    Args:
        network: the network.
        layer: the number of the ReLU layer whose outputs the features are.
        features: (N, m) outputs of N inputs.
        domain: where inputs lie; its half-spaces are not looked at. None for all of R^n.
        within: by how much outputs may differ from the features, a number or (m,).
        starts: the names of where descents begin, one after the other until the features are met; the best is kept.
        seconds: when to stop, for all samples together; None for no limit.
        seed: of random starts.

    Returns:
        The guesses.

    Raises:
        InputError: there is no such layer, no start, or the domain has another dimension.
    """
    until = inf if seconds is None else perf_counter() + seconds
    if not starts:
        raise InputError("starts", expected="at least one", got="none", hint=f"such as {shown(tuple(STARTS))}")
    slack = np.array(np.broadcast_to(within, features.shape[1:]), dtype=np.float64)
    search = _Search(Subject.of(network, layer), features, domain, slack)
    return search.run(tuple(Start(start) for start in starts), until, as_count(seed, "seed", 0))


def guesses(
    subject: Subject,
    features: Float64[FloatArray, "N m"],
    domain: Domain | None,
    within: Float64[FloatArray, "*N m"],
    until: float,
) -> tuple[Guess, Bool[BoolArray, " N"]]:
    """The same for a subject, with the usual starts, until a time on the clock of ``perf_counter``.

    Returns:
        The guesses, and which features are met by a point near them: of a layer that is one affine map of the input,
        where what is asked is convex, that is to say whether any input has them.
    """
    search = _Search(subject, features, domain, within)
    guess = search.run(STARTS, until, 0)
    return guess, guess.residual == 0 if subject.single is None else search.met_near(guess, until)


class _Search:
    """Descents from one start after the other, for the samples whose features are not met yet."""

    def __init__(self, subject: Subject, features: FloatArray, domain: Domain | None, within: FloatArray) -> None:
        self.subject = subject
        box = as_polyhedron(domain, subject.inputs)
        self.low, self.high = torch.tensor(box.low), torch.tensor(box.high)
        y, self.slack = torch.tensor(features), torch.tensor(within)
        self.outputs = Targets(y - self.slack, y + self.slack)
        self.model, self.targets, self.whole = _models(subject, self.outputs, box)
        # beyond rounding: of a unit with one side as far as the precision goes
        self.room = torch.where(self.targets.two_sided, self.targets.half_widths, self.slack) * INSIDE
        self.met = torch.maximum(self.targets.left_open, MET * MET * y.square().sum(dim=1)) / 2

    def run(self, starts: tuple[Start, ...], until: float, seed: int) -> Guess:
        """Descend from each start in turn."""
        N, generator = len(self.met), np.random.default_rng(seed)
        objective, steps = torch.full((N,), inf, dtype=torch.float64), torch.zeros(N, dtype=torch.int64)
        x, chosen = torch.zeros(N, self.subject.inputs, dtype=torch.float64), [starts[0]] * N
        for start in starts:
            left = torch.nonzero(objective > self.met)[:, 0]
            if not len(left) or (perf_counter() > until and bool(torch.isfinite(objective).all())):
                break
            first = self._first(start, left, until, generator)
            if first is None:
                continue
            found = fit(self.model, self.targets[left], first, self.low, self.high, until)
            steps[left] += found.steps
            better = found.objective < objective[left]
            x[left[better]], objective[left[better]] = found.x[better], found.objective[better]
            won = set(map(int, left[better]))
            chosen = [start if k in won else before for k, before in enumerate(chosen)]
        residual = self.outputs.distance(self.whole(x))
        return Guess(x.numpy(), residual.numpy(), steps.numpy(), tuple(chosen))

    def met_near(self, guess: Guess, until: float) -> Bool[BoolArray, " N"]:
        """Whether there is a point near each guess whose outputs lie in all intervals, as float64 computes them."""
        x, meets = torch.tensor(guess.x), torch.tensor(guess.residual == 0)
        outside = torch.nonzero(~meets)[:, 0]
        if len(outside) and perf_counter() < until:
            near = self.inside(outside, x[outside], until)
            meets[outside] = self.outputs[outside].distance(self.whole(near)) == 0
        return meets.numpy()

    def inside(self, samples: Tensor, start: Tensor, until: float) -> Tensor:
        """Where descents end that only ask outputs to lie in their intervals."""
        low, high, room = self.targets.low[samples], self.targets.high[samples], self.room[samples]
        within = Targets(low + room, high - room, centered=False)
        return fit(self.model, within, start, self.low, self.high, until).x

    def _first(self, start: Start, left: Tensor, until: float, generator: np.random.Generator) -> Tensor | None:
        grey = middle(self.low, self.high)
        match start:
            case Start.GREY:
                return grey.expand(len(left), -1)
            case Start.RANDOM:
                return uniform(self.low, self.high, len(left), generator)
            case Start.LAYERS:
                network, position = self.subject.network, self.subject.layer
                if network is None or position == 0:
                    return None
                return layer_by_layer(network, position, self.targets[left], grey, until)


class Inside:
    """Inputs whose outputs lie in what is known of those of one sample.

    Args:
        subject: the layer.
        y: (m,) its features.
        domain: where inputs lie.
        within: (m,) by how much outputs may differ from y.
    """

    def __init__(
        self, subject: Subject, y: Float64[FloatArray, " m"], domain: Domain | None, within: Float64[FloatArray, " m"]
    ) -> None:
        self._search = _Search(subject, y[None], domain, within[None])

    def jacobian(self, x: Float64[FloatArray, " n"]) -> Float64[FloatArray, "told n"] | None:
        """That of the outputs whose number is known from two sides, each over half its interval; None if too large."""
        linearized, targets = self._search.model.linearized(torch.tensor(x)[None]), self._search.targets
        told = targets.two_sided[0] & (targets.half_widths[0] > 0)
        if not is_written_out(linearized, int(told.sum())):
            return None
        return (linearized.jacobian()[0, told] / targets.half_widths[0, told, None]).numpy()

    def reached(self, starts: Float64[FloatArray, "k n"], until: float = inf) -> Float64[FloatArray, "k n"]:
        """Where descents from some points end."""
        one = torch.zeros(len(starts), dtype=torch.int64)
        return self._search.inside(one, torch.tensor(starts), until).numpy()


def _models(subject: Subject, outputs: Targets, box: Polyhedron) -> tuple[Model, Targets, Callable[[Tensor], Tensor]]:
    """What is fitted, where it should be, and the map to the output: what a clip cut off is asked for before it."""
    network, layer = subject.network, subject.features_of
    if network is None:
        if not isinstance(layer, ReLULayer):
            got, hint = "one that is known as part of a network alone", "pass the network and layer="
            raise InputError("layer", expected="a layer of one affine map", got=got, hint=hint)
        check_loose(layer, layer.injective)
        low, high = torch.tensor(layer.low), torch.tensor(layer.high)
        model = AffineModel(torch.tensor(dense(layer.weight)), torch.tensor(layer.bias))
        targets = _received(sides(outputs.low, outputs.high, low, high), outputs, layer.injective, layer.monotone)

        def given(X: Tensor) -> Tensor:
            z = model.values(X).clamp(low, high)
            return z if layer.monotone is None else _given(z, layer.injective, layer.monotone)

        return model, targets, given
    stage = network.placed_layers[subject.layer].stage
    activation, whole = network.stages[stage].activation, NetworkModel(network, stage)
    assert isinstance(activation, Pointwise), "a layer ends in a pointwise activation"
    injective = activation.injective()
    if injective is None:
        return whole, outputs, whole.values
    lowest, highest = reach(network, stage, box.low, box.high)
    least = torch.tensor(np.maximum(lowest, activation.cut[0]))
    most = torch.tensor(np.minimum(highest, activation.cut[1]))
    before = NetworkModel(network, network.sources(stage)[0])
    cut = sides(outputs.low, outputs.high, least, most)
    return before, _received(cut, outputs, injective.cpu().numpy(), activation.monotone()), whole.values


def _received(cut: Targets, outputs: Targets, injective: BoolArray, monotone: Monotone | None) -> Targets:
    """What is asked of units before the activation: of strictly monotone ones by their inverse."""
    if monotone is None:
        return cut
    # an end of the range that is given as if it were an output is asked for as nearly as float64 tells
    least, most = np.nextafter(monotone.least, np.inf), np.nextafter(monotone.most, -np.inf)
    given = outputs.low.numpy(), outputs.high.numpy()
    low = monotone.inverse(np.where(monotone.most < np.inf, np.minimum(given[0], most), given[0]))
    high = monotone.inverse(np.where(monotone.least > -np.inf, np.maximum(given[1], least), given[1]))
    units = torch.tensor(injective)
    return Targets(torch.where(units, torch.tensor(low), cut.low), torch.where(units, torch.tensor(high), cut.high))


def _given(z: Tensor, injective: BoolArray, monotone: Monotone) -> Tensor:
    return torch.where(torch.tensor(injective), torch.tensor(monotone.value(z.numpy())), z)


__all__ = ["STARTS", "Guess", "Inside", "attack", "guesses"]
