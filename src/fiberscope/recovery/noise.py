"""The Cramer-Rao bound of inputs whose features have Gaussian noise."""

from __future__ import annotations

from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.stability.linearization import linearize
from fiberscope.stability.singular_values import singular_values

PER_PRODUCT = 2e-10
"""Seconds of a dense singular value decomposition, per product of its sides and the shorter one: 0.2 s of 3500 by 784,
0.7 s of 1600 by 1600, on one core."""


def noise_seconds(net: Network, stage: int) -> float:
    """About how long ``cramer_rao`` takes, which cannot be interrupted."""
    n, m = net.inputs, net.stages[stage].outputs
    return PER_PRODUCT * float(n) * float(m) * float(min(n, m))


def cramer_rao(net: Network, x: FloatArray, stage: int, deviation: float) -> float:
    """``s^2 sum_i sigma_i^-2``: no unbiased estimate of the input has a smaller mean squared error, added up.

    With J the local linear map of the features, the Fisher information of noise with standard deviation s is
    ``J^T J / s^2``. Where J loses a direction no estimate is unbiased, and the bound is inf.

    Args:
        net: the network.
        x: (*input_shape) the input.
        stage: the number of the activation whose output the features are.
        deviation: s.
    """
    spectrum = singular_values(linearize(net, x, stage=stage))
    values = spectrum.values
    if spectrum.rank < x.size:
        return float("inf")
    return float(deviation**2 * (values[: x.size] ** -2.0).sum())


__all__ = ["cramer_rao", "noise_seconds"]
