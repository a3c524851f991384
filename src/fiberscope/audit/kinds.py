"""The table of all kinds of work, in the order in which an audit does them."""

from __future__ import annotations

from fiberscope.audit.leakage import Leakage
from fiberscope.audit.spectra import Spectra
from fiberscope.audit.survey import Survey
from fiberscope.audit.verdicts import Verdicts
from fiberscope.audit.work import AnyWork

KINDS: tuple[AnyWork, ...] = (Verdicts(), Spectra(), Survey(), Leakage())

__all__ = ["KINDS"]
