"""What a float type rounds of a stage's own sums, against the stage computed in float32 from what is exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fiberscope as fs
from feature_networks import inputs, network
from fiberscope.invariance.feature_bands import checked_allowance
from fiberscope.network.network import Network


def in_float32(net: Network, stage: int, x: np.ndarray) -> np.ndarray:
    """The stage's outputs where what it receives, its weights and its sums are rounded to float32."""
    activation = net.stages[stage].activation
    if activation is not None and net.sources(stage) == (-1,):
        return activation.apply(torch.tensor(x[None]).float())[0].double().numpy()
    last = stage if activation is None else net.sources(stage)[0]
    total = np.zeros(net.stages[last].outputs, dtype=np.float32)
    for source, affine in zip(net.sources(last), net.stages[last].maps, strict=True):
        received = x if source == -1 else net.evaluated(x[None], source)[0]
        b = affine.apply(torch.zeros(1, affine.inputs, dtype=torch.float64))[0].numpy()
        A = affine.apply(torch.eye(affine.inputs, dtype=torch.float64)).numpy() - b
        total = total + (received.astype(np.float32) @ A.astype(np.float32) + b.astype(np.float32))
    z = torch.tensor(total[None])
    return (z if activation is None else activation.apply(z))[0].double().numpy()


@pytest.mark.parametrize("name", ["dense", "conv", "residual", "maxpool", "leaky", "clip"])
def test_a_stage_in_float32_is_as_near_as_is_said(name: str) -> None:
    net, moved = network(name), 0.0
    for x in inputs(net.input_shape, 3, seed=2):
        flat = x.ravel()
        for stage in range(len(net.stages)):
            if net.stages[stage].activation is not None and net.stages[net.sources(stage)[0]].activation is not None:
                continue  # an activation behind another one
            off = np.abs(in_float32(net, stage, flat) - net.evaluated(flat[None], stage)[0])
            allowed = checked_allowance(net, stage, flat, "float32")
            assert (off <= allowed).all()
            assert np.max(allowed) < 2e-4  # of numbers near 1
            moved = max(moved, float(np.max(off)))
    assert moved > 0


def test_behind_no_layer_codes_have_no_step() -> None:
    net = network("dense")
    with pytest.raises(fs.InputError, match="a float type or numbers, behind no ReLU layer"):
        checked_allowance(net, 4, np.full(net.inputs, 0.5), "int8")
    assert np.max(checked_allowance(net, 4, np.full(net.inputs, 0.5), "float16")) > 0
