"""Reading networks from torch modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np
import torch
from torch import nn

from fiberscope.errors import InputError, ModelError
from fiberscope.network.affine import AffineMap, Dense, composed
from fiberscope.network.arrays import FloatArray
from fiberscope.network.layers import composition_notes
from fiberscope.network.network import Network
from fiberscope.network.stage import Stage, affine_stage, relu_stage
from fiberscope.readers.torch_chain import chain_of
from fiberscope.readers.torch_operations import Operation, OperationKind

COMPARISON_TOLERANCE = 1e-9
"""How far the converted network may be from the module, both in float64, relative to the largest value on the way.

Rounding leaves about 1e-15 per layer; an operation that was left out or misread changes leading digits.
"""

COMPARISON_SAMPLES = 16
"""Random inputs of each of two distributions on which both are compared."""


def from_torch(module: nn.Module, input_shape: int | Sequence[int] | None = None) -> Network:
    """Convert a torch module in evaluation mode whose operations form a chain.

    Supported are Linear, ReLU, BatchNorm1d, Flatten, Dropout and Identity, as modules or functions, nested as you like.
    The order is that in which ``forward`` runs them. Batch normalisation is folded into the affine map beside it. A
    softmax at the end is left off. The module is not changed, and the result is compared with it on random inputs.

    Args:
        module: the module; ``module.eval()`` must have been called.
        input_shape: the shape of one sample; None takes it from the first Linear or BatchNorm1d.

    Returns:
        The network in float64; its ``notes`` tell what was folded or left off.

    Raises:
        InputError: not a torch module, or an input shape that is not made of positive integers.
        ModelError: training mode, unsupported operations (all of them named), weights that are not finite, or a
            converted network that differs from the module.
    """
    if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError("module", expected="a torch.nn.Module", got=type(module).__name__)
    if any(part.training for part in module.modules()):
        raise ModelError(
            "the module is in training mode, where dropout and batch norm are random; call module.eval() first"
        )
    operations = chain_of(module)
    shape = _inferred_shape(operations) if input_shape is None else _checked_shape(input_shape)
    network = _build(operations, shape)
    _compare(network, module, operations)
    return network


def _checked_shape(input_shape: int | Sequence[int]) -> tuple[int, ...]:
    sizes: tuple[Any, ...] = tuple(input_shape) if isinstance(input_shape, Sequence) else (input_shape,)
    if not sizes or not all(isinstance(size, int | np.integer) and size > 0 for size in sizes):
        raise InputError("input_shape", expected="positive integers, such as 784 or (1, 28, 28)", got=repr(input_shape))
    return tuple(int(size) for size in sizes)


def _inferred_shape(operations: tuple[Operation, ...]) -> tuple[int, ...]:
    for operation in operations:
        if operation.weight is not None:
            return (operation.weight.shape[-1],)
    raise ModelError("the module has no Linear to take the input shape from; pass input_shape=")


@dataclass
class _Builder:
    """The stages so far. A scaling waits in ``pending`` when the affine map to fold it into may still come."""

    shape: tuple[int, ...]
    stages: list[Stage] = field(default_factory=list[Stage])
    notes: list[str] = field(default_factory=list[str])
    pending: tuple[str, Dense] | None = None
    head: str = ""

    def add(self, operation: Operation) -> None:
        if self.head and operation.kind is not OperationKind.IDENTITY:
            raise ModelError(
                f"{self.head} is supported only at the end, but {operation.name} follows", unsupported=(self.head,)
            )
        match operation.kind:
            case OperationKind.LINEAR | OperationKind.SCALING:
                self._affine(operation)
            case OperationKind.RELU:
                self.settle()
                self.stages.append(relu_stage(operation.name, math.prod(self.shape)))
            case OperationKind.FLATTEN:
                self._flatten(operation)
            case OperationKind.IDENTITY:
                pass
            case OperationKind.HEAD:
                self._require_flat(operation, math.prod(self.shape))
                self.head = operation.name
                self.notes.append(
                    f"{operation.name}: the {operation.head} at the end is left off; outputs are its inputs"
                )
            case _:
                assert_never(operation.kind)

    def _flatten(self, operation: Operation) -> None:
        size = math.prod(self.shape)
        if operation.size not in (None, size):
            raise ModelError(
                f"{operation.name} makes {operation.size} values of a sample, but it has {size}; check input_shape"
            )
        self.shape = (size,)

    def _affine(self, operation: Operation) -> None:
        assert operation.weight is not None, "linear and scaling operations carry their numbers"
        self._require_flat(operation, operation.weight.shape[-1])
        if operation.kind is OperationKind.LINEAR:
            affine = Dense(operation.weight, operation.bias)
            if self.pending is not None:
                affine = self._folded(self.pending[0], self.pending[1], affine, operation.name)
                self.pending = None
            self.stages.append(affine_stage(operation.name, affine))
        else:
            self._scaling(operation.name, Dense(np.diag(operation.weight), operation.bias))
        self.shape = (self.stages[-1].outputs,) if self.pending is None else (self.pending[1].outputs,)

    def _scaling(self, name: str, scaling: Dense) -> None:
        before = self.stages[-1] if self.stages else None
        if before is not None and before.affine is not None:
            self.stages[-1] = affine_stage(before.name, self._folded(name, before.affine, scaling, before.name))
        elif self.pending is not None:
            self.pending = (self.pending[0], self._folded(name, self.pending[1], scaling, self.pending[0]))
        else:
            self.pending = (name, scaling)

    def _folded(self, name: str, first: AffineMap, second: AffineMap, into: str) -> Dense:
        self.notes.append(
            f"{name}: batch norm is folded into {into!r}; folding rounds to float64, "
            "and verdicts are about the folded numbers"
        )
        return composed(first, second)

    def settle(self) -> None:
        """Give a scaling that found no affine map beside it a stage of its own."""
        if self.pending is not None:
            self.stages.append(affine_stage(*self.pending))
            self.notes.append(f"{self.pending[0]}: batch norm is written as factors and constants, rounded to float64")
            self.pending = None

    def _require_flat(self, operation: Operation, size: int) -> None:
        if self.shape != (size,):
            hint = "; put nn.Flatten() before it" if len(self.shape) > 1 else "; check input_shape"
            raise ModelError(f"{operation.name} takes samples of shape ({size},), but receives {self.shape}{hint}")


def _build(operations: tuple[Operation, ...], input_shape: tuple[int, ...]) -> Network:
    builder = _Builder(input_shape)
    for operation in operations:
        builder.add(operation)
    builder.settle()
    stages = tuple(builder.stages)
    return Network(stages, input_shape, (*builder.notes, *composition_notes(stages)))


def _compare(network: Network, module: nn.Module, operations: tuple[Operation, ...]) -> None:
    """Refuse a conversion that differs from the module (a hook, say, that tracing does not see)."""
    rng = np.random.default_rng(0)
    shape = (COMPARISON_SAMPLES, *network.input_shape)
    X = np.concatenate([rng.standard_normal(shape), rng.uniform(size=shape)])
    theirs = _run_in_float64(module, X)
    ours = network(X)
    head = next((operation.head for operation in operations if operation.kind is OperationKind.HEAD), "")
    if head:
        ours = getattr(torch, head)(torch.as_tensor(ours), dim=1).numpy()
    difference = np.inf if theirs.shape != ours.shape else float(np.max(np.abs(theirs - ours)))
    tolerance = COMPARISON_TOLERANCE * max(1.0 if head else 0.0, _largest_value(network, X))
    if not difference <= tolerance:  # NaN is no agreement either
        raise ModelError(
            f"the converted network differs from the module: expected outputs of shape {theirs.shape} within "
            f"{tolerance:.1g}, got shape {ours.shape} and a difference of {difference:.3g}; "
            "remove hooks and code that changes values"
        )


def _run_in_float64(module: nn.Module, X: FloatArray) -> FloatArray:
    """Run the caller's module with its numbers in float64, without touching them: stand-ins are passed for the call."""
    state: dict[str, Any] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    devices = {tensor.device for tensor in state.values()} or {torch.device("cpu")}
    stand_ins = {name: t.detach().double() if t.is_floating_point() else t.detach() for name, t in state.items()}
    inputs = torch.as_tensor(X).to(next(iter(devices)))
    try:
        with torch.no_grad():
            outputs: Any = torch.func.functional_call(module, stand_ins, (inputs,))
    except Exception as error:  # whatever the model's own code raises
        raise ModelError(
            f"the module cannot be run on inputs of shape {X.shape} in float64 ({type(error).__name__}: {error}); "
            "check input_shape, and that all of its tensors are parameters or buffers"
        ) from error
    if not isinstance(outputs, torch.Tensor):
        raise ModelError(f"expected a module that returns one tensor, got {type(outputs).__name__}")
    return outputs.detach().cpu().double().numpy()


def _largest_value(network: Network, X: FloatArray) -> float:
    values, largest = X.reshape(X.shape[0], -1), 0.0
    for stage in network.stages:
        values = stage.apply(values)
        largest = max(largest, float(np.max(np.abs(values))))
    return largest


__all__ = ["COMPARISON_SAMPLES", "COMPARISON_TOLERANCE", "from_torch"]
