"""Programs of ``torch.export``: graphs of ATen operators on tensors."""

from __future__ import annotations

import contextlib
import io
import logging
import operator
import warnings
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass
from threading import RLock
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument

from fiberscope.errors import ModelError
from fiberscope.readers.torch.call import operator_name
from fiberscope.readers.torch.float64 import InFloat64, stand_in
from fiberscope.readers.torch.operators import is_known

_COMPOSITE = ("column_stack", "dstack", "einsum", "inner", "instance_norm", "tensordot")
"""Operators that export keeps whole and that are taken apart here."""


@dataclass(frozen=True, eq=False)
class Program:
    """One exported computation of one tensor from one tensor.

    Attributes:
        module: the graph and the order of its placeholders.
        tensors: what the placeholders other than the input hold; the caller's own tensors, only read.
        titles: what the model calls these tensors.
        input: the name of the input's placeholder.
        output: the node that is returned.
        position: which of the returned values that is.
        shape: the shape of the input of one run.
        sample_axis: whether its first axis is that of the samples, of length one.
    """

    module: fx.GraphModule
    tensors: Mapping[str, Any]
    titles: Mapping[str, str]
    input: str
    output: fx.Node
    position: int
    shape: tuple[int, ...]
    sample_axis: bool

    def run(
        self, state: Mapping[str, Any], x: Tensor, wanted: Collection[str] = ()
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the program in float64, node by node.

        Args:
            state: ``self.state()``.
            x: the input.
            wanted: the names of nodes whose values are kept.

        Returns:
            The output, and the kept values.
        """
        recorder = _Recorder(self.module, wanted)
        placeholders = [node.name for node in self.module.graph.nodes if node.op == "placeholder"]
        with torch.no_grad(), InFloat64(on_cpu=True):
            outputs: Any = recorder.run(*(x.clone() if name == self.input else state[name] for name in placeholders))
        return outputs[self.position], recorder.seen

    @property
    def is_float32(self) -> bool:
        """Whether its numbers are stored in float32 and lie on the CPU, so that it can be run as it is."""
        tensors = [item for item in self.tensors.values() if isinstance(item, Tensor)]
        kinds = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
        return kinds == {torch.float32} and all(tensor.device.type == "cpu" for tensor in tensors)

    def run_in_float32(self, x: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """Run a program whose numbers are float32 as it is; the values of some of its nodes."""
        recorder = _Recorder(self.module, wanted)
        placeholders = [node.name for node in self.module.graph.nodes if node.op == "placeholder"]
        copies = {name: item.clone() if isinstance(item, Tensor) else item for name, item in self.tensors.items()}
        with torch.no_grad():
            recorder.run(*(x.float() if name == self.input else copies[name] for name in placeholders))
        return recorder.seen

    def state(self) -> dict[str, Any]:
        """Stand-ins for all tensors, on the CPU; see ``stand_in``."""
        return {
            name: stand_in(item, "cpu") if isinstance(item, Tensor) else item for name, item in self.tensors.items()
        }


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps what some of its nodes give."""

    def __init__(self, module: fx.GraphModule, wanted: Collection[str]) -> None:
        super().__init__(module)
        self.seen: dict[str, Tensor] = {}
        self._wanted = wanted

    def run_node(self, n: fx.Node) -> Any:
        """Run one node."""
        result = super().run_node(n)
        if n.name in self._wanted and isinstance(result, Tensor):
            self.seen[n.name] = result.clone()  # later nodes may write into it
        return result


def program_of(exported: ExportedProgram, *, shape: tuple[int, ...], sample_axis: bool, name: str) -> Program:
    """The program with what it needs by name.

    Args:
        exported: as torch gives it.
        shape: the shape of the input of one run.
        sample_axis: whether its first axis is that of the samples.
        name: what the program was made from, for messages.

    Raises:
        ModelError: several inputs or outputs, an output that is no tensor, or a program that changes its own buffers.
    """
    tensors: dict[str, Any] = {}
    titles: dict[str, str] = {}
    inputs: list[str] = []
    for spec in exported.graph_signature.input_specs:
        placeholder, target = spec.arg.name, spec.target
        if spec.kind is InputKind.USER_INPUT and isinstance(spec.arg, TensorArgument):
            inputs.append(placeholder)
        elif spec.kind is InputKind.USER_INPUT:
            tensors[placeholder] = spec.arg.value if isinstance(spec.arg, ConstantArgument) else None
        elif target is not None:
            tensors[placeholder] = exported.state_dict.get(target, exported.constants.get(target))
            titles[placeholder] = target
    if len(inputs) != 1:
        raise ModelError(f"{name} takes {len(inputs)} tensors ({', '.join(inputs)}); expected one")
    position = _output_position(exported, name)
    (end,) = [node for node in exported.graph.nodes if node.op == "output"]
    output: Any = end.args[0]
    return Program(exported.graph_module, tensors, titles, inputs[0], output[position], position, shape, sample_axis)


def _output_position(exported: ExportedProgram, name: str) -> int:
    outputs: list[int] = []
    for position, spec in enumerate(exported.graph_signature.output_specs):
        if spec.kind is OutputKind.BUFFER_MUTATION:
            raise ModelError(
                f"{name} changes its buffer {spec.target!r} when it runs, so that its output is no function of its "
                "input; write a forward that leaves it as it is"
            )
        if spec.kind is OutputKind.USER_OUTPUT:
            outputs.append(position)
    if len(outputs) != 1 or not isinstance(exported.graph_signature.output_specs[outputs[0]].arg, TensorArgument):
        raise ModelError(
            f"{name} returns {len(outputs)} values; expected one tensor: wrap it in a module that returns the one that "
            "you ask about"
        )
    return outputs[0]


def decomposed(exported: ExportedProgram) -> ExportedProgram:
    """The program without operations that write into tensors, and with composite operators taken apart."""
    targets: set[Any] = {node.target for node in exported.graph.nodes if node.op == "call_function"}
    if all(is_known(target) and not target._schema.is_mutable for target in targets - {operator.getitem}):
        return exported  # as it is: taking apart takes time
    composite = [target for target in targets if operator_name(target) in _COMPOSITE]
    table: Any = torch.export.default_decompositions() if composite else {}
    return exported.run_decompositions({target: table[target] for target in composite if target in table})


ONE_AT_A_TIME = RLock()
"""What torch.export changes while it runs, the module's own numbers among it, and what is made quiet, belong to the
whole process: threads take turns."""


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """What torch tells about its own workings while it exports is not for the user; errors are raised anyway."""
    with ONE_AT_A_TIME:
        disabled = logging.root.manager.disable
        logging.disable(logging.ERROR)
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                yield
        finally:
            logging.disable(disabled)


def first_line(error: BaseException) -> str:
    """The kind of a foreign error and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


__all__ = ["ONE_AT_A_TIME", "Program", "decomposed", "first_line", "program_of", "quiet"]
