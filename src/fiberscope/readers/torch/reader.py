"""Reading networks from torch modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.overrides import TorchFunctionMode

from fiberscope.errors import InputError, ModelError
from fiberscope.network.arrays import as_shape
from fiberscope.network.network import Network
from fiberscope.readers.torch.agreement import with_agreement
from fiberscope.readers.torch.conversion import converted
from fiberscope.readers.torch.exported import exported_again, is_unlifted, network_of_program
from fiberscope.readers.torch.float64 import InFloat64, stand_in
from fiberscope.readers.torch.given import check_module, check_output, uncompiled
from fiberscope.readers.torch.program import ONE_AT_A_TIME, decomposed, first_line, program_of, quiet


def from_torch(module: nn.Module | ExportedProgram, input_shape: int | Sequence[int] | None = None) -> Network:
    """Convert a torch module in evaluation mode, or a program of ``torch.export``.

    The module is exported by ``torch.export`` for one sample, and the graph of its operators is converted: affine maps,
    whatever moves numbers, activations and maxima, however they branch and join. What scales or moves numbers is folded
    into the affine map beside it. A softmax at the end is left off. The module is not changed, and the result is
    compared with it, stage by stage, on random inputs.

    Args:
        module: the module; ``module.eval()`` must have been called. Or a program that was exported already, or what its
            ``module()`` gives.
        input_shape: the shape of one sample; None takes it from the first Linear or BatchNorm1d, or from the program.

    Returns:
        The network in float64; its ``notes`` tell what was folded or left off, its ``agreement`` how well it agrees
        with the module.

    Raises:
        InputError: not a torch module, or an input shape that is not made of positive integers, counts samples, or does
            not fit the program.
        ModelError: training mode, TorchScript, unsupported operators (all of them named), weights that are not finite,
            a module that cannot be exported, returns something else than a tensor or mixes samples, or a converted
            network that differs from the module.
    """
    shape = None if input_shape is None else as_shape(input_shape, "input_shape")
    with ONE_AT_A_TIME:
        return _network_of(module, shape)


def _network_of(module: nn.Module | ExportedProgram, shape: tuple[int, ...] | None) -> Network:
    if isinstance(module, ExportedProgram):
        return network_of_program(module, "the program", shape)
    check_module(module)
    module = uncompiled(module)
    if is_unlifted(module):
        assert isinstance(module, GraphModule), "torch makes these modules of graphs"
        return network_of_program(exported_again(module), "the program", shape)
    _check_tensors(module)
    if any(part.training for part in module.modules()):
        raise ModelError(
            "the module is in training mode, where dropout and batch norm are random; call module.eval() first"
        )
    if shape is None:
        shape = _inferred_shape(module)
    exported = _exported(module, shape)
    try:
        program = program_of(exported, shape=(1, *shape), sample_axis=True, name="the module")
    except ModelError:
        _failure_to_run(module, shape)  # what it returns is better said in terms of the module than of its program
        raise
    network = converted(program)
    try:
        return with_agreement(
            network,
            program,
            lambda X: _run_in_float64(module, X),
            name="the module",
            is_batched=True,
            notes=(*network.notes, *_hook_notes(module), *_row_notes(module, shape)),
        )
    except ModelError:
        _check_sample_axis(module, shape)
        raise


# ---- at the door


def _inferred_shape(module: nn.Module) -> tuple[int, ...]:
    """The size of flat inputs that the module runs on, from the Linears and BatchNorm1ds that it consists of.

    Modules need not use their parts in the order in which they list them, so each size is tried.
    """
    sizes = [
        part.in_features if isinstance(part, nn.Linear) else part.num_features
        for part in module.modules()
        if isinstance(part, nn.Linear | nn.BatchNorm1d)
    ]
    for size in dict.fromkeys(sizes):
        if _failure_to_run(module, (size,)) is None:
            return (size,)
    _check_norms(module)
    for size in dict.fromkeys(sizes):
        _check_whole_numbers(module, (size,))
    if not sizes:
        raise ModelError("the module has no Linear or BatchNorm1d to take the input shape from; pass input_shape=")
    raise ModelError(
        f"the module does not run on flat samples of the size of one of its Linears or BatchNorm1ds ({sizes[0]}, for "
        "example); pass input_shape="
    )


def _row_notes(module: nn.Module, shape: tuple[int, ...]) -> Iterator[str]:
    """Modules such as Linears alone treat each row of a sample by itself; the rows may have been meant as samples."""
    if len(shape) < 2 or shape[0] < 2 or not any(isinstance(part, nn.Linear) for part in module.modules()):
        return
    rows = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    try:
        within, together, alone = (_run_in_float64(module, X) for X in (rows[None], rows, rows[:1]))
    except ModelError:
        return
    by_itself = within.shape[1:] == together.shape == (shape[0], *alone.shape[1:])
    if by_itself and torch.allclose(within[0], together) and torch.allclose(together[:1], alone):
        yield (
            f"a sample has the shape {shape}, and the module treats each of its {shape[0]} rows by itself; if the "
            f"first axis counts samples, leave it out: input_shape={shape[1:]}"
        )


def _parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    yield from module.named_modules()


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _check_tensors(module: nn.Module) -> None:
    """Refuse modules whose numbers are not there, or are of another sort."""
    for name, tensor in _tensors(module):
        if nn.parameter.is_lazy(tensor) or tensor.is_meta:
            raise ModelError(
                f"{name} has no values yet; run the module once, or load its weights, before converting it"
            )
        if tensor.is_complex() or tensor.is_quantized:
            what = "complex" if tensor.is_complex() else "quantised"
            raise ModelError(f"{name} is {what}; expected real floating-point numbers")
    quantised = tuple(
        f"{name} ({type(part).__name__})"
        for name, part in _parts(module)
        if ".quantized" in type(part).__module__ and not name.endswith("_packed_params")  # what a module keeps
    )
    if quantised:
        raise ModelError(
            f"the model contains quantised modules: {', '.join(quantised)}; their "
            "arithmetic rounds to few bits; convert the floating-point model that they were made from",
            unsupported=quantised,
        )


def _hook_notes(module: nn.Module) -> Iterator[str]:
    """Hooks run when the module is exported, so what they change is converted; the user may have forgotten them."""
    for name, part in _parts(module):
        if any(vars(part).get(hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks")):
            yield f"{name or 'the module'} has hooks; what they change is part of the network"


# ---- export


def _exported(module: nn.Module, shape: tuple[int, ...]) -> ExportedProgram:
    """The module as a graph of operators for one sample."""
    first = next((tensor for _, tensor in _tensors(module) if tensor.is_floating_point()), torch.empty(0))
    example = torch.zeros(1, *shape, dtype=first.dtype, device=first.device)
    try:
        with torch.no_grad(), quiet():
            return decomposed(torch.export.export(module, (example,), strict=False))
    except Exception as error:  # whatever torch or the model's own code raises
        _check_norms(module)
        failure = _failure_to_run(module, shape)  # then that is why it cannot be exported
        if failure is not None:
            _check_whole_numbers(module, shape)
            _check_sample_axis(module, shape)
            raise _not_run(module, shape, failure) from failure
        raise ModelError(
            f"torch.export cannot export {type(module).__name__} for a sample of shape {shape} ({first_line(error)}); "
            "check input_shape, and write its forward in torch alone, for one tensor and without decisions that depend "
            "on values"
        ) from error


def _check_sample_axis(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Say so where the first axis of a shape counts samples: without it, and only so, one sample gives one output.

    Raises:
        InputError: that is so.
    """
    if len(shape) > 1 and _gives_one(module, shape[1:]) and not _gives_one(module, shape):
        raise InputError(
            "input_shape",
            expected="the shape of one sample",
            got=f"{shape}, which the module does not take",
            hint=f"leave out the axis that counts samples: input_shape={shape[1:]}",
        )


def _gives_one(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether the module makes one output of one sample of that shape."""
    try:
        outputs = _called_in_float64(module, torch.zeros(1, *shape, dtype=torch.float64))
    except Exception:  # whatever the model's own code raises
        return False
    return isinstance(outputs, Tensor) and outputs.shape[:1] == (1,)


def _check_norms(module: nn.Module) -> None:
    """Say so where batch norm without statistics of its own is why a single sample cannot be run."""
    without = tuple(
        f"{name} ({type(part).__name__}: it uses the statistics of its input)"
        for name, part in _parts(module)
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) and part.running_mean is None
    )
    if without:
        raise ModelError(
            f"the model contains operators that are not supported: {', '.join(without)}", unsupported=without
        )


# ---- the module itself


def _failure_to_run(module: nn.Module, shape: tuple[int, ...]) -> Exception | None:
    """What happens when the module runs on one sample; None if nothing does.

    Raises:
        ModelError: it returns something else than a tensor.
    """
    try:
        outputs = _called_in_float64(module, torch.zeros(1, *shape, dtype=torch.float64))
    except Exception as error:  # whatever the model's own code raises
        return error
    check_output(outputs)
    return None


def _not_run(module: nn.Module, shape: tuple[int, ...], error: Exception) -> ModelError:
    return ModelError(
        f"{type(module).__name__} cannot be run on a sample of shape {shape} ({first_line(error)}); check input_shape"
    )


def _check_whole_numbers(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Say so where a module takes whole numbers, such as those of words, and nothing else."""
    try:
        with _Embedded():
            _called_in_float64(module, torch.zeros(1, *shape, dtype=torch.float64))
        return
    except _LooksUpError:
        pass
    except Exception:  # whatever the model's own code raises
        try:
            _called_in_float64(module, torch.zeros(1, *shape, dtype=torch.int64))
        except Exception:  # whole numbers are not the reason then
            return
    raise ModelError(
        "the module takes whole numbers, such as the numbers of words, and no floating-point numbers; a preimage is a "
        "set of real vectors: convert what comes behind the embedding, as a module of its own"
    )


class _LooksUpError(Exception):
    """Raised where a floating-point number is taken for that of a word."""


class _Embedded(TorchFunctionMode):
    """While it is active, a table is asked for nothing but whole numbers."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one function of torch."""
        asked = args[0] if args else None
        if func in _TABLES and isinstance(asked, Tensor) and asked.is_floating_point():
            raise _LooksUpError
        return func(*args, **(kwargs or {}))


_TABLES = (nn.functional.embedding, nn.functional.embedding_bag, nn.functional.one_hot)


def _called_in_float64(module: nn.Module, X: Tensor) -> Any:
    stand_ins = {name: stand_in(tensor) for name, tensor in _tensors(module)}
    device = next((tensor.device for tensor in stand_ins.values()), torch.device("cpu"))
    with torch.no_grad(), quiet(), InFloat64():
        return torch.func.functional_call(module, stand_ins, (X.detach().clone().to(device),))


def _run_in_float64(module: nn.Module, X: Tensor) -> Tensor:
    """Run the caller's module with its numbers in float64, without touching them: stand-ins are passed for the call.

    Args:
        module: the module.
        X: (N, *input_shape), float64.

    Raises:
        ModelError: its code does not run, or returns something else than a tensor.
    """
    try:
        outputs = _called_in_float64(module, X)
    except Exception as error:  # whatever the model's own code raises
        raise _not_run(module, tuple(X.shape[1:]), error) from error
    check_output(outputs)
    return outputs


__all__ = ["from_torch"]
