"""Tables 1 to 4: the architectures, printed from the modules that are built [appendix A4]."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from fiberscope.network.network import Network
from fiberscope.readers.torch import from_torch
from fiberscope_paper import architectures
from fiberscope_paper.context import Context
from fiberscope_paper.outcome import Claim, Outcome
from fiberscope_paper.printed_tables import CONVOLUTION, DENSE, INPUT, PRINTED, SOFTMAX, Row

_TITLES = {
    "table1": "Architecture of the MLP trained on MNIST, ten layers of 100",
    "table2": "Architecture of the MLP trained on MNIST, layers of 3500 and 784",
    "table3": "Architecture of WideCIFAR",
    "table4": "Architecture of ThinCIFAR",
}


def table1(context: Context) -> Outcome:
    """The MLP with ten ReLU layers of 100."""
    return _table("table1", architectures.table1, (architectures.PIXELS,), context)


def table2(context: Context) -> Outcome:
    """The MLP with ReLU layers of 3500 and 784."""
    return _table("table2", architectures.table2, (architectures.PIXELS,), context)


def table3(context: Context) -> Outcome:
    """WideCIFAR."""
    return _table("table3", architectures.table3, architectures.CIFAR, context)


def table4(context: Context) -> Outcome:
    """ThinCIFAR."""
    return _table("table4", architectures.table4, architectures.CIFAR, context)


def _table(name: str, architecture: Callable[[], nn.Sequential], shape: tuple[int, ...], context: Context) -> Outcome:
    del context  # an architecture has neither scale nor seed
    with torch.random.fork_rng(devices=[]):
        module = architecture()
    rows = built_rows(module, shape)
    network = from_torch(module.eval(), input_shape=shape)
    affine = [stage for stage in network.stages if stage.kind == "affine"]
    parameters = [0, *(_parameters(part) for part in module if isinstance(part, nn.Linear | nn.Conv2d))]
    shapes = [shape, *(stage.shape for stage in affine)]
    total = sum(parameters)
    facts = {
        "rows": [list(row.cells()) for row in rows],
        "parameters": parameters,
        "total_parameters": total,
        "output_shapes": [list(s) for s in shapes],
        "stages": [{"name": s.name, "kind": str(s.kind), "outputs": s.outputs} for s in network.stages],
    }
    caption = (
        f"Built from the code: {total:,} parameters in all, {len(network.stages)} stages when every affine map and "
        "every ReLU counts as one (as in figure 4). Shapes are of one sample, channels first."
    )
    claims = (*table_claims(PRINTED[name], rows), _relu_claim(module, network))
    return Outcome(_TITLES[name], caption, facts, claims, text=_markdown(rows, parameters, shapes))


def built_rows(module: nn.Sequential, shape: tuple[int, ...]) -> tuple[Row, ...]:
    """What a module is made of, in the paper's words.

    Args:
        module: dense and convolutional layers, the last followed by a softmax.
        shape: of one sample; a flat one is a picture of one channel.
    """
    rows = [Row(INPUT, maps=shape[0] if len(shape) == 3 else 1)]
    parts = list(module)
    for part in parts:
        if isinstance(part, nn.Conv2d):
            kernel, stride = (cast(tuple[int, int], tuple(pair)) for pair in (part.kernel_size, part.stride))
            rows.append(Row(CONVOLUTION, kernel, stride, part.out_channels))
        elif isinstance(part, nn.Linear):
            rows.append(Row(DENSE, units=part.out_features))
    if isinstance(parts[-1], nn.Softmax):
        rows[-1] = Row(SOFTMAX, units=rows[-1].units)
    return tuple(rows)


def table_claims(printed: tuple[Row, ...], built: tuple[Row, ...]) -> tuple[Claim, ...]:
    """The printed rows beside the built ones, the input apart from the layers."""
    wrong = [
        f"row {index}: {_words(mine)} instead of {_words(theirs)}"
        for index, (theirs, mine) in enumerate(zip(printed[1:], built[1:], strict=False), start=1)
        if theirs != mine
    ]
    if len(printed) != len(built):
        wrong.append(f"{len(built) - 1} layers instead of {len(printed) - 1}")
    layers = Claim(
        f"{len(printed) - 1} layers behind the input: {_summary(printed)}",
        "; ".join(wrong) or f"the same {len(built) - 1} layers",
        not wrong,
        "the code builds another network" if wrong else "",
    )
    maps = Claim(
        f"the input has {printed[0].maps} feature maps",
        f"it has {built[0].maps}",
        printed[0].maps == built[0].maps,
        "" if printed[0].maps == built[0].maps else "MNIST digits are grey, 784 numbers; 3 is right for CIFAR-10 only",
    )
    return layers, maps


def _relu_claim(module: nn.Sequential, network: Network) -> Claim:
    layers = sum(isinstance(part, nn.Linear | nn.Conv2d) for part in module)
    count = len(network.relu_layers)
    good = count == layers - 1
    return Claim(
        "every layer but the softmax is followed by a ReLU (section 1.2)",
        f"{count} ReLU layers among {layers} affine maps",
        good,
        "" if good else "the code builds another network",
    )


def _summary(rows: tuple[Row, ...]) -> str:
    return ", ".join(str(row.units if row.maps is None else row.maps) for row in rows[1:])


def _words(row: Row) -> str:
    return " ".join(row.cells())


def _parameters(part: nn.Module) -> int:
    return sum(math.prod(value.shape) for value in part.parameters())


def _markdown(rows: tuple[Row, ...], parameters: list[int], shapes: list[Any]) -> str:
    head = "| Index | Type | kernel size | stride | # feature maps | # output units | output shape | # parameters |"
    lines = [head, "| --- " * 8 + "|"]
    for index, (row, count, shape) in enumerate(zip(rows, parameters, shapes, strict=True)):
        sides = " x ".join(str(size) for size in shape)
        lines.append("| " + " | ".join([str(index), *row.cells(), sides, f"{count:,}"]) + " |")
    return "\n".join([*lines, ""])


__all__ = ["built_rows", "table1", "table2", "table3", "table4", "table_claims"]
