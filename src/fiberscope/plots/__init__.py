"""Pictures of tables, for notebooks and papers; results that hold what is drawn have a method ``plot``.

Every function takes ``ax``, the axes of matplotlib to draw on, makes new ones where that is None, and returns them.
Colours are those of the report.
"""

# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyarrow has no types

from __future__ import annotations

from fiberscope.plots.kinds import kinds_by_layer
from fiberscope.plots.leakage import leakage
from fiberscope.plots.spectra import condition_numbers, decay

__all__ = ["condition_numbers", "decay", "kinds_by_layer", "leakage"]
