"""Walking through an exported program and collecting the stages of a network."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from fiberscope.errors import InputError, ModelError
from fiberscope.network.arrays import as_tensor
from fiberscope.network.building import NetworkBuilder, Value
from fiberscope.network.network import Network
from fiberscope.network.stage import INPUT
from fiberscope.readers.torch.call import Call, bound, nodes_in, operator_name
from fiberscope.readers.torch.float64 import InFloat64, in_float64
from fiberscope.readers.torch.indexing import MOVES
from fiberscope.readers.torch.operators import OPERATORS, SHAPE_ONLY, SUPPORTED, is_known

if TYPE_CHECKING:
    from fiberscope.readers.torch.program import Program


_WEIGHTED = {"linear", "convolution"} | {f"{kind}{n}d" for kind in ("conv", "conv_transpose") for n in (1, 2, 3)}
"""Operators whose maps copy the weights that they are given."""


def converted(program: Program) -> Network:
    """The network that a program computes.

    Raises:
        ModelError: operators that are not supported, all of them named; numbers that are not finite; or an output that
            does not depend on the input.
    """
    live = _live_nodes(program)
    unsupported = _unsupported(program, live)
    if unsupported:
        raise ModelError(
            f"the model contains operators that are not supported: {', '.join(unsupported)}; supported are {SUPPORTED}",
            unsupported=tuple(unsupported),
        )
    return _Conversion(program).run(live)


def _live_nodes(program: Program) -> list[fx.Node]:
    """The nodes that the output depends on, in order: what a model computes and throws away does not matter."""
    live, waiting = set[fx.Node](), [program.output]
    while waiting:
        node = waiting.pop()
        if node not in live:
            live.add(node)
            waiting.extend(node.all_input_nodes)
    return [node for node in program.module.graph.nodes if node in live]


# ---- what is not supported


def _unsupported(program: Program, live: list[fx.Node]) -> list[str]:
    """The operators that stand in the way, each with its place in the model."""
    dependent: set[fx.Node] = set()
    named: list[str] = []
    for node in live:
        if node.op == "placeholder":
            dependent.update([node] if node.name == program.input else [])
        if node.op != "call_function":
            continue
        if not dependent.isdisjoint(_sources(node)):
            dependent.add(node)
            reason = _reason(node, dependent)
        else:
            reason = "it is random" if _is_random(node) else None
        if reason is not None:
            named.append(f"{place(node)} ({': '.join(filter(None, (operator_name(node.target), reason)))})")
    return named


def _sources(node: fx.Node) -> list[fx.Node]:
    """The nodes whose values, and not only their shapes, a call depends on."""
    return nodes_in(node.args[1:]) if operator_name(node.target) in SHAPE_ONLY else node.all_input_nodes


def _is_random(node: fx.Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _reason(node: fx.Node, dependent: set[fx.Node]) -> str | None:
    """Why a call on the input is not supported; empty if there is nothing to say but its name; None if it is."""
    if node.target is operator.getitem:
        source, number = operator_name(node.all_input_nodes[0].target), node.args[1]
        return None if number == 0 or source in MOVES else f"result {number} of {source}"
    known = OPERATORS.get(operator_name(node.target))
    if known is None or not is_known(node.target):
        return ""
    arguments = bound(node)
    varying = [name for name, item in arguments.items() if any(source in dependent for source in nodes_in(item))]
    others = [name for name in varying if name not in known.varying]
    if others:
        return f"its {others[0]} depends on the input"
    rivals = [name for name in varying if known.exclusive is None or name in known.exclusive]
    if len(rivals) > 1:
        return f"{' and '.join(rivals)} both depend on the input"
    return (known.refusal(node, arguments) if known.refusal is not None else "") or None


# ---- names


def place(node: fx.Node) -> str:
    """Where an operator stands: the path of the module that it is, or that of the one around it and its own name."""
    stack: Mapping[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    path, kind = list(stack.values())[-1] if stack else ("", "")
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    if not path or path.startswith("_empty_nn_module_stack"):
        return node.name
    return path if kind.startswith("torch.nn.") else f"{path}.{node.name}"


# ---- the walk


class _Conversion:
    """One walk through a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.builder = NetworkBuilder(program.shape, sample_axis=program.sample_axis)
        self.results: dict[fx.Node, Any] = {}
        self._names: dict[str, int] = {}
        self._norms: list[str] = []
        self._last_stage = INPUT
        self._behind_head = False

    def run(self, live: list[fx.Node]) -> Network:
        for node in live:
            self.results[node] = self._result(node)
        output = self.results[self.program.output]
        if not isinstance(output, Value):
            raise ModelError("the model's output does not depend on its input")
        if output.number == INPUT:
            output = self.builder.take(self.program.input, output, output.positions)
        try:
            network = self.builder.build(output)
        except InputError as error:
            raise ModelError(f"the model cannot be converted: {error}") from error
        alone = [name for name in self._norms if not any(note.startswith(f"{name}: ") for note in network.notes)]
        notes = (f"{name}: batch norm is written as factors and constants, rounded to float64" for name in alone)
        return replace(network, notes=(*network.notes, *notes)) if alone else network

    def _result(self, node: fx.Node) -> Any:
        match node.op:
            case "placeholder":
                return self.builder.input if node.name == self.program.input else self._tensor(node)
            case "get_attr":
                return in_float64(_attribute(self.program.module, str(node.target)), "cpu")
            case _:
                return self._called(node)

    def _tensor(self, placeholder: fx.Node) -> Any:
        item = self.program.tensors[placeholder.name]
        if not isinstance(item, Tensor):
            return item
        item = item.detach().cpu()
        if not item.is_floating_point():
            return item
        copied = {operator_name(user.target) for user in placeholder.users} <= _WEIGHTED and item.ndim > 1
        if copied and item.dtype in (torch.float32, torch.float64) and bool(item.sum().isfinite()):
            return item  # maps make the one copy in float64 that they take; a sum that is finite has finite terms
        try:
            return as_tensor(item, self.program.titles[placeholder.name])
        except InputError as error:
            raise ModelError(f"the model cannot be converted: {error}") from error

    def _known(self, arguments: Any) -> Any:
        """Arguments with results in place of the nodes that give them."""
        return map_arg(arguments, lambda source: self.results[source])

    def _called(self, node: fx.Node) -> Any:
        args, kwargs = self._known(node.args), self._known(node.kwargs)
        if node.target is operator.getitem:
            return self._known_as(node, args[0][args[1]])
        if any(isinstance(self.results[source], Value) for source in _sources(node)):
            return self._converted(node)
        if args and isinstance(args[0], Value):  # only its shape matters
            args = (torch.zeros(args[0].shape, dtype=torch.float64), *args[1:])
        return _evaluated(node, args, kwargs)

    def _converted(self, node: fx.Node) -> Any:
        known = OPERATORS[operator_name(node.target)]
        name = self._side_name(node) if known.moves else self._unique(place(node))
        try:
            result = known.convert(Call(self.builder, name, node.target, self._known(bound(node))))
        except InputError as error:
            raise ModelError(f"{place(node)}: {error}") from error
        if "batch_norm" in operator_name(node.target):
            self._norms.append(name)
        self._behind_head |= known.is_head
        return self._known_as(node, result)

    def _known_as(self, node: fx.Node, result: Any) -> Any:
        """Remember under which name the program knows the last stage; what leads to it has no name there."""
        items = cast("tuple[Any, ...]", result) if isinstance(result, tuple) else (result,)
        values = [item for item in items if isinstance(item, Value)]
        newest = max([self._last_stage, *(value.number for value in values)])
        for number in range(self._last_stage + 1, newest + 1):
            self.builder.renamed(Value(number, ()), "")
        self._last_stage = newest
        if isinstance(result, Value) and not self._behind_head:
            self.builder.renamed(result, node.name)
        return cast("Any", result)

    def _unique(self, name: str) -> str:
        self._names[name] = self._names.get(name, 0) + 1
        return name if self._names[name] == 1 else f"{name}#{self._names[name]}"

    @staticmethod
    def _side_name(node: fx.Node) -> str:
        """The name of an operator that only moves numbers: its module's name is left to what else the module does."""
        where = place(node)
        return where if where.endswith(node.name) else f"{where}.{node.name}"


def _evaluated(node: fx.Node, args: Any, kwargs: Any) -> Any:
    """What an operator gives on constants."""
    target: Any = node.target
    with torch.no_grad(), InFloat64(on_cpu=True):
        return target(*args, **kwargs)


def _attribute(module: fx.GraphModule, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


__all__ = ["converted", "place"]
