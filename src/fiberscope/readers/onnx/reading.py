"""From a graph of ONNX to a network that agrees with it, in the likeliest way to read its input that holds."""

from __future__ import annotations

from dataclasses import replace

from fiberscope.errors import ModelError
from fiberscope.network.network import Network
from fiberscope.readers.onnx.conversion import converted
from fiberscope.readers.onnx.graph import OnnxGraph
from fiberscope.readers.onnx.original import with_agreement


def network_of(graph: OnnxGraph) -> Network:
    """Convert a graph, and compare the network with what the graph computes.

    Raises:
        ModelError: no way to read the input gives a network that agrees.
    """
    *likelier, last = graph.inputs
    unsupported = tuple[str, ...]()
    for reading in likelier:
        try:
            return _read(replace(graph, inputs=(reading,)))
        except ModelError as error:
            unsupported = error.unsupported
    try:
        return _read(replace(graph, inputs=(last,)))
    except ModelError as error:
        if not likelier or (error.unsupported and error.unsupported == unsupported):
            raise  # however the input is read
        raise ModelError(f"{error}; {_advice(graph)}", unsupported=error.unsupported) from error


def _read(graph: OnnxGraph) -> Network:
    network = with_agreement(converted(graph), graph)
    return replace(network, output=graph.output.name)


def _advice(graph: OnnxGraph) -> str:
    batch = graph.input.batch
    return (
        f"input {graph.input.name!r} has a fixed first axis of {batch}: if it counts samples, export the model with an "
        f"open one, such as dynamic_axes={{{graph.input.name!r}: {{0: 'batch'}}}} in torch.onnx.export, or with 1 in "
        f"place of {batch}"
    )


__all__ = ["network_of"]
