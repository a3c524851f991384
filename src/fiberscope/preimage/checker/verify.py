"""Re-checking a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fiberscope.preimage.checker import exact_checker, float_checker
from fiberscope.preimage.checker.statement import Claim, NotProvedError, statement_of


@dataclass(frozen=True)
class Verification:
    """Whether a certificate proves a verdict; truthy iff it does.

    Attributes:
        proved: whether the proof closed.
        method: the arithmetic it was tried in last: "float" (float64 with rigorous error bounds) or "exact" (rational).
        reason: where the proof broke off; empty if it is proved.
    """

    proved: bool
    method: Literal["float", "exact"]
    reason: str = ""

    def __bool__(self) -> bool:
        return self.proved


def verify(claim: Claim, exact: bool = False) -> Verification:
    """Prove a verdict (kind and dimension) from its certificate, the original weights and the input or output alone.

    Every certificate states linear relations between rows of the layer. The float checker bounds their residuals and
    the smallest singular value that turns a residual into a distance to an exact solution; the exact checker solves
    them in rational numbers.

    Args:
        claim: a ``Preimage`` (or anything with its ``layer, domain, x, y, kind, dimension, certificate``).
        exact: use rational arithmetic only. By default it is used only where the float proof does not close.

    Returns:
        The verification. Bad certificate data is never an exception: it is "not proved", with the reason.
    """
    proof = Verification(False, "float") if exact else _attempt(claim, "float")
    return proof if proof else _attempt(claim, "exact")


def verify_in_float(claim: Claim) -> Verification:
    """Prove a verdict by the float checker alone."""
    return _attempt(claim, "float")


SMALLEST_SUBNORMAL = 5e-324


def flushes_subnormal_numbers() -> bool:
    """Whether this process replaces subnormal numbers by zero, so that no error bound holds."""
    return bool(np.float64(SMALLEST_SUBNORMAL) * np.float64(1.0) == 0.0)


def _in_words(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # an exception of the certificate's own, whose text fails as well
        return type(error).__name__


def _attempt(claim: Claim, method: Literal["float", "exact"]) -> Verification:
    if flushes_subnormal_numbers():
        return Verification(False, method, "this process flushes subnormal numbers to zero, so no error bound holds")
    try:
        statement = statement_of(claim)
        (float_checker if method == "float" else exact_checker).check(statement, claim.certificate)
    except NotProvedError as failure:
        return Verification(False, method, str(failure))
    except Exception as error:  # garbage in a certificate may fail anywhere; it must never look like a proof or a crash
        return Verification(False, method, f"the certificate is malformed: {_in_words(error)}")
    return Verification(True, method)
