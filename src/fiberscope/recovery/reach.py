"""What a stage of a network can give for any input of a box: an end of an interval beyond it says nothing."""

from __future__ import annotations

import numpy as np

from fiberscope.checker.forward import bounds
from fiberscope.checker.matrices import NotProvedError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.recovery.proof import stages_of


def reach(net: Network, stage: int, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bounds on what a stage gives for all inputs of a box, proved; infinite where there are none.

    Args:
        net: the network.
        stage: the number of the stage.
        low: (n,) of the box.
        high: (n,)
    """
    m = net.stages[stage].outputs
    nothing = np.full(m, -np.inf), np.full(m, np.inf)
    if not (np.isfinite(low) & np.isfinite(high)).all():
        return nothing
    try:
        return bounds(stages_of(net), low, high, last=stage)[stage]
    except NotProvedError:
        return nothing


__all__ = ["reach"]
