"""Reading networks from programs of ``torch.export``, and from the files that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from fiberscope.errors import InputError, ModelError
from fiberscope.network.network import Network
from fiberscope.readers.archives import archive_of
from fiberscope.readers.torch.agreement import with_agreement
from fiberscope.readers.torch.call import bound, operator_name
from fiberscope.readers.torch.conversion import converted, place
from fiberscope.readers.torch.program import decomposed, first_line, program_of, quiet

Shape = tuple[int, ...]


def load_pt2(path: Path, *, trust: bool, input_shape: Shape | None = None) -> Network:
    """Read a program that ``torch.export.save`` wrote.

    Args:
        path: the file.
        trust: whether code in the file may run: torch unpickles parts of it.
        input_shape: the shape of one sample; it settles axes that the program leaves open.

    Returns:
        The network; its notes say that the file was trusted.

    Raises:
        InputError: a shape that the program does not take.
        ModelError: not trusted, damaged, or a program that cannot be converted.
    """
    if not trust:
        raise ModelError(
            f"{path}: a .pt2 file can run any code when it is loaded, so it is not opened; if you trust its origin as "
            "much as that of a program that you run, allow it with --trust-model (in Python: trust=True)",
            unsupported=(".pt2",),
        )
    if found := archive_of(path):
        raise ModelError(f"{path}: expected a program that torch.export.save wrote, got {found}")
    try:
        with quiet():
            exported = torch.export.load(path)
    except Exception as error:  # whatever torch raises for damaged files
        raise ModelError(
            f"{path}: expected a program that torch.export.save wrote, but torch cannot load it ({first_line(error)})"
        ) from error
    trusted = f"{path.name}: the model was loaded with trust; code in the file may have run"
    return network_of_program(exported, str(path), input_shape, trusted)


def network_of_program(exported: ExportedProgram, name: str, input_shape: Shape | None = None, *said: str) -> Network:
    """Convert a program, and compare the network with it.

    Args:
        exported: as torch gives it.
        name: what it is, for messages.
        input_shape: the shape of one sample; None for that of the example that it was exported with.
        *said: what the network's notes begin with.

    Raises:
        InputError: a shape that the program does not take.
        ModelError: a program in training mode, or one that cannot be converted.
    """
    _check_evaluation_mode(exported, name)
    shape, sample_axis, notes = _input_of(exported, name, input_shape)
    try:
        with torch.no_grad(), quiet():
            simple = decomposed(exported)
    except Exception as error:  # whatever torch raises
        raise ModelError(f"{name}: torch cannot take its operators apart ({first_line(error)})") from error
    program = program_of(simple, shape=shape, sample_axis=sample_axis, name=name)
    as_given = program_of(exported, shape=shape, sample_axis=sample_axis, name=name)
    network = converted(program)
    state = as_given.state()
    is_batched = sample_axis and not isinstance(_placeholder(exported).meta["val"].shape[0], int)
    return with_agreement(
        network,
        program,
        lambda X: as_given.run(state, X)[0],
        name="the program",
        is_batched=is_batched,
        notes=(*said, *notes, *network.notes),
    )


def is_unlifted(module: nn.Module) -> bool:
    """Whether this is what ``ExportedProgram.module()`` gives: a fixed graph, whatever its training flags say."""
    return any(kind.__module__ == "torch.export._unlift" for kind in type(module).__mro__)


def exported_again(module: fx.GraphModule) -> ExportedProgram:
    """The program that a module came from, for the inputs that it was exported for.

    Raises:
        ModelError: it does not take one tensor, or torch cannot export it.
    """
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    value = inputs[0].meta.get("val") if len(inputs) == 1 else None
    if not isinstance(value, Tensor):
        raise ModelError(f"the module takes {len(inputs)} inputs; expected one tensor")
    shape: tuple[Any, ...] = tuple(value.shape)  # symbols where the size is left open
    open_axes = {axis: Dim.AUTO for axis, size in enumerate(shape) if not isinstance(size, int)}
    example = torch.zeros([_size(size) for size in shape], dtype=value.dtype)
    try:
        with torch.no_grad(), quiet():
            return torch.export.export(module, (example,), dynamic_shapes=(open_axes,), strict=False)
    except Exception as error:  # whatever torch raises
        raise ModelError(
            f"torch.export cannot export the module of the program again ({first_line(error)}); pass the "
            "ExportedProgram itself"
        ) from error


# ---- what the program says


def _check_evaluation_mode(exported: ExportedProgram, name: str) -> None:
    """Refuse programs of modules in training mode: they have dropout that is random, and batch norm of the batch."""
    training = [
        f"{place(node)} ({operator_name(node.target)})"
        for node in exported.graph.nodes
        if node.op == "call_function" and hasattr(node.target, "_schema") and _trains(node)
    ]
    if training:
        raise ModelError(
            f"{name} was exported in training mode, in which dropout is random and batch norm depends on the other "
            f"samples: {', '.join(training)}; call module.eval(), and export it again",
            unsupported=tuple(training),
        )


def _trains(node: fx.Node) -> bool:
    arguments, kind = bound(node), operator_name(node.target)
    if "dropout" in kind:
        return arguments.get("train") is True
    # with statistics of its own; without any, it is the same in evaluation mode
    return "batch_norm" in kind and arguments.get("training") is True and arguments.get("running_mean") is not None


def _placeholder(exported: ExportedProgram) -> fx.Node:
    names = exported.graph_signature.user_inputs
    (node, *_) = [node for node in exported.graph.nodes if node.op == "placeholder" and node.name in names]
    return node


def _input_of(exported: ExportedProgram, name: str, input_shape: Shape | None) -> tuple[Shape, bool, tuple[str, ...]]:
    """The shape of the input of one run, whether its first axis is that of the samples, and notes about that."""
    if not exported.graph_signature.user_inputs:
        raise ModelError(f"{name} takes no tensor; expected one")
    value = _placeholder(exported).meta.get("val")
    if isinstance(value, Tensor) and not value.is_floating_point():
        raise ModelError(
            f"{name} takes whole numbers ({value.dtype}), such as the numbers of words; expected a program of one "
            "floating-point tensor: export what comes behind the embedding"
        )
    if not isinstance(value, Tensor) or value.ndim == 0:
        raise ModelError(f"{name}: expected a program of one floating-point tensor with at least one axis")
    shape: tuple[Any, ...] = tuple(value.shape)  # symbols where the size is left open
    is_open = [not isinstance(size, int) for size in shape]
    has_samples = len(shape) > 1 and (is_open[0] or shape[0] == 1)
    sizes = [_size(size) for size in shape]
    if input_shape is not None:
        first = 1 if has_samples else 0
        sizes[first:] = _settled(sizes[first:], is_open[first:], input_shape, has_samples=has_samples)
    notes: list[str] = []
    if any(is_open[1:]):
        notes.append(f"the program takes inputs of several sizes; this is the network for shape {tuple(sizes[1:])}")
    if has_samples:
        return (1, *sizes[1:]), True, tuple(notes)
    notes.append(
        f"the program was exported for inputs of shape {tuple(sizes)} and no other number of samples: the whole tensor "
        "is one sample"
    )
    return tuple(sizes), False, tuple(notes)


def _settled(sizes: list[int], is_open: list[bool], asked: Shape, *, has_samples: bool) -> list[int]:
    """The sizes that were asked for, where the program leaves them open."""
    fits = len(asked) == len(sizes) and all(
        free or size == wanted for size, free, wanted in zip(sizes, is_open, asked, strict=False)
    )
    if not fits:
        takes = ", ".join("any" if free else str(size) for size, free in zip(sizes, is_open, strict=True))
        hint = "" if has_samples else "for single samples, export it for one sample or for any number of them"
        raise InputError(
            "input_shape", expected=f"({takes}), for which the program was exported", got=str(asked), hint=hint
        )
    return list(asked)


def _size(size: Any) -> int:
    """The length of an axis; where it is open, that of the example that the program was exported with."""
    return size if isinstance(size, int) else int(size.node.hint)


__all__ = ["exported_again", "is_unlifted", "load_pt2", "network_of_program"]
