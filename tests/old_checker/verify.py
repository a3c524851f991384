"""Re-checking a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fiberscope.errors import InputError, shown
from fiberscope.preimages.no_claim import check_claim
from old_checker import exact_checker, float_checker
from old_checker.asking import Claim, NotProvedError
from old_checker.rounding import flushes_subnormal_numbers
from old_checker.scaling import scaled_statement
from old_checker.statement import Question, question_of, statement_of


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

    Raises:
        InputError: this is no claim at all: an object without these parts, or ``exact`` is neither True nor False.
    """
    if type(exact) not in (bool, np.bool_):  # a text such as "no" would count as yes
        raise InputError("exact", expected="True or False", got=shown(exact))
    question = ask(claim)  # once for both attempts
    if isinstance(question, str):
        check_claim(claim)
    proof = Verification(False, "float") if exact else attempt(question, "float")
    return proof if proof else attempt(question, "exact")


def verify_in_float(claim: Claim) -> Verification:
    """Prove a verdict by the float checker alone."""
    return attempt(ask(claim), "float")


def ask(claim: Claim) -> Question | str:
    """Everything that a claim says; or, in words, why it cannot be asked."""
    try:
        return question_of(claim)
    except NotProvedError as failure:
        return str(failure)
    except Exception as error:  # a claim may be anybody's class
        return _malformed(error)


def attempt(question: Question | str, method: Literal["float", "exact"]) -> Verification:
    """Try to prove what a claim says; none of the claim's own code runs."""
    if flushes_subnormal_numbers():
        return Verification(False, method, "this thread flushes subnormal numbers to zero, so no error bound holds")
    if isinstance(question, str):
        return Verification(False, method, question)
    try:
        statement, certificate = statement_of(question), question.verdict.certificate
        if method == "float":
            float_checker.check(*scaled_statement(statement, certificate))
        else:
            exact_checker.check(statement, certificate)
    except NotProvedError as failure:
        return Verification(False, method, str(failure))
    except Exception as error:  # garbage in a certificate may fail anywhere; it must never look like a proof or a crash
        return Verification(False, method, _malformed(error))
    return Verification(True, method)


def _malformed(error: Exception) -> str:
    try:
        return f"the certificate is malformed: {type(error).__name__}: {error}"
    except Exception:  # an exception of the claim's own, whose text fails as well
        return "the certificate is malformed"
