"""One table of layers with known answers, used by every part of the tests.

The expectations are worked out by hand from the theory (each case says why) and confirmed by exact oracles in
``preimages/test_cases.py``; large ones by exact linear programming only.
"""

from __future__ import annotations

from case_tables.case import Case
from case_tables.domains import DOMAINS
from case_tables.large import LARGE
from case_tables.numbers import ROUNDING
from case_tables.rows import ALGORITHM_1_ERRS, DEPENDENT_ROWS, TIGHT, ZERO_ROWS

CASES: tuple[Case, ...] = (*ALGORITHM_1_ERRS, *ZERO_ROWS, *DEPENDENT_ROWS, *TIGHT, *DOMAINS, *ROUNDING, *LARGE)

__all__ = ["ALGORITHM_1_ERRS", "CASES", "Case"]
