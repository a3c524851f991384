"""The table of all kinds of work, in the order in which an audit does them."""

from __future__ import annotations

from fiberscope.audits.leakage import Leakage
from fiberscope.audits.spectra import Spectra
from fiberscope.audits.survey import Survey
from fiberscope.audits.verdicts import Verdicts
from fiberscope.audits.work import AnyWork

KINDS: tuple[AnyWork, ...] = (Verdicts(), Spectra(), Survey(), Leakage())

__all__ = ["KINDS"]
