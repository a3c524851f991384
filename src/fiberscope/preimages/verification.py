"""Whether a claim is proved, and what it is about, network or layer, as the checker takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from fiberscope.checker.blocks import Block, Blocks
from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.curves import CLIP, Curves
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.reading import StoredNetwork, read_network
from fiberscope.errors import ModelError
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.sparse_rows import SparseRows
from fiberscope.showing.shown import Shown

if TYPE_CHECKING:
    from fiberscope.network.network import Network


@dataclass(frozen=True, repr=False)
class Verification(Shown):
    """Whether a certificate proves a verdict; truthy iff it does.

    Attributes:
        proved: whether the proof closed.
        method: the arithmetic it was tried in last: "float" (float64 with rigorous error bounds) or "exact" (rational).
        reason: where the proof broke off; empty if it is proved.
    """

    proved: bool
    method: Literal["float", "exact"]
    reason: str = ""

    def __bool__(self) -> bool:
        return self.proved

    def _line(self) -> str:
        return f"{'proved' if self.proved else 'not proved'}, {self.method}{': ' if self.reason else ''}{self.reason}"


def verified(disproved: Callable[[], str], method: Literal["float", "exact"] = "float") -> Verification:
    """A claim is proved if the function says no reason why it is not; whatever that raises is one."""
    try:
        reason = disproved()
    except NotProvedError as failure:
        reason = str(failure)
    except Exception as error:  # a claim may be made of anything
        reason = f"the claim is malformed: a part of it cannot be read ({type(error).__name__})"
    return Verification(reason == "", method, reason)


def stored(network: Network) -> StoredNetwork:
    """The network as the checker reads it; NotProvedError where it cannot."""
    try:
        return read_network(network.to_bytes())
    except ModelError as error:
        raise NotProvedError(str(error)) from error


class MalformedError(Exception):
    """Raised where a claim is not made of numbers; ``verify`` catches it. The message says why."""


def plain(value: Any) -> NDArray[Any]:
    """An array of numpy's own class around the numbers of an array of any class, which is not asked for anything."""
    # not `isinstance`, which believes an object that says so
    if not issubclass(type(value), np.ndarray) or np.ndarray.view(value, np.ndarray).dtype.kind not in "biuf":
        raise MalformedError("is no array of numbers")
    return np.ndarray.view(value, np.ndarray)


def curves_of(injective: Any, monotone: Any) -> Curves:
    """What the units of a layer compute, of which some are strictly monotone."""
    if monotone is None:
        return Curves.unknown(injective)
    curve, alpha, beta = (plain(part) for part in (monotone.curve, monotone.alpha, monotone.beta))
    floats = (np.array(np.broadcast_to(part, injective.shape), dtype=np.float64) for part in (alpha, beta))
    return Curves(np.where(injective, curve, CLIP).astype(np.int64), *floats)


def weight_of(layer: Any) -> Any:
    """The rows of a layer: written out, or as a convolution where they are not."""
    operator = layer.operator if type(layer) is ReLULayer and layer.is_large else None
    if operator is None:
        return matrix(layer.weight)
    return _blocks(operator) if operator.kind == "blocks" else _convolution(operator)


def _blocks(operator: Any) -> Blocks:
    """Rows that are made of convolutions."""
    from fiberscope.network.blocks import Product  # loads torch, as the operator did

    blocks = tuple(
        Block(r, c, _convolution(block.outer), matrix(block.inner))
        if type(block) is Product
        else Block(r, c, matrix(block), None)
        for (r, c), block in operator.blocks.items()
    )
    return Blocks(blocks, tuple(operator.heights), tuple(operator.widths))


def _convolution(operator: Any) -> Convolution:
    weight = plain(operator.weight.numpy())
    return Convolution(
        np.ascontiguousarray(weight), operator.input_shape, operator.stride, operator.padding, operator.dilation,
        operator.groups,
    )  # fmt: skip


def matrix(value: Any) -> Any:
    """A matrix without what somebody made of it: a subclass, a method put onto it, a flag that says it is sorted."""
    if type(value) is not SparseRows:
        rows = plain(value)
        if rows.ndim != 2:
            raise MalformedError("is no matrix")
        return rows
    given: Any = value.shape
    shape = cast(tuple[Any, ...], given if type(given) is tuple else ())
    # by `is`: classes may compare equal to others
    if [type(size) is int for size in shape] != [True, True]:
        raise MalformedError("is no sparse matrix")
    data, indices, starts = (plain(part) for part in (value.data, value.indices, value.indptr))
    if data.ndim != 1 or indices.dtype.kind != "i" or starts.dtype.kind != "i":
        raise MalformedError("is no sparse matrix")
    # what scipy would cut to fit is no matrix
    if indices.shape != data.shape or starts.shape != (shape[0] + 1,) or starts[-1] != len(data):
        raise MalformedError("has rows that do not follow each other")
    return SparseRows((data, indices, starts), shape=(shape[0], shape[1]))


__all__ = ["MalformedError", "Verification", "curves_of", "matrix", "plain", "stored", "verified", "weight_of"]
