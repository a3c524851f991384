"""A second input with exactly the same features, by counting: fewer equations than input coordinates that may move.

A *cut* is a set of stages through which every path from the input to the features goes. If nothing of what they give
changes, the features do not. Near x, what they give changes only where a unit moves, and by an affine function of the
change d of the input, as long as the held units (``exact_walk``) are held. Let E count the held units before the cut,
the moving ones of the cut, and the half-spaces of the domain that x may lie on, and F the coordinates of x strictly
inside their bounds. If E < F, some d != 0 of these coordinates solves the E homogeneous equations, and so does every
multiple of it: for small t, ``x + t d`` lies in the domain and has the features of x. No arithmetic is in it but the
bounds of the walk, and no rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fiberscope.network.arrays import IntArray
from fiberscope.network.network import Network
from fiberscope.network.stage import INPUT

NEVER = np.iinfo(np.int64).max
"""Stands for the number of equations of a cut that proves nothing."""


@dataclass(frozen=True, eq=False)
class Counts:
    """What is counted of one stage, at N inputs.

    Attributes:
        moving: (N,) how many of its numbers may change.
        equations: (N,) how many units it holds.
        bends: (N,) whether something that moves goes through a smooth activation.
    """

    moving: Tensor
    equations: Tensor
    bends: Tensor


def fewest_equations(network: Network, stage: int, counts: Mapping[int, Counts]) -> tuple[IntArray, IntArray]:
    """The fewest equations of a cut between the input and a stage, behind it included, at N inputs.

    Args:
        network: the network.
        stage: the number of the stage that gives the features.
        counts: by stage, with the input as -1.

    Returns:
        (N,) the numbers, ``NEVER`` where there is no such cut; and (N,) the last stage before the cut.
    """
    needed = network.needed_for(stage)
    last_use = {source: number for number in needed for source in network.sources(number)} | {stage: stage + 1}
    size = len(counts[INPUT].moving)
    fewest, where = torch.full((size,), NEVER), torch.full((size,), INPUT)
    held, bent = torch.zeros(size, dtype=torch.int64), torch.zeros(size, dtype=torch.bool)
    alive = [INPUT]
    for number in needed:
        alive = [*alive, number]
        held = held + counts[number].equations
        ended = [before for before in alive if last_use[before] <= number]
        for before in ended:
            if before != INPUT:
                bent = bent | counts[before].bends
        alive = [before for before in alive if before not in ended]
        total = held + torch.stack([counts[before].moving for before in alive]).sum(dim=0)
        better = (total < fewest) & ~bent
        fewest, where = torch.where(better, total, fewest), torch.where(better, number, where)
    return fewest.numpy(), where.numpy()


__all__ = ["NEVER", "Counts", "fewest_equations"]
