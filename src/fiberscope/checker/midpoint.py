"""The recursion of midpoint products on a ball, layer by layer (``fiberscope.checker.modulus`` has the mathematics).

A matrix comes with a bound on the distance of each of its rows from the exact one. Convolutions leave rows that are
windows of the input: they stay sparse.
"""

from __future__ import annotations

import numpy as np

from fiberscope.checker.affine import is_sparse
from fiberscope.checker.center import Center, ends, pieces
from fiberscope.checker.matrices import ROUNDING, BoolArray, FloatArray, IntArray, NotProvedError
from fiberscope.checker.reading import LayerRows
from fiberscope.checker.rounded import Rounded, times
from fiberscope.checker.slopes import secants
from fiberscope.checker.unsure import Form, form


class Ball:
    """The recursion on one ball, up to the numbers before the last clip.

    Attributes:
        z: (m,) these numbers at the center.
        error: (m,) bounds on what rounding changed.
        middle: C.
        unsure_of: of every layer before the last, the numbers of the unsure units and e.
        onward: of every such layer P, to the numbers before the last clip.
        received: of every such layer with unsure units, what they receive: of the input, and of those units before.
    """

    def __init__(self, center: Center, radius: float) -> None:
        if not radius >= 0:
            raise NotProvedError("expected a radius of at least 0")
        self.chain, self.radius = center.chain, radius
        self.unsure_of: list[tuple[IntArray, float]] = []
        self.onward: list[Rounded] = []
        self.received: list[list[Rounded]] = []
        with np.errstate(all="ignore"):
            for number, layer in enumerate(self.chain):
                self.z, self.error = center.z[number], center.error[number]
                self._carry(layer, number)
                if number + 1 < len(self.chain):
                    self._decide(layer)

    def _carry(self, layer: LayerRows, number: int) -> None:
        A = layer.weight
        if number == 0:
            self.middle = Rounded(A, np.zeros(len(layer.bias)))
            return
        share, (units, _) = self.share, self.unsure_of[-1]
        self.middle = times(A, self.middle.scaled(share))
        self.onward[:-1] = [times(A, part.scaled(share)) for part in self.onward[:-1]]
        columns = A[:, units] if is_sparse(A) else np.ascontiguousarray(A[:, units])
        # columns times 2 h, which is 1 for units of clips
        self.onward[-1] = Rounded(columns, np.zeros(len(layer.bias))).spread(self.open)

    def pieces(self) -> tuple[BoolArray, BoolArray]:
        """(m,) the units of the layer reached that are on in the whole ball, and those that are off."""
        return pieces(self.chain[len(self.unsure_of)], *self._ends())

    def _ends(self) -> tuple[FloatArray, FloatArray]:
        """(m,) between what the units of the layer reached receive in the ball; NaN for no end."""
        part = self.middle.norms()
        for (_, e), onward in zip(self.unsure_of, self.onward, strict=True):
            part = (part + 0.5 * e * onward.norms()) * ROUNDING
        with np.errstate(all="ignore"):
            return ends(self.z, np.where(part == 0, 0.0, self.radius * part) + self.error)  # NaN stays

    def _decide(self, layer: LayerRows) -> None:
        """Which of the layer's units are unsure."""
        low, high = self._ends()
        (on, off), curved = pieces(layer, low, high), layer.curves.monotone
        least, most = secants(layer.curves, low, high)
        self.share = np.where(curved, least / 2.0 + most / 2.0, np.where(on, 1.0, np.where(off, 0.0, 0.5)))
        open_ = 2.0 * np.maximum(most - self.share, self.share - least) * ROUNDING
        open_ = np.where(curved, open_, np.where(on | off, 0.0, 1.0))
        units = np.flatnonzero(open_)
        self.open = open_[units]
        e = self.middle.rows(units).norm() + self.loss(units)
        if len(units):
            self.received.append([self.middle.rows(units), *(part.rows(units) for part in self._through())])
        self.unsure_of.append((units, e * ROUNDING))
        self.onward.append(Rounded(np.zeros((0, 0)), np.zeros(0)))

    def _through(self) -> list[Rounded]:
        """P of every layer before that has unsure units."""
        return [part for (units, _), part in zip(self.unsure_of, self.onward, strict=True) if len(units)]

    def form(self, rows: IntArray) -> Form | None:
        """What proves a modulus by some rows, all of them on."""
        return form(self.middle.rows(rows), [part.rows(rows) for part in self._through()], self.received)

    def loss(self, rows: IntArray) -> float:
        """A bound on ``|J - C|`` on some rows."""
        out = 0.0
        for (units, e), onward in zip(self.unsure_of, self.onward, strict=True):
            if len(units):
                out = (out + 0.5 * e * onward.rows(rows).norm()) * ROUNDING
        return out


__all__ = ["Ball"]
