"""fiberscope: exact, certified preimages of ReLU layers.

The public names are listed in ``__all__``. Each is imported from its module when it is first used, so that
``import fiberscope`` loads neither torch nor any solver.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fiberscope.errors import (
        FiberscopeError,
        InputError,
        MemoryLimitError,
        ModelError,
        NotASingleton,
        ResultsError,
        SolverError,
    )
    from fiberscope.invariance.example import InvarianceExample
    from fiberscope.invariance.examples import invariance_example, invariance_examples
    from fiberscope.invariance.mixed_integer import Optimum, optimal_over_regions
    from fiberscope.invariance.objective import Objective
    from fiberscope.invariance.survey import invariance_survey
    from fiberscope.invariance.walk import Walk, walk_regions
    from fiberscope.network.domains import Box, HalfSpaces, NonNegative
    from fiberscope.network.network import Network
    from fiberscope.network.relu_layer import ReLULayer
    from fiberscope.preimage.algorithm1 import algorithm1
    from fiberscope.preimage.certificate import (
        Certificate,
        Direction,
        Face,
        Multipliers,
        Rational,
        Relations,
        Scaling,
    )
    from fiberscope.preimage.classify import Classification, classify
    from fiberscope.preimage.coarsest import CoarsestPrecision, CoarsestPrecisions, coarsest_precision
    from fiberscope.preimage.enclosure import Enclosure
    from fiberscope.preimage.injectivity import Injectivity, injectivity
    from fiberscope.preimage.interval import Interval
    from fiberscope.preimage.kind import Kind
    from fiberscope.preimage.omnidirectional import Omnidirectionality, UniqueSolution, omnidirectional, unique_solution
    from fiberscope.preimage.precision import Precision
    from fiberscope.preimage.preimage import Preimage, preimage
    from fiberscope.preimage.verification import Verification
    from fiberscope.preimage.verify import verify
    from fiberscope.readers.files import load
    from fiberscope.readers.keras import from_keras
    from fiberscope.readers.torch import from_torch
    from fiberscope.recovery.leakage import leakage
    from fiberscope.recovery.network_verdicts import network_verdicts
    from fiberscope.recovery.recover import recover
    from fiberscope.recovery.recovery import Recovery
    from fiberscope.stability.admissible import Admissibility, VisitedPatterns, is_admissible, visited_patterns
    from fiberscope.stability.correlation import (
        CorrelationBound,
        CorrelationCounts,
        correlation_bound,
        correlation_counts,
    )
    from fiberscope.stability.density import SpectralDensity, spectral_density
    from fiberscope.stability.directions import InputDirections
    from fiberscope.stability.extreme import ExtremeValues, extreme_singular_values
    from fiberscope.stability.interlacing import InterlacingBound, interlacing_bound
    from fiberscope.stability.inverse_stability import InverseStability, inverse_stability
    from fiberscope.stability.linearization import Linearization, linearize
    from fiberscope.stability.modulus import InverseModulus, StabilityRadius, inverse_modulus, stability_radius
    from fiberscope.stability.region import RegionBoundary
    from fiberscope.stability.saturation import Saturation, saturation
    from fiberscope.stability.singular_values import singular_values
    from fiberscope.stability.spectra import spectra
    from fiberscope.stability.spectrum import Spectrum

__version__ = "0.1.0.dev0"

__all__ = [
    "Admissibility",
    "Box",
    "Certificate",
    "Classification",
    "CoarsestPrecision",
    "CoarsestPrecisions",
    "CorrelationBound",
    "CorrelationCounts",
    "Direction",
    "Enclosure",
    "ExtremeValues",
    "Face",
    "FiberscopeError",
    "HalfSpaces",
    "Injectivity",
    "InputDirections",
    "InputError",
    "InterlacingBound",
    "Interval",
    "InvarianceExample",
    "InverseModulus",
    "InverseStability",
    "Kind",
    "Linearization",
    "MemoryLimitError",
    "ModelError",
    "Multipliers",
    "Network",
    "NonNegative",
    "NotASingleton",
    "Objective",
    "Omnidirectionality",
    "Optimum",
    "Precision",
    "Preimage",
    "Rational",
    "ReLULayer",
    "Recovery",
    "RegionBoundary",
    "Relations",
    "ResultsError",
    "Saturation",
    "Scaling",
    "SolverError",
    "SpectralDensity",
    "Spectrum",
    "StabilityRadius",
    "UniqueSolution",
    "Verification",
    "VisitedPatterns",
    "Walk",
    "algorithm1",
    "classify",
    "coarsest_precision",
    "correlation_bound",
    "correlation_counts",
    "extreme_singular_values",
    "from_keras",
    "from_torch",
    "injectivity",
    "interlacing_bound",
    "invariance_example",
    "invariance_examples",
    "invariance_survey",
    "inverse_modulus",
    "inverse_stability",
    "is_admissible",
    "leakage",
    "linearize",
    "load",
    "network_verdicts",
    "omnidirectional",
    "optimal_over_regions",
    "preimage",
    "recover",
    "saturation",
    "singular_values",
    "spectra",
    "spectral_density",
    "stability_radius",
    "unique_solution",
    "verify",
    "visited_patterns",
    "walk_regions",
]

_MODULE_OF = {
    "Admissibility": "stability.admissible",
    "Box": "network.domains",
    "Certificate": "preimage.certificate",
    "Classification": "preimage.classify",
    "CoarsestPrecision": "preimage.coarsest",
    "CoarsestPrecisions": "preimage.coarsest",
    "CorrelationBound": "stability.correlation",
    "CorrelationCounts": "stability.correlation",
    "Direction": "preimage.certificate",
    "Enclosure": "preimage.enclosure",
    "ExtremeValues": "stability.extreme",
    "Face": "preimage.certificate",
    "FiberscopeError": "errors",
    "HalfSpaces": "network.domains",
    "InputDirections": "stability.directions",
    "InputError": "errors",
    "InterlacingBound": "stability.interlacing",
    "Injectivity": "preimage.injectivity",
    "Interval": "preimage.interval",
    "InvarianceExample": "invariance.example",
    "InverseModulus": "stability.modulus",
    "InverseStability": "stability.inverse_stability",
    "Kind": "preimage.kind",
    "Linearization": "stability.linearization",
    "MemoryLimitError": "errors",
    "ModelError": "errors",
    "Multipliers": "preimage.certificate",
    "Network": "network.network",
    "NonNegative": "network.domains",
    "NotASingleton": "errors",
    "Objective": "invariance.objective",
    "Omnidirectionality": "preimage.omnidirectional",
    "Optimum": "invariance.mixed_integer",
    "Preimage": "preimage.preimage",
    "Precision": "preimage.precision",
    "Rational": "preimage.certificate",
    "ReLULayer": "network.relu_layer",
    "RegionBoundary": "stability.region",
    "Recovery": "recovery.recovery",
    "Relations": "preimage.certificate",
    "ResultsError": "errors",
    "SolverError": "errors",
    "Saturation": "stability.saturation",
    "Scaling": "preimage.certificate",
    "SpectralDensity": "stability.density",
    "Spectrum": "stability.spectrum",
    "StabilityRadius": "stability.modulus",
    "UniqueSolution": "preimage.omnidirectional",
    "Verification": "preimage.verification",
    "VisitedPatterns": "stability.admissible",
    "Walk": "invariance.walk",
    "algorithm1": "preimage.algorithm1",
    "classify": "preimage.classify",
    "coarsest_precision": "preimage.coarsest",
    "correlation_bound": "stability.correlation",
    "correlation_counts": "stability.correlation",
    "extreme_singular_values": "stability.extreme",
    "from_keras": "readers.keras",
    "from_torch": "readers.torch",
    "injectivity": "preimage.injectivity",
    "interlacing_bound": "stability.interlacing",
    "invariance_example": "invariance.examples",
    "invariance_examples": "invariance.examples",
    "invariance_survey": "invariance.survey",
    "inverse_modulus": "stability.modulus",
    "inverse_stability": "stability.inverse_stability",
    "is_admissible": "stability.admissible",
    "leakage": "recovery.leakage",
    "linearize": "stability.linearization",
    "load": "readers.files",
    "network_verdicts": "recovery.network_verdicts",
    "omnidirectional": "preimage.omnidirectional",
    "optimal_over_regions": "invariance.mixed_integer",
    "preimage": "preimage.preimage",
    "recover": "recovery.recover",
    "saturation": "stability.saturation",
    "singular_values": "stability.singular_values",
    "spectra": "stability.spectra",
    "spectral_density": "stability.density",
    "stability_radius": "stability.modulus",
    "unique_solution": "preimage.omnidirectional",
    "verify": "preimage.verify",
    "visited_patterns": "stability.admissible",
    "walk_regions": "invariance.walk",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _preimage_function(_: ModuleType) -> Any:
    return __getattr__("preimage")


def _keep_preimage_function(_: ModuleType, __: ModuleType) -> None:
    """Ignore the import system, which sets the attribute ``preimage`` to the sub-package of that name."""


class _Package(ModuleType):
    """This package, with ``fiberscope.preimage`` the function in whatever order things are imported.

    A sub-package and a public function share the name ``preimage``. After importing a sub-package the import system
    stores it as an attribute of its parent, which would hide the function from then on. A property takes precedence
    over stored attributes; ``from fiberscope.preimage.kind import Kind`` goes through ``sys.modules`` and works too.
    """

    if not TYPE_CHECKING:
        preimage = property(_preimage_function, _keep_preimage_function)


sys.modules[__name__].__class__ = _Package
