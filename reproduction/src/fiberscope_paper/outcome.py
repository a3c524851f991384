"""What an experiment gives: a figure or a table, the numbers behind it, and what the paper says about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fiberscope_paper.networks import UsedNetwork
from fiberscope_paper.sources import UsedData

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Claim:
    """One statement of the paper beside the measurement.

    Attributes:
        paper: what the paper says.
        measured: what came out here.
        holds: whether the measurement agrees; None where it cannot tell.
        why: why the two differ; may be empty only where they agree.
    """

    paper: str
    measured: str
    holds: bool | None
    why: str = ""

    def __post_init__(self) -> None:
        assert self.why or self.holds, f"a claim that does not hold needs a reason: {self.paper}"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an experiment found.

    Attributes:
        title: of the figure or table; names the data where they stand in for the paper's.
        caption: plainly which data, network, seed, accuracy and number of samples.
        facts: numbers of the experiment, as JSON data.
        claims: the paper's statements beside the measurements.
        figure: the drawing; None for a table.
        numbers: the columns of the numbers that are drawn, of equal length; None for a table.
        text: the table in Markdown; empty for a figure.
        data: the samples that were used; None where there are none.
        network: the network that was used; None where there is none.
        other_networks: those that are shown beside it.
        samples: how many samples enter; 0 where there are none.
        unproved: how many verdicts or examples are not proved.
        seconds_before: of the processor, for what a run before had measured and kept.
    """

    title: str
    caption: str
    facts: Mapping[str, Any]
    claims: tuple[Claim, ...]
    figure: Figure | None = None
    numbers: Mapping[str, Any] | None = None
    text: str = ""
    data: UsedData | None = None
    network: UsedNetwork | None = None
    other_networks: tuple[UsedNetwork, ...] = ()
    samples: int = 0
    unproved: int = field(default=0, kw_only=True)
    seconds_before: float = field(default=0.0, kw_only=True)


__all__ = ["Claim", "Outcome"]
