"""ONNX models for tests: those that come with the onnx package, and small ones made here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from fiberscope.readers.onnx.versions import operator_of

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
"""Models of the onnx package."""


@dataclass(frozen=True)
class WheelCase:
    """A model with inputs and the outputs that are expected of it.

    Attributes:
        name: its name in the onnx package.
        model: the model.
        inputs: arrays (or sequences of them, where a case is about these).
        outputs: the expected results.
        tolerance: what the case allows relative to the result.
    """

    name: str
    model: ModelProto
    inputs: Sequence[object]
    outputs: Sequence[object]
    tolerance: float

    @property
    def operators(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(operator_of(node) for node in self.model.graph.node))


def stored_cases(folder: str) -> Iterator[WheelCase]:
    """The cases in a folder of the package: simple, pytorch-operator, pytorch-converted."""
    for path in sorted((DATA / folder).iterdir()):
        model = onnx.load(path / "model.onnx")
        data = sorted(path.glob("test_data_set_*"))[0]
        inputs, outputs = (
            [_tensor(file) for file in sorted(data.glob(f"{kind}_*.pb"), key=lambda f: int(f.stem.split("_")[1]))]
            for kind in ("input", "output")
        )
        yield WheelCase(path.name, model, inputs, outputs, 1e-4)


def _tensor(path: Path) -> object:
    """A stored tensor; a sequence, which is stored differently, as None."""
    tensor = TensorProto()
    try:
        tensor.ParseFromString(path.read_bytes())
        return numpy_helper.to_array(tensor)
    except Exception:
        return None


def _array(value: object) -> object:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


@cache
def node_cases() -> tuple[WheelCase, ...]:
    """The package's cases for single operators, which it generates."""
    cases: list[WheelCase] = []
    with np.errstate(all="ignore"):
        collected = collect_testcases(None)
    for case in collected:
        inputs, outputs = case.data_sets[0]
        arrays = ([_array(value) for value in values] for values in (inputs, outputs))
        cases.append(WheelCase(case.name, case.model, *arrays, max(case.rtol, 1e-4)))
    return tuple(cases)


def baked(case: WheelCase) -> ModelProto:
    """The model with every input but the first stored in it, as far as they are tensors, and its first output alone."""
    model = ModelProto()
    model.CopyFrom(case.model)
    del model.graph.output[1:]
    stored = {tensor.name for tensor in model.graph.initializer}
    free = [value for value in model.graph.input if value.name not in stored]
    for value, array in list(zip(free, case.inputs, strict=False))[1:]:
        if isinstance(array, np.ndarray | np.generic):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), value.name))
            model.graph.input.remove(value)
    return model


def written(model: ModelProto, path: Path) -> Path:
    """The path, with the model in it."""
    path.write_bytes(model.SerializeToString())
    return path


def model_of(
    nodes: Sequence[NodeProto], shape: Sequence[int | str | None], constants: dict[str, np.ndarray], *,
    opset: int = 17, output: str = "y", kind: int = TensorProto.FLOAT,
) -> ModelProto:  # fmt: skip
    """A model from ``x`` to ``output`` with these operations and constants."""
    graph = helper.make_graph(
        list(nodes),
        "model",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_empty_tensor_value_info(output)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
