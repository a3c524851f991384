"""fiberscope: exact, certified preimages of ReLU layers: what do they mix up, and what can be recovered?

Begin with ``results = fiberscope.audit("model.onnx", "mnist")``, then ``results.report()``. ``help(fiberscope.audit)``,
and likewise of every name below, says more; all of them at once follow further down.

Whole jobs
    audit, open_results, compare, load_data
Networks and layers
    load, from_torch, from_keras, ReLULayer; domains: Box, NonNegative, HalfSpaces, joined by &
One layer
    preimage, classify, coarsest_precision, injectivity, verify
From features back to inputs
    recover, network_verdicts, leakage
How stable the inverse is
    linearize, singular_values, spectra, inverse_stability, inverse_modulus, stability_radius,
    extreme_singular_values, spectral_density, saturation
Inputs with the same features
    invariance_example, invariance_examples, far_apart_examples, invariance_survey, walk_regions, optimal_over_regions
Pictures of tables, in fiberscope.plots (results have a method plot)
    condition_numbers, decay, kinds_by_layer, leakage
The lemmas of the paper, in fiberscope.theory
    omnidirectional, algorithm1, unique_solution, is_admissible, visited_patterns, interlacing_bound,
    correlation_bound, correlation_counts

Results show themselves in one line, and in notebooks as a card; those with a method verify are proved by it.
The public names are listed in ``__init__.pyi``. Each is imported from its module when it is first used, so that
``import fiberscope`` loads neither torch nor any solver.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # pyright: ignore[reportUnknownVariableType]

del lazy_loader
