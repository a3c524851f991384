"""Every operator of the table computes what torch computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import fiberscope as fs
from fiberscope.readers.torch.operators import OPERATORS
from torch_modules import Function, assert_same, randomised

Forward = Callable[[Any, torch.Tensor], torch.Tensor]


def assigned(_: Any, x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x[:, 0] = 5.0
    x[:, 1:] = x[:, :2] * 2
    x[:, [0, 2]] = x[:, [1, 1]]
    x[:, 2] += 1
    return x


def filled(_: Any, x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x[:, 1] = x[:, 0] if len(x) > 1 else x[0, 0]
    x[:, 2].copy_(x[:, 2])
    return x


def without_gradients(module: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        y = module.linear(x)
    return y + x


# on vectors of three numbers; m.linear is a Linear(3, 3), m.k three numbers that are no parameter
ON_VECTORS: dict[str, Forward] = {
    # products
    "linear": lambda m, x: F.linear(x, m.linear.weight),
    "matmul": lambda m, x: x @ m.linear.weight,
    "matmul with a vector": lambda m, x: x @ m.k,
    "addmm": lambda m, x: torch.addmm(m.k, x, m.linear.weight, beta=2, alpha=3),
    "addmm of three": lambda m, x: torch.addmm(x, x, m.linear.weight, beta=2, alpha=3),
    "einsum": lambda m, x: torch.einsum("bi,ki->bk", x, m.linear.weight),
    "tensordot": lambda m, x: torch.tensordot(x, m.linear.weight, dims=([1], [0])),
    # arithmetic
    "add": lambda m, x: torch.add(x, m.linear(x), alpha=-2) + m.k,
    "add to itself": lambda m, x: x + x,
    "add, broadcast": lambda m, x: x[:, :, None] + m.linear(x)[:, None, :],
    "sub": lambda m, x: torch.sub(m.linear(x), x, alpha=2) - 0.5,
    "sub from a constant": lambda m, x: m.k - x,
    "rsub": lambda m, x: torch.rsub(x, m.k, alpha=3) + (2 - x),
    "mul": lambda m, x: 3 * m.k * m.linear(x),
    "mul, broadcast": lambda m, x: x[:, :, None] * m.k[None, None],
    "div": lambda m, x: m.linear(x) / m.k / 7,
    "neg": lambda m, x: -x,
    "normalise": lambda m, x: (x - m.k) / m.k.abs(),
    # activations
    "clamp from below": lambda m, x: m.linear(x).clamp(min=0.5),
    "clamp at zero": lambda m, x: m.linear(x).clamp(min=0),
    "clamp from above": lambda m, x: m.linear(x).clamp(max=0.5),
    "clamp": lambda m, x: m.linear(x).clamp(-1, 2),
    "clamp by numbers": lambda m, x: m.linear(x).clamp(min=m.k, max=m.k + 1),
    "maximum": lambda m, x: torch.maximum(m.linear(x), x),
    "maximum with a constant": lambda m, x: torch.maximum(x, m.k),
    "minimum": lambda m, x: torch.minimum(m.linear(x), x[:, :1]),
    "minimum with a constant": lambda m, x: torch.min(m.k, x),
    "abs": lambda m, x: m.linear(x.abs()).abs() + x.abs(),
    "log_sigmoid": lambda m, x: F.logsigmoid(m.linear(x)),
    "relu6": lambda m, x: F.relu6(m.linear(x)),
    "hardtanh": lambda m, x: F.hardtanh(m.linear(x), -0.5, 2.0),
    "threshold": lambda m, x: F.threshold(m.linear(x), 0.5, 0.5),
    # over axes
    "amax": lambda m, x: m.linear(x).amax(1),
    "amin": lambda m, x: m.linear(x).amin(-1, keepdim=True),
    "max": lambda m, x: m.linear(x).max(1, keepdim=True)[0],
    "min": lambda m, x: m.linear(x).min(1).values,
    "mean": lambda m, x: m.linear(x).mean(-1, keepdim=True) + x,
    "sum": lambda m, x: x.sum(1),
    # moving
    "assign": assigned,
    "fill": filled,
    "cat": lambda m, x: torch.cat([F.relu(m.linear(x)), F.relu(-x)], 1),
    "cat with a constant": lambda m, x: torch.cat([x, m.k[None].expand(x.size(0), 3), x], 1),
    "cat with nothing": lambda m, x: torch.cat([x[:, :0], x], 1),
    "stack": lambda m, x: torch.stack([x, m.linear(x), x], 1),
    "stack behind": lambda m, x: torch.stack([x, m.linear(x)], -1).flatten(1),
    "hstack": lambda m, x: torch.hstack([x, m.linear(x)]),
    "split": lambda m, x: torch.cat(m.linear(x).split(1, 1)[::-1], 1),
    "unbind": lambda m, x: m.linear(x).unbind(1)[0][:, None] + x,
    "chunk": lambda m, x: x.chunk(2, 1)[0] - x.tensor_split(3, 1)[2],
    "where": lambda m, x: torch.where(m.k > 0, m.linear(x), x),
    "where, a number": lambda m, x: torch.where(m.k > 0, x, 0.5) + torch.where(m.k > 0, 1.5, x),
    "where, numbers": lambda m, x: torch.where(m.k > 0, x, m.k),
    "masked_fill": lambda m, x: x.masked_fill(m.k > 0, 2.5),
    "roll, flip": lambda m, x: torch.roll(m.linear(x), 1, 1) + x.flip(1),
    "index": lambda m, x: x[:, [2, 0]],
    "index_select": lambda m, x: x.index_select(1, torch.tensor([1, 1])),
    "gather": lambda m, x: x.gather(1, torch.tensor([[2, 0, 0]]).expand(x.shape[0], 3)),
    "repeat": lambda m, x: F.relu(x.repeat(1, 2)),
    "repeat_interleave": lambda m, x: x.repeat_interleave(2, 1),
    "tril": lambda m, x: torch.tril(x[:, :, None].expand(-1, 3, 3)),
    "unfold": lambda m, x: x.unfold(1, 2, 1),
    "pad": lambda m, x: F.pad(m.linear(x), (1, -1), value=2.0),
    "squeeze": lambda m, x: m.linear(x.unsqueeze(2).squeeze()),
    "transpose": lambda m, x: m.linear(x.T.contiguous().T),
    "unflatten": lambda m, x: x.unflatten(1, (3, 1)).transpose(1, 2),
    "narrow": lambda m, x: x.narrow(1, 1, 2),
    # constants and casts
    "casts": lambda m, x: m.linear(x.to(m.linear.weight.dtype)).double(),
    "maximum, broadcast": lambda m, x: torch.maximum(x[:, :, None], torch.zeros(1, 1, 2)),
    "tensors made on the way": lambda m, x: x * torch.tensor([1.0, 2.0, 4.0]) + torch.ones(3) + torch.arange(3),
    "constants like the input": lambda m, x: x + torch.ones_like(x) + x.new_full((3,), 2.0) + torch.zeros(x.shape),
    "sizes": lambda m, x: x.view(x.shape[0], -1)[:, : x.size(1) - 1] / x.shape[1],
    "no_grad": without_gradients,
    "detach": lambda m, x: m.linear(x.detach().clone().contiguous()),
    "dropout": lambda m, x: F.dropout(m.linear(x), 0.5, training=m.training),
}


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("name", ON_VECTORS)
def test_on_vectors(name: str):
    module = randomised(Function(ON_VECTORS[name], linear=nn.Linear(3, 3)))
    module.k = torch.tensor([1.3, -0.4, 0.7])
    assert_same(module, fs.from_torch(module, 3))


# on pictures (4, 4, 4); m.linear is a Linear(4, 5), m.w of shape (4, 4, 4)
ON_PICTURES: dict[str, Forward] = {
    "rows times a matrix": lambda m, x: m.linear(x) @ m.linear.weight,
    "a matrix times columns": lambda m, x: m.w[0] @ x,
    "a vector times columns": lambda m, x: m.w[0, 0] @ x,
    "rows times matrices": lambda m, x: x @ m.w,
    "matrices times columns": lambda m, x: m.w @ x,
    "bmm": lambda m, x: torch.bmm(m.w, x.flatten(0, 1).view(4, 4, 4)).view(x.shape) if len(x) == 1 else m.w @ x,
    "channels last": lambda m, x: m.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
    "mean": lambda m, x: x - x.mean((2, 3), keepdim=True),
    "mean of an axis": lambda m, x: x.mean(-2),
    "amax": lambda m, x: x.amax((1, 3)),
    "slices": lambda m, x: x[:, 1:, ::2, 1:-1],
    "select": lambda m, x: x[:, 0] + x.select(3, -1),
    "pad": lambda m, x: F.pad(x, (1, 2, 0, 1), value=-1.0),
    "pad, reflected": lambda m, x: F.pad(x, (1, 2, 0, 1), mode="reflect"),
    "pad, replicated": lambda m, x: F.pad(x, (1, 2, 0, 1), mode="replicate"),
    "pad, circular": lambda m, x: F.pad(x, (1, 2, 0, 1), mode="circular"),
    "pixel_shuffle": lambda m, x: F.pixel_unshuffle(F.relu(F.pixel_shuffle(x, 2)), 4),
    "channel_shuffle": lambda m, x: F.channel_shuffle(x, 2),
    "rot90": lambda m, x: torch.rot90(x, 1, (2, 3)),
    "im2col": lambda m, x: F.unfold(x, 2, padding=1),
    "nearest": lambda m, x: F.interpolate(F.interpolate(x, scale_factor=2), size=(5, 3)),
    "bilinear": lambda m, x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear, by size": lambda m, x: F.interpolate(x, size=(3, 7), mode="bilinear", align_corners=True),
    "bilinear, odd scales": lambda m, x: F.interpolate(x, scale_factor=(1.7, 0.6), mode="bilinear"),
    "linear": lambda m, x: F.interpolate(x[:, 0], scale_factor=1.5, mode="linear"),
    "trilinear": lambda m, x: F.interpolate(x[:, None], size=(3, 6, 5), mode="trilinear"),
    "expand": lambda m, x: torch.cat([x, x.mean((2, 3), keepdim=True).expand_as(x)], 1),
    "instance norm with statistics": lambda m, x: F.instance_norm(
        x, m.w[0, 0], m.w[1, 1] ** 2 + 0.1, use_input_stats=False
    ),
    "max pooling with indices": lambda m, x: F.max_pool2d(x, 2, return_indices=True)[0],
}


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("name", ON_PICTURES)
def test_on_pictures(name: str):
    module = randomised(Function(ON_PICTURES[name], linear=nn.Linear(4, 5)))
    module.w = torch.randn(4, 4, 4, generator=torch.Generator().manual_seed(0))
    assert_same(module, fs.from_torch(module, (4, 4, 4)))


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize(
    "activation",
    [
        nn.LeakyReLU(0.3), nn.PReLU(), nn.PReLU(4), nn.RReLU(), nn.ELU(2.0), nn.SELU(), nn.CELU(2.0), nn.Softplus(2.0),
        nn.Tanh(), nn.Sigmoid(), nn.Hardtanh(-0.5, 2.0), nn.ReLU6(), nn.Hardsigmoid(), nn.LogSigmoid(), nn.ReLU(True),
        nn.Dropout(), nn.AlphaDropout(), nn.Identity(),
    ],
    ids=str,
)  # fmt: skip
def test_activations(activation: nn.Module):
    module = randomised(nn.Sequential(nn.Linear(3, 4), activation))
    assert_same(module, fs.from_torch(module))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.AvgPool2d((3, 2), 2, 1, ceil_mode=True), (2, 6, 5)),
        (nn.AvgPool2d((3, 2), 2, 1, ceil_mode=True, count_include_pad=False), (2, 6, 5)),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 6, 5)),
        (nn.AvgPool2d(2, divisor_override=3), (2, 6, 5)),
        (nn.AvgPool1d(2, ceil_mode=True), (2, 7)),
        (nn.AvgPool3d(2), (2, 5, 4, 3)),
        (nn.MaxPool2d((3, 2), (2, 3), 1, dilation=(2, 1)), (2, 8, 7)),
        (nn.MaxPool2d((3, 2), (2, 3), 1, dilation=(2, 1), ceil_mode=True), (2, 8, 7)),
        (nn.MaxPool1d(2, ceil_mode=True), (2, 5)),
        (nn.MaxPool3d(2, ceil_mode=True), (1, 5, 5, 5)),
        (nn.AdaptiveAvgPool2d((5, 3)), (2, 7, 8)),
        (nn.AdaptiveAvgPool2d(1), (2, 7, 8)),
        (nn.AdaptiveAvgPool1d(3), (2, 7)),
        (nn.AdaptiveAvgPool3d((1, 2, 1)), (2, 3, 3, 3)),
        (nn.AdaptiveMaxPool2d((2, None)), (2, 5, 3)),
        (nn.AdaptiveMaxPool1d(2), (2, 5)),
        (nn.AdaptiveMaxPool3d(2), (1, 3, 3, 3)),
    ],
    ids=str,
)
def test_pooling(module: nn.Module, shape: tuple[int, ...]):
    assert_same(module.eval(), fs.from_torch(module, shape))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv2d(2, 3, (2, 3), padding="same", dilation=2), (2, 5, 6)),
        (nn.Conv2d(2, 4, 3, padding="valid", groups=2, bias=False), (2, 5, 6)),
        (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 5, 6)),
        (nn.Conv1d(2, 2, 2, padding=1, groups=2), (2, 5)),
        (nn.Conv3d(1, 2, 2, padding=1, stride=2), (1, 3, 4, 3)),
        (nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=1, groups=2), (2, 4, 3)),
        (nn.ConvTranspose2d(2, 2, (2, 3), stride=(1, 2), dilation=(3, 1), output_padding=(2, 0)), (2, 4, 3)),
        (nn.ConvTranspose1d(2, 1, 2, stride=3, padding=1), (2, 5)),
        (nn.ConvTranspose3d(2, 1, 2, stride=2), (2, 2, 3, 2)),
        (nn.BatchNorm2d(3), (3, 2, 2)),
        (nn.BatchNorm3d(2, affine=False), (2, 2, 2, 2)),
        (nn.Upsample(scale_factor=2), (2, 3, 3)),
    ],
    ids=str,
)
def test_convolutions_and_norms(module: nn.Module, shape: tuple[int, ...]):
    assert_same(randomised(module), fs.from_torch(module, shape))


@pytest.mark.parametrize(
    "norm",
    [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.orthogonal,
    ],
)
def test_weights_that_are_computed_are_folded(norm: Callable[[nn.Module], nn.Module]):
    module = nn.Sequential(norm(nn.Linear(3, 3)), nn.ReLU()).eval()
    network = fs.from_torch(module)
    assert [stage.kind for stage in network.stages] == ["affine", "relu"]
    X = np.random.default_rng(0).standard_normal((4, 3))
    np.testing.assert_allclose(network(X), module(torch.tensor(X).float()).detach().numpy(), atol=1e-5)


def test_every_operator_is_one_of_torch():
    assert [name for name in OPERATORS if not hasattr(torch.ops.aten, name)] == []


def test_a_constant_product_is_added():
    module = Function(lambda m, x: torch.addmm(x, m.k[None], m.linear.weight, alpha=3), linear=nn.Linear(3, 3))
    module.k = torch.tensor([1.3, -0.4, 0.7])
    network = fs.from_torch(randomised(module), 3)
    assert_same(module, network, samples=1)
    assert network.notes == ("the module takes only one sample at a time",)


def test_softplus_is_not_cut_off():
    module = nn.Sequential(nn.Linear(1, 1), nn.Softplus()).eval()
    with torch.no_grad():
        module[0].weight[:] = 1.0
        module[0].bias[:] = 0.0
    network = fs.from_torch(module)
    assert network([[25.0]])[0, 0] == np.logaddexp(25.0, 0.0) > 25.0
    assert any("softplus itself" in note for note in network.notes)


def test_many_rows_store_their_matrix_once():
    module = randomised(Function(lambda m, x: F.relu(m.linear(x)), linear=nn.Linear(40, 30)))
    network = fs.from_torch(module, (50, 40))
    assert_same(module, network)
    assert network.parameters < 2 * 40 * 30
    assert [stage.name for stage in network.stages] == ["linear", "relu"]
