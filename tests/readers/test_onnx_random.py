"""Random small graphs: the network computes what onnxruntime computes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, helper

import fiberscope as fs
from drawn_examples import examples
from readers.onnx_models import model_of, written

Shape = tuple[int, ...]


@dataclass
class Graph:
    """A graph while it grows: the tensors that there are, with their shapes."""

    rng: np.random.Generator
    tensors: dict[str, Shape]
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def constant(self, *shape: int) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = self.rng.standard_normal(shape).astype(np.float32)
        return name

    def whole(self, *numbers: int) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(numbers, dtype=np.int64)
        return name

    def add(self, operator: str, inputs: list[str], shape: Shape, **attributes: object) -> None:
        number = len(self.nodes)
        name = f"t{number}"
        self.nodes.append(helper.make_node(operator, inputs, [name], f"{operator.lower()}{number}", **attributes))
        self.tensors[name] = shape


def pads_of(draw: st.DrawFn, kernel: list[int]) -> list[int]:
    return [draw(st.integers(0, size - 1)) for size in kernel * 2]


def window(draw: st.DrawFn, grid: Shape) -> tuple[list[int], dict[str, object]]:
    """A kernel that fits on a grid, and attributes for it."""
    kernel = [draw(st.integers(1, min(3, size))) for size in grid]
    if draw(st.booleans()):
        return kernel, {"strides": [draw(st.integers(1, size)) for size in kernel], "auto_pad": draw(
            st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))}  # fmt: skip
    strides = [draw(st.integers(1, 2)) for _ in kernel]
    return kernel, {"strides": strides, "pads": pads_of(draw, kernel)}


def output_grid(grid: Shape, kernel: list[int], attributes: dict[str, object], rounds_up: bool = False) -> Shape:
    strides = attributes["strides"]
    assert isinstance(strides, list)
    mode = attributes.get("auto_pad", "")
    if str(mode).startswith("SAME"):
        return tuple(-(-size // step) for size, step in zip(grid, strides, strict=True))
    pads = attributes.get("pads", [0] * 2 * len(grid))
    assert isinstance(pads, list)
    out: list[int] = []
    for i, (size, taps, step) in enumerate(zip(grid, kernel, strides, strict=True)):
        low, high = pads[i], pads[i + len(grid)]
        room = size + low + high - taps
        count = room // step + 1
        out.append(count + (rounds_up and room % step > 0 and count * step < size + low))
    return tuple(out)


def grow(draw: st.DrawFn, graph: Graph) -> None:
    """Add one operation to the graph."""
    source = draw(st.sampled_from(sorted(graph.tensors)))
    shape = graph.tensors[source]
    same = sorted(name for name, other in graph.tensors.items() if other == shape)
    kinds = ["relu", "pointwise", "add", "scale", "maximum", "flatten"]
    kinds += ["conv", "average", "max", "pad", "concat", "transpose", "slice", "spread"] * (len(shape) == 4)
    kinds += ["gemm", "matmul", "reshape"] * (len(shape) == 2)
    kind = draw(st.sampled_from(kinds))
    _BUILD[kind](draw, graph, source, shape, same)


def relu(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    graph.add("Relu", [source], shape)


def pointwise(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    operator = draw(st.sampled_from(["LeakyRelu", "Elu", "Tanh", "Sigmoid", "Softplus", "Abs", "PRelu", "Clip", "Neg"]))
    more = {"PRelu": lambda: [graph.constant(*shape[1:])], "Clip": lambda: [graph.constant()]}
    graph.add(operator, [source, *more.get(operator, list)()], shape)


def add(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    graph.add(draw(st.sampled_from(["Add", "Sub"])), [source, draw(st.sampled_from(same))], shape)


def scale(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    constant = graph.constant(*shape[draw(st.integers(1, len(shape))) :])
    operands = draw(st.permutations([source, constant]))
    graph.add(draw(st.sampled_from(["Add", "Sub", "Mul"])), list(operands), shape)


def maximum(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    others = draw(st.lists(st.sampled_from(same), max_size=2, unique=True))
    constants = [graph.constant(1)] * draw(st.booleans())
    graph.add(draw(st.sampled_from(["Max", "Min"])), [source, *others, *constants], shape)


def flatten(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    graph.add("Flatten", [source], (1, int(np.prod(shape))))


def conv(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    kernel, attributes = window(draw, shape[2:])
    groups = draw(st.sampled_from([n for n in range(1, shape[1] + 1) if shape[1] % n == 0]))
    channels = groups * draw(st.integers(1, 2))
    inputs = [source, graph.constant(channels, shape[1] // groups, *kernel)]
    inputs += [graph.constant(channels)] * draw(st.booleans())
    graph.add("Conv", inputs, (1, channels, *output_grid(shape[2:], kernel, attributes)), group=groups, **attributes)


def spread(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    channels, kernel, stride = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    more = draw(st.integers(0, stride - 1))
    grid = tuple(stride * (size - 1) + kernel + more for size in shape[2:])
    inputs = [source, graph.constant(shape[1], channels, kernel, kernel)]
    graph.add("ConvTranspose", inputs, (1, channels, *grid), strides=[stride] * 2, output_padding=[more] * 2)


def average(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    kernel, attributes = window(draw, shape[2:])
    counts = draw(st.integers(0, 1))
    grid = output_grid(shape[2:], kernel, attributes)
    graph.add("AveragePool", [source], (*shape[:2], *grid), kernel_shape=kernel, count_include_pad=counts, **attributes)


def largest(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    kernel, attributes = window(draw, shape[2:])
    pads = attributes.get("pads", [1])
    assert isinstance(pads, list)
    # onnxruntime's shape inference goes wrong where a last window would begin on the padding
    up = not any(pads[len(pads) // 2 :]) and draw(st.booleans())
    grid = output_grid(shape[2:], kernel, attributes, up)
    graph.add("MaxPool", [source], (*shape[:2], *grid), kernel_shape=kernel, ceil_mode=int(up), **attributes)


def pad(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    pads = [0, 0, *(draw(st.integers(0, 1)) for _ in range(2)), 0, *(draw(st.integers(0, 2)) for _ in range(3))]
    grid = tuple(size + low + high for size, low, high in zip(shape, pads[:4], pads[4:], strict=True))
    mode = draw(st.sampled_from(["constant", "edge"]))
    graph.add("Pad", [source, graph.whole(*pads), graph.constant()], grid, mode=mode)


def concat(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    others = draw(st.lists(st.sampled_from(same), min_size=1, max_size=2))
    graph.add("Concat", [source, *others], (1, shape[1] * (1 + len(others)), *shape[2:]), axis=1)


def transpose(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    order = [0, *draw(st.permutations([1, 2, 3]))]
    graph.add("Transpose", [source], tuple(shape[i] for i in order), perm=order)


def cut(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    axis = draw(st.integers(1, 3))
    step = draw(st.sampled_from([-2, -1, 1, 2]))
    start, end = (-1, -1000) if step < 0 else (draw(st.integers(0, shape[axis] - 1)), 1000)
    taken = len(range(shape[axis])[slice(start, None, step)])
    inputs = [source, *(graph.whole(number) for number in (start, end, axis, step))]
    graph.add("Slice", inputs, (*shape[:axis], taken, *shape[axis + 1 :]))


def gemm(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    outputs, flag = draw(st.integers(1, 4)), draw(st.integers(0, 1))
    weight = graph.constant(*((outputs, shape[1]) if flag else (shape[1], outputs)))
    alpha, beta = draw(st.sampled_from([1.0, 0.5, 3.0])), draw(st.sampled_from([1.0, 0.7]))
    inputs = [source, weight, graph.constant(*draw(st.sampled_from([(outputs,), (1, outputs), (1,)])))]
    graph.add("Gemm", inputs, (1, outputs), transB=flag, alpha=alpha, beta=beta)


def matmul(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    outputs = draw(st.integers(1, 4))
    graph.add("MatMul", [source, graph.constant(shape[1], outputs)], (1, outputs))


def reshape(draw: st.DrawFn, graph: Graph, source: str, shape: Shape, same: list[str]) -> None:
    channels = draw(st.sampled_from([n for n in range(1, shape[1] + 1) if shape[1] % n == 0]))
    graph.add("Reshape", [source, graph.whole(0, channels, -1, 1)], (1, channels, shape[1] // channels, 1))


_BUILD = {
    "add": add, "average": average, "concat": concat, "conv": conv, "flatten": flatten, "gemm": gemm, "matmul": matmul,
    "max": largest, "maximum": maximum, "pad": pad, "pointwise": pointwise, "relu": relu, "reshape": reshape,
    "scale": scale, "slice": cut, "spread": spread, "transpose": transpose,
}  # fmt: skip


@st.composite
def models(draw: st.DrawFn) -> tuple[ModelProto, Shape]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(1, 2, 5, 4), (1, 3, 4, 4), (1, 6)]))
    graph = Graph(rng, {"x": shape})
    for _ in range(draw(st.integers(1, 8))):
        grow(draw, graph)
    output = graph.nodes[-1].output[0]
    return model_of(graph.nodes, ("batch", *shape[1:]), graph.constants, opset=17, output=output), shape


@examples(60)
@given(models())
def test_random_graphs_compute_what_onnxruntime_computes(case: tuple[ModelProto, Shape]):
    model, shape = case
    with tempfile.TemporaryDirectory() as folder:
        network = fs.load(written(model, Path(folder) / "m.onnx"))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for x in np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32):
        (expected,) = session.run(None, {"x": x})
        values = network(x if len(network.input_shape) == len(shape) - 1 else x[None])
        assert values.reshape(-1).shape == expected.reshape(-1).shape
        size = np.abs(expected).max() + 1.0
        np.testing.assert_allclose(values.reshape(-1), expected.reshape(-1), rtol=1e-4, atol=1e-4 * size)
