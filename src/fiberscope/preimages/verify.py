"""Re-checking verdicts: the door between a claim, which may be anybody's object, and the checker, which sees numbers.

A claim, its layer and its domain may be objects of anybody's class, and whatever is asked of them may run their code:
an attribute, a comparison, even ``isinstance``. So all of it is fetched here, before anything is proved, into arrays of
numpy's own class and one block of bytes. Weights are not copied: once everything is fetched, nothing of the claim runs
any more that could change them. Code that runs by itself, in threads or when objects are collected, is nothing that a
checker in the same process could withstand.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64

from fiberscope.checker.curves import Curves
from fiberscope.checker.monotone import Products, Received, on_received, prove_outputs
from fiberscope.checker.unwritten import Unwritten
from fiberscope.checker.verdicts import Claim as PlainClaim
from fiberscope.checker.verdicts import System
from fiberscope.checker.windows import seen
from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages.certificate import Certificate
from fiberscope.preimages.interval import Interval
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.no_claim import check_claim
from fiberscope.preimages.verification import MalformedError, Verification, curves_of, matrix, plain, weight_of

_Layer: TypeAlias = tuple[System, Any, Curves]
"""A layer on its domain; its units that are among them, None for all; and what they compute."""

WHOLE_NUMBERS = (int, *(np.dtype(code).type for code in "bBhHiIlLqQ"))
NUMBERS = (float, *WHOLE_NUMBERS, *(np.dtype(code).type for code in "efd"))


@runtime_checkable
class Claim(Protocol):
    """The part of a preimage that is proved; ``within`` and ``dimension_bounds`` may be missing."""

    @property
    def layer(self) -> ReLULayer:
        """The layer."""
        ...

    @property
    def domain(self) -> Domain | None:
        """The domain; None for all of R^n."""
        ...

    @property
    def x(self) -> FloatArray | None:
        """The input, or None."""
        ...

    @property
    def y(self) -> FloatArray | Interval | None:
        """The output, or None."""
        ...

    @property
    def kind(self) -> Kind:
        """The claimed kind."""
        ...

    @property
    def dimension(self) -> int | None:
        """The claimed dimension."""
        ...

    @property
    def certificate(self) -> Certificate:
        """What is to prove it."""
        ...


def verify(claim: Claim, exact: bool = False) -> Verification:
    """Prove a verdict (kind and dimension) from its certificate, the original weights and the input or output alone.

    Every certificate states linear relations between rows of the layer. The float checker bounds their residuals and
    the smallest singular value that turns a residual into a distance to an exact solution; the exact checker tests the
    same conditions in rational numbers.

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
    question = _question(claim)  # asked once for both attempts
    if isinstance(question, str):
        check_claim(claim)
    proof = Verification(False, "float") if exact else _attempt(question, "float")
    return proof if proof else _attempt(question, "exact")


def verify_in_float(claim: Claim) -> Verification:
    """Prove a verdict in float64 alone."""
    return _attempt(_question(claim), "float")


def verify_many(claims: Sequence[Claim], threads: int = 1) -> Bool[BoolArray, " N"]:
    """Prove verdicts in float64 with rigorous error bounds, those about one layer and one domain together.

    What certificates that are the same objects say is measured once for all of them. What is proved depends neither on
    the order of the claims nor on the threads.

    Args:
        claims: N preimages, or anything that ``verify`` takes.
        threads: how many threads work. Linear algebra should use one thread for each (``fiberscope.threads``).

    Returns:
        (N,) whether each is proved. What is not may still be proved by rational arithmetic. As with ``verify``, bad
        certificate data is never an exception.
    """
    alike = _alike(claims)  # all of them before any proof
    systems = {key: _system(together[0][1]) for key, together in alike.items()}
    proved = np.zeros(len(claims), dtype=np.bool_)

    def prove(share: tuple[_Layer, list[tuple[int, _ReadClaim]]]) -> None:
        system, together = share
        found = prove_outputs(system[0], system[2], [asked.said.about(*system[:2]) for _, asked in together])
        proved[[index for index, _ in together]] = [reason == "" for reason, _ in found]

    shares = [
        (system, share)
        for key, together in alike.items()
        if not isinstance(system := systems[key], str)
        for share in _shares(together, threads)
    ]
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(prove, shares))
    return proved


def radii(claims: Sequence[Claim], centers: Sequence[FloatArray]) -> Float64[FloatArray, " N"]:
    """Proved bounds on the Euclidean distances of all points of preimages from a point; inf where there is none.

    Args:
        claims: N of them, as for ``verify``.
        centers: (n,) each: x itself where the claim is about an input, else any point.
    """
    out, alike = np.full(len(claims), np.inf), _alike(claims)
    for together in alike.values():
        system, left = _system(together[0][1]), together
        if isinstance(system, str):
            continue
        for exact in (False, True):
            said = [asked.said.about(*system[:2]) for _, asked in left]
            beside = [np.array(centers[k], dtype=np.float64) for k, _ in left]
            found = prove_outputs(system[0], system[2], said, beside, rational=exact)
            out[[k for k, _ in left]] = [size for _, size in found]
            left = [one for one, (reason, _) in zip(left, found, strict=True) if reason]
    return out


@dataclass(frozen=True, eq=False)
class _Statement:
    """What a claim says in plain numbers."""

    x: Any
    output: Any
    within: float | FloatArray
    kind: str
    dimensions: tuple[int, int]
    certificate: bytes

    def about(self, system: System, units: Any) -> PlainClaim:
        """The same about a system of all units of a layer, or of some, whose every unit has a precision."""
        if isinstance(self.within, np.ndarray):
            within = self.within if units is None else self.within[..., units]
            within = np.stack([within, within]) if within.ndim == 1 else within
        else:
            within = np.full((2, *system.bias.shape), self.within)
        return PlainClaim(self.x, self.output, within, self.kind, self.dimensions, self.certificate)


@dataclass(frozen=True, eq=False)
class _ReadClaim:
    """What a claim says, and its layer and domain, which are still anybody's objects."""

    said: _Statement
    layer: Any
    domain: Any


def _alike(claims: Sequence[Claim]) -> dict[tuple[int, int, bool], list[tuple[int, _ReadClaim]]]:
    """What claims say, with their places, by layer, by domain, and by whether they are about inputs."""
    written: dict[int, tuple[Any, bytes]] = {}
    alike: dict[tuple[int, int, bool], list[tuple[int, _ReadClaim]]] = {}
    for index, claim in enumerate(claims):
        asked = _read_claim(claim, written)
        if isinstance(asked, _ReadClaim):
            alike.setdefault((id(asked.layer), id(asked.domain), asked.said.x is None), []).append((index, asked))
    return alike


def _shares(together: list[tuple[int, _ReadClaim]], threads: int) -> list[list[tuple[int, _ReadClaim]]]:
    """Claims for each thread; those with the same certificate stay together."""
    if threads == 1:
        return [together]
    by_certificate: dict[bytes, list[tuple[int, _ReadClaim]]] = {}
    for indexed in together:
        by_certificate.setdefault(indexed[1].said.certificate, []).append(indexed)
    shares: list[list[tuple[int, _ReadClaim]]] = [[] for _ in range(threads)]
    for k, group in enumerate(by_certificate.values()):
        shares[k % threads].extend(group)
    return [share for share in shares if share]


def _question(claim: Any) -> tuple[_Layer, PlainClaim] | str:
    """Everything that a claim says; or, in words, why it says nothing."""
    asked = _read_claim(claim, {})
    if isinstance(asked, str):
        return asked
    system = _system(asked)
    return system if isinstance(system, str) else (system, asked.said.about(*system[:2]))


def in_numbers(claim: Any) -> tuple[System, Received] | str:
    """What a claim is about, for other proofs about the same inputs; or, in words, why it says nothing.

    Strictly monotone units are asked about what they receive.
    """
    question = _question(claim)
    if isinstance(question, str):
        return question
    (system, _, curves), said = question
    received = on_received(Products(system), curves, said)
    return received if isinstance(received, str) else (system, received)


def _attempt(question: tuple[_Layer, PlainClaim] | str, method: Literal["float", "exact"]) -> Verification:
    """Try to prove what a claim says; none of the claim's own code runs."""
    if isinstance(question, str):
        return Verification(False, method, question)
    (system, _, curves), claim = question
    if claim.kind == Kind.UNDECIDED:
        return Verification(False, method, "undecided: nothing is claimed that can be proved")
    ((reason, _),) = prove_outputs(system, curves, [claim], rational=method == "exact")
    return Verification(reason == "", method, reason)


def _read_claim(claim: Any, written: dict[int, tuple[Any, bytes]]) -> _ReadClaim | str:
    """Everything that a claim says but the numbers of its layer and domain; or, in words, why it says nothing.

    Args:
        claim: of anybody's class.
        written: the bytes of certificates that were asked for already, by identity; with the objects, so that no other
            one takes theirs.
    """
    try:
        certificate, layer, domain = claim.certificate, claim.layer, claim.domain
        kind, dimension, x, y = claim.kind, claim.dimension, claim.x, claim.y
        within, bounds = getattr(claim, "within", 0.0), getattr(claim, "dimension_bounds", None)
        if type(certificate) is not Certificate:  # nor a subclass, which could run code of its own
            return "expected a certificate, got something else"
        if id(certificate) not in written:
            written[id(certificate)] = certificate, bytes(certificate.to_bytes(compact=False))
        low, high = (_copied(side, "y") for side in ((y.low, y.high) if type(y) is Interval else (y, y)))
        named, size = _kind(kind), _dimension(dimension)
        said = _Statement(
            *(_copied(x, "x"), None if low is None else np.stack([low, high]), _within(within), named),
            *(dimensions(named, size, _bounds(bounds, size)), written[id(certificate)][1]),
        )
        return _ReadClaim(said, layer, domain)
    except MalformedError as failure:
        return str(failure)
    except Exception as error:  # a claim may be anybody's class
        return _malformed(error)


def _system(asked: _ReadClaim) -> _Layer | str:
    """The numbers of a claim's layer and domain; or, in words, why there are none."""
    try:
        layer: Any = asked.layer
        if type(layer) is not ReLULayer and not hasattr(layer, "weight"):  # asked for, a large layer would write it out
            return f"the claim is malformed: its layer has no weights, it is {shown(layer)}"
        weight = weight_of(layer)
        bias = plain(layer.constants if isinstance(weight, Unwritten) else layer.bias)
        injective = plain(layer.injective)
        # what has no clip is a layer of ReLUs
        low, high = (
            plain(getattr(layer, name, np.full(bias.shape, usual))) for name, usual in (("low", 0.0), ("high", np.inf))
        )
        if injective.dtype != np.bool_ or not injective.shape == low.shape == high.shape:
            return "the layer does not say which units are strictly monotone"
        # no end cuts these off, whatever a layer says of it
        low, high = np.where(injective, -np.inf, low), np.where(injective, np.inf, high)
        box = as_polyhedron(asked.domain, weight.shape[1])
        system = System(weight, bias, low, high, plain(box.low), plain(box.high), matrix(box.G), plain(box.h))
        curves = curves_of(injective, getattr(layer, "monotone", None))
        system, units = (system, None) if asked.said.x is None else seen(system)
        return system, units, curves if units is None else curves.of(units)
    except MalformedError as failure:
        return f"a part of the layer or of the domain {failure}"
    except Exception as error:  # these, too
        return _malformed(error)


def _malformed(error: Exception) -> str:
    """In words: what this package says of a wrong argument, of other errors what they are."""
    said = error if type(error) is InputError else f"a part of it cannot be read ({type(error).__name__})"
    return f"the claim is malformed: {said}"


def _copied(value: Any, what: str) -> Any:
    """A copy of an input or an output: small, and their caller may go on to change them."""
    if value is None:
        return None
    try:
        return np.array(plain(value))
    except MalformedError as error:
        raise MalformedError(f"{what} {error}") from error


def _within(value: Any) -> float | FloatArray:
    """A number, or a copy of an array of them."""
    if any(type(value) is known for known in NUMBERS):
        return float(value)
    if value is None:
        raise MalformedError("within is no array of numbers")
    return _copied(value, "within")


def _kind(value: Any) -> str:
    if type(value) is Kind or (type(value) is str and value in set(Kind)):
        return str(value)
    raise MalformedError("the kind is none that a preimage has")


def _dimension(value: Any) -> int | None:
    if value is None:
        return None
    # exact classes: a subclass of int may convert to another number than it compares as
    if not any(type(value) is known for known in WHOLE_NUMBERS):
        raise MalformedError("the dimension is not a whole number")
    return int(value)


def dimensions(kind: str, dimension: int | None, bounds: tuple[int, int] | None) -> tuple[int, int]:
    """What is claimed of the dimension: one number, bounds, or what the kind says of it.

    Raises:
        MalformedError: of such a kind the dimension is known, and is not given.
    """
    if dimension is not None:
        return dimension, dimension
    if bounds is None and kind in ("empty", "singleton"):
        raise MalformedError(f"of kind {kind} the dimension is known, and not given")
    return bounds or (-1 if kind == "undecided" else 1, 2**62)


def _bounds(value: Any, dimension: int | None) -> tuple[int, int] | None:
    if value is None:
        return None
    sizes = tuple(_dimension(each) for each in cast("tuple[Any, ...]", value)) if type(value) is tuple else ()
    if len(sizes) != 2 or sizes[0] is None or sizes[1] is None:
        raise MalformedError("bounds on the dimension are not two whole numbers")
    if dimension is not None and not sizes[0] <= dimension <= sizes[1]:
        raise MalformedError(f"the dimension {dimension} lies outside of the bounds {sizes[0]} to {sizes[1]} on it")
    return sizes[0], sizes[1]


__all__ = ["Claim", "Verification", "in_numbers", "verify", "verify_in_float", "verify_many"]
