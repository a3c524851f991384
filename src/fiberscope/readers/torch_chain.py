"""The true order of a torch module's operations, found by symbolic tracing."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812  torch's own name for it

from fiberscope.errors import ModelError
from fiberscope.readers.torch_operations import (
    DROPOUT_FUNCTIONS,
    HEAD_FUNCTIONS,
    LAST_AXIS,
    RELU_FUNCTIONS,
    Operation,
    OperationKind,
    linear,
    operation_of_module,
)

SUPPORTED = "Linear, ReLU, BatchNorm1d, Flatten, Dropout, Identity, and a softmax at the end, one after the other"


def chain_of(module: nn.Module) -> tuple[Operation, ...]:
    """List the operations of a module whose computation is a chain, in the order in which its ``forward`` runs them.

    Raises:
        ModelError: ``forward`` depends on values, branches or joins, or uses operations that are not supported; all of
            these are named.
    """
    # A plain module of torch is one operation; wrapped, it is traced as that rather than as the functions inside it.
    root = nn.Sequential(module) if _is_leaf(module) else module
    walk = _Walk(root)
    for node in _live_nodes(_trace(root)):
        walk.visit(node)
    if walk.unsupported:
        listed = ", ".join(walk.unsupported)
        raise ModelError(
            f"the model contains operations that are not supported: {listed}; supported are {SUPPORTED}",
            unsupported=tuple(walk.unsupported),
        )
    return tuple(walk.operations)


def _is_leaf(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn") and not isinstance(module, nn.Sequential)


def _trace(root: nn.Module) -> fx.Graph:
    try:
        return fx.Tracer().trace(root)
    except Exception as error:  # whatever the model's own code raises when run on symbols
        raise ModelError(
            f"the order of the operations of {type(root).__name__} cannot be traced ({type(error).__name__}: {error}); "
            "write its forward without decisions that depend on values, or pass an nn.Sequential"
        ) from error


def _live_nodes(graph: fx.Graph) -> list[fx.Node]:
    """The nodes that the output depends on, in order: what a model computes and throws away does not matter."""
    live: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or any(user in live for user in node.users):
            live.add(node)
    return [node for node in graph.nodes if node in live]


class _Walk:
    """Collects the operations of a graph while it remains a chain, and the names of whatever breaks it."""

    def __init__(self, root: nn.Module) -> None:
        self.root = root
        self.operations: list[Operation] = []
        self.unsupported: list[str] = []
        self._current: fx.Node | None = None
        self._sizes: set[fx.Node] = set()  # numbers such as x.size(0), wanted only by reshapes
        self._names: dict[str, int] = {}

    def visit(self, node: fx.Node) -> None:
        match node.op:
            case "placeholder":
                if self._current is None:
                    self._current = node
                else:
                    self.unsupported.append(f"{node.name} (a second input)")
            case "get_attr":
                pass  # read where it is used
            case "output":
                if node.args[0] is not self._current:
                    self.unsupported.append("output (not the value of the last operation)")
            case _ if self._is_size(node):
                self._sizes.add(node)
            case _:
                self._add(node)

    def _is_size(self, node: fx.Node) -> bool:
        of_size = bool(node.all_input_nodes) and all(source in self._sizes for source in node.all_input_nodes)
        return (
            (node.op == "call_method" and node.target == "size")
            or (node.op == "call_function" and node.target is getattr and node.args[1:2] == ("shape",))
            or (node.op == "call_function" and node.target is operator.getitem and of_size)
        )

    def _add(self, node: fx.Node) -> None:
        sources = [n for n in node.all_input_nodes if n.op != "get_attr" and n not in self._sizes]
        is_next = sources == [self._current] and node.args[:1] == (self._current,)
        operation = self._operation(node)
        if operation is not None and is_next:
            self.operations.append(operation)
        else:
            off_chain = "" if operation is None else ", which takes other values than those before it"
            self.unsupported.append(f"{_place(node)} ({self._type_name(node)}{off_chain})")
        self._current = node

    def _operation(self, node: fx.Node) -> Operation | None:
        name = self._unique(_place(node))
        if node.op == "call_module":
            return operation_of_module(name, self.root.get_submodule(str(node.target)))
        if node.target is F.linear:
            return self._functional_linear(name, node)
        target: Any = node.target if node.op == "call_function" else getattr(torch.Tensor, str(node.target), None)
        return _function(name, node, target)

    def _functional_linear(self, name: str, node: fx.Node) -> Operation | None:
        weight, bias = self._attribute(_argument(node, 1, "weight")), self._attribute(_argument(node, 2, "bias"))
        return None if weight is None else linear(name, weight, bias)

    def _attribute(self, node: Any) -> torch.Tensor | None:
        if not isinstance(node, fx.Node) or node.op != "get_attr":
            return None
        value: Any = self.root
        for part in str(node.target).split("."):
            value = getattr(value, part)
        return value if isinstance(value, torch.Tensor) else None

    def _type_name(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return type(self.root.get_submodule(str(node.target))).__name__
        return str(getattr(node.target, "__name__", node.target))

    def _unique(self, name: str) -> str:
        self._names[name] = self._names.get(name, 0) + 1
        return name if self._names[name] == 1 else f"{name}#{self._names[name]}"


def _place(node: fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else node.name


def _function(name: str, node: fx.Node, target: Callable[..., Any] | None) -> Operation | None:
    """The operation of a call of a function or of a tensor's method; None if it is not supported."""
    methods = torch.Tensor
    if target in (*RELU_FUNCTIONS, methods.relu, methods.relu_):
        return Operation(name, OperationKind.RELU)
    if target in (methods.contiguous, methods.clone, methods.detach):
        return Operation(name, OperationKind.IDENTITY)
    if target in DROPOUT_FUNCTIONS:
        is_active = bool(_argument(node, 2, "training", default=target is F.dropout))
        return None if is_active else Operation(name, OperationKind.IDENTITY)
    heads = {**HEAD_FUNCTIONS, methods.softmax: "softmax", methods.log_softmax: "log_softmax"}
    if target in heads and _argument(node, 1, "dim") in LAST_AXIS:
        return Operation(name, OperationKind.HEAD, head=heads[target])
    if target in (torch.flatten, methods.flatten):
        bounds = (_argument(node, 1, "start_dim", default=0), _argument(node, 2, "end_dim", default=-1))
        return Operation(name, OperationKind.FLATTEN) if bounds == (1, -1) else None
    if target in (torch.reshape, methods.reshape, methods.view):
        return _reshape(name, node)
    return None


def _reshape(name: str, node: fx.Node) -> Operation | None:
    """A reshape to (number of samples, rest) is a flattening; every other one is not supported."""
    sizes: Any = node.args[1] if len(node.args) == 2 else node.args[1:]
    if not isinstance(sizes, tuple | list) or len(shape := cast("list[Any]", sizes)) != 2:
        return None
    samples, rest = shape
    keeps_samples = isinstance(samples, fx.Node) or (samples == -1 and rest != -1)
    if not keeps_samples or not isinstance(rest, int):
        return None
    return Operation(name, OperationKind.FLATTEN, size=None if rest == -1 else rest)


def _argument(node: fx.Node, position: int, keyword: str, default: Any = None) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(keyword, default)


__all__ = ["SUPPORTED", "chain_of"]
