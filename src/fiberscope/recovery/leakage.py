"""What the features of a network's layers give away of its inputs, by layer and precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from fiberscope.errors import InputError, ModelError, shown
from fiberscope.network.domains import Domain
from fiberscope.network.network import Network, check_network
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.precision import Precision, code_step
from fiberscope.recovery.ambiguity import Levels
from fiberscope.recovery.leak import Leak, table_of
from fiberscope.recovery.leak_question import LeakQuestion
from fiberscope.scalars import as_number, as_position, as_several

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import ArrayLike
    from torch import Tensor

SECONDS = 30.0
"""For one sample at one layer and one precision: through several layers, linear programs would go on for longer."""


def leakage(  # pyright: ignore[reportUnknownParameterType] - pyarrow has no types
    net: Network,
    X: Tensor | ArrayLike,
    domain: Domain,
    precisions: Sequence[str | float | int] = ("float32", "float16", "int8"),
    layers: Sequence[int] | None = None,
    *,
    seconds: float | int | None = SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> pyarrow.Table:
    """Tabulate what the features of layers give away of samples: what is proved, and what an attack rebuilds.

    ``{x' in domain : |F_i(x') - F_i(x)| <= e_i}`` for features F of a layer of the network, with e_i of the precision:
    features are those that a runtime may give at the sample. What is proved holds for every input of this set.

    Args:
        net: the network.
        X: (N, *net.input_shape) samples in the domain; one sample alone is a batch of one.
        domain: where inputs lie, a bounded one: ``Box(0, 1)`` for images.
        precisions: "float32", "float16", "int8", or numbers: by how much every feature may differ.
        layers: the numbers of the ReLU layers whose features are meant; None for all.
        seconds: for one sample at one layer and one precision, everything included, past which less is proved, with
            the reason; None for no limit.
        progress: called with the number of rows done and how many there will be.

    Returns:
        A table with a row per sample, layer and precision, of the fields of ``Leak``. What is not defined, such as
        sums of a float type where branches meet, is a row that says why.

    Raises:
        InputError: samples of another shape or outside the domain, no such layer, another precision, or a domain that
            is not bounded.
        ModelError: the network has no layer.

    Source: sections 10 and 12 of the theory.
    """
    asked = leak_questions(net, X, domain, precisions, layers, seconds)
    rows, total = list[Leak](), sum(len(each.precisions) for each in asked)
    for each in asked:
        rows += each.answered(net).rows
        if progress is not None:
            progress(len(rows), total)
    return table_of(in_order(rows))


def leak_questions(
    net: Network,
    X: Any,
    domain: Domain,
    precisions: Sequence[str | float | int],
    layers: Sequence[int] | None,
    seconds: float | int | None,
) -> list[LeakQuestion]:
    """What ``leakage`` asks, of each layer and sample; the errors are its own."""
    check_network(net)
    flat, budget = net.flat(X), Budget.of(seconds)
    Levels.of(domain, flat)
    samples, chosen, told = flat.reshape(len(flat), *net.input_shape), _layers(net, layers), _precisions(precisions)
    steps = {i: code_step(net.relu_layers[i], net.layer_input(i, samples)) if "int8" in told else 0.0 for i in chosen}
    return [
        LeakQuestion(layer, i, x, domain, told, steps[layer] or None, budget.seconds)
        for layer in chosen
        for i, x in enumerate(samples)
    ]


def in_order(rows: Sequence[Leak]) -> list[Leak]:
    """Rows by layer, precision and sample; layers and precisions as they come first."""
    layers = list(dict.fromkeys(row.layer for row in rows))
    precisions = list(dict.fromkeys(row.precision for row in rows))
    return sorted(rows, key=lambda row: (layers.index(row.layer), precisions.index(row.precision), row.sample))


def _layers(net: Network, layers: Sequence[int] | None) -> list[int]:
    count = len(net.relu_layers)
    if not count:
        raise ModelError(net.nothing_to_judge())
    if layers is None:
        return list(range(count))
    chosen = [as_position(each, count, "layers") for each in as_several(layers, "layers")]
    if not chosen:
        raise InputError("layers", expected="at least one layer", got="none", hint="None is for all of them")
    return chosen


def _precisions(precisions: Sequence[str | float | int]) -> tuple[str, ...]:
    """Names as they are, numbers as Python writes them, each once; InputError for another precision."""
    listed = not isinstance(precisions, str) and hasattr(precisions, "__iter__")
    if not listed or not (several := as_several(precisions, "precisions")):
        hint = "for instance ['float32', 'int8']"
        raise InputError("precisions", expected="a list of precisions", got=shown(precisions), hint=hint)
    told = (
        Precision(each).name
        if isinstance(each, str)
        else repr(float(as_number(each, "precisions", least=0.0, below=inf)) + 0.0)
        for each in several
    )
    return tuple(dict.fromkeys(told))


__all__ = ["SECONDS", "Leak", "in_order", "leak_questions", "leakage"]
