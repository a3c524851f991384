"""Whether the input of a network can be recovered from what one of its layers gives: verdicts about the whole map.

A verdict of ``fiberscope.preimage`` is about one layer as a map of its own input. This one is about the composed map
``F_k`` from the network's input to the output of layer k, on the domain D of the inputs: whether another x' of D has
``F_k(x') = F_k(x)``.

*Recoverable* is proved from layer to layer: every layer on the way has a single input for its output, for the exact
activation and on a domain that holds all that the layer before can give (``exact_singleton``). Or it is proved through
several layers at once: all inputs of a bounded domain with these features lie in a box on which the network is proved
to tell inputs apart (``only_input``).

*Not recoverable* is proved by a second input with exactly the same features: next to x, if the first layer has one, or
if fewer units can change than inputs may move (``second_input``); or one that a search finds (``found_input``).

Every other sample is *undecided*, with the reason. If all paths from the input to layer k go through layer j, "not
recoverable" passes from j to k, and "recoverable" from k to j.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import InputError, ModelError
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Box, Domain, as_polyhedron
from fiberscope.network.network import Network, check_network
from fiberscope.network.signs import exact_signs_of_many
from fiberscope.network.stage import INPUT
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.classify import classify
from fiberscope.preimages.system import check_inside
from fiberscope.recovery.judging import Judging, Searched
from fiberscope.recovery.verdict import verdict_table
from fiberscope.scalars import as_number, as_position, as_several
from fiberscope.threads import one_thread

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import ArrayLike
    from torch import Tensor


def network_verdicts(  # pyright: ignore[reportUnknownParameterType] - pyarrow has no types
    network: Network,
    X: Tensor | ArrayLike,
    layers: ArrayLike | None = None,
    domain: Domain | None = None,
    *,
    seconds: float | int = 60.0,
) -> pyarrow.Table:
    """Decide and prove whether the network's input can be computed back from what each ReLU layer gives.

    About the map ``F_k`` from the input to the output of layer k, in exact real arithmetic on the numbers that the
    network stores: "recoverable" if no other input of the domain has ``F_k(x') = F_k(x)``, "not recoverable" if another
    one has, each proved; "undecided" otherwise.

    Args:
        network: the network.
        X: (N, *input_shape) the samples.
        layers: the numbers of the ReLU layers k, negative from the end; None for all.
        domain: where inputs lie; None for all of R^n.
        seconds: a budget for proofs through several layers and for searching second inputs of samples that are
            undecided otherwise, of all samples together; 0 for none. What it decides depends on the machine; the rest
            does not.

    Returns:
        A table of pyarrow with a row per sample and layer: sample, layer, verdict, reason.

    Raises:
        InputError: no such layer, X does not fit or is not finite, or a sample outside the domain.
        ModelError: the network has no layer to judge.
    """
    check_network(network)
    count = len(network.relu_layers)
    if not count:
        raise ModelError(network.nothing_to_judge())
    chosen = range(count) if layers is None else as_several(layers, "layers")
    numbers = sorted({as_position(layer, count, "layers") for layer in chosen})
    if not numbers:
        raise InputError("layers", expected="at least one layer", got="none")
    samples = network.flat(X)
    _check_all_inside(domain, samples)
    limit = as_number(seconds, "seconds", least=0.0)
    budget = None if limit == 0 else Budget.of(limit)
    through, own = None if budget is None else Searched(budget), _DecidedOnDemand(network, samples, domain)
    judging = Judging(network, samples, domain, numbers[-1], own, through, budget)
    with one_thread():
        judging.judge()
    return verdict_table(judging.verdicts, judging.reasons, numbers)


class _DecidedOnDemand:
    """The kinds of layers by themselves, decided when they are asked for."""

    def __init__(self, network: Network, X: FloatArray, domain: Domain | None) -> None:
        self.network, self.X, self.domain = network, X, domain

    def __call__(self, layer: int, samples: IntArray) -> tuple[NDArray[np.object_], FloatArray]:
        placed = self.network.placed_layers[layer]
        H = self.network.evaluated(self.X[samples], placed.source)
        domain = self.domain if placed.source == INPUT else Box(*placed.received)
        return classify(placed.layer, H, domain, threads=1).kind.astype(object), H


def _check_all_inside(domain: Domain | None, X: FloatArray) -> None:
    polyhedron = as_polyhedron(domain, X.shape[1])
    outside = ((polyhedron.low > X) | (polyhedron.high < X)).any(axis=1)
    outside |= (exact_signs_of_many(polyhedron.G, X, -polyhedron.h) > 0).any(axis=1)
    if outside.any():
        first = int(np.argmax(outside))
        try:
            check_inside(polyhedron, X[first])
        except InputError as error:
            raise InputError(f"X[{first}]", expected=error.expected, got=error.got, hint=error.hint) from error


__all__ = ["network_verdicts"]
