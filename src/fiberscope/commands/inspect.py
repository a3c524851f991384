"""The command ``fiberscope inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fiberscope.commands import FINE
from fiberscope.commands.arguments import parse_shape
from fiberscope.commands.console import console_on_stdout


def inspect(
    model: Path,
    /,
    *,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
    input_shape: str | None = None,
    output: str | None = None,
) -> int:
    """Show what a model is made of, what can be judged, and what it takes, before any work.

    Reads the model, compares it with what its own library computes, and prints its stages, shapes, parameters and
    layers, the memory that an audit needs, and what stands in the way.

    Args:
        model: the network: .onnx, .pt2 (torch.export), .keras, .h5, or .safetensors written by Network.save.
        trust_model: load a format that can run code when it is loaded (.pt2, .h5, .keras with code of its own).
        input_shape: the shape of one sample, such as 3,32,32, where the file leaves it open.
        output: the name of the output to take, where an ONNX model has several.
    """
    from fiberscope.readers.files import load
    from fiberscope.report.inspection import closing_lines, layer_table, stage_table

    network = load(model, trust=trust_model, input_shape=parse_shape(input_shape), output=output)
    console = console_on_stdout()
    console.print(stage_table(network))
    if network.relu_layers:
        console.print(layer_table(network))
    for line in closing_lines(network):
        print(line)
    return FINE


__all__ = ["inspect"]
