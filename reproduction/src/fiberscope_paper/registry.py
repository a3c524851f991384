"""The experiments by name.

To add one: write ``def NAME(context: Context) -> Outcome`` in a module of its own in this folder, and add
``Experiment("NAME", "its title", NAME)`` to ``EXPERIMENTS``, with ``heeds=WITH_MODEL`` if it heeds the model, the data
and the numbers of samples and epochs of the context. ``run.py`` writes its files, the command line and the page of
claims find it here. ``trained_network`` gives it a network that is trained once, ``used_data`` its samples,
``drawing.new_figure`` its axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fiberscope.errors import InputError
from fiberscope_paper.context import Context
from fiberscope_paper.control import control
from fiberscope_paper.decay_figures import figure5, figure7, figure9, figure10
from fiberscope_paper.figure1 import figure1
from fiberscope_paper.figure2 import figure2
from fiberscope_paper.figure3 import figure3
from fiberscope_paper.figure4 import figure4
from fiberscope_paper.figure6 import figure6, figure11
from fiberscope_paper.figure8 import figure8
from fiberscope_paper.outcome import Outcome
from fiberscope_paper.saturation import saturation
from fiberscope_paper.tables import table1, table2, table3, table4

ALL = "all"

TRAINED = ("data", "samples", "epochs")
"""Options that an experiment heeds which trains its own networks."""

WITH_MODEL = ("model", "output", *TRAINED)
"""Options that an experiment heeds in which a network of the user can take the place of the trained one."""


@dataclass(frozen=True)
class Experiment:
    """One figure or table of the paper.

    Attributes:
        name: such as ``figure3``.
        title: what it shows.
        run: computes it.
        heeds: the options of the user that it heeds, by the names that they have in the context.
    """

    name: str
    title: str
    run: Callable[[Context], Outcome]
    heeds: tuple[str, ...] = ()


EXPERIMENTS = (
    Experiment("figure1", "Omnidirectional tuples, and two ways to fail", figure1),
    Experiment("figure2", "Removing a row by ReLU leaves correlated rows", figure2),
    Experiment("figure3", "Bounded and unbounded preimages against positive outputs", figure3, heeds=WITH_MODEL),
    Experiment("figure4", "Stability over the stages of WideCIFAR and ThinCIFAR", figure4, heeds=WITH_MODEL),
    Experiment("figure5", "Decay of singular values, WideCIFAR", figure5, heeds=WITH_MODEL),
    Experiment("figure6", "Inputs with the features of a 3", figure6, heeds=WITH_MODEL),
    Experiment("figure7", "Effect of ReLU on the singular values, WideCIFAR", figure7, heeds=WITH_MODEL),
    Experiment("figure8", "Rows that satisfy the condition of Lemma 9", figure8, heeds=WITH_MODEL),
    Experiment("figure9", "Singular values of ThinCIFAR", figure9, heeds=WITH_MODEL),
    Experiment("figure10", "Singular values of the MLP", figure10, heeds=WITH_MODEL),
    Experiment("figure11", "Inputs with the same features", figure11, heeds=WITH_MODEL),
    Experiment("table1", "The MLP with ten layers of 100", table1),
    Experiment("table2", "The MLP with layers of 3500 and 784", table2),
    Experiment("table3", "WideCIFAR", table3),
    Experiment("table4", "ThinCIFAR", table4),
    Experiment("control", "What training controls, and at what price", control, heeds=TRAINED),
    Experiment("saturation", "Injective activations, and what flat parts of them cost", saturation, heeds=TRAINED),
)


def experiments(what: str) -> tuple[Experiment, ...]:
    """The experiments that a name asks for: one, or all that there are.

    Raises:
        InputError: no such name.
    """
    if what == ALL:
        return EXPERIMENTS
    found = tuple(each for each in EXPERIMENTS if each.name == what)
    if not found:
        names = ", ".join(each.name for each in EXPERIMENTS)
        raise InputError("reproduce", expected=f"one of {names}, {ALL}, page", got=repr(what))
    return found


__all__ = ["ALL", "EXPERIMENTS", "TRAINED", "WITH_MODEL", "Experiment", "experiments"]
