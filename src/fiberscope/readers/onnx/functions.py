"""Functions that a model of ONNX defines itself, written out where they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onnx import FunctionProto, ModelProto, NodeProto, inliner

from fiberscope.errors import ModelError

MOST_NODES = 2**17
"""Operations that a model may have with its functions written out: a few nested ones can stand for billions."""

Key = tuple[str, str, str]


def inlined(model: ModelProto) -> ModelProto:
    """The model without functions of its own.

    Raises:
        ModelError: functions that call themselves, or that stand for too many operations.
    """
    if not model.functions:
        return model
    functions = {_key(function): function for function in model.functions}
    sizes: dict[Key, int] = {}
    for key in functions:
        _measure(key, functions, sizes)
    _check(_size(model.graph.node, sizes))
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # whatever the library raises: its errors have no common class
        raise ModelError(f"its functions cannot be written out: {error}") from error


def _key(part: FunctionProto | NodeProto) -> Key:
    return (part.domain, part.name if isinstance(part, FunctionProto) else part.op_type, part.overload)


def _measure(first: Key, functions: Mapping[Key, FunctionProto], sizes: dict[Key, int]) -> None:
    """Find the number of operations that a function stands for, after those of the functions that it calls."""
    stack, entered = [first], set[Key]()
    while stack:
        key = stack[-1]
        calls = {_key(node) for node in _all(functions[key].node)} & functions.keys() - sizes.keys()
        if key in sizes or not calls:
            sizes.setdefault(key, _size(functions[key].node, sizes))
            _check(sizes[key])
            stack.pop()
            continue
        if key in entered:
            raise ModelError(f"expected functions that do not call themselves, but {key[1]!r} does")
        entered.add(key)
        stack.extend(calls)


def _all(nodes: Iterable[NodeProto]) -> Iterable[NodeProto]:
    """The operations, those inside of loops and branches included."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from _all(attribute.g.node)
            for graph in attribute.graphs:
                yield from _all(graph.node)


def _size(nodes: Iterable[NodeProto], sizes: Mapping[Key, int]) -> int:
    return sum(sizes.get(_key(node), 1) for node in _all(nodes))


def _check(size: int) -> None:
    if size > MOST_NODES:
        raise ModelError(f"expected at most {MOST_NODES} operations, got more once its functions are written out")


__all__ = ["MOST_NODES", "inlined"]
