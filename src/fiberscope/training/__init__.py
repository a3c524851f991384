"""Training layers that can be inverted, or cannot: penalties, baselines to compare with, and measuring meanwhile.

This package imports torch; ``import fiberscope`` does not import it.
"""

from fiberscope.training.baselines import (
    SRIP,
    Orthogonality,
    SmoothSailing,
    SpectralClip,
    bound_singular_values,
    parseval_retraction,
)
from fiberscope.training.correlation import RemovedCorrelation
from fiberscope.training.frame import FrameBound, Volume
from fiberscope.training.jacobian import JacobianCondition
from fiberscope.training.margin import ActiveMargin
from fiberscope.training.measuring import Watch, measure, plot
from fiberscope.training.omnidirectionality import Omnidirectionality

__all__ = [
    "SRIP",
    "ActiveMargin",
    "FrameBound",
    "JacobianCondition",
    "Omnidirectionality",
    "Orthogonality",
    "RemovedCorrelation",
    "SmoothSailing",
    "SpectralClip",
    "Volume",
    "Watch",
    "bound_singular_values",
    "measure",
    "parseval_retraction",
    "plot",
]
