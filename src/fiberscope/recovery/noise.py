"""The Cramer-Rao bound of inputs whose features have Gaussian noise."""

from __future__ import annotations

from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.stability.linearization import linearize
from fiberscope.stability.singular_values import singular_values


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


__all__ = ["cramer_rao"]
