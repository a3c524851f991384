"""Whether a claim is proved, and the network that it is proved about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.reading import StoredNetwork, read_network
from fiberscope.errors import ModelError
from fiberscope.showing.shown import Shown

if TYPE_CHECKING:
    from fiberscope.network.network import Network


@dataclass(frozen=True, repr=False)
class Verification(Shown):
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

    def _line(self) -> str:
        return f"{'proved' if self.proved else 'not proved'}, {self.method}{': ' if self.reason else ''}{self.reason}"


def verified(disproved: Callable[[], str], method: Literal["float", "exact"] = "float") -> Verification:
    """A claim is proved if the function says no reason why it is not; whatever that raises is one."""
    try:
        reason = disproved()
    except NotProvedError as failure:
        reason = str(failure)
    except Exception as error:  # a claim may be made of anything
        reason = f"the claim is malformed: {type(error).__name__}"
    return Verification(reason == "", method, reason)


def stored(network: Network) -> StoredNetwork:
    """The network as the checker reads it; NotProvedError where it cannot."""
    try:
        return read_network(network.to_bytes())
    except ModelError as error:
        raise NotProvedError(str(error)) from error


__all__ = ["Verification", "stored", "verified"]
