"""What cannot be converted is refused: by name, with a reason, and without a sound."""

from __future__ import annotations

import re
import sys
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import fiberscope as fs
from small_audits import small_network
from torch_modules import Function, assert_same, in_float64, randomised


def linear() -> nn.Linear:
    return nn.Linear(3, 3)


def test_training_mode_is_refused():
    with pytest.raises(fs.ModelError, match=r"call module\.eval\(\)"):
        fs.from_torch(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).eval()
    module[1].train()
    with pytest.raises(fs.ModelError, match="training mode"):
        fs.from_torch(module)


def test_unsupported_operators_are_all_named():
    module = nn.Sequential(
        nn.Conv2d(1, 1, 3), nn.GELU(), nn.Flatten(), nn.Linear(4, 2), nn.LayerNorm(2), nn.Sequential(nn.SiLU())
    ).eval()
    with pytest.raises(fs.ModelError, match="supported are affine maps") as caught:
        fs.from_torch(module, (1, 4, 4))
    assert caught.value.unsupported == ("1 (gelu)", "4 (layer_norm)", "5.0 (silu)")
    assert all(name in str(caught.value) for name in caught.value.unsupported)


def unsupported(function: Callable[[Any, torch.Tensor], Any]) -> tuple[str, ...]:
    with pytest.raises(fs.ModelError) as caught:
        fs.from_torch(Function(function, linear=linear(), norm=nn.BatchNorm1d(3, track_running_stats=False)).eval(), 3)
    return caught.value.unsupported


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (
            lambda m, x: m.linear(x) * torch.tanh(x) / x,
            ("mul (mul: self and other both depend on the input)", "div (div: its other depends on the input)"),
        ),
        (lambda m, x: torch.where(x > 0, x, 0.1 * x), ("gt (gt)", "where (where: its condition depends on the input)")),
        (lambda m, x: x * x.sum().item(), ("item (item)", "mul (mul: self and other both depend on the input)")),
        (lambda m, x: torch.addmm(x, x, x.T @ x), ("matmul (matmul: self and other both depend on the input)",
                                                 "addmm (addmm: mat1 and mat2 both depend on the input)")),
        (lambda m, x: x.softmax(1) + x, ("softmax (softmax: it is supported only at the end)",)),
        (lambda m, x: x.softmax(0), ("softmax (softmax: it is over the axis of the samples)",)),
        (lambda m, x: F.dropout(x, 0.5, training=True), ("dropout (dropout: it is random)",)),
        (lambda m, x: x + torch.randn(3), ("randn (randn: it is random)",)),
        (lambda m, x: F.softplus(x, 1, 5), ("softplus (softplus: its threshold is below 20, so that it jumps)",)),
        (lambda m, x: F.threshold(x, 1.0, 0.0), ("threshold (threshold: it jumps)",)),
        (lambda m, x: x.max(1)[1] + x.max(1)[0], ("getitem_1 (getitem: result 1 of max)",)),
        (lambda m, x: torch.div(x, 2, rounding_mode="floor"), ("div (div: it rounds)",)),
        (lambda m, x: x.long().float(), ("_to_copy (_to_copy: to torch.int64)",)),
        (lambda m, x: F.linear(m.linear.weight[:1], x), ("linear (linear: its weight depends on the input)",)),
        (lambda m, x: m.norm(x), ("norm (BatchNorm1d: it uses the statistics of its input)",)),
        (lambda m, x: F.instance_norm(x[:, None]), ("_native_batch_norm_legit (_native_batch_norm_legit: ...)",)),
        (lambda m, x: torch.cond(x.sum() > 0, lambda x: 2 * x, lambda x: -x, (x,)), ("gt (gt)", "cond (cond)")),
    ],
)  # fmt: skip
def test_unsupported_operators_have_their_reason(function: Callable[[Any, torch.Tensor], Any], named: tuple[str, ...]):
    got = unsupported(function)
    assert len(got) == len(named)
    assert all(ours.startswith(theirs.removesuffix("...)")) for ours, theirs in zip(got, named, strict=True)), got


class TwoInputs(nn.Module):
    def forward(self, x, z):
        return torch.relu(x + z)


@dataclass
class Output:
    logits: torch.Tensor
    hidden: torch.Tensor | None = None


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


class OrderedOutput(OrderedDict[str, torch.Tensor]):
    """As the outputs of transformers are."""


def counting(module: Any, x: torch.Tensor) -> torch.Tensor:
    module.count.add_(1)
    return x * module.count


by_value = Function(lambda m, x: x if x.sum() > 0 else -x)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Function(lambda m, x: (x * 2, x)), r"returns tuple \(its parts: \[0\], \[1\]\); wrap it"),
        (Function(lambda m, x: [x * 2]), r"returns list \(its parts: \[0\]\)"),
        (Function(lambda m, x: Pair(x * 2, x)), r"returns Pair \(its parts: .first, .second\)"),
        (Function(lambda m, x: {"out": x * 2}), r"returns dict \(its parts: \['out'\]\)"),
        (Function(lambda m, x: Output(x * 2)), r"returns Output \(its parts: .logits, .hidden\)"),
        (Function(lambda m, x: OrderedOutput(logits=x)), r"returns OrderedOutput \(its parts: \['logits'\]\)"),
        (Function(lambda m, x: None), "expected a module that returns one tensor, got one that returns nothing"),
        (Function(lambda m, x: torch.ones(1, 3)), "does not depend on its input"),
        (by_value, "without decisions that depend on values"),
        (Function(lambda m, x: torch.tensor(x.numpy())), "torch.export cannot export Function"),
        (TwoInputs(), r"TwoInputs.forward takes 2 inputs \(x, z\); expected one tensor"),
        (nn.ModuleList([nn.Linear(3, 3)]), "ModuleList has no forward.*nn.Sequential"),
        (nn.Sequential(nn.Embedding(7, 2), nn.Flatten()), "takes whole numbers.*behind the embedding"),
        (Function(lambda m, x: torch.eye(3)[x].sum(1)), "takes whole numbers"),
        (nn.Linear(4, 2), r"Linear cannot be run on a sample of shape \(3,\).*check input_shape"),
        (Function(lambda m, x: x.masked_fill(torch.tensor([True, False, False]), -torch.inf)), "masked_fill: .*finite"),
        (Function(lambda m, x: m.linear(x), linear=nn.Linear(3, 3, dtype=torch.complex64)), "linear.weight is complex"),
        (nn.LazyLinear(2), "no values yet"),
        (nn.Linear(2, 2, device="meta"), "no values yet"),
    ],
)
def test_what_is_no_function_of_one_tensor_is_refused(module: nn.Module, message: str):
    with pytest.raises(fs.ModelError, match=message):
        fs.from_torch(module.eval(), 3)


class ByName(nn.Module):
    def forward(self, *, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Function(lambda m, x: {"out": m.linear(x)}, linear=nn.Linear(3, 2)), r"returns dict \(its parts: \['out'\]\)"),
        (Function(lambda m, x: Output(m.linear(x)), linear=nn.Linear(3, 2)), r"returns Output \(its parts: .logits"),
        (
            Function(lambda m, x: m.last(m.table(x).mean(1)), table=nn.Embedding(7, 2), last=nn.Linear(2, 2)),
            "takes whole numbers.*behind the embedding",
        ),
        (nn.Sequential(nn.Linear(3, 2), nn.Linear(5, 2)), "does not run on flat samples.*pass input_shape="),
        (ByName(), r"ByName.forward takes no input but by name \(x=\); expected one tensor"),
    ],
)
def test_the_reason_is_the_same_without_an_input_shape(module: nn.Module, message: str):
    with pytest.raises(fs.ModelError, match=message):
        fs.from_torch(module.eval())


def test_a_module_that_changes_its_buffers_is_refused():
    module = Function(counting)
    module.register_buffer("count", torch.zeros(1))
    with pytest.raises(fs.ModelError, match="changes its buffer 'count'"):
        fs.from_torch(module.eval(), 3)
    assert module.count == 0


@pytest.mark.filterwarnings("ignore")
def test_quantised_modules_are_refused():
    floating = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()
    quantised = torch.ao.quantization.quantize_dynamic(floating, {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(fs.ModelError, match=r"quantised modules: 0 \(Linear\); .*floating-point model"):
        fs.from_torch(quantised)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.linear(x - x.mean(0)),
        lambda m, x: m.linear(x) + x.flip(0),
        lambda m, x: m.linear(x) / x.shape[0],
        lambda m, x: m.linear(x).flatten(),
    ],
)
def test_modules_that_mix_samples_are_refused(function: Callable[[Any, torch.Tensor], Any]):
    with pytest.raises(fs.ModelError, match="the module mixes samples"):
        fs.from_torch(randomised(Function(function, linear=linear())))


def test_a_module_of_one_sample_at_a_time():
    module = randomised(Function(lambda m, x: m.linear(x.reshape(1, -1)), linear=linear()))
    network = fs.from_torch(module)
    assert network.notes == ("the module takes only one sample at a time",)
    assert_same(module, network, samples=1)


GIVEN = {
    "a path": ("model.pt", "got 'model.pt'; read the file first, with fiberscope.load"),
    "another path": (Path("model.pt"), "got 'model.pt'; read the file first, with fiberscope.load"),
    "a class": (nn.ReLU, "got the class ReLU; pass an instance"),
    "weights": (nn.Linear(2, 2).state_dict(), "got an OrderedDict; weights alone.*load_state_dict"),
    "a checkpoint": ({"model": 1, "epoch": 3}, "got a dict; weights alone"),
    "a function": (torch.relu, "write it as the forward of a module"),
    "a list": ([nn.ReLU()], "put modules into an nn.Sequential"),
    "an array": (np.eye(2), r"use fiberscope.ReLULayer\(weight, bias\)"),
    "a tensor": (torch.eye(2), r"use fiberscope.ReLULayer\(weight, bias\)"),
    "a network": (small_network(), "got a Network; a network is what fiberscope.load gives"),
    "nothing": (None, "got None$"),
    "a number": (3, "got 3$"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("given", "message"), GIVEN.values(), ids=GIVEN)
def test_what_is_no_module_is_refused_with_what_to_do(given: Any, message: str):
    with pytest.raises(fs.InputError) as caught:
        fs.from_torch(given)
    said = str(caught.value)
    assert said.startswith("module: expected a torch.nn.Module or a program of torch.export, got ")
    assert re.search(message, said)


@pytest.mark.parametrize(
    "made",
    [
        torch.jit.script,
        lambda m: torch.jit.trace(m, torch.zeros(1, 2)),
        lambda m: torch.jit.freeze(torch.jit.script(m)),
        lambda m: nn.Sequential(torch.jit.freeze(torch.jit.script(m)), nn.ReLU()).eval(),
    ],
    ids=["scripted", "traced", "frozen", "inside"],
)
@pytest.mark.filterwarnings("ignore")
def test_torch_script_is_refused_with_what_to_pass_instead(made: Callable[[Any], Any]):
    with pytest.raises(fs.ModelError, match=r"TorchScript \(torch.jit\).*pass the Python module"):
        fs.from_torch(made(nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()))


def test_wrappers_of_several_devices_are_refused_with_what_they_wrap():
    wrapped = nn.DataParallel(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    for module in (wrapped, wrapped.eval()):
        with pytest.raises(fs.ModelError, match=r"DataParallel only runs another module.*model\.module"):
            fs.from_torch(module)
    inside = randomised(nn.Sequential(nn.DataParallel(nn.Linear(2, 2)), nn.ReLU()))
    assert_same(inside, fs.from_torch(inside))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_modules_of_other_precisions_are_taken_as_the_numbers_they_store(dtype: torch.dtype):
    module = randomised(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    module = module.to(dtype)
    network = fs.from_torch(module)
    np.testing.assert_array_equal(network.relu_layers[0].weight, module[0].weight.detach().double())


def test_a_compiled_module_is_that_which_was_compiled():
    module = randomised(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    assert fs.from_torch(torch.compile(module)).digest() == fs.from_torch(module).digest()


def test_shapes_that_do_not_fit_are_refused():
    module = nn.Sequential(nn.Linear(4, 2), nn.ReLU()).eval()
    with pytest.raises(fs.ModelError, match=r"sample of shape \(5,\).*check input_shape"):
        fs.from_torch(module, input_shape=5)
    for wrong in ((), (0, 4), (-4,)):
        with pytest.raises(fs.InputError, match="positive integers"):
            fs.from_torch(module, input_shape=wrong)
    for without in (nn.ReLU(), nn.Sequential(), nn.Conv2d(1, 1, 1), nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(4, 2))):
        with pytest.raises(fs.ModelError, match="pass input_shape="):
            fs.from_torch(without.eval())
    rows = fs.from_torch(module, input_shape=(3, 4))
    assert_same(module, rows)
    (note,) = rows.notes
    assert note.endswith("if the first axis counts samples, leave it out: input_shape=(4,)")
    assert not fs.from_torch(module, input_shape=(1, 4)).notes


def test_a_sample_axis_in_the_shape_is_named():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)).eval()
    with pytest.raises(fs.InputError, match=r"counts samples: input_shape=\(1, 6, 6\)"):
        fs.from_torch(module, input_shape=(-1, 1, 6, 6))
    for count in (1, 7):
        with pytest.raises(fs.InputError, match=r"counts samples: input_shape=\(1, 6, 6\)") as caught:
            fs.from_torch(module, input_shape=(count, 1, 6, 6))
        assert "Error" not in str(caught.value)


class InRowsOfFour(nn.Module):
    """Takes a batch apart into rows of four numbers, whatever its shape."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.view(-1, 4)).relu()


@pytest.mark.parametrize(
    ("module", "shape", "without"),
    [
        (nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)), (1, 4), "(4,)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (8, 2, 2), "(2, 2)"),
        (InRowsOfFour(), (8, 2, 2), "(2, 2)"),
        (InRowsOfFour(), (8, 4), "(4,)"),
    ],
)
def test_a_sample_axis_is_named_whatever_the_module_makes_of_it(
    module: nn.Module, shape: tuple[int, ...], without: str
):
    with pytest.raises(fs.InputError, match=re.escape(f"counts samples: input_shape={without}")):
        fs.from_torch(module.eval(), input_shape=shape)


def test_a_shape_that_fits_neither_way_is_not_called_a_sample_axis():
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).eval()
    with pytest.raises(fs.ModelError, match=r"to have 3 channels.*check input_shape"):
        fs.from_torch(module, input_shape=(6, 6, 3))


@pytest.mark.parametrize("shape", [None, 5, 7])
def test_an_embedding_is_the_reason_whatever_comes_behind_it(shape: int | None):
    module = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3), nn.ReLU()).eval()
    with pytest.raises(fs.ModelError, match=r"takes whole numbers.*behind the embedding"):
        fs.from_torch(module, input_shape=shape)


def test_threads_may_convert_at_the_same_time():
    """Of one module as well: torch.export takes its numbers away while it runs."""
    module, streams = nn.Sequential(nn.Linear(4, 2), nn.ReLU()).eval(), (sys.stdout, sys.stderr)
    with ThreadPoolExecutor(4) as pool:
        digests = {network.digest() for network in pool.map(fs.from_torch, [module] * 8)}
    assert digests == {fs.from_torch(module).digest()}
    assert (sys.stdout, sys.stderr) == streams


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(bad: float):
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()
    with torch.no_grad():
        module[0].weight[1, 0] = bad
    with pytest.raises(fs.ModelError, match=r"0\.weight.*finite.*\(1, 0\)"):
        fs.from_torch(module)


def test_a_bad_variance_is_refused_by_name():
    module = nn.Sequential(nn.BatchNorm1d(2)).eval()
    module[0].running_var[0] = -1.0
    with pytest.raises(fs.ModelError, match=r"^0: factor: expected finite numbers"):
        fs.from_torch(module)


# ---- hooks


def test_a_hook_that_export_sees_is_part_of_the_network():
    module = randomised(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    module[0].register_forward_hook(lambda *args: args[2] + 1e-3)
    network = fs.from_torch(module)
    assert "0 has hooks; what they change is part of the network" in network.notes
    X = np.random.default_rng(0).standard_normal((5, 2))
    np.testing.assert_allclose(network(X), in_float64(module, X), rtol=1e-12, atol=1e-12)


def always_positive() -> nn.Sequential:
    """Whatever a hook adds before the ReLU is seen behind it."""
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()
    nn.init.constant_(module[0].bias, 10.0)
    return module


def test_a_hook_that_export_does_not_see_is_noticed():
    module = always_positive()
    module[0].register_forward_hook(lambda *args: args[2] if torch.compiler.is_exporting() else args[2] + 1e-6)
    with pytest.raises(fs.ModelError, match=r"differs from the module.*remove hooks and code that changes values"):
        fs.from_torch(module)


def test_a_module_that_changes_with_every_call_is_noticed():
    calls: list[int] = []
    module = always_positive()
    module[0].register_forward_hook(lambda *args: args[2] + 1e-6 * len(calls) if calls.append(0) is None else None)
    with pytest.raises(fs.ModelError, match="differs from the module"):
        fs.from_torch(module)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(fs.ModelError):
        fs.from_torch(by_value.eval(), 3)
    fs.from_torch(randomised(Function(lambda m, x: m.linear(x.clone().mul_(2)), linear=linear())))
    assert capfd.readouterr() == ("", "")
